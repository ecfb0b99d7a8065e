//! Plain books of what the allocator has been told: the judge's own view of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_allocator::{Allocation, FrameworkFacts, Options};
use lonja_model::framework::Capability;
use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Resource, Value};
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

/// Thousandths by name; below zero where something is missing.
pub(crate) type Amounts = BTreeMap<String, i128>;

/// Who holds something: on which agent, which framework, in which role.
pub(crate) type Holder = (AgentId, FrameworkId, Role);

#[derive(Clone, Debug)]
pub(crate) struct AgentEntry {
    pub(crate) total: Resources,
    pub(crate) active: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct FrameworkEntry {
    pub(crate) facts: FrameworkFacts,
    pub(crate) active: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) framework: FrameworkId,
    pub(crate) role: Role,
    pub(crate) agent: AgentId,
    pub(crate) refused: Resources,
    pub(crate) until: Timestamp,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) options: Options,
    pub(crate) now: Timestamp,
    pub(crate) agents: BTreeMap<AgentId, AgentEntry>,
    pub(crate) frameworks: BTreeMap<FrameworkId, FrameworkEntry>,
    pub(crate) held: BTreeMap<Holder, Resources>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) quotas: BTreeMap<Role, Quota>,
    /// What frameworks say they need, in roles that they had when they said so and have kept since.
    pub(crate) needs: BTreeMap<(FrameworkId, Role), Vec<Quantities>>,
    /// Who ever gave something of an agent back: others may come first there for once.
    pub(crate) gave_back: BTreeSet<Holder>,
}

/// A role and all above it, the role itself first.
pub(crate) fn chain(role: &Role) -> Vec<Role> {
    let mut name = role.as_str();
    let mut all = vec![role.clone()];
    while let Some((above, _)) = name.rsplit_once('/') {
        all.push(Role::new(above).unwrap());
        name = above;
    }
    all
}

/// Does the resource count against limits when somebody holds it?
pub(crate) fn is_limited(resource: &Resource) -> bool {
    resource.reserved_for().is_none() && !resource.metadata().revocable
}

fn amount_of(resource: &Resource) -> i128 {
    match resource.value() {
        Value::Scalar(amount) => i128::from(amount.thousandths()),
        Value::Devices(devices) => i128::from(devices.total()),
        Value::Ranges(_) | Value::Set(_) => 0,
    }
}

/// The amounts of those resources of which `counts` says so.
pub(crate) fn amounts(resources: &Resources, counts: impl Fn(&Resource) -> bool) -> Amounts {
    let mut all = Amounts::new();
    for resource in resources.iter().filter(|resource| counts(resource)) {
        *all.entry(resource.name().to_owned()).or_default() += amount_of(resource);
    }
    all.retain(|_, amount| *amount != 0);
    all
}

pub(crate) fn amounts_of(quantities: &Quantities) -> Amounts {
    quantities.iter().map(|(name, amount)| (name.to_owned(), i128::from(amount.thousandths()))).collect()
}

pub(crate) fn get(amounts: &Amounts, name: &str) -> i128 {
    amounts.get(name).copied().unwrap_or(0)
}

pub(crate) fn add(to: &mut Amounts, more: &Amounts, sign: i128) {
    for (name, amount) in more {
        *to.entry(name.clone()).or_default() += sign * amount;
    }
    to.retain(|_, amount| *amount != 0);
}

impl Ledger {
    pub(crate) fn new(options: Options, now: Timestamp) -> Self {
        Self {
            options,
            now,
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            held: BTreeMap::new(),
            filters: Vec::new(),
            quotas: BTreeMap::new(),
            needs: BTreeMap::new(),
            gave_back: BTreeSet::new(),
        }
    }

    /// What is neither offered nor in use. Of a shared volume one copy is always free.
    pub(crate) fn free(&self, agent: &AgentId) -> Resources {
        let mut free = self.agents[agent].total.clone();
        for ((holder, _, _), held) in &self.held {
            if holder == agent {
                let own = held.filter(|resource| !resource.metadata().shared);
                free = free.checked_sub(&own).unwrap_or_else(|| panic!("{own} was not free: {free}"));
            }
        }
        free
    }

    pub(crate) fn charge(&mut self, holder: &Holder, resources: &Resources) {
        let held = self.held.entry(holder.clone()).or_default();
        *held = held.checked_add(resources).unwrap();
        self.held.retain(|_, held| !held.is_empty());
    }

