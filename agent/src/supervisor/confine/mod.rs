//! The last things done to a process before it becomes the task: what it may ask of the kernel.
//!
//! In this order: limits of each process and the score by which the kernel chooses whom to kill when memory is
//! short, while root's power is still there to set them; the bounding set; user and groups; capabilities;
//! no_new_privs; the filter on system calls, after which only the exec follows.
//!
//! Invariants
//! - Nothing here can be undone by the task: sets only shrink, filters only add up.
//! - A confinement that cannot be had as described is a failure, never a weaker one.
//!
//! Source: execve(2), capabilities(7), seccomp(2), proc_pid_oom_score_adj(5).

pub(crate) mod capabilities;
mod kernel;
mod rlimits;
pub(crate) mod seccomp;

use std::fs;
use std::io;

use lonja_model::privileges::CapabilitySet;
use serde::{Deserialize, Serialize};

pub use rlimits::ProcessLimit;

use super::report::{Failure, FailureReason};
use super::sys;
use super::task::plain;
use super::user::TaskUser;

/// Tasks go before the host's daemons when the host's memory is short. Source: proc_pid_oom_score_adj(5).
const TASK_OOM_SCORE: i16 = 300;

/// Supervisors go last: with one, a whole container is lost, and it is small.
const SUPERVISOR_OOM_SCORE: i16 = -900;

const MIB: u64 = 1 << 20;

/// Limits of tasks that ask for none. No core dumps, which would hold what was in memory; as many files as a
/// program expects at first, and may raise; little locked memory.
const LIMITS: [ProcessLimit; 3] = [
    ProcessLimit::at_most(4, 0, 0),
    ProcessLimit::at_most(7, 1024, 1 << 19),
    ProcessLimit::at_most(8, 8 * MIB, 8 * MIB),
];

/// Which filter on system calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// None: the task may make every call.
    #[default]
    Off,
    /// What ordinary programs need.
    Default,
    /// Less: see the table.
    Hardened,
}

/// What a task may ask of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confinement {
    /// Capabilities that no process of the container can ever go beyond; `None`: the agent's own.
    #[serde(with = "bits")]
    pub bounding: Option<CapabilitySet>,
    /// Capabilities that the task begins with, whatever its user; `None`: all of `bounding` for root, none for others.
    #[serde(with = "bits")]
    pub effective: Option<CapabilitySet>,
    /// User 0 has no capabilities for being user 0.
    pub powerless_root: bool,
    /// Executing a file gives no power that was not there before.
    pub no_new_privs: bool,
    /// Which system calls it may make. Any filter implies `no_new_privs`.
    pub filter: Filter,
    /// Limits of each process.
    pub rlimits: Vec<ProcessLimit>,
    /// How gladly the kernel kills it when memory is short, -1000 to 1000; `None`: like the agent.
    pub oom_score_adj: Option<i16>,
}

/// Sets of capabilities as the kernel's numbers.
mod bits {
    use super::CapabilitySet;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(set: &Option<CapabilitySet>, to: S) -> Result<S::Ok, S::Error> {
        set.map(CapabilitySet::bits).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CapabilitySet>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(CapabilitySet::from_bits))
    }
}

impl Confinement {
    /// None beyond what the user of a task implies: the profile `host`.
    pub fn host() -> Self {
        Self { oom_score_adj: Some(TASK_OOM_SCORE), ..Self::default() }
    }

    /// For ordinary tasks.
    pub fn standard() -> Self {
        Self {
            bounding: Some(capabilities::DEFAULT),
            effective: None,
            powerless_root: false,
            no_new_privs: true,
            filter: Filter::Default,
            rlimits: LIMITS.to_vec(),
            oom_score_adj: Some(TASK_OOM_SCORE),
        }
    }

    /// For tasks that are trusted least: no capabilities, not even as root, and fewer calls.
    pub fn hardened() -> Self {
        Self {
            bounding: Some(CapabilitySet::EMPTY),
            powerless_root: true,
            filter: Filter::Hardened,
            ..Self::standard()
        }
    }

    /// Sets a limit, in place of the one that was there.
    pub fn limit(&mut self, limit: ProcessLimit) {
        self.rlimits.retain(|other| !limit.replaces(other));
        self.rlimits.push(limit);
    }
}

