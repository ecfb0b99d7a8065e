//! What a framework says of itself when it subscribes.
//!
//! Source: Mesos v1 `FrameworkInfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::labels::Labels;
use crate::resources::Quantities;
use crate::role::Role;

/// One framework's description. Its id stands beside it, never inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkInfo {
    /// The user its tasks run as unless they name another. Cannot change while the framework lives.
    pub user: String,
    /// For people.
    pub name: String,
    /// How long its tasks outlive a lost connection; zero: removed at once. A framework that is away for longer is removed
    /// for good, so one that keeps its id to come back needs more than the minute of [`FrameworkInfo::named`].
    pub failover_timeout: Duration,
    /// Whether its tasks survive a restart of the agent. Lonja's always do; kept for Mesos clients.
    pub checkpoint: bool,
    /// Where its scheduler runs, for people.
    pub hostname: Option<String>,
    /// Who it authenticated as. Cannot change while the framework lives.
    pub principal: Option<String>,
    /// A page about it, for people.
    pub webui_url: Option<String>,
    /// What it understands.
    pub capabilities: BTreeSet<Capability>,
    /// Carried, never read.
    pub labels: Labels,
    /// The roles it wants offers for; never empty.
    pub roles: BTreeSet<Role>,
    /// For a role: the least an offer must hold, as alternatives; no alternatives: no minimum.
    pub minimum_offers: BTreeMap<Role, Vec<Quantities>>,
}

impl FrameworkInfo {
    /// A framework called `name`, in the default role, whose tasks run as root and outlive a lost connection by a minute. It
    /// understands partitions, kills under way, several roles and refined reservations.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            user: "root".to_owned(),
            name: name.into(),
            failover_timeout: Duration::from_secs(60),
            checkpoint: true,
            hostname: None,
            principal: None,
            webui_url: None,
            capabilities: BTreeSet::from([
                Capability::PartitionAware,
                Capability::MultiRole,
                Capability::ReservationRefinement,
                Capability::TaskKillingState,
            ]),
            labels: Labels::default(),
            roles: BTreeSet::from([Role::default_role()]),
            minimum_offers: BTreeMap::new(),
        }
    }
}

/// An optional part of the protocol that a framework says it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// May be offered resources that can be taken back.
    RevocableResources,
    /// Knows the state KILLING.
    TaskKillingState,
    /// May be offered agents that have GPUs.
    GpuResources,
    /// May be offered shared volumes.
    SharedResources,
    /// Knows UNREACHABLE, DROPPED, GONE, GONE_BY_OPERATOR and UNKNOWN; without it they arrive as LOST.
    PartitionAware,
    /// Names its roles in `roles`, and sees the role of each offer.
    MultiRole,
    /// Understands reservations made below other reservations.
    ReservationRefinement,
    /// May be offered agents of other regions.
    RegionAware,
}

impl FrameworkInfo {
    /// Does the framework understand `capability`?
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}
