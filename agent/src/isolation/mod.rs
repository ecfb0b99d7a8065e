//! Limits on what a container may use, and the certainty that it is gone.
//!
//! Every container has one control group, named `lonja/<instance>/<group>` below the root of each
//! hierarchy, where the group is named like the container or like the spare it was made for. The trait [`Cgroup`] hides which of the three kinds of host this is: v1 (one hierarchy
//! per controller), v2 (one hierarchy for all) or hybrid (v1 limits beside a v2 tree without
//! controllers, whose `cgroup.kill` and `cgroup.events` v1 lacks).
//!
//! Invariants
//! - An agent instance touches `lonja/<its own instance>` and nothing beside it.
//! - What cannot be enforced is listed by [`Layout::what_is_enforced`]; nothing is skipped in silence.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`; docs/design.md, D8.

mod device_program;
mod devices;
mod figures;
mod files;
mod hybrid;
mod io;
mod layout;
mod limits;
mod names;
mod nested;
mod processes;
mod unlimited;
mod usage;
mod v1;
mod v2;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

pub(crate) use figures::network_of;

pub use devices::{DeviceAccess, DeviceKind, DeviceRule};
pub use files::IsolationError;
pub use io::{IoLimits, IoThrottle, disk_of};
pub use layout::{Enforcement, Layout, LimitKind, V1Roots};
pub use limits::{Limits, Swap};
pub use names::{ContainerId, GroupName, InstanceId, NameError};
pub use nested::{NestedGroup, NestedGroupName};
pub use usage::{CpuUsage, DeviceIo, MemoryUsage, NetworkUsage, Pressure, Stall, Usage};

/// A file descriptor that becomes ready when the container may have run out of memory.
#[derive(Debug)]
pub struct OomWatch {
    /// Poll this for `events`.
    pub fd: OwnedFd,
    /// `POLLIN` for a v1 eventfd, `POLLPRI` for v2 `memory.events`.
    pub events: libc::c_short,
}

impl OomWatch {
    /// Makes the descriptor quiet until the next event.
    pub fn acknowledge(&self) {
        let mut buffer = [0_u8; 512];
        if self.events == libc::POLLIN {
            let _ = rustix::io::read(&self.fd, &mut buffer);
        } else {
            // kernfs reports POLLPRI until the file was read again from its start.
            let _ = rustix::io::pread(&self.fd, &mut buffer, 0);
        }
    }
}

/// One container's control group, on whatever kind of host.
pub trait Cgroup {
    /// Makes the group, and its parents, without limits. Nothing runs in it yet.
    fn create(&self) -> Result<(), IsolationError>;
    /// Holds what runs in the group, now and later, to these limits. No process is moved: this is quick.
    fn limit(&self, limits: &Limits) -> Result<(), IsolationError>;
    /// Holds what runs in the group to other limits in cpus, memory and huge pages; nothing else of them is looked at. Memory
    /// that may be used is never taken away again: what is in use could not be given back.
    fn resize(&self, limits: &Limits) -> Result<(), IsolationError>;
    /// Moves the process in; children it forks later are born in the group.
    fn attach(&self, pid: i32) -> Result<(), IsolationError>;
    /// The directory to be born in (`CLONE_INTO_CGROUP`); `None` where a process can only be moved in afterwards.
    fn birthplace(&self) -> Option<OwnedFd> {
        None
    }
    /// As [`Cgroup::attach`], for a process born in the [`Cgroup::birthplace`].
    fn attach_newborn(&self, pid: i32) -> Result<(), IsolationError> {
        self.attach(pid)
    }
    /// Sends SIGKILL to every process in the group. Returns before they are gone.
    fn kill_all(&self) -> Result<(), IsolationError>;
    /// Processes the kernel has killed here for want of memory.
    fn oom_kills(&self) -> Result<u64, IsolationError>;
    /// Forks that the limit on processes has refused.
    fn forks_refused(&self) -> Result<u64, IsolationError>;
    /// Something to poll for memory breaches; `None` where memory is not limited.
    fn oom_watch(&self) -> Result<Option<OomWatch>, IsolationError>;
    /// The most memory in use at any moment, in bytes; 0 where it is not counted.
    fn memory_peak(&self) -> Result<u64, IsolationError>;
    /// Whether any process, zombies not counted on v2, is in the group.
    fn is_populated(&self) -> Result<bool, IsolationError>;
    /// The processes in the group, by their pids out here.
    fn members(&self) -> Result<BTreeSet<i32>, IsolationError>;
    /// What the container uses now; [`Usage::network`] is not told here.
    fn usage(&self) -> Result<Usage, IsolationError>;
    /// Removes the group. It must be empty; waits a bounded time for the kernel to notice.
    fn remove(&self) -> Result<(), IsolationError>;
}

/// Kills all that is in the group and waits until nothing is, at most `patience`.
///
/// Errors: the kernel refused, or something still runs after `patience`.
pub fn empty(cgroup: &dyn Cgroup, patience: std::time::Duration) -> Result<(), IsolationError> {
    let started = std::time::Instant::now();
    let mut pause = std::time::Duration::from_micros(200);
    while cgroup.is_populated()? {
        cgroup.kill_all()?;
        if started.elapsed() > patience {
            return Err(IsolationError::StillPopulated);
        }
        // v1 tells nobody when a group empties, so its list of processes is read again.
        std::thread::sleep(pause);
        pause = (pause * 2).min(std::time::Duration::from_millis(20));
    }
    Ok(())
}
