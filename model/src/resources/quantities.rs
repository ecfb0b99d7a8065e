//! Totals by name, without metadata: what fairness and quota count in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Scalar;

/// An amount for each name; names with nothing are left out. Devices count in thousandths of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(BTreeMap<Arc<str>, Scalar>);

impl Quantities {
    /// The amount of `name`; zero if there is none.
    pub fn get(&self, name: &str) -> Scalar {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and amounts in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Scalar)> {
        self.0.iter().map(|(name, amount)| (&**name, *amount))
    }

    /// Sets the amount of `name`; zero takes it out.
    pub fn set(&mut self, name: &str, amount: Scalar) {
        if amount == Scalar::ZERO {
            self.0.remove(name);
        } else {
            self.0.insert(Arc::from(name), amount);
        }
    }

    /// Adds `other`, name by name. Sums stop at [`Scalar::MAX`]: totals over a cluster may reach it,
    /// and no promise rests on them.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let held = self.0.entry(name.clone()).or_default();
            *held = held.checked_add(*amount).unwrap_or(Scalar::MAX);
        }
    }

    /// Takes `other` away, name by name, down to zero.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(held) = self.0.get_mut(name) {
                *held = held.saturating_sub(*amount);
            }
        }
        self.0.retain(|_, amount| *amount > Scalar::ZERO);
    }

    /// Has every name at least as much as in `other`?
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, amount)| self.get(name) >= *amount)
    }

    pub(super) fn add_one(&mut self, name: &Arc<str>, amount: Scalar) {
        if amount > Scalar::ZERO {
            let held = self.0.entry(name.clone()).or_default();
            *held = held.checked_add(amount).unwrap_or(Scalar::MAX);
        }
    }
}

impl<'a> FromIterator<(&'a str, Scalar)> for Quantities {
    fn from_iter<T: IntoIterator<Item = (&'a str, Scalar)>>(amounts: T) -> Self {
        let mut all = Self::default();
        for (name, amount) in amounts {
            all.add_one(&Arc::from(name), amount);
        }
        all
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.iter().enumerate() {
            write!(f, "{}{name}:{amount}", if index == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantities<const N: usize>(amounts: [(&str, u64); N]) -> Quantities {
        amounts.map(|(name, units)| (name, Scalar::from_units(units).unwrap())).into_iter().collect()
    }

    #[test]
    fn a_name_with_nothing_is_left_out() {
        let mut all = quantities([("cpus", 4), ("mem", 0)]);
        assert_eq!(all.to_string(), "cpus:4");
        all.set("cpus", Scalar::ZERO);
        assert!(all.is_empty());
        assert_eq!(all.get("cpus"), Scalar::ZERO);
    }

    #[test]
    fn totals_stop_at_both_ends() {
        let mut all: Quantities = [("mem", Scalar::MAX)].into_iter().collect();
        all.add(&all.clone());
        assert_eq!(all.get("mem"), Scalar::MAX);
        let mut few = quantities([("cpus", 1), ("mem", 2)]);
        few.subtract(&quantities([("cpus", 2), ("gpus", 1), ("mem", 1)]));
        assert_eq!(few.to_string(), "mem:1");
    }

    #[test]
    fn devices_count_in_thousandths_of_one() {
        let resources: crate::Resources = "gpus:{0:1000,1:540};ports:[1-9]".parse().unwrap();
        assert_eq!(resources.quantities().to_string(), "gpus:1.54");
    }
}
