//! Connecting, losing the connection, coming back, ending.

use lonja_model::TaskState;
use lonja_model::scheduler::{Call, Event as MasterEvent, MasterInfo, Refusal, RefusalCode};

use super::fixture::*;
use crate::{Command, Event, Outcome, Plan, Record, State};
use lonja_model::FrameworkId;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_first_subscription_has_no_id_and_later_ones_have_the_id_they_were_given() {
    let mut world = world();
    let first = world.connects();
    assert!(matches!(&first[..], [Call::Subscribe { framework: None, .. }]), "{first:?}");

    world.loses_connection();
    let again = world.connects();

    let Call::Subscribe { framework: Some(id), .. } = &again[0] else { panic!("{again:?}") };
    assert_eq!(id.as_str(), "f1");
    assert_eq!(world.scheduler().subscriptions, 2);
    assert_eq!(world.scheduler().losses, 1);
}

#[test]
fn tries_to_connect_grow_rarer_and_never_stop() {
    let mut world = world();
    let mut waits = Vec::new();
    for _ in 0..20 {
        let before = world.now;
        world.passes(secs(60));
        assert!(world.last.connect);
        waits.push(world.now.since(before));
        world.loses_connection();
    }
    assert_eq!(waits[0], Duration::ZERO);
    assert!(waits[1] <= Duration::from_millis(100), "{waits:?}");
    assert!(waits[15..].iter().all(|wait| *wait >= secs(5) && *wait <= secs(10)), "{waits:?}");
}

#[test]
fn frameworks_that_lose_one_master_do_not_come_back_all_at_once() {
    let returns = (0..100).map(|seed| {
        let mut world = world_of_seed(seed);
        world.connects();
        world.loses_connection();
        world.framework.next_deadline().expect("it comes back").since(world.now)
    });
    let returns: BTreeSet<Duration> = returns.collect();
    assert!(returns.len() > 50, "{returns:?}");
    assert!(returns.iter().all(|wait| *wait >= Duration::from_millis(50)), "{returns:?}");
}

#[test]
fn a_subscription_that_ends_as_it_stands_does_not_make_for_a_storm() {
    let mut world = world();
    for _ in 0..20 {
        world.connects();
        world.loses_connection();
    }
    let lost = world.now;
    world.passes(secs(60));
    assert!(world.now.since(lost) >= secs(5));
}

#[test]
fn five_missed_heartbeats_end_a_connection() {
    let mut world = subscribed();
    world.passes(secs(74));
    assert!(!world.last.disconnect);
    world.hears(MasterEvent::Heartbeat);
    world.passes(secs(74));
    assert!(!world.last.disconnect);

    world.passes(secs(1));

    assert!(world.last.disconnect && !world.framework.is_subscribed());
    world.connects();
}

#[test]
fn a_master_that_does_not_answer_a_subscription_is_given_up_after_a_while() {
    let mut world = world();
    world.passes(secs(1));
    world.event(Event::Connected);
    world.passes(secs(15));
    assert!(world.last.disconnect);
}

#[test]
fn a_heartbeat_interval_without_measure_harms_nobody() {
    for heartbeat in [Duration::ZERO, Duration::MAX] {
        let mut world = world();
        world.passes(secs(1));
        world.event(Event::Connected);
        let framework = FrameworkId::new("f1").unwrap();
        world.hears(MasterEvent::Subscribed { framework, heartbeat, master: MasterInfo::default() });
        world.passes(Duration::from_millis(300));
        assert!(world.framework.is_subscribed());
    }
}

#[test]
fn a_master_that_does_not_lead_is_left_and_tried_again() {
    let mut world = world();
    world.passes(secs(1));
    world.event(Event::Connected);

    world.is_refused(RefusalCode::NotLeader);

    assert!(world.last.disconnect && world.outcome().is_none());
    world.connects();
}

#[test]
fn a_subscription_that_is_refused_for_good_ends_the_run_with_the_reason() {
    let mut world = world();
    world.passes(secs(1));
    world.event(Event::Connected);

    world.is_refused(RefusalCode::InvalidArgument);

    assert_eq!(world.outcome(), Some(&Outcome::EndedByMaster { why: "because".to_owned() }));
    assert_eq!(world.framework.next_deadline(), None);
}

#[test]
fn an_instance_that_another_has_replaced_ends_and_says_what_to_do() {
    let mut world = subscribed();
    world.hears(MasterEvent::Error("Framework failed over".to_owned()));
    let Some(Outcome::EndedByMaster { why }) = world.outcome() else { panic!("{:?}", world.last) };
    assert!(why.contains("run one at a time"), "{why}");
}

#[test]
fn tearing_down_waits_for_the_masters_word_even_over_a_lost_connection() {
    let mut world = subscribed();
    assert_eq!(
        world.event(Event::Command(Command::TearDown)).send.last().map(|sent| &sent.1),
        Some(&Call::Teardown)
    );
    assert!(world.outcome().is_none() && world.framework.is_stopping());

    world.loses_connection();
    assert!(world.outcome().is_none());
    let again = world.connects();
    assert_eq!(again[1..], [Call::Teardown]);
    assert_eq!(world.scheduler().subscriptions, 1);

    let id = world.last.send[0].0;
    world.event(Event::Answered { id, result: Ok(()) });
    assert_eq!(world.outcome(), Some(&Outcome::TornDown));
}

