//! Why instances are not launched: what became of the offers that were looked at for them.
//!
//! Source: Marathon's queue and its reject reasons.

use std::collections::BTreeMap;

use lonja_model::{AgentId, Offer, Timestamp};

/// Why an offer was not used, in the order in which it is asked; each offer counts at the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is for another role, or reserved for one that may not be used.
    UnfulfilledRole,
    /// A constraint, or an affinity, does not hold there.
    UnfulfilledConstraint,
    /// The data of the instance are elsewhere.
    NoCorrespondingReservationFound,
    /// The agent is to be maintained.
    AgentMaintenance,
    /// Not as many CPUs.
    InsufficientCpus,
    /// Not as much memory.
    InsufficientMemory,
    /// Not as much disk.
    InsufficientDisk,
    /// Not as many GPUs.
    InsufficientGpus,
    /// Not as many ports, or not those that are asked for.
    InsufficientPorts,
    /// Its GPUs are kept for who needs them.
    DeclinedScarceResources,
}

impl Reason {
    /// All, in their order.
    pub const ALL: [Self; 10] = [
        Self::UnfulfilledRole,
        Self::UnfulfilledConstraint,
        Self::NoCorrespondingReservationFound,
        Self::AgentMaintenance,
        Self::InsufficientCpus,
        Self::InsufficientMemory,
        Self::InsufficientDisk,
        Self::InsufficientGpus,
        Self::InsufficientPorts,
        Self::DeclinedScarceResources,
    ];

    /// As the API names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnfulfilledRole => "UnfulfilledRole",
            Self::UnfulfilledConstraint => "UnfulfilledConstraint",
            Self::NoCorrespondingReservationFound => "NoCorrespondingReservationFound",
            Self::AgentMaintenance => "AgentMaintenance",
            Self::InsufficientCpus => "InsufficientCpus",
            Self::InsufficientMemory => "InsufficientMemory",
            Self::InsufficientDisk => "InsufficientDisk",
            Self::InsufficientGpus => "InsufficientGpus",
            Self::InsufficientPorts => "InsufficientPorts",
            Self::DeclinedScarceResources => "DeclinedScarceResources",
        }
    }
}

/// Why one offer was not used: the first reason, and in words what would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The first that holds.
    pub reason: Reason,
    /// For people, such as `hostname UNIQUE: 1 instance is on host-1` or `2 CPUs are asked for, 1.5 are there`.
    pub detail: String,
}

/// An offer that was not used.
#[derive(Clone, Debug)]
pub struct UnusedOffer {
    /// It.
    pub offer: Offer,
    /// Why not.
    pub rejection: Rejection,
    /// When.
    pub at: Timestamp,
}

/// What became of the offers that were looked at for one app or pod since it began to wait.
#[derive(Clone, Debug, Default)]
pub struct ProcessedOffers {
    /// How many were looked at.
    pub processed: u64,
    /// How many of them were not used.
    pub unused: u64,
    /// When one was last not used.
    pub last_unused_at: Option<Timestamp>,
    /// When one was last used.
    pub last_used_at: Option<Timestamp>,
    /// How often each reason was the first, since it began to wait.
    pub rejected: BTreeMap<Reason, u64>,
    /// The last offer of each agent, if it was not used; the latest of at most [`MAX_UNUSED`] agents.
    pub last_unused: BTreeMap<AgentId, UnusedOffer>,
}

/// The most agents whose last offer is remembered for one app or pod.
pub const MAX_UNUSED: usize = 64;

/// Instances of an app or pod that wait to be launched.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// How many.
    pub count: u32,
    /// Since when any does.
    pub since: Timestamp,
    /// No launch before this; none: they wait for offers.
    pub delayed_until: Option<Timestamp>,
}
