//! Tasks that no machine could hold, not even an empty one.
//!
//! They would wait for ever and say nothing about a policy; they are reported at once, each with its nearest miss.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::{Ask, Gpus, Room};

use super::Workload;

/// What tasks have in common that differ in nothing but name and times.
type Kind<'w> = (Scalar, Scalar, Scalar, usize, Gpus, &'w BTreeSet<String>);

/// The tasks that no machine could hold, by their index among the arrivals, each with the reason.
///
/// O(tasks), and O(distinct asks x distinct machines) for asks that fit nowhere; one that fits is found at the
/// first machine that holds it, the largest ones first.
pub fn never_placeable(workload: &Workload) -> Vec<(usize, String)> {
    let fleet = Fleet::of(workload);
    let mut reasons: BTreeMap<Kind<'_>, Option<String>> = BTreeMap::new();
    let mut never = Vec::new();
    for (index, arrival) in workload.arrivals.iter().enumerate() {
        let (need, models) = (&arrival.ask.need, &arrival.ask.models);
        let kind = (need.cpus, need.mem, need.disk, need.ports, need.gpus, models);
        let reason = reasons.entry(kind).or_insert_with(|| fleet.reason(&arrival.ask));
        never.extend(reason.clone().map(|reason| (index, reason)));
    }
    never
}

/// The machines that differ, each empty, the largest first.
struct Fleet {
    rooms: Vec<(String, Room)>,
}

impl Fleet {
    fn of(workload: &Workload) -> Self {
        let mut distinct: Vec<(String, Room)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for machine in &workload.machines {
            if seen.insert((&machine.total, machine.attributes.to_string())) {
                distinct.push((machine.name.clone(), Room::new(&machine.total, &machine.attributes)));
            }
        }
        distinct.sort_by_key(|(_, room)| std::cmp::Reverse((room.devices.len(), room.cpus, room.mem)));
        Self { rooms: distinct }
    }

    /// Why `ask` fits nowhere; `None` if it fits somewhere.
    fn reason(&self, ask: &Ask) -> Option<String> {
        if self.rooms.is_empty() {
            return Some("there are no machines".to_owned());
        }
        if self.rooms.iter().any(|(_, room)| room.fits(ask)) {
            return None;
        }
        Some(self.one_kind(ask).or_else(|| self.model(ask)).unwrap_or_else(|| self.nearest(ask)))
    }

    /// One kind of which no machine has enough.
    fn one_kind(&self, ask: &Ask) -> Option<String> {
        amounts(ask).into_iter().find_map(|amount| {
            let most = self.rooms.iter().map(|(_, room)| (amount.of)(room)).max().unwrap_or_default();
            let Amount { asked, unit, .. } = amount;
            (most < asked).then(|| match most {
                Scalar::ZERO => format!("asks {asked} {unit}, no machine has any"),
                most => format!("asks {asked} {unit}, the largest machine has {most}"),
            })
        })
    }

    /// A model of GPU that no machine has, or none with enough devices.
    fn model(&self, ask: &Ask) -> Option<String> {
        if ask.models.is_empty() || ask.need.gpus == Gpus::None {
            return None;
        }
        let asked = ask.models.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
        let allowed = |room: &&Room| room.model.as_ref().is_some_and(|model| ask.models.contains(model));
        let most =
            self.rooms.iter().map(|(_, room)| room).filter(allowed).map(|room| room.devices.len()).max();
        let gpus = ask.need.gpus.devices();
        match most {
            None => {
                let there: BTreeSet<&str> =
                    self.rooms.iter().filter_map(|(_, room)| room.model.as_deref()).collect();
                let there = if there.is_empty() { "none".to_owned() } else { list(there) };
                Some(format!("asks GPUs of model {asked}, no machine has them; models there are: {there}"))
            }
            Some(most) if most < gpus => {
                Some(format!("asks {gpus} GPUs of model {asked}, the largest machine with them has {most}"))
            }
            Some(_) => None,
        }
    }

