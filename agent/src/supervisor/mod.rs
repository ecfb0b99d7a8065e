//! The parent of one container.
//!
//! A supervisor is a small single-threaded process without anything of the agent's: no runtime, no
//! sockets, no log. It claims the container, sets its limits, starts its init unless that waits already
//! (`Spare`), watches it, and leaves an exit record. It outlives the agent, which finds it again by the `owner` file.
//!
//! Run directory of a container, all of whose files are written whole:
//! `spec.json` (by the agent) · `owner` · `started.json` · `exit.json`.
//!
//! Invariants
//! - Nothing of the task runs before its control groups hold it.
//! - When `exit.json` exists, nothing of the container is alive.
//! - A container whose supervisor dies, dies with it.
//!
//! Source: docs/design.md, D6.

mod control;
mod exit_record;
mod identity;
mod init;
mod mounts;
pub(crate) mod nested;
pub(crate) mod passing;
mod report;
mod spec;
pub(crate) mod sys;
mod task;
mod terminal;
mod user;
mod waiting;
mod watch;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};

pub use exit_record::{ExitRecord, ExitRecordError, MemoryBreach, TaskEnd};
pub use identity::{Owner, OwnerError, ProcessIdentity, Supervisor, boot_id};
pub use nested::{Nested, NestedEnd};
pub use report::{Failure, FailureReason, LARGEST_REPORT, Report, StartedRecord};
pub use spec::{Command, ContainerSpec, LARGEST_ORDER, Network, Order, SpecError, Volume};
pub use sys::kill_signal;
pub use terminal::WindowSize;

#[cfg(test)]
pub(crate) use spec::tests::plain as plain_spec;

pub(crate) use identity::{since_boot_ms, start_time};
pub(crate) use waiting::Spare;

use crate::isolation::{Cgroup, ContainerId, GroupName, IsolationError};
use task::{Logs, plain};
use user::TaskUser;
use waiting::{Errand, Waiting};
use watch::{Outcome, Watch};

/// Tells the agent, once, whether the container runs.
struct ReportPipe(Option<File>);

impl ReportPipe {
    fn send(&mut self, report: &Report) {
        let Some(mut pipe) = self.0.take() else {
            return;
        };
        // An agent that is gone reads the run directory when it comes back.
        if let Ok(text) = serde_json::to_vec(report) {
            let _ = pipe.write_all(&text);
        }
    }
}

/// Begins a supervisor's life, with these descriptors and nothing else of the launcher's.
///
/// The process must be single-threaded, freshly forked, with all signals blocked.
pub(crate) fn begin(keep: &[RawFd]) {
    sys::close_all_except(keep);
    sys::new_session();
    sys::become_subreaper();
    sys::set_process_name(c"lonja-supervisor");
}

/// Runs one container to its end, in the spare if there is one. The process must have begun a
/// supervisor's life by [`begin`]; the status is the one to exit with.
pub(crate) fn run(run_dir: &Path, report: OwnedFd, spare: Option<Spare>) -> i32 {
    let mut report = ReportPipe(Some(File::from(report)));
    let identity = match claim(run_dir, spare.as_ref()) {
        Ok(Some(identity)) => identity,
        refused => {
            if let Some(spare) = spare {
                spare.dismiss();
            }
            // Abandoned by an agent: whoever did that no longer listens.
            let Err(failure) = refused else {
                return 0;
            };
            report.send(&Report::Failed(failure));
            return 1;
        }
    };
    let outcome = supervise(run_dir, &identity, spare, &mut report);
    let record = outcome.record;
    if let Err(error) = record.store(run_dir) {
        let what = "cannot store how the container ended";
        let failure = Failure::from_error(FailureReason::Sandbox, what, &error);
        report.send(&Report::Failed(failure));
        return 1;
    }
    if let Some(failure) = record.failure {
        report.send(&Report::Failed(failure));
    } else if outcome.started.is_none() {
        let message = "killed on request before the command was executed";
        report.send(&Report::Failed(Failure::new(FailureReason::Killed, message)));
    }
    0
}

fn claim(run_dir: &Path, spare: Option<&Spare>) -> Result<Option<Supervisor>, Failure> {
    let refuse = |error: &dyn std::error::Error| {
        Failure::from_error(FailureReason::Sandbox, "cannot claim the container", error)
    };
    let group = match spare {
        Some(spare) => spare.group.clone(),
        // A run directory is named like its container.
        None => {
            let name = run_dir.file_name().unwrap_or_default().to_string_lossy();
            GroupName::from(ContainerId::new(name).map_err(|error| refuse(&error))?)
        }
    };
    let process = ProcessIdentity::own().map_err(|error| refuse(&error))?;
    let supervisor = Supervisor { process, group };
    let claimed = Owner::Supervisor(supervisor.clone()).claim(run_dir).map_err(|error| refuse(&error))?;
    Ok(claimed.then_some(supervisor))
}

