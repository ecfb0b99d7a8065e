//! Runs of jobs among silent agents, full clusters and restarts.

use std::sync::mpsc;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk::testing::TaskOutcome;
use lonja_services_core::command::Refused;
use lonja_services_core::definition::App;
use lonja_services_core::job::{Concurrency, Job, JobRunId, RunState, Schedule};
use lonja_services_core::{Answer, Command};

use crate::promises::{job, states};
use crate::world::{World, app, path, put, remove};

const EACH: &str = "cpus:1;mem:1024;disk:1000;ports:[31000-31999]";

impl World {
    fn put_job(&mut self, job: Job) {
        self.cluster.command(Command::PutJob { job: Box::new(job), create: false, answer: Answer::nobody() });
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
        assert!(world.cluster.scheduler().runs()[&path("bad")].instances().is_empty());
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

#[test]
fn a_run_ends_in_time_though_the_daemon_began_anew() {
    let mut world = World::new(36, 1, EACH);
    world.put_job(Job {
        max_run_time: Some(Duration::from_secs(60)),
        ..job("slow", None, Concurrency::Allow)
    });
    world.run_job("slow").unwrap();
    for _ in 0..3 {
        world.run(15);
        world.cluster.assert_running(1);
        world.cluster.kill_scheduler();
    }
    world.run(25);
    assert!(reason(&states(&world, "slow")).contains("maxRunTime"));
    world.cluster.assert_running(0);
}

#[test]
fn a_run_whose_time_is_up_while_the_daemon_is_down_ends_when_it_is_back() {
    let mut world = World::new(37, 1, EACH);
    world.put_job(Job {
        max_run_time: Some(Duration::from_secs(60)),
        ..job("slow", None, Concurrency::Allow)
    });
    world.run_job("slow").unwrap();
    world.run(10);
    world.cluster.stop_scheduler();
    world.run(90);
    world.cluster.start_scheduler();
    world.run(15);
    assert!(reason(&states(&world, "slow")).contains("maxRunTime"));
    world.cluster.assert_running(0);
}

#[test]
fn a_run_that_was_stopped_is_not_tried_again_though_the_daemon_began_anew() {
    let mut world = World::new(38, 1, EACH);
    world.put_job(Job { retries: 2, ..job("work", None, Concurrency::Allow) });
    let run = world.run_job("work").unwrap();
    world.run(10);
    // The kill does not arrive before the daemon is gone.
    world.cluster.partition(0);
    world.stop_run("work", &run);
    world.cluster.kill_scheduler();
    world.cluster.heal(0);
    world.run(60);
    assert_eq!(reason(&states(&world, "work")), "it was stopped");
    world.cluster.assert_running(0);
}

#[test]
fn a_job_runs_for_no_time_before_its_last_change() {
    let by = |cron: &str, suspended| {
        let schedule = Schedule { cron: cron.to_owned(), suspended, starting_deadline: None };
        Job { schedule: Some(schedule), ..job("tick", None, Concurrency::Allow) }
    };
    let mut world = World::with(39, 1, EACH, |_task| TaskOutcome::exits(0));
    world.put_job(by("* * * * *", false));
    world.run(90);
    world.put_job(by("* * * * *", true));
    let before = states(&world, "tick").len();
    // Hours pass.
    world.run(3 * 3_600);
    world.put_job(by("0 * * * *", false));
    world.cluster.kill_scheduler();
    world.run(10);
    assert_eq!(states(&world, "tick").len(), before);
}

#[test]
fn a_time_that_was_left_out_stays_so() {
    let mut world = World::with(40, 1, EACH, |_task| TaskOutcome::exits(0).after(Duration::from_secs(100)));
    world.put_job(job("tick", Some("* * * * *"), Concurrency::Forbid));
    // It begins within the first minute, runs over the next time, and ends before the one after that.
    world.cluster.until(Duration::from_secs(70), |cluster| !cluster.tasks().is_empty());
    world.run(105);
    assert!(matches!(states(&world, "tick")[..], [RunState::Succeeded { .. }]));
    world.cluster.kill_scheduler();
    world.run(5);
    assert_eq!(states(&world, "tick").len(), 1);
}
