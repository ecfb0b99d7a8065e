//! A small scheduler on a cluster that fails, and what is noticed of schedulers that are wrong.
#![cfg(feature = "testing")]

mod keeper;

use keeper::Keeper;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{
    Faults, Fleet, TaskOutcome, TestCluster, fuzz, hours, mins, secs, simulate_scheduler,
};

fn cluster(seed: u64) -> TestCluster<Keeper> {
    TestCluster::new(seed)
        .agents(3, "cpus:4;mem:4096")
        .framework(FrameworkOptions::named("keeper"), |state| Keeper::restore(3, state))
        .settled_when(|keeper| keeper.is_content())
        .invariant(|keeper| keeper.keeps_its_word())
}

#[test]
fn tasks_are_launched_and_run_through_kills_of_every_process() {
    let mut cluster = cluster(1);
    cluster.settles_within(secs(10));
    cluster.assert_running(3);
    let before = cluster.running_tasks();

    cluster.kill_master();
    cluster.kill_scheduler();
    (0..3).for_each(|agent| cluster.kill_agent(agent));
    cluster.settles_within(mins(3));

    assert_eq!(cluster.running_tasks(), before);
}

#[test]
fn random_faults_lose_and_double_nothing() {
    let fuzzed = fuzz(0..100, |seed| {
        let mut cluster = cluster(seed);
        cluster.random_faults(Faults::ALL, mins(3));
        cluster.settles_within(hours(2));
        cluster.assert_running(3);
    });
    eprintln!("{fuzzed}");
}

#[test]
fn a_task_that_ends_is_replaced() {
    let mut cluster = cluster(2).outcome(|task| match task.id.as_str() {
        "keep-0" => TaskOutcome::exits(1).after(secs(5)),
        _ => TaskOutcome::runs_on(),
    });
    cluster.run_for(secs(30));
    cluster.assert_state("keep-0", TaskState::Failed);
    cluster.assert_running(3);
}

/// The value that goes into a [`TestCluster`] goes to a fleet as it is.
#[test]
fn a_plain_scheduler_runs_at_fleet_scale() {
    let fleet = Fleet::of(50, "cpus:4;mem:4096").expect("machines").lasts(mins(10));
    let fleet = fleet.runs_for(|_task| secs(60));
    let (result, keeper) =
        simulate_scheduler(&fleet, 1, Keeper::restore(100, &State::default())).expect("it can be run");

    assert_eq!(result.stopped, None);
    assert!(keeper.is_content());
    // Each of a hundred tasks is replaced once a minute.
    assert!((900..=1_100).contains(&result.placed), "{} launches", result.placed);
    let (again, _) = simulate_scheduler(&fleet, 1, Keeper::restore(100, &State::default())).expect("again");
    assert_eq!(again.trace_hash, result.trace_hash);
}
