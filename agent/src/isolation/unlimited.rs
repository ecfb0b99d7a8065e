//! No control groups at all: an unprivileged agent without a delegated subtree.
//!
//! The pid namespace still kills a container whole; limits are not enforced, and
//! [`super::Layout::what_is_enforced`] says so.

use std::collections::BTreeSet;

use super::v1::no_io;
use super::{Cgroup, IsolationError, Limits, OomWatch, Usage};

pub(super) struct Unlimited;

impl Cgroup for Unlimited {
    fn create(&self) -> Result<(), IsolationError> {
        Ok(())
    }

    fn limit(&self, limits: &Limits) -> Result<(), IsolationError> {
        // Everything else is said at the agent's start; this one someone asked for by name.
        if limits.io.is_empty() { Ok(()) } else { Err(no_io("no control group can be written")) }
    }

    fn resize(&self, _: &Limits) -> Result<(), IsolationError> {
        Ok(())
    }

    fn attach(&self, _: i32) -> Result<(), IsolationError> {
        Ok(())
    }

    fn kill_all(&self) -> Result<(), IsolationError> {
        Ok(())
    }

    fn oom_kills(&self) -> Result<u64, IsolationError> {
        Ok(0)
    }

    fn forks_refused(&self) -> Result<u64, IsolationError> {
        Ok(0)
    }

    fn oom_watch(&self) -> Result<Option<OomWatch>, IsolationError> {
        Ok(None)
    }

    fn memory_peak(&self) -> Result<u64, IsolationError> {
        Ok(0)
    }

    fn is_populated(&self) -> Result<bool, IsolationError> {
        Ok(false)
    }

    fn members(&self) -> Result<BTreeSet<i32>, IsolationError> {
        Ok(BTreeSet::new())
    }

    fn usage(&self) -> Result<Usage, IsolationError> {
        Ok(Usage::default())
    }

    fn remove(&self) -> Result<(), IsolationError> {
        Ok(())
    }
}
