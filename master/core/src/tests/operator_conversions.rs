//! Reservations and volumes that operators ask for.

use lonja_model::maintenance::{Drain, Duty};
use lonja_model::operation::{Conversion, OperationState};
use lonja_model::scheduler::{Event as FrameworkEvent, Refusal, RefusalCode};
use lonja_model::{AgentId, TaskState};

use super::conversion_fixture::*;
use super::fixture::*;
use crate::{ClusterEvent, MaintenanceCommand, OperatorCommand, RequestId};

const ALL: &str = "cpus:4;mem:4096;disk:100";

fn refusal(cluster: &Cluster, request: RequestId) -> Refusal {
    cluster.answer_to(request).expect("it is answered").unwrap_err()
}

#[test]
fn an_operator_is_answered_when_the_agent_has_made_it_durable_and_not_before() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let eng = reserved("cpus:2", &["eng"]);

    let request = cluster.convert(&agent, reserve(&eng));
    let (stream, _) = cluster.framework("eng");
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:2;mem:4096;disk:100"), "INV-10");
    assert_eq!(cluster.answer_to(request), None);
    cluster.finish_all(link);

    assert_eq!(cluster.answer_to(request), Some(Ok(())));
    assert_eq!(cluster.only_offer(stream).resources, eng);
    assert_eq!((cluster.known_operations(), cluster.acknowledged_to(link).len()), (0, 1));
    let told = |event: &&ClusterEvent| matches!(event, ClusterEvent::AgentUpdated(view) if view.total.contains(&eng));
    assert_eq!(cluster.published.iter().filter(told).count(), 1);
}

#[test]
fn an_agent_that_cannot_do_it_says_why() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let request = cluster.convert(&agent, reserve(&reserved("cpus:2", &["eng"])));
    let operation = cluster.asked_of(link).remove(0);

    cluster.outcome(link, &operation, OperationState::Failed);

    assert_eq!(refusal(&cluster, request).code, RefusalCode::Conflict);
    assert!(refusal(&cluster, request).message.contains("no space left on device"));
    assert_eq!(cluster.free(&agent), res(ALL));
}

#[test]
fn offers_are_rescinded_as_far_as_they_are_needed() {
    let mut cluster = cluster();
    // Three frameworks, each with a part of the agent in its hands.
    let (link, agent) = cluster.agent("cpus(a):1;cpus(b):1;cpus(c):1;mem(c):64;cpus:1");
    let streams = ["a", "b", "c"].map(|role| {
        let (stream, _) = cluster.framework(role);
        (stream, cluster.only_offer(stream))
    });
    let held = streams.iter().find(|(_, offer)| offer.resources.contains(&res("cpus:1"))).unwrap().0;

    let request = cluster.convert(&agent, reserve(&reserved("cpus:1", &["eng"])));

    for (stream, offer) in &streams {
        let rescinded = cluster
            .events(*stream)
            .iter()
            .any(|e| matches!(e, FrameworkEvent::Rescind(id) if *id == offer.id));
        assert_eq!(rescinded, *stream == held);
    }
    cluster.finish_all(link);
    assert_eq!(cluster.answer_to(request), Some(Ok(())));
}

#[test]
fn what_tasks_use_is_not_taken_and_the_refusal_has_the_numbers() {
    let mut cluster = cluster();
    let (_, agent, stream, framework) = cluster.running();
    let before = cluster.events(stream).len();

    let request = cluster.convert(&agent, reserve(&reserved("cpus:4", &["eng"])));

    let refusal = refusal(&cluster, request);
    assert_eq!(refusal.code, RefusalCode::Conflict);
    assert!(refusal.message.contains("takes cpus:4, and cpus:3 is there"), "{refusal}");
    assert_eq!(cluster.events(stream).len(), before, "no offer was rescinded in vain");
    assert_eq!(cluster.total(&agent), res("cpus:4;mem:4096"));
    assert_eq!(cluster.master.snapshot().tasks[0].state, TaskState::Running);
    assert!(cluster.master.snapshot().frameworks.iter().any(|view| view.id == framework));
}

