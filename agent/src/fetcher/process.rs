//! A fetching process, seen from the agent.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::job::{CHILD_ARGUMENT, Job, LARGEST_JOB, LARGEST_REPORT, Report};

/// What the allocator of the program, if it is mimalloc, sets apart at once, in KiB. By itself it takes all the addresses that
/// a fetching process may have, and would leave none for anything else.
const ALLOCATOR_TAKES: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "32768");

/// Runs a job to its end. Dropped before that, it kills the process. Errors: the process itself went wrong.
pub(super) async fn run(job: &Job) -> Result<Report, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{}: {what}: {error}", job.shown());
    let text = serde_json::to_vec(job).map_err(|error| failed("cannot be described", &error))?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= LARGEST_JOB);
    let length = length.ok_or_else(|| failed("cannot be described", &"it is too long"))?;
    // The program as it runs, also after an upgrade has replaced its file.
    let mut child = Command::new("/proc/self/exe")
        .arg(CHILD_ARGUMENT)
        .env_clear()
        .env(ALLOCATOR_TAKES.0, ALLOCATOR_TAKES.1)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("cannot start the fetching process", &error))?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("cannot start the fetching process", &"it has no pipes"));
    };
    let mut report = Vec::new();
    let talked = async {
        input.write_all(&length.to_le_bytes()).await?;
        input.write_all(&text).await?;
        input.flush().await?;
        // The input stays open: that it closes is how the process learns of our end.
        output.take(LARGEST_REPORT as u64).read_to_end(&mut report).await
    };
    let talked = talked.await;
    drop(input);
    let status = child.wait().await;
    talked.map_err(|error| failed("cannot talk to the fetching process", &error))?;
    serde_json::from_slice(&report).map_err(|_| match status {
        Ok(status) => failed("the fetching process ended without a word", &status),
        Err(error) => failed("the fetching process is lost", &error),
    })
}
