//! What a test can do to a cluster, one by one.
#![cfg(feature = "testing")]

mod keeper;

use keeper::Keeper;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, secs};

fn cluster(seed: u64) -> TestCluster<Keeper> {
    TestCluster::new(seed)
        .agents(3, "cpus:4;mem:4096")
        .framework(FrameworkOptions::named("keeper"), |state| Keeper::restore(3, state))
        .settled_when(|keeper| keeper.is_content())
        .invariant(|keeper| keeper.keeps_its_word())
}

fn running(seed: u64) -> TestCluster<Keeper> {
    let mut cluster = cluster(seed);
    cluster.settles_within(secs(10));
    cluster.assert_running(3);
    cluster
}

#[test]
fn tasks_run_on_while_everybody_else_is_down() {
    let mut cluster = running(1);
    cluster.stop_master();
    cluster.stop_scheduler();
    (0..3).for_each(|agent| cluster.stop_agent(agent));
    cluster.run_for(hours(1));
    assert!(cluster.try_scheduler().is_none());
    cluster.assert_running(3);

    cluster.start_master();
    cluster.start_scheduler();
    (0..3).for_each(|agent| cluster.start_agent(agent));
    cluster.settles_within(mins(5));
    cluster.assert_running(3);
    assert_eq!(cluster.tasks().len(), 3, "nothing was launched anew");
}

#[test]
fn the_tasks_of_an_agent_that_is_cut_off_are_unreachable_until_it_is_back() {
    let mut cluster = running(2);
    let all = |cluster: &TestCluster<Keeper>, state: TaskState| {
        cluster.tasks().iter().all(|task| task.state == Some(state))
    };
    (0..3).for_each(|agent| cluster.partition(agent));
    // A master whose agents all fall silent at once takes it for its own cable, and removes none of them for long.
    cluster.run_for(mins(5));
    (0..3).for_each(|agent| cluster.heal(agent));
    cluster.until(mins(5), |cluster| all(cluster, TaskState::Running));

    let one = cluster.tasks()[0].clone();
    cluster.stop_master();
    cluster.start_master();
    cluster.settles_within(mins(2));
    let agent = (0..3).find(|agent| {
        cluster.partition(*agent);
        cluster.run_for(mins(4));
        let hit = cluster.state(one.info.id.as_str()) == Some(TaskState::Unreachable);
        cluster.heal(*agent);
        cluster.until(mins(5), |cluster| all(cluster, TaskState::Running));
        hit
    });
    assert!(agent.is_some(), "it runs on one of them");
    let told: Vec<TaskState> =
        cluster.history(one.info.id.as_str()).iter().map(|told| told.status.state).collect();
    assert!(told.contains(&TaskState::Unreachable) && told.last() == Some(&TaskState::Running), "{told:?}");
}

#[test]
fn a_machine_without_power_loses_its_tasks_and_they_are_replaced() {
    let mut cluster = running(3);
    (0..3).for_each(|agent| cluster.lose_power(agent, secs(20)));
    cluster.settles_within(mins(5));
    cluster.assert_running(3);
    assert_eq!(cluster.tasks().len(), 6);
}

#[test]
fn a_scheduler_that_stands_still_or_is_cut_off_comes_back() {
    let mut cluster = running(4);
    cluster.pause_scheduler(mins(3));
    cluster.run_for(mins(4));
    cluster.partition_scheduler();
    cluster.run_for(mins(3));
    cluster.heal_scheduler();
    cluster.settles_within(mins(5));
    assert_eq!(cluster.tasks().len(), 3);
}

#[test]
fn lost_messages_lose_no_task() {
    for seed in 0..20 {
        let mut cluster = cluster(seed);
        cluster.lose_messages(0.05);
        cluster.run_for(mins(10));
        cluster.lose_messages(0.0);
        cluster.settles_within(mins(10));
        cluster.assert_running(3);
    }
}

