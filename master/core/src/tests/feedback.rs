//! How operations went, and who is told.

use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::operation::{AgentOperation, OperationState};
use lonja_model::scheduler::{Call, CallResult, Event as FrameworkEvent, RefusalCode};
use lonja_model::{AgentId, UpdateId};

use super::conversion_fixture::*;
use super::fixture::*;
use crate::{ClusterEvent, Config, LinkId, StreamId, feedback};

const ALL: &str = "cpus:4;mem:4096";

/// A framework that has asked for two CPUs to be reserved under the id `r`.
fn asked(cluster: &mut Cluster) -> (LinkId, AgentId, StreamId, AgentOperation) {
    let (link, agent) = cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    cluster.accept(stream, &offer, vec![named("r", reserve(&two()))]).unwrap();
    let operation = cluster.asked_of(link).remove(0);
    (link, agent, stream, operation)
}

fn two() -> lonja_model::Resources {
    reserved("cpus:2", &["web"])
}

fn converted() -> lonja_model::Resources {
    both(&two(), &res("cpus:2;mem:4096"))
}

fn acknowledge(
    cluster: &mut Cluster,
    stream: StreamId,
    agent: Option<&AgentId>,
    update: UpdateId,
) -> CallResult {
    let agent = agent.cloned();
    cluster.call(stream, Call::AcknowledgeOperation { agent, operation: operation_id("r"), update })
}

fn reconcile(cluster: &mut Cluster, stream: StreamId, id: &str, agent: Option<&AgentId>) -> OperationState {
    let operations = vec![(operation_id(id), agent.cloned())];
    cluster.call(stream, Call::ReconcileOperations { operations }).unwrap();
    let news = cluster.news(stream);
    let last = news.last().unwrap();
    assert_eq!((last.operation.as_ref().unwrap().as_str(), last.update), (id, None));
    last.state
}

#[test]
fn an_outcome_is_kept_until_its_framework_has_acknowledged_that_update() {
    let mut cluster = cluster();
    let (link, agent, stream, operation) = asked(&mut cluster);
    cluster.outcome(link, &operation, OperationState::Finished);
    let news = *cluster.news(stream).last().unwrap();
    assert_eq!((news.state, news.update), (OperationState::Finished, Some(update_of(&operation))));
    assert_eq!((news.agent.as_ref(), &news.converted), (Some(&agent), &two()));

    let wrong = acknowledge(&mut cluster, stream, Some(&agent), UpdateId([9; 16]));
    assert_eq!(wrong.unwrap_err().code, RefusalCode::NotFound);
    let other = AgentId::new("other").unwrap();
    let wrong = acknowledge(&mut cluster, stream, Some(&other), update_of(&operation));
    assert!(wrong.unwrap_err().message.contains("not of other"));
    assert!(cluster.acknowledged_to(link).is_empty());

    acknowledge(&mut cluster, stream, Some(&agent), update_of(&operation)).unwrap();
    assert_eq!((cluster.acknowledged_to(link), cluster.known_operations()), (vec![operation.uuid], 0));
    let again = acknowledge(&mut cluster, stream, None, update_of(&operation));
    assert_eq!(again.unwrap_err().code, RefusalCode::NotFound);
}

#[test]
fn an_outcome_said_twice_gives_back_once_and_is_told_twice() {
    let mut cluster = cluster();
    let (link, agent, stream, operation) = asked(&mut cluster);
    for _ in 0..2 {
        let record = Box::new(record_of(&operation, OperationState::Finished));
        cluster.say(link, FromAgent::OperationUpdate { record, total: converted() });
    }

    assert_eq!(cluster.news(stream).len(), 2);
    assert_eq!(cluster.free(&agent), converted());
    let published = cluster.published.iter().filter(|e| matches!(e, ClusterEvent::OperationUpdated(_)));
    assert_eq!(published.count(), 1);
}

#[test]
fn a_framework_that_was_away_is_told_when_it_is_back() {
    let mut cluster = cluster();
    let (link, _, stream, operation) = asked(&mut cluster);
    let framework = cluster.subscribed(stream).unwrap();
    cluster.lose_stream(stream);
    cluster.outcome(link, &operation, OperationState::Finished);
    assert!(cluster.acknowledged_to(link).is_empty());

    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));

    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Finished));
    acknowledge(&mut cluster, stream, None, update_of(&operation)).unwrap();
    assert_eq!(cluster.acknowledged_to(link), [operation.uuid]);
}

#[test]
fn nobody_acknowledges_for_a_removed_framework_but_the_master() {
    let mut cluster = cluster();
    let (link, _, stream, operation) = asked(&mut cluster);
    cluster.outcome(link, &operation, OperationState::Finished);

    cluster.call(stream, Call::Teardown).unwrap();

    assert_eq!((cluster.acknowledged_to(link), cluster.known_operations()), (vec![operation.uuid], 0));
}

