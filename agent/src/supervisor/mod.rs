//! The parent of one container.
//!
//! A supervisor is a small single-threaded process without anything of the agent's: no runtime, no
//! sockets, no log. It claims the container, sets its limits, starts its init, watches it, and leaves
//! an exit record. It outlives the agent, which finds it again by the `owner` file.
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
mod report;
mod spec;
pub(crate) mod sys;
mod task;
mod user;
mod watch;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};

pub use exit_record::{ExitRecord, ExitRecordError, MemoryBreach, TaskEnd};
pub use identity::{Owner, OwnerError, ProcessIdentity, boot_id};
pub use report::{Failure, FailureReason, LARGEST_REPORT, Report, StartedRecord};
pub use spec::{Command, ContainerSpec, LARGEST_ORDER, Network, Order, SpecError, Volume};
pub use sys::kill_signal;

#[cfg(test)]
pub(crate) use spec::tests::plain as plain_spec;

use crate::isolation::{Cgroup, IsolationError};
use init::Inheritance;
use sys::Forked;
use task::{Logs, plain};
use user::TaskUser;
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

/// Runs one container to its end. The process must be single-threaded, freshly forked, with all
/// signals blocked; the status is the one to exit with.
pub(crate) fn run(run_dir: &Path, report: OwnedFd) -> i32 {
    sys::close_all_except(&[report.as_raw_fd()]);
    sys::new_session();
    sys::become_subreaper();
    sys::set_process_name(c"lonja-supervisor");
    let mut report = ReportPipe(Some(File::from(report)));
    let identity = match claim(run_dir) {
        Ok(Some(identity)) => identity,
        // Abandoned by an agent: whoever did that no longer listens.
        Ok(None) => return 0,
        Err(failure) => {
            report.send(&Report::Failed(failure));
            return 1;
        }
    };
    let outcome = supervise(run_dir, &identity, &mut report);
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

fn claim(run_dir: &Path) -> Result<Option<ProcessIdentity>, Failure> {
    let refuse = |error: &dyn std::error::Error| {
        Failure::from_error(FailureReason::Sandbox, "cannot claim the container", error)
    };
    let identity = ProcessIdentity::own().map_err(|error| refuse(&error))?;
    let claimed = Owner::Supervisor(identity.clone()).claim(run_dir).map_err(|error| refuse(&error))?;
    Ok(claimed.then_some(identity))
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

fn supervise(run_dir: &Path, identity: &ProcessIdentity, report: &mut ReportPipe) -> Outcome {
    let order = match read_order(run_dir) {
        Ok(order) => order,
        Err(failure) => return Outcome::never_ran(failure),
    };
    let container = &order.container.container_id;
    let cgroup = order.layout.container(&order.instance, container);
    let outcome = match start(&order, cgroup.as_ref()) {
        Ok(watch) => watch.run(&order, cgroup.as_ref(), |pid| {
            note_started(run_dir, pid);
            let supervisor = identity.clone();
            report.send(&Report::Started { pid, supervisor });
        }),
        Err(failure) => Outcome::never_ran(failure),
    };
    // What cannot be removed now is removed by the agent, which compares groups with records.
    let _ = cgroup.remove();
    outcome
}

fn note_started(run_dir: &Path, pid: i32) {
    let temporary = run_dir.join("started.json.new");
    if let Ok(text) = serde_json::to_vec(&StartedRecord { pid })
        && fs::write(&temporary, text).is_ok()
    {
        let _ = fs::rename(&temporary, run_dir.join(StartedRecord::FILE));
    }
}

/// Makes all that the container needs and starts its init.
fn start(order: &Order, cgroup: &dyn Cgroup) -> Result<Watch, Failure> {
    let spec = &order.container;
    let internal = |what: &str, error: &io::Error| {
        Failure::new(FailureReason::Internal, format!("{what}: {}", plain(error)))
    };
    let user = user::resolve(spec.user.as_deref())?;
    let logs = open_logs(&spec.sandbox, user.as_ref())?;
    let pipes = Pipes::new().map_err(|error| internal("cannot make pipes", &error))?;
    let Pipes { own, inside } = pipes;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let mut namespaces = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if !uid.is_root() {
        namespaces |= libc::CLONE_NEWUSER;
    }
    // Init first: it mounts while the control groups are made here.
    let init = match sys::fork_into(namespaces) {
        Ok(Forked::Child) => init::run(Inheritance {
            spec,
            user: user.as_ref(),
            logs,
            line: inside.line,
            go: inside.go,
            exec_mark: inside.exec_mark,
            map_to_root: (!uid.is_root()).then_some((uid.as_raw(), gid.as_raw())),
        }),
        Ok(Forked::Parent(child)) => child,
        Err(error) => {
            let message = format!("cannot make the container's namespaces: {}", plain(&error));
            return Err(Failure::new(FailureReason::Namespace, message));
        }
    };
    let mut watch = Watch::new(init, own.line, own.exec_mark)
        .map_err(|error| internal("cannot watch the container", &error))?;
    if let Err(error) = isolate(spec, cgroup, &mut watch) {
        // Never told to go, init waits, and nothing of the task has run.
        watch.abandon();
        let what = format!("cannot isolate container {}", spec.container_id);
        return Err(Failure::from_error(FailureReason::Isolation, what, &error));
    }
    // Fails only when init is gone already, which the watch tells better.
    let _ = File::from(own.go).write_all(b"g");
    Ok(watch)
}

fn isolate(spec: &ContainerSpec, cgroup: &dyn Cgroup, watch: &mut Watch) -> Result<(), IsolationError> {
    cgroup.create(&spec.limits)?;
    if spec.limits.memory_bytes.is_some() {
        watch.watch_memory(cgroup.oom_watch()?);
    }
    cgroup.attach(watch.init_pid())
}

/// The supervisor's ends, or init's.
struct Ends<Line> {
    line: Line,
    go: OwnedFd,
    exec_mark: OwnedFd,
}

struct Pipes {
    own: Ends<control::Outside>,
    inside: Ends<control::Inside>,
}

impl Pipes {
    fn new() -> io::Result<Self> {
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (outside, inside) = control::line()?;
        let (go_read, go_write) = rustix::pipe::pipe_with(flags)?;
        let (mark_read, mark_write) = rustix::pipe::pipe_with(flags)?;
        Ok(Self {
            own: Ends { line: outside, go: go_write, exec_mark: mark_read },
            inside: Ends { line: inside, go: go_read, exec_mark: mark_write },
        })
    }
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
