use std::collections::BTreeSet;

use lonja_model::resources::{DeviceId, Scalar};

use super::*;
use crate::placement::{Ask, Cluster, Gpus, Room};
use crate::task::Need;

fn cpus(units: u64) -> Scalar {
    Scalar::from_units(units).unwrap()
}

/// A machine with so many CPUs of 16 free, and these devices; GPUs that are not free are taken by shares.
fn room(free_cpus: u64, devices: &[u16]) -> Room {
    let mut room = Room { cpus: cpus(free_cpus), mem: cpus(64), ..Room::default() };
    room.spec = Spec { cpus: cpus(16), mem: cpus(64), devices: devices.len() };
    room.devices =
        devices.iter().enumerate().map(|(i, free)| (DeviceId::from(i.to_string()), *free)).collect();
    room
}

fn ask(cpu: u64, gpus: Gpus) -> Ask {
    Ask { need: Need { cpus: cpus(cpu), gpus, ..Need::default() }, models: BTreeSet::new() }
}

fn cluster(workload: Vec<(Ask, u64)>) -> Cluster {
    Cluster { largest: Spec { cpus: cpus(16), mem: cpus(64), devices: 4 }, workload }
}

/// What `name` thinks of `rooms`, in order; minus one where it has no place.
fn scores(name: &str, cluster: &Cluster, ask: &Ask, rooms: &[Room]) -> Vec<f64> {
    let mut policy = by_name(name, 1).unwrap();
    assert_eq!(policy.name(), name);
    policy.learn(cluster);
    rooms.iter().map(|room| policy.score(ask, room).map_or(-1.0, |place| place.score)).collect()
}

fn devices(name: &str, cluster: &Cluster, ask: &Ask, room: &Room) -> Vec<usize> {
    let mut policy = by_name(name, 1).unwrap();
    policy.learn(cluster);
    policy.score(ask, room).unwrap().devices
}

#[test]
fn every_name_is_a_policy_and_another_is_refused_with_the_names() {
    assert!(NAMES.iter().all(|name| by_name(name, 0).is_ok_and(|policy| policy.name() == *name)));
    let refused = by_name("tetris", 0).err().unwrap().to_string();
    assert!(refused.contains("\"tetris\"") && refused.contains("binpack, dot"), "{refused}");
}

#[test]
fn binpack_takes_the_machine_with_least_left_and_the_fullest_device_that_fits() {
    let cluster = cluster(vec![]);
    let rooms = [room(16, &[1000; 4]), room(8, &[1000; 4]), room(8, &[1000, 600, 400, 100])];
    // Left: 12/16 and 3.6/4; 4/16 and 3.6/4; 4/16 and 1.7/4.
    assert_eq!(scores("binpack", &cluster, &ask(4, Gpus::Share(400)), &rooms), [17.0, 42.0, 66.0]);
    assert_eq!(devices("binpack", &cluster, &ask(4, Gpus::Share(400)), &rooms[2]), [2]);
    assert_eq!(devices("binpack", &cluster, &ask(4, Gpus::Whole(1)), &rooms[2]), [0]);
}

#[test]
fn dot_prefers_the_smaller_product() {
    let cluster = cluster(vec![]);
    let rooms = [room(16, &[1000; 4]), room(8, &[1000; 4]), room(16, &[1000, 0, 0, 0])];
    // Asked: 1/4 of CPUs and of GPUs. Products: 1/4 + 1/4; 1/8 + 1/4; 1/4 + 1/16.
    assert_eq!(scores("dot", &cluster, &ask(4, Gpus::Whole(1)), &rooms), [75.0, 81.0, 84.0]);
}

#[test]
fn gpu_packing_prefers_shared_devices_then_used_machines_then_small_empty_ones() {
    let cluster = cluster(vec![]);
    let rooms = [
        room(16, &[1000; 4]),
        room(16, &[1000; 2]),
        room(16, &[1000, 200]),
        room(16, &[599, 900]),
        room(16, &[500]),
    ];
    let share = ask(1, Gpus::Share(300));
    assert_eq!(scores("gpu-packing", &cluster, &share, &rooms), [29.0, 31.0, 49.0, 95.0, 95.0]);
    assert_eq!(scores("gpu-packing", &cluster, &ask(1, Gpus::None), &rooms), [0.0; 5]);
    let two = ask(1, Gpus::Whole(2));
    let rooms = [room(16, &[1000, 200, 1000]), room(16, &[1000, 200])];
    assert_eq!(scores("gpu-packing", &cluster, &two, &rooms), [48.0, -1.0]);
}

#[test]
fn gpu_clustering_prefers_its_own_kind_then_mixed_then_idle_then_other_machines() {
    let cluster = cluster(vec![]);
    let with = |tasks: &[Gpus]| {
        let mut room = room(16, &[1000, 1000, 0, 0]);
        room.tasks = tasks.iter().map(|gpus| (*gpus, 1)).collect();
        room
    };
    let own = with(&[Gpus::Share(200), Gpus::Share(700), Gpus::None]);
    let mixed = with(&[Gpus::Share(200), Gpus::Whole(1)]);
    let (idle, other) = (with(&[Gpus::None]), with(&[Gpus::Whole(1)]));
    let share = ask(1, Gpus::Share(500));
    assert_eq!(
        scores("gpu-clustering", &cluster, &share, &[own, mixed, idle, other]),
        [87.0, 62.0, 37.0, 12.0]
    );
}

