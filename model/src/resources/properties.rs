//! Property tests of the algebra, against naive models where there is one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    any_devices, any_quantities, any_ranges, any_resource, any_resources, any_role, any_scalar, any_set,
    any_written_resources,
};

fn numbers_of(ranges: &Ranges) -> BTreeSet<u64> {
    ranges.numbers().collect()
}

fn ranges_of(numbers: &BTreeSet<u64>) -> Ranges {
    Ranges::new(numbers.iter().map(|number| (*number, *number))).unwrap()
}

/// Numbers near each other, at one end of all numbers or the other.
fn any_numbers() -> impl Strategy<Value = BTreeSet<u64>> {
    let near = prop_oneof![Just(0), Just(u64::MAX - 30)];
    (near, btree_set(0..=30_u64, 0..25))
        .prop_map(|(base, numbers)| numbers.into_iter().map(|number| base + number).collect())
}

/// A part of `whole`: some of its kinds, and some of each.
fn part_of(whole: &Resources, choices: &[(bool, u64)]) -> Resources {
    let parts = whole.iter().zip(choices).filter(|(_, (taken, _))| *taken).map(|(resource, (_, share))| {
        let value = match resource.value() {
            Value::Scalar(scalar) => {
                Value::Scalar(Scalar::from_thousandths(share % (scalar.thousandths() + 1)).unwrap())
            }
            Value::Ranges(ranges) => {
                let some = ranges.iter().enumerate().filter(|(index, _)| share >> (index % 64) & 1 == 1);
                Value::Ranges(
                    Ranges::new(some.map(|(_, (begin, end))| (begin, begin.midpoint(end)))).unwrap(),
                )
            }
            Value::Set(set) => {
                let some = set.iter().enumerate().filter(|(index, _)| share >> (index % 64) & 1 == 1);
                Value::Set(Set::new(some.map(|(_, item)| item)))
            }
            Value::Devices(devices) => {
                let some = devices.iter().enumerate().filter(|(index, _)| share >> (index % 64) & 1 == 1);
                Value::Devices(Devices::new(some.map(|(_, (id, left))| (id.clone(), left / 2))).unwrap())
            }
        };
        let whole = resource.metadata().disk.as_ref().is_some_and(Disk::is_indivisible);
        let value = if whole { resource.value().clone() } else { value };
        Resource::with_metadata(resource.name(), value, resource.metadata().clone()).unwrap()
    });
    Resources::of(parts).unwrap()
}

