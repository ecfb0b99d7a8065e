//! `lonja bench`.

use std::process::ExitCode;

use crate::args::Bench;
use crate::dev::Prepared;

/// Measures.
pub(crate) async fn run(_bench: &Bench, _prepared: &Prepared) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
