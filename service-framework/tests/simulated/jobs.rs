//! Runs of jobs among silent agents, full clusters and restarts.

use std::sync::mpsc;

use lonja_services_core::command::Refused;
use lonja_services_core::job::{Concurrency, Job, JobRunId, RunState};
use lonja_services_core::{Answer, Command};

use crate::promises::{job, states};
use crate::world::{World, path};

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
