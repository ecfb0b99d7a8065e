//! Ports: which ones of the agent an instance gets.
//!
//! Invariants
//! - No port is given twice, and none that is not in the offer. Over which protocol it is used makes no difference.
//!
//! Source: Marathon's rules for host ports; drawn ones begin at a random place of the offer's ranges.

use std::collections::BTreeSet;

use lonja_model::Resources;
use lonja_model::resources::{Ranges, Resource, Value};

use super::needs::{HostPort, PortWish};
use crate::draws::Draws;

/// For each of `wishes` the agent's port, none where it has none; `former` are those it had before, in the order of the
/// wishes that have one, and are taken again where they are free. Errors: in words what is missing.
pub(super) fn choose(
    free: &Ranges,
    wishes: &[PortWish],
    former: &[u16],
    draws: &mut Draws,
) -> Result<Vec<Option<u16>>, String> {
    let mut chosen: Vec<Option<u16>> = vec![None; wishes.len()];
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    let mut former = former.iter().copied();
    let mut open = Vec::new();
    for (index, wish) in wishes.iter().enumerate() {
        let before = if wish.host == HostPort::None { None } else { former.next() };
        match wish.host {
            HostPort::None => {}
            HostPort::Fixed(port) => {
                if !has(free, port) || !taken.insert(port) {
                    return Err(format!("port {port} is asked for, and is not free there"));
                }
                chosen[index] = Some(port);
            }
            HostPort::Any => open.push((index, before)),
        }
    }
    for (index, before) in &open {
        let again = before.filter(|port| has(free, *port) && taken.insert(*port));
        chosen[*index] = again;
    }
    let missing: Vec<usize> =
        open.iter().map(|(index, _)| *index).filter(|index| chosen[*index].is_none()).collect();
    if missing.is_empty() {
        return Ok(chosen);
    }
    let all = free.count();
    let start = draws.below(all);
    let mut numbers = numbers_from(free, start).filter_map(|number| u16::try_from(number).ok());
    for index in missing {
        let port = numbers.find(|port| *port > 0 && taken.insert(*port));
        if port.is_none() {
            return Err(format!("{} ports are asked for, {all} are free", wishes.len()));
        }
        chosen[index] = port;
    }
    Ok(chosen)
}

fn has(free: &Ranges, port: u16) -> bool {
    let port = u64::from(port);
    free.iter().any(|(begin, end)| (begin..=end).contains(&port))
}

/// All numbers, beginning with the one at `start`, once around.
fn numbers_from(ranges: &Ranges, start: u64) -> impl Iterator<Item = u64> {
    let mut skipped = start;
    let mut later = Vec::new();
    let mut earlier = Vec::new();
    for (begin, end) in ranges.iter() {
        let length = (end - begin).saturating_add(1);
        if skipped >= length {
            skipped -= length;
            earlier.push((begin, end));
        } else if later.is_empty() {
            later.push((begin + skipped, end));
            if skipped > 0 {
                earlier.push((begin, begin + skipped - 1));
            }
            skipped = 0;
        } else {
            later.push((begin, end));
        }
    }
    later.into_iter().chain(earlier).flat_map(|(begin, end)| begin..=end)
}

/// These ports as resources, out of what is available: reserved ones first. None: one of them is not there.
pub(super) fn take(available: &Resources, ports: &BTreeSet<u16>) -> Option<Resources> {
    let mut missing: BTreeSet<u64> = ports.iter().map(|port| u64::from(*port)).collect();
    let mut taken = Vec::new();
    let held = available.iter().filter(|resource| resource.name() == "ports");
    let (reserved, free): (Vec<&Resource>, Vec<_>) = held.partition(|one| one.reserved_for().is_some());
    for resource in reserved.into_iter().chain(free) {
        let Value::Ranges(ranges) = resource.value() else { continue };
        let here: Vec<u64> =
            ranges.iter().flat_map(|(begin, end)| missing.range(begin..=end)).copied().collect();
        if here.is_empty() {
            continue;
        }
        here.iter().for_each(|port| {
            missing.remove(port);
        });
        let part = Ranges::new(here.into_iter().map(|port| (port, port))).ok()?;
        let part = Resource::with_metadata("ports", Value::Ranges(part), resource.metadata().clone()).ok()?;
        taken.push(part);
    }
    Resources::of(taken).ok().filter(|_| missing.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wishes(hosts: &[HostPort]) -> Vec<PortWish> {
        hosts.iter().map(|host| PortWish { task: 0, host: *host }).collect()
    }

    fn chosen(free: &str, hosts: &[HostPort], former: &[u16], seed: u64) -> Result<Vec<Option<u16>>, String> {
        choose(&Ranges::parse(free).unwrap(), &wishes(hosts), former, &mut Draws::new(seed))
    }

    #[test]
    fn fixed_ports_are_those_and_no_others() {
        use HostPort::{Any, Fixed, None as No};
        assert_eq!(chosen("[80-80]", &[Fixed(80)], &[], 1), Ok(vec![Some(80)]));
        assert!(chosen("[81-82]", &[Fixed(80)], &[], 1).unwrap_err().contains("port 80"));
        assert!(chosen("[80-80]", &[Fixed(80), Fixed(80)], &[], 1).is_err());
        assert_eq!(chosen("[80-81]", &[Any, Fixed(80)], &[], 1), Ok(vec![Some(81), Some(80)]));
        assert_eq!(chosen("[]", &[No, No], &[], 1), Ok(vec![None, None]));
        assert!(chosen("[80-80]", &[Any, Any], &[], 1).is_err());
    }

    #[test]
    fn an_instance_that_comes_back_has_its_ports_again() {
        use HostPort::{Any, None as No};
        let again = chosen("[1000-2000]", &[No, Any, Any], &[1500, 1600], 7);
        assert_eq!(again, Ok(vec![None, Some(1500), Some(1600)]));
        let gone = chosen("[1000-1001]", &[Any], &[1500], 7).unwrap();
        assert!(matches!(gone[..], [Some(1000 | 1001)]));
    }

    proptest! {
        #[test]
        fn ports_are_distinct_and_in_the_offer(
            ranges in proptest::collection::vec((1_u64..500, 0_u64..20), 1..6),
            count in 1_usize..40,
            fixed in proptest::option::of(1_u16..520),
            seed: u64,
        ) {
            let free = Ranges::new(ranges.iter().map(|(begin, more)| (*begin, begin + more))).unwrap();
            let mut hosts = vec![HostPort::Any; count];
            hosts.extend(fixed.map(HostPort::Fixed));
            let enough = free.count() >= u64::try_from(hosts.len()).unwrap();
            match choose(&free, &wishes(&hosts), &[], &mut Draws::new(seed)) {
                Ok(ports) => {
                    let distinct: BTreeSet<u16> = ports.iter().flatten().copied().collect();
                    prop_assert_eq!(distinct.len(), hosts.len());
                    prop_assert!(distinct.iter().all(|port| has(&free, *port)));
                    prop_assert!(fixed.is_none_or(|port| distinct.contains(&port)));
                }
                Err(_) => prop_assert!(!enough || fixed.is_some_and(|port| !has(&free, port))),
            }
        }
    }
}
