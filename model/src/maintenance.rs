//! Times in which machines or agents are not to be used: announced, prepared, carried out.
//!
//! Maintenance (of machines, planned ahead) and draining (of one agent, from now on) are one model: an agent has a
//! [`Duty`], and a machine in the schedule announces an [`Unavailability`] to all who use its agents.
//!
//! Source: Mesos v1 `maintenance.Schedule`, `MachineInfo`, `DrainInfo`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::time::Timestamp;

/// One machine, which may run several agents. An agent is on the machine whose hostname it gives.
#[derive(Clone, Debug)]
pub struct MachineId {
    /// As its agents give it, in lower case.
    pub hostname: String,
    /// For people, and for Mesos clients; not compared.
    pub ip: Option<String>,
}

impl MachineId {
    /// The machine of that name, whichever case it is written in.
    pub fn named(hostname: &str) -> Self {
        Self { hostname: hostname.to_lowercase(), ip: None }
    }
}

impl PartialEq for MachineId {
    fn eq(&self, other: &Self) -> bool {
        self.hostname == other.hostname
    }
}

impl Eq for MachineId {}

impl PartialOrd for MachineId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MachineId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.hostname.cmp(&other.hostname)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hostname)
    }
}

/// From when and for how long something cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unavailability {
    /// From then on.
    pub start: Timestamp,
    /// `None`: nobody knows for how long.
    pub duration: Option<Duration>,
}

/// Where a machine stands that is in the schedule; others are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineMode {
    /// Its maintenance is announced: its agents are offered with their unavailability, and those who use them are
    /// asked to leave by inverse offers.
    Scheduled,
    /// Its maintenance has begun: its agents are out of the cluster and are not let in.
    Down,
}

/// One machine of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where it stands.
    pub mode: MachineMode,
    /// When it is to be maintained.
    pub unavailability: Unavailability,
}

/// All machines that are not simply up, by hostname.
pub type Machines = BTreeMap<MachineId, Machine>;

/// One window of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which machines, each in one window only.
    pub machines: Vec<MachineId>,
    /// When.
    pub unavailability: Unavailability,
}

/// Whether an agent takes on work. Tells nothing of whether it is there.
///
/// ```text
/// Active ──► Deactivated ──► Draining ──► Drained
///    └──────────────────────────▲  ▲─────────┘  (drained anew: other parameters, or tasks came back)
/// ```
///
/// From each of them there is one step back to Active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Duty {
    /// It is offered.
    #[default]
    Active,
    /// It is not offered; its tasks run on.
    Deactivated,
    /// It is not offered, and its tasks are being killed.
    Draining(Drain),
    /// It has no tasks left, and is not offered.
    Drained(Drain),
}

/// How an agent is drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// The longest grace period a task gets, whatever its own; `None`: its own. A task that names none gets this
    /// one: what its agent would give it is the agent's to know.
    pub max_grace: Option<Duration>,
    /// Whether the agent is called gone once it has no tasks left, or at once if it is unreachable.
    pub mark_gone: bool,
}

impl Duty {
    /// Is the agent offered?
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    /// How the agent is drained, while it is or once it has been.
    pub fn drain(&self) -> Option<Drain> {
        match self {
            Self::Active | Self::Deactivated => None,
            Self::Draining(drain) | Self::Drained(drain) => Some(*drain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_name_in_any_case_and_with_any_address() {
        let with_address = MachineId { hostname: "rack1-host7".into(), ip: Some("10.0.0.7".into()) };
        assert_eq!(MachineId::named("Rack1-Host7"), with_address);
        assert_ne!(MachineId::named("rack1-host8"), with_address);
    }
}