proptest! {
    /// What was added can be taken away again, and nothing else is left.
    #[test]
    fn a_sum_without_one_part_is_the_other(a in any_resources(), b in any_resources()) {
        if let Ok(sum) = a.checked_add(&b) {
            prop_assert!(sum.contains(&a) && sum.contains(&b));
            prop_assert_eq!(sum.checked_sub(&b), Some(a.clone()));
            prop_assert_eq!(sum.checked_sub(&a), Some(b));
        }
    }

    /// A part and what is left without it are the whole.
    #[test]
    fn a_part_and_the_rest_are_the_whole(
        whole in any_resources(),
        choices in vec(any::<(bool, u64)>(), 24),
    ) {
        let part = part_of(&whole, &choices);
        let rest = whole.checked_sub(&part);
        prop_assert!(rest.is_some(), "{whole} does not contain {part}");
        prop_assert_eq!(rest.unwrap().checked_add(&part), Ok(whole));
    }

    /// The order of a sum changes neither the sum nor whether there is one.
    #[test]
    fn sums_do_not_depend_on_their_order(parts in vec(any_resource(), 0..8), turn in 0..8_usize) {
        let forth = Resources::of(parts.clone());
        let back = Resources::of(parts.iter().rev().cloned());
        let mut turned = parts.clone();
        turned.rotate_left(turn.min(parts.len()));
        prop_assert_eq!(forth.is_ok(), back.is_ok());
        prop_assert_eq!(forth.is_ok(), Resources::of(turned.iter().cloned()).is_ok());
        if let (Ok(forth), Ok(back), Ok(turned)) = (forth, back, Resources::of(turned)) {
            prop_assert_eq!(&forth, &back);
            prop_assert_eq!(&forth, &turned);
        }
    }

    /// The same for sums of collections: commutative and associative.
    #[test]
    fn collections_add_in_any_order(a in any_resources(), b in any_resources(), c in any_resources()) {
        prop_assert_eq!(a.checked_add(&b).ok(), b.checked_add(&a).ok());
        let left = a.checked_add(&b).ok().and_then(|sum| sum.checked_add(&c).ok());
        let right = b.checked_add(&c).ok().and_then(|sum| a.checked_add(&sum).ok());
        prop_assert_eq!(left, right);
    }

    /// `contains` says exactly whether a subtraction succeeds, for parts and for strangers.
    #[test]
    fn what_is_contained_can_be_taken_away(
        a in any_resources(),
        b in any_resources(),
        choices in vec(any::<(bool, u64)>(), 24),
    ) {
        prop_assert_eq!(a.contains(&b), a.checked_sub(&b).is_some());
        let part = part_of(&a, &choices);
        prop_assert!(a.contains(&part));
        prop_assert_eq!(part.contains(&a), part.checked_sub(&a).is_some());
    }

    /// Equal collections are equal values, however they came about: sorted by kind, each kind once.
    #[test]
    fn a_collection_is_normalised(a in any_resources(), b in any_resources()) {
        let sum = a.checked_add(&b).unwrap_or(a);
        let kinds: Vec<_> = sum.iter().map(|one| (one.name(), one.metadata())).collect();
        prop_assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]));
        let units = sum.iter().flat_map(|one| {
            let single = Resource::with_metadata(one.name(), one.value().clone(), one.metadata().clone());
            std::iter::repeat_n(single.unwrap(), usize::try_from(one.copies()).unwrap())
        });
        prop_assert_eq!(Resources::of(units), Ok(sum.clone()));
    }

    /// The text form is read back as what was written.
    #[test]
    fn written_resources_read_back(resources in any_written_resources()) {
        prop_assert_eq!(Resources::parse(&resources.to_string()), Ok(resources));
    }

    /// Metadata that the text form has no words for is never read back as something else, save the provider
    /// and what is never printed of a disk.
    #[test]
    fn what_cannot_be_written_is_refused(resource in any_resource()) {
        let metadata = resource.metadata();
        let printable = match &metadata.reservations[..] {
            [] => true,
            [only] => {
                let plain = only.principal.is_none() && only.labels.0.is_empty();
                plain && only.kind == ReservationKind::Static
            }
            _ => false,
        };
        if !printable || metadata.disk.is_some() || metadata.revocable {
            prop_assert!(Resources::parse(&resource.to_string()).is_err(), "{resource}");
        }
    }

    /// No text makes the parser panic, and what it takes prints to something that it takes for the same.
    #[test]
    fn no_text_harms_the_parser(text in r#"([a-c*/ \\]|[0-9.\-]|[:;,()\[\]{}"]|\PC){0,40}"#) {
        if let Ok(resources) = Resources::parse(&text) {
            prop_assert_eq!(Resources::parse(&resources.to_string()), Ok(resources));
        }
    }

    /// A role may use what is anyone's and what is reserved for it or above it, and nothing else.
    #[test]
    fn a_role_uses_what_is_its_own_or_above(resources in any_resources(), role in any_role()) {
        let usable = resources.usable_by(&role);
        prop_assert!(resources.contains(&usable));
        for resource in resources.iter() {
            let above = |owner: &crate::Role| {
                *owner == role || role.as_str().starts_with(&format!("{owner}/"))
            };
            let expected = resource.reserved_for().is_none_or(above);
            prop_assert_eq!(usable.iter().any(|one| one == resource), expected);
        }
        prop_assert!(usable.contains(&resources.unreserved()));
    }

    /// Totals by name are sums over all kinds, and a shared volume counts once.
    #[test]
    fn quantities_are_the_totals(resources in any_resources()) {
        let mut totals: BTreeMap<&str, u128> = BTreeMap::new();
        for resource in resources.iter() {
            let amount = match resource.value() {
                Value::Scalar(scalar) => u128::from(scalar.thousandths()),
                Value::Devices(devices) => devices.iter().map(|(_, share)| u128::from(share)).sum(),
                Value::Ranges(_) | Value::Set(_) => continue,
            };
            *totals.entry(resource.name()).or_default() += amount;
        }
        let max = u128::from(Scalar::MAX.thousandths());
        let totals: BTreeMap<_, _> = totals.into_iter().map(|(name, sum)| (name, sum.min(max))).collect();
        let quantities = resources.quantities();
        let counted: BTreeMap<_, _> =
            quantities.iter().map(|(name, amount)| (name, u128::from(amount.thousandths()))).collect();
        prop_assert_eq!(counted, totals);
    }

    /// Quantities add without overflow, and what contains another has at least as much of everything.
    #[test]
    fn quantities_stop_at_the_ends(a in any_quantities(), b in any_quantities()) {
        let mut sum = a.clone();
        sum.add(&b);
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        let mut left = a.clone();
        left.subtract(&b);
        prop_assert!(a.contains(&left));
        for (name, amount) in left.iter() {
            prop_assert!(amount > Scalar::ZERO);
            prop_assert_eq!(Some(amount), a.get(name).checked_sub(b.get(name)));
        }
        prop_assert_eq!(a.contains(&b), b.iter().all(|(name, amount)| a.get(name) >= amount));
    }

    /// An amount goes through a double of the wire unchanged.
    #[test]
    fn an_amount_survives_the_wire(amount in any_scalar()) {
        prop_assert_eq!(Scalar::from_f64(amount.to_f64()), Ok(amount));
        prop_assert_eq!(Scalar::parse(&amount.to_string()), Ok(amount));
    }

    /// The same in the upper half of all amounts, where doubles are furthest apart and two roundings come
    /// nearest to a mistake.
    #[test]
    fn the_largest_amounts_survive_the_wire(below in 0..=Scalar::MAX.thousandths() / 2) {
        let amount = Scalar::from_thousandths(Scalar::MAX.thousandths() - below).unwrap();
        prop_assert_eq!(Scalar::from_f64(amount.to_f64()), Ok(amount));
        let just_above = Scalar::from_thousandths(Scalar::MAX.thousandths() / 2 + below / 64).unwrap();
        prop_assert_eq!(Scalar::from_f64(just_above.to_f64()), Ok(just_above));
    }

    /// A double is an amount exactly if it is a number from 0 to the largest amount; then it is rounded.
    #[test]
    fn only_amounts_are_taken_from_the_wire(value in proptest::num::f64::ANY) {
        match Scalar::from_f64(value) {
            Ok(amount) => {
                prop_assert!((0.0..Scalar::MAX.to_f64() + 0.0005).contains(&value));
                prop_assert!((amount.to_f64() - value).abs() <= 0.001);
            }
            Err(InvalidScalar::NotFinite(_)) => prop_assert!(!value.is_finite()),
            Err(InvalidScalar::Negative(_)) => prop_assert!(value < 0.0 && value.is_finite()),
            Err(InvalidScalar::TooLarge(_)) => prop_assert!(value > Scalar::MAX.to_f64()),
            Err(InvalidScalar::NotDecimal(_)) => prop_assert!(false, "a double is no text"),
        }
    }

    /// Amounts add up to the largest one and no further, and never wrap.
    #[test]
    fn amounts_never_overflow(a in any_scalar(), b in any_scalar()) {
        let sum = a.thousandths() + b.thousandths();
        prop_assert_eq!(a.checked_add(b), Scalar::from_thousandths(sum));
        prop_assert_eq!(a.checked_add(b).is_some(), sum <= Scalar::MAX.thousandths());
        prop_assert_eq!(a.checked_sub(b).is_some(), a >= b);
        prop_assert_eq!(a.saturating_sub(b), a.checked_sub(b).unwrap_or_default());
    }

    /// Ranges behave as sets of numbers do.
    #[test]
    fn ranges_are_sets_of_numbers(a in any_numbers(), b in any_numbers()) {
        let (first, second) = (ranges_of(&a), ranges_of(&b));
        prop_assert_eq!(&numbers_of(&first), &a);
        prop_assert_eq!(first.count(), a.len() as u64);
        prop_assert_eq!(first.is_empty(), a.is_empty());
        prop_assert_eq!(first.contains(&second), b.is_subset(&a));
        let left = b.is_subset(&a).then(|| a.difference(&b).copied().collect());
        prop_assert_eq!(first.checked_sub(&second).as_ref().map(numbers_of), left);
        match first.disjoint_union(&second) {
            Ok(union) => {
                prop_assert!(a.is_disjoint(&b));
                prop_assert_eq!(union, ranges_of(&a.union(&b).copied().collect()));
            }
            Err(twice) => prop_assert!(a.contains(&twice) && b.contains(&twice)),
        }
        let union: BTreeSet<_> = a.union(&b).copied().collect();
        prop_assert_eq!(Ranges::new(first.iter().chain(second.iter())), Ok(ranges_of(&union)));
        let left: BTreeSet<_> = union.difference(&b).copied().collect();
        prop_assert_eq!(ranges_of(&union).checked_sub(&second), Some(ranges_of(&left)));
    }

    /// Ranges are sorted and apart, and their text is read back.
    #[test]
    fn ranges_are_normalised(ranges in any_ranges(), other in any_ranges()) {
        let apart = |ranges: &Ranges| {
            let all: Vec<_> = ranges.iter().collect();
            all.windows(2).all(|pair| pair[0].1 < u64::MAX && pair[0].1 + 1 < pair[1].0)
        };
        prop_assert!(apart(&ranges));
        prop_assert_eq!(Ranges::parse(&ranges.to_string()), Ok(ranges.clone()));
        if let Ok(union) = ranges.disjoint_union(&other) {
            prop_assert!(apart(&union));
            prop_assert_eq!(union.checked_sub(&other), Some(ranges));
        }
    }

    /// Sets behave as sets do.
    #[test]
    fn set_items_have_one_holder(a in any_set(), b in any_set()) {
        let (first, second): (BTreeSet<_>, BTreeSet<_>) = (a.iter().collect(), b.iter().collect());
        prop_assert_eq!(a.contains(&b), second.is_subset(&first));
        prop_assert_eq!(a.checked_sub(&b).is_some(), a.contains(&b));
        match a.disjoint_union(&b) {
            Ok(union) => {
                prop_assert_eq!(union.len(), first.union(&second).count());
                prop_assert_eq!(union.checked_sub(&b), Some(a.clone()));
            }
            Err(twice) => prop_assert!(first.contains(&*twice) && second.contains(&*twice)),
        }
    }

    /// Devices behave as a map to thousandths does.
    #[test]
    fn devices_are_a_map_to_thousandths(a in any_devices(), b in any_devices()) {
        let map = |devices: &Devices| -> BTreeMap<String, u32> {
            devices.iter().map(|(id, share)| (id.to_string(), u32::from(share))).collect()
        };
        let (first, second) = (map(&a), map(&b));
        let mut sum = first.clone();
        second.iter().for_each(|(id, share)| *sum.entry(id.clone()).or_default() += share);
        match a.checked_add(&b) {
            Ok(together) => {
                prop_assert_eq!(map(&together), sum);
                prop_assert_eq!(together.checked_sub(&b), Some(a.clone()));
            }
            Err(twice) => prop_assert!(sum[&*twice] > 1000),
        }
        let holds = second.iter().all(|(id, share)| first.get(id).is_some_and(|held| held >= share));
        prop_assert_eq!(a.contains(&b), holds);
        prop_assert_eq!(a.checked_sub(&b).is_some(), holds);
        prop_assert_eq!(a.total(), first.values().map(|share| u64::from(*share)).sum::<u64>());
        prop_assert_eq!(a.whole(), first.values().filter(|share| **share == 1000).count());
    }

    /// What is taken of devices was there, and is as much as was asked for.
    #[test]
    fn taken_devices_were_there(
        shares in btree_map("[a-d]", 0..=1000_u16, 0..4),
        count in 0..4_usize,
        share in 0..=1100_u16,
    ) {
        let devices = Devices::new(shares.into_iter().map(|(id, share)| (id.into(), share))).unwrap();
        match devices.take_whole(count) {
            Some(taken) => prop_assert!(devices.contains(&taken) && taken.whole() == count),
            None => prop_assert!(devices.whole() < count),
        }
        match devices.take_share(share) {
            Some(taken) => {
                prop_assert!(devices.contains(&taken) && taken.total() == u64::from(share));
                let left = devices.checked_sub(&taken).unwrap();
                let is_split = devices.whole() > left.whole();
                let other = |left: u16| left < Devices::WHOLE && left >= share;
                prop_assert!(!is_split || share == 0 || !devices.iter().any(|(_, left)| other(left)));
            }
            None => prop_assert!(!devices.iter().any(|(_, left)| left >= share)),
        }
    }
}
