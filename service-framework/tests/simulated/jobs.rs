//! Runs of jobs among silent agents, full clusters and restarts.

use std::sync::mpsc;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk::testing::TaskOutcome;
use lonja_services_core::command::Refused;
use lonja_services_core::definition::App;
use lonja_services_core::job::{Concurrency, Job, JobRunId, RunState};
use lonja_services_core::{Answer, Command};

use crate::promises::{job, states};
use crate::world::{World, app, path, put, remove};

const EACH: &str = "cpus:1;mem:1024;disk:1000;ports:[31000-31999]";

impl World {
    fn put_job(&mut self, job: Job) {
        self.cluster.command(Command::PutJob {
            job: Box::new(job),
            create: false,
            answer: Answer::nobody(),
        });
        self.run(1);
    }

    fn run_job(&mut self, id: &str) -> Result<JobRunId, Refused> {
        let (sender, answer) = mpsc::channel();
        let answered = Answer::to(move |run| drop(sender.send(run)));
        self.cluster.command(Command::RunJob { job: path(id), answer: answered });
        self.run(1);
        answer.try_recv().expect("it was answered")
    }

    fn stop_run(&mut self, id: &str, run: &JobRunId) {
        let (sender, answer) = mpsc::channel();
        let answered = Answer::to(move |stopped: Result<(), Refused>| drop(sender.send(stopped)));
        self.cluster.command(Command::StopRun { job: path(id), run: run.clone(), answer: answered });
        self.run(1);
        answer.try_recv().expect("it was answered").expect("it is under way");
    }

    /// All of the only agent is in use.
    fn fill(&mut self) {
        self.apply(put(App { cpus: Scalar::from_units(1).unwrap(), ..app("hog", 1) }));
        self.settle(30);
    }

    /// It is free again.
    fn drain(&mut self) {
        self.apply(remove("hog"));
        self.settle(30);
    }
}

fn reason(states: &[RunState]) -> &str {
    match states {
        [RunState::Failed { reason, .. }] => reason,
        other => panic!("one run that failed is expected: {other:?}"),
    }
}

#[test]
fn a_run_whose_agent_falls_silent_fails_and_leaves_room_for_the_next() {
    let mut world = World::new(31, 1, EACH);
    world.put_job(Job { retries: 0, ..job("once", None, Concurrency::Forbid) });
    world.run_job("once").unwrap();
    world.run(10);
    world.cluster.assert_running(1);

    world.cluster.partition(0);
    world.run(120);
    assert!(reason(&states(&world, "once")).contains("silent"), "{:?}", states(&world, "once"));

    world.cluster.heal(0);
    world.run(60);
    world.cluster.assert_running(0);
    world.cluster.kill_scheduler();
    world.run(10);
    assert_eq!(states(&world, "once").len(), 1);
    world.run_job("once").unwrap();
    world.run(10);
    assert!(matches!(states(&world, "once")[..], [RunState::Failed { .. }, RunState::Running]));
}

#[test]
fn a_run_whose_agent_falls_silent_is_tried_again_as_its_job_says() {
    let mut world = World::new(32, 1, EACH);
    world.put_job(Job { retries: 1, ..job("twice", None, Concurrency::Forbid) });
    world.run_job("twice").unwrap();
    world.run(10);
    let first = world.cluster.running_tasks();

    world.cluster.partition(0);
    world.run(120);
    assert_eq!(states(&world, "twice"), [RunState::Waiting]);

    world.cluster.heal(0);
    world.run(60);
    assert!(matches!(states(&world, "twice")[..], [RunState::Running]));
    world.cluster.assert_running(1);
    assert_ne!(world.cluster.running_tasks(), first, "no task has the id of another");
    assert_eq!(world.cluster.tasks().len(), 2);
}

#[test]
fn a_run_that_ends_while_it_waits_is_never_launched() {
    let mut world = World::new(33, 1, EACH);
    world.fill();
    world.put_job(Job { retries: 0, ..job("stopped", None, Concurrency::Allow) });
    let run = world.run_job("stopped").unwrap();
    world.put_job(Job { retries: 0, ..job("replaced", None, Concurrency::Replace) });
    world.run_job("replaced").unwrap();
    world.run_job("replaced").unwrap();

    world.stop_run("stopped", &run);
    world.drain();
    world.run(30);

    assert_eq!(reason(&states(&world, "stopped")), "it was stopped");
    assert!(matches!(states(&world, "replaced")[..], [RunState::Failed { .. }, RunState::Running]));
    world.cluster.assert_running(1);
}

#[test]
fn a_run_that_ends_between_two_tries_leaves_nothing() {
    let mut world = World::with(34, 1, EACH, |_task| TaskOutcome::exits(1));
    world.put_job(Job { retry_delay: Duration::from_secs(60), ..job("bad", None, Concurrency::Allow) });
    let run = world.run_job("bad").unwrap();
    world.run(10);
    world.stop_run("bad", &run);
    assert_eq!(reason(&states(&world, "bad")), "it was stopped");
    for _ in 0..2 {
        world.run(100);

        world.cluster.kill_scheduler();
    }
    assert_eq!(world.cluster.tasks().len(), 1);
}

#[test]
fn runs_that_wait_go_by_what_their_job_has_become() {
    let mut world = World::new(35, 1, EACH);
    world.fill();
    world.put_job(job("work", None, Concurrency::Allow));
    for _ in 0..3 {
        world.run_job("work").unwrap();
    }
    world.put_job(job("work", None, Concurrency::Forbid));
    world.drain();
    world.run(30);
    world.cluster.assert_running(1);
}
