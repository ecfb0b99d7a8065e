//! `lonja sim`.

use std::process::ExitCode;

use crate::args::{Sim, SimCommand};

/// Runs the simulator.
pub(crate) fn run(sim: &Sim) -> anyhow::Result<ExitCode> {
    let SimCommand::Fuzz { seeds: _, seed: _ } = sim.command;
    anyhow::bail!("the simulator is not built in yet")
}
