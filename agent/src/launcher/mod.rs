//! The process that forks supervisors.
//!
//! A daemon with threads cannot fork safely, so it forks the launcher while it still has one thread.
//! The launcher takes requests over a socket, gives each to a supervisor, and reaps those. So that a
//! launch need not wait for forks and moves between control groups, some supervisors are forked ahead of
//! time, with containers that need only be told what to run. When the
//! daemon is gone, killed or not, the socket closes: the launcher then ends and leaves the containers
//! running for the next daemon, or, in a throw-away cluster, ends them all and cleans up.
//!
//! Invariants
//! - Launcher and supervisors hold no descriptor, terminal or environment of the daemon's.
//! - A spare that was never used leaves neither process nor control group, however its launcher ends.
//! - A throw-away launcher leaves no process, control group or named directory behind.
//!
//! Source: fork(2) on threads; docs/design.md, D6.

mod pools;
mod serve;
mod spare;
mod wire;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::supervisor::sys::{self, Forked};

pub(crate) use wire::{send_cool_down, send_nested, send_request, send_warm_up};

/// How a launcher behaves when its daemon is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LauncherOptions {
    /// End every container then, and remove the control groups of every instance served.
    pub ephemeral: bool,
    /// Directories to remove then, with all they hold. Only when `ephemeral`.
    pub remove_on_exit: Vec<PathBuf>,
}

/// Why there is no launcher.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    /// Called too late: another thread exists, whose locks a fork would copy without their holder.
    #[error("the launcher must be forked before any thread is started; {0} are running")]
    Threads(usize),
    /// The system refused.
    #[error("cannot fork the launcher")]
    System(#[source] io::Error),
}

/// The daemon's end of the line to its launcher.
#[derive(Debug)]
pub struct Launcher {
    socket: OwnedFd,
    pid: i32,
    /// What it is called in the names of its spares' control groups.
    name: String,
}

/// What the launcher with this pid, or `self`, is called: a name that no other has in this boot.
fn own_name(process: &str) -> io::Result<String> {
    let start_time = crate::supervisor::start_time(process)?;
    let pid = match process {
        "self" => std::process::id().to_string(),
        pid => pid.to_owned(),
    };
    Ok(format!("{pid}-{start_time}"))
}

impl Launcher {
    /// Forks the launcher. Call it first in `main`, before any thread or runtime exists.
    ///
    /// Errors: other threads exist, or the system has no process or descriptor left.
    pub fn fork(options: LauncherOptions) -> Result<Self, LauncherError> {
        crate::failpoint::arm();
        let threads = std::fs::read_dir("/proc/self/task").map_err(LauncherError::System)?.count();
        if threads != 1 {
            return Err(LauncherError::Threads(threads));
        }
        let (daemon, own) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(|error| LauncherError::System(error.into()))?;
        match sys::fork_into(0).map_err(LauncherError::System)? {
            Forked::Child => serve::run(own, options),
            Forked::Parent(child) => {
                let name = own_name(&child.pid.to_string()).map_err(LauncherError::System)?;
                Ok(Self { socket: daemon, pid: child.pid, name })
            }
        }
    }

    /// The launcher's process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What it is called in the names of its spares' control groups.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Another end of the same line, for one more containerizer.
    pub(crate) fn connect(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Hangs up and waits until the launcher has ended, a throw-away one after cleaning up.
    ///
    /// Containerizers made with this launcher cannot launch any more; what they run is not disturbed
    /// unless the launcher is throw-away. Blocks; not for use inside an async runtime.
    pub fn stop(self) -> io::Result<()> {
        let Self { socket, pid, .. } = self;
        // Explicitly, since containerizers hold the same line.
        let _ = nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Write);
        drop(socket);
        sys::reap(pid).map(|_| ())
    }
}
