//! Declined offers, and when they expire.
//!
//! While a filter lasts, no offer of its agent is made to its framework in its role whose resources the
//! refused ones contain: more than was refused gets through, less stays away. Several may apply.
//!
//! Invariants
//! - Of the filters for one framework, role and agent none is made idle by another: where one refuses all
//!   that the other does, for as long, only that one is kept. There are at most [`MOST_ALIKE`].
//! - Every filter stands once under its time, and its agent once under its client.
//!
//! Source: Mesos v1 `Filters.refuse_seconds`; `docs/design.md`, section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use std::sync::Arc;

use lonja_model::offer::Filters as Limits;
use lonja_model::{Resources, Timestamp};

use crate::ids::index;

/// The most filters for one framework, role and agent; the one that would end first gives way, so that a
/// framework that refuses ever new shapes costs itself an offer too many and nobody memory.
pub(crate) const MOST_ALIKE: usize = 32;

#[derive(Debug)]
struct Filter {
    number: u64,
    refused: Arc<Resources>,
    until: Timestamp,
}

/// Nearly always one.
type Alike = Vec<Filter>;
/// An agent and a client, by their numbers.
type Place = (u32, u32);

#[derive(Debug, Default)]
pub(crate) struct Filters {
    filters: BTreeMap<Place, Alike>,
    /// The agents of each client, so that its filters are found.
    by_client: BTreeSet<(u32, u32)>,
    /// On how many agents each client has any: nearly always none, and then nothing has to be looked for.
    places: Vec<u32>,
    by_time: BTreeMap<(Timestamp, u64), Place>,
    next_number: u64,
    /// What was refused last: declining many agents alike shares it.
    last: Arc<Resources>,
}

impl Filters {
    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|((until, _), _)| *until)
    }

    /// Is an offer of `resources` to stay away?
    pub(crate) fn refuse(&self, agent: u32, client: u32, resources: &Resources) -> bool {
        let alike = self.alike(agent, client);
        alike.is_some_and(|alike| alike.iter().any(|filter| filter.refused.contains(resources)))
    }

    /// Until when an offer of `resources` stays away.
    pub(crate) fn refused_until(&self, agent: u32, client: u32, resources: &Resources) -> Option<Timestamp> {
        let alike = self.alike(agent, client)?.iter();
        alike.filter(|filter| filter.refused.contains(resources)).map(|filter| filter.until).max()
    }

    /// Has the client any filter on the agent?
    pub(crate) fn has_any(&self, agent: u32, client: u32) -> bool {
        self.alike(agent, client).is_some()
    }

    fn alike(&self, agent: u32, client: u32) -> Option<&Alike> {
        let places = self.places.get(index(client)).copied().unwrap_or(0);
        if places > 0 { self.filters.get(&(agent, client)) } else { None }
    }

    fn count(&mut self, client: u32, one_more: bool) {
        if self.places.len() <= index(client) {
            self.places.resize(index(client) + 1, 0);
        }
        let places = &mut self.places[index(client)];
        *places = if one_more { *places + 1 } else { *places - 1 };
    }

    /// No filter if `refuse` is zero; cut to [`Limits::MAX`]. O(filters alike).
    pub(crate) fn add(
        &mut self,
        now: Timestamp,
        refuse: Duration,
        (agent, client): (u32, u32),
        refused: &Resources,
    ) {
        if refuse.is_zero() || refused.is_empty() {
            return;
        }
        let until = now + refuse.min(Limits::MAX);
        if *self.last != *refused {
            self.last = Arc::new(refused.clone());
        }
        let alike = self.filters.entry((agent, client)).or_default();
        if alike.iter().any(|filter| filter.until >= until && filter.refused.contains(refused)) {
            return;
        }
        for number in idle_beside(alike, refused, until) {
            let at = alike.iter().position(|filter| filter.number == number);
            let idle = alike.swap_remove(at.expect("it was found among these"));
            self.by_time.remove(&(idle.until, idle.number));
        }
        let number = self.next_number;
        self.next_number += 1;
        alike.push(Filter { number, refused: self.last.clone(), until });
        self.by_time.insert((until, number), (agent, client));
        if self.by_client.insert((client, agent)) {
            self.count(client, true);
        }
    }

    /// Ends those whose time has come, and says whose on which agents.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<(u32, u32)> {
        let mut ended = Vec::new();
        while let Some(entry) = self.by_time.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), place) = entry.remove_entry();
            let Some(alike) = self.filters.get_mut(&place) else { continue };
            alike.retain(|filter| filter.number != number);
            if alike.is_empty() {
                self.filters.remove(&place);
                if self.by_client.remove(&(place.1, place.0)) {
                    self.count(place.1, false);
                }
            }
            ended.push(place);
        }
        ended
    }

    /// Ends those of a client, and says on which agents. O(what ends).
    pub(crate) fn remove_client(&mut self, client: u32) -> Vec<u32> {
        let agents: Vec<u32> =
            self.by_client.range((client, 0)..=(client, u32::MAX)).map(|(_, agent)| *agent).collect();
        for agent in &agents {
            self.remove((*agent, client));
        }
        agents
    }

    /// Ends those on the agent. O(what ends).
    pub(crate) fn remove_agent(&mut self, agent: u32) {
        let places: Vec<Place> =
            self.filters.range((agent, 0)..=(agent, u32::MAX)).map(|(place, _)| *place).collect();
        places.into_iter().for_each(|place| self.remove(place));
    }

    fn remove(&mut self, place: Place) {
        for filter in self.filters.remove(&place).unwrap_or_default() {
            self.by_time.remove(&(filter.until, filter.number));
        }
        if self.by_client.remove(&(place.1, place.0)) {
            self.count(place.1, false);
        }
    }

    /// On which agents, and whose, there are any.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.filters.keys().copied()
    }

    /// Breaks the index on purpose, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn forge_no_deadlines(&mut self) {
        self.by_time.clear();
    }

    /// Does every filter stand once under its time and under its client, and nothing else there?
    pub(crate) fn is_consistent(&self) -> bool {
        let timed = |(place, alike): (&Place, &Alike)| {
            !alike.is_empty()
                && alike.iter().all(|filter| self.by_time.get(&(filter.until, filter.number)) == Some(place))
                && self.by_client.contains(&(place.1, place.0))
        };
        self.filters.iter().all(timed)
            && self.filters.values().map(Vec::len).sum::<usize>() == self.by_time.len()
            && self.filters.len() == self.by_client.len()
            && self.places.iter().map(|places| index(*places)).sum::<usize>() == self.by_client.len()
    }
}

/// Those that a new filter makes idle, and if there would be too many also the one that ends first.
fn idle_beside(alike: &Alike, refused: &Resources, until: Timestamp) -> Vec<u64> {
    let idle = |filter: &&Filter| filter.until <= until && refused.contains(&filter.refused);
    let idle: Vec<u64> = alike.iter().filter(idle).map(|filter| filter.number).collect();
    if idle.is_empty() && alike.len() >= MOST_ALIKE {
        let first = alike.iter().min_by_key(|filter| (filter.until, filter.number));
        return first.map(|filter| filter.number).into_iter().collect();
    }
    idle
}
