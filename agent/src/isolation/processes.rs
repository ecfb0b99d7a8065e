//! Killing every process listed in a `cgroup.procs`, without ever hitting a reused pid.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::files::{self, IsolationError};

/// The processes in the group whose directory this is; none when it is missing.
pub(super) fn listed(group: &Path) -> Result<BTreeSet<i32>, IsolationError> {
    match files::read(&group.join("cgroup.procs")) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(IsolationError::Read { source, .. }) if files::is_gone(&source) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

/// Sends SIGKILL to each listed process once. A fork meanwhile may escape: call until none is listed.
pub(super) fn kill_listed(group: &Path) -> Result<(), IsolationError> {
    let first = listed(group)?;
    let handles: Vec<_> = first
        .iter()
        .filter_map(|&raw| {
            let pid = Pid::from_raw(raw)?;
            Some((raw, pidfd_open(pid, PidfdFlags::empty()).ok()?))
        })
        .collect();
    // A pid may have been reused before it was opened. Listed again after the opening, it is ours.
    let still_here = listed(group)?;
    for (pid, handle) in handles {
        if still_here.contains(&pid) {
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        }
    }
    Ok(())
}

/// As [`kill_listed`], in this group and all below it.
pub(super) fn kill_listed_below(group: &Path) -> Result<(), IsolationError> {
    for child in files::children(group)? {
        kill_listed_below(&group.join(child))?;
    }
    kill_listed(group)
}
