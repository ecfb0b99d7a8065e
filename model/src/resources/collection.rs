//! The normalised collection. See the module above for what always holds.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::{AddError, Quantities, Ranges, Resource, Scalar, Value};
use crate::role::Role;

/// Resources of any kinds, normalised. See the module.
///
/// A copy costs nothing: copies share one list, until one of them changes. What is told apart by nothing but its
/// holder (what an agent has free, what an offer holds, what comes back of it) is one list in memory.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Resources(Option<Arc<Vec<Resource>>>);

impl Resources {
    /// Nothing.
    pub const fn new() -> Self {
        Self(None)
    }

    /// `None` stands for the empty list, and for it alone.
    fn from_list(list: Vec<Resource>) -> Self {
        Self((!list.is_empty()).then(|| Arc::new(list)))
    }

    fn list(&self) -> &[Resource] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Are these copies of one another? If not, they may be equal all the same.
    fn is_copy_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
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
        self.0.is_none()
    }

    /// Each kind with its amount, ordered by name and metadata.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.list().iter()
    }

    /// Both together. O(kinds). Errors: [`AddError`].
    pub fn checked_add(&self, other: &Self) -> Result<Self, AddError> {
        if self.is_empty() || other.is_empty() {
            return Ok(if self.is_empty() { other.clone() } else { self.clone() });
        }
        let mut sum = Vec::with_capacity(self.list().len().max(other.list().len()));
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.compare_kinds(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(Self::from_list(sum)),
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
        if part.is_empty() || self.is_copy_of(part) {
            return Some(if part.is_empty() { self.clone() } else { Self::new() });
        }
        let mut rest = Vec::with_capacity(self.list().len());
        let mut parts = part.iter().peekable();
        for resource in self.list() {
            match parts.peek().map(|part| resource.compare_kinds(part)) {
                Some(Ordering::Equal) => rest.extend(resource.checked_sub(parts.next()?)?),
                Some(Ordering::Greater) => return None,
                Some(Ordering::Less) | None => rest.push(resource.clone()),
            }
        }
        parts.peek().is_none().then(|| Self::from_list(rest))
    }

    /// Is all of `part` in `self`? As [`Self::checked_sub`], without making anything. O(kinds).
    pub fn contains(&self, part: &Self) -> bool {
        let mut held = self.iter();
        self.is_copy_of(part)
            || part.iter().all(|part| {
                let mut ordered = held.by_ref().map(|resource| (resource, resource.compare_kinds(part)));
                let found = ordered.find(|(_, order)| *order != Ordering::Less);
                found.is_some_and(|(resource, order)| order == Ordering::Equal && resource.contains(part))
            })
    }

    /// Those of which `keep` says so.
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        if self.iter().all(&keep) {
            return self.clone();
        }
        Self::from_list(self.iter().filter(|resource| keep(resource)).cloned().collect())
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
        self.iter().filter(|resource| resource.name() == name).fold(Scalar::ZERO, |sum, resource| {
            match resource.value() {
                Value::Scalar(amount) => sum.checked_add(*amount).unwrap_or(Scalar::MAX),
                Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => sum,
            }
        })
    }

    /// The ranges of `name` over all kinds.
    pub fn ranges(&self, name: &str) -> Ranges {
        let all = self.iter().filter(|resource| resource.name() == name);
        let ranges = all.filter_map(|resource| match resource.value() {
            Value::Ranges(ranges) => Some(ranges.iter()),
            Value::Scalar(_) | Value::Set(_) | Value::Devices(_) => None,
        });
        Ranges::new(ranges.flatten()).unwrap_or_default()
    }

    /// Totals by name: scalars, and devices in thousandths of one. A shared volume counts once.
    pub fn quantities(&self) -> Quantities {
        let mut totals = Quantities::default();
        for resource in self.list() {
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
        match self.list().binary_search_by(|held| held.compare_kinds(&resource)) {
            Ok(index) => {
                let sum = self.list()[index].checked_add(&resource)?;
                self.list_mut()[index] = sum;
            }
            Err(index) => self.list_mut().insert(index, resource),
        }
        Ok(())
    }

    /// For a change after which it is not empty. Copies keep the list as it was.
    fn list_mut(&mut self) -> &mut Vec<Resource> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resources").field(&self.list()).finish()
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, resource) in self.iter().enumerate() {
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
    fn a_copy_does_not_change_with_its_original() {
        let mut all = resources("cpus:4;mem:10");
        let (copy, more) = (all.clone(), resources("cpus:1"));
        all.insert(more.iter().next().unwrap().clone()).unwrap();
        assert_eq!((all, &copy), (resources("cpus:5;mem:10"), &resources("cpus:4;mem:10")));
        assert_eq!(copy.checked_sub(&copy.clone()), Some(Resources::new()));
        assert_eq!(copy.checked_sub(&resources("cpus:4;mem:10")), Some(Resources::default()));
    }

    #[test]
    fn ranges_of_all_kinds_are_one() {
        let all = resources("ports:[1-5];ports(web):[6-9];cpus:1");
        assert_eq!(all.ranges("ports").to_string(), "[1-9]");
        assert!(all.ranges("cpus").is_empty());
        assert_eq!(all.filter(|one| one.name() == "cpus"), resources("cpus:1"));
    }
}
