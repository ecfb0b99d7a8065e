//! Who should be offered what: facts in, allocations out.
//!
//! The master tells the allocator what there is (agents), who wants it (frameworks in roles) and what came
//! back; [`Allocator::allocate`] answers with what to offer to whom. An allocation is charged the moment it
//! is made and stays so until [`Allocator::recover`] gives it back, whether it was offered, used or both.
//!
//! Guarantees come first, then weighted dominant share down the tree of roles and among the frameworks of each.
//! An agent is cut into slices where more wait than there are agents, so that everybody is served in turn.
//!
//! Names are small numbers inside, and decisions run over flat arrays, heaps and bits; `agents` and `holdings` keep the
//! books in exact resources, which alone are offered.
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
mod holdings;

mod clients;
mod frameworks;
mod role_tree;
mod shapes;
mod shares;

pub mod constraints;
mod eligibility;
mod filters;
mod quotas;
pub mod requests;

mod explain;
mod round;
mod slices;
mod upkeep;

mod amounts;
mod ids;
mod random;

mod invariants;

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
pub use explain::{ClientExplanation, FrameworkExplanation, Miss, Obstacle, RoleExplanation};
pub use frameworks::FrameworkFacts;
pub use holdings::{Holdings, overlap};
pub use invariants::Violation;
pub use quotas::QuotaRefusal;

use agents::{Agents, Reserved};
use amounts::{Kinds, Parts};
use clients::Clients;
use filters::Filters;
use frameworks::Frameworks;
use quotas::{QuotaMarks, Quotas};
use random::Random;
use role_tree::RoleTree;
use shares::Share;

/// In which order roles, and the frameworks of a role, are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sorter {
    /// The smallest weighted dominant share first.
    #[default]
    DominantShare,
    /// By chance, in proportion to the weights.
    Random,
}

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
    /// Names that do not count for shares, such as `gpus`. Default: none.
    pub excluded_from_fairness: BTreeSet<String>,
    /// Default: by dominant share.
    pub sorter: Sorter,
    /// What [`Sorter::Random`] draws from.
    pub seed: u64,
    /// Into how many slices an agent is cut at most when more wait than there are agents to look at; 1: whole agents
    /// only, as in Mesos. Default: 8.
    pub most_slices: u32,
}

impl Default for Options {
    fn default() -> Self {
        let amount = |thousandths| Scalar::from_thousandths(thousandths).unwrap_or(Scalar::MAX);
        let minimum = [("cpus", amount(10)), ("mem", amount(32_000))];
        let minimum = minimum.into_iter().map(|one| Quantities::from_iter([one])).collect();
        Self {
            minimum,
            reserve_gpu_agents: true,
            domain: None,
            excluded_from_fairness: BTreeSet::new(),
            sorter: Sorter::DominantShare,
            seed: 0,
            most_slices: 8,
        }
    }
}

/// One role, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleShare {
    /// 1 unless set.
    pub weight: Scalar,
    /// Offered and in use together, with all below it; each amount at most [`Scalar::MAX`].
    pub allocated: Quantities,
    /// The largest fraction of any one resource of the cluster, not divided by the weight, in millionths
    /// rounded down.
    pub dominant_share_millionths: u64,
    /// Frameworks that are subscribed with the role itself, suppressed or not, or that hold something in it.
    pub frameworks: Vec<FrameworkId>,
    /// Whether at least one framework waits for offers in it or below it.
    pub in_line: bool,
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
    kinds: Kinds,
    /// [`Options::minimum`].
    minimum: Vec<Parts>,
    agents: Agents,
    frameworks: Frameworks,
    clients: Clients,
    tree: RoleTree,
    quotas: Quotas,
    marks: QuotaMarks,
    filters: Filters,
    /// May something be free that a quota kept from somebody? Then agents are looked at again when it has room.
    bound_by_quota: bool,
    /// Into how many slices agents are cut at most while only a part of those that wait has been looked at.
    slices_of_rest: u32,
}

impl Allocator {
    /// An allocator of an empty cluster.
    pub fn new(options: Options) -> Self {
        let mut kinds = Kinds::default();
        let minimum = options.minimum.iter().map(|one| kinds.parts_of(one)).collect();
        let random = match options.sorter {
            Sorter::DominantShare => None,
            Sorter::Random => Some(Random::new(options.seed)),
        };
        Self {
            agents: Agents::new(options.excluded_from_fairness.iter().cloned()),
            frameworks: Frameworks::default(),
            clients: Clients::default(),
            tree: RoleTree::new(random),
            quotas: Quotas::default(),
            marks: QuotaMarks::default(),
            filters: Filters::default(),
            bound_by_quota: false,
            slices_of_rest: u32::MAX,
            options,
            kinds,
            minimum,
        }
    }

