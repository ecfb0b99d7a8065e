//! How much of an agent goes to whoever comes first: fairness in fact, and not only in shares.
//!
//! Mesos hands all that is free on an agent to the first framework; where there are more frameworks than agents, the
//! others wait for it to decline. Here a round counts who stands in line and what there is to look at, and cuts each
//! agent into as many slices as it takes for everybody to get one, at most `most_slices` of them. The slices are
//! given one by one, each to who comes first by then, so that an agent fills up as in progressive filling; slices of
//! one agent for one framework in one role make one offer.
//!
//! What a slice is
//! - Of each unreserved amount the total of the agent divided by the number of slices; of ports and named items that
//!   part of what is there; of devices that part of their number, each whole. Never less than the framework has said it
//!   needs (REQUEST, which Mesos ignores), and never so much that less than an offer's minimum would be left behind.
//! - What is reserved, and what cannot be divided, goes whole to the first who may have it.
//! - A framework that gives slices back without having said what it needs is given twice as much the next time, up to
//!   the whole agent. The superset rule of filters lets the larger offer through.
//!
//! A framework that gives an offer back is passed over on that agent until somebody else was offered it, or nobody else
//! in line wants it: who declines for ever with no filter does not burn another's turn.
//!
//! The bound. Let N frameworks of equal weight stand in line, any offer of an agent being of use to each, and let the
//! master take back what is not answered within T. Each is then offered something within ⌈(N − 1) / S⌉ · T where S is
//! the number of slices that the cluster has at once: whoever holds an offer has a larger share than who holds none,
//! so that nobody is served twice before all others were served once. When the others decline it is at once, for what
//! is declined is offered on in the next round. Without slices S is the number of agents.
//!
//! Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011, progressive filling; our own rules as said.

use lonja_model::Resources;
use lonja_model::resources::{Devices, Ranges, Resource, Scalar, Set, Value};

use crate::quotas::is_limited;

/// Into how many slices agents are cut when `in_line` wait and `agents` are looked at.
pub(crate) fn number(in_line: u32, agents: u32, most: u32) -> u32 {
    in_line.div_ceil(agents.max(1)).clamp(1, most.max(1))
}

/// A part of `whole`: of each unreserved amount what `amount` says of its name, of lists and devices one of `of`
/// parts, rounded up; of everything else all.
pub(crate) fn cut(whole: &Resources, of: u32, amount: impl Fn(&str) -> u64) -> Resources {
    let parts = whole.iter().filter_map(|resource| part(resource, of, &amount));
    Resources::of(parts).expect("parts of what can be held can be held")
}

fn part(resource: &Resource, of: u32, amount: &impl Fn(&str) -> u64) -> Option<Resource> {
    if !is_limited(resource) || resource.metadata().disk.as_ref().is_some_and(|disk| disk.is_indivisible()) {
        return Some(resource.clone());
    }
    let share = |count: u64| count.div_ceil(u64::from(of.max(1)));
    let value = match resource.value() {
        Value::Scalar(held) => {
            let part = held.thousandths().min(amount(resource.name()));
            Value::Scalar(Scalar::from_thousandths(part)?)
        }
        Value::Ranges(ranges) => Value::Ranges(first_numbers(ranges, share(ranges.count()))),
        Value::Set(set) => {
            let count = share(u64::try_from(set.len()).unwrap_or(u64::MAX));
            Value::Set(Set::new(set.iter().take(usize::try_from(count).unwrap_or(usize::MAX))))
        }
        Value::Devices(devices) => {
            let count = share(u64::try_from(devices.iter().count()).unwrap_or(u64::MAX));
            let first = devices.iter().take(usize::try_from(count).unwrap_or(usize::MAX));
            Value::Devices(Devices::new(first.map(|(device, part)| (device.clone(), part)))?)
        }
    };
    let part = resource.with_value(value);
    (!part.is_empty()).then_some(part)
}

fn first_numbers(ranges: &Ranges, count: u64) -> Ranges {
    let mut left = count;
    let mut first = Vec::new();
    for (begin, end) in ranges.iter() {
        if left == 0 {
            break;
        }
        let length = end.saturating_sub(begin).saturating_add(1).min(left);
        first.push((begin, begin + (length - 1)));
        left -= length;
    }
    Ranges::new(first).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_slices_for_all_who_wait_and_no_more_than_may_be() {
        assert_eq!([number(1, 10, 8), number(10, 10, 8), number(11, 10, 8), number(99, 10, 8)], [1, 1, 2, 8]);
        assert_eq!([number(0, 0, 8), number(5, 0, 8), number(5, 1, 0)], [1, 5, 1]);
    }

    #[test]
    fn lists_are_cut_in_proportion_and_reserved_things_are_not_cut() {
        let whole: Resources =
            "cpus:8;cpus(web):3;ports:[1-3,10-16];disks:{a,b,c};gpus:{0:1000,1:500}".parse().unwrap();
        let part = cut(&whole, 2, |_| 1_500);
        assert_eq!(part, "cpus:1.5;cpus(web):3;ports:[1-3,10-11];disks:{a,b};gpus:{0:1000}".parse().unwrap());
        assert!(whole.contains(&part));
    }
}
