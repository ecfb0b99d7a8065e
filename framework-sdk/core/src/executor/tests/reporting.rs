//! Updates and messages: kept, repeated, acknowledged, refused.

use lonja_model::TaskState::{self, Failed, Finished, Killing, Running, Starting};
use lonja_model::UpdateId;
use lonja_model::execution::{Call, Event as AgentEvent};
use lonja_model::executor::ExecutorInfo;
use lonja_model::task::Source;

use super::fixture::*;
use crate::executor::{Command, Event, MAX_DATA_BYTES, MAX_UPDATES_PER_TASK, Plan, Problem, Update};

#[test]
fn an_update_says_who_where_and_what() {
    let mut world = subscribed();
    world.launches("t1");
    let update = Update::failed(task_id("t1"), "no luck").with_data("7").healthy(false).label("k", "v");
    let sent = updates(&world.says(update)).remove(0);
    assert_eq!((sent.task, sent.state, sent.source), (task_id("t1"), Failed, Source::Executor));
    assert_eq!((sent.message.as_deref(), sent.data.as_slice()), (Some("no luck"), &b"7"[..]));
    assert_eq!((sent.healthy, sent.labels.0.len()), (Some(false), 1));
    assert_eq!(sent.executor, Some(options().executor));
    assert_eq!(sent.agent.unwrap().as_str(), "a1");
    assert_eq!(sent.container.unwrap().as_str(), "c1");
    assert_eq!(sent.timestamp, world.now);
    let UpdateId(id) = sent.update.unwrap();
    assert_eq!((id[6] >> 4, id[8] >> 6), (4, 2), "it is a random UUID");
}

#[test]
fn an_update_is_repeated_ever_more_rarely_until_it_is_stored() {
    let mut world = subscribed();
    world.launches("t1");
    let first = world.says(Update::running(task_id("t1")));
    let is_update = |call: &Call| matches!(call, Call::Update(_));

    let hour = world.passes(secs(3_600));
    let repeats: Vec<_> = hour.iter().filter(|call| is_update(call)).collect();
    assert!((8..=13).contains(&repeats.len()), "{}", repeats.len());
    assert!(repeats.iter().all(|call| **call == first[0]), "a repeat is the same, its id too");

    world.stores(&first);
    assert!(!world.passes(secs(3_600)).iter().any(is_update));
}

#[test]
fn an_acknowledgement_that_comes_late_twice_or_for_something_else_does_no_harm() {
    let mut world = subscribed();
    world.launches("t1");
    world.launches("t2");
    let one = updates(&world.says(Update::running(task_id("t1")))).remove(0);
    let id = one.update.unwrap();

    world.acknowledges(&task_id("t2"), id);
    world.acknowledges(&task_id("t1"), UpdateId([9; 16]));
    world.loses_connection();
    let sent = world.connects();
    assert_eq!(states(&sent), [("t1".to_owned(), Running)], "nothing of it was stored");

    world.acknowledges(&task_id("t1"), id);
    world.acknowledges(&task_id("t1"), id);
    world.loses_connection();
    assert_eq!(opening(&world.connects()), (vec!["t2".to_owned()], vec![]));
}

#[test]
fn all_updates_go_out_again_in_their_order_after_each_loss() {
    let mut world = subscribed();
    world.launches("t1");
    for state in [Starting, Running, Finished] {
        world.says(Update::new(task_id("t1"), state));
    }
    for _ in 0..3 {
        world.loses_connection();
        let said: Vec<TaskState> = opening(&world.connects()).1.into_iter().map(|(_, state)| state).collect();
        assert_eq!(said, [Starting, Running, Finished]);
    }
}

#[test]
fn what_cannot_be_said_is_told_and_not_sent() {
    let mut world = subscribed();
    world.runs("t1");
    let mut problem = |update| {
        let sent = world.says(update);
        assert!(sent.is_empty(), "{sent:?}");
        let told = world.executor().problems.pop();
        assert_eq!(world.last.problems.last(), told.as_ref());
        told.unwrap()
    };
    let (t1, t9) = (task_id("t1"), task_id("t9"));
    assert_eq!(problem(Update::finished(t9.clone())), Problem::UnknownTask(t9));
    for state in [TaskState::Staging, TaskState::Lost, TaskState::Unreachable, TaskState::Gone] {
        let expected = Problem::NotForExecutors { task: t1.clone(), state };
        assert_eq!(problem(Update::new(t1.clone(), state)), expected);
    }
    let backwards = Problem::Impossible { task: t1.clone(), from: Running, to: Starting };
    assert_eq!(problem(Update::new(t1.clone(), Starting)), backwards);
    let bytes = MAX_DATA_BYTES + 1;
    assert_eq!(problem(Update::running(t1).with_data(vec![0; bytes])), Problem::TooLarge { bytes });
}

#[test]
fn after_the_end_of_a_task_nothing_is_said_of_it() {
    let mut world = subscribed();
    world.runs("t1");
    let end = world.says(Update::finished(task_id("t1")));
    assert!(world.says(Update::running(task_id("t1"))).is_empty());
    assert!(matches!(world.executor().problems[..], [Problem::Impossible { .. }]));
    world.stores(&end);
    assert!(world.says(Update::killed(task_id("t1"))).is_empty());
    assert_eq!(world.executor().problems.pop(), Some(Problem::UnknownTask(task_id("t1"))));
}

