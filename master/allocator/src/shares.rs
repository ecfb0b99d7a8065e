//! Dominant shares and their order.
//!
//! The dominant share of a client is its largest fraction of any one resource of the cluster, divided by
//! its weight. Fractions are compared exactly, as fractions: no rounding decides who is served.
//! All that is allocated counts, reserved and revocable too, devices in thousandths of one. A resource
//! of which the cluster has nothing does not count.
//!
//! Ties go to whoever was served less often, then to the name: with equal shares, as when everybody
//! declines, turns are taken.
//!
//! Invariants
//! - `order` holds exactly the clients in line, each under the place it has stored.
//!
//! Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011, section 4; Mesos, DRF sorter.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::resources::{Quantities, Scalar};

/// Totals by name that never saturate: 2^51 thousandths on each of 2^64 agents fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums(BTreeMap<Arc<str>, u128>);

impl Sums {
    pub(crate) fn get(&self, name: &str) -> u128 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, quantities: &Quantities) {
        for (name, amount) in quantities.iter() {
            match self.0.get_mut(name) {
                Some(held) => *held += u128::from(amount.thousandths()),
                None => {
                    self.0.insert(Arc::from(name), u128::from(amount.thousandths()));
                }
            }
        }
    }

    /// Takes away what was added before.
    pub(crate) fn subtract(&mut self, quantities: &Quantities) {
        for (name, amount) in quantities.iter() {
            let left = self.get(name).checked_sub(u128::from(amount.thousandths()));
            match left.expect("only what was added is taken away") {
                0 => self.0.remove(name),
                left => self.0.insert(Arc::from(name), left),
            };
        }
    }

    /// As quantities, each at most [`Scalar::MAX`].
    pub(crate) fn to_quantities(&self) -> Quantities {
        let amount = |sum: u128| u64::try_from(sum).ok().and_then(Scalar::from_thousandths);
        self.0.iter().map(|(name, sum)| (&**name, amount(*sum).unwrap_or(Scalar::MAX))).collect()
    }
}

/// What the cluster has. The version tells whether shares were computed from the same.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    sums: Sums,
    version: u64,
}

impl Totals {
    pub(crate) fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(crate) fn change(&mut self, before: &Quantities, after: &Quantities) {
        if before != after {
            self.sums.add(after);
            self.sums.subtract(before);
            self.version += 1;
        }
    }
}

/// A dominant share, as an exact fraction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    part: u128,
    /// Above 0.
    whole: u128,
}

impl Share {
    const NOTHING: Self = Self { part: 0, whole: 1 };

    /// `weight` in thousandths, above 0. O(names in `allocated`).
    fn dominant(allocated: &Sums, weight: Scalar, totals: &Sums) -> Self {
        let weight = u128::from(weight.thousandths());
        let fraction = |(name, part): (&Arc<str>, &u128)| {
            let whole = totals.get(name).saturating_mul(weight);
            (whole > 0).then_some(Self { part: *part, whole })
        };
        allocated.0.iter().filter_map(fraction).max().unwrap_or(Self::NOTHING)
    }

    fn millionths(self) -> u64 {
        let millionths = self.part.saturating_mul(1_000_000) / self.whole;
        u64::try_from(millionths).unwrap_or(u64::MAX)
    }
}

impl Ord for Share {
    /// By cross-multiplication; where that would overflow, by the whole parts and then the
    /// reciprocals of what is left, as in Euclid's algorithm.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b, mut c, mut d) = (self.part, self.whole, other.part, other.whole);
        loop {
            if let (Some(left), Some(right)) = (a.checked_mul(d), c.checked_mul(b)) {
                return left.cmp(&right);
            }
            let (a_rest, c_rest) = (a % b, c % d);
            match (a / b).cmp(&(c / d)) {
                Ordering::Equal if a_rest == 0 || c_rest == 0 => return a_rest.cmp(&c_rest),
                Ordering::Equal => (a, b, c, d) = (d, c_rest, b, a_rest),
                unequal @ (Ordering::Less | Ordering::Greater) => return unequal,
            }
        }
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

/// Where a client stands; the smallest is served first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<Id> {
    share: Share,
    served: u64,
    id: Id,
}

/// One who shares.
#[derive(Debug)]
pub(crate) struct Client {
    weight: Scalar,
    allocated: Sums,
    /// Allocations ever made to it.
    served: u64,
    /// Its share in `order`, if it stands in line; that of the time it was put there.
    in_line: Option<Share>,
    /// Remembered even with nothing allocated and not in line.
    kept: bool,
}

impl Client {
    pub(crate) fn weight(&self) -> Scalar {
        self.weight
    }

