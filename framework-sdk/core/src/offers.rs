//! Offers in hand: shown to the scheduler and not yet answered.
//!
//! An offer that is taken out has been answered, or has ended. One that the plan of its occasion neither
//! used nor held is declined at once; one that is held is declined when its time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::{Offer, OfferId, Timestamp};

/// The longest that an offer can be held unless told otherwise
/// ([`Framework::with_max_hold`](crate::Framework::with_max_hold)). The master's own limit may be shorter; it rescinds
/// then.
pub const MAX_HOLD: Duration = Duration::from_secs(300);

/// Offers in hand, by id.
///
/// Invariants
/// - Each offer of `in_hand` is either in `fresh` or, with its time, in `by_time`; nothing else is in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers {
    in_hand: BTreeMap<OfferId, InHand>,
    /// Those that nobody wants to keep as yet.
    fresh: BTreeSet<OfferId>,
    /// Those that are held, by when that ends. A scheduler may hold those of a whole cluster, so neither the next
    /// deadline nor what is due is found by looking at all.
    by_time: BTreeSet<(Timestamp, OfferId)>,
}

#[derive(Clone, Debug)]
struct InHand {
    offer: Offer,
    /// Until when, if the scheduler wants to keep it, and what then keeps it away.
    held: Option<(Timestamp, Filters)>,
}

impl Offers {
    /// Takes in what has just arrived; returns how many it replaces.
    pub(crate) fn put(&mut self, offers: &[Offer]) -> usize {
        let mut replaced = 0;
        for offer in offers {
            replaced += usize::from(self.take(&offer.id));
            self.fresh.insert(offer.id.clone());
            self.in_hand.insert(offer.id.clone(), InHand { offer: offer.clone(), held: None });
        }
        replaced
    }

    pub(crate) fn get(&self, id: &OfferId) -> Option<&Offer> {
        self.in_hand.get(id).map(|held| &held.offer)
    }

    /// Ends an offer; `false` if it is not in hand.
    pub(crate) fn take(&mut self, id: &OfferId) -> bool {
        let Some(InHand { offer, held }) = self.in_hand.remove(id) else { return false };
        match held {
            Some((until, _)) => self.by_time.remove(&(until, offer.id)),
            None => self.fresh.remove(id),
        };
        true
    }

    /// Keeps an offer until then; `false` if it is not in hand.
    pub(crate) fn hold(&mut self, id: &OfferId, until: Timestamp, filters: Filters) -> bool {
        let Some(held) = self.in_hand.get_mut(id) else { return false };
        match held.held.replace((until, filters)) {
            Some((before, _)) => self.by_time.remove(&(before, id.clone())),
            None => self.fresh.remove(id),
        };
        self.by_time.insert((until, id.clone()));
        true
    }

    /// Ends all offers at once: their subscription is no more.
    pub(crate) fn drop_all(&mut self) {
        *self = Self::default();
    }

    /// Ends and returns whatever is not held.
    pub(crate) fn take_rest(&mut self) -> Vec<OfferId> {
        let rest: Vec<OfferId> = std::mem::take(&mut self.fresh).into_iter().collect();
        for id in &rest {
            self.in_hand.remove(id);
        }
        rest
    }

    /// Ends and returns whatever was held for long enough.
    pub(crate) fn take_expired(&mut self, now: Timestamp) -> Vec<(OfferId, Filters)> {
        let mut expired = Vec::new();
        while self.next_deadline().is_some_and(|until| until <= now) {
            let Some((_, id)) = self.by_time.pop_first() else { break };
            let held = self.in_hand.remove(&id).and_then(|held| held.held);
            expired.push((id, held.map_or(Filters::DEFAULT, |(_, filters)| filters)));
        }
        expired
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(until, _)| *until)
    }

    /// Those that nobody wants to keep; none between two events.
    pub(crate) fn not_held(&self) -> impl Iterator<Item = &OfferId> {
        self.fresh.iter()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Offer> {
        self.in_hand.values().map(|held| &held.offer)
    }
}
