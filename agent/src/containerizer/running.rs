//! A container's supervisor, seen from the agent: alive, gone, or never there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::ContainerizerError;
use crate::isolation::GroupName;
use crate::supervisor::{self, Owner, kill_signal, sys};

/// A handle on one supervisor's process. Never on another process that got its pid later.
#[derive(Debug)]
pub(super) struct Supervisor {
    process: AsyncFd<OwnedFd>,
    /// Its container's control group.
    group: GroupName,
}

impl Supervisor {
    /// `None` when that process is gone.
    pub(super) fn find(owner: &supervisor::Supervisor) -> io::Result<Option<Self>> {
        let Some(handle) = owner.process.open()? else {
            return Ok(None);
        };
        let process = watched(handle, Interest::READABLE)?;
        Ok(Some(Self { process, group: owner.group.clone() }))
    }

    /// Its container's control group.
    pub(super) fn group(&self) -> &GroupName {
        &self.group
    }

    /// Whether it has not ended yet.
    pub(super) fn is_alive(&self) -> bool {
        let mut entry = [sys::poll_entry(Some(self.process.get_ref().as_fd()), libc::POLLIN)];
        let asked = sys::poll(&mut entry, Some(Duration::ZERO));
        asked.is_ok() && entry[0].revents == 0
    }

    /// Asks it to end its container. `None`: after the grace in the container's description.
    pub(super) fn request_kill(&self, grace: Option<Duration>) -> io::Result<()> {
        let process = self.process.get_ref().as_fd();
        let sent = match grace {
            Some(grace) => {
                let milliseconds = i32::try_from(grace.as_millis()).unwrap_or(i32::MAX);
                sys::send_signal(process, kill_signal(), milliseconds)
            }
            // A queued signal always has a value, so "none" needs a plain one.
            None => rustix::process::pidfd_send_signal(process, rustix::process::Signal::TERM)
                .map(|()| true)
                .or_else(|error| match error {
                    rustix::io::Errno::SRCH => Ok(false),
                    error => Err(error.into()),
                }),
        };
        sent.map(|_alive| ())
    }

    /// Has it look whether the kernel has killed in its container for want of memory.
    pub(super) fn look_for_breach(&self) -> io::Result<()> {
        let process = self.process.get_ref().as_fd();
        let sent = rustix::process::pidfd_send_signal(process, rustix::process::Signal::USR1);
        match sent {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Resolves when the process has ended.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.process.readable().await.map(|_guard| ())
    }
}

/// Registers a descriptor with the running tokio runtime.
#[allow(unsafe_code)]
pub(crate) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names the same open descriptor for as long as it lives.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    registered.map_err(io::Error::from)
}

/// Who is responsible for the container in this run directory.
pub(super) enum Found {
    /// No such directory.
    NoDirectory,
    /// Nobody yet.
    Unclaimed,
    /// Given up by an agent.
    Abandoned,
    /// A supervisor that may have ended, but not before it became the owner.
    Supervised(Option<Supervisor>),
    /// A supervisor of an earlier boot of the host.
    OtherBoot,
}

pub(super) fn find(run_dir: &Path, container: &str) -> Result<Found, ContainerizerError> {
    let refuse = |source| ContainerizerError::RunDirectory {
        what: "find the owner",
        container: container.to_owned(),
        source,
    };
    if !run_dir.is_dir() {
        return Ok(Found::NoDirectory);
    }
    let owner = Owner::read(run_dir).map_err(|error| refuse(error.into()))?;
    let supervisor = match owner {
        None => return Ok(Found::Unclaimed),
        Some(Owner::Abandoned) => return Ok(Found::Abandoned),
        Some(Owner::Supervisor(supervisor)) => supervisor,
    };
    let boot = crate::supervisor::boot_id().map_err(|error| refuse(error.into()))?;
    if boot != supervisor.process.boot_id {
        return Ok(Found::OtherBoot);
    }
    Supervisor::find(&supervisor).map(Found::Supervised).map_err(|error| refuse(error.into()))
}

/// The control group of the container with this run directory: its owner's, or the one named like it.
/// `None`: the directory is not a container's.
pub(super) fn group_of(run_dir: &Path, container: &str) -> Option<GroupName> {
    match Owner::read(run_dir) {
        Ok(Some(Owner::Supervisor(supervisor))) => Some(supervisor.group),
        _ => GroupName::new(container).ok(),
    }
}