    /// An agent is there, all of it free, and takes part at once. If it is known already it is as if it
    /// had returned: new total, new facts, active, with all that is charged to it; changed facts end the
    /// filters on it, for refusals may have rested on them.
    ///
    /// Charge what is in use there before the next [`Allocator::allocate`].
    pub fn add_agent(&mut self, agent: AgentId, total: Resources, facts: AgentFacts) {
        let before = self.agents.find(&agent).map(|known| known.total().clone()).unwrap_or_default();
        self.account_reserved(&Reserved { before, after: total.clone() });
        let (number, changed) = self.agents.add(&agent, total, facts, &mut self.kinds);
        if changed {
            self.filters.remove_agent(number);
            self.agents.forget_refusals(number);
        }
        self.judge_agent(number);
        self.more_room();
    }

    /// The agent has `total` from now on. What is in use stays in use: where that is more than the new
    /// total, nothing is free and the excess is a debt, paid as resources come back. Filters stay.
    /// An unknown agent is ignored.
    pub fn update_agent_total(&mut self, agent: &AgentId, total: Resources) {
        let Some(number) = self.agents.number(agent) else { return };
        let before = self.agents.get(number).map(|known| known.total().clone()).unwrap_or_default();
        self.account_reserved(&Reserved { before, after: total.clone() });
        self.agents.update_total(number, total, &mut self.kinds);
        self.judge_agent(number);
        self.more_room();
    }

    /// The agent is gone, and with it all that was charged to it, its debt and the filters on it. A later
    /// [`Allocator::recover`] on it changes nothing.
    pub fn remove_agent(&mut self, agent: &AgentId) {
        let Some(number) = self.agents.number(agent) else { return };
        let before = self.agents.get(number).map(|known| known.total().clone()).unwrap_or_default();
        for (client, change) in self.agents.remove(number, &mut self.kinds) {
            self.account(client, &change);
            self.forget_idle(client);
        }
        self.account_reserved(&Reserved { before, after: Resources::new() });
        self.filters.remove_agent(number);
        self.more_room();
    }

    /// What is free on the agent may be offered.
    pub fn activate_agent(&mut self, agent: &AgentId) {
        if let Some(number) = self.agents.number(agent) {
            self.agents.set_active(number, true);
            self.more_room();
        }
    }

