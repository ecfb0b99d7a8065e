//! Data that nobody wants any more: asked for, and freed where they are.
//!
//! What is reserved for an instance says by its labels whose it is ([`VOLUMES_LABEL`](crate::matching::VOLUMES_LABEL)), so that
//! it is known wherever it is offered. But it is offered only to who asks: as long as an orphan is known of, offers are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::{Offer, Timestamp};

use super::Services;
use crate::instance::{Goal, Place};
use crate::matching::Hand;

/// Offers are wanted for so long for the sake of an orphan; later it is freed should an offer show it.
const FREE_WITHIN: Duration = Duration::from_secs(600);

/// The same for those that an earlier run of the daemon may have left.
const SEARCH_FOR: Duration = Duration::from_secs(60);

/// What is known of data that nobody wants.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Volumes that were given up, since when.
    known: BTreeMap<String, Timestamp>,
    search: Search,
}

/// What an earlier run knew of is not kept: it is looked for.
#[derive(Debug, Default)]
enum Search {
    #[default]
    Done,
    Due,
    Until(Timestamp),
}

impl Orphans {
    /// There was an earlier run.
    pub(super) fn after_restart() -> Self {
        Self { known: BTreeMap::new(), search: Search::Due }
    }

    /// From now on offers may come.
    pub(super) fn subscribed(&mut self, now: Timestamp) {
        self.known.values_mut().for_each(|since| *since = now);
        if matches!(self.search, Search::Due) {
            self.search = Search::Until(now + SEARCH_FOR);
        }
    }

    /// Are offers wanted for them?
    pub(super) fn are_sought(&self) -> bool {
        !self.known.is_empty() || !matches!(self.search, Search::Done)
    }

    /// These offers have come; what they show is seen to.
    fn seen(&mut self, now: Timestamp, offers: &[Offer]) {
        self.known.retain(|_, since| now.since(*since) < FREE_WITHIN);
        if matches!(self.search, Search::Until(until) if until <= now) {
            self.search = Search::Done;
        }
        for resource in offers.iter().flat_map(|offer| offer.resources.iter()) {
            let persistence = resource.metadata().disk.as_ref().and_then(|disk| disk.persistence.as_ref());
            if let Some(persistence) = persistence {
                self.known.remove(&persistence.id);
            }
        }
    }
}

impl Services {
    /// Nobody will come back to this place: its data are to go.
    pub(super) fn let_go(&mut self, now: Timestamp, place: Option<Place>) {
        for volume in place.into_iter().flat_map(|place| place.volumes) {
            self.orphans.known.insert(volume.persistence_id, now);
        }
    }

    /// Data that nobody wants any more make room.
    pub(super) fn free_orphans(&mut self, now: Timestamp, hand: &mut Hand, offers: &[Offer]) {
        let wanted: BTreeSet<&str> = self
            .services
            .values()
            .filter(|service| service.spec.is_resident())
            .flat_map(|service| service.instances.values())
            .filter(|one| one.goal != Goal::Decommissioned || one.is_active())
            .filter_map(|one| one.place.as_ref())
            .flat_map(|place| place.volumes.iter().map(|volume| volume.persistence_id.as_str()))
            .collect();
        hand.free_orphans(&|id| wanted.contains(id));
        self.orphans.seen(now, offers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_left_is_looked_for_a_while() {
        let at = |seconds: u64| Timestamp::ZERO + Duration::from_secs(1_000 + seconds);
        assert!(!Orphans::default().are_sought());
        let mut orphans = Orphans::after_restart();
        orphans.subscribed(at(0));
        orphans.seen(at(59), &[]);
        assert!(orphans.are_sought());
        orphans.subscribed(at(59));
        orphans.seen(at(60), &[]);
        assert!(!orphans.are_sought());
        orphans.subscribed(at(61));
        assert!(!orphans.are_sought(), "once");
    }

    #[test]
    fn what_is_given_up_is_asked_for_from_when_offers_may_come() {
        let at = |seconds: u64| Timestamp::ZERO + Duration::from_secs(1_000 + seconds);
        let mut orphans = Orphans::default();
        orphans.known.insert("volume".to_owned(), Timestamp::ZERO);
        orphans.subscribed(at(0));
        orphans.seen(at(599), &[]);
        assert!(orphans.are_sought());
        orphans.seen(at(600), &[]);
        assert!(!orphans.are_sought());
    }
}
