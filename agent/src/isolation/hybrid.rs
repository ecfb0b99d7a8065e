//! v1 limits beside a v2 tree, which has at most the controllers that v1 left it, such as that of huge pages.
//!
//! Limits and counters come from v1 where it has them. Killing and "nothing is left" come from v2, whose `cgroup.kill`
//! hits every process at once however fast they fork, and whose `cgroup.events` counts exactly.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use super::v1::V1Cgroup;
use super::v2::V2Cgroup;
use super::{Cgroup, IsolationError, Limits, OomWatch, Usage};

pub(super) struct HybridCgroup {
    pub(super) limits: V1Cgroup,
    pub(super) core: V2Cgroup,
}

impl Cgroup for HybridCgroup {
    fn create(&self) -> Result<(), IsolationError> {
        self.limits.create()?;
        self.core.create()
    }

    fn limit(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.limits.limit(limits)?;
        if !self.limits.has_huge_pages() {
            self.core.limit_huge_pages(limits)?;
        }
        match &limits.devices {
            Some(rules) if !self.limits.has_devices() => self.core.limit_devices(rules),
            _ => Ok(()),
        }
    }

    fn resize(&self, limits: &Limits) -> Result<(), IsolationError> {
        self.limits.resize(limits)?;
        if self.limits.has_huge_pages() { Ok(()) } else { self.core.limit_huge_pages(limits) }
    }

    fn attach(&self, pid: i32) -> Result<(), IsolationError> {
        self.core.attach(pid)?;
        self.limits.attach(pid)
    }

    fn birthplace(&self) -> Option<OwnedFd> {
        self.core.open()
    }

    fn attach_newborn(&self, pid: i32) -> Result<(), IsolationError> {
        self.limits.attach(pid)
    }

    fn kill_all(&self) -> Result<(), IsolationError> {
        self.core.kill_all()?;
        self.limits.kill_all()
    }

    fn oom_kills(&self) -> Result<u64, IsolationError> {
        self.limits.oom_kills()
    }

    fn forks_refused(&self) -> Result<u64, IsolationError> {
        self.limits.forks_refused()
    }

    fn oom_watch(&self) -> Result<Option<OomWatch>, IsolationError> {
        self.limits.oom_watch()
    }

    fn memory_peak(&self) -> Result<u64, IsolationError> {
        self.limits.memory_peak()
    }

    fn is_populated(&self) -> Result<bool, IsolationError> {
        // Both: a process between the two moves of an attach is in one of them only.
        Ok(self.core.is_populated()? || self.limits.is_populated()?)
    }

    fn members(&self) -> Result<BTreeSet<i32>, IsolationError> {
        self.core.members()
    }

    fn usage(&self) -> Result<Usage, IsolationError> {
        Ok(Usage { pressure: self.core.pressure(), ..self.limits.usage()? })
    }

    fn remove(&self) -> Result<(), IsolationError> {
        self.limits.remove()?;
        self.core.remove()
    }
}
