//! Outstanding offers.
//!
//! A lease on part of one agent, made to one framework. It ends exactly once: accepted, declined,
//! rescinded or expired (INV-3).
//!
//! Invariants
//! - From creation to end its resources count against the framework's role.
//! - An id is used once: it carries the epoch and a number that only grows.
//!
//! Source: Mesos v1 scheduler API, calls ACCEPT and DECLINE, events OFFERS and RESCIND.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::scheduler::Event;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, Resources, Role, Timestamp};

use crate::deadlines::Timer;
use crate::effects::Effects;
use crate::{State, inverse_offers};

/// All outstanding offers, found by id, agent or framework; in order of their numbers.
#[derive(Debug, Default)]
pub struct Offers {
    outstanding: BTreeMap<Number, Arc<Offer>>,
    by_agent: BTreeMap<AgentId, BTreeSet<Number>>,
    by_framework: BTreeMap<FrameworkId, BTreeSet<Number>>,
    named: u64,
}

/// What an id ends with, and one master uses once: there are very many offers, and numbers are compared and ordered at
/// once where ids share all but their last bytes.
pub(crate) type Number = u64;

/// Stands before the number in each id.
const BEFORE_NUMBER: &str = "-O";

/// The number in an id; `None`: no master has made it. That it is one of this master's is not said.
pub(crate) fn number(id: &OfferId) -> Option<Number> {
    let (_, number) = id.as_str().rsplit_once(BEFORE_NUMBER)?;
    number.parse().ok()
}

impl Offers {
    fn next_number(&mut self) -> u64 {
        self.named += 1;
        self.named - 1
    }

    /// The id of the next offer, or inverse offer, of this master.
    pub(crate) fn next_id(&mut self, master: &str) -> OfferId {
        let number = self.next_number();
        OfferId::new(format!("{master}{BEFORE_NUMBER}{number}")).expect("made of letters, digits and dashes")
    }

    /// An outstanding offer.
    pub fn get(&self, offer: &OfferId) -> Option<&Offer> {
        self.outstanding.get(&number(offer)?).filter(|known| known.id == *offer).map(|offer| &**offer)
    }

    /// The one of that number.
    pub(crate) fn numbered(&self, number: Number) -> Option<&Offer> {
        self.outstanding.get(&number).map(|offer| &**offer)
    }

    /// All outstanding offers in the order in which they were made.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Offer>> {
        self.outstanding.values()
    }

    /// How many are outstanding.
    pub fn len(&self) -> usize {
        self.outstanding.len()
    }

    /// Is none outstanding?
    pub fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    pub(crate) fn on_agent(&self, agent: &AgentId) -> Vec<OfferId> {
        self.ids(self.by_agent.get(agent))
    }

    pub(crate) fn of_framework(&self, framework: &FrameworkId) -> Vec<OfferId> {
        self.ids(self.by_framework.get(framework))
    }

    fn ids(&self, numbers: Option<&BTreeSet<Number>>) -> Vec<OfferId> {
        let known = numbers.into_iter().flatten().filter_map(|number| self.outstanding.get(number));
        known.map(|offer| offer.id.clone()).collect()
    }

    pub(crate) fn insert(&mut self, offer: Arc<Offer>) {
        let number = number(&offer.id).expect("its id was made here");
        self.by_agent.entry(offer.agent.clone()).or_default().insert(number);
        self.by_framework.entry(offer.framework.clone()).or_default().insert(number);
        let before = self.outstanding.insert(number, offer);
        assert!(before.is_none(), "an offer id is used once");
    }

    /// Ends an offer: whoever takes it must account for its resources.
    #[must_use]
    pub(crate) fn take(&mut self, id: &OfferId) -> Option<Arc<Offer>> {
        let number = number(id)?;
        let Entry::Occupied(entry) = self.outstanding.entry(number) else { return None };
        if entry.get().id != *id {
            return None;
        }
        let offer = entry.remove();
        unlist(&mut self.by_agent, &offer.agent, number);
        unlist(&mut self.by_framework, &offer.framework, number);
        Some(offer)
    }
}

fn unlist<K: Ord>(index: &mut BTreeMap<K, BTreeSet<Number>>, key: &K, number: Number) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}

/// Ends an offer and gives its resources back to the allocator.
pub(crate) fn give_back(
    state: &mut State,
    now: Timestamp,
    id: &OfferId,
    filter: Option<Duration>,
) -> Option<Arc<Offer>> {
    let offer = state.offers.take(id)?;
    forget_expiry(state, id);
    recover(state, now, &offer.agent, &offer.framework, &offer.role, &offer.resources, filter);
    Some(offer)
}

