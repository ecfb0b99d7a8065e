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
            let mut attempts: Vec<_> = cluster.tasks().into_iter().map(|task| task.info.id).collect();
            attempts.retain(|attempt| attempt.as_str().split('.').next() == Some(id.as_str()));
            attempts.sort_by_key(|attempt| (attempt.as_str().len(), attempt.clone()));
            for (index, attempt) in attempts.iter().enumerate() {
                let (ended, lost) = ends(&cluster, attempt);
                let is_last = index + 1 == attempts.len();
                assert!(
                    if is_last { ended } else { lost },
                    "{attempt} ended: {ended}, lost: {lost}, of {attempts:?}"
                );
            }
        }
    });
}

/// Was the framework told that the task came to its own end, and that it was lost? It may be both: an end that was told and
/// could not be written down, of a task whose agent was given up before it could be told again. A machine that loses power
/// fails what it runs.
fn ends<S: 'static>(cluster: &TestCluster<S>, task: &TaskId) -> (bool, bool) {
    let told = cluster.history(task.as_str()).into_iter().map(|told| told.status.state);
    let ends: Vec<_> = told.filter(|state| state.is_terminal()).collect();
    let is_own = |state: &TaskState| matches!(state, TaskState::Finished | TaskState::Failed);
    (ends.iter().any(is_own), ends.iter().any(|state| !is_own(state)))
}
