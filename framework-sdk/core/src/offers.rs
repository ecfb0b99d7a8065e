//! Offers in hand: shown to the scheduler and not yet answered.
//!
//! An offer that is taken out has been answered, or has ended. One that the plan of its occasion neither
//! used nor held is declined at once; one that is held is declined when its time is up.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::{Offer, OfferId, Timestamp};

/// The longest that an offer can be held. The master's own limit may be shorter; it rescinds then.
pub const MAX_HOLD: Duration = Duration::from_secs(300);

/// Offers in hand, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers {
    in_hand: BTreeMap<OfferId, InHand>,
}

#[derive(Clone, Debug)]
struct InHand {
    offer: Offer,
    /// Until when, if the scheduler wants to keep it, and what then keeps it away.
    held: Option<(Timestamp, Filters)>,
}

impl Offers {
    /// Takes in what has just arrived.
    pub(crate) fn put(&mut self, offers: &[Offer]) {
        let new = |offer: &Offer| (offer.id.clone(), InHand { offer: offer.clone(), held: None });
        self.in_hand.extend(offers.iter().map(new));
    }

    pub(crate) fn get(&self, id: &OfferId) -> Option<&Offer> {
        self.in_hand.get(id).map(|held| &held.offer)
    }

    /// Ends an offer; `false` if it is not in hand.
    pub(crate) fn take(&mut self, id: &OfferId) -> bool {
        self.in_hand.remove(id).is_some()
    }

    /// Keeps an offer until then; `false` if it is not in hand.
    pub(crate) fn hold(&mut self, id: &OfferId, until: Timestamp, filters: Filters) -> bool {
        let Some(held) = self.in_hand.get_mut(id) else { return false };
        held.held = Some((until, filters));
        true
    }

    /// Ends all offers at once: their subscription is no more.
    pub(crate) fn drop_all(&mut self) {
        self.in_hand.clear();
    }

    /// Ends and returns whatever is not held.
    pub(crate) fn take_rest(&mut self) -> Vec<OfferId> {
        let rest = self.in_hand.extract_if(.., |_, held| held.held.is_none());
        rest.map(|(id, _)| id).collect()
    }

    /// Ends and returns whatever was held for long enough.
    pub(crate) fn take_expired(&mut self, now: Timestamp) -> Vec<(OfferId, Filters)> {
        let expired = self.in_hand.extract_if(.., |_, held| held.held.is_some_and(|(until, _)| until <= now));
        expired.map(|(id, held)| (id, held.held.map_or(Filters::DEFAULT, |(_, filters)| filters))).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.in_hand.values().filter_map(|held| held.held.map(|(until, _)| until)).min()
    }

    /// Those that nobody wants to keep; none between two events.
    pub(crate) fn not_held(&self) -> impl Iterator<Item = &OfferId> {
        self.in_hand.iter().filter(|(_, held)| held.held.is_none()).map(|(id, _)| id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.in_hand.values().map(|held| &held.offer)
    }
}
