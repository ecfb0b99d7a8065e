//! Resources held by several at once, some perhaps twice.
//!
//! [`Resources`] refuses to hold a port twice, rightly. But an agent may report two tasks on one port, or
//! lose a disk that is in use, and what is reported has to be counted exactly, or the books would not
//! balance when it comes back. So holdings are layers: nearly always one, more only where something is
//! held more than once.
//!
//! Invariants
//! - No layer is empty, but the first of nothing.
//! - What is added can be taken again, in any order and any parts.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use lonja_model::Resources;
use lonja_model::resources::{Devices, Quantities, Ranges, Resource, Set, Value};

/// Resources of which any may be held more than once. Nearly always one layer.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    first: Resources,
    /// What is held again.
    more: Vec<Resources>,
}

impl Holdings {
    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Everything once; all there is, unless something is held twice.
    pub fn once(&self) -> &Resources {
        &self.first
    }

    /// The layers, of which each can be held at once. Together they are everything.
    pub fn layers(&self) -> impl Iterator<Item = &Resources> {
        let first = (!self.first.is_empty()).then_some(&self.first);
        first.into_iter().chain(&self.more)
    }

    /// Totals by name over all layers.
    pub fn quantities(&self) -> Quantities {
        let mut all = self.once().quantities();
        self.more.iter().for_each(|layer| all.add(&layer.quantities()));
        all
    }

    /// Are both the same, however they are layered?
    pub fn equals(&self, other: &Self) -> bool {
        let mut left = self.clone();
        other.layers().all(|layer| left.take(layer) == *layer) && left.is_empty()
    }

    pub(crate) fn of(resources: &Resources) -> Self {
        let mut all = Self::default();
        all.add(resources);
        all
    }

    pub(crate) fn add(&mut self, resources: &Resources) {
        let mut rest = resources.clone();
        for layer in std::iter::once(&mut self.first).chain(&mut self.more) {
            if rest.is_empty() {
                return;
            }
            rest = add_what_fits(layer, rest);
        }
        if !rest.is_empty() {
            self.more.push(rest);
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        other.layers().for_each(|layer| self.add(layer));
    }

    /// Takes as much of `resources` as is held, and returns that.
    pub(crate) fn take(&mut self, resources: &Resources) -> Resources {
        let mut rest = resources.clone();
        for layer in self.more.iter_mut().rev().chain([&mut self.first]) {
            let common = overlap(layer, &rest);
            *layer = without(layer, &common);
            rest = without(&rest, &common);
        }
        self.more.retain(|layer| !layer.is_empty());
        if self.first.is_empty() && !self.more.is_empty() {
            self.first = self.more.remove(0);
        }
        without(resources, &rest)
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.layers().enumerate() {
            write!(f, "{}{layer}", if index == 0 { "" } else { " + " })?;
        }
        Ok(())
    }
}

/// `whole` without `part`, which must be a part of it.
pub(crate) fn without(whole: &Resources, part: &Resources) -> Resources {
    whole.checked_sub(part).expect("what is taken away is a part of the whole")
}

/// Adds to `layer` what it does not hold already, and returns the rest.
fn add_what_fits(layer: &mut Resources, resources: Resources) -> Resources {
    if add_whole(layer, &resources) {
        return Resources::new();
    }
    let mut rest = Resources::new();
    for one in resources.iter().map(single) {
        if add_whole(layer, &one) {
            continue;
        }
        let twice = overlap(layer, &one);
        // It may not fit even so: a number where the layer has a list, or a volume of another size.
        let left = if add_whole(layer, &without(&one, &twice)) { twice } else { one };
        rest = rest.checked_add(&left).expect("these are parts of what can be held at once");
    }
    rest
}

fn add_whole(layer: &mut Resources, resources: &Resources) -> bool {
    let sum = layer.checked_add(resources);
    sum.map(|sum| *layer = sum).is_ok()
}

fn single(resource: &Resource) -> Resources {
    Resources::of([resource.clone()]).expect("one resource can be held")
}

/// What both have: of each kind the smaller amount, the common numbers, items and device shares. O(kinds).
pub fn overlap(one: &Resources, other: &Resources) -> Resources {
    if one.contains(other) {
        return other.clone();
    }
    let mut common = Vec::new();
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match (a.name(), a.metadata()).cmp(&(b.name(), b.metadata())) {
            Ordering::Less => {
                left.next();
            }
            Ordering::Greater => {
                right.next();
            }
            Ordering::Equal => {
                common.extend(overlap_of_kind(a, b));
                left.next();
                right.next();
            }
        }
    }
    Resources::of(common).expect("of each kind there is one")
}

