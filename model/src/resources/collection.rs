//! The normalised collection. See the module above for what always holds.

use std::cmp::Ordering;
use std::fmt;

use super::{AddError, Quantities, Ranges, Resource, Scalar, Value};
use crate::role::Role;

/// Resources of any kinds, normalised. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources(Vec<Resource>);

impl Resources {
    /// Nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// All of `resources` together. Errors: [`AddError`].
    pub fn of(resources: impl IntoIterator<Item = Resource>) -> Result<Self, AddError> {
        let mut all = Self::new();
        for resource in resources {
            all.insert(resource)?;
        }
        Ok(all)
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind with its amount, ordered by name and metadata.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }

    /// Both together. O(kinds). Errors: [`AddError`].
    pub fn checked_add(&self, other: &Self) -> Result<Self, AddError> {
        let mut sum = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.compare_kinds(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(Self(sum)),
            };
            match order {
                Ordering::Less => sum.extend(left.next().cloned()),
                Ordering::Greater => sum.extend(right.next().cloned()),
                Ordering::Equal => {
                    if let (Some(a), Some(b)) = (left.next(), right.next()) {
                        sum.push(a.checked_add(b)?);
                    }
                }
            }
        }
    }

    /// What is left of `self` without `part`; `None` unless `self` contains all of `part`. O(kinds).
    pub fn checked_sub(&self, part: &Self) -> Option<Self> {
        let mut rest = Vec::with_capacity(self.0.len());
        let mut parts = part.0.iter().peekable();
        for resource in &self.0 {
            match parts.peek().map(|part| resource.compare_kinds(part)) {
                Some(Ordering::Equal) => rest.extend(resource.checked_sub(parts.next()?)?),
                Some(Ordering::Greater) => return None,
                Some(Ordering::Less) | None => rest.push(resource.clone()),
            }
        }
        parts.peek().is_none().then_some(Self(rest))
    }

    /// Is all of `part` in `self`? As [`Self::checked_sub`], without making anything. O(kinds).
    pub fn contains(&self, part: &Self) -> bool {
        let mut held = self.0.iter();
        part.0.iter().all(|part| {
            let mut ordered = held.by_ref().map(|resource| (resource, resource.compare_kinds(part)));
            let found = ordered.find(|(_, order)| *order != Ordering::Less);
            found.is_some_and(|(resource, order)| order == Ordering::Equal && resource.contains(part))
        })
    }

    /// Those of which `keep` says so.
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        Self(self.0.iter().filter(|resource| keep(resource)).cloned().collect())
    }

    /// What may be used for `role`: what is nobody's, and what is reserved for it or for a role above it.
    pub fn usable_by(&self, role: &Role) -> Self {
        self.filter(|resource| {
            resource.reserved_for().is_none_or(|owner| owner == role || role.is_below(owner))
        })
    }

    /// What nobody has reserved.
    pub fn unreserved(&self) -> Self {
        self.filter(|resource| resource.reserved_for().is_none())
    }

    /// The amount of scalar `name` over all kinds; stops at [`Scalar::MAX`].
    pub fn scalar(&self, name: &str) -> Scalar {
        self.0.iter().filter(|resource| resource.name() == name).fold(Scalar::ZERO, |sum, resource| {
            match resource.value() {
                Value::Scalar(amount) => sum.checked_add(*amount).unwrap_or(Scalar::MAX),
                Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => sum,
            }
        })
    }

    /// The ranges of `name` over all kinds.
    pub fn ranges(&self, name: &str) -> Ranges {
        let all = self.0.iter().filter(|resource| resource.name() == name);
        let ranges = all.filter_map(|resource| match resource.value() {
            Value::Ranges(ranges) => Some(ranges.iter()),
            Value::Scalar(_) | Value::Set(_) | Value::Devices(_) => None,
        });
        Ranges::new(ranges.flatten()).unwrap_or_default()
    }

    /// Totals by name: scalars, and devices in thousandths of one. A shared volume counts once.
    pub fn quantities(&self) -> Quantities {
        let mut totals = Quantities::default();
        for resource in &self.0 {
            match resource.value() {
                Value::Scalar(amount) => totals.add_one(resource.shared_name(), *amount),
                Value::Devices(devices) => {
                    let amount = Scalar::from_thousandths(devices.total()).unwrap_or(Scalar::MAX);
                    totals.add_one(resource.shared_name(), amount);
                }
                Value::Ranges(_) | Value::Set(_) => {}
            }
        }
        totals
    }

    pub(super) fn insert(&mut self, resource: Resource) -> Result<(), AddError> {
        if resource.is_nothing() {
            return Ok(());
        }
        match self.0.binary_search_by(|held| held.compare_kinds(&resource)) {
            Ok(index) => self.0[index] = self.0[index].checked_add(&resource)?,
            Err(index) => self.0.insert(index, resource),
        }
        Ok(())
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, resource) in self.0.iter().enumerate() {
            write!(f, "{}{resource}", if index == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(text: &str) -> Resources {
        text.parse().unwrap()
    }

    #[test]
    fn a_role_is_offered_what_is_anyones_its_own_and_above() {
        let all = resources("cpus:1;cpus(eng):2;cpus(eng/web):4;cpus(ops):8;cpus(engine):16");
        let usable = |role: &str| all.usable_by(&Role::new(role).unwrap()).scalar("cpus").whole_units();
        assert_eq!(["*", "eng", "eng/web", "eng/db", "ops"].map(usable), [1, 3, 7, 3, 9]);
        assert_eq!(all.unreserved(), resources("cpus:1"));
        assert_eq!(all.scalar("cpus"), resources("cpus:31").scalar("cpus"));
    }

    #[test]
    fn an_amount_of_one_kind_does_not_stand_in_for_another() {
        let all = resources("cpus:4;cpus(web):4");
        assert!(all.contains(&resources("cpus:4;cpus(web):1")));
        assert!(!all.contains(&resources("cpus:5")));
        assert!(!all.contains(&resources("cpus(ops):1")));
        assert!(!all.contains(&resources("mem:1")));
        assert!(all.contains(&Resources::new()) && !Resources::new().contains(&all));
    }

    #[test]
    fn ranges_of_all_kinds_are_one() {
        let all = resources("ports:[1-5];ports(web):[6-9];cpus:1");
        assert_eq!(all.ranges("ports").to_string(), "[1-9]");
        assert!(all.ranges("cpus").is_empty());
        assert_eq!(all.filter(|one| one.name() == "cpus"), resources("cpus:1"));
    }
}