#[test]
fn tasks_end_as_the_test_says() {
    let outcomes = |task: &TaskInfo| match task.id.as_str() {
        "keep-0" => TaskOutcome::exits(0).after(secs(5)),
        "keep-1" => TaskOutcome::over_memory().after(secs(5)),
        "keep-2" => TaskOutcome::cannot_start(),
        "keep-3" => TaskOutcome::killed_by(9),
        _ => TaskOutcome::runs_on(),
    };
    let mut cluster = cluster(5).outcome(outcomes);
    cluster.run_for(mins(2));
    cluster.assert_finished("keep-0");
    cluster.assert_state("keep-1", TaskState::Failed);
    cluster.assert_state("keep-2", TaskState::Failed);
    let struck = cluster.state("keep-3");
    assert!(struck.is_some_and(|state| state.is_terminal()), "{struck:?}");
    cluster.assert_running(3);
    cluster.set_outcome(|_| TaskOutcome::exits(0));
    cluster.lose_power(0, secs(5));
    cluster.lose_power(1, secs(5));
    cluster.lose_power(2, secs(5));
    cluster.run_for(mins(1));
    assert!(cluster.tasks().len() > 8, "those that end at once are replaced over and over");
}

/// Two frameworks may use the same ids, in the same role or not.
#[test]
fn frameworks_beside_each_other_share_a_cluster_through_faults() {
    fuzz(0..30, |seed| {
        let other = FrameworkOptions::named("other").role("batch").expect("a role");
        let mut cluster = cluster(seed).beside(other, |state| Keeper::restore(4, state));
        cluster.random_faults(Faults::ALL, mins(3));
        cluster.settles_within(hours(2));
        cluster.until(mins(10), |cluster| {
            cluster.scheduler_of::<Keeper>(1).is_some_and(|keeper| keeper.is_content())
        });
        cluster.assert_running(3);
        assert_eq!(cluster.scheduler_of::<u64>(1), None, "it is no number");
    });
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let run = |seed| {
        let mut cluster = cluster(seed);
        cluster.random_faults(Faults::ALL, mins(10));
        cluster.settles_within(hours(2));
        (cluster.trace_hash(), cluster.now())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// All of a group or none, on agents with attributes.
#[test]
fn groups_are_launched_whole() {
    struct Pair {
        launched: bool,
    }
    impl Scheduler for Pair {
        fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
            let fit = offers.iter().find(|offer| offer.attributes.to_string().contains("rack:b"));
            let Some(offer) = fit.filter(|_| !self.launched) else { return Plan::new() };
            self.launched = true;
            let task = Task::shell("sleep inf").expect("a task");
            let tasks = ["left", "right"].map(|id| {
                let resources = "cpus:0.5;mem:32".parse().expect("an amount");
                task.with_resources(&offer.agent, TaskId::new(id).expect("an id"), resources)
            });
            let id = ExecutorId::new("pair").expect("an id");
            let executor = lonja_sdk::model::executor::ExecutorInfo::builtin(id);
            Plan::new().launch_group(offer, executor, tasks)
        }

        fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
            Plan::new()
        }
    }
    let mut cluster = TestCluster::new(1)
        .agents(2, "cpus:1;mem:512")
        .agents_with(1, "cpus:1;mem:512", "rack:b")
        .framework(FrameworkOptions::named("pair"), |_| Pair { launched: false })
        .outcome(|task| match task.id.as_str() {
            "left" => TaskOutcome::exits(1).after(mins(1)),
            _ => TaskOutcome::runs_on(),
        });
    cluster.run_for(secs(30));
    cluster.assert_running(2);
    cluster.run_for(mins(2));
    cluster.assert_running(0);
    cluster.assert_state("right", TaskState::Killed);
}

#[test]
#[should_panic(expected = "there is no Agent(3) in this cluster of 3 agents")]
fn an_agent_that_there_is_not_is_named() {
    cluster(1).kill_agent(3);
}

#[test]
#[should_panic(expected = "not settled within 30s: the scheduler has not all it wants")]
fn what_does_not_settle_says_why() {
    let mut cluster = TestCluster::new(1)
        .agents(1, "cpus:2;mem:4096")
        .framework(FrameworkOptions::named("keeper"), |state| Keeper::restore(3, state))
        .settled_when(|keeper| keeper.is_content());
    cluster.settles_within(secs(30));
}
