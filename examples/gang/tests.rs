//! The rules of the scheduler by offers and news made up, and all of it under faults.

use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, offer, secs, status};

use super::*;

const NOW: Timestamp = Timestamp::ZERO;

fn gang(seed: u64, state: &State) -> Gang {
    Gang { retries: 1, ..patient(seed, state) }
}

/// One that begins anew as often as it takes: a machine that loses power fails what it runs.
fn patient(seed: u64, state: &State) -> Gang {
    let task = Task::shell("work").unwrap().cpus(1.0).unwrap().mem_mib(64.0).unwrap();
    Gang::restore(&task, 3, 1_000, seed, state)
}

fn room(id: &str, cpus: u32) -> Offer {
    offer(id, &format!("agent-of-{id}"), &format!("cpus:{cpus};mem:1024"))
}

#[test]
fn offers_are_held_until_all_members_fit() {
    let mut gang = gang(1, &State::default());
    let (first, second) = (room("o1", 2), room("o2", 1));

    let plan = gang.offers(NOW, std::slice::from_ref(&first));
    assert_eq!((gang.members.len(), gang.held.len()), (0, 1));
    assert!(!plan.is_empty());
    gang.offers(NOW, &[second]);

    assert_eq!((gang.members.len(), gang.held.len(), gang.epoch), (3, 0, 1));
}

#[test]
fn what_is_held_in_vain_is_given_back_and_it_rests() {
    let mut gang = gang(1, &State::default());
    let held = room("o1", 2);
    gang.offers(NOW, std::slice::from_ref(&held));
    let until = gang.next_deadline().unwrap();

    let plan = gang.tick(until);

    assert!(!plan.is_empty() && gang.held.is_empty() && !gang.wants_offers());
    gang.tick(gang.next_deadline().unwrap());
    assert!(gang.wants_offers());
    gang.offers(until, &[held]);
    assert!(gang.next_deadline().unwrap().since(until) > until.since(NOW), "it waits longer now");
}

#[test]
fn with_one_that_fails_all_start_again() {
    let mut gang = gang(1, &State::default());
    gang.offers(NOW, &[room("o1", 3)]);

    let plan = gang.update(NOW, &status("member-1.1", TaskState::Failed));
    let kill = |plan: Plan, id: &str| plan.kill(id.parse().unwrap(), None);
    assert_eq!(plan, kill(kill(Plan::new(), "member-0.1"), "member-2.1"));
    gang.update(NOW, &status("member-0.1", TaskState::Killed));
    assert!(!gang.wants_offers());
    gang.update(NOW, &status("member-2.1", TaskState::Killed));
    gang.offers(NOW, &[room("o2", 3)]);

    assert_eq!((gang.epoch, gang.failures), (2, 1));
    assert_eq!(gang.update(NOW, &status("member-0.2", TaskState::Failed)), Plan::new().tear_down());
}

#[test]
fn why_its_members_wait_can_be_asked() {
    let mut gang = gang(1, &State::default());

    let small = room("o1", 2);
    let words = gang.why_not(std::slice::from_ref(&small));

    let tasks: Vec<_> = words.iter().map(|word| word.task.as_str()).collect();
    assert_eq!(tasks, ["member-0.1", "member-1.1", "member-2.1"]);
    assert!(words.iter().all(|word| word.offers == 1 && word.nearest.is_some()));
    let too_small = offer("o2", "a", "cpus:0.5;mem:1024");
    assert_eq!(
        gang.offers(NOW, std::slice::from_ref(&too_small)),
        Plan::new().unplaced(gang.why_not(&[too_small]))
    );
}

#[test]
fn one_that_is_over_says_so_after_a_restart() {
    let (mut first, mut state) = (gang(1, &State::default()), State::default());
    first.offers(NOW, &[room("o1", 3)]);
    (0..3).for_each(|rank| {
        first.update(NOW, &status(&format!("member-{rank}.1"), TaskState::Finished));
    });
    first.changes().into_iter().for_each(|change| state.apply(change));

    let plan = gang(2, &state).subscribed(NOW, &"f".parse().unwrap(), &MasterInfo::default());

    assert_eq!(plan, Plan::new().tear_down());
}

#[test]
fn a_scheduler_started_anew_knows_its_members() {
    let (mut first, mut state) = (gang(1, &State::default()), State::default());
    first.offers(NOW, &[room("o1", 3)]);
    first.update(NOW, &status("member-1.1", TaskState::Lost));
    first.changes().into_iter().for_each(|change| state.apply(change));

    let second = gang(2, &state);

    assert_eq!((second.epoch, &second.members), (1, &first.members));
    assert!(!second.wants_offers());
}

fn cluster(seed: u64) -> TestCluster<Gang> {
    TestCluster::new(seed)
        .agents(4, "cpus:1;mem:256")
        .outcome(|_task| TaskOutcome::exits(0).after(secs(40)))
        .framework(FrameworkOptions::named("gang"), move |state| patient(seed, state))
}

/// How a task ended, as its framework was first told: older news, and answers to questions of before, may come after that.
fn end<S: 'static>(cluster: &TestCluster<S>, task: &TaskId) -> Option<TaskState> {
    let mut told = cluster.history(task.as_str()).into_iter().map(|told| told.status.state);
    told.find(|state| state.is_terminal())
}

/// Of each epoch the members that were launched, and how many of them have finished.
fn epochs(cluster: &TestCluster<Gang>) -> BTreeMap<u32, (usize, usize)> {
    let mut epochs = BTreeMap::new();
    for task in cluster.tasks().iter().filter(|task| task.member == 0) {
        let epoch = task.info.id.as_str().rsplit_once('.').unwrap().1.parse().unwrap();
        let (launched, finished): &mut (usize, usize) = epochs.entry(epoch).or_default();
        *launched += 1;
        *finished += usize::from(end(cluster, &task.info.id) == Some(TaskState::Finished));
    }
    epochs
}

#[test]
fn two_gangs_that_want_the_same_agents_both_come_to_their_end() {
    let beside = |state: &State| patient(77, state);
    let mut cluster = cluster(1).beside(FrameworkOptions::named("other"), beside);

    cluster.until(hours(1), |cluster| {
        cluster.tasks().iter().filter(|task| task.state.is_some_and(TaskState::is_terminal)).count() >= 6
    });
}

#[test]
fn whatever_fails_all_members_start_together_and_finish_in_one_epoch() {
    fuzz(0..200, |seed| {
        let mut cluster = cluster(seed);
        cluster.random_faults(Faults::ALL, mins(3));
        cluster.until(hours(6), |cluster| epochs(cluster).values().any(|epoch| *epoch == (3, 3)));
        cluster.settles_within(hours(2));

        let epochs = epochs(&cluster);
        assert!(epochs.values().all(|(launched, _)| *launched == 3), "{epochs:?}");
        for epoch in epochs.keys().rev().skip(1) {
            let members = (0..3).flat_map(|rank| cluster.history(&format!("member-{rank}.{epoch}")));
            let given_up = |state: TaskState| {
                matches!(state, TaskState::Unreachable | TaskState::Unknown)
                    || state.is_terminal() && state != TaskState::Finished
            };
            let states: Vec<_> = members.map(|told| told.status.state).collect();
            assert!(states.iter().any(|state| given_up(*state)), "epoch {epoch} was well: {states:?}");
        }
    });
}
