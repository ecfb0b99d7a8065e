//! Limits that the kernel holds each process of a container to.
//!
//! Source: setrlimit(2); Mesos, isolator `posix/rlimits`.

use lonja_model::privileges::{Rlimit, RlimitKind};
use serde::{Deserialize, Serialize};

use super::kernel;
use crate::supervisor::report::{Failure, FailureReason};

/// The kernel's word for no limit.
const UNLIMITED: u64 = u64::MAX;

/// One limit of each process, as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimit {
    /// The kernel's number of the resource.
    resource: u8,
    /// Soft limit; the largest number: none.
    soft: u64,
    /// Hard limit; the largest number: none.
    hard: u64,
    /// Less will do where the agent itself has less: it is a default, and nobody asked for it.
    at_most: bool,
}

impl ProcessLimit {
    /// A limit that somebody asked for: it is set, or the container does not start.
    pub fn asked_for(limit: &Rlimit) -> Self {
        Self {
            resource: limit.kind().kernel(),
            soft: limit.soft().unwrap_or(UNLIMITED),
            hard: limit.hard().unwrap_or(UNLIMITED),
            at_most: false,
        }
    }

    /// A limit that is lower where the agent's own is.
    pub(crate) const fn at_most(resource: u8, soft: u64, hard: u64) -> Self {
        Self { resource, soft, hard, at_most: true }
    }

    /// Which limit it is, for people.
    pub fn name(&self) -> &'static str {
        RlimitKind::from_kernel(self.resource).map_or("UNKNOWN", RlimitKind::name)
    }

    /// Whether both are about the same resource.
    pub fn replaces(&self, other: &Self) -> bool {
        self.resource == other.resource
    }
}

impl std::fmt::Display for ProcessLimit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}={}:{}", self.name(), amount(self.soft), amount(self.hard))
    }
}

fn amount(number: u64) -> String {
    if number == UNLIMITED { "unlimited".to_owned() } else { number.to_string() }
}

fn refuse(limit: &ProcessLimit, own: u64, error: &std::io::Error) -> Failure {
    let own = amount(own);
    let cannot = format!("cannot set the process limit {limit}");
    let message = if error.raw_os_error() == Some(libc::EPERM) {
        format!(
            "{cannot}: the agent's own hard limit is {own}, and raising it needs CAP_SYS_RESOURCE, which the agent \
             does not have; ask for at most {own}, or start the agent with more"
        )
    } else {
        format!("{cannot}: {}", crate::supervisor::task::plain(error))
    };
    Failure::new(FailureReason::Confinement, message)
}

/// Sets the limits of this process.
pub(super) fn apply(limits: &[ProcessLimit]) -> Result<(), Failure> {
    for limit in limits {
        let own = kernel::set_limit(0, limit.resource, None);
        let (_, own_hard) = own.map_err(|error| refuse(limit, UNLIMITED, &error))?;
        let hard = if limit.at_most { limit.hard.min(own_hard) } else { limit.hard };
        let soft = limit.soft.min(hard);
        let set = kernel::set_limit(0, limit.resource, Some((soft, hard)));
        set.map_err(|error| refuse(limit, own_hard, &error))?;
    }
    Ok(())
}

/// Raises hard limits of a container's init, by a process outside the container: inside a user namespace nobody may.
pub(super) fn raise(init: i32, limits: &[ProcessLimit]) -> Result<(), Failure> {
    for limit in limits.iter().filter(|limit| !limit.at_most) {
        let own = kernel::set_limit(0, limit.resource, None);
        let (soft, own_hard) = own.map_err(|error| refuse(limit, UNLIMITED, &error))?;
        if limit.hard > own_hard {
            // Init keeps its soft limit, the one that it feels.
            let raised = kernel::set_limit(init, limit.resource, Some((soft, limit.hard)));
            raised.map_err(|error| refuse(limit, own_hard, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_as_it_is_asked_for() {
        let limit = ProcessLimit::asked_for(&"NOFILE=1024:unlimited".parse().unwrap());
        assert_eq!(limit.to_string(), "NOFILE=1024:unlimited");
        assert_eq!((limit.resource, limit.hard), (7, u64::MAX));
    }

    #[test]
    fn a_refused_raise_says_what_is_missing() {
        let limit = ProcessLimit::asked_for(&"NOFILE=2000000".parse().unwrap());
        let failure = refuse(&limit, 20_000, &std::io::Error::from_raw_os_error(libc::EPERM));
        assert!(failure.message.contains("CAP_SYS_RESOURCE"), "{}", failure.message);
        assert!(failure.message.contains("20000"), "{}", failure.message);
    }
}
