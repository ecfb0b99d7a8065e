use std::collections::BTreeMap;

use lonja_model::resources::{DeviceId, Scalar};
use proptest::prelude::*;

use super::*;
use crate::placement::{Gpus, Spec, policies};
use crate::task::Need;

fn room(cpus: u64, devices: Vec<u16>) -> Room {
    let cpus = Scalar::from_units(cpus).unwrap();
    let spec = Spec { cpus: Scalar::from_units(8).unwrap(), mem: Scalar::ZERO, devices: 3 };
    let name = |index: usize| DeviceId::from(index.to_string());
    let devices = devices.into_iter().enumerate().map(|(index, free)| (name(index), free)).collect();
    Room { cpus, devices, spec, ..Room::default() }
}

fn ask(cpus: u64, gpus: Gpus) -> Ask {
    Ask::from(Need { cpus: Scalar::from_units(cpus).unwrap(), gpus, ..Need::default() })
}

fn any_room() -> impl Strategy<Value = Room> {
    let device = prop_oneof![Just(1000), Just(500), Just(200)];
    (0..5_u64, prop::collection::vec(device, 0..3)).prop_map(|(cpus, devices)| room(cpus, devices))
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let gpus =
        prop_oneof![Just(Gpus::None), Just(Gpus::Share(200)), Just(Gpus::Share(500)), Just(Gpus::Whole(1))];
    (0..4_u64, gpus).prop_map(|(cpus, gpus)| ask(cpus, gpus))
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, Room),
    Remove(u8),
    /// Picks, and takes what was picked.
    Place(Ask),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_u8, any_room()).prop_map(|(key, room)| Step::Insert(key, room)),
        1 => (0..12_u8).prop_map(Step::Remove),
        6 => any_ask().prop_map(Step::Place),
    ]
}

/// What a scan over all machines finds.
fn scan(scorer: &mut dyn Scorer, machines: &BTreeMap<u8, Room>, ask: &Ask) -> Option<(u8, Place)> {
    let mut best: Option<(u8, Place)> = None;
    for (key, room) in machines {
        let Some(place) = room.fits(ask).then(|| scorer.score(ask, room)).flatten() else { continue };
        if best.as_ref().is_none_or(|(_, best)| place.score > best.score) {
            best = Some((*key, place));
        }
    }
    best
}

fn cluster() -> Cluster {
    let workload = vec![(ask(2, Gpus::Share(500)), 3), (ask(1, Gpus::Whole(1)), 2), (ask(1, Gpus::None), 1)];
    Cluster { largest: room(8, vec![1000; 3]).spec, workload }
}

proptest! {
    /// Whatever is inserted, removed and placed, a pick is what a scan finds.
    #[test]
    fn a_pick_is_what_a_scan_finds(
        steps in prop::collection::vec(any_step(), 0..120),
        name in prop::sample::select(&policies::NAMES[1..]),
        few in any::<bool>(),
    ) {
        let mut picker = Picker::new(policies::by_name(name, 0).unwrap());
        if few {
            // So few that asks are forgotten all the time.
            picker.max_scores = 2 * OVERHEAD;
        }
        let mut scorer = policies::by_name(name, 0).unwrap();
        picker.learn(&cluster());
        scorer.learn(&cluster());
        let mut machines = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(key, room) => {
                    let old = picker.insert(key, room.clone());
                    prop_assert_eq!(old.map(|old| (*old).clone()), machines.insert(key, room));
                }
                Step::Remove(key) => {
                    let old = picker.remove(&key);
                    prop_assert_eq!(old.map(|old| (*old).clone()), machines.remove(&key));
                }
                Step::Place(ask) => {
                    let picked = picker.pick(&ask);
                    prop_assert_eq!(&picked, &scan(&mut *scorer, &machines, &ask));
                    if let Some((key, place)) = picked {
                        picker.take(&key, &ask, &place.devices);
                        machines.entry(key).and_modify(|room| room.take(&ask, &place.devices));
                    }
                }
            }
            prop_assert_eq!(picker.len(), machines.len());
            prop_assert!(picker.iter().eq(machines.iter()));
            prop_assert!(!few || picker.asks.len() <= 2);
        }
    }
}

#[test]
fn what_is_drawn_fits_and_what_fits_nowhere_is_not_placed() {
    let mut picker = Picker::new(policies::by_name("random", 5).unwrap());
    for key in 0..200_u32 {
        picker.insert(key, room(if key == 77 { 4 } else { 1 }, vec![]));
    }
    picker.remove(&3);
    // One of many: found by the scan after the draws.
    assert_eq!(picker.pick(&ask(4, Gpus::None)).map(|(key, _)| key), Some(77));
    assert_eq!(picker.pick(&ask(5, Gpus::None)), None);
    let drawn: std::collections::BTreeSet<u32> =
        (0..2_000).filter_map(|_| picker.pick(&ask(1, Gpus::None))).map(|(key, _)| key).collect();
    assert!(drawn.len() > 190 && !drawn.contains(&3));
}

/// Counts how often it is asked.
struct Counting(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Scorer for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn score(&mut self, _: &Ask, room: &Room) -> Option<Place> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(Place { score: -room.cpus.to_f64(), devices: vec![] })
    }
}

#[test]
fn equal_machines_are_scored_once_and_again_only_when_they_change() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut picker = Picker::new(Box::new(Counting(count.clone())));
    for key in 0..1_000_u32 {
        picker.insert(key, room(8, vec![]));
    }
    let task = ask(1, Gpus::None);
    for _ in 0..100 {
        let (key, place) = picker.pick(&task).unwrap();
        picker.take(&key, &task, &place.devices);
    }
    // Each pick scores the one state that is new, at most, and the place it has picked.
    assert!(count.load(std::sync::atomic::Ordering::Relaxed) <= 200);
    assert_eq!(picker.iter().filter(|(_, room)| room.tasks.is_empty()).count(), 1_000 - 13);
}

#[test]
fn empty_classes_and_stale_entries_do_not_pile_up() {
    let mut picker = Picker::new(policies::by_name("binpack", 0).unwrap());
    for round in 0..20_000_u64 {
        let mut room = room(8, vec![]);
        room.disk = Scalar::from_thousandths(round).unwrap();
        picker.insert(round % 3, room);
        picker.pick(&ask(1, Gpus::None));
    }
    assert!(picker.classes.len() < 1_100, "{}", picker.classes.len());
}
