//! Plans that cannot be carried out, and calls that the master refuses.

use lonja_model::TaskState;
use lonja_model::offer::Filters;
use lonja_model::scheduler::{Call, RefusalCode};

use super::fixture::*;
use crate::{Command, Event, MAX_TASKS, Plan, PlanError, Problem};

/// The problem that `plan` comes to on `offers`, none of it having been sent.
fn problem(world: &mut World, offers: &[&lonja_model::Offer], plan: Plan) -> PlanError {
    world.will(plan);
    let sent = world.is_offered(offers);
    assert!(matches!(sent[..], [] | [Call::Decline { .. }]), "{sent:?}");
    let told = world.scheduler().problems.pop();
    assert_eq!(world.last.problems.last(), told.as_ref());
    match told {
        Some(Problem::Plan(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_launch_that_cannot_be_is_named_and_never_sent() {
    let mut world = subscribed();
    let small = offer("o1", "cpus:0.5;mem:32");
    let plan = Plan::new().launch(&small, [task(&small, "t1")]);
    assert!(matches!(problem(&mut world, &[&small], plan), PlanError::Exceeds { .. }));

    let (here, there) = (offer_on("o2", "a1", "cpus:1;mem:32"), offer_on("o3", "a2", "cpus:1;mem:32"));
    let plan = Plan::new().launch_on([&here, &there], [task(&here, "t1")]);
    assert!(matches!(problem(&mut world, &[&here, &there], plan), PlanError::OffersDiffer(..)));

    let here = offer("o4", "cpus:1;mem:32");
    let plan = Plan::new().launch(&here, [task(&there, "t1")]);
    assert!(matches!(problem(&mut world, &[&here], plan), PlanError::WrongAgent { .. }));

    let here = offer("o5", "cpus:4;mem:128");
    let plan = Plan::new().launch(&here, [task(&here, "t1"), task(&here, "t1")]);
    assert_eq!(problem(&mut world, &[&here], plan), PlanError::TaskIdInUse(task_id("t1")));

    let mut nothing = task(&here, "t1");
    nothing.resources = Default::default();
    let here = offer("o6", "cpus:4;mem:128");
    let plan = Plan::new().launch(&here, [nothing]);
    assert_eq!(problem(&mut world, &[&here], plan), PlanError::NoResources(task_id("t1")));

    let here = offer("o7", "cpus:4;mem:128");
    let plan = Plan::new().launch_on([&here, &here], [task(&here, "t1")]);
    assert_eq!(problem(&mut world, &[&here], plan), PlanError::OfferGone(here.id.clone()));
    assert_eq!(problem(&mut world, &[], Plan::new().launch_on([], [])), PlanError::NoOffer);
    let many = (0..=MAX_TASKS).map(|number| task(&here, &format!("t{number}")));
    let here = offer("o8", "cpus:4;mem:128");
    let plan = Plan::new().launch(&here, many);
    assert_eq!(problem(&mut world, &[&here], plan), PlanError::TooManyTasks(MAX_TASKS + 1));
    assert_eq!(world.framework.live_tasks().count(), 0);
}

#[test]
fn the_rest_of_a_plan_is_done() {
    let mut world = subscribed();
    let (small, large) = (offer("o1", "cpus:0.5;mem:32"), offer("o2", "cpus:1;mem:32"));
    world.will(Plan::new().launch(&small, [task(&small, "t1")]).launch(&large, [task(&large, "t2")]));
    let sent = world.is_offered(&[&small, &large]);
    assert!(
        matches!(&sent[..], [Call::Accept { offers, .. }, Call::Decline { .. }] if offers[..] == [large.id])
    );
}

#[test]
fn an_id_is_free_again_once_its_task_has_ended() {
    let mut world = subscribed();
    world.launches(&offer("o1", "cpus:1;mem:32"), "t1");
    let next = offer("o2", "cpus:1;mem:32");
    let plan = Plan::new().launch(&next, [task(&next, "t1")]);
    assert_eq!(problem(&mut world, &[&next], plan), PlanError::TaskIdInUse(task_id("t1")));

    world.hears_of("t1", TaskState::Finished, Some(1));
    world.launches(&offer("o3", "cpus:1;mem:32"), "t1");
}

#[test]
fn a_scheduler_that_repeats_its_mistake_is_told_twice_and_no_more() {
    let mut world = subscribed();
    let gone = offer("o1", "cpus:1;mem:32");
    for _ in 0..5 {
        world.will(Plan::new().launch(&gone, [task(&gone, "t1")]));
    }
    world.is_offered(&[]);
    assert_eq!(world.scheduler().problems.len(), 2);
}

#[test]
fn what_a_scheduler_wants_upon_a_problem_is_done() {
    let mut world = subscribed();
    let gone = offer("o1", "cpus:1;mem:32");
    world.will(Plan::new().launch(&gone, [task(&gone, "t1")])).will(Plan::new().tear_down());
    assert_eq!(world.is_offered(&[]), [Call::Teardown]);
}

#[test]
fn a_refused_launch_gives_its_offers_back_and_asks_for_its_tasks() {
    for code in [RefusalCode::RateLimited, RefusalCode::InvalidArgument] {
        let mut world = subscribed();
        let offer = offer("o1", "cpus:1;mem:32");
        world.launches(&offer, "t1");

        assert_eq!(world.is_refused(code), []);
        assert!(matches!(&world.scheduler().problems[..], [Problem::Refused { call: "ACCEPT", .. }]));

        let sent = world.passes(secs(1));
        let agent = Some(offer.agent.clone());
        assert_eq!(
            sent,
            [
                Call::Decline { offers: vec![offer.id.clone()], filters: Filters::DEFAULT },
                Call::Reconcile { tasks: vec![(task_id("t1"), agent)] },
            ]
        );
        world.hears_of("t1", TaskState::Gone, None);
        assert_eq!(world.framework.live_tasks().count(), 0);
        assert_eq!(world.passes(secs(20)), []);
    }
}

#[test]
fn a_call_that_came_too_fast_is_sent_again_and_nobody_is_bothered() {
    let mut world = subscribed();
    let declined = world.is_offered(&[&offer("o1", "cpus:1")]);
    assert_eq!(world.is_refused(RefusalCode::RateLimited), []);
    assert_eq!(world.passes(secs(1)), declined);
    assert!(world.scheduler().problems.is_empty());
}

#[test]
fn a_kill_is_said_to_each_master_until_the_task_has_ended() {
    let mut world = subscribed();
    let offer = offer("o1", "cpus:1;mem:32");
    world.launches(&offer, "t1");
    world.loses_connection();
    let grace = Some(secs(3));
    assert_eq!(world.event(Event::Command(Command::Kill { task: task_id("t1"), grace })).send, []);

    let kill = Call::Kill { task: task_id("t1"), agent: Some(offer.agent), grace };
    assert_eq!(world.connects().last(), Some(&kill));
    world.loses_connection();
    assert_eq!(world.connects().last(), Some(&kill));

    world.hears_of("t1", TaskState::Killed, Some(1));
    world.loses_connection();
    assert!(!world.connects().contains(&kill));
}

#[test]
fn a_kill_of_a_task_that_nobody_knows_is_a_mistake_with_a_name() {
    let mut world = subscribed();
    let task = task_id("t9");
    world.event(Event::Command(Command::Kill { task: task.clone(), grace: None }));
    assert_eq!(world.scheduler().problems, [Problem::Plan(PlanError::UnknownTask(task))]);
}
