use lonja_model::attributes::Attributes;
use lonja_model::resources::Scalar;
use lonja_model::{Offer, TaskId, TaskStatus, Timestamp};
use lonja_sdk_core::placement::{Gpus, Place, policies};
use lonja_sdk_core::{Plan, Scheduler, Task};

use super::*;
use crate::lab::{Arrival, Machine};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn machines(count: usize, resources: &str) -> Vec<Machine> {
    let machine = |number| Machine {
        name: format!("m{number}"),
        total: resources.parse().unwrap(),
        attributes: Attributes::default(),
    };
    (0..count).map(machine).collect()
}

fn arrival(framework: usize, at: u64, runs: Option<u64>, cpus: u64, gpus: Gpus) -> Arrival {
    let mut ask = Ask::default();
    ask.need.cpus = Scalar::from_units(cpus).unwrap();
    ask.need.gpus = gpus;
    Arrival { name: format!("task at {at}"), framework, ask, at: secs(at), runs: runs.map(secs) }
}

fn tenants(weights: &[u64]) -> Vec<Tenant> {
    let tenant = |(index, weight): (usize, &u64)| Tenant { name: format!("f{index}"), weight: *weight };
    weights.iter().enumerate().map(tenant).collect()
}

fn workload(machines: Vec<Machine>, weights: &[u64], arrivals: Vec<Arrival>, lasts: u64) -> Workload {
    Workload {
        source: "test".to_owned(),
        machines,
        frameworks: tenants(weights),
        arrivals,
        lasts: secs(lasts),
    }
}

fn play(workload: &Workload, policy: &str, seed: u64) -> RunResult {
    let result =
        run(workload, || policies::by_name(policy, seed).unwrap(), &Options::default(), seed).unwrap();
    assert!(result.samples.iter().all(|sample| sample.used.values().all(|used| *used <= 1.0)));
    result
}

/// Three kinds of tasks one after the other, more than there is room for at times.
fn mixed(seed: u64) -> Workload {
    let mut random = crate::random::Random::new(seed);
    let gpus = [Gpus::None, Gpus::Share(300), Gpus::Share(500), Gpus::Whole(1), Gpus::Whole(2)];
    let arrivals = (0..400).map(|number| {
        let gpus = gpus[random.index(gpus.len())];
        arrival(0, number, Some(20 + random.below(200)), 1 + random.below(4), gpus)
    });
    let gpu = machines(12, "cpus:16;mem:1024;gpus:{0:1000,1:1000,2:1000,3:1000}");
    workload(gpu, &[1000], arrivals.collect(), 1000)
}

#[test]
fn everything_is_placed_at_once_where_there_is_room() {
    let arrivals = (0..100).map(|number| arrival(0, number, Some(5), 1, Gpus::None)).collect();
    let result = play(&workload(machines(10, "cpus:4;mem:64"), &[1000], arrivals, 200), "binpack", 1);
    assert_eq!((result.arrived, result.placed, result.failed, result.stopped), (100, 100, 0, None));
    assert_eq!(result.waits.len(), 100);
    assert!(result.waits.iter().all(|wait| *wait < 0.02), "{:?}", result.waits);
    let last = result.samples.last().unwrap();
    assert_eq!((last.at, last.running, last.waiting), (secs(200), 0, 0));
    assert_eq!(result.samples.len(), 201);
    assert!(result.samples.iter().any(|sample| sample.running > 0 && sample.used["cpus"] > 0.0));
}

#[test]
fn what_has_no_room_waits_until_a_task_ends() {
    let arrivals = (0..3).map(|_| arrival(0, 10, Some(50), 4, Gpus::None)).collect();
    let result = play(&workload(machines(1, "cpus:4;mem:64"), &[1000], arrivals, 1000), "binpack", 1);
    assert_eq!(result.placed, 3);
    let waits: Vec<u64> = result.waits.iter().map(|wait| wait.round() as u64).collect();
    assert_eq!(waits, [0, 50, 100]);
}

#[test]
fn every_policy_places_a_mixed_load_the_same_way_each_time_and_differs_from_the_others() {
    let workload = mixed(1);
    let mut hashes = std::collections::BTreeSet::new();
    for policy in policies::NAMES {
        let result = play(&workload, policy, 7);
        assert_eq!(result, play(&workload, policy, 7), "{policy}");
        assert!(result.placed > 200, "{policy}: {}", result.placed);
        assert_eq!((result.policy.as_str(), result.seed, &result.stopped), (policy, 7, &None));
        hashes.insert(result.trace_hash);
    }
    assert!(hashes.len() >= policies::NAMES.len() - 1, "two may agree by chance");
}

#[test]
fn another_seed_is_another_run_of_a_policy_that_draws() {
    let workload = mixed(1);
    assert_ne!(play(&workload, "random", 1).trace_hash, play(&workload, "random", 2).trace_hash);
}

