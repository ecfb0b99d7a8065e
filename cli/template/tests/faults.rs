//! The scheduler on a cluster in virtual time whose parts fail: no server, no network, no waiting.
//!
//! A seed that fails is printed with its story: `LONJA_TEST_SEED=17 cargo test` plays it again. `LONJA_TEST_SEEDS=10000`
//! tries more of them.

use lonja_sdk::FrameworkOptions;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, secs};
use my_scheduler::Keeper;

const WANTED: usize = 3;

fn cluster(seed: u64) -> TestCluster<Keeper> {
    let restore = |state: &State| {
        let task = Task::shell("sleep 3600").expect("a command");
        Keeper::restore(task, WANTED, state)
    };
    TestCluster::new(seed)
        .agents(3, "cpus:1;mem:256")
        .framework(FrameworkOptions::named("my-scheduler"), restore)
        .settled_when(|keeper| keeper.live() == WANTED)
        .invariant(|keeper| match keeper.live() {
            0..=WANTED => Ok(()),
            more => Err(format!("{more} are live, {WANTED} are wanted")),
        })
}

#[test]
fn what_fails_is_replaced() {
    let mut cluster = cluster(1).outcome(|task| match task.id.as_str() {
        "task-1" => TaskOutcome::exits(1).after(secs(10)),
        _ => TaskOutcome::runs_on(),
    });

    cluster.run_for(secs(30));

    cluster.assert_state("task-1", TaskState::Failed);
    cluster.assert_running(WANTED);
}

#[test]
fn tasks_run_on_while_everything_else_is_killed() {
    let mut cluster = cluster(2);
    cluster.settles_within(secs(10));
    let before = cluster.running_tasks();

    cluster.kill_master();
    cluster.kill_scheduler();
    cluster.kill_agent(0);
    cluster.settles_within(mins(3));

    assert_eq!(cluster.running_tasks(), before);
}

#[test]
fn whatever_fails_the_wanted_tasks_run_in_the_end() {
    fuzz(0..100, |seed| {
        let mut cluster = cluster(seed);
        cluster.random_faults(Faults::ALL, mins(3));
        cluster.settles_within(hours(2));
        cluster.assert_running(WANTED);
    });
}
