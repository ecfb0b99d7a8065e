//! The rules of the scheduler by offers made up, on a fleet, and under faults.

use lonja_sdk::model::framework::Capability;
use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, offer, secs};

use super::*;

const TWO_GPUS: &str = "cpus:8;mem:16384;gpus:{0:1000,1:1000}";

fn ask(gpus: Gpus) -> Ask {
    (*Task::shell("train").unwrap().cpus(1.0).unwrap().mem_mib(512.0).unwrap().gpus(gpus).need()).into()
}

/// Five shares of 400 thousandths and a whole device: they fit on two machines of two.
fn tasks() -> BTreeMap<TaskId, Ask> {
    let shares = (0..5).map(|number| (format!("share-{number}"), ask(Gpus::Share(400))));
    let all = shares.chain([("whole".to_owned(), ask(Gpus::Whole(1)))]);
    all.map(|(id, ask)| (id.parse().unwrap(), ask)).collect()
}

#[test]
fn shares_fill_one_device_before_the_next_is_begun() {
    let mut sharing = Sharing::new().unwrap();
    for number in 0..4 {
        let id = format!("share-{number}").parse().unwrap();
        sharing.arrive(Timestamp::ZERO, id, &ask(Gpus::Share(500)));
    }
    sharing.arrive(Timestamp::ZERO, "whole".parse().unwrap(), &ask(Gpus::Whole(2)));

    sharing.offers(Timestamp::ZERO, &[offer("o1", "a1", TWO_GPUS), offer("o2", "a2", TWO_GPUS)]);

    assert!(sharing.waiting.is_empty(), "{:?}", sharing.waiting);
}

#[test]
fn with_shares_more_is_done_on_the_same_machines() {
    let workload = generated(2).unwrap();
    let run = |workload: &Workload| simulate(workload, 1, |_| Sharing::new().unwrap()).unwrap();

    let (whole, shared) = (run(&without_shares(workload.clone())), run(&workload));

    assert_eq!((whole.stopped, shared.stopped), (None, None));
    assert!(shared.placed > whole.placed, "{} with shares, {} without", shared.placed, whole.placed);
}

#[test]
fn whatever_fails_each_task_comes_to_its_end_and_no_device_is_given_out_twice() {
    fuzz(0..200, |seed| {
        let mut cluster = TestCluster::new(seed)
            .agents(3, TWO_GPUS)
            .outcome(|_task| TaskOutcome::exits(0).after(secs(60)))
            .framework(FrameworkOptions::named("gpus").capability(Capability::GpuResources), |state| {
                Sharing::restore(&tasks(), state)
            })
            .settled_when(|sharing| sharing.waiting.is_empty() && sharing.running.is_empty());
        cluster.random_faults(Faults::ALL, mins(3));
        cluster.settles_within(hours(4));

        for id in tasks().into_keys() {
            let attempts = cluster.tasks().into_iter().map(|task| task.info.id);
            let attempts = attempts.filter(|attempt| attempt.as_str().split('.').next() == Some(id.as_str()));
            let ends: Vec<_> = attempts.filter_map(|attempt| end(&cluster, &attempt)).collect();
            // A machine that loses power fails what it runs.
            let own = ends.iter().filter(|end| matches!(end, TaskState::Finished | TaskState::Failed));
            let all: Vec<_> = cluster.tasks().into_iter().map(|task| (task.info.id, task.state)).collect();
            assert_eq!(own.count(), 1, "{id} came to {ends:?}, of {all:?}");
        }
    });
}

/// How a task ended, as its framework was first told: older news, and answers to questions of before, may come after that.
fn end<S: 'static>(cluster: &TestCluster<S>, task: &TaskId) -> Option<TaskState> {
    let mut told = cluster.history(task.as_str()).into_iter().map(|told| told.status.state);
    told.find(|state| state.is_terminal())
}