    /// Enough of each, but nowhere together: the machine that lacks the fewest kinds, the least of its worst one.
    fn nearest(&self, ask: &Ask) -> String {
        let misses = self.rooms.iter().map(|(name, room)| (misses(room, ask), name));
        let worst = |misses: &[Miss]| misses.iter().map(|miss| miss.permille).max().unwrap_or_default();
        let nearest = misses.min_by_key(|(misses, _)| (misses.len(), worst(misses)));
        let Some((misses, name)) = nearest else { return "there are no machines".to_owned() };
        let lacks = misses.into_iter().map(|miss| miss.words).collect::<Vec<_>>().join(", ");
        format!("no machine has all of it together; the nearest, {name}: {lacks}")
    }
}

/// One kind of what a task asks.
struct Amount {
    asked: Scalar,
    unit: &'static str,
    of: fn(&Room) -> Scalar,
}

/// What one machine has too little of.
struct Miss {
    words: String,
    /// How much of what is asked is missing, in thousandths.
    permille: u64,
}

fn amounts(ask: &Ask) -> [Amount; 5] {
    let count =
        |count: usize| Scalar::from_units(u64::try_from(count).unwrap_or(u64::MAX)).unwrap_or(Scalar::MAX);
    let need = &ask.need;
    // A share of a device needs one device: what is left of it does not matter on an empty machine.
    [
        Amount {
            asked: count(need.gpus.devices()),
            unit: "GPUs",
            of: |room| {
                Scalar::from_units(u64::try_from(room.devices.len()).unwrap_or(u64::MAX))
                    .unwrap_or(Scalar::MAX)
            },
        },
        Amount { asked: need.cpus, unit: "CPUs", of: |room| room.cpus },
        Amount { asked: need.mem, unit: "MiB of memory", of: |room| room.mem },
        Amount { asked: need.disk, unit: "MiB of disk", of: |room| room.disk },
        Amount {
            asked: count(need.ports),
            unit: "ports",
            of: |room| {
                Scalar::from_units(u64::try_from(room.ports).unwrap_or(u64::MAX)).unwrap_or(Scalar::MAX)
            },
        },
    ]
}

fn misses(room: &Room, ask: &Ask) -> Vec<Miss> {
    let amounts = amounts(ask).into_iter().filter_map(|Amount { asked, unit, of }| {
        let (has, asked_for) = (of(room), asked.thousandths());
        let permille = (asked_for.saturating_sub(has.thousandths()) * 1000).checked_div(asked_for)?;
        (has < asked).then(|| Miss { words: format!("has {has} of {asked} {unit}"), permille })
    });
    let mut misses: Vec<Miss> = amounts.collect();
    let model = ask.models.is_empty() || room.model.as_ref().is_some_and(|model| ask.models.contains(model));
    if ask.need.gpus != Gpus::None && !model {
        let words = match &room.model {
            Some(model) => {
                format!("its GPUs are {model}, not {}", list(ask.models.iter().map(String::as_str)))
            }
            None => "its GPUs name no model".to_owned(),
        };
        misses.push(Miss { words, permille: 1000 });
    }
    misses
}

fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lonja_model::Resources;
    use lonja_model::attributes::Attributes;
    use lonja_sdk_core::task::Need;

    use super::*;
    use crate::lab::{Arrival, Machine};

    fn machine(name: &str, total: &str, model: &str) -> Machine {
        let attributes = if model.is_empty() { String::new() } else { format!("gpu_model:{model}") };
        let attributes = Attributes::parse(&attributes).unwrap();
        Machine { name: name.into(), total: Resources::parse(total).unwrap(), attributes }
    }

    fn ask(cpus: u64, mem: u64, gpus: Gpus, models: &[&str]) -> Ask {
        let units = |amount| Scalar::from_units(amount).unwrap();
        let need = Need { cpus: units(cpus), mem: units(mem), gpus, ..Need::default() };
        Ask { need, models: models.iter().map(|model| (*model).to_owned()).collect() }
    }

    fn reasons(machines: Vec<Machine>, asks: Vec<Ask>) -> Vec<(usize, String)> {
        let arrival =
            |ask| Arrival { name: String::new(), framework: 0, ask, at: Duration::ZERO, runs: None };
        let arrivals = asks.into_iter().map(arrival).collect();
        never_placeable(&Workload { machines, arrivals, ..Workload::default() })
    }

    fn fleet() -> Vec<Machine> {
        vec![
            machine("cpu", "cpus:32;mem:1024", ""),
            machine("t4", "cpus:8;mem:512;gpus:{0:1000,1:1000}", "T4"),
            machine("g2", "cpus:4;mem:512;gpus:{0:1000,1:1000,2:1000,3:1000}", "G2"),
        ]
    }

    #[test]
    fn what_fits_an_empty_machine_is_placeable() {
        let asks = vec![
            ask(32, 1024, Gpus::None, &["H100"]),
            ask(8, 512, Gpus::Whole(2), &["A10", "T4"]),
            ask(4, 1, Gpus::Share(999), &[]),
            ask(0, 0, Gpus::Whole(4), &[]),
        ];
        assert_eq!(reasons(fleet(), asks), []);
    }

    #[test]
    fn what_fits_nowhere_is_told_with_its_nearest_miss() {
        let cases = [
            (ask(1, 1, Gpus::Whole(9), &[]), "asks 9 GPUs, the largest machine has 4"),
            (ask(33, 1, Gpus::None, &[]), "asks 33 CPUs, the largest machine has 32"),
            (ask(1, 2000, Gpus::None, &[]), "asks 2000 MiB of memory, the largest machine has 1024"),
            (
                ask(1, 1, Gpus::Whole(1), &["A10", "H100"]),
                "asks GPUs of model A10 or H100, no machine has them; models there are: G2, T4",
            ),
            (
                ask(1, 1, Gpus::Whole(3), &["T4"]),
                "asks 3 GPUs of model T4, the largest machine with them has 2",
            ),
            (
                ask(9, 1, Gpus::Share(500), &[]),
                "no machine has all of it together; the nearest, t4: has 8 of 9 CPUs",
            ),
            (
                ask(6, 1, Gpus::Whole(3), &["G2"]),
                "no machine has all of it together; the nearest, g2: has 4 of 6 CPUs",
            ),
            (
                ask(6, 600, Gpus::Share(1), &["G2"]),
                "no machine has all of it together; the nearest, g2: has 4 of 6 CPUs, has 512 of 600 MiB of memory",
            ),
        ];
        let asks = cases.iter().map(|(ask, _)| ask.clone()).collect();
        let expected: Vec<_> = cases.iter().map(|(_, reason)| (*reason).to_owned()).enumerate().collect();
        assert_eq!(reasons(fleet(), asks), expected);
    }

    #[test]
    fn kinds_that_no_machine_has_and_fleets_without_machines_are_named() {
        let mut disk = ask(1, 1, Gpus::None, &[]);
        disk.need.disk = Scalar::from_units(5).unwrap();
        let reason = "asks 5 MiB of disk, no machine has any".to_owned();
        assert_eq!(reasons(fleet(), vec![ask(1, 1, Gpus::None, &[]), disk.clone()]), [(1, reason)]);
        assert_eq!(reasons(Vec::new(), vec![disk]), [(0, "there are no machines".to_owned())]);
    }

    /// Every task of the answer, and no other, is refused by each machine.
    #[test]
    fn a_large_workload_is_judged_by_its_distinct_asks() {
        let machines = (0..5_000).map(|n| machine(&format!("m{n}"), "cpus:4;mem:100", "")).collect();
        let asks = (0..100_000).map(|number| ask(1 + number % 5, 100, Gpus::None, &[])).collect();
        let never = reasons(machines, asks);
        assert_eq!(never.len(), 20_000);
        assert!(never.iter().all(|(index, _)| index % 5 == 4));
    }
}
