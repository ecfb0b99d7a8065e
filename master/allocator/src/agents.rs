//! Agents: what each has, what is held of it, what is free.
//!
//! Invariants
//! - free + allocated = total + debt, and nothing is both free and in debt.
//! - `allocated` is the sum over all that frameworks hold.
//! - `with_free` names exactly the active agents that have something free; `dirty` some of them.
//!
//! Source: `docs/design.md`, invariant 1.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{AgentId, FrameworkId, Resources, Role};

use crate::eligibility::GPUS;
use crate::holdings::{Holdings, overlap, without};
use crate::shares::Totals;

/// What the allocator has to know of an agent beside its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Where it is reached by name; for offer constraints.
    pub hostname: String,
    /// What it says of itself; for offer constraints.
    pub attributes: Attributes,
    /// Its place; for offer constraints and region-aware frameworks.
    pub domain: Option<Domain>,
}

type Holder = (FrameworkId, Role);

/// One agent. See the module.
#[derive(Debug)]
pub(crate) struct Agent {
    facts: AgentFacts,
    active: bool,
    total: Resources,
    has_gpus: bool,
    free: Resources,
    held: BTreeMap<Holder, Holdings>,
    allocated: Holdings,
    debt: Holdings,
}

impl Agent {
    pub(crate) fn free(&self) -> &Resources {
        &self.free
    }

    pub(crate) fn allocated(&self) -> &Holdings {
        &self.allocated
    }

    pub(crate) fn total(&self) -> &Resources {
        &self.total
    }

