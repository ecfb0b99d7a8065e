//! How it ends: asked to, by itself, without its agent, refused.

use std::time::Duration;

use lonja_model::TaskState::{Failed, Finished, Killed};
use lonja_model::execution::Event as AgentEvent;

use super::fixture::*;
use crate::executor::{Command, Event, Options, Outcome, Plan, Update};

#[test]
fn a_shutdown_ends_tasks_and_the_run_once_their_ends_are_stored() {
    let mut world = subscribed();
    world.runs("t1");
    let sent = world.hears(AgentEvent::Shutdown);
    assert_eq!(states(&sent), [("t1".to_owned(), Killed)]);
    assert!(world.outcome().is_none(), "its last words are not stored yet");
    world.stores(&sent);
    assert_eq!(world.outcome(), Some(&Outcome::ShutDown));
    assert!(world.last.disconnect);
    assert_eq!(world.execution.next_deadline(), None);
}

#[test]
fn a_shutdown_without_tasks_ends_at_once() {
    let mut world = subscribed();
    world.hears(AgentEvent::Shutdown);
    assert_eq!(world.outcome(), Some(&Outcome::ShutDown));
}

#[test]
fn a_shutdown_may_come_in_place_of_a_subscription() {
    let mut world = world();
    world.passes(secs(1));
    world.event(Event::Connected);
    world.hears(AgentEvent::Shutdown);
    assert_eq!(world.outcome(), Some(&Outcome::ShutDown));
}

#[test]
fn a_shutdown_gives_tasks_time_and_ends_before_it_is_over() {
    let mut world = subscribed();
    world.executor().is_slow_to_end = true;
    world.runs("t1");
    world.runs("t2");
    let asked = world.now;
    assert!(world.hears(AgentEvent::Shutdown).is_empty());
    let until = world.executor().shutdowns[0];
    assert_eq!(until.since(asked), secs(9), "a tenth of the grace period is for the last words");
    world.passes(secs(2));
    let sent = world.says(Update::finished(task_id("t1")));
    world.stores(&sent);
    assert!(world.outcome().is_none());

    let sent = world.passes(secs(60));

    assert_eq!(world.now.since(asked), secs(9));
    assert_eq!(states(&sent), [("t2".to_owned(), Killed)]);
    assert_eq!(world.outcome(), Some(&Outcome::ShutDown));
}

#[test]
fn a_shutdown_that_is_repeated_gives_no_more_time() {
    let mut world = subscribed();
    world.executor().is_slow_to_end = true;
    world.runs("t1");
    let asked = world.now;
    world.hears(AgentEvent::Shutdown);
    world.passes(secs(5));
    world.hears(AgentEvent::Shutdown);
    world.passes(secs(60));
    assert_eq!(world.now.since(asked), secs(9));
}

#[test]
fn a_task_launched_while_it_ends_fails_at_once() {
    let mut world = subscribed();
    world.executor().is_slow_to_end = true;
    world.runs("t1");
    world.hears(AgentEvent::Shutdown);
    let sent = world.launches("t2");
    assert_eq!(states(&sent), [("t2".to_owned(), Failed)]);
    assert_eq!(world.executor().launched.len(), 1);
}

#[test]
fn an_agent_that_comes_back_in_time_finds_the_executor_and_one_that_does_not_is_given_up() {
    let mut world = subscribed();
    world.runs("t1");
    world.loses_connection();
    let lost = world.now;
    while world.now.since(lost) < secs(890) {
        world.passes(secs(5));
        if world.last.connect {
            world.loses_connection();
        }
    }
    world.connects();
    assert!(world.executor().shutdowns.is_empty());

    world.loses_connection();
    let lost = world.now;
    while world.executor().shutdowns.is_empty() {
        world.passes(secs(5));
        if world.last.connect {
            world.loses_connection();
        }
    }
    let until = world.executor().shutdowns[0];
    assert_eq!(until.since(lost), secs(909), "15 minutes of patience, then the grace period");
    while world.outcome().is_none() {
        world.passes(secs(5));
        if world.last.connect {
            world.loses_connection();
        }
    }
    assert_eq!(world.outcome(), Some(&Outcome::AgentLost { away: secs(900) }));
    assert_eq!(world.now.since(lost), secs(909));
}

#[test]
fn an_agent_that_comes_back_at_the_last_moment_hears_the_last_words() {
    let mut world = subscribed();
    world.runs("t1");
    world.loses_connection();
    while world.executor().shutdowns.is_empty() {
        world.passes(secs(5));
        if world.last.connect {
            world.loses_connection();
        }
    }
    let sent = world.connects();
    assert_eq!(states(&sent), [("t1".to_owned(), Killed)]);
    world.stores(&sent);
    assert!(matches!(world.outcome(), Some(Outcome::AgentLost { .. })));
}

#[test]
fn without_checkpoints_the_loss_of_the_agent_is_the_end() {
    let mut world = world_of(Options { checkpoint: false, ..options() });
    world.connects();
    world.runs("t1");
    world.loses_connection();
    assert_eq!(world.executor().shutdowns.len(), 1);
    let lost = world.now;
    while world.outcome().is_none() {
        world.passes(secs(5));
        if world.last.connect {
            world.loses_connection();
        }
    }
    assert_eq!(world.outcome(), Some(&Outcome::AgentLost { away: Duration::ZERO }));
    assert_eq!(world.now.since(lost), secs(9));
}

#[test]
fn the_first_subscription_is_tried_for_a_minute_however_short_the_patience() {
    let patience = Options { recovery_timeout: Duration::ZERO, checkpoint: false, ..options() };
    let mut world = world_of(patience);
    let born = world.now;
    while world.outcome().is_none() {
        world.passes(secs(5));
        if world.last.connect {
            world.loses_connection();
        }
    }
    assert_eq!(world.now.since(born), secs(60));
    assert_eq!(world.outcome(), Some(&Outcome::AgentLost { away: secs(60) }));
}

#[test]
fn an_executor_that_is_not_let_in_ends_its_tasks_and_says_why() {
    let mut world = subscribed();
    world.executor().is_slow_to_end = true;
    world.runs("t1");
    world.loses_connection();
    world.passes(secs(5));
    world.event(Event::Refused { why: "no such token".to_owned() });
    assert_eq!(world.executor().shutdowns.len(), 1);
    assert!(world.outcome().is_none() && !world.last.connect);

    world.says(Update::finished(task_id("t1")));

    assert_eq!(world.outcome(), Some(&Outcome::Refused { why: "no such token".to_owned() }));
}

#[test]
fn an_executor_may_end_by_itself_and_so_may_its_work() {
    let mut world = subscribed();
    world.runs("t1");
    world.will(Plan::new().update(Update::finished(task_id("t1"))).end());
    let sent = world.hears(AgentEvent::Message(Vec::new()));
    assert_eq!(states(&sent), [("t1".to_owned(), Finished)]);
    world.stores(&sent);
    assert_eq!(world.outcome(), Some(&Outcome::Ended));
    assert!(world.executor().shutdowns.is_empty(), "it knows");

    let mut world = subscribed();
    world.event(Event::Command(Command::End));
    assert_eq!(world.outcome(), Some(&Outcome::Ended));
}

#[test]
fn after_the_end_nothing_happens() {
    let mut world = subscribed();
    world.hears(AgentEvent::Shutdown);
    for event in [Event::Tick, Event::Connected, Event::Command(Command::End)] {
        assert_eq!(*world.event(event), Default::default());
    }
    assert!(world.launches("t1").is_empty());
}
