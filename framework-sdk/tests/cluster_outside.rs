//! Commands to a scheduler on a cluster in virtual time, and what it tells: the same type as a driver runs.
#![cfg(feature = "testing")]

use lonja_sdk::prelude::*;
use lonja_sdk::testing::{TestCluster, mins, secs};

/// What the queue can be told.
enum Command {
    Run(TaskId),
    Kill(TaskId),
    Break,
}

/// Runs what it is told to, once.
struct Queue {
    waiting: Vec<TaskId>,
    events: Vec<(TaskId, TaskState)>,
    changes: Vec<Change>,
}

impl Queue {
    fn restore(state: &State) -> Self {
        let waiting =
            state.below("waiting/").map(|(task, _)| task.parse().expect("it was written so")).collect();
        Self { waiting, events: Vec::new(), changes: Vec::new() }
    }
}

impl Scheduler for Queue {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let task = Task::shell("make").expect("a command");
        let Some(offer) = offers.first() else { return Plan::new() };
        let Some(id) = self.waiting.pop() else { return Plan::new() };
        self.changes.push(Change::remove(format!("waiting/{id}")));
        Plan::new().launch(offer, task.on(offer, id))
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.events.push((status.task.clone(), status.state));
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

impl Interactive for Queue {
    type Command = Command;
    type Event = (TaskId, TaskState);

    fn command(&mut self, _now: Timestamp, command: Command) -> Plan {
        match command {
            Command::Run(id) => {
                self.changes.push(Change::put(format!("waiting/{id}"), ""));
                self.waiting.push(id);
                Plan::new()
            }
            Command::Kill(id) => Plan::new().kill(id, None),
            Command::Break => panic!("as it was told to"),
        }
    }

    fn take_events(&mut self) -> Vec<(TaskId, TaskState)> {
        std::mem::take(&mut self.events)
    }
}

fn cluster(seed: u64) -> TestCluster<Queue> {
    TestCluster::new(seed)
        .agents(1, "cpus:4;mem:4096")
        .framework(FrameworkOptions::named("queue"), Queue::restore)
        .settled_when(|queue| queue.waiting.is_empty())
}

fn id(name: &str) -> TaskId {
    name.parse().expect("a plain name")
}

#[test]
fn what_a_command_decides_is_carried_out_and_what_comes_of_it_is_told_to_each_reader() {
    let mut cluster = cluster(1);
    let (mut early, mut silent) = (cluster.listen(), cluster.listen());
    cluster.run_for(secs(5));

    cluster.command(Command::Run(id("a")));
    cluster.settles_within(mins(1));

    cluster.assert_running(1);
    assert_eq!(early.take(), [(id("a"), TaskState::Starting), (id("a"), TaskState::Running)]);
    assert!(early.take().is_empty(), "each is told once");
    let mut late = cluster.listen();
    cluster.command(Command::Kill(id("a")));
    cluster.until(mins(1), |cluster| cluster.state("a") == Some(TaskState::Killed));
    cluster.assert_running(0);
    assert_eq!(early.take().last(), Some(&(id("a"), TaskState::Killed)));
    assert_eq!((late.take().last(), silent.take().len() > 2), (Some(&(id("a"), TaskState::Killed)), true));
}

#[test]
fn a_command_that_was_durable_outlives_the_process_and_events_go_on() {
    for seed in 0..50 {
        let mut cluster = cluster(seed);
        let mut events = cluster.listen();
        cluster.run_for(secs(5));
        cluster.command(Command::Run(id("a")));
        // As long as a commit takes, at most.
        cluster.run_for(lonja_sdk::testing::millis(5));

        cluster.kill_scheduler();
        cluster.settles_within(mins(2));

        cluster.assert_running(1);
        assert!(events.take().contains(&(id("a"), TaskState::Running)), "seed {seed}");
    }
}

#[test]
fn a_command_dies_with_the_process_that_stands_still() {
    let mut cluster = cluster(1);
    cluster.run_for(secs(5));
    cluster.pause_scheduler(secs(10));
    cluster.command(Command::Run(id("a")));

    cluster.kill_scheduler();
    cluster.settles_within(mins(2));

    assert!(cluster.tasks().is_empty());
}

#[test]
#[should_panic(expected = "the scheduler is down")]
fn nobody_commands_a_scheduler_that_is_down() {
    let mut cluster = cluster(1);
    cluster.run_for(secs(5));
    cluster.stop_scheduler();

    cluster.command(Command::Run(id("a")));
}

#[test]
#[should_panic(expected = "when it was commanded")]
fn a_command_that_makes_it_panic_fails_the_test() {
    let mut cluster = cluster(1);
    cluster.run_for(secs(5));

    cluster.command(Command::Break);
}