#[test]
fn spread_takes_the_machine_and_the_device_with_most_left() {
    let cluster = cluster(vec![]);
    let rooms = [room(16, &[1000, 500]), room(8, &[1000, 500])];
    let share = ask(4, Gpus::Share(500));
    assert_eq!(scores("spread", &cluster, &share, &rooms), [62.5, 37.5]);
    assert_eq!(devices("spread", &cluster, &share, &rooms[0]), [0]);
}

#[test]
fn random_takes_every_device_that_fits_and_the_same_seed_the_same_ones() {
    let drawn = |seed| {
        let mut policy = by_name("random", seed).unwrap();
        let room = room(16, &[1000, 100, 600]);
        (0..50)
            .flat_map(|_| policy.score(&ask(1, Gpus::Share(500)), &room).unwrap().devices)
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(7), drawn(7));
    assert_eq!(drawn(7).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 2]));
}

#[test]
fn fragments_are_what_the_typical_task_cannot_use() {
    let workload =
        vec![(ask(4, Gpus::Share(500)), 60), (ask(8, Gpus::Whole(2)), 20), (ask(1, Gpus::None), 20)];
    let typical = fgd::Typical::new(&workload);
    // Shares lose the 300; pairs lose all, there is one whole device; tasks without GPUs lose all.
    assert_eq!(typical.fragments(&room(8, &[1000, 300])), 0.6 * 300.0 + 0.4 * 1300.0);
    // With too few CPUs for anything all is lost, with two whole devices only what the others lose.
    assert_eq!(typical.fragments(&room(3, &[1000, 300])), 1300.0);
    assert_eq!(typical.fragments(&room(8, &[1000, 1000])), 0.2 * 2000.0);
}

#[test]
fn tasks_beyond_the_most_frequent_95_percent_are_not_typical() {
    let workload = vec![(ask(4, Gpus::Share(500)), 96), (ask(8, Gpus::Whole(2)), 4)];
    assert_eq!(fgd::Typical::new(&workload).fragments(&room(8, &[1000])), 0.0);
}

#[test]
fn another_model_is_a_fragment() {
    let mut tied = ask(1, Gpus::Whole(1));
    tied.models = BTreeSet::from(["A".to_owned()]);
    let typical = fgd::Typical::new(&[(tied, 1), (ask(1, Gpus::Whole(1)), 1)]);
    let mut machine = room(8, &[1000]);
    assert_eq!(typical.fragments(&machine), 500.0);
    machine.model = Some("B".to_owned());
    assert_eq!(typical.fragments(&machine), 500.0);
    machine.model = Some("A".to_owned());
    assert_eq!(typical.fragments(&machine), 0.0);
}

#[test]
fn fgd_uses_up_what_is_a_fragment_already() {
    let workload = vec![(ask(1, Gpus::Whole(1)), 50), (ask(1, Gpus::Share(500)), 50)];
    let cluster = cluster(workload);
    let share = ask(1, Gpus::Share(500));
    // On the shared device 500 thousandths stop to be fragments for half of the tasks; the whole one becomes one.
    assert_eq!(devices("fgd", &cluster, &share, &room(8, &[1000, 500])), [1]);
    let rooms = [room(8, &[1000, 1000]), room(8, &[1000, 500])];
    assert_eq!(scores("fgd", &cluster, &share, &rooms), [43.0, 56.0]);
}

#[test]
fn unfilled_is_what_stays_free_of_a_machine_full_of_one_kind_of_task() {
    let workload = vec![(ask(4, Gpus::Share(400)), 3), (ask(2, Gpus::Whole(2)), 1), (ask(1, Gpus::None), 96)];
    let all = fgd::Typical::all(&workload);
    // Shares: two on the first device, two on the second, by CPUs three at most. Pairs: one.
    assert_eq!(all.unfilled(&room(12, &[1000, 1000])), 0.75 * 800.0);
    // By CPUs one and a half shares, and no pair beyond the devices.
    assert_eq!(all.unfilled(&room(6, &[1000, 1000])), 0.75 * 1400.0);
    assert_eq!(all.unfilled(&room(1, &[1000, 1000, 500])), 0.75 * 2400.0 + 0.25 * 1500.0);
    assert_eq!(all.unfilled(&room(12, &[])), 0.0);
}

#[test]
fn fill_takes_cpus_where_gpus_have_more_than_they_need() {
    let cluster = cluster(vec![(ask(4, Gpus::Whole(1)), 9), (ask(4, Gpus::None), 1)]);
    // One typical task would fit on either afterwards, so FGD sees no difference; four would no longer fit on the first.
    let rooms = [room(16, &[1000; 4]), room(16, &[1000])];
    let cpus_only = ask(4, Gpus::None);
    assert_eq!(scores("fgd", &cluster, &cpus_only, &rooms), [50.0, 50.0]);
    assert_eq!(scores("fill", &cluster, &cpus_only, &rooms), [-5.0, 0.0]);
    assert_eq!(devices("fill", &cluster, &ask(1, Gpus::Share(500)), &room(8, &[1000, 500])), [1]);
}

#[test]
fn policies_that_know_nothing_of_the_cluster_still_score() {
    for name in NAMES {
        let mut policy = by_name(name, 3).unwrap();
        let place = policy.score(&ask(1, Gpus::Whole(1)), &room(8, &[1000, 500]));
        assert!(place.is_some_and(|place| place.devices == [0] && place.score.is_finite()), "{name}");
    }
}