    pub(crate) fn take_back(&mut self, holder: &Holder, resources: &Resources) {
        self.gave_back.insert(holder.clone());
        let held = self.held.get_mut(holder).unwrap();
        *held = held.checked_sub(resources).unwrap();
        self.held.retain(|_, held| !held.is_empty());
    }

    pub(crate) fn note(&mut self, allocation: &Allocation) {
        let Allocation { framework, role, agent, resources } = allocation;
        self.charge(&(agent.clone(), framework.clone(), role.clone()), resources);
    }

    pub(crate) fn refuse(
        &mut self,
        (agent, framework, role): &Holder,
        refused: &Resources,
        refuse: Duration,
    ) {
        let served = self.frameworks.get(framework);
        let served = served.is_some_and(|known| known.active && known.facts.roles.contains(role));
        if served && !refuse.is_zero() && self.agents.contains_key(agent) {
            let (framework, role, agent) = (framework.clone(), role.clone(), agent.clone());
            let until = self.now + refuse;
            self.filters.push(Filter { framework, role, agent, refused: refused.clone(), until });
        }
    }

    /// Does a filter keep these resources of the agent away from the client?
    pub(crate) fn is_refused(
        &self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        what: &Resources,
    ) -> bool {
        self.filters.iter().any(|filter| {
            (&filter.framework, &filter.role, &filter.agent) == (framework, role, agent)
                && filter.until > self.now
                && filter.refused.contains(what)
        })
    }

    /// Frameworks in those of their roles in which they want offers.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = (&FrameworkId, &Role)> {
        self.frameworks.iter().filter(|(_, known)| known.active).flat_map(|(framework, known)| {
            known.facts.roles.difference(&known.facts.suppressed).map(move |role| (framework, role))
        })
    }

    /// May the framework see the agent, whatever is free there?
    pub(crate) fn may_see(&self, framework: &FrameworkId, agent: &AgentId) -> bool {
        let has_gpus = self.agents[agent].total.iter().any(|resource| resource.name() == "gpus");
        !(has_gpus && self.options.reserve_gpu_agents)
            || self.frameworks[framework].facts.capabilities.contains(&Capability::GpuResources)
    }

    /// May the framework see the resource in an offer for `role`?
    pub(crate) fn may_have(&self, framework: &FrameworkId, role: &Role, resource: &Resource) -> bool {
        let can = |capability| self.frameworks[framework].facts.capabilities.contains(&capability);
        let metadata = resource.metadata();
        resource.reserved_for().is_none_or(|owner| owner == role || role.is_below(owner))
            && (!metadata.revocable || can(Capability::RevocableResources))
            && (!metadata.shared || can(Capability::SharedResources))
            && (metadata.reservations.len() < 2 || can(Capability::ReservationRefinement))
    }

    /// Are these enough for an offer to the framework in this role?
    pub(crate) fn is_enough(&self, framework: &FrameworkId, role: &Role, quantities: &Quantities) -> bool {
        let facts = &self.frameworks[framework].facts;
        let least = facts.minimum_offers.get(role).unwrap_or(&self.options.minimum);
        let reaches_one = |alternatives: &[Quantities]| {
            alternatives.is_empty() || alternatives.iter().any(|least| quantities.contains(least))
        };
        reaches_one(least)
            && self.needs.get(&(framework.clone(), role.clone())).is_none_or(|needs| reaches_one(needs))
    }

    /// Reservations of the subtree, used or not, and what its clients hold beyond that could not be taken back.
    pub(crate) fn consumed(&self, role: &Role) -> Amounts {
        let within = |other: &Role| other == role || other.is_below(role);
        let mut all = Amounts::new();
        for known in self.agents.values() {
            add(&mut all, &amounts(&known.total, |resource| resource.reserved_for().is_some_and(within)), 1);
        }
        for (_, held) in self.held.iter().filter(|((_, _, holder), _)| within(holder)) {
            add(&mut all, &amounts(held, is_limited), 1);
        }
        all
    }

    /// What is free, unreserved and not revocable on active agents.
    pub(crate) fn available(&self) -> Amounts {
        let mut all = Amounts::new();
        for (agent, _) in self.agents.iter().filter(|(_, known)| known.active) {
            add(&mut all, &amounts(&self.free(agent), is_limited), 1);
        }
        all
    }
}