/// Confines this process for good, and makes it `user`'s. Call it last before exec, in a process with one thread,
/// in all of its namespaces, with root's power over its user namespace, and `/proc` its own.
pub(crate) fn apply(confinement: &Confinement, user: Option<&TaskUser>) -> Result<(), Failure> {
    rlimits::apply(&confinement.rlimits)?;
    if let Some(score) = confinement.oom_score_adj {
        set_oom_score("self", score).map_err(|error| refuse("cannot set oom_score_adj", &error))?;
    }
    let before = capabilities::own();
    if let Some(bounding) = confinement.bounding {
        capabilities::bound(bounding).map_err(|error| refuse("cannot shrink the bounding set", &error))?;
    }
    if confinement.powerless_root {
        kernel::make_root_powerless().map_err(|error| refuse("cannot make root powerless", &error))?;
    }
    let keeps = confinement.effective.is_some();
    if keeps && !confinement.powerless_root {
        kernel::keep_capabilities().map_err(|error| refuse("cannot keep capabilities", &error))?;
    }
    if let Some(user) = user {
        sys::become_user(user.uid, user.gid, &user.groups).map_err(|error| {
            let what = format!("cannot become uid {} gid {}", user.uid, user.gid);
            Failure::new(FailureReason::User, format!("{what}: {}", plain(&error)))
        })?;
    }
    hold_capabilities(confinement, before)?;
    if confinement.no_new_privs {
        kernel::no_new_privileges().map_err(|error| refuse("cannot set no_new_privs", &error))?;
    }
    filter_calls(confinement)
}

fn hold_capabilities(confinement: &Confinement, before: CapabilitySet) -> Result<(), Failure> {
    let Some(bounding) = confinement.bounding.or(confinement.effective) else { return Ok(()) };
    let is_root = rustix::process::geteuid().is_root();
    let held = match confinement.effective {
        Some(effective) => effective,
        // An ordinary user had none, and root none in the end if it is to be powerless.
        None if is_root && !confinement.powerless_root => bounding.intersection(before),
        None => CapabilitySet::EMPTY,
    };
    let missing = held.difference(before);
    if !missing.is_empty() {
        let message =
            format!("the agent cannot give the task capability {missing}, which it does not have itself");
        return Err(Failure::new(FailureReason::Confinement, message));
    }
    // Root's programs get theirs back by being root's, others only if handed on.
    let handed_on = confinement.effective.is_some() && (!is_root || confinement.powerless_root);
    capabilities::hold(held, handed_on).map_err(|error| refuse("cannot drop capabilities", &error))
}

fn filter_calls(confinement: &Confinement) -> Result<(), Failure> {
    let hardened = match confinement.filter {
        Filter::Off => return Ok(()),
        Filter::Default => false,
        Filter::Hardened => true,
    };
    let bounding = confinement.bounding.unwrap_or_else(CapabilitySet::full);
    seccomp::load(hardened, bounding)
        .map_err(|error| Failure::new(FailureReason::Confinement, error.to_string()))
}

fn refuse(what: &str, error: &io::Error) -> Failure {
    Failure::new(FailureReason::Confinement, format!("{what}: {}", plain(error)))
}

/// What only a process outside the container can do for it: raise hard limits, and set the least `oom_score_adj` that
/// its processes can go back to. `init` is the container's first process; it must not have been told to go.
pub(crate) fn apply_from_outside(confinement: &Confinement, init: i32) -> Result<(), Failure> {
    rlimits::raise(init, &confinement.rlimits)?;
    if let Some(score) = confinement.oom_score_adj {
        set_oom_score(&init.to_string(), score)
            .map_err(|error| refuse("cannot set oom_score_adj", &error))?;
    }
    Ok(())
}

/// Asks the kernel to spare this process when memory is short, where it may ask that at all.
pub(crate) fn be_spared() {
    let _ = set_oom_score("self", SUPERVISOR_OOM_SCORE);
}

/// Sets the score of a process, a pid or `self`; one that is higher already stays.
fn set_oom_score(process: &str, score: i16) -> io::Result<()> {
    let path = format!("/proc/{process}/oom_score_adj");
    match fs::write(&path, score.to_string()) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            // Only root may lower it: what started the agent wanted it higher.
            let now: i16 = fs::read_to_string(&path)?.trim().parse().map_err(io::Error::other)?;
            if now >= score { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}
