//! Who should be offered what: facts in, allocations out.
//!
//! The master tells the allocator what there is (agents), who wants it (frameworks in roles) and what came
//! back; [`Allocator::allocate`] answers with what to offer to whom. An allocation is charged the moment it
//! is made and stays so until [`Allocator::recover`] gives it back, whether it was offered, used or both.
//!
//! Roles are served by weighted dominant share, the frameworks of a role by dominant share. This first
//! policy is coarse: the first eligible framework takes all of an agent that its role may use.
//! Slices of agents, quota, the tree of roles and offer constraints come with the complete allocator, behind this interface.
//!
//! Invariants
//! - For every agent at every moment: free + allocated = total + debt, where debt is what is in use beyond
//!   the total (`docs/design.md`, invariant 1; INV-1). What is in debt is never free.
//! - The same calls give the same allocations: order is by value, never by chance or address.
//! - Work follows what changed: an agent that nobody wants is not looked at again until its free resources
//!   change, a filter on it ends, or somebody comes to want more (`docs/design.md`, D4).
//!
//! Source: Mesos, hierarchical DRF allocator; Ghodsi et al., "Dominant Resource Fairness", NSDI 2011.

mod agents;
pub mod constraints;
mod eligibility;
mod filters;
mod frameworks;
mod holdings;
mod invariants;
mod quotas;
pub mod requests;
mod role_tree;
mod round;
mod shares;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use lonja_model::agent::Domain;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

pub use agents::AgentFacts;
pub use constraints::{CompiledConstraints, InvalidConstraints};
pub use eligibility::Ineligible;
pub use frameworks::FrameworkFacts;
pub use holdings::{Holdings, overlap};
pub use invariants::Violation;
pub use quotas::QuotaRefusal;
pub use role_tree::RoleShare;

use agents::Agents;
use filters::Filters;
use frameworks::Frameworks;
use role_tree::RoleTree;

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What an offer must hold at least, as alternatives of which one must be reached in full; none: any
    /// offer will do. A framework may set its own for a role. Default: 0.01 CPUs, or 32 MiB of memory.
    pub minimum: Vec<Quantities>,
    /// Are agents with GPUs kept from frameworks that do not say they understand GPUs? Otherwise tasks
    /// that need none would fill them up. Default: yes.
    pub reserve_gpu_agents: bool,
    /// Where the master is. Agents of other regions are offered to region-aware frameworks only. `None`: no agent
    /// is far. Default: `None`.
    pub domain: Option<Domain>,
}

impl Default for Options {
    fn default() -> Self {
        let amount = |thousandths| Scalar::from_thousandths(thousandths).unwrap_or(Scalar::MAX);
        let minimum = [("cpus", amount(10)), ("mem", amount(32_000))];
        let minimum = minimum.into_iter().map(|one| Quantities::from_iter([one])).collect();
        Self { minimum, reserve_gpu_agents: true, domain: None }
    }
}

/// Resources of one agent for one framework in one role, already charged. What the master makes an offer of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// To whom.
    pub framework: FrameworkId,
    /// For which of its roles.
    pub role: Role,
    /// Of which agent.
    pub agent: AgentId,
    /// What; never empty.
    pub resources: Resources,
}

/// [`Allocator::charge`] named an agent that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAgent(pub AgentId);

impl fmt::Display for UnknownAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {} is not known to the allocator; add it first", self.0)
    }
}

impl std::error::Error for UnknownAgent {}

/// [`Allocator::recover`] was given more than is held. What is held did come back; the rest was never
/// charged, or came back before (INV-4), and was ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHeld {
    /// The agent.
    pub agent: AgentId,
    /// Who was said to hold it.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// What is not held.
    pub missing: Resources,
}

impl fmt::Display for NotHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, framework, role, missing } = self;
        write!(f, "framework {framework} in role {role} does not hold {missing} on agent {agent}")
    }
}

impl std::error::Error for NotHeld {}