fn read_order(run_dir: &Path) -> Result<Order, Failure> {
    let path = run_dir.join(Order::FILE);
    let refuse = |error: &dyn std::error::Error| {
        let what = format!("cannot read {}", path.display());
        Failure::from_error(FailureReason::InvalidSpec, what, error)
    };
    let text = fs::read(&path).map_err(|error| refuse(&error))?;
    serde_json::from_slice(&text).map_err(|error| refuse(&error))
}

fn supervise(run_dir: &Path, own: &Supervisor, spare: Option<Spare>, report: &mut ReportPipe) -> Outcome {
    let order = match read_order(run_dir) {
        Ok(order) => order,
        Err(failure) => {
            if let Some(spare) = spare {
                spare.dismiss();
            }
            return Outcome::never_ran(failure);
        }
    };
    let (cgroup, waiting) = match spare {
        Some(spare) => (spare.cgroup, Some(spare.waiting)),
        None => (order.layout.container(&order.instance, &own.group), None),
    };
    let outcome = match start(&order.container, cgroup.as_ref(), waiting) {
        Ok(watch) => {
            let init = watch.init_pid();
            watch.run(&order, cgroup.as_ref(), |pid| {
                note_started(run_dir, pid, init);
                let supervisor = own.clone();
                report.send(&Report::Started { pid, supervisor });
            })
        }
        Err(failure) => Outcome::never_ran(failure),
    };
    // What cannot be removed now is removed by the agent, which compares groups with records.
    let _ = cgroup.remove();
    outcome
}

fn note_started(run_dir: &Path, pid: i32, init: i32) {
    let temporary = run_dir.join("started.json.new");
    if let Ok(text) =
        serde_json::to_vec(&StartedRecord { pid, init: Some(init), since_boot_ms: since_boot_ms().ok() })
        && fs::write(&temporary, text).is_ok()
    {
        let _ = fs::rename(&temporary, run_dir.join(StartedRecord::FILE));
    }
}

/// Makes all that the container needs and starts it, in the init that waits in the group if there is one.
fn start(spec: &ContainerSpec, cgroup: &dyn Cgroup, waiting: Option<Waiting>) -> Result<Watch, Failure> {
    let user = user::resolve(spec.user.as_deref())?;
    let logs = open_logs(&spec.sandbox, user.as_ref())?;
    let in_group = waiting.is_some();
    let mut waiting = waiting.map_or_else(Waiting::start, Ok)?;
    // The errand first: init mounts while the control groups are prepared here.
    waiting.send(&Errand { container: spec.clone(), user }, &logs)?;
    isolate(spec, cgroup, &mut waiting, in_group).map_err(|error| {
        // Never told to go, init ends, and nothing of the task has run.
        let what = format!("cannot isolate container {}", spec.container_id);
        Failure::from_error(FailureReason::Isolation, what, &error)
    })?;
    Ok(waiting.go())
}

fn isolate(
    spec: &ContainerSpec,
    cgroup: &dyn Cgroup,
    waiting: &mut Waiting,
    in_group: bool,
) -> Result<(), IsolationError> {
    if in_group {
        return waiting.limit(cgroup, &spec.limits);
    }
    cgroup.create()?;
    waiting.limit(cgroup, &spec.limits)?;
    waiting.enter(cgroup)
}

fn open_logs(sandbox: &Path, user: Option<&TaskUser>) -> Result<Logs, Failure> {
    let open = |name: &str| {
        let refuse = |error: rustix::io::Errno| {
            let path = sandbox.join(name);
            let error = plain(&error.into());
            let message = format!("cannot open '{}': {error}", path.display());
            Failure::new(FailureReason::Sandbox, message)
        };
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, sandbox, directory, Mode::empty()).map_err(refuse)?;
        // A link planted under this name must not redirect the log.
        let flags = OFlags::CREATE
            | OFlags::APPEND
            | OFlags::WRONLY
            | OFlags::NOFOLLOW
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat(&directory, name, flags, mode).map_err(refuse)?;
        if let Some(user) = user {
            let owner = Some(Uid::from_raw(user.uid));
            rustix::fs::fchown(&file, owner, Some(Gid::from_raw(user.gid))).map_err(refuse)?;
        }
        Ok(file)
    };
    Ok(Logs { stdout: open("stdout")?, stderr: open("stderr")? })
}
