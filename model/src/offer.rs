//! Offers and what keeps them away.

use std::time::Duration;

use crate::agent::Domain;
use crate::attributes::Attributes;
use crate::ids::{AgentId, ExecutorId, FrameworkId, OfferId};
use crate::maintenance::Unavailability;
use crate::resources::{Quantities, Resources};
use crate::role::Role;

/// A lease on part of one agent, made to one framework for one role. It ends exactly once: accepted,
/// declined, rescinded or expired (INV-3).
///
/// The role stands here and not in each resource, as it does on the Mesos wire: all of an offer is for
/// one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Never used again.
    pub id: OfferId,
    /// To whom.
    pub framework: FrameworkId,
    /// Of which agent.
    pub agent: AgentId,
    /// For which of the framework's roles.
    pub role: Role,
    /// Where the agent is reached by name.
    pub hostname: String,
    /// The port of the agent's API.
    pub port: u16,
    /// What is leased.
    pub resources: Resources,
    /// The agent's attributes.
    pub attributes: Attributes,
    /// The agent's place.
    pub domain: Option<Domain>,
    /// Executors of this framework that already run there.
    pub executors: Vec<ExecutorId>,
    /// When the agent will not be usable, if its machine is to be maintained.
    pub unavailability: Option<Unavailability>,
}

/// Asks a framework to leave an agent, all of it, before it becomes unavailable. Nothing is forced by it. There is
/// at most one for each framework and agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// Never used again; of one kind with the ids of offers.
    pub id: OfferId,
    /// Who is asked.
    pub framework: FrameworkId,
    /// What is to be left.
    pub agent: AgentId,
    /// When.
    pub unavailability: Unavailability,
}

/// What a framework would like to be offered: a meaning that the allocator takes to heart (Mesos ignores it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    /// On this agent only; `None`: anywhere.
    pub agent: Option<AgentId>,
    /// For which of its roles; `None`: all.
    pub role: Option<Role>,
    /// An offer is of use if it holds at least this much.
    pub needs: Quantities,
}

/// How long what was refused stays away.
///
/// While it lasts, no offer of that agent for that role is made whose resources the refused ones
/// contain: more than was refused gets through, less stays away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters {
    /// From the moment of refusal; zero: no filter.
    pub refuse: Duration,
}

impl Filters {
    /// What Mesos takes when a call names none: 5 seconds.
    pub const DEFAULT: Self = Self { refuse: Duration::from_secs(5) };
    /// Offer it again at once.
    pub const NONE: Self = Self { refuse: Duration::ZERO };
    /// The longest refusal, 365 days; longer ones are cut to it.
    pub const MAX: Duration = Duration::from_secs(365 * 24 * 3600);
}

impl Default for Filters {
    fn default() -> Self {
        Self::DEFAULT
    }
}