#[test]
fn spread_uses_every_machine_and_binpack_as_few_as_can_be() {
    let arrivals: Vec<_> = (0..8).map(|at| arrival(0, at, None, 1, Gpus::None)).collect();
    let load = workload(machines(8, "cpus:8;mem:64"), &[1000], arrivals, 100);
    // Where eight are wanted on one machine, a ninth task of eight CPUs tells how many are empty.
    let with_large = |mut load: Workload| {
        load.arrivals.extend((0..7).map(|_| arrival(0, 50, None, 8, Gpus::None)));
        load
    };
    assert_eq!(play(&with_large(load.clone()), "binpack", 1).placed, 15);
    assert_eq!(play(&with_large(load), "spread", 1).placed, 8);
}

#[test]
fn frameworks_share_by_their_weights_when_both_want_everything() {
    let mut arrivals = Vec::new();
    for at in 0..600 {
        for framework in 0..2 {
            arrivals.extend((0..8).map(|_| arrival(framework, at, Some(30), 1, Gpus::None)));
        }
    }
    let load = workload(machines(60, "cpus:4;mem:64"), &[1000, 2000], arrivals, 600);
    let result = play(&load, "binpack", 3);
    let late = &result.samples[100..];
    let mean = |index: usize| late.iter().map(|sample| sample.shares[index]).sum::<f64>() / late.len() as f64;
    let ratio = mean(1) / mean(0);
    assert!((1.8..=2.2).contains(&ratio), "{} and {}, ratio {ratio}", mean(0), mean(1));
    assert!(mean(0) + mean(1) > 0.9, "{} of the fleet is used", mean(0) + mean(1));
}

#[test]
fn a_framework_that_wants_much_gets_it_while_the_other_wants_little() {
    let mut arrivals: Vec<_> = (0..10).map(|at| arrival(0, at, Some(10), 1, Gpus::None)).collect();
    arrivals.extend((0..320).map(|_| arrival(1, 100, None, 1, Gpus::None)));
    let result = play(&workload(machines(80, "cpus:4;mem:64"), &[1000, 1000], arrivals, 1000), "binpack", 3);
    assert_eq!(result.placed, 330);
    let at_once = result.waits.iter().filter(|wait| **wait < 1.0).count();
    assert!(at_once >= 240, "{at_once} of 330 at once");
    assert!(
        result.waits.iter().all(|wait| *wait <= 301.0),
        "what is held idle is given back in five minutes"
    );
}

#[test]
fn tasks_that_can_never_be_placed_are_told_of_and_block_nobody() {
    let mut arrivals: Vec<_> = (0..5).map(|at| arrival(0, at, Some(5), 1, Gpus::None)).collect();
    arrivals.insert(0, arrival(0, 0, None, 99, Gpus::None));
    let result = play(&workload(machines(2, "cpus:4;mem:64"), &[1000], arrivals, 100), "binpack", 1);
    assert_eq!((result.arrived, result.placed, result.never_count, result.never.len()), (6, 5, 1, 1));
    assert_eq!(result.samples.last().unwrap().waiting, 0, "they are not waited for");
}

#[test]
fn a_fragmented_fleet_says_so() {
    // Half of each GPU is used, and everybody else wants whole ones.
    let mut arrivals: Vec<_> = (0..4).map(|_| arrival(0, 0, None, 1, Gpus::Share(500))).collect();
    arrivals.extend((0..96).map(|_| arrival(0, 50, None, 1, Gpus::Whole(1))));
    let load = workload(machines(4, "cpus:8;mem:64;gpus:{0:1000}"), &[1000], arrivals, 100);
    let result = play(&load, "spread", 1);
    let at = |seconds: usize| &result.samples[seconds * 2];
    assert!(at(0).fragmentation < 0.1 && at(40).fragmentation > 0.9, "{:?}", at(40));
    assert_eq!(at(90).running, 4);
}

/// Panics at the tenth score.
struct Fragile(u32);

impl Scorer for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    fn score(&mut self, _: &Ask, _: &Room) -> Option<Place> {
        self.0 += 1;
        assert!(self.0 < 10, "out of ideas");
        Some(Place { score: 0.0, devices: Vec::new() })
    }

    fn is_pure(&self) -> bool {
        false
    }
}

#[test]
fn a_policy_that_panics_is_named_and_its_run_tells_what_it_did_so_far() {
    let arrivals = (0..50).map(|at| arrival(0, at, None, 1, Gpus::None)).collect();
    let load = workload(machines(3, "cpus:100;mem:64"), &[1000], arrivals, 100);
    let result = run(&load, || Box::new(Fragile(0)), &Options::default(), 1).unwrap();
    assert_eq!(result.stopped.as_deref(), Some("policy fragile panicked: out of ideas"));
    assert!(result.placed > 0 && result.failed > 0 && result.placed + result.failed <= result.arrived);
    assert_eq!(play(&load, "binpack", 1).stopped, None, "the others go on");
}

