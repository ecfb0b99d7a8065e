//! Amounts by resource name, as flat arrays.
//!
//! What fairness and quotas count in: scalars, and devices in thousandths of one. A name is a small number here, its
//! place in every array. A shared volume counts once, however many copies of it are held.

use std::sync::Arc;

use lonja_model::Resources;
use lonja_model::resources::{Quantities, Resource, Scalar, Value};

use crate::ids::index;

/// The names that have been seen. Few, and never forgotten.
#[derive(Debug, Default)]
pub(crate) struct Kinds(Vec<Arc<str>>);

/// The number of a name.
pub(crate) type Kind = u32;

/// A few amounts in thousandths, each kind at most once, none of them zero.
pub(crate) type Parts = Vec<(Kind, u64)>;

impl Kinds {
    pub(crate) fn name(&self, kind: Kind) -> &str {
        &self.0[index(kind)]
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Kind> {
        self.0.iter().position(|known| **known == *name).and_then(|at| Kind::try_from(at).ok())
    }

    pub(crate) fn intern(&mut self, name: &str) -> Kind {
        self.find(name).unwrap_or_else(|| {
            self.0.push(Arc::from(name));
            Kind::try_from(self.0.len() - 1).expect("fewer than 2^32 names of resources")
        })
    }

    /// The amounts of those resources of which `counts` says so.
    pub(crate) fn parts(&mut self, resources: &Resources, counts: impl Fn(&Resource) -> bool) -> Parts {
        let mut parts = Parts::with_capacity(4);
        for resource in resources.iter().filter(|resource| counts(resource)) {
            if let Some(amount) = amount_of(resource) {
                add_part(&mut parts, self.intern(resource.name()), amount);
            }
        }
        parts
    }

    pub(crate) fn parts_of(&mut self, quantities: &Quantities) -> Parts {
        quantities.iter().map(|(name, amount)| (self.intern(name), amount.thousandths())).collect()
    }

    /// As quantities, each at most [`Scalar::MAX`].
    pub(crate) fn quantities(&self, sums: &Sums) -> Quantities {
        let amount = |sum: u128| u64::try_from(sum).ok().and_then(Scalar::from_thousandths);
        let some = sums.0.iter().zip(&self.0).filter(|(sum, _)| **sum > 0);
        some.map(|(sum, name)| (&**name, amount(*sum).unwrap_or(Scalar::MAX))).collect()
    }
}

/// What a resource counts; `None`: it is no amount, or nothing.
pub(crate) fn amount_of(resource: &Resource) -> Option<u64> {
    let amount = match resource.value() {
        Value::Scalar(amount) => amount.thousandths(),
        Value::Devices(devices) => devices.total(),
        Value::Ranges(_) | Value::Set(_) => 0,
    };
    (amount > 0).then_some(amount)
}

fn add_part(parts: &mut Parts, kind: Kind, amount: u64) {
    match parts.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, held)) => *held = held.saturating_add(amount),
        None => parts.push((kind, amount)),
    }
}

/// How much of `kind` is among the parts.
pub(crate) fn part(parts: &[(Kind, u64)], kind: Kind) -> u64 {
    parts.iter().find(|(known, _)| *known == kind).map_or(0, |(_, amount)| *amount)
}

/// Totals that never saturate: 2^51 thousandths on each of 2^64 agents fit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums(Vec<u128>);

impl Sums {
    pub(crate) fn get(&self, kind: Kind) -> u128 {
        self.0.get(index(kind)).copied().unwrap_or(0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Kind, u128)> + '_ {
        (0..).zip(self.0.iter().copied()).filter(|(_, sum)| *sum > 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|sum| *sum == 0)
    }

    pub(crate) fn set(&mut self, kind: Kind, amount: u128) {
        if amount > 0 && self.0.len() <= index(kind) {
            self.0.resize(index(kind) + 1, 0);
        }
        if let Some(held) = self.0.get_mut(index(kind)) {
            *held = amount;
        }
    }

    pub(crate) fn add(&mut self, parts: &[(Kind, u64)]) {
        for (kind, amount) in parts {
            self.set(*kind, self.get(*kind) + u128::from(*amount));
        }
    }

    /// Takes away what was added before.
    pub(crate) fn subtract(&mut self, parts: &[(Kind, u64)]) {
        for (kind, amount) in parts {
            let left = self.get(*kind).checked_sub(u128::from(*amount));
            self.set(*kind, left.expect("only what was added is taken away"));
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (kind, amount) in other.iter() {
            self.set(kind, self.get(kind) + amount);
        }
    }
}

impl PartialEq for Sums {
    fn eq(&self, other: &Self) -> bool {
        let longest = self.0.len().max(other.0.len());
        (0..longest).all(|at| self.0.get(at).unwrap_or(&0) == other.0.get(at).unwrap_or(&0))
    }
}

impl Eq for Sums {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stay_exact_above_the_largest_amount() {
        let mut kinds = Kinds::default();
        let huge = kinds.parts_of(&Quantities::from_iter([("mem", Scalar::MAX)]));
        let mut sums = Sums::default();
        sums.add(&huge);
        sums.add(&huge);
        assert_eq!(kinds.quantities(&sums).get("mem"), Scalar::MAX);
        sums.subtract(&huge);
        assert_eq!(sums.get(huge[0].0), u128::from(Scalar::MAX.thousandths()));
        sums.subtract(&huge);
        assert!(sums.is_empty());
        assert_eq!(sums, Sums::default());
    }

    #[test]
    fn only_amounts_are_counted_and_devices_in_thousandths() {
        let mut kinds = Kinds::default();
        let all: Resources = "cpus:1.5;gpus:{0:1000,1:540};ports:[1-9];cpus(web):2".parse().unwrap();
        let parts = kinds.parts(&all, |_| true);
        let (cpus, gpus) = (kinds.find("cpus").unwrap(), kinds.find("gpus").unwrap());
        assert_eq!((part(&parts, cpus), part(&parts, gpus), parts.len()), (3_500, 1_540, 2));
    }
}