    pub(crate) fn allocated(&self) -> &Sums {
        &self.allocated
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    pub(crate) fn is_in_line(&self) -> bool {
        self.in_line.is_some()
    }

    /// The share without the weight, in millionths.
    pub(crate) fn share_millionths(&self, totals: &Totals) -> u64 {
        Share::dominant(&self.allocated, DEFAULT_WEIGHT, &totals.sums).millionths_of_default_weight()
    }
}

impl Share {
    fn millionths_of_default_weight(self) -> u64 {
        let part = self.part.saturating_mul(u128::from(DEFAULT_WEIGHT.thousandths()));
        Self { part, whole: self.whole }.millionths()
    }
}

/// 1.
pub(crate) const DEFAULT_WEIGHT: Scalar = match Scalar::from_units(1) {
    Some(one) => one,
    None => Scalar::MAX,
};

/// Clients and the order in which those in line are served.
///
/// Changing one costs O(log clients); only when the cluster's total has changed is the order made anew,
/// once, at its next use.
#[derive(Debug)]
pub(crate) struct Ranking<Id> {
    clients: BTreeMap<Id, Client>,
    order: BTreeSet<Place<Id>>,
    /// Of the totals from which all of `order` was made.
    version: u64,
}

impl<Id> Default for Ranking<Id> {
    fn default() -> Self {
        Self { clients: BTreeMap::new(), order: BTreeSet::new(), version: 0 }
    }
}

impl<Id: Clone + Ord> Ranking<Id> {
    pub(crate) fn get(&self, id: &Id) -> Option<&Client> {
        self.clients.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Id, &Client)> {
        self.clients.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub(crate) fn is_anyone_in_line(&self) -> bool {
        !self.order.is_empty()
    }

    /// Those in line, who comes first first. Call [`Ranking::refresh`] before.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = &Id> {
        self.order.iter().map(|place| &place.id)
    }

    /// Makes the order anew if the cluster's total has changed.
    pub(crate) fn refresh(&mut self, totals: &Totals) {
        if self.version == totals.version {
            return;
        }
        self.version = totals.version;
        self.order.clear();
        for (id, client) in &mut self.clients {
            if client.in_line.is_some() {
                let share = Share::dominant(&client.allocated, client.weight, &totals.sums);
                client.in_line = Some(share);
                self.order.insert(Place { share, served: client.served, id: id.clone() });
            }
        }
    }

    pub(crate) fn account(&mut self, id: &Id, before: &Quantities, after: &Quantities, totals: &Totals) {
        self.change(id, totals, |client| {
            client.allocated.add(after);
            client.allocated.subtract(before);
            client.in_line.is_some()
        });
    }

    pub(crate) fn count_served(&mut self, id: &Id, totals: &Totals) {
        self.change(id, totals, |client| {
            client.served += 1;
            client.in_line.is_some()
        });
    }

    pub(crate) fn set_weight(&mut self, id: &Id, weight: Scalar, totals: &Totals) {
        self.change(id, totals, |client| {
            client.weight = weight;
            client.in_line.is_some()
        });
    }

    pub(crate) fn set_in_line(&mut self, id: &Id, in_line: bool, kept: bool, totals: &Totals) {
        self.change(id, totals, |client| {
            client.kept = kept;
            in_line
        });
    }

    /// Takes the client out of the order, lets `change` work on it, and puts it where it belongs if
    /// `change` says that it stands in line. Clients are made when first named and forgotten when
    /// nothing is left to remember.
    fn change(&mut self, id: &Id, totals: &Totals, change: impl FnOnce(&mut Client) -> bool) {
        let client = self.clients.entry(id.clone()).or_insert_with(|| Client {
            weight: DEFAULT_WEIGHT,
            allocated: Sums::default(),
            served: 0,
            in_line: None,
            kept: false,
        });
        if let Some(share) = client.in_line {
            self.order.remove(&Place { share, served: client.served, id: id.clone() });
        }
        if change(client) {
            let share = Share::dominant(&client.allocated, client.weight, &totals.sums);
            client.in_line = Some(share);
            self.order.insert(Place { share, served: client.served, id: id.clone() });
            return;
        }
        client.in_line = None;
        if !client.kept && client.allocated.is_empty() && client.weight == DEFAULT_WEIGHT {
            self.clients.remove(id);
        }
    }

    /// Does the order hold exactly those in line, each with the share that follows from `totals`?
    pub(crate) fn is_consistent(&self, totals: &Totals) -> bool {
        let in_line = self.clients.iter().filter_map(|(id, client)| Some((id, client, client.in_line?)));
        let places = in_line.map(|(id, client, share)| {
            let place = Place { share, served: client.served, id: id.clone() };
            let follows = Share::dominant(&client.allocated, client.weight, &totals.sums);
            self.order.contains(&place) && (self.version != totals.version || share == follows)
        });
        let places: Vec<bool> = places.collect();
        places.len() == self.order.len() && places.into_iter().all(|good| good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_compared_exactly_however_large() {
        let share = |part, whole| Share { part, whole };
        assert!(share(1, 3) < share(334, 1000));
        assert_eq!(share(1, 2), share(u128::MAX / 4, (u128::MAX / 4) * 2));
        assert!(share(u128::MAX - 2, u128::MAX - 1) < share(u128::MAX - 1, u128::MAX));
        assert!(share(u128::MAX, u128::MAX - 1) > share(u128::MAX, u128::MAX));
        assert_eq!(share(u128::MAX, u128::MAX), share(1, 1));
    }

    #[test]
    fn sums_stay_exact_above_the_largest_amount() {
        let huge = Quantities::from_iter([("mem", Scalar::MAX)]);
        let mut sums = Sums::default();
        sums.add(&huge);
        sums.add(&huge);
        assert_eq!(sums.to_quantities().get("mem"), Scalar::MAX);
        sums.subtract(&huge);
        assert_eq!(sums.get("mem"), u128::from(Scalar::MAX.thousandths()));
        sums.subtract(&huge);
        assert!(sums.is_empty());
    }
}
