//! One allocation over what changed.
//!
//! Each agent to be looked at, by id: the first role in the order of weighted shares, and in it the first
//! framework in the order of shares, that may be offered what is free takes all that its role may use.
//! What is left, reserved for others, goes on to the next. Orders are brought up to date after each.
//!
//! Coarse on purpose: a framework sees whole agents, and with more frameworks than agents some wait until
//! others decline. Finer slices, and guarantees before fair shares, come with the complete allocator.
//!
//! Invariants
//! - Reserved resources go only to the role they are reserved for and to roles below it (INV-8).
//! - After a round, no agent that was looked at has anything free that someone in line may be offered.

use std::borrow::Cow;

use lonja_model::resources::Quantities;
use lonja_model::{AgentId, FrameworkId, Resources, Role};

use crate::agents::Agent;
use crate::eligibility::Sight;
use crate::frameworks::FrameworkFacts;
use crate::quotas::within_limits;
use crate::{Allocation, Allocator, eligibility};

impl Allocator {
    pub(crate) fn run_round(&mut self) -> Vec<Allocation> {
        let mut allocations = Vec::new();
        self.roles.refresh(self.agents.totals());
        for agent in self.agents.take_dirty() {
            while let Some(allocation) = self.next_allocation(&agent) {
                self.commit(&allocation);
                allocations.push(allocation);
            }
        }
        allocations
    }

    /// Who comes next for what is free on the agent, and what it gets.
    fn next_allocation(&mut self, id: &AgentId) -> Option<Allocation> {
        let agent = self.agents.get(id).filter(|agent| agent.is_active() && !agent.free().is_empty())?;
        let (quotas, agents) = (&self.quotas, &self.agents);
        let everything = Usable::new(agent.free().clone());
        let nothing_reserved = agent.free().iter().all(|resource| resource.reserved_for().is_none());
        let usable_by = |role: &Role| {
            let usable = if !quotas.is_empty() {
                let usable = agent.free().usable_by(role);
                Cow::Owned(Usable::new(within_limits(quotas, agents, role, usable)))
            } else if nothing_reserved {
                Cow::Borrowed(&everything)
            } else {
                Cow::Owned(Usable::new(agent.free().usable_by(role)))
            };
            (!usable.resources.is_empty()).then_some(usable)
        };
        let takes = |role: &Role, framework: &FrameworkId, usable: &Cow<'_, Usable>| {
            let Some(known) = self.frameworks.get(framework) else { return false };
            let seen = seen_by(&known.facts, usable);
            !seen.resources.is_empty()
                && eligibility::may_be_offered(&self.options, agent, &seen.quantities, known, role)
                && !self.filters.refuse(framework, role, id, &seen.resources)
        };
        let first = self.roles.first_in_line(self.agents.totals(), usable_by, takes);
        let (role, framework, usable) = first?;
        let seen = seen_by(&self.frameworks.get(&framework)?.facts, &usable).into_owned();
        Some(Allocation { framework, role, agent: id.clone(), resources: seen.resources })
    }

    fn commit(&mut self, allocation: &Allocation) {
        let Allocation { framework, role, agent, resources } = allocation;
        let free = self.agents.get(agent).map(Agent::free);
        assert!(free.is_some_and(|free| free.contains(resources)), "only what is free is given away (INV-1)");
        self.charge(agent, framework, role, resources).expect("the agent was looked at just now");
        self.roles.count_served(role, framework, self.agents.totals());
    }
}

/// What of `usable` the framework understands.
fn seen_by<'a>(facts: &FrameworkFacts, usable: &'a Usable) -> Cow<'a, Usable> {
    match Sight::of(&facts.capabilities).shape(&usable.resources) {
        Cow::Borrowed(_) => Cow::Borrowed(usable),
        Cow::Owned(seen) => Cow::Owned(Usable::new(seen)),
    }
}

/// What of an agent is free for one role.
#[derive(Clone, Debug)]
struct Usable {
    resources: Resources,
    quantities: Quantities,
}

impl Usable {
    fn new(resources: Resources) -> Self {
        Self { quantities: resources.quantities(), resources }
    }
}
