//! May this framework be offered this agent at all, and what of it may it see?
//!
//! What an agent is and what a framework understands and asks for decide here, apart from whose turn it is:
//!
//! | rule | holds for frameworks without | what happens |
//! |---|---|---|
//! | agents with GPUs stay hidden ([`crate::Options::reserve_gpu_agents`]) | `GPU_RESOURCES` | no offer of the agent |
//! | agents of another region than the master's stay hidden | `REGION_AWARE` | no offer of the agent |
//! | offer constraints of the role | | no offer of the agent for the role |
//! | what may be taken back | `REVOCABLE_RESOURCES` | left out of offers |
//! | shared volumes | `SHARED_RESOURCES` | left out of offers |
//! | reservations made below other reservations | `RESERVATION_REFINEMENT` | left out of offers |
//!
//! An agent that does not say where it is counts as near, as does every agent while the master does not say where
//! it is. There is no rule for agents that know no roles: every agent of ours knows them.
//!
//! Invariants
//! - [`why_not`] depends on its arguments alone and never on what is free, so that its verdict may be kept for as
//!   long as they stay the same. Who changes facts drops the verdicts that rest on them.
//! - Whether [`why_not`] finds a reason is what [`is_eligible`] tells, only faster.
//!
//! Source: Mesos, options `filter_gpu_resources`, `domain` and `min_allocatable_resources`; capabilities of frameworks
//! in the v1 scheduler API.

use std::collections::BTreeSet;
use std::fmt;

use lonja_model::framework::Capability;
use lonja_model::resources::Resource;
use lonja_model::{AgentId, FrameworkId, Role};

use crate::constraints::UnmetConstraint;
use crate::frameworks::FrameworkFacts;
use crate::{AgentFacts, Allocator, Options};

/// The name under which GPUs are counted.
pub(crate) const GPUS: &str = "gpus";

/// Why a framework gets no offers of an agent for a role, whatever is free there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ineligible {
    /// The agent has GPUs, and the framework does not say that it understands them.
    GpuAgent,
    /// The agent is in another region than the master, and the framework does not say that it cares for regions.
    RemoteRegion {
        /// The agent's.
        agent: String,
        /// The master's.
        master: String,
    },
    /// The framework's own offer constraints for the role.
    Constraints(UnmetConstraint),
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GpuAgent => f.write_str(
                "the agent has GPUs, which are kept for frameworks with the capability GPU_RESOURCES",
            ),
            Self::RemoteRegion { agent, master } => write!(
                f,
                "the agent is in region {agent}, the master in {master}; other regions are offered to frameworks \
                 with the capability REGION_AWARE"
            ),
            Self::Constraints(unmet) => write!(f, "offer constraints: {unmet}"),
        }
    }
}

impl std::error::Error for Ineligible {}

/// Why the framework gets no offers of the agent for the role, if it gets none whatever is free there.
/// `has_gpus`: does its total hold any?
pub(crate) fn why_not(
    options: &Options,
    framework: &FrameworkFacts,
    role: &Role,
    agent: &AgentFacts,
    has_gpus: bool,
) -> Option<Ineligible> {
    hidden(options, framework, agent, has_gpus)
        .or_else(|| framework.constraints.unmet(role, agent).map(Ineligible::Constraints))
}

/// Is there no reason to be found by [`why_not`]?
pub(crate) fn is_eligible(
    options: &Options,
    framework: &FrameworkFacts,
    role: &Role,
    agent: &AgentFacts,
    has_gpus: bool,
) -> bool {
    hidden(options, framework, agent, has_gpus).is_none() && framework.constraints.admit(role, agent)
}

/// Does nothing but offer constraints keep any framework from the agent?
pub(crate) fn is_for_everyone(options: &Options, agent: &AgentFacts, has_gpus: bool) -> bool {
    hidden(options, &FrameworkFacts::default(), agent, has_gpus).is_none()
}

fn hidden(
    options: &Options,
    framework: &FrameworkFacts,
    agent: &AgentFacts,
    has_gpus: bool,
) -> Option<Ineligible> {
    let can = |capability| framework.capabilities.contains(&capability);
    // Frameworks that do not understand GPUs skip agents with GPUs, or CPU tasks would fill them up.
    if options.reserve_gpu_agents && has_gpus && !can(Capability::GpuResources) {
        return Some(Ineligible::GpuAgent);
    }
    let (Some(master), Some(agent)) = (&options.domain, &agent.domain) else { return None };
    if master.region != agent.region && !can(Capability::RegionAware) {
        let (agent, master) = (agent.region.clone(), master.region.clone());
        return Some(Ineligible::RemoteRegion { agent, master });
    }
    None
}

/// Which of the kinds of resources that take some understanding a framework may see. There are eight of these,
/// so that what an agent shows to all frameworks can be kept in as many forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sight {
    revocable: bool,
    shared: bool,
    refined: bool,
}

impl Sight {
    /// What frameworks with these capabilities see.
    pub(crate) fn of(capabilities: &BTreeSet<Capability>) -> Self {
        Self {
            revocable: capabilities.contains(&Capability::RevocableResources),
            shared: capabilities.contains(&Capability::SharedResources),
            refined: capabilities.contains(&Capability::ReservationRefinement),
        }
    }

    /// May this be shown?
    pub(crate) fn sees(self, resource: &Resource) -> bool {
        let metadata = resource.metadata();
        (self.revocable || !metadata.revocable)
            && (self.shared || !metadata.shared)
            && (self.refined || metadata.reservations.len() < 2)
    }
}

impl Allocator {
    /// Why the framework gets no offers of the agent for the role, whatever is free there; `None`: nothing of
    /// what the two are stands in the way, or one of them is not known.
    pub fn why_ineligible(
        &self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
    ) -> Option<Ineligible> {
        let framework = self.frameworks.get(framework)?;
        let agent = self.agents.find(agent)?;
        why_not(&self.options, &framework.facts, role, &agent.facts, agent.has_gpus())
    }
}

#[cfg(test)]
mod tests;