#[test]
fn offers_are_kept_where_even_all_of_them_are_not_enough() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let request = cluster.convert(&agent, reserve(&reserved("cpus:5", &["eng"])));
    assert!(refusal(&cluster, request).message.contains("cpus:5, and cpus:4 is there"));
    assert!(cluster.master.snapshot().offers.iter().any(|kept| kept.id == offer.id));
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let mut cluster = cluster();
    let one = reserve(&reserved("cpus:1", &["eng"]));
    let request = cluster.convert(&AgentId::new("none").unwrap(), one.clone());
    assert_eq!(refusal(&cluster, request).code, RefusalCode::NotFound);
    assert!(refusal(&cluster, request).message.contains("no agent none"));

    let (link, agent) = cluster.unconfirmed_agent(ALL);
    let request = cluster.convert(&agent, one.clone());
    assert!(refusal(&cluster, request).message.contains("has just registered"));
    cluster.lose_link(link);
    let request = cluster.convert(&agent, one.clone());
    assert!(refusal(&cluster, request).message.contains("has lost its connection"));
    cluster.restart();
    let request = cluster.convert(&agent, one);
    assert!(refusal(&cluster, request).message.contains("is not back yet"));
}

#[test]
fn a_drained_agent_is_left_as_it_is_and_a_drain_waits_for_what_is_on_its_way() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let one = reserve(&reserved("cpus:1", &["eng"]));
    let request = cluster.convert(&agent, one.clone());
    let drain = MaintenanceCommand::Drain { agent: agent.clone(), drain: Drain::default() };
    cluster.operator(OperatorCommand::Maintenance(drain)).unwrap();
    let duty = |cluster: &Cluster| cluster.master.snapshot().agents[0].duty.clone();
    assert!(matches!(duty(&cluster), Duty::Draining(_)));

    let refused = cluster.convert(&agent, one);
    assert!(refusal(&cluster, refused).message.contains("is drained or about to be"));
    cluster.finish_all(link);

    assert_eq!(cluster.answer_to(request), Some(Ok(())));
    assert!(matches!(duty(&cluster), Duty::Drained(_)));
}

#[test]
fn an_agent_lost_on_the_way_leaves_the_outcome_unknown() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent(ALL);
    let request = cluster.convert(&agent, reserve(&reserved("cpus:1", &["eng"])));
    cluster.advance(secs(80));
    let refusal = refusal(&cluster, request);
    assert_eq!(refusal.code, RefusalCode::Conflict);
    assert!(refusal.message.contains("outcome is unknown, look with `lonja reservations`"), "{refusal}");
    assert_eq!(cluster.known_operations(), 0);
}

#[test]
fn an_agent_that_comes_back_without_it_has_not_done_it() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let request = cluster.convert(&agent, reserve(&reserved("cpus:1", &["eng"])));
    cluster.lose_link(link);
    assert_eq!(cluster.answer_to(request), None);
    cluster.back(&agent, ALL, vec![]);
    assert!(refusal(&cluster, request).message.contains("nothing is changed"));
    assert_eq!(cluster.free(&agent), res(ALL));
}

#[test]
fn an_operator_may_put_one_reservation_in_the_place_of_another() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let (eng, ops) = (reserved("cpus:2", &["eng"]), reserved("cpus:2", &["ops"]));
    cluster.convert(&agent, reserve(&eng));
    cluster.finish_all(link);

    let request = cluster.convert(&agent, Conversion::reserve(ops.clone(), Some(eng)).unwrap());
    cluster.finish_all(link);

    assert_eq!(cluster.answer_to(request), Some(Ok(())));
    assert_eq!(cluster.free(&agent), both(&ops, &res("cpus:2;mem:4096;disk:100")));
}

#[test]
fn a_volume_in_use_or_with_an_id_in_use_is_refused_to_operators_too() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let data = volume("disk:10", "web", "data", false);
    cluster.convert(&agent, reserve(&reserved("disk:20", &["web"])));
    cluster.finish_all(link);
    cluster.convert(&agent, create(&data));
    let request = cluster.convert(&agent, create(&volume("disk:5", "web", "data", false)));
    assert!(refusal(&cluster, request).message.contains("has a volume data for web already"));
    cluster.finish_all(link);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let task = task_on("user", &agent, &both(&res("cpus:1"), &data));
    cluster.accept(stream, &offer, vec![launch_of(vec![task])]).unwrap();

    let request = cluster.convert(&agent, destroy(&data));

    assert!(refusal(&cluster, request).message.contains("in use by task user"));
}