fn overlap_of_kind(a: &Resource, b: &Resource) -> Option<Resource> {
    let whole = a.metadata().shared || a.metadata().disk.as_ref().is_some_and(|disk| disk.is_indivisible());
    if whole {
        let fewer = if a.copies() <= b.copies() { a } else { b };
        return (a.value() == b.value()).then(|| fewer.clone());
    }
    let value = match (a.value(), b.value()) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(*a.min(b)),
        (Value::Ranges(a), Value::Ranges(b)) => Value::Ranges(common_ranges(a, b)),
        (Value::Set(a), Value::Set(b)) => {
            let a: BTreeSet<&str> = a.iter().collect();
            Value::Set(Set::new(b.iter().filter(|item| a.contains(item))))
        }
        (Value::Devices(a), Value::Devices(b)) => Value::Devices(common_devices(a, b)),
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_), _) => return None,
    };
    Resource::with_metadata(a.name(), value, a.metadata().clone()).ok()
}

fn common_ranges(a: &Ranges, b: &Ranges) -> Ranges {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut common = Vec::new();
    while let (Some(&(a_begin, a_end)), Some(&(b_begin, b_end))) = (left.peek(), right.peek()) {
        let (begin, end) = (a_begin.max(b_begin), a_end.min(b_end));
        if begin <= end {
            common.push((begin, end));
        }
        if a_end <= b_end {
            left.next();
        } else {
            right.next();
        }
    }
    Ranges::new(common).unwrap_or_default()
}

fn common_devices(a: &Devices, b: &Devices) -> Devices {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut common = Vec::new();
    while let (Some((a_id, a_share)), Some((b_id, b_share))) = (left.peek(), right.peek()) {
        match a_id.cmp(b_id) {
            Ordering::Less => {
                left.next();
            }
            Ordering::Greater => {
                right.next();
            }
            Ordering::Equal => {
                common.push(((*a_id).clone(), *a_share.min(b_share)));
                left.next();
                right.next();
            }
        }
    }
    Devices::new(common).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(text: &str) -> Resources {
        Resources::parse(text).unwrap()
    }

    #[test]
    fn the_overlap_is_what_both_have() {
        let one = resources("cpus:4;mem(web):10;ports:[1-5,8-9];disks:{a,b};gpus:{0:1000,1:400}");
        let other = resources("cpus:2;mem:10;ports:[4-8];disks:{b,c};gpus:{1:600,2:1}");
        assert_eq!(overlap(&one, &other), resources("cpus:2;ports:[4-5,8-8];disks:{b};gpus:{1:400}"));
        assert_eq!(overlap(&other, &one), overlap(&one, &other));
    }

    #[test]
    fn what_is_held_twice_comes_back_twice() {
        let mut held = Holdings::of(&resources("cpus:1;ports:[1-5]"));
        held.add(&resources("cpus:1;ports:[4-9]"));

        assert_eq!(held.once(), &resources("cpus:2;ports:[1-9]"));
        assert_eq!(held.take(&resources("ports:[1-9]")), resources("ports:[1-9]"));
        assert_eq!(held.take(&resources("cpus:3;ports:[1-9]")), resources("cpus:2;ports:[4-5]"));
        assert!(held.is_empty());
    }

    #[test]
    fn a_number_and_a_list_of_one_name_are_kept_apart() {
        let mut held = Holdings::of(&resources("a:1"));
        held.add(&resources("a:[1-2];b:1"));
        held.add(&resources("a:2251799813685"));
        assert_eq!(held.take(&resources("a:[1-2]")), resources("a:[1-2]"));
        assert_eq!(held.take(&resources("a:2251799813685;b:1")), resources("a:2251799813685;b:1"));
        assert_eq!(held.take(&resources("a:9")), resources("a:1"));
        assert!(held.is_empty());
    }

    #[test]
    fn device_shares_beyond_the_whole_are_counted() {
        let mut held = Holdings::of(&resources("gpus:{0:700}"));
        held.add(&resources("gpus:{0:600}"));
        held.add(&resources("gpus:{0:700}"));
        assert!(held.equals(&{
            let mut other = Holdings::of(&resources("gpus:{0:1000}"));
            other.add(&resources("gpus:{0:1000}"));
            other
        }));
    }
}
