//! Offers in hand: shown to the scheduler and not yet answered.

use std::collections::BTreeMap;

use lonja_model::{Offer, OfferId};

/// Offers in hand, by id. An offer that is taken out has been answered, or has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers {
    pub(crate) in_hand: BTreeMap<OfferId, Offer>,
}

impl Offers {
    pub(crate) fn put(&mut self, offers: &[Offer]) {
        self.in_hand.extend(offers.iter().map(|offer| (offer.id.clone(), offer.clone())));
    }

    /// Ends an offer; `false` if it is not in hand.
    pub(crate) fn take(&mut self, id: &OfferId) -> bool {
        self.in_hand.remove(id).is_some()
    }

    /// Ends all offers at once: their subscription is no more.
    pub(crate) fn drop_all(&mut self) {
        self.in_hand.clear();
    }

    /// Ends and returns whatever the scheduler has not used.
    pub(crate) fn take_rest(&mut self) -> Vec<OfferId> {
        std::mem::take(&mut self.in_hand).into_keys().collect()
    }
}
