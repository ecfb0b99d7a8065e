//! News of tasks: seen once, acknowledged each time, asked for when it may have been missed.

use lonja_model::TaskState;
use lonja_model::scheduler::Call;

use super::fixture::*;
use crate::{Event, Plan, Record, State};

#[test]
fn an_update_that_comes_again_is_acknowledged_again_and_shown_once() {
    let mut world = subscribed();
    world.launches(&offer("o1", "cpus:1;mem:32"), "t1");
    let first = world.hears_of("t1", TaskState::Running, Some(1));
    let again = world.hears_of("t1", TaskState::Running, Some(1));
    assert!(matches!(first[..], [Call::Acknowledge { .. }]));
    assert_eq!(first, again);
    assert_eq!(world.scheduler().updates.len(), 1);
}

#[test]
fn what_the_master_says_by_itself_is_shown_and_not_acknowledged() {
    let mut world = subscribed();
    assert_eq!(world.hears_of("t1", TaskState::Lost, None), []);
    assert_eq!(world.scheduler().updates.len(), 1);
}

#[test]
fn the_acknowledgement_goes_out_before_what_the_scheduler_wants_next() {
    let mut world = subscribed();
    world.will(Plan::new().tear_down());
    let sent = world.hears_of("t1", TaskState::Finished, Some(1));
    assert!(matches!(sent[..], [Call::Acknowledge { .. }, Call::Teardown]), "{sent:?}");
}

#[test]
fn after_a_new_subscription_every_live_task_is_asked_about_until_it_is_told_of() {
    let mut world = subscribed();
    let offer = offer("o1", "cpus:4;mem:128");
    world.will(Plan::new().launch(&offer, [task(&offer, "t1"), task(&offer, "t2")]));
    world.is_offered(&[&offer]);
    world.hears_of("t1", TaskState::Finished, Some(1));
    world.loses_connection();

    let about = Call::Reconcile { tasks: vec![(task_id("t2"), Some(offer.agent.clone()))] };
    let about = [about];
    assert_eq!(world.connects()[1..], about);
    assert_eq!(world.passes(secs(4)), []);
    assert_eq!(world.passes(secs(1)), about);
    assert_eq!(world.passes(secs(9)), []);
    assert_eq!(world.passes(secs(1)), about);

    world.hears_of("t2", TaskState::Running, None);
    assert_eq!(world.passes(secs(60)), []);
}

#[test]
fn a_framework_that_comes_back_in_a_new_process_asks_for_all_its_tasks_once() {
    let mut world = world_with(Some("f1"));
    assert_eq!(world.connects()[1..], [Call::Reconcile { tasks: Vec::new() }]);

    world.hears_of("t1", TaskState::Running, None);
    assert_eq!(world.framework.live_tasks().next(), Some((&task_id("t1"), TaskState::Running)));

    world.loses_connection();
    let sent = world.connects();
    assert!(matches!(&sent[1..], [Call::Reconcile { tasks }] if tasks.len() == 1), "{sent:?}");
}

#[test]
fn a_task_is_kept_from_its_launch_to_its_end_and_asked_about_by_the_next_run() {
    let mut world = subscribed();
    let here = offer("o1", "cpus:1;mem:32");
    world.launches(&here, "t1");
    let launched = Record::Launched { task: task_id("t1"), agent: here.agent.clone() };
    assert_eq!(world.last.persist, std::slice::from_ref(&launched));
    let mut state = State::default();
    state.apply(launched);

    // The process dies before the launch has reached the master.
    let mut again = world_with(Some("f1"));
    again.framework = again.framework.resuming(&state);
    let asked = again.connects();
    let about = (task_id("t1"), Some(here.agent.clone()));
    assert!(asked.contains(&Call::Reconcile { tasks: vec![about] }), "{asked:?}");

    again.hears_of("t1", TaskState::Lost, None);
    assert_eq!(again.last.persist, [Record::Ended { task: task_id("t1") }]);
}

#[test]
fn an_answer_about_a_task_whose_end_was_seen_is_not_shown() {
    let mut world = subscribed();
    world.launches(&offer("o1", "cpus:1;mem:32"), "t1");
    world.hears_of("t1", TaskState::Finished, Some(1));
    let shown = world.scheduler().updates.len();

    // It was asked about before, and the master has forgotten it since.
    world.hears_of("t1", TaskState::Gone, None);

    assert_eq!(world.scheduler().updates.len(), shown);
}

#[test]
fn nothing_is_asked_for_while_there_is_no_subscription() {
    let mut world = world();
    world.will(Plan::new().reconcile().revive().remember([(task_id("t1"), offer("o1", "cpus:1").agent)]));
    world.scheduler().deadline = Some(world.now);
    assert_eq!(world.event(Event::Tick).send, []);
    assert!(world.last.connect);

    world.event(Event::Connected);
    let sent = world.is_subscribed_as("f1");
    assert!(matches!(&sent[..], [Call::Reconcile { tasks }] if tasks.len() == 1), "{sent:?}");
}