/// An offer has ended before its time.
pub(crate) fn forget_expiry(state: &mut State, id: &OfferId) {
    if let Some(number) = number(id) {
        state.deadlines.cancel(Timer::OfferExpiry(number));
    }
}

/// Gives resources back to the allocator, once.
pub(crate) fn recover(
    state: &mut State,
    now: Timestamp,
    agent: &AgentId,
    framework: &FrameworkId,
    role: &Role,
    resources: &Resources,
    filter: Option<Duration>,
) {
    let recovered = state.allocator.recover(now, agent, framework, role, resources, filter);
    recovered.expect("what is given back was held: each offer and task gives back once");
    inverse_offers::touch(state, agent);
}

/// DECLINE. Ids that are no longer outstanding, or not the framework's, are ignored: an offer may have
/// been rescinded while the call was on its way.
pub(crate) fn decline(
    state: &mut State,
    now: Timestamp,
    framework: &FrameworkId,
    offers: &[OfferId],
    filters: Filters,
) {
    for id in offers {
        if state.offers.get(id).is_some_and(|offer| offer.framework == *framework) {
            give_back(state, now, id, Some(filters.refuse));
            state.counters.offers_declined += 1;
            if let Some(known) = state.frameworks.get_mut(framework) {
                known.counters.offers_declined += 1;
            }
        }
    }
}

/// Ends every offer of an agent by no doing of its frameworks, and tells them.
pub(crate) fn rescind_on(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId) {
    for id in state.offers.on_agent(agent) {
        rescind(state, effects, now, &id, None);
    }
    inverse_offers::touch(state, agent);
}

/// Ends every offer made to `role` or a role below it, and tells their frameworks: what the role may have is another,
/// by its weight or its quota. `until` is asked before each, with the latest offer first, and stops it by `true`:
/// no more is taken back than needed. O(offers).
pub(crate) fn rescind_of_role(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    role: &Role,
    mut until: impl FnMut(&State) -> bool,
) {
    for offer in latest_first(state, |offer| offer.role == *role || offer.role.is_below(role)) {
        if until(state) {
            return;
        }
        rescind(state, effects, now, &offer.id, None);
    }
}

/// The offers of which `wanted` says so, the latest first. O(offers).
pub(crate) fn latest_first(state: &State, wanted: impl Fn(&Offer) -> bool) -> Vec<Arc<Offer>> {
    state.offers.iter().rev().filter(|offer| wanted(offer)).cloned().collect()
}

/// Ends every offer of a framework for a role that it has left, and tells it.
pub(crate) fn rescind_of_left_roles(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    roles: &BTreeSet<Role>,
) {
    for id in state.offers.of_framework(framework) {
        if state.offers.get(&id).is_some_and(|offer| !roles.contains(&offer.role)) {
            rescind(state, effects, now, &id, None);
        }
    }
}

/// Ends every offer of a framework, and every inverse one, without a word: its stream is no more.
pub(crate) fn discard_of(state: &mut State, now: Timestamp, framework: &FrameworkId) {
    for id in state.offers.of_framework(framework) {
        give_back(state, now, &id, None);
        count_rescinded(state, framework);
    }
    inverse_offers::discard_of(state, framework);
}

/// An offer has not been answered in time: others get a turn before it is made to the same framework again.
pub(crate) fn expire(state: &mut State, effects: &mut Effects, now: Timestamp, number: Number) {
    let Some(id) = state.offers.numbered(number).map(|offer| offer.id.clone()) else { return };
    rescind(state, effects, now, &id, Some(Filters::DEFAULT.refuse));
}

/// Ends an offer by no doing of its framework, and tells it.
pub(crate) fn rescind(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    id: &OfferId,
    filter: Option<Duration>,
) {
    let Some(offer) = give_back(state, now, id, filter) else { return };
    count_rescinded(state, &offer.framework);
    if let Some(stream) = state.frameworks.get(&offer.framework).and_then(|framework| framework.stream) {
        effects.framework(stream, Event::Rescind(id.clone()));
    }
}

fn count_rescinded(state: &mut State, framework: &FrameworkId) {
    state.counters.offers_rescinded += 1;
    if let Some(known) = state.frameworks.get_mut(framework) {
        known.counters.offers_rescinded += 1;
    }
}
