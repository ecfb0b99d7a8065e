//! What is counted, asked for from time to time, and decided from outside.

use std::time::Duration;

use lonja_model::TaskState;
use lonja_model::scheduler::{Call, Event as MasterEvent, Refusal, RefusalCode};

use super::fixture::*;
use crate::{Event, Outcome, Plan};

fn reconciles(sent: &[Call]) -> usize {
    sent.iter().filter(|call| matches!(call, Call::Reconcile { .. })).count()
}

/// Time passes in steps, the master being heard of at each and answering what it is asked.
fn quiet(world: &mut World, time: Duration) -> Vec<Call> {
    let mut sent = Vec::new();
    for _ in 0..time.as_secs() / 10 {
        let step = world.passes(secs(10));
        world.hears(MasterEvent::Heartbeat);
        if reconciles(&step) > 0 {
            world.hears_of("t1", TaskState::Running, None);
        }
        sent.extend(step);
    }
    sent
}

#[test]
fn all_tasks_are_asked_about_from_time_to_time_and_ever_more_seldom() {
    let mut world = subscribed();
    world.launches(&offer("o1", "cpus:1;mem:32"), "t1");
    world.hears_of("t1", TaskState::Running, Some(1));
    assert_eq!(reconciles(&quiet(&mut world, secs(890))), 0);
    let asked = quiet(&mut world, secs(20));
    assert_eq!(reconciles(&asked), 1, "{asked:?}");
    assert_eq!(reconciles(&quiet(&mut world, secs(1_700))), 0);
    assert_eq!(reconciles(&quiet(&mut world, secs(200))), 1);
    assert_eq!(world.framework.counts().reconciliations, 2);
}

#[test]
fn a_connection_that_was_lost_begins_the_periods_anew() {
    let mut world = subscribed();
    world.launches(&offer("o1", "cpus:1;mem:32"), "t1");
    world.hears_of("t1", TaskState::Running, Some(1));
    quiet(&mut world, secs(800));
    world.loses_connection();
    assert_eq!(reconciles(&world.connects()), 1);
    world.hears_of("t1", TaskState::Running, None);
    assert_eq!(reconciles(&quiet(&mut world, secs(800))), 0);
    assert_eq!(reconciles(&quiet(&mut world, secs(200))), 1);
}

#[test]
fn every_offer_is_counted_once_when_it_comes_and_once_when_it_ends() {
    let mut world = subscribed();
    let offers: Vec<_> = (0..6).map(|n| offer(&format!("o{n}"), "cpus:1;mem:32")).collect();
    let plan = Plan::new()
        .launch(&offers[0], [task(&offers[0], "t1")])
        .decline(&offers[1], secs(1))
        .hold(&offers[2], secs(5))
        .hold(&offers[3], secs(60))
        .hold(&offers[4], secs(60));
    world.will(plan);
    world.is_offered(&offers.iter().collect::<Vec<_>>());
    world.hears(MasterEvent::Rescind(offers[3].id.clone()));
    world.passes(secs(6));
    let counts = world.framework.counts();
    assert_eq!((counts.offers_received, counts.offers_used, counts.offers_declined), (6, 1, 2));
    assert_eq!((counts.offers_rescinded, counts.offers_expired, counts.offers_in_hand), (1, 1, 1));
    world.loses_connection();
    assert_eq!(world.framework.counts().offers_void, 1);
    counts.offers_are_accounted_for().unwrap();
}

#[test]
fn an_update_that_comes_again_is_counted_as_a_duplicate() {
    let mut world = subscribed();
    for _ in 0..3 {
        world.hears_of("t1", TaskState::Running, Some(1));
    }
    let counts = world.framework.counts();
    assert_eq!((counts.updates, counts.duplicates, counts.acknowledgements), (3, 2, 3));
}

#[test]
fn what_is_decided_from_outside_is_carried_out_like_a_plan() {
    let mut world = subscribed();
    let effects = world.framework.decide(world.now, |scheduler| {
        scheduler.sated = true;
        Plan::new()
    });
    assert!(matches!(effects.send[..], [(_, Call::Suppress { .. })]), "{effects:?}");
    let effects = world.framework.decide(world.now, |_| Plan::new().leave());
    assert!(matches!(effects.finished, Some(Outcome::Left { .. })));
    assert_eq!(world.framework.decide(world.now, |_| Plan::new().tear_down()), Default::default());
}

#[test]
fn a_framework_whose_id_is_refused_as_removed_says_so_and_keeps_it() {
    let mut world = world_with(Some("f1"));
    world.passes(secs(1));
    world.event(Event::Connected);
    let id = world.last.send[0].0;
    let refusal = Refusal::new(RefusalCode::Conflict, "Framework has been removed; subscribe without an id");
    world.event(Event::Answered { id, result: Err(refusal) });
    assert!(world.framework.was_removed() && world.last.persist.is_empty());
}

#[test]
fn a_framework_that_somebody_else_removes_keeps_what_it_has_written_down() {
    let mut world = subscribed();
    world.hears(MasterEvent::Error("Framework has been removed: by an operator".to_owned()));
    assert!(matches!(world.outcome(), Some(Outcome::EndedByMaster { .. })));
    assert!(world.framework.was_removed());
    assert_eq!(world.last.persist, []);
}

#[test]
fn with_several_masters_the_wait_grows_once_each_was_tried() {
    let waits = |masters: u32| {
        let mut world = world();
        world.framework = world.framework.with_masters(masters);
        (0..6)
            .map(|_| {
                let before = world.now;
                world.passes(secs(60));
                world.loses_connection();
                world.now.since(before)
            })
            .collect::<Vec<_>>()
    };
    let (one, three) = (waits(1), waits(3));
    assert!(three.iter().sum::<Duration>() < one.iter().sum::<Duration>() / 3, "{one:?} {three:?}");
}
