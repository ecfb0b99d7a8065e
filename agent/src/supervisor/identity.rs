//! Who a process is, beyond its pid; and which supervisor, if any, owns a container.
//!
//! Invariants
//! - A container has one owner for ever: the file `owner` is linked into place whole, once. Either a
//!   supervisor claims the container and may start it, or an agent abandons it and nobody ever will.
//! - A pid is believed only with the start time and boot it was noted with, so that a reused pid is
//!   never adopted or signalled.
//!
//! Source: proc(5), field 22 of `/proc/pid/stat`; pidfd_open(2).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::isolation::GroupName;

/// One process, distinguishable from any other before or after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its pid in the agent's pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks after boot.
    pub start_time: u64,
    /// Which boot of the host that was.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// The calling process.
    pub fn own() -> io::Result<Self> {
        Ok(Self {
            pid: i32::try_from(std::process::id()).map_err(io::Error::other)?,
            start_time: start_time("self")?,
            boot_id: boot_id()?,
        })
    }

    /// A handle on the process, or `None` when it is gone: its pid is free, or another's.
    ///
    /// A zombie still counts as the process; its handle is readable at once.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        if self.boot_id != boot_id()? {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.pid > 0) else {
            return Ok(None);
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Whatever the handle is on, it keeps its pid until reaped: read the start time after opening.
        match start_time(&self.pid.to_string()) {
            Ok(start_time) if start_time == self.start_time => Ok(Some(handle)),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// When this process, a pid or `self`, started, in clock ticks after boot.
pub(crate) fn start_time(process: &str) -> io::Result<u64> {
    stat_field(process, 22)
}

/// The pid of this process's parent.
pub(crate) fn parent(pid: i32) -> io::Result<i32> {
    stat_field(&pid.to_string(), 4)
}

/// A field of `/proc/pid/stat`, numbered as in proc(5), from 3 on.
fn stat_field<T: std::str::FromStr>(process: &str, number: usize) -> io::Result<T> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command name, in parentheses, may itself hold spaces and parentheses.
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    after_name
        .and_then(|rest| rest.split(' ').nth(number.saturating_sub(3)))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/*/stat has no field {number}")))
}

/// Milliseconds since this boot of the host, suspended time included, to the nearest ten.
pub(crate) fn since_boot_ms() -> io::Result<u64> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let read = || {
        let (seconds, hundredths) = uptime.split(' ').next()?.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000 + hundredths.parse::<u64>().ok()? * 10)
    };
    read().ok_or_else(|| io::Error::other("/proc/uptime holds no time"))
}

/// The identity of this boot of the host.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// A container's supervisor and where its container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// The supervisor's process.
    pub process: ProcessIdentity,
    /// The container's control group, which need not be named like the container.
    pub group: GroupName,
}

/// Who decides what becomes of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A supervisor runs it, or ran it.
    Supervisor(Supervisor),
    /// An agent gave it up before any supervisor claimed it; it never runs.
    Abandoned,
}

/// Why the owner of a container is not known.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The file cannot be written or read.
    #[error("cannot access {}", path.display())]
    Io {
        /// The owner file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The file is not an owner record.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The owner file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

impl Owner {
    /// Name of the owner's file in the run directory.
    pub const FILE: &'static str = "owner";

    /// Makes `self` the owner, unless there is one. Returns whether it became so.
    pub fn claim(&self, run_dir: &Path) -> Result<bool, OwnerError> {
        let path = run_dir.join(Self::FILE);
        let temporary = run_dir.join(format!("{}.{}", Self::FILE, std::process::id()));
        let refused = |source| OwnerError::Io { path: path.clone(), source };
        let text =
            serde_json::to_vec(self).map_err(|source| OwnerError::Damaged { path: path.clone(), source })?;
        fs::write(&temporary, text).map_err(refused)?;
        // A hard link appears whole or not at all, and never replaces another owner.
        let linked = fs::hard_link(&temporary, &path);
        let _ = fs::remove_file(&temporary);
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    /// The owner, if there is one yet.
    pub fn read(run_dir: &Path) -> Result<Option<Self>, OwnerError> {
        let path = run_dir.join(Self::FILE);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|source| OwnerError::Damaged { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OwnerError::Io { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_whole_identity_only() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.open().unwrap().is_some());

        let earlier = ProcessIdentity { start_time: own.start_time - 1, ..own.clone() };
        let other_boot = ProcessIdentity { boot_id: "another".into(), ..own };
        assert!(earlier.open().unwrap().is_none());
        assert!(other_boot.open().unwrap().is_none());
    }

    #[test]
    fn time_since_boot_goes_on_and_is_that_of_start_times() {
        let own = ProcessIdentity::own().unwrap();
        let now = since_boot_ms().unwrap();
        // Start times are counted in hundredths of a second everywhere that Linux runs containers.
        assert!(own.start_time * 10 <= now + 20 && since_boot_ms().unwrap() >= now);
    }

    #[test]
    fn the_first_owner_stays() {
        let run_dir = tempfile::tempdir().unwrap();
        let supervisor = Owner::Supervisor(Supervisor {
            process: ProcessIdentity::own().unwrap(),
            group: GroupName::new("c1").unwrap(),
        });

        assert!(Owner::Abandoned.claim(run_dir.path()).unwrap());
        assert!(!supervisor.claim(run_dir.path()).unwrap());

        let owner = Owner::read(run_dir.path()).unwrap();
        assert_eq!(owner, Some(Owner::Abandoned));
        assert_eq!(fs::read_dir(run_dir.path()).unwrap().count(), 1);
    }
}