#[test]
fn the_word_that_it_was_removed_is_what_a_tearing_down_framework_waits_for() {
    let mut world = subscribed();
    world.event(Event::Command(Command::TearDown));
    world.loses_connection();
    world.passes(secs(60));
    world.event(Event::Connected);
    world.hears(MasterEvent::Error("Framework has been removed".to_owned()));
    assert_eq!(world.outcome(), Some(&Outcome::TornDown));
}

#[test]
fn no_other_word_of_the_master_proves_that_a_framework_was_torn_down() {
    let codes = [
        RefusalCode::InvalidArgument,
        RefusalCode::NotSubscribed,
        RefusalCode::NotFound,
        RefusalCode::Conflict,
        RefusalCode::Unsupported,
    ];
    for code in codes {
        let mut world = subscribed();
        world.event(Event::Command(Command::TearDown));
        world.loses_connection();
        world.passes(secs(60));
        world.event(Event::Connected);

        world.is_refused(code);

        let because = Outcome::EndedByMaster { why: "because".to_owned() };
        assert_eq!(world.outcome(), Some(&because), "{code:?}");
        assert_eq!(world.last.persist, [], "{code:?}: its id and the intent are kept");
    }
    let mut world = subscribed();
    world.event(Event::Command(Command::TearDown));
    world.hears(MasterEvent::Error("Framework failed over".to_owned()));
    assert!(matches!(world.outcome(), Some(Outcome::EndedByMaster { .. })), "{:?}", world.outcome());
    assert_eq!(world.last.persist, []);
}

#[test]
fn a_refusal_because_it_was_removed_is_what_a_tearing_down_framework_waits_for() {
    let mut world = subscribed();
    world.event(Event::Command(Command::TearDown));
    world.loses_connection();
    world.passes(secs(60));
    let id = world.event(Event::Connected).send[0].0;
    let removed = Refusal::new(RefusalCode::Conflict, "Framework has been removed; subscribe without an id");
    world.event(Event::Answered { id, result: Err(removed) });
    assert_eq!(world.outcome(), Some(&Outcome::TornDown));
    assert_eq!(world.last.persist, [Record::Framework(None)]);
}

#[test]
fn a_framework_that_no_master_knows_is_torn_down_at_once() {
    let mut idle = world();
    idle.event(Event::Command(Command::TearDown));
    assert_eq!(idle.outcome(), Some(&Outcome::TornDown));

    // Its SUBSCRIBE is on its way: the master may be about to know it.
    let mut subscribing = world();
    subscribing.passes(secs(1));
    subscribing.event(Event::Connected);
    subscribing.event(Event::Command(Command::TearDown));
    assert_eq!(subscribing.outcome(), None);
    assert_eq!(subscribing.is_subscribed_as("f1"), [Call::Teardown]);
}

#[test]
fn a_kill_is_said_by_the_next_run_too_until_the_task_has_ended() {
    let mut world = subscribed();
    world.launches(&offer("o1", "cpus:1;mem:32"), "t1");
    let mut kept = State::default();
    let mut keep = |changes: &[Record]| changes.iter().for_each(|change| kept.apply(change.clone()));
    keep(&world.last.persist);
    let kill = || Event::Command(Command::Kill { task: task_id("t1"), grace: Some(secs(3)) });
    keep(&world.event(kill()).persist);
    assert_eq!(world.event(kill()).persist, [], "it is kept already");

    let mut next = world_with(Some("f1"));
    next.framework = next.framework.resuming(&kept);
    let sent = next.connects();

    let killed = |call: &Call| matches!(call, Call::Kill { grace, .. } if *grace == Some(secs(3)));
    assert_eq!(sent.iter().filter(|call| killed(call)).count(), 1, "{sent:?}");
    next.hears_of("t1", TaskState::Killed, Some(1));
    next.last.persist.iter().for_each(|change| kept.apply(change.clone()));
    assert_eq!(kept.kills().count(), 0);
}

#[test]
fn leaving_keeps_the_id_to_come_back_with() {
    let mut world = subscribed();
    world.will(Plan::new().leave());
    world.hears_of("t1", TaskState::Finished, Some(1));
    let framework = FrameworkId::new("f1").ok();
    assert_eq!(world.outcome(), Some(&Outcome::Left { framework }));
    assert!(matches!(world.sent()[..], [Call::Acknowledge { .. }]), "{:?}", world.last);
}

#[test]
fn offers_are_asked_for_only_while_they_are_wanted() {
    let mut world = world();
    world.scheduler().sated = true;
    let sent = world.connects();
    assert!(matches!(&sent[0], Call::Subscribe { suppressed, .. } if suppressed.len() == 1), "{sent:?}");

    world.scheduler().sated = false;
    world.event(Event::Tick);
    assert_eq!(world.sent(), [Call::Revive { roles: Default::default() }]);
    world.event(Event::Tick);
    assert_eq!(world.sent(), []);

    world.scheduler().sated = true;
    world.event(Event::Tick);
    assert_eq!(world.sent(), [Call::Suppress { roles: Default::default() }]);
}

#[test]
fn a_deadline_that_stays_in_the_past_does_not_spin() {
    let mut world = subscribed();
    world.scheduler().deadline = Some(world.now);
    world.passes(Duration::from_millis(50));
    assert!(world.scheduler().ticks <= 51, "{}", world.scheduler().ticks);
    assert!(world.scheduler().ticks >= 50, "{}", world.scheduler().ticks);
}