#[test]
fn what_a_removed_framework_had_on_its_way_is_finished_without_it() {
    let mut cluster = cluster();
    let (link, agent, stream, operation) = asked(&mut cluster);
    cluster.call(stream, Call::Teardown).unwrap();
    assert_eq!(cluster.free(&agent), res("cpus:2;mem:4096"), "not free before it is durable");

    cluster.outcome(link, &operation, OperationState::Finished);

    assert_eq!(cluster.free(&agent), converted());
    assert_eq!((cluster.acknowledged_to(link), cluster.known_operations()), (vec![operation.uuid], 0));
}

#[test]
fn what_a_removed_frameworks_tasks_were_to_use_is_not_free_before_it_is_durable() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let task = task_on("t1", &agent, &both(&two(), &res("mem:64")));
    cluster.accept(stream, &offer, vec![named("r", reserve(&two())), launch_of(vec![task])]).unwrap();

    cluster.call(stream, Call::Teardown).unwrap();

    assert_eq!(cluster.free(&agent), res("cpus:2;mem:4096"));
    cluster.finish_all(link);
    assert_eq!(cluster.free(&agent), converted());
}

#[test]
fn an_operation_that_its_agent_never_got_is_dropped_and_undone() {
    let mut cluster = cluster();
    let (link, agent, stream, _) = asked(&mut cluster);
    cluster.lose_link(link);
    assert_eq!(reconcile(&mut cluster, stream, "r", Some(&agent)), OperationState::Pending);

    cluster.back(&agent, ALL, vec![]);

    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Dropped));
    assert_eq!((cluster.total(&agent), cluster.free(&agent)), (res(ALL), res(ALL)));
    assert_eq!(reconcile(&mut cluster, stream, "r", Some(&agent)), OperationState::Unknown);
}

#[test]
fn an_operation_that_was_done_while_the_link_was_down_is_told_on_the_agents_return() {
    let mut cluster = cluster();
    let (link, agent, stream, operation) = asked(&mut cluster);
    cluster.lose_link(link);

    let record = record_of(&operation, OperationState::Finished);
    let link = cluster.back_with(&agent, ALL, &converted(), vec![], vec![record]);

    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Finished));
    assert_eq!((cluster.total(&agent), cluster.free(&agent)), (converted(), converted()));
    acknowledge(&mut cluster, stream, None, update_of(&operation)).unwrap();
    assert_eq!(cluster.acknowledged_to(link), [operation.uuid]);
}

#[test]
fn an_operation_on_a_silent_agent_is_unreachable_until_the_agent_decides() {
    for came_back_with_it in [true, false] {
        let mut cluster = cluster();
        let (_, agent, stream, operation) = asked(&mut cluster);
        cluster.advance(secs(80));
        assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Unreachable));
        assert_eq!(reconcile(&mut cluster, stream, "r", Some(&agent)), OperationState::Unreachable);
        assert_eq!(reconcile(&mut cluster, stream, "other", Some(&agent)), OperationState::Unreachable);

        let record = record_of(&operation, OperationState::Finished);
        let (total, records) =
            if came_back_with_it { (converted(), vec![record]) } else { (res(ALL), vec![]) };
        cluster.back_with(&agent, ALL, &total, vec![], records);

        let end = if came_back_with_it { OperationState::Finished } else { OperationState::Dropped };
        assert_eq!(cluster.last_news(stream), ("r".into(), end));
        assert_eq!(cluster.free(&agent), total);
    }
}

#[test]
fn an_operation_on_a_gone_agent_ends() {
    let mut cluster = cluster();
    let (_, agent, stream, _) = asked(&mut cluster);
    let mut effects = crate::Effects::default();
    let state = &mut cluster.master.state;
    state.allocator.remove_agent(&agent);

    feedback::agent_gone(state, &mut effects, cluster.now, &agent);

    assert!(state.operations.is_empty());
    let told = effects.send.iter().any(|out| {
        matches!(out, crate::Outbound::Framework(to, lonja_model::scheduler::Event::OperationUpdate(status))
            if *to == stream && status.state == OperationState::GoneByOperator)
    });
    assert!(told, "{effects:?}");
}

#[test]
fn a_restarted_master_learns_totals_and_outcomes_from_its_agents() {
    let mut cluster = cluster();
    let (_, agent, stream, operation) = asked(&mut cluster);
    let framework = cluster.subscribed(stream).unwrap();
    cluster.restart();
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    assert_eq!(reconcile(&mut cluster, stream, "r", Some(&agent)), OperationState::Recovering);
    assert_eq!(reconcile(&mut cluster, stream, "r", None), OperationState::Recovering);

    let record = record_of(&operation, OperationState::Finished);
    let link = cluster.back_with(&agent, ALL, &converted(), vec![], vec![record]);

    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Finished));
    assert_eq!(cluster.free(&agent), converted());
    assert_eq!(reconcile(&mut cluster, stream, "r", Some(&agent)), OperationState::Finished);
    acknowledge(&mut cluster, stream, Some(&agent), update_of(&operation)).unwrap();
    assert_eq!(cluster.acknowledged_to(link), [operation.uuid]);
    assert_eq!(reconcile(&mut cluster, stream, "r", Some(&agent)), OperationState::Unknown);
    assert_eq!(reconcile(&mut cluster, stream, "r", None), OperationState::Unknown);
    assert_eq!(
        reconcile(&mut cluster, stream, "r", Some(&AgentId::new("none").unwrap())),
        OperationState::Unknown
    );
}

