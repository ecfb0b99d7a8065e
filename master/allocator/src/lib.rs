//! Who should be offered what: facts in, allocations out.
//!
//! The master tells the allocator what changes (agents, frameworks, resources that come back) and asks
//! it to [`allocate`](Allocator::allocate). Only agents for which something changed are looked at
//! (`docs/design.md`, D4): work follows the change, not the cluster.
//!
//! Who is next: the role with the least dominant share over its weight, and in it the framework with the
//! least dominant share; it is offered all that its role may use of the agent. That an agent goes whole
//! to the first in line is this first allocator's policy, as it is Mesos'; finer slices come with quota
//! and hierarchical roles.
//!
//! Invariants
//! - On each agent free + allocated = total, exactly; where an agent came back smaller than what runs on it,
//!   the kinds that do not suffice have nothing free and a named debt.
//! - The shares of roles and frameworks are the sums of what they are allocated.
//! - Filters name known agents and frameworks only.
//!
//! Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011; Mesos' hierarchical allocator for filters.

mod agents;
mod eligibility;
mod filters;
mod round;
mod shares;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::framework::Capability;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{AgentId, AgentInfo, FrameworkId, Resources, Role, Timestamp};

use agents::Agent;
use filters::Filters;
use shares::Shares;

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct Options {
    /// The least that an offer must hold, as alternatives; a framework may name its own for a role.
    pub minimum: Vec<Quantities>,
    /// Hide agents that have GPUs from frameworks that do not say they want them.
    pub reserve_gpu_agents: bool,
}

impl Default for Options {
    /// As Mesos: 0.01 cpus or 32 MiB of memory.
    fn default() -> Self {
        let least = |name, thousandths| {
            Quantities::from_iter([(name, Scalar::from_thousandths(thousandths).unwrap_or_default())])
        };
        Self { minimum: vec![least("cpus", 10), least("mem", 32_000)], reserve_gpu_agents: true }
    }
}

/// What the allocator has to know of an agent beside its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Whether it has GPUs, in use or not.
    pub has_gpus: bool,
}

impl AgentFacts {
    /// Those of an agent that describes itself so.
    pub fn of(info: &AgentInfo) -> Self {
        Self { has_gpus: info.resources.iter().any(|resource| resource.name() == "gpus") }
    }
}

/// What the allocator has to know of a framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameworkFacts {
    /// The roles it subscribes with.
    pub roles: BTreeSet<Role>,
    /// What it understands.
    pub capabilities: BTreeSet<Capability>,
    /// For a role: the least that an offer must hold, as alternatives; no alternatives: no minimum.
    pub minimum_offers: BTreeMap<Role, Vec<Quantities>>,
    /// The roles it wants no offers for.
    pub suppressed: BTreeSet<Role>,
}

/// Resources of one agent for one framework in one of its roles. They count as allocated from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// To whom.
    pub framework: FrameworkId,
    /// For which of its roles.
    pub role: Role,
    /// Of which agent.
    pub agent: AgentId,
    /// What.
    pub resources: Resources,
}

/// A framework as the allocator sees it.
#[derive(Clone, Debug)]
struct Framework {
    facts: FrameworkFacts,
    active: bool,
}

/// The allocator. See the crate.
#[derive(Clone, Debug)]
pub struct Allocator {
    options: Options,
    agents: BTreeMap<AgentId, Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    shares: Shares,
    filters: Filters,
    /// Agents for which something changed since they were last looked at.
    dirty: BTreeSet<AgentId>,
    /// Active agents with something free: those that a newcomer may want.
    with_free: BTreeSet<AgentId>,
}

