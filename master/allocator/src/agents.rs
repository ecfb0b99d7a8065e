//! Agents: what each has, what is held of it, what is free.
//!
//! A shared volume is free as often as one likes: the books hold [`COPIES`] of it, of which each offer and each task
//! takes one. So they balance for it as for everything else.
//!
//! Invariants
//! - free + held = total + debt, and nothing is both free and in debt.
//! - `with_free` names exactly the active agents that have something free; `dirty` some of them.
//! - `available` is what is free, unreserved and not revocable on the active agents.
//!
//! Source: `docs/design.md`, invariant 1.

use std::sync::Arc;

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::resources::Resource;
use lonja_model::{AgentId, Resources};

use crate::amounts::{Kind, Kinds, Parts, Sums};
use crate::holdings::{Holdings, overlap, without};
use crate::ids::{Bits, Ids, index};
use crate::quotas::is_limited;
use crate::role_tree::Totals;
use crate::shapes::{Shape, Shapes, SharedParts, is_plain};

/// How often a shared volume can be held at once.
pub(crate) const COPIES: u32 = 1 << 20;

/// What the allocator has to know of an agent beside its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Where it is reached by name; for offer constraints.
    pub hostname: String,
    /// What it says of itself; for offer constraints.
    pub attributes: Attributes,
    /// Its place; for region-aware frameworks and offer constraints.
    pub domain: Option<Domain>,
}

/// One agent. See the module.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Apart, since a pass over all agents does not need them.
    pub(crate) facts: Box<AgentFacts>,
    active: bool,
    shape: Arc<Shape>,
    free: Resources,
    /// By client; few.
    held: Vec<(u32, Holdings)>,
    debt: Holdings,
    /// Is all that is free anyone's, for good, and no volume?
    plain: bool,
    /// Amounts of what is free, unreserved and not revocable.
    open: SharedParts,
    /// Clients that have refused what is free for them now, and whose filters last.
    pub(crate) refused_by: Bits,
    /// Clients that are kept from it for what it is.
    pub(crate) hidden_from: Bits,
    /// Clients that gave an offer of it back and are passed over until somebody else was offered it.
    pub(crate) passed: Vec<u32>,
}

impl Agent {
    pub(crate) fn free(&self) -> &Resources {
        &self.free
    }

    pub(crate) fn total(&self) -> &Resources {
        &self.shape.total
    }

