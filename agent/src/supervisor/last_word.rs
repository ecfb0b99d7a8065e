//! The end of a container is written down whatever it takes.
//!
//! On a disk without room for it the supervisor stays until there is some: nobody else knows how the task ended, and what
//! would be told otherwise is not true. To the agent the container is there until then. Whoever ends the supervisor ends
//! the waiting, and so does who asks for the end of the container: its agent, also a throw-away one that ends. Of a task that
//! was killed on request the agent knows that much by itself.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use super::exit_record::{ExitRecord, ExitRecordError};
use super::sys;

/// The longest pause before it is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Stores the record, as soon as there is room. Errors: something else is wrong, or somebody ends the waiting.
pub(super) fn keep(record: &ExitRecord, run_dir: &Path) -> Result<(), ExitRecordError> {
    let mut pause = Duration::from_millis(20);
    loop {
        let outcome = record.store(run_dir);
        let full = outcome.as_ref().is_err_and(ExitRecordError::is_full);
        if !full || told_to_leave(pause) {
            return outcome;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits, and says whether somebody wants this process to end meanwhile.
fn told_to_leave(pause: Duration) -> bool {
    let wanted = [libc::SIGTERM, libc::SIGINT, sys::kill_signal()];
    let Ok(signals) = sys::signal_descriptor(&wanted) else { return true };
    let mut entries = [sys::poll_entry(Some(signals.as_fd()), libc::POLLIN)];
    sys::poll(&mut entries, Some(pause)).is_err() || entries[0].revents != 0
}
