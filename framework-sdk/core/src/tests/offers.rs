//! What becomes of offers.

use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::scheduler::{Call, Event as MasterEvent};

use super::fixture::*;
use crate::{MAX_HOLD, Plan, PlanError, Problem};

fn decline(ids: &[&str], refuse: Duration) -> Call {
    let offers = ids.iter().map(|id| offer(id, "cpus:1").id).collect();
    Call::Decline { offers, filters: Filters { refuse } }
}

#[test]
fn what_a_plan_does_not_use_is_declined_for_five_seconds_or_as_it_says() {
    let mut world = subscribed();
    let (one, two) = (offer("o1", "cpus:1"), offer("o2", "cpus:1"));
    assert_eq!(world.is_offered(&[&one, &two]), [decline(&["o1", "o2"], secs(5))]);

    let (three, four) = (offer("o3", "cpus:1"), offer("o4", "cpus:1"));
    world.will(Plan::new().decline(&three, secs(60)).refuse_rest(secs(1)));
    let sent = world.is_offered(&[&three, &four]);
    assert_eq!(sent, [decline(&["o3"], secs(60)), decline(&["o4"], secs(1))]);
}

#[test]
fn a_held_offer_is_kept_for_a_later_plan() {
    let mut world = subscribed();
    let held = offer("o1", "cpus:1;mem:32");
    world.will(Plan::new().hold(&held, secs(10)));
    assert_eq!(world.is_offered(&[&held]), []);

    world.will(Plan::new().launch(&held, [task(&held, "t1")]));
    world.scheduler().deadline = Some(world.now + secs(5));
    let sent = world.passes(secs(5));
    assert!(matches!(sent[..], [Call::Accept { .. }]), "{sent:?}");
}

#[test]
fn a_held_offer_is_declined_when_its_time_is_up() {
    let mut world = subscribed();
    let (short, long) = (offer("o1", "cpus:1"), offer("o2", "cpus:1"));
    world.will(Plan::new().hold(&short, secs(10)).hold(&long, secs(100_000)).refuse_rest(secs(3)));
    world.is_offered(&[&short, &long]);

    assert_eq!(world.passes(secs(9)), []);
    assert_eq!(world.passes(secs(1)), [decline(&["o1"], secs(3))]);
    let mut sent = Vec::new();
    while world.framework.offers.get(&long.id).is_some() {
        world.hears(MasterEvent::Heartbeat);
        sent = world.passes(secs(60));
    }
    assert_eq!(sent, [decline(&["o2"], secs(3))]);
    assert!(world.now.since(Default::default()) <= secs(1_000) + MAX_HOLD + secs(60));
}

#[test]
fn a_held_offer_that_is_rescinded_is_told_of_and_can_no_longer_be_used() {
    let mut world = subscribed();
    let held = offer("o1", "cpus:1;mem:32");
    world.will(Plan::new().hold(&held, secs(10)));
    world.is_offered(&[&held]);

    world.hears(MasterEvent::Rescind(held.id.clone()));
    assert_eq!(world.scheduler().rescinded, std::slice::from_ref(&held.id));

    world.will(Plan::new().launch(&held, [task(&held, "t1")]));
    world.scheduler().deadline = Some(world.now);
    world.passes(secs(0));
    assert_eq!(world.scheduler().problems, [Problem::Plan(PlanError::OfferGone(held.id))]);
    assert_eq!(world.sent(), []);
}

#[test]
fn a_lost_connection_ends_held_offers_without_a_word() {
    let mut world = subscribed();
    let held = offer("o1", "cpus:1");
    world.will(Plan::new().hold(&held, secs(10)));
    world.is_offered(&[&held]);
    world.loses_connection();
    world.connects();
    assert_eq!(world.passes(secs(60)), []);
}

#[test]
fn a_framework_that_is_being_torn_down_shows_no_more_offers() {
    let mut world = subscribed();
    world.event(crate::Event::Command(crate::Command::TearDown));
    let late = offer("o1", "cpus:1;mem:32");
    world.will(Plan::new().launch(&late, [task(&late, "t1")]));
    assert_eq!(world.is_offered(&[&late]), []);
}

#[test]
fn what_a_launch_leaves_over_may_stay_away_for_another_time_than_the_rest() {
    let mut world = subscribed();
    let (used, unused) = (offer("o1", "cpus:2;mem:64"), offer("o2", "cpus:1"));
    let plan = Plan::new().launch(&used, [task(&used, "t1")]);
    world.will(plan.refuse_rest(secs(60)).refuse_leftovers(Duration::ZERO));

    let sent = world.is_offered(&[&used, &unused]);

    let [Call::Accept { filters, .. }, rest] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(filters.refuse, Duration::ZERO);
    assert_eq!(*rest, decline(&["o2"], secs(60)));
}

#[test]
fn who_has_the_cluster_to_itself_may_hold_for_longer() {
    let mut world = subscribed();
    world.framework = world.framework.with_max_hold(MAX_HOLD * 10);
    let held = offer("o1", "cpus:1");
    world.will(Plan::new().hold(&held, Duration::MAX));
    world.is_offered(&[&held]);

    assert_eq!(world.framework.offers.next_deadline(), Some(world.now + MAX_HOLD * 10));
}