    /// Nothing of the agent is offered until it is activated; what is charged to it stays so.
    pub fn deactivate_agent(&mut self, agent: &AgentId) {
        if let Some(number) = self.agents.number(agent) {
            self.agents.set_active(number, false);
        }
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
                self.sync_interest(framework, role);
            }
        }
    }

    /// Sets how much of the cluster the role gets beside others, 1 unless set. Nothing is taken back. What is free
    /// is looked at again, though only the order has changed. Errors: [`ZeroWeight`].
    pub fn set_weight(&mut self, role: Role, weight: Scalar) -> Result<(), ZeroWeight> {
        if weight == Scalar::ZERO {
            return Err(ZeroWeight);
        }
        let entry = self.tree.role(&role);
        self.tree.set_weight(entry, weight, self.agents.totals());
        self.tree.prune(entry);
        self.agents.all_are_dirty();
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
        let Some(number) = self.agents.number(agent) else { return Err(UnknownAgent(agent.clone())) };
        if resources.is_empty() {
            return Ok(());
        }
        let client = self.client(framework, role);
        if let Some(change) = self.agents.charge(number, client, resources, &mut self.kinds) {
            self.account(client, &change);
            self.more_room(); // what met a guarantee is no longer kept free for it elsewhere
        }
        Ok(())
    }

    /// Resources come back: an offer was declined or rescinded, part of one was not used, a task ended.
    /// `refuse`, if this is an answer of the framework, keeps from it, in this role, every offer of this agent that these
    /// resources contain, for that long (at most 365 days); with zero it is only passed over there until somebody else
    /// was offered the agent. `None`: it is not an answer.
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
        let Some(number) = self.agents.number(agent) else { return Ok(()) };
        let not_held = |missing: Resources| {
            let (agent, framework, role) = (agent.clone(), framework.clone(), role.clone());
            if missing.is_empty() { Ok(()) } else { Err(NotHeld { agent, framework, role, missing }) }
        };
        let Some(client) = self.clients.number(framework, role) else { return not_held(resources.clone()) };
        let Some(recovered) = self.agents.recover(number, client, resources, &mut self.kinds) else {
            return Ok(());
        };
        self.account(client, &recovered.change);
        let is_served = self.frameworks.get(framework).is_some_and(|known| known.is_served_in(role));
        if let Some(refuse) = refuse.filter(|_| is_served) {
            self.turned_down(now, number, client, resources, refuse, recovered.holds_more);
        }
        self.forget_idle(client);
        self.more_room();
        not_held(recovered.missing)
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
        let refused = || ConvertError { before: before.clone(), after: after.clone() };
        let number = self.agents.number(agent).ok_or_else(refused)?;
        let client = self.clients.number(framework, role).ok_or_else(refused)?;
        let converted = self.agents.convert_held(number, client, before, after, &mut self.kinds);
        let (change, reserved) = converted.ok_or_else(refused)?;
        self.account(client, &change);
        self.account_reserved(&reserved);
        self.forget_idle(client);
        self.more_room();
        Ok(())
    }

    /// What is free of `before` is `after` from now on; the agent's total changes along.
    /// Errors: [`ConvertError`]; nothing is changed.
    pub fn convert_free(
        &mut self,
        agent: &AgentId,
        before: &Resources,
        after: &Resources,
    ) -> Result<(), ConvertError> {
        let refused = || ConvertError { before: before.clone(), after: after.clone() };
        let number = self.agents.number(agent).ok_or_else(refused)?;
        let converted = self.agents.convert_free(number, before, after, &mut self.kinds);
        self.account_reserved(&converted.ok_or_else(refused)?);
        self.more_room();
        Ok(())
    }

    /// Decides about all that changed since the last call. Every allocation is charged already.
    /// In the order in which they were decided; agents in the order in which they came.
    pub fn allocate(&mut self, now: Timestamp) -> Vec<Allocation> {
        self.allocate_some(now, u32::MAX)
    }

    /// The same of at most so many agents; while others wait, [`Allocator::needs_allocation`] says so, and the next
    /// call goes on with them.
    pub fn allocate_some(&mut self, now: Timestamp, agents: u32) -> Vec<Allocation> {
        self.expire(now);
        self.run_round(agents)
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
        for (agent, client) in self.filters.expire(now) {
            self.reopen(agent, client);
        }
    }

    /// What is neither offered nor in use. A shared volume stays in it, however often it is held.
    pub fn agent_free(&self, agent: &AgentId) -> Option<&Resources> {
        self.agents.find(agent).map(|agent| agent.free())
    }

    /// What is charged to the agent, offered and in use together. O(holders).
    pub fn agent_allocated(&self, agent: &AgentId) -> Option<Holdings> {
        self.agents.find(agent).map(|agent| agent.allocated())
    }

    /// All it has.
    pub fn agent_total(&self, agent: &AgentId) -> Option<&Resources> {
        self.agents.find(agent).map(|agent| agent.total())
    }

    /// What is in use there beyond its total; empty as a rule.
    pub fn debt(&self, agent: &AgentId) -> Option<&Holdings> {
        self.agents.find(agent).map(|agent| agent.debt())
    }

    /// May anything of the agent be offered? `None`: not known.
    pub fn is_agent_active(&self, agent: &AgentId) -> Option<bool> {
        self.agents.find(agent).map(|agent| agent.is_active())
    }

    /// What one framework holds in one role on one agent; `None`: nothing.
    pub fn held(&self, agent: &AgentId, framework: &FrameworkId, role: &Role) -> Option<&Holdings> {
        self.agents.find(agent)?.held_by(self.clients.number(framework, role)?)
    }

    /// Who holds something on the agent, in which role.
    pub fn holders(&self, agent: &AgentId) -> impl Iterator<Item = (&FrameworkId, &Role)> {
        let holders = self.agents.find(agent).into_iter().flat_map(agents::Agent::holders);
        holders.map(|(client, _)| {
            let (framework, role) = self.clients.name(client);
            (framework, role)
        })
    }

    /// The cluster's total over all agents, also those that are deactivated: what shares are shares of.
    pub fn cluster_total(&self) -> Quantities {
        self.kinds.quantities(self.agents.all())
    }

    /// Each role that is known for a framework, an allocation, a reservation, a quota or a weight, and all above it.
    /// O(roles and frameworks).
    pub fn role_shares(&self) -> BTreeMap<Role, RoleShare> {
        let mut shares: BTreeMap<Role, RoleShare> = BTreeMap::new();
        for (role, entry) in self.tree.roles() {
            let place = self.tree.place(entry);
            let share =
                Share::dominant(&place.allocated, role_tree::DEFAULT_WEIGHT, &self.agents.totals().counted);
            let share = RoleShare {
                weight: place.weight,
                allocated: self.kinds.quantities(&place.allocated),
                dominant_share_millionths: share.millionths(),
                frameworks: Vec::new(),
                in_line: self.tree.is_in_line(entry),
            };
            shares.insert(role.clone(), share);
        }
        for ((framework, role), _) in self.clients.iter() {
            if let Some(share) = shares.get_mut(role) {
                share.frameworks.push(framework.clone());
            }
        }
        shares
    }

    /// What the framework holds, by role; roles in which it holds nothing are left out. O(clients).
    pub fn framework_allocated(&self, framework: &FrameworkId) -> BTreeMap<Role, Quantities> {
        let held = self.clients.of(framework).filter_map(|(role, client)| {
            let entry = self.clients.get(client).entry;
            let allocated = self.kinds.quantities(&self.tree.place(entry).allocated);
            (!allocated.is_empty()).then(|| (role.clone(), allocated))
        });
        held.collect()
    }

    /// How many filters are in force.
    pub fn filter_count(&self) -> usize {
        self.filters.len()
    }
}
