//! The way into a container.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::super::control::Inside;
use super::super::report::{Failure, FailureReason};
use super::super::spec::ContainerSpec;
use super::super::sys;
use super::super::task::{self, Logs, plain};
use super::super::terminal::{self, Terminal, WindowSize};
use super::super::user::TaskUser;

/// The namespaces a container may have of its own: their names in `/proc`, and in setns(2).
const NAMESPACES: [(&str, i32); 7] = [
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("pid_for_children", libc::CLONE_NEWPID),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("net", libc::CLONE_NEWNET),
    ("cgroup", libc::CLONE_NEWCGROUP),
];

/// A container to enter.
pub(super) struct Door {
    /// A handle on its init.
    pub(super) init: OwnedFd,
    /// The namespaces that it has of its own, as setns(2) takes them.
    namespaces: i32,
}

impl Door {
    /// Finds out what to enter. Errors: the container ends.
    pub(super) fn new(init: OwnedFd, pid: i32) -> io::Result<Self> {
        let mut namespaces = 0;
        for (name, flag) in NAMESPACES {
            let own = rustix::fs::stat(format!("/proc/self/ns/{name}"))?;
            // What its children get is what it is in itself, once it has had children.
            let its = rustix::fs::stat(format!("/proc/{pid}/ns/{}", name.trim_end_matches("_for_children")))?;
            if (own.st_dev, own.st_ino) != (its.st_dev, its.st_ino) {
                namespaces |= flag;
            }
        }
        Ok(Self { init, namespaces })
    }
}

/// What is run, resolved.
pub(super) struct Process {
    pub(super) spec: ContainerSpec,
    pub(super) user: Option<TaskUser>,
    /// Who has all power inside, where those are not the users of outside.
    pub(super) root: Option<u32>,
    pub(super) tty: Option<WindowSize>,
    pub(super) working_dir: Option<PathBuf>,
    /// Ignored when there is a terminal.
    pub(super) stdin: OwnedFd,
    pub(super) logs: Logs,
}

/// Goes into the container and starts the process there, as a child of our parent. Never returns.
pub(super) fn run(door: Door, process: &Process, line: &Inside, exec_mark: &OwnedFd) -> ! {
    let keep = [
        door.init.as_raw_fd(),
        line.0.as_raw_fd(),
        exec_mark.as_raw_fd(),
        process.stdin.as_raw_fd(),
        process.logs.stdout.as_raw_fd(),
        process.logs.stderr.as_raw_fd(),
    ];
    sys::close_all_except(&keep);
    // In its control groups before anything else.
    if !line.await_go() {
        sys::exit_now(1);
    }
    let Err(failure) = enter(door, process, line);
    line.say_failed(&failure);
    sys::exit_now(127)
}

fn enter(door: Door, process: &Process, line: &Inside) -> Result<std::convert::Infallible, Failure> {
    let refuse = |what: &str, error: &io::Error| {
        let message = format!("cannot enter the container: {what}: {}", plain(error));
        Failure::new(FailureReason::Namespace, message)
    };
    // From here on nobody inside can see our memory, descriptors or program, not even root there.
    sys::set_dumpable(false);
    sys::enter_namespaces(door.init.as_fd(), door.namespaces)
        .map_err(|error| refuse("its namespaces", &error))?;
    drop(door);
    if let Some(root) = process.root {
        sys::become_user(root, root, &[]).map_err(|error| refuse("its users", &error))?;
    }
    let terminal = match process.tty {
        Some(size) => Some(open_terminal(size, process.user.as_ref(), line)?),
        None => None,
    };
    // Into the new pid namespace, which we ourselves stay out of.
    match sys::fork_as_sibling() {
        Ok(0) => {
            let failure = become_process(process, terminal.as_ref(), line);
            line.say_failed(&failure);
            sys::exit_now(127)
        }
        Ok(pid) => {
            line.say_made(pid);
            sys::exit_now(0)
        }
        Err(error) => Err(refuse("a process in it", &error)),
    }
}

fn open_terminal(size: WindowSize, user: Option<&TaskUser>, line: &Inside) -> Result<OwnedFd, Failure> {
    let refuse = |error: &io::Error| {
        let message = format!("cannot make a terminal in the container: {}", plain(error));
        Failure::new(FailureReason::Namespace, message)
    };
    let owner = user.map(|user| (user.uid, user.gid));
    let Terminal { master, slave } = terminal::open(size, owner).map_err(|error| refuse(&error))?;
    line.say_terminal(&master).map_err(|error| refuse(&error.into()))?;
    Ok(slave)
}

/// As the task's own last steps, with other streams.
fn become_process(process: &Process, terminal: Option<&OwnedFd>, line: &Inside) -> Failure {
    let prepared = task::prepare(&process.spec, process.user.as_ref(), &process.logs);
    if let Err(failure) = prepared.and_then(|()| take_streams(process, terminal)) {
        return failure;
    }
    // After the change of user, which would clear it.
    sys::die_with_parent(libc::SIGKILL);
    task::execute_command(&process.spec, line)
}

fn take_streams(process: &Process, terminal: Option<&OwnedFd>) -> Result<(), Failure> {
    let refuse = |reason, what: &str, error: &io::Error| {
        Err(Failure::new(reason, format!("cannot use {what}: {}", plain(error))))
    };
    match terminal {
        Some(slave) => task::take_terminal(slave)?,
        None => {
            if let Err(error) = sys::redirect(process.stdin.as_fd(), 0) {
                return refuse(FailureReason::Internal, "the standard streams", &error);
            }
        }
    }
    // As the process's own user: one that it may not enter is an error now.
    let directory: &Path = match &process.working_dir {
        Some(directory) => directory,
        // The sandbox, unless that is shut to who was named.
        None if task::enter_sandbox(&process.spec).is_ok() => return Ok(()),
        None => Path::new("/"),
    };
    match std::env::set_current_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) => refuse(
            FailureReason::Sandbox,
            &format!("the working directory '{}'", directory.display()),
            &error,
        ),
    }
}