/// [`Allocator::convert_held`] named what is not held, or what cannot be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// What was to be converted.
    pub before: Resources,
    /// Into what.
    pub after: Resources,
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not held, or {} cannot be in its place", self.before, self.after)
    }
}

impl std::error::Error for ConvertError {}

/// A weight of zero: it would leave a role without a share. Weights begin at 0.001.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroWeight;

impl fmt::Display for ZeroWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a weight must be above 0; the smallest is 0.001")
    }
}

impl std::error::Error for ZeroWeight {}

/// The state of all sharing. See the crate.
#[derive(Debug)]
pub struct Allocator {
    options: Options,
    agents: Agents,
    frameworks: Frameworks,
    roles: RoleTree,
    filters: Filters,
    quotas: quotas::Quotas,
}

impl Allocator {
    /// An allocator of an empty cluster.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            agents: Agents::default(),
            frameworks: Frameworks::default(),
            roles: RoleTree::default(),
            filters: Filters::default(),
            quotas: quotas::Quotas::default(),
        }
    }

    /// An agent is there, all of it free, and takes part at once. If it is known already it is as if it
    /// had returned: new total, new facts, active, with all that is charged to it; changed facts end the
    /// filters on it, for refusals may have rested on them.
    ///
    /// Charge what is in use there before the next [`Allocator::allocate`].
    pub fn add_agent(&mut self, agent: AgentId, total: Resources, facts: AgentFacts) {
        if self.agents.add(&agent, total, facts) {
            self.filters.remove_agent(&agent);
        }
    }

    /// The agent has `total` from now on. What is in use stays in use: where that is more than the new
    /// total, nothing is free and the excess is a debt, paid as resources come back. Filters stay.
    /// An unknown agent is ignored.
    pub fn update_agent_total(&mut self, agent: &AgentId, total: Resources) {
        self.agents.update_total(agent, total);
    }

    /// The agent is gone, and with it all that was charged to it, its debt and the filters on it. A later
    /// [`Allocator::recover`] on it changes nothing.
    pub fn remove_agent(&mut self, agent: &AgentId) {
        for (framework, role, quantities) in self.agents.remove(agent) {
            self.roles.account(&role, &framework, &quantities, &Quantities::default(), self.agents.totals());
        }
        self.filters.remove_agent(agent);
    }

    /// What is free on the agent may be offered.
    pub fn activate_agent(&mut self, agent: &AgentId) {
        self.agents.set_active(agent, true);
    }

    /// Nothing of the agent is offered until it is activated; what is charged to it stays so.
    pub fn deactivate_agent(&mut self, agent: &AgentId) {
        self.agents.set_active(agent, false);
    }

    /// A framework is there and wants offers at once, save for the roles it has suppressed. If it is
    /// known already, this is an update and an activation.
    pub fn add_framework(&mut self, framework: FrameworkId, facts: FrameworkFacts) {
        self.replace_facts(&framework, facts, true);
        self.agents.all_are_dirty();
    }

    /// The framework is another from now on. The filters of roles it has left end; what it holds in them
    /// stays charged. An unknown framework is ignored.
    pub fn update_framework(&mut self, framework: &FrameworkId, facts: FrameworkFacts) {
        let Some(known) = self.frameworks.get(framework) else { return };
        if known.facts == facts {
            return;
        }
        let active = known.active;
        self.replace_facts(framework, facts, active);
        self.agents.all_are_dirty();
    }

    /// The framework wants offers again.
    pub fn activate_framework(&mut self, framework: &FrameworkId) {
        self.set_framework_active(framework, true);
    }

    /// The framework gets no offers until it is activated. Its filters end; what it holds stays charged.
    pub fn deactivate_framework(&mut self, framework: &FrameworkId) {
        self.set_framework_active(framework, false);
        self.drop_filters(framework, None);
    }

    /// The framework is gone: no offers, no filters. What it still holds **stays charged**, to its agents
    /// and its roles, until it is recovered or the agent is removed, for its tasks may be running still
    /// and their memory must not be promised twice. Recover under the same id, now or later.
    pub fn remove_framework(&mut self, framework: &FrameworkId) {
        self.drop_filters(framework, None);
        if let Some(known) = self.frameworks.remove(framework) {
            for role in &known.facts.roles {
                self.roles.set_interest(role, framework, role_tree::Interest::None, self.agents.totals());
            }
        }
    }

    /// Sets how much of the cluster the role gets beside others, 1 unless set. Nothing is taken back, and
    /// nothing that nobody wanted is offered again: only the order changes. Errors: [`ZeroWeight`].
    pub fn set_weight(&mut self, role: Role, weight: Scalar) -> Result<(), ZeroWeight> {
        if weight == Scalar::ZERO {
            return Err(ZeroWeight);
        }
        self.roles.set_weight(&role, weight, self.agents.totals());
        Ok(())
    }

    /// No offers to the framework for these roles until revived; no roles: all of them. Roles it has not
    /// subscribed with are ignored. Filters stay.
    pub fn suppress(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) {
        for role in self.frameworks.suppress(framework, roles) {
            self.sync_interest(framework, &role);
        }
    }

    /// Ends the filters of these roles and their suppression; no roles: all of them.
    pub fn revive(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) {
        for role in self.frameworks.revive(framework, roles) {
            self.drop_filters(framework, Some(&role));
            self.sync_interest(framework, &role);
            self.agents.all_are_dirty();
        }
    }

    /// Counts resources found in use, such as those of tasks that a returning agent reports. They may be
    /// more than the agent has, or be held already: what is not free becomes debt. The framework need not
    /// be known. Errors: [`UnknownAgent`].
    pub fn charge(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) -> Result<(), UnknownAgent> {
        let Some((before, after)) = self.agents.charge(agent, framework, role, resources) else {
            return Err(UnknownAgent(agent.clone()));
        };
        self.roles.account(role, framework, &before, &after, self.agents.totals());
        Ok(())
    }

    /// Resources come back: an offer was declined or rescinded, part of one was not used, a task ended.
    /// `refuse` keeps from this framework, in this role, every offer of this agent that these resources
    /// contain, for that long (at most 365 days; zero or `None`: not at all).
    ///
    /// On an agent that is gone it does nothing, since all that was charged went with it.
    /// Errors: [`NotHeld`].
    pub fn recover(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
        refuse: Option<Duration>,
    ) -> Result<(), NotHeld> {
        let Some(recovered) = self.agents.recover(agent, framework, role, resources) else { return Ok(()) };
        if self.quotas.values().any(|quota| !quota.limits.is_empty()) {
            // There may be room under a limit again, for what is free elsewhere.
            self.agents.all_are_dirty();
        }
        self.roles.account(role, framework, &recovered.before, &recovered.after, self.agents.totals());
        let may_filter = self.frameworks.get(framework).is_some_and(|known| known.is_served_in(role));
        if let Some(refuse) = refuse.filter(|_| may_filter) {
            self.filters.add(now, refuse, framework, role, agent, resources);
        }
        if recovered.missing.is_empty() {
            return Ok(());
        }
        let (agent, framework, role) = (agent.clone(), framework.clone(), role.clone());
        Err(NotHeld { agent, framework, role, missing: recovered.missing })
    }

    /// What the framework holds of `before` is `after` from now on; the agent's total changes along.
    /// Errors: [`ConvertError`]; nothing is changed.
    pub fn convert_held(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        before: &Resources,
        after: &Resources,
    ) -> Result<(), ConvertError> {
        let change = self.agents.convert_held(agent, (framework, role), before, after);
        let Some((held_before, held_after)) = change else {
            return Err(ConvertError { before: before.clone(), after: after.clone() });
        };
        self.roles.account(role, framework, &held_before, &held_after, self.agents.totals());
        Ok(())
    }

    /// Decides about all that changed since the last call. Every allocation is charged already.
    /// In the order in which they were decided; agents by id.
    pub fn allocate(&mut self, now: Timestamp) -> Vec<Allocation> {
        self.expire(now);
        self.run_round()
    }

    /// Is there anything for [`Allocator::allocate`] to decide about?
    pub fn needs_allocation(&self) -> bool {
        self.agents.is_any_dirty()
    }

    /// When the next filter ends; call [`Allocator::expire`] or [`Allocator::allocate`] then.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.filters.next_deadline()
    }

    /// Ends the filters whose time has come.
    pub fn expire(&mut self, now: Timestamp) {
        for agent in self.filters.expire(now) {
            self.agents.mark_dirty(&agent);
        }
    }

    /// What is neither offered nor in use.
    pub fn agent_free(&self, agent: &AgentId) -> Option<&Resources> {
        self.agents.get(agent).map(|agent| agent.free())
    }

    /// What is charged to the agent, offered and in use together.
    pub fn agent_allocated(&self, agent: &AgentId) -> Option<&Holdings> {
        self.agents.get(agent).map(|agent| agent.allocated())
    }

    /// All it has.
    pub fn agent_total(&self, agent: &AgentId) -> Option<&Resources> {
        self.agents.get(agent).map(|agent| agent.total())
    }

    /// What is in use there beyond its total; empty as a rule.
    pub fn debt(&self, agent: &AgentId) -> Option<&Holdings> {
        self.agents.get(agent).map(|agent| agent.debt())
    }

    /// May anything of the agent be offered? `None`: not known.
    pub fn is_agent_active(&self, agent: &AgentId) -> Option<bool> {
        self.agents.get(agent).map(|agent| agent.is_active())
    }

    /// What one framework holds in one role on one agent; `None`: nothing.
    pub fn held(&self, agent: &AgentId, framework: &FrameworkId, role: &Role) -> Option<&Holdings> {
        self.agents.get(agent)?.held(framework, role)
    }

    /// The cluster's total over all agents, also those that are deactivated: what shares are shares of.
    pub fn cluster_total(&self) -> Quantities {
        self.agents.totals().sums().to_quantities()
    }

    /// Each role that is known for a framework, an allocation or a weight. O(roles).
    pub fn role_shares(&self) -> BTreeMap<Role, RoleShare> {
        self.roles.role_shares(self.agents.totals())
    }

    /// What the framework holds, by role; roles in which it holds nothing are left out. O(roles).
    pub fn framework_allocated(&self, framework: &FrameworkId) -> BTreeMap<Role, Quantities> {
        self.roles.framework_allocated(framework)
    }

    /// How many filters are in force.
    pub fn filter_count(&self) -> usize {
        self.filters.len()
    }

    fn replace_facts(&mut self, framework: &FrameworkId, facts: FrameworkFacts, active: bool) {
        let old = self.frameworks.insert(framework, facts, active);
        let left = old.map(|old| old.facts.roles).unwrap_or_default();
        for role in &left {
            if !self.frameworks.get(framework).is_some_and(|now| now.facts.roles.contains(role)) {
                self.drop_filters(framework, Some(role));
            }
        }
        let current = self.frameworks.get(framework).map(|now| now.facts.roles.clone());
        for role in left.union(&current.unwrap_or_default()) {
            self.sync_interest(framework, role);
        }
    }

    fn set_framework_active(&mut self, framework: &FrameworkId, active: bool) {
        let Some(roles) = self.frameworks.set_active(framework, active) else { return };
        for role in roles {
            self.sync_interest(framework, &role);
        }
        if active {
            self.agents.all_are_dirty();
        }
    }

    /// Tells the role tree whether the framework stands in line in `role`.
    fn sync_interest(&mut self, framework: &FrameworkId, role: &Role) {
        let interest = self.frameworks.interest(framework, role);
        self.roles.set_interest(role, framework, interest, self.agents.totals());
    }

    /// Ends the filters of one role, or of all, and has their agents looked at again.
    fn drop_filters(&mut self, framework: &FrameworkId, role: Option<&Role>) {
        for agent in self.filters.remove_framework(framework, role) {
            self.agents.mark_dirty(&agent);
        }
    }
}
