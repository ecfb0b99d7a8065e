//! `lonja kill`.

use std::process::ExitCode;

use crate::args::Kill;
use crate::client::Client;

/// Asks the master to kill a task.
pub(crate) async fn run(kill: &Kill) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect_within(&kill.master.master, kill.wait).await?;
    client.kill(kill.framework.as_deref(), &kill.task).await?;
    Ok(ExitCode::SUCCESS)
}