/// Names a device that is not there.
struct Careless;

impl Scorer for Careless {
    fn name(&self) -> &str {
        "careless"
    }

    fn score(&mut self, ask: &Ask, _: &Room) -> Option<Place> {
        Some(Place { score: 0.0, devices: vec![77; ask.need.gpus.devices()] })
    }
}

#[test]
fn a_policy_that_names_an_impossible_place_is_named() {
    let arrivals = vec![arrival(0, 1, None, 1, Gpus::Whole(1))];
    let load = workload(machines(1, "cpus:4;mem:64;gpus:{0:1000}"), &[1000], arrivals, 100);
    let result = run(&load, || Box::new(Careless), &Options::default(), 1).unwrap();
    let why = result.stopped.unwrap();
    assert!(why.contains("careless") && why.contains("impossible place"), "{why}");
    assert_eq!((result.placed, result.failed), (0, 1));
}

/// Launches everything on the first offer, whether it fits or not.
#[derive(Default)]
struct Greedy {
    waiting: Vec<(TaskId, Ask)>,
    checks: bool,
}

impl Scheduler for Greedy {
    fn offers(&mut self, _: Timestamp, offers: &[Offer]) -> Plan {
        let task = Task::shell("true").unwrap();
        let mut plan = Plan::new();
        for offer in offers {
            let needs: Vec<_> = self.waiting.iter().map(|(_, ask)| ask.need).collect();
            let fitting = lonja_sdk_core::placement::first_fit(std::slice::from_ref(offer), &needs);
            let mut tasks = Vec::new();
            for (index, taken) in fitting[0].iter().rev() {
                let (id, _) = self.waiting.remove(*index);
                let taken = if self.checks { taken.clone() } else { "cpus:1000".parse().unwrap() };
                tasks.push(task.with_resources(&offer.agent, id, taken));
            }
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        plan
    }

    fn update(&mut self, _: Timestamp, _: &TaskStatus) -> Plan {
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Client for Greedy {
    fn arrive(&mut self, _: Timestamp, id: TaskId, ask: &Ask) {
        self.waiting.push((id, ask.clone()));
    }
}

#[test]
fn any_scheduler_runs_on_the_same_fleet() {
    let arrivals = (0..20).map(|at| arrival(0, at, Some(5), 1, Gpus::None)).collect();
    let load = workload(machines(3, "cpus:4;mem:64"), &[1000], arrivals, 100);
    let client =
        |_: usize, _: &Tenant| Box::new(Greedy { checks: true, ..Greedy::default() }) as Box<dyn Client>;
    let result = run_with(&load, "greedy", client, &Options::default(), 1).unwrap();
    assert_eq!((result.placed, result.policy.as_str(), &result.stopped), (20, "greedy", &None));
}

#[test]
fn a_scheduler_that_plans_over_its_offers_is_stopped_with_the_reason() {
    let arrivals = (0..20).map(|at| arrival(0, at, Some(5), 1, Gpus::None)).collect();
    let load = workload(machines(3, "cpus:4;mem:64"), &[1000], arrivals, 100);
    let client = |_: usize, _: &Tenant| Box::new(Greedy::default()) as Box<dyn Client>;
    let result = run_with(&load, "greedy", client, &Options::default(), 1).unwrap();
    let why = result.stopped.unwrap();
    assert!(why.contains("needs cpus:1000"), "{why}");
    assert!(result.failed >= 1 && result.placed == 0);
}

#[test]
fn workloads_that_cannot_be_run_are_refused_with_the_reason() {
    let good = workload(machines(1, "cpus:1"), &[1000], vec![arrival(0, 1, None, 1, Gpus::None)], 10);
    let refused = |change: fn(&mut Workload)| {
        let mut load = good.clone();
        change(&mut load);
        run(&load, || Box::new(Careless), &Options::default(), 1).unwrap_err()
    };
    assert_eq!(refused(|load| load.machines.clear()), RunError::NoMachines);
    assert_eq!(refused(|load| load.frameworks.clear()), RunError::NoFrameworks);
    assert_eq!(refused(|load| load.lasts = Duration::ZERO), RunError::NoTime);
    assert_eq!(refused(|load| load.frameworks[0].weight = 0), RunError::NoWeight("f0".into()));
    assert!(matches!(refused(|load| load.machines[0].total = Default::default()), RunError::EmptyMachine(_)));
    assert!(matches!(refused(|load| load.frameworks[0].name = "a b".into()), RunError::NoRole { .. }));
    assert!(matches!(refused(|load| load.arrivals[0].framework = 3), RunError::NobodysTask { .. }));
    let out_of_order = refused(|load| load.arrivals.push(arrival(0, 0, None, 1, Gpus::None)));
    assert!(matches!(out_of_order, RunError::OutOfOrder(_)));
}
