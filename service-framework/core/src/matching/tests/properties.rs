//! What holds whatever is asked.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::definition::PortDefinition;

/// Offers of agents with little room, on racks.
fn any_offers() -> impl Strategy<Value = Vec<Offer>> {
    let agent = (0_u64..6, 0_u64..600, 0_u64..12, 0_u8..3);
    proptest::collection::vec(agent, 1..8).prop_map(|agents| {
        let made = agents.into_iter().enumerate().map(|(number, (cpus, mem, ports, rack))| {
            let ports = if ports == 0 { String::new() } else { format!(";ports:[31000-{}]", 30_999 + ports) };
            offer(&format!("a{number}"), &format!("cpus:{cpus};mem:{mem}{ports}"), &format!("rack:r{rack}"))
        });
        made.collect()
    })
}

fn any_spec() -> impl Strategy<Value = RunSpec> {
    let operator = prop_oneof![
        Just(None),
        Just(Some(("hostname", Operator::Unique))),
        Just(Some(("rack", Operator::GroupBy(None)))),
        Just(Some(("rack", Operator::GroupBy(Some(2))))),
        Just(Some(("rack", Operator::MaxPer(2)))),
        Just(Some(("rack", Operator::Cluster(None)))),
    ];
    let preference =
        prop_oneof![Just(Preference::Spread), Just(Preference::Binpack), Just(Preference::Random)];
    (1_u64..2_500, 1_u64..300, 0_usize..4, operator, preference).prop_map(
        |(cpus, mem, ports, rule, preference)| {
            app(|app| {
                app.cpus = Scalar::from_thousandths(cpus).unwrap();
                app.mem = units(mem);
                app.port_definitions = Some(vec![PortDefinition::default(); ports]);
                app.constraints =
                    rule.into_iter().map(|(field, operator)| constraint(field, operator)).collect();
                app.preference = preference;
            })
        },
    )
}

/// Puts instances of each of the apps in turn; the places of each.
fn placed(offers: &[Offer], specs: &[RunSpec], count: u32) -> (Vec<Vec<Place>>, Used) {
    let mut hand = Hand::new(offers, now());
    let mut places = vec![Vec::new(); specs.len()];
    let mut notes = vec![ProcessedOffers::default(); specs.len()];
    for round in 0..count {
        for (index, spec) in specs.iter().enumerate() {
            let number = round * 100 + u32::try_from(index).unwrap();
            let siblings = places[index].clone();
            let case = Case { siblings, target: count, number, ..Case::new(spec) };
            if let Some(matched) = case.put(&mut hand, &mut notes[index]) {
                places[index].push(matched.place);
            }
        }
    }
    for notes in &notes {
        assert!(notes.unused <= notes.processed && notes.last_unused.len() <= offers.len());
    }
    (places, hand.used())
}

proptest! {
    /// Never more than is offered, on the right agent, and no port twice.
    #[test]
    fn what_is_launched_is_in_the_offers(
        offers in any_offers(),
        specs in proptest::collection::vec(any_spec(), 1..4),
        count in 1_u32..8,
    ) {
        let (places, used) = placed(&offers, &specs, count);
        let mut launched = 0;
        for (offers, steps) in &used {
            let mut left = offers[0].resources.clone();
            for task in steps.iter().flat_map(Step::tasks) {
                prop_assert_eq!(&task.agent, &offers[0].agent);
                let rest = left.checked_sub(&task.resources);
                prop_assert!(rest.is_some(), "{} is not in {}", task.resources, left);
                left = rest.unwrap();
                launched += 1;
            }
        }
        prop_assert_eq!(launched, places.iter().map(Vec::len).sum::<usize>());
        let mut ports = BTreeSet::new();
        for place in places.iter().flatten() {
            for port in &place.ports {
                prop_assert!(ports.insert((place.agent.clone(), *port)), "port {} is given twice", port);
            }
        }
    }

    /// Constraints hold among those that are placed.
    #[test]
    fn constraints_hold_among_siblings(offers in any_offers(), spec in any_spec(), count in 1_u32..12) {
        let (places, _) = placed(&offers, std::slice::from_ref(&spec), count);
        let mut hosts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut racks: BTreeMap<&str, u32> = BTreeMap::new();
        for place in &places[0] {
            *hosts.entry(&place.hostname).or_default() += 1;
            for (_, rack) in place.values.iter().filter(|(field, _)| field == "rack") {
                *racks.entry(rack).or_default() += 1;
            }
        }
        for rule in spec.constraints() {
            match rule.operator {
                Operator::Unique => prop_assert!(hosts.values().all(|count| *count == 1)),
                Operator::MaxPer(most) => prop_assert!(racks.values().all(|count| *count <= most)),
                Operator::Cluster(_) => prop_assert!(racks.len() <= 1),
                Operator::GroupBy(Some(groups)) => {
                    prop_assert!(racks.len() <= usize::try_from(groups).unwrap());
                    prop_assert!(racks.values().all(|held| *held <= count.div_ceil(groups)));
                }
                Operator::GroupBy(None) => {
                    // Each went to a new group, or to one that had the least.
                    let mut held: BTreeMap<&str, u32> = BTreeMap::new();
                    for place in &places[0] {
                        let rack = place.values[0].1.as_str();
                        let least = held.values().min().copied().unwrap_or(0);
                        let before = held.entry(rack).or_default();
                        prop_assert!(*before == 0 || *before == least);
                        *before += 1;
                    }
                }
                Operator::Like(_) | Operator::Unlike(_) | Operator::Is(_) => {}
            }
        }
    }

    /// The same draws give the same places.
    #[test]
    fn a_decision_is_repeated_exactly(offers in any_offers(), spec in any_spec(), count in 1_u32..6) {
        let specs = [spec];
        prop_assert_eq!(placed(&offers, &specs, count), placed(&offers, &specs, count));
    }
}

#[test]
fn groups_stay_even_where_there_is_room() {
    for rule in [Operator::GroupBy(None), Operator::GroupBy(Some(3))] {
        let spec = constrained("rack", rule);
        let offers: Vec<Offer> = (0..6)
            .map(|number| offer(&format!("a{number}"), "cpus:8;mem:9999", &format!("rack:r{}", number % 3)))
            .collect();
        let (places, _) = placed(&offers, std::slice::from_ref(&spec), 11);
        let mut racks: BTreeMap<String, u32> = BTreeMap::new();
        for place in &places[0] {
            *racks.entry(place.values[0].1.clone()).or_default() += 1;
        }
        assert_eq!(racks.values().sum::<u32>(), 11);
        assert!(racks.values().all(|count| (3..=4).contains(count)), "{racks:?}");
    }
}
