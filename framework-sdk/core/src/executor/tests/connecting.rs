//! Connecting, losing the agent, coming back.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::TaskState::{Finished, Running};
use lonja_model::execution::{Call, Event as AgentEvent};

use super::fixture::*;
use crate::executor::{Event, Options, Update};

#[test]
fn nothing_but_subscribe_is_sent_before_the_subscription_stands() {
    let mut world = world();
    world.passes(secs(1));
    assert!(world.last.connect);
    let sent = world.event(Event::Connected).send.clone();
    assert!(matches!(&sent[..], [Call::Subscribe { .. }]), "{sent:?}");
    assert!(world.launches("t1").is_empty());
    assert!(
        world.executor().launched.is_empty(),
        "a launch before the subscription is of another connection"
    );
    world.is_subscribed();
    assert_eq!(world.executor().subscriptions, 1);
}

#[test]
fn what_was_said_while_the_agent_was_away_reaches_it_with_the_subscription() {
    let mut world = subscribed();
    world.runs("t1");
    world.launches("t2");
    world.loses_connection();
    assert!(world.says(Update::finished(task_id("t1")).with_data("42")).is_empty());

    let sent = world.connects();

    let (tasks, said) = opening(&sent);
    assert_eq!(tasks, ["t2"], "of t1 something is stored already");
    assert_eq!(said, [("t1".to_owned(), Finished)]);
    assert_eq!(sent.len(), 1, "once is enough");
    assert_eq!(updates(&sent)[0].data, b"42");
}

#[test]
fn what_is_said_between_subscribe_and_its_answer_follows_the_answer() {
    let mut world = subscribed();
    world.runs("t1");
    world.loses_connection();
    world.passes(secs(60));
    world.event(Event::Connected);
    assert!(world.says(Update::finished(task_id("t1"))).is_empty());

    let sent = world.is_subscribed();

    assert_eq!(states(&sent), [("t1".to_owned(), Finished)]);
}

#[test]
fn pauses_grow_and_stay_within_half_of_what_the_agent_waits() {
    let mut world = subscribed();
    let mut waits = Vec::new();
    for _ in 0..20 {
        world.loses_connection();
        let before = world.now;
        world.passes(secs(60));
        assert!(world.last.connect);
        waits.push(world.now.since(before));
    }
    assert!(waits[0] <= Duration::from_millis(50), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= secs(1)), "{waits:?}");
    assert!(waits[10..].iter().all(|wait| *wait >= Duration::from_millis(500)), "{waits:?}");
}

#[test]
fn a_subscription_that_ends_as_it_stands_does_not_make_for_a_storm() {
    let mut world = world();
    for _ in 0..20 {
        world.connects();
        world.launches("t1");
        world.loses_connection();
    }
    let lost = world.now;
    world.passes(secs(60));
    assert!(world.now.since(lost) >= Duration::from_millis(500));
    world.is_let_in();
    world.passes(secs(5));
    world.loses_connection();
    let lost = world.now;
    world.passes(secs(60));
    assert!(world.now.since(lost) <= Duration::from_millis(50), "it had come to stay");
}

#[test]
fn executors_of_one_agent_do_not_come_back_all_at_once() {
    let returns = (0..100).map(|seed| {
        let mut world = world_of(Options { seed, ..options() });
        world.connects();
        world.loses_connection();
        world.execution.next_deadline().unwrap().since(world.now)
    });
    let returns: BTreeSet<Duration> = returns.collect();
    assert!(returns.len() > 50, "{returns:?}");
}

#[test]
fn a_subscribe_that_is_not_answered_is_given_up_after_a_while() {
    let mut world = world();
    world.passes(secs(1));
    world.event(Event::Connected);
    world.passes(secs(15));
    assert!(world.last.disconnect);
    world.connects();
}

#[test]
fn an_error_of_the_agent_ends_the_subscription_and_not_the_executor() {
    let mut world = subscribed();
    world.runs("t1");
    world.hears(AgentEvent::Error("another connection".to_owned()));
    assert!(world.last.disconnect && world.outcome().is_none());
    assert_eq!(world.executor().losses, 1);
    world.connects();
}

#[test]
fn a_sign_of_life_is_sent_while_nothing_else_is() {
    let mut world = subscribed();
    let sent = world.passes(secs(60));
    assert_eq!(sent, [Call::Heartbeat, Call::Heartbeat, Call::Heartbeat, Call::Heartbeat]);
}

#[test]
fn a_subscription_that_comes_twice_on_one_connection_sends_nothing_twice() {
    let mut world = subscribed();
    world.launches("t1");
    let sent = world.says(Update::running(task_id("t1")));
    assert_eq!(states(&sent), [("t1".to_owned(), Running)]);
    assert!(world.is_subscribed().is_empty());
}

#[test]
fn a_deadline_that_stays_in_the_past_does_not_spin() {
    let mut world = subscribed();
    world.executor().deadline = Some(world.now);
    world.passes(Duration::from_millis(50));
    assert!((50..=51).contains(&world.executor().ticks), "{}", world.executor().ticks);
}