    pub(crate) fn debt(&self) -> &Holdings {
        &self.debt
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    pub(crate) fn facts(&self) -> &AgentFacts {
        &self.facts
    }

    pub(crate) fn has_gpus(&self) -> bool {
        self.has_gpus
    }

    pub(crate) fn held(&self, framework: &FrameworkId, role: &Role) -> Option<&Holdings> {
        self.held.get(&(framework.clone(), role.clone()))
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = (&Holder, &Holdings)> {
        self.held.iter()
    }

    /// What is held stays held; what is free and what is in debt follow from the new total.
    fn set_total(&mut self, total: Resources) {
        self.has_gpus = total.quantities().get(GPUS) > Scalar::ZERO;
        self.free = total.clone();
        self.total = total;
        self.debt = Holdings::default();
        for layer in self.allocated.layers() {
            take_from(&mut self.free, &mut self.debt, layer);
        }
    }

    fn charge(&mut self, holder: Holder, resources: &Resources) -> (Quantities, Quantities) {
        let held = self.held.entry(holder).or_default();
        let before = held.quantities();
        held.add(resources);
        let after = held.quantities();
        self.allocated.add(resources);
        take_from(&mut self.free, &mut self.debt, resources);
        (before, after)
    }

    fn recover(&mut self, holder: Holder, resources: &Resources) -> Recovered {
        let Some(held) = self.held.get_mut(&holder) else {
            let missing = resources.clone();
            return Recovered { before: Quantities::default(), after: Quantities::default(), missing };
        };
        let before = held.quantities();
        let returned = held.take(resources);
        let after = held.quantities();
        if held.is_empty() {
            self.held.remove(&holder);
        }
        assert_eq!(self.allocated.take(&returned), returned, "what one holds is part of what all hold");
        let paid = self.debt.take(&returned);
        let free = self.free.checked_add(&without(&returned, &paid));
        self.free = free.expect("what is not in debt is part of the total and was not free");
        Recovered { before, after, missing: without(resources, &returned) }
    }
}

/// Takes `resources` from what is free; what is not there becomes debt.
fn take_from(free: &mut Resources, debt: &mut Holdings, resources: &Resources) {
    let taken = overlap(free, resources);
    *free = without(free, &taken);
    debt.add(&without(resources, &taken));
}

/// What came of a recovery: what the holder had on this agent before and after, and what it did not have.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) before: Quantities,
    pub(crate) after: Quantities,
    pub(crate) missing: Resources,
}

#[derive(Debug, Default)]
pub(crate) struct Agents {
    agents: BTreeMap<AgentId, Agent>,
    totals: Totals,
    with_free: BTreeSet<AgentId>,
    dirty: BTreeSet<AgentId>,
    all_dirty: bool,
}

impl Agents {
    pub(crate) fn get(&self, agent: &AgentId) -> Option<&Agent> {
        self.agents.get(agent)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AgentId, &Agent)> {
        self.agents.iter()
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Have the facts of a known agent changed?
    pub(crate) fn add(&mut self, agent: &AgentId, total: Resources, facts: AgentFacts) -> bool {
        let new = || Agent {
            facts: facts.clone(),
            active: true,
            total: Resources::new(),
            has_gpus: false,
            free: Resources::new(),
            held: BTreeMap::new(),
            allocated: Holdings::default(),
            debt: Holdings::default(),
        };
        let known = self.agents.entry(agent.clone()).or_insert_with(new);
        let changed = known.facts != facts;
        known.facts = facts;
        known.active = true;
        self.update_total(agent, total);
        changed
    }

    pub(crate) fn update_total(&mut self, agent: &AgentId, total: Resources) {
        let Some(known) = self.agents.get_mut(agent) else { return };
        self.totals.change(&known.total.quantities(), &total.quantities());
        known.set_total(total);
        self.free_has_changed(agent);
    }

    /// What was held there, by whom.
    pub(crate) fn remove(&mut self, agent: &AgentId) -> Vec<(FrameworkId, Role, Quantities)> {
        self.with_free.remove(agent);
        self.dirty.remove(agent);
        let Some(known) = self.agents.remove(agent) else { return Vec::new() };
        self.totals.change(&known.total.quantities(), &Quantities::default());
        let held = known.held.into_iter();
        held.map(|((framework, role), held)| (framework, role, held.quantities())).collect()
    }

    pub(crate) fn set_active(&mut self, agent: &AgentId, active: bool) {
        let Some(known) = self.agents.get_mut(agent).filter(|known| known.active != active) else { return };
        known.active = active;
        self.free_has_changed(agent);
    }

    /// What the holder had on this agent before and after; `None`: no such agent.
    pub(crate) fn charge(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) -> Option<(Quantities, Quantities)> {
        let known = self.agents.get_mut(agent)?;
        if resources.is_empty() {
            return Some(Default::default());
        }
        let change = known.charge((framework.clone(), role.clone()), resources);
        if known.free.is_empty() {
            self.with_free.remove(agent);
            self.dirty.remove(agent);
        }
        Some(change)
    }

    /// What the holder has of `before` is `after` from now on, and the agent's total changes along. What it had on
    /// this agent in all, before and after; `None`: it does not hold `before`, or the total cannot have `after`.
    pub(crate) fn convert_held(
        &mut self,
        agent: &AgentId,
        holder: (&FrameworkId, &Role),
        before: &Resources,
        after: &Resources,
    ) -> Option<(Quantities, Quantities)> {
        let known = self.agents.get_mut(agent)?;
        let held = known.held.get_mut(&(holder.0.clone(), holder.1.clone()))?;
        let total = known.total.checked_sub(before)?.checked_add(after).ok()?;
        let mut converted = held.clone();
        if converted.take(before) != *before {
            return None;
        }
        converted.add(after);
        let change = (held.quantities(), converted.quantities());
        *held = converted;
        known.allocated.take(before);
        known.allocated.add(after);
        self.totals.change(&known.total.quantities(), &total.quantities());
        known.set_total(total);
        self.free_has_changed(agent);
        Some(change)
    }

    /// `None`: no such agent.
    pub(crate) fn recover(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) -> Option<Recovered> {
        let known = self.agents.get_mut(agent)?;
        let recovered = known.recover((framework.clone(), role.clone()), resources);
        if recovered.missing != *resources {
            self.free_has_changed(agent);
        }
        Some(recovered)
    }

    pub(crate) fn mark_dirty(&mut self, agent: &AgentId) {
        if self.with_free.contains(agent) {
            self.dirty.insert(agent.clone());
        }
    }

    /// Somebody wants more: every agent with something free is to be looked at again. O(1) here.
    pub(crate) fn all_are_dirty(&mut self) {
        self.all_dirty = true;
    }

    pub(crate) fn is_any_dirty(&self) -> bool {
        !self.dirty.is_empty() || (self.all_dirty && !self.with_free.is_empty())
    }

    /// The agents to look at, which are clean from now on.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<AgentId> {
        let dirty = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.all_dirty) { self.with_free.clone() } else { dirty }
    }

    pub(crate) fn is_with_free(&self, agent: &AgentId) -> bool {
        self.with_free.contains(agent)
    }

    pub(crate) fn is_dirty(&self, agent: &AgentId) -> bool {
        self.dirty.contains(agent)
    }

    fn free_has_changed(&mut self, agent: &AgentId) {
        if self.agents.get(agent).is_some_and(|known| known.active && !known.free.is_empty()) {
            self.with_free.insert(agent.clone());
            self.dirty.insert(agent.clone());
        } else {
            self.with_free.remove(agent);
            self.dirty.remove(agent);
        }
    }

    #[cfg(test)]
    pub(crate) fn get_mut(&mut self, agent: &AgentId) -> Option<&mut Agent> {
        self.agents.get_mut(agent)
    }
}

/// Breaks the books on purpose, to see that it is noticed.
#[cfg(test)]
impl Agent {
    pub(crate) fn forge_free(&mut self, free: Resources) {
        self.free = free;
    }

    pub(crate) fn forge_free_and_debt(&mut self, both: &Resources) {
        self.free = self.free.checked_add(both).unwrap();
        self.debt.add(both);
    }

    pub(crate) fn forge_no_holders(&mut self) {
        self.held.clear();
    }

    pub(crate) fn forge_other_activity(&mut self) {
        self.active = !self.active;
    }
}