impl Allocator {
    /// An allocator that knows nobody.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            shares: Shares::default(),
            filters: Filters::default(),
            dirty: BTreeSet::new(),
            with_free: BTreeSet::new(),
        }
    }

    /// A new agent with `total` to give, active.
    ///
    /// # Panics
    /// If the agent is known already: the caller's mistake.
    pub fn add_agent(&mut self, id: AgentId, total: Resources, facts: AgentFacts) {
        self.shares.add_total(&total.quantities());
        let before = self.agents.insert(id.clone(), Agent::new(total, facts));
        assert!(before.is_none(), "an agent is added once");
        self.touch(&id);
    }

    /// A known agent has come back with another total. What is allocated stays; what it no longer covers
    /// becomes the agent's debt.
    pub fn update_agent_total(&mut self, id: &AgentId, total: Resources) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if agent.total != total {
            self.shares.remove_total(&agent.total.quantities());
            self.shares.add_total(&total.quantities());
            agent.set_total(total);
        }
        self.touch(id);
    }

    /// An agent leaves, and what is allocated on it with it.
    pub fn remove_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.remove(id) else { return };
        self.shares.remove_total(&agent.total.quantities());
        for ((framework, role), held) in &agent.allocated {
            self.shares.recover(framework, role, &held.quantities());
        }
        self.filters.remove_agent(id);
        self.dirty.remove(id);
        self.with_free.remove(id);
    }

    /// The agent's free resources may be offered.
    pub fn activate_agent(&mut self, id: &AgentId) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.active = true;
            self.touch(id);
        }
    }

    /// Nothing of the agent is offered until it is activated.
    pub fn deactivate_agent(&mut self, id: &AgentId) {
        if let Some(agent) = self.agents.get_mut(id) {
            agent.active = false;
            self.touch(id);
        }
    }

    /// A new framework, active.
    pub fn add_framework(&mut self, id: FrameworkId, facts: FrameworkFacts) {
        self.frameworks.insert(id.clone(), Framework { facts, active: true });
        self.list(&id);
    }

    /// A framework describes itself anew; whether it is active stays.
    pub fn update_framework(&mut self, id: &FrameworkId, facts: FrameworkFacts) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let before = std::mem::replace(&mut framework.facts, facts);
        self.unlist(id, &before);
        self.list(id);
    }

    /// The framework takes part.
    pub fn activate_framework(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.active = true;
            self.list(id);
        }
    }

    /// The framework is offered nothing until it is activated; its filters go.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.active = false;
        let facts = framework.facts.clone();
        self.unlist(id, &facts);
        self.filters.remove_framework(id);
    }

    /// The framework leaves. What its tasks hold stays allocated, and counted against its roles, until
    /// it is recovered or its agent leaves.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        self.deactivate_framework(id);
        self.frameworks.remove(id);
    }

    /// Gives a role a weight in thousandths; 1,000 is what every role has by default.
    ///
    /// # Panics
    /// If the weight is zero: the caller's mistake.
    pub fn set_weight(&mut self, role: Role, weight: Scalar) {
        assert!(weight > Scalar::ZERO, "a weight is above zero");
        self.shares.set_weight(role, weight);
    }

    /// No offers for these roles of the framework; no roles: all of its roles.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let chosen = if roles.is_empty() { framework.facts.roles.clone() } else { roles.clone() };
        for role in &chosen {
            self.shares.leave(role, id);
        }
        framework.facts.suppressed.extend(chosen);
    }

    /// Offers for these roles of the framework again, and its filters there go; no roles: all of its roles.
    pub fn revive(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let chosen = if roles.is_empty() { framework.facts.roles.clone() } else { roles.clone() };
        framework.facts.suppressed.retain(|role| !chosen.contains(role));
        self.filters.remove_roles(id, &chosen);
        self.list(id);
    }

    /// Resources found in use: an agent has come back with tasks. What its total does not cover becomes
    /// its debt.
    pub fn charge(&mut self, agent: &AgentId, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let Some(known) = self.agents.get_mut(agent) else { return };
        known.charge(framework, role, resources);
        self.shares.allocate(framework, role, &resources.quantities());
        self.touch(agent);
    }

    /// Resources come back: an offer was not used, or a task has ended. `refused`: the framework does not
    /// want to see them for so long.
    ///
    /// # Panics
    /// If so much was not allocated there: something was given back twice.
    pub fn recover(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
        refused: Option<Duration>,
    ) {
        let Some(known) = self.agents.get_mut(agent) else { return };
        known.recover(framework, role, resources);
        self.shares.recover(framework, role, &resources.quantities());
        let active = self.frameworks.get(framework).is_some_and(|framework| framework.active);
        if let Some(refused) = refused.filter(|refused| active && !refused.is_zero()) {
            self.filters.add(agent, framework, role, resources.clone(), now + refused);
        }
        self.touch(agent);
    }

    /// Offers what changed since the last call. O(agents that changed × frameworks that refuse them).
    pub fn allocate(&mut self, now: Timestamp) -> Vec<Allocation> {
        round::run(self, now)
    }

    /// Has anything changed since the last [`allocate`](Self::allocate)?
    pub fn needs_allocation(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// When the next filter expires.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.filters.next_expiry()
    }

    /// Drops the filters that have expired; their agents count as changed.
    pub fn expire(&mut self, now: Timestamp) {
        for agent in self.filters.expire(now) {
            self.touch(&agent);
        }
    }

    /// What is free on an agent; `None` if it is not known.
    pub fn agent_free(&self, agent: &AgentId) -> Option<&Resources> {
        self.agents.get(agent).map(|agent| &agent.free)
    }

    /// What is allocated on an agent that its total does not cover; `None` if it is not known.
    pub fn debt(&self, agent: &AgentId) -> Option<&[Resources]> {
        self.agents.get(agent).map(|agent| &agent.debt[..])
    }

    /// What a role is allocated, offers included.
    pub fn role_allocated(&self, role: &Role) -> Quantities {
        self.shares.role_allocated(role)
    }

    /// Checks the crate's invariants. O(cluster). Errors: the first one found broken, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut roles: BTreeMap<&Role, Quantities> = BTreeMap::new();
        for (id, agent) in &self.agents {
            agent.check().map_err(|broken| format!("INV-1: agent {id}: {broken}"))?;
            for ((_, role), held) in &agent.allocated {
                roles.entry(role).or_default().add(&held.quantities());
            }
            let free = agent.active && !agent.free.is_empty();
            if free != self.with_free.contains(id) {
                return Err(format!("INV-1: agent {id} and the list of agents with free resources disagree"));
            }
        }
        self.shares.check(&roles)?;
        self.filters.check(
            |agent| self.agents.contains_key(agent),
            |framework| self.frameworks.contains_key(framework),
        )
    }

    /// Something about the agent changed: it is looked at again.
    fn touch(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        if agent.active && !agent.free.is_empty() {
            self.with_free.insert(id.clone());
            self.dirty.insert(id.clone());
        } else {
            self.with_free.remove(id);
            self.dirty.remove(id);
        }
    }

    /// Puts a framework in line for the roles it wants offers for; whatever is free may be for it.
    fn list(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id).filter(|framework| framework.active) else { return };
        for role in framework.facts.roles.difference(&framework.facts.suppressed) {
            self.shares.join(role, id);
        }
        self.dirty.extend(self.with_free.iter().cloned());
    }

    fn unlist(&mut self, id: &FrameworkId, facts: &FrameworkFacts) {
        for role in &facts.roles {
            self.shares.leave(role, id);
        }
    }
}