#[test]
fn without_names_all_operations_with_an_id_are_told_of() {
    let mut cluster = cluster();
    let (_, stream, offer) = {
        let (link, _) = cluster.agent(ALL);
        let (stream, _) = cluster.framework("web");
        (link, stream, cluster.only_offer(stream))
    };
    let one = reserved("cpus:1", &["web"]);
    let steps = vec![named("a", reserve(&one)), step(reserve(&one)), named("b", reserve(&one))];
    cluster.accept(stream, &offer, steps).unwrap();

    cluster.call(stream, Call::ReconcileOperations { operations: vec![] }).unwrap();

    let told: Vec<_> =
        cluster.news(stream).iter().map(|news| news.operation.clone().unwrap().to_string()).collect();
    assert_eq!(told, ["a", "b"]);
}

#[test]
fn an_agent_with_a_total_that_does_not_come_of_its_resources_is_refused() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    cluster.lose_link(link);
    for wrong in [res("cpus:5;mem:4096"), both(&reserved("cpus:3", &["web"]), &res("cpus:2;mem:4096"))] {
        let link = cluster.back_with(&agent, ALL, &wrong, vec![], vec![]);
        let refused = cluster.sent(link).iter().any(
            |m| matches!(m, ToAgent::Refused { reason, permanent: true } if reason.contains("cpus:4;mem:4096")),
        );
        assert!(refused, "{:?}", cluster.sent(link));
        cluster.lose_link(link);
    }
    let link = cluster.back_with(&agent, ALL, &converted(), vec![], vec![]);
    assert_eq!(cluster.registered(link), Some(agent.clone()));
    assert_eq!(cluster.total(&agent), converted());
}

#[test]
fn what_an_agent_has_turned_into_something_else_is_taken_out_of_offers() {
    let mut cluster = cluster();
    let (link, _, stream, operation) = asked(&mut cluster);
    let (rest, _) = cluster.framework("ops");
    let offer = cluster.only_offer(rest);
    let foreign = AgentOperation {
        uuid: lonja_model::OperationUuid([7; 16]),
        framework: None,
        id: None,
        conversion: reserve(&reserved("cpus:1", &["eng"])),
    };

    let total = both(&reserved("cpus:1", &["eng"]), &res("cpus:3;mem:4096"));
    let record = Box::new(record_of(&foreign, OperationState::Finished));
    cluster.say(link, FromAgent::OperationUpdate { record, total });

    let gone = |event: &FrameworkEvent| matches!(event, FrameworkEvent::Rescind(id) if *id == offer.id);
    assert!(cluster.events(rest).iter().any(gone));
    assert!(cluster.acknowledged_to(link).contains(&foreign.uuid));
    cluster.outcome(link, &operation, OperationState::Finished);
    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Finished));
}

#[test]
fn an_agent_makes_the_master_remember_no_more_than_it_may() {
    let mut cluster = cluster_with(Config { max_operations: 3, ..Config::default() });
    let (link, agent) = cluster.agent(ALL);
    let (stream, framework) = cluster.framework("web");
    for number in 0..5 {
        let foreign = AgentOperation {
            uuid: lonja_model::OperationUuid([number; 16]),
            framework: Some(framework.clone()),
            id: Some(operation_id(&format!("o{number}"))),
            conversion: reserve(&two()),
        };
        let record = Box::new(record_of(&foreign, OperationState::Failed));
        cluster.say(link, FromAgent::OperationUpdate { record, total: res(ALL) });
    }
    assert_eq!((cluster.known_operations(), cluster.news(stream).len()), (3, 3));
    assert!(cluster.acknowledged_to(link).is_empty(), "the others are told again");
    assert_eq!(cluster.total(&agent), res(ALL));
}

#[test]
fn an_agent_that_speaks_the_masters_words_is_not_followed() {
    let mut cluster = cluster();
    let (link, _, stream, operation) = asked(&mut cluster);
    let record = Box::new(record_of(&operation, OperationState::Unreachable));
    cluster.say(link, FromAgent::OperationUpdate { record, total: res(ALL) });
    assert!(cluster.news(stream).is_empty());

    let record = Box::new(record_of(&operation, OperationState::Finished));
    cluster.say(link, FromAgent::OperationUpdate { record, total: res("cpus:99") });
    assert!(cluster.closed_links.contains(&link));
}
