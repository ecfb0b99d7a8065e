//! What a test asks of a cluster at its edges: before time has begun, without a scheduler, for ever.
#![cfg(feature = "testing")]

mod keeper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use keeper::Keeper;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Faults, TestCluster, mins, secs};

fn cluster(seed: u64) -> TestCluster<Keeper> {
    TestCluster::new(seed)
        .agents(1, "cpus:4;mem:4096")
        .framework(FrameworkOptions::named("keeper"), |state| Keeper::restore(1, state))
        .settled_when(|keeper| keeper.is_content())
        .invariant(|keeper| keeper.keeps_its_word())
}

/// What it says when it panics.
fn words(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("it panics");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[test]
fn a_partition_from_before_time_begins_lasts_until_it_is_healed() {
    for faults in [None, Some(Faults::NONE), Some(Faults { network: true, ..Faults::NONE })] {
        for seed in 0..20 {
            let mut cluster = cluster(seed);
            cluster.partition(0);
            if let Some(faults) = faults {
                // What is drawn before time begins leaves alone what the test itself has done.
                cluster.random_faults(faults, mins(1));
            }
            cluster.run_for(mins(2));
            assert!(cluster.tasks().is_empty(), "seed {seed}, {faults:?}: nothing gets to the agent");

            cluster.heal(0);

            cluster.settles_within(mins(15));
            cluster.assert_running(1);
        }
    }
}

#[test]
fn messages_lost_from_before_time_begins_are_lost_under_drawn_faults_too() {
    let mut cluster = cluster(1);
    cluster.lose_messages(1.0);
    cluster.random_faults(Faults::NONE, mins(1));

    cluster.run_for(mins(5));

    assert!(cluster.tasks().is_empty());
}

#[test]
fn a_cluster_without_a_scheduler_says_so() {
    let acts: [fn(&mut TestCluster); 7] = [
        TestCluster::kill_scheduler,
        TestCluster::stop_scheduler,
        TestCluster::start_scheduler,
        TestCluster::partition_scheduler,
        TestCluster::heal_scheduler,
        |cluster| cluster.pause_scheduler(secs(1)),
        |cluster| cluster.random_faults(Faults::ALL, mins(1)),
    ];
    for act in acts {
        let said = words(|| act(&mut TestCluster::new(1).agents(1, "cpus:1")));
        assert!(said.contains("no scheduler: give it one by framework()"), "{said}");
    }
    let said = words(|| TestCluster::new(1).random_faults(Faults::ALL, mins(1)));
    assert!(said.contains("no Agent(0) in this cluster of 0 agents"), "{said}");
}

#[test]
fn what_is_waited_for_without_end_is_waited_for() {
    let mut cluster = cluster(1);
    cluster.run_for(secs(1));

    cluster.until(Duration::MAX, |cluster| cluster.running_tasks().len() == 1);
    cluster.settles_within(Duration::MAX);

    cluster.assert_running(1);
}

#[test]
fn what_would_never_end_says_so() {
    let acts: [fn(&mut TestCluster<Keeper>); 4] = [
        |cluster| cluster.run_for(Duration::MAX),
        |cluster| cluster.lose_power(0, Duration::MAX),
        |cluster| cluster.pause_scheduler(Duration::MAX),
        |cluster| cluster.random_faults(Faults::ALL, Duration::MAX),
    ];
    for act in acts {
        let said = words(|| act(&mut cluster(1)));
        assert!(said.contains("more than the ten years that may pass at once"), "{said}");
    }
}
