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

pub(crate) mod confine;
mod control;
mod exit_record;
mod identity;
mod init;
mod last_word;
mod logs;
mod mounts;
pub(crate) mod nested;
pub(crate) mod passing;
pub(crate) mod profile;
mod report;
pub(crate) mod sharing;
mod sources;
mod spec;
pub(crate) mod sys;
mod task;
mod terminal;
pub(crate) mod tty_door;
mod user;
mod waiting;
mod watch;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};

pub use confine::{Confinement, Filter, ProcessLimit};
pub use exit_record::{ExitRecord, ExitRecordError, MemoryBreach, RefusedForks, TaskEnd};
pub use identity::{Owner, OwnerError, ProcessIdentity, Supervisor, boot_id};
pub use logs::LogLimits;
pub use nested::{Nested, NestedEnd};
pub(crate) use profile::ids::{UserIds, UserOf};
pub use profile::{Isolation, IsolationListError, Mould, Part};
pub use report::{Failure, FailureReason, LARGEST_REPORT, Report, StartedRecord};
pub(crate) use user::{TaskUser, find as find_user, resolve as resolve_user};

pub use sources::{Hidden, Identity, VolumeSource};
pub use spec::{Command, ContainerSpec, LARGEST_ORDER, Network, Order, SpecError, Volume};
pub use sys::kill_signal;
pub use terminal::WindowSize;

#[cfg(test)]
pub(crate) use spec::tests::plain as plain_spec;

pub(crate) use identity::{since_boot_ms, start_time};
pub(crate) use waiting::Spare;

use crate::failpoint;
use crate::isolation::{Cgroup, ContainerId, GroupName, IsolationError};
use profile::etc::Names;
use profile::{trees, users};
use task::plain;
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
    confine::be_spared();
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
    failpoint::reach("supervisor: claimed");
    let outcome = supervise(run_dir, &identity, spare, &mut report);
    let record = outcome.record;
    failpoint::reach("supervisor: group removed");
    if let Err(error) = last_word::keep(&record, run_dir) {
        let what = "cannot store how the container ended";
        let failure = Failure::from_error(FailureReason::Sandbox, what, &error);
        report.send(&Report::Failed(failure));
        return 1;
    }
    failpoint::reach("supervisor: end noted");
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
    failpoint::reach("supervisor: order read");
    let place = match share(run_dir, &order.container) {
        Ok(place) => place,
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
    let outcome = match start(&order.container, cgroup.as_ref(), waiting, place.as_ref()) {
        Ok((mut watch, input)) => {
            if let Some(input) = input {
                watch.open_input(run_dir, input);
            }
            if order.container.tty.is_some() {
                watch.open_door(run_dir);
            }
            let init = watch.init_pid();
            watch.run(&order, cgroup.as_ref(), |pid| {
                note_started(run_dir, pid, init);
                failpoint::reach("supervisor: start noted");
                let supervisor = own.clone();
                report.send(&Report::Started { pid, supervisor });
                failpoint::reach("supervisor: start told");
            })
        }
        Err(failure) => Outcome::never_ran(failure),
    };
    // What cannot be removed now is removed by the agent, which compares groups with records.
    let _ = cgroup.remove();
    drop(place);
    outcome
}

/// The container's place in its group, if it has one.
fn share(run_dir: &Path, spec: &ContainerSpec) -> Result<Option<sharing::Place>, Failure> {
    match &spec.joins {
        // An ordinary user has no power over namespaces of another user namespace.
        Some(group) if rustix::process::geteuid().is_root() => {
            sharing::Place::take(run_dir, group, &Mould::of(spec))
        }
        _ => Ok(None),
    }
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

/// Makes all that the container needs and starts it, in the init that waits in the group if there is one. With the
/// writing end of the task's input, if it has one.
fn start(
    spec: &ContainerSpec,
    cgroup: &dyn Cgroup,
    waiting: Option<Waiting>,
    place: Option<&sharing::Place>,
) -> Result<(Watch, Option<OwnedFd>), Failure> {
    let mould = Mould::of(spec);
    let mut user = user::resolve(spec.user.as_deref())?;
    let powerful = rustix::process::geteuid().is_root();
    if powerful {
        user = users::inside(&mould, user)?;
    }
    if let Some(user) = user.as_ref().filter(|_| powerful && mould.rootless()) {
        give_sandbox(&spec.sandbox, user)?;
    }
    let (mut logs, pump) = logs::open(&spec.sandbox, user.as_ref(), spec.logs, spec.tty.is_some())?;
    let in_group = waiting.is_some();
    let isolation = |error: IsolationError| {
        // Never told to go, init ends, and nothing of the task has run.
        let what = format!("cannot isolate container {}", spec.container_id);
        Failure::from_error(FailureReason::Isolation, what, &error)
    };
    let mut waiting = match waiting {
        Some(waiting) => waiting,
        None => {
            cgroup.create().map_err(isolation)?;
            Waiting::start(&mould, cgroup)?
        }
    };
    let mut trees = Vec::new();
    if mould.own_root() && powerful {
        trees = trees::open_all(spec, waiting.users(), user.as_ref())?;
        if let Some(sandbox) = trees.first().filter(|_| pump.is_none()) {
            logs = trees::reopen_logs(sandbox)?;
        }
    }
    if pump.is_some() && spec.tty.is_none() {
        let first = waiting.users().map_or(0, |users| users.ids.first);
        logs::give_pipes(&logs, first, user.as_ref())?;
    }
    let names = if mould.own_network() { Names::default() } else { Names::of_host() };
    // The errand first: init mounts while the control groups are prepared here.
    let shared = match place {
        Some(place) => place.descriptors().map_err(|error| {
            let message = format!("cannot open the namespaces of the container's group: {}", plain(&error));
            Failure::new(FailureReason::Namespace, message)
        })?,
        None => Vec::new(),
    };
    let shared_namespaces = shared.len();
    let first = waiting.users().map_or(0, |users| users.ids.first);
    let (input, its_input) = logs::input(spec, first, user.as_ref())?.unzip();
    trees.extend(its_input);
    trees.extend(shared);
    waiting.send(&Errand { container: spec.clone(), user, names, shared_namespaces }, &logs, &trees)?;
    drop((logs, trees));
    failpoint::reach("supervisor: errand sent");
    confine::apply_from_outside(&spec.confinement, waiting.init_pid())?;
    waiting.limit(cgroup, &spec.limits).map_err(isolation)?;
    if !in_group {
        waiting.enter(cgroup).map_err(isolation)?;
    }
    failpoint::reach("supervisor: limited");
    let mut watch = waiting.go();
    watch.keep_logs(pump);
    failpoint::reach("supervisor: told to go");
    Ok((watch, input))
}

/// Gives the sandbox to the user if it is root's: who asked for a user that a hardened container lacks has nobody
/// instead, and nobody's sandbox.
fn give_sandbox(sandbox: &Path, user: &TaskUser) -> Result<(), Failure> {
    let give = || {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, sandbox, directory, Mode::empty())?;
        if rustix::fs::fstat(&folder)?.st_uid != 0 {
            return Ok(());
        }
        let owner = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let flags = rustix::fs::AtFlags::EMPTY_PATH;
        rustix::fs::chownat(&folder, "", Some(owner.0), Some(owner.1), flags)
    };
    give().map_err(|error: rustix::io::Errno| {
        let error = plain(&error.into());
        let message = format!("cannot give '{}' to uid {}: {error}", sandbox.display(), user.uid);
        Failure::new(FailureReason::Sandbox, message)
    })
}