#[test]
fn a_task_that_says_too_much_is_held_and_can_still_end() {
    let mut world = subscribed();
    world.launches("t1");
    for _ in 0..MAX_UPDATES_PER_TASK {
        assert_eq!(world.says(Update::running(task_id("t1"))).len(), 1);
    }
    assert!(world.says(Update::running(task_id("t1"))).is_empty());
    assert_eq!(world.executor().problems.pop(), Some(Problem::TooManyUpdates(task_id("t1"))));
    assert_eq!(world.says(Update::finished(task_id("t1"))).len(), 1);
}

#[test]
fn killing_is_said_to_frameworks_that_know_it() {
    let mut world = subscribed();
    world.runs("t1");
    assert_eq!(states(&world.says(Update::new(task_id("t1"), Killing))), [("t1".to_owned(), Killing)]);

    let mut world = super::fixture::world();
    world.knows_killing = false;
    world.connects();
    world.runs("t1");
    assert!(world.says(Update::new(task_id("t1"), Killing)).is_empty());
    assert!(world.executor().problems.is_empty());
    assert!(world.says(Update::running(task_id("t1"))).is_empty(), "it is being killed all the same");
    assert_eq!(world.says(Update::killed(task_id("t1"))).len(), 1);
}

#[test]
fn messages_go_both_ways_and_are_not_kept() {
    let mut world = subscribed();
    world.will(Plan::new().message("pong"));
    assert_eq!(world.hears(AgentEvent::Message(b"ping".to_vec())), [Call::Message(b"pong".to_vec())]);
    assert_eq!(world.executor().messages, [b"ping".to_vec()]);

    let message = |bytes: usize| Event::Command(Command::Message(vec![0; bytes]));
    assert!(world.event(message(MAX_DATA_BYTES + 1)).send.is_empty());
    assert_eq!(world.executor().problems.pop(), Some(Problem::TooLarge { bytes: MAX_DATA_BYTES + 1 }));
    world.loses_connection();
    assert!(world.event(message(1)).send.is_empty());
    assert_eq!(world.executor().problems.pop(), Some(Problem::MessageLost));
    assert_eq!(world.connects().len(), 1);
}

#[test]
fn large_results_wait_their_turn_rather_than_make_a_subscribe_that_nobody_takes() {
    let mut world = subscribed();
    let count = 40;
    for number in 0..count {
        world.runs(&format!("t{number}"));
    }
    world.loses_connection();
    let full_from = (0..count).find(|number| {
        let update = Update::finished(task_id(&format!("t{number}"))).with_data(vec![1; MAX_DATA_BYTES]);
        world.says(update);
        world.execution.is_full()
    });
    assert_eq!(full_from, Some(31), "32 MiB may wait, and then work has to");

    let sent = world.connects();

    let first = updates(&sent[..1]);
    let bytes: usize = first.iter().map(|status| status.data.len()).sum();
    assert!(bytes <= 16 << 20 && !first.is_empty(), "{bytes}");
    let order: Vec<_> = updates(&sent).iter().map(|status| status.task.to_string()).collect();
    assert_eq!(order, (0..32).map(|number| format!("t{number}")).collect::<Vec<_>>());
    world.stores(&sent);
    assert!(!world.execution.is_full());
}

#[test]
fn tasks_with_much_data_are_listed_in_a_subscribe_by_an_outline() {
    let mut world = subscribed();
    for number in 0..20 {
        let mut large = task(&format!("t{number:02}"));
        large.data = vec![1; MAX_DATA_BYTES];
        large.executor = Some(Box::new(ExecutorInfo {
            data: vec![1; MAX_DATA_BYTES],
            ..ExecutorInfo::builtin(options().executor)
        }));
        world.hears(AgentEvent::Launch(Box::new(large)));
    }
    world.loses_connection();
    let sent = world.connects();
    let [Call::Subscribe { unacknowledged_tasks, .. }] = &sent[..] else { panic!("no SUBSCRIBE alone") };
    assert_eq!(unacknowledged_tasks.len(), 20);
    let bytes: usize = unacknowledged_tasks.iter().map(|task| task.data.len()).sum();
    assert_eq!(bytes, 15 << 20, "and what says who they are besides");
    assert!(unacknowledged_tasks.iter().all(|task| task.executor.is_none() && !task.resources.is_empty()));
}

#[test]
fn what_an_agent_would_not_take_never_leaves() {
    let mut world = subscribed();
    world.launches("t1");
    let many = (0..=1_024).fold(Update::running(task_id("t1")), |update, _| update.label("k", "v"));
    assert!(world.says(many).is_empty());
    assert_eq!(world.executor().problems.pop(), Some(Problem::TooManyLabels(task_id("t1"))));
    let long = "x".repeat(16 << 10);
    assert!(world.says(Update::running(task_id("t1")).label("k", &long)).is_empty());
    assert_eq!(world.executor().problems.pop(), Some(Problem::TooManyLabels(task_id("t1"))));
    let sent = world.says(Update::running(task_id("t1")).saying(format!("{long}\u{e9}\u{e9}")));
    assert_eq!(updates(&sent)[0].message.as_ref().map(String::len), Some(16 << 10));
}