    pub(crate) fn debt(&self) -> &Holdings {
        &self.debt
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    pub(crate) fn has_gpus(&self) -> bool {
        self.shape.has_gpus
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    pub(crate) fn open(&self) -> &[(Kind, u64)] {
        &self.open
    }

    pub(crate) fn size(&self) -> &[(Kind, u64)] {
        &self.shape.size
    }

    pub(crate) fn held_by(&self, client: u32) -> Option<&Holdings> {
        self.held.iter().find(|(holder, _)| *holder == client).map(|(_, held)| held)
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = (u32, &Holdings)> {
        self.held.iter().map(|(client, held)| (*client, held))
    }

    /// All that is held, by whomever. O(holders).
    pub(crate) fn allocated(&self) -> Holdings {
        let mut all = Holdings::default();
        self.held.iter().for_each(|(_, held)| all.add_all(held));
        all
    }

    /// What free and held make up together, but for debt.
    pub(crate) fn books_total(&self) -> Resources {
        in_books(&self.shape.total)
    }

    /// What is held stays held; what is free and what is in debt follow from the new total.
    fn set_shape(&mut self, shape: Arc<Shape>, kinds: &mut Kinds) {
        self.shape = shape;
        self.free = self.books_total();
        self.debt = Holdings::default();
        for layer in self.held.iter().flat_map(|(_, held)| held.layers()) {
            take_from(&mut self.free, &mut self.debt, layer);
        }
        self.free_has_changed(kinds);
    }

    fn free_has_changed(&mut self, kinds: &mut Kinds) {
        if self.free == self.shape.total {
            self.all_is_free();
        } else {
            self.plain = self.free.iter().all(is_plain);
            self.open = kinds.parts(&self.free, is_limited).into();
        }
    }

    /// What is free is the total: what follows from it is known.
    fn all_is_free(&mut self) {
        self.plain = self.shape.is_plain;
        self.open = self.shape.open.clone();
    }

    /// Does the client hold all there is, plain, and nothing beyond?
    fn is_all_held_by(&self, client: u32, resources: &Resources) -> bool {
        let [(holder, held)] = &self.held[..] else { return false };
        *holder == client
            && self.shape.is_plain
            && self.debt.is_empty()
            && self.free.is_empty()
            && *resources == self.shape.total
            && held.layers().eq([resources])
    }

    fn holdings(&mut self, client: u32) -> &mut Holdings {
        let at = self.held.iter().position(|(holder, _)| *holder == client).unwrap_or_else(|| {
            self.held.push((client, Holdings::default()));
            self.held.len() - 1
        });
        &mut self.held[at].1
    }
}

/// Shared volumes as often as they can be held; anything else as it is.
fn in_books(total: &Resources) -> Resources {
    if total.iter().all(|resource| !resource.metadata().shared) {
        return total.clone();
    }
    Resources::of(total.iter().map(|resource| resource.with_copies(COPIES))).expect("as before, more often")
}

/// Takes `resources` from what is free; what is not there becomes debt.
fn take_from(free: &mut Resources, debt: &mut Holdings, resources: &Resources) {
    let taken = overlap(free, resources);
    *free = without(free, &taken);
    debt.add(&without(resources, &taken));
}

/// What a holder has more and less than before, and of that what counts for quotas.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) more: Parts,
    pub(crate) less: Parts,
    pub(crate) limited_more: Parts,
    pub(crate) limited_less: Parts,
}

/// What came of a recovery.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) change: Change,
    /// What the holder did not have.
    pub(crate) missing: Resources,
    /// Whether it still has something there.
    pub(crate) holds_more: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Agents {
    ids: Ids<AgentId>,
    agents: Vec<Option<Agent>>,
    shapes: Shapes,
    all: Sums,
    totals: Totals,
    available: Sums,
    excluded: Vec<String>,
    with_free: Bits,
    dirty: Bits,
    all_dirty: bool,
    /// Where those to look at go on, where not all are taken at once.
    turn: u32,
}

impl Agents {
    pub(crate) fn new(excluded: impl Iterator<Item = String>) -> Self {
        Self { excluded: excluded.collect(), ..Self::default() }
    }

    pub(crate) fn number(&self, agent: &AgentId) -> Option<u32> {
        self.ids.number(agent)
    }

    pub(crate) fn id(&self, agent: u32) -> &AgentId {
        self.ids.name(agent)
    }

    pub(crate) fn find(&self, agent: &AgentId) -> Option<&Agent> {
        self.get(self.number(agent)?)
    }

    pub(crate) fn get(&self, agent: u32) -> Option<&Agent> {
        self.agents.get(index(agent))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, agent: u32) -> Option<&mut Agent> {
        self.agents.get_mut(index(agent))?.as_mut()
    }

    /// By id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AgentId, u32, &Agent)> {
        self.ids.iter().filter_map(|(id, agent)| Some((id, agent, self.get(agent)?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Agent)> {
        (0_u32..).zip(&mut self.agents).filter_map(|(agent, known)| Some((agent, known.as_mut()?)))
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// What the cluster has, all names.
    pub(crate) fn all(&self) -> &Sums {
        &self.all
    }

    pub(crate) fn available(&self) -> &Sums {
        &self.available
    }

    /// Adds the agent, or has it back. Its number, and whether its facts are new.
    pub(crate) fn add(
        &mut self,
        id: &AgentId,
        total: Resources,
        facts: AgentFacts,
        kinds: &mut Kinds,
    ) -> (u32, bool) {
        let (agent, _) = self.ids.intern(id);
        if self.agents.len() <= index(agent) {
            self.agents.resize_with(index(agent) + 1, || None);
        }
        let known = self.agents[index(agent)].get_or_insert_with(|| Agent {
            facts: Box::new(facts.clone()),
            active: false,
            shape: Arc::default(),
            free: Resources::new(),
            held: Vec::new(),
            debt: Holdings::default(),
            plain: true,
            open: SharedParts::default(),
            refused_by: Bits::default(),
            hidden_from: Bits::default(),
            passed: Vec::new(),
        });
        let changed = *known.facts != facts;
        *known.facts = facts;
        self.set_active(agent, true);
        self.update_total(agent, total, kinds);
        (agent, changed)
    }

    pub(crate) fn update_total(&mut self, agent: u32, total: Resources, kinds: &mut Kinds) {
        let shape = self.shapes.of(total, kinds);
        self.change_free(agent, kinds, |known, kinds| known.set_shape(shape, kinds));
    }

    /// What was held there, by whom.
    pub(crate) fn remove(&mut self, agent: u32, kinds: &mut Kinds) -> Vec<(u32, Change)> {
        self.set_active(agent, false);
        let Some(known) = self.agents.get_mut(index(agent)).and_then(Option::take) else { return Vec::new() };
        self.resize(&known.shape.size, &[], kinds);
        self.ids.release(agent);
        let held = known.held.iter();
        let gone = |(client, held): &(u32, Holdings)| {
            let (less, limited_less) = (parts_of(held, kinds, |_| true), parts_of(held, kinds, is_limited));
            (*client, Change { less, limited_less, ..Change::default() })
        };
        held.map(gone).collect()
    }

    pub(crate) fn set_active(&mut self, agent: u32, active: bool) {
        let Some(known) = self.get_mut(agent).filter(|known| known.active != active) else { return };
        known.active = active;
        let open = known.open.clone();
        if active {
            self.available.add(&open);
        } else {
            self.available.subtract(&open);
        }
        self.list(agent);
    }

    /// What the holder has more and less than before; `None`: no such agent.
    pub(crate) fn charge(
        &mut self,
        agent: u32,
        client: u32,
        resources: &Resources,
        kinds: &mut Kinds,
    ) -> Option<Change> {
        let mut change = Change::default();
        self.get(agent)?;
        if !resources.is_empty() {
            self.change_free(agent, kinds, |known, kinds| {
                let take = |known: &mut Agent| {
                    known.holdings(client).add(resources);
                    take_from(&mut known.free, &mut known.debt, resources);
                };
                change = match counted(resources, kinds) {
                    Some((more, limited_more)) => {
                        take(known);
                        Change { more, limited_more, ..Change::default() }
                    }
                    None => measured(known, client, kinds, take),
                };
            });
        }
        Some(change)
    }

    /// Gives all that is free, which is plain, to one client: a charge without looking at each part.
    pub(crate) fn give_all(&mut self, agent: u32, client: u32) -> (Resources, SharedParts) {
        let known = self.agents[index(agent)].as_mut().expect("it was looked at just now");
        let resources = std::mem::take(&mut known.free);
        let open = std::mem::take(&mut known.open);
        known.holdings(client).add(&resources);
        self.available.subtract(&open);
        self.with_free.set(agent, false);
        self.dirty.set(agent, false);
        (resources, open)
    }

    /// `None`: no such agent.
    pub(crate) fn recover(
        &mut self,
        agent: u32,
        client: u32,
        resources: &Resources,
        kinds: &mut Kinds,
    ) -> Option<Recovered> {
        if self.get(agent)?.is_all_held_by(client, resources) {
            return Some(self.recover_all(agent, resources));
        }
        let mut recovered =
            Recovered { change: Change::default(), missing: resources.clone(), holds_more: false };
        let result = &mut recovered;
        self.change_free(agent, kinds, |known, kinds| {
            let mut returned = Resources::new();
            let mut give_back = |known: &mut Agent| {
                returned = known.holdings(client).take(resources);
                known.held.retain(|(_, held)| !held.is_empty());
                let paid = known.debt.take(&returned);
                let free = known.free.checked_add(&without(&returned, &paid));
                known.free = free.expect("what is not in debt is part of the total and was not free");
            };
            if has_shared(resources) {
                result.change = measured(known, client, kinds, give_back);
            } else {
                give_back(known);
                let (less, limited_less) = counted(&returned, kinds).unwrap_or_default();
                result.change = Change { less, limited_less, ..Change::default() };
            }
            result.missing = without(resources, &returned);
            result.holds_more = known.held_by(client).is_some();
        });
        if recovered.missing != *resources {
            self.mark_dirty(agent);
        }
        Some(recovered)
    }

    /// All there is comes back from its one holder: without looking at each part.
    fn recover_all(&mut self, agent: u32, resources: &Resources) -> Recovered {
        let known = self.agents[index(agent)].as_mut().expect("it was looked at just now");
        known.held.clear();
        known.free = resources.clone();
        known.all_is_free();
        known.refused_by.clear();
        let (less, limited_less) = (known.shape.size.to_vec(), known.shape.open.to_vec());
        if known.active {
            self.available.add(&limited_less);
        }
        self.list(agent);
        let change = Change { less, limited_less, ..Change::default() };
        Recovered { change, missing: Resources::new(), holds_more: false }
    }

    /// What the holder has of `before` is `after` from now on, and the agent's total changes along. `None`: it does
    /// not hold `before`, or the total cannot have `after`.
    pub(crate) fn convert_held(
        &mut self,
        agent: u32,
        client: u32,
        before: &Resources,
        after: &Resources,
        kinds: &mut Kinds,
    ) -> Option<(Change, Reserved)> {
        let known = self.get(agent)?;
        let total = known.total().checked_sub(before)?.checked_add(after).ok()?;
        let mut converted = known.held_by(client)?.clone();
        if converted.take(before) != *before {
            return None;
        }
        converted.add(after);
        let reserved = Reserved { before: known.total().clone(), after: total.clone() };
        let shape = self.shapes.of(total, kinds);
        let mut change = Change::default();
        self.change_free(agent, kinds, |known, kinds| {
            change = measured(known, client, kinds, |known| *known.holdings(client) = converted);
            known.set_shape(shape, kinds);
        });
        self.list(agent);
        Some((change, reserved))
    }

    /// What is free of `before` is `after` from now on.
    pub(crate) fn convert_free(
        &mut self,
        agent: u32,
        before: &Resources,
        after: &Resources,
        kinds: &mut Kinds,
    ) -> Option<Reserved> {
        let known = self.get(agent)?;
        let total = known.total().checked_sub(before)?.checked_add(after).ok()?;
        known
            .free
            .checked_sub(&overlap(&known.free, &in_books(before)))
            .filter(|_| known.free.contains(before))?;
        let reserved = Reserved { before: known.total().clone(), after: total.clone() };
        self.update_total(agent, total, kinds);
        Some(reserved)
    }

    /// Does something to an agent, and brings up to date what follows from what is free and from its size.
    fn change_free(&mut self, agent: u32, kinds: &mut Kinds, change: impl FnOnce(&mut Agent, &mut Kinds)) {
        let Some(known) = self.agents.get_mut(index(agent)).and_then(Option::as_mut) else { return };
        let (open, shape) = (known.open.clone(), known.shape.clone());
        let before = known.free.clone();
        change(known, kinds);
        known.free_has_changed(kinds);
        if !before.contains(&known.free) {
            known.refused_by.clear();
        }
        if known.active {
            self.available.subtract(&open);
            self.available.add(&known.open);
        }
        let shape_now = known.shape.clone();
        self.resize(&shape.size, &shape_now.size, kinds);
        let grows = known_grows(&before, self.get(agent).map(Agent::free));
        self.list_as(agent, grows);
    }

    /// The agent's size was `before` and is `after`.
    fn resize(&mut self, before: &[(Kind, u64)], after: &[(Kind, u64)], kinds: &Kinds) {
        if before == after {
            return;
        }
        self.all.add(after);
        self.all.subtract(before);
        let counts = |(kind, _): &&(Kind, u64)| !self.excluded.iter().any(|name| name == kinds.name(*kind));
        let (after, before): (Parts, Parts) =
            (after.iter().filter(counts).copied().collect(), before.iter().filter(counts).copied().collect());
        self.totals.counted.add(&after);
        self.totals.counted.subtract(&before);
        self.totals.version += 1;
    }

    fn list(&mut self, agent: u32) {
        self.list_as(agent, true);
    }

    /// Lists the agent as one with something free, or not; to be looked at if that has grown.
    fn list_as(&mut self, agent: u32, look: bool) {
        let free = self.get(agent).is_some_and(|known| known.active && !known.free.is_empty());
        self.with_free.set(agent, free);
        if !free {
            self.dirty.set(agent, false);
        } else if look {
            self.dirty.set(agent, true);
        }
    }

    pub(crate) fn mark_dirty(&mut self, agent: u32) {
        if self.with_free.get(agent) {
            self.dirty.set(agent, true);
        }
    }

    /// The filters on the agent have ended: it is to be looked at again.
    pub(crate) fn forget_refusals(&mut self, agent: u32) {
        if let Some(known) = self.get_mut(agent) {
            known.refused_by.clear();
            known.passed.clear();
        }
        self.mark_dirty(agent);
    }

    /// Somebody wants more: every agent with something free is to be looked at again. O(1) here.
    pub(crate) fn all_are_dirty(&mut self) {
        self.all_dirty = true;
    }

    pub(crate) fn is_any_dirty(&self) -> bool {
        !self.dirty.is_empty() || (self.all_dirty && !self.with_free.is_empty())
    }

    /// At most so many of the agents to look at, which are clean from now on, and how many there were. What is left over is
    /// gone on with the next time, so that those which are looked at again and again do not keep the others waiting.
    pub(crate) fn take_dirty(&mut self, most: u32) -> (Bits, u32) {
        if std::mem::take(&mut self.all_dirty) {
            self.dirty = self.with_free.clone();
        }
        let count = self.dirty.count();
        if count <= most {
            return (std::mem::take(&mut self.dirty), count);
        }
        let (taken, turn) = self.dirty.take_some(self.turn, most);
        self.turn = turn;
        (taken, count)
    }

    pub(crate) fn is_with_free(&self, agent: u32) -> bool {
        self.with_free.get(agent)
    }

    pub(crate) fn is_dirty(&self, agent: u32) -> bool {
        self.dirty.get(agent)
    }

    /// Breaks the books on purpose, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn forge_free(&mut self, agent: u32, free: Resources) {
        self.get_mut(agent).unwrap().free = free;
    }

    #[cfg(test)]
    pub(crate) fn forge_free_and_debt(&mut self, agent: u32, resources: &Resources) {
        let known = self.get_mut(agent).unwrap();
        known.free = known.free.checked_add(resources).unwrap();
        known.debt.add(resources);
    }

    #[cfg(test)]
    pub(crate) fn forge_holder(&mut self, agent: u32, client: u32) {
        self.get_mut(agent).unwrap().held.push((client, Holdings::default()));
    }

    #[cfg(test)]
    pub(crate) fn forge_list(&mut self, agent: u32) {
        self.with_free.set(agent, false);
    }

    #[cfg(test)]
    pub(crate) fn forge_total(&mut self) {
        self.all.add(&[(0, 1)]);
    }
}

/// The reserved parts of a total change with it.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) before: Resources,
    pub(crate) after: Resources,
}

fn known_grows(before: &Resources, after: Option<&Resources>) -> bool {
    after.is_some_and(|after| !before.contains(after))
}

fn has_shared(resources: &Resources) -> bool {
    resources.iter().any(|resource| resource.metadata().shared)
}

/// The amounts of resources, and of those that count for quotas; `None`: they do not simply add up, since a shared
/// volume counts once, however often it is held.
fn counted(resources: &Resources, kinds: &mut Kinds) -> Option<(Parts, Parts)> {
    if has_shared(resources) {
        return None;
    }
    let all = kinds.parts(resources, |_| true);
    let limited =
        if resources.iter().all(is_limited) { all.clone() } else { kinds.parts(resources, is_limited) };
    Some((all, limited))
}

/// Does something to what a client holds there, and says what has changed by it.
fn measured(known: &mut Agent, client: u32, kinds: &mut Kinds, change: impl FnOnce(&mut Agent)) -> Change {
    let nothing = Holdings::default();
    let held = known.held_by(client).unwrap_or(&nothing);
    let (less, limited_less) = (parts_of(held, kinds, |_| true), parts_of(held, kinds, is_limited));
    change(known);
    let held = known.held_by(client).unwrap_or(&nothing);
    let (more, limited_more) = (parts_of(held, kinds, |_| true), parts_of(held, kinds, is_limited));
    Change { more, less, limited_more, limited_less }
}

fn parts_of(held: &Holdings, kinds: &mut Kinds, counts: impl Fn(&Resource) -> bool) -> Parts {
    let mut all: Parts = Parts::new();
    for layer in held.layers() {
        for (kind, amount) in kinds.parts(layer, &counts) {
            match all.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, held)) => *held = held.saturating_add(amount),
                None => all.push((kind, amount)),
            }
        }
    }
    all
}
