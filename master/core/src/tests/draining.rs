use lonja_model::link::ToAgent;
use lonja_model::maintenance::{Drain, Duty};
use lonja_model::registry::AgentStanding;
use lonja_model::scheduler::{Call, CallResult, Event, RefusalCode};
use lonja_model::task::Reason;
use lonja_model::{AgentId, TaskId, TaskState};
use std::collections::BTreeSet;
use std::time::Duration;

use super::fixture::*;
use crate::{ClusterEvent, LinkId, MaintenanceCommand, OperatorCommand};

fn say(cluster: &mut Cluster, command: MaintenanceCommand) -> CallResult {
    cluster.operator(OperatorCommand::Maintenance(command))
}

fn drain(cluster: &mut Cluster, agent: &AgentId, max_grace: Option<Duration>, mark_gone: bool) {
    let drain = Drain { max_grace, mark_gone };
    say(cluster, MaintenanceCommand::Drain { agent: agent.clone(), drain }).unwrap();
}

fn reactivate(cluster: &mut Cluster, agent: &AgentId) -> CallResult {
    say(cluster, MaintenanceCommand::Reactivate { agent: agent.clone() })
}

fn duty(cluster: &Cluster, agent: &AgentId) -> Duty {
    cluster.registry.agents[agent].duty.clone()
}

fn kills(cluster: &Cluster, link: LinkId) -> Vec<(String, Option<Duration>)> {
    let messages = cluster.sent(link).iter();
    messages
        .filter_map(|message| {
            let ToAgent::Kill { task, grace, .. } = message else { return None };
            Some((task.to_string(), *grace))
        })
        .collect()
}

fn revive(cluster: &mut Cluster, stream: crate::StreamId) {
    cluster.call(stream, Call::Revive { roles: BTreeSet::new() }).unwrap();
    cluster.settle();
}

#[test]
fn a_drain_rescinds_offers_kills_tasks_and_is_done_when_the_last_end_is_acknowledged() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    cluster.call(stream, Call::Revive { roles: BTreeSet::new() }).unwrap();
    let offer = cluster.only_offer(stream);

    drain(&mut cluster, &agent, None, false);

    assert!(cluster.events(stream).contains(&Event::Rescind(offer.id)));
    assert_eq!(kills(&cluster, link), [("t1".to_owned(), None)]);
    assert!(matches!(duty(&cluster, &agent), Duty::Draining(_)));
    assert!(cluster.master.snapshot().agents[0].drain_started.is_some());

    cluster.report(link, &framework, "t1", TaskState::Killed, 2);
    assert!(matches!(duty(&cluster, &agent), Duty::Draining(_)), "its framework may not know yet");
    let last = cluster.updates(stream).last().unwrap().reason;
    assert_eq!(last, Some(Reason::AgentDraining));

    cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)));
    revive(&mut cluster, stream);
    assert!(cluster.offers(stream).is_empty(), "a drained agent is not offered");
}

#[test]
fn a_drain_caps_the_grace_period_and_never_lengthens_it() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let graces = [("none", None), ("short", Some(secs(3))), ("long", Some(secs(600)))];
    let tasks = graces.map(|(id, kill_grace)| lonja_model::TaskInfo {
        kill_grace,
        ..task_info(id, &agent, "cpus:1;mem:64")
    });
    cluster.launch(stream, &offer, tasks.to_vec()).unwrap();
    let kill = Call::Kill { task: TaskId::new("long").unwrap(), agent: None, grace: Some(secs(20)) };
    cluster.call(stream, kill).unwrap();

    drain(&mut cluster, &agent, Some(secs(30)), false);

    let capped = |id: &str, seconds| (id.to_owned(), Some(secs(seconds)));
    let asked_first = capped("long", 20);
    let by_drain = [capped("long", 20), capped("none", 30), capped("short", 3)];
    assert_eq!(kills(&cluster, link)[0], asked_first);
    assert_eq!(kills(&cluster, link)[1..], by_drain);
}

#[test]
fn a_drain_said_again_replaces_how() {
    let mut cluster = cluster();
    let (link, agent, _, _) = cluster.running();
    drain(&mut cluster, &agent, Some(secs(60)), true);

    drain(&mut cluster, &agent, Some(secs(5)), false);

    let kept = Drain { max_grace: Some(secs(5)), mark_gone: false };
    assert_eq!(duty(&cluster, &agent), Duty::Draining(kept));
    assert_eq!(kills(&cluster, link).last(), Some(&("t1".to_owned(), Some(secs(5)))));
}

#[test]
fn an_agent_without_tasks_is_drained_at_once() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    drain(&mut cluster, &agent, None, false);
    assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)));
    let told: Vec<_> = cluster
        .published
        .iter()
        .filter_map(|event| {
            let ClusterEvent::AgentUpdated(view) = event else { return None };
            Some(view.duty.clone())
        })
        .collect();
    assert!(matches!(told[..], [Duty::Draining(_), Duty::Drained(_)]), "{told:?}");
}

#[test]
fn a_drain_survives_the_master_and_kills_the_tasks_that_come_back() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();
    drain(&mut cluster, &agent, Some(secs(7)), false);

    cluster.restart();
    assert!(matches!(duty(&cluster, &agent), Duty::Draining(_)), "nobody knows what it runs");
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(kills(&cluster, link), [("t1".to_owned(), Some(secs(7)))]);
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());
    cluster.report(link, &framework, "t1", TaskState::Killed, 2);
    cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)));
}

#[test]
fn an_absent_agent_can_be_drained_and_its_tasks_are_killed_on_its_return() {
    let mut cluster = cluster();
    let (link, agent, _, framework) = cluster.running();
    cluster.lose_link(link);
    drain(&mut cluster, &agent, None, false);

    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert!(kills(&cluster, link).contains(&("t1".to_owned(), None)));
}

#[test]
fn an_unreachable_agent_is_drained_at_once_and_drains_again_if_it_returns_with_tasks() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();
    cluster.advance(secs(80));
    drain(&mut cluster, &agent, None, false);
    assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)));

    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert!(matches!(duty(&cluster, &agent), Duty::Draining(_)));
    assert!(kills(&cluster, link).contains(&("t1".to_owned(), None)));
}

#[test]
fn a_draining_agent_that_becomes_unreachable_is_drained_and_gone_if_so_asked() {
    for (mark_gone, state) in [(false, TaskState::Unreachable), (true, TaskState::GoneByOperator)] {
        let mut cluster = cluster();
        let (_, agent, stream, _) = cluster.running();
        drain(&mut cluster, &agent, None, mark_gone);

        cluster.advance(secs(80));

        assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)));
        assert_eq!(cluster.last_state(stream), Some(state));
        let gone = matches!(cluster.registry.agents[&agent].standing, AgentStanding::Gone { .. });
        assert_eq!(gone, mark_gone);
    }
}

#[test]
fn tasks_of_an_agent_that_is_then_gone_end_in_words_that_their_frameworks_know() {
    for (aware, end) in [(true, TaskState::GoneByOperator), (false, TaskState::Killed)] {
        let mut cluster = cluster();
        let (link, agent) = cluster.agent("cpus:4;mem:4096");
        let mut info = framework_info("web", secs(60));
        if !aware {
            info.capabilities.clear();
        }
        let stream = cluster.subscribe(None, info);
        let framework = cluster.subscribed(stream).unwrap();
        let offer = cluster.only_offer(stream);
        cluster.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:64")]).unwrap();
        drain(&mut cluster, &agent, None, true);

        cluster.report(link, &framework, "t1", TaskState::Killed, 2);
        // Sent again because the acknowledgement is slow: the same words.
        cluster.report(link, &framework, "t1", TaskState::Killed, 2);
        let told: Vec<_> =
            cluster.updates(stream).iter().map(|status| (status.state, status.reason)).collect();
        assert_eq!(told, [(end, Some(Reason::AgentDraining)); 2]);
        cluster.acknowledge(stream, &agent, "t1", 2).unwrap();

        assert!(matches!(cluster.registry.agents[&agent].standing, AgentStanding::Gone { .. }));
        assert!(matches!(cluster.sent(link).last(), Some(ToAgent::Refused { permanent: true, .. })));
        assert!(cluster.closed_links.contains(&link));
    }
}

#[test]
fn a_task_that_a_drain_killed_says_so_though_the_drain_was_called_off_before_its_end() {
    for (called_off, expected) in [(true, Some(Reason::AgentDraining)), (false, None)] {
        let mut cluster = cluster();
        let (link, agent, stream, framework) = cluster.running();
        if called_off {
            drain(&mut cluster, &agent, None, false);
            reactivate(&mut cluster, &agent).unwrap();
        }

        cluster.report(link, &framework, "t1", TaskState::Killed, 2);

        let last = cluster.updates(stream).pop().unwrap().clone();
        assert_eq!((last.state, last.reason), (TaskState::Killed, expected), "called off: {called_off}");
    }
}

#[test]
fn a_task_that_ends_by_itself_in_a_drain_keeps_its_own_end() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    drain(&mut cluster, &agent, None, true);
    cluster.report(link, &framework, "t1", TaskState::Finished, 2);
    let last = cluster.updates(stream).pop().unwrap().clone();
    assert_eq!((last.state, last.reason), (TaskState::Finished, None));
}

#[test]
fn an_accept_on_its_way_to_a_draining_agent_is_answered_like_one_of_a_rescinded_offer() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    drain(&mut cluster, &agent, None, false);

    let late = cluster.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:64")]);

    assert_eq!(late.unwrap_err().code, RefusalCode::NotFound);
    assert_eq!(cluster.last_state(stream), Some(TaskState::Dropped));
    assert!(!cluster.sent(link).iter().any(|message| matches!(message, ToAgent::Run { .. })));
}

#[test]
fn a_drain_can_be_called_off_and_what_was_asked_to_end_ends_all_the_same() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    drain(&mut cluster, &agent, None, true);

    reactivate(&mut cluster, &agent).unwrap();

    assert_eq!(duty(&cluster, &agent), Duty::Active);
    revive(&mut cluster, stream);
    assert_eq!(cluster.offers(stream).len(), 1, "it is offered again");
    cluster.report(link, &framework, "t1", TaskState::Killed, 2);
    cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    assert_eq!(cluster.registry.agents[&agent].standing, AgentStanding::Admitted, "and not gone");
}

#[test]
fn an_end_told_in_a_drain_is_told_again_in_the_same_words_when_the_drain_is_another_or_none() {
    for (mark_gone, told) in [(true, TaskState::GoneByOperator), (false, TaskState::Killed)] {
        let mut cluster = cluster();
        let (link, agent, stream, framework) = cluster.running();
        drain(&mut cluster, &agent, None, mark_gone);
        cluster.report(link, &framework, "t1", TaskState::Killed, 2);
        drain(&mut cluster, &agent, None, !mark_gone);
        cluster.report(link, &framework, "t1", TaskState::Killed, 2);
        reactivate(&mut cluster, &agent).unwrap();

        cluster.report(link, &framework, "t1", TaskState::Killed, 2);

        let updates = cluster.updates(stream);
        let ends: Vec<_> = updates[1..].iter().map(|status| (status.state, status.reason)).collect();
        assert_eq!(ends, [(told, Some(Reason::AgentDraining)); 3]);
        assert_eq!(cluster.master.snapshot().tasks[0].state, told);
        cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    }
}

#[test]
fn an_end_told_in_a_drain_stands_when_its_agent_comes_back_before_it_is_acknowledged() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    drain(&mut cluster, &agent, None, true);
    cluster.report(link, &framework, "t1", TaskState::Killed, 2);
    cluster.lose_link(link);

    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Killed);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(cluster.master.snapshot().tasks[0].state, TaskState::GoneByOperator);
    cluster.report(link, &framework, "t1", TaskState::Killed, 2);
    assert_eq!(cluster.last_state(stream), Some(TaskState::GoneByOperator));
    cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    assert!(matches!(cluster.registry.agents[&agent].standing, AgentStanding::Gone { .. }));
}

#[test]
fn the_removal_of_the_last_framework_completes_a_drain() {
    let mut cluster = cluster();
    let (_, agent, stream, _) = cluster.running();
    drain(&mut cluster, &agent, None, false);
    cluster.call(stream, Call::Teardown).unwrap();
    assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)));
}

#[test]
fn a_deactivated_agent_keeps_its_tasks_and_is_not_offered_until_reactivated() {
    let mut cluster = cluster();
    let (link, agent, stream, _) = cluster.running();
    revive(&mut cluster, stream);
    cluster.offers(stream);

    say(&mut cluster, MaintenanceCommand::Deactivate { agent: agent.clone() }).unwrap();

    assert!(cluster.events(stream).iter().any(|event| matches!(event, Event::Rescind(_))));
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    assert!(kills(&cluster, link).is_empty());
    revive(&mut cluster, stream);
    assert!(cluster.offers(stream).is_empty());
    cluster.lose_link(link);
    cluster.restart();
    assert_eq!(duty(&cluster, &agent), Duty::Deactivated, "over everything");
    cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    let (stream, _) = cluster.framework("other");
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());

    reactivate(&mut cluster, &agent).unwrap();

    cluster.only_offer(stream);
}

#[test]
fn an_agent_that_is_not_active_is_not_offered_when_it_confirms_its_id() {
    let mut cluster = cluster();
    let (link, agent) = cluster.unconfirmed_agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    say(&mut cluster, MaintenanceCommand::Deactivate { agent }).unwrap();

    cluster.say(link, lonja_model::link::FromAgent::Pong { sequence: 0 });

    cluster.settle();
    assert!(cluster.offers(stream).is_empty());
}

#[test]
fn drained_agents_that_are_switched_off_do_not_look_like_a_cut_cable() {
    let mut cluster = cluster();
    let agents: Vec<_> = (0..5).map(|_| cluster.agent("cpus:1;mem:1024")).collect();
    for (_, agent) in &agents[..4] {
        drain(&mut cluster, agent, None, false);
    }

    cluster.advance_with_pongs(&[agents[4].0], secs(120));

    assert!(cluster.alerts.is_empty(), "{:?}", cluster.alerts);
    let unreachable =
        |id: &AgentId| matches!(cluster.registry.agents[id].standing, AgentStanding::Unreachable { .. });
    assert_eq!(agents.iter().filter(|(_, id)| unreachable(id)).count(), 4);
}

#[test]
fn drained_agents_that_answer_do_not_hide_a_cut_cable() {
    let mut cluster = cluster();
    let agents: Vec<_> = (0..9).map(|_| cluster.agent("cpus:1;mem:1024")).collect();
    for (_, agent) in &agents[..4] {
        drain(&mut cluster, agent, None, false);
    }
    let talking: Vec<_> = agents[..6].iter().map(|(link, _)| *link).collect();

    cluster.advance_with_pongs(&talking, secs(120));

    assert!(cluster.alerts[0].contains("3 of 5"), "{:?}", cluster.alerts);
}

#[test]
fn a_command_about_an_agent_that_rules_it_out_says_why_and_changes_nothing() {
    let mut cluster = cluster();
    let (_, active) = cluster.agent("cpus:1;mem:1024");
    let (_, drained) = cluster.agent("cpus:1;mem:1024");
    let (_, gone) = cluster.agent("cpus:1;mem:1024");
    let unknown = AgentId::new("c-9-S9").unwrap();
    drain(&mut cluster, &drained, None, false);
    say(&mut cluster, MaintenanceCommand::MarkGone { agent: gone.clone() }).unwrap();
    let before = cluster.registry.clone();

    let drain = |agent: &AgentId| MaintenanceCommand::Drain { agent: agent.clone(), drain: Drain::default() };
    let deactivate = |agent: &AgentId| MaintenanceCommand::Deactivate { agent: agent.clone() };
    let reactivate = |agent: &AgentId| MaintenanceCommand::Reactivate { agent: agent.clone() };
    let mark_gone = |agent: &AgentId| MaintenanceCommand::MarkGone { agent: agent.clone() };
    for (command, code, name) in [
        (drain(&unknown), RefusalCode::NotFound, &unknown),
        (deactivate(&unknown), RefusalCode::NotFound, &unknown),
        (reactivate(&unknown), RefusalCode::NotFound, &unknown),
        (mark_gone(&unknown), RefusalCode::NotFound, &unknown),
        (drain(&gone), RefusalCode::Conflict, &gone),
        (deactivate(&gone), RefusalCode::Conflict, &gone),
        (reactivate(&gone), RefusalCode::Conflict, &gone),
        (deactivate(&drained), RefusalCode::Conflict, &drained),
        (reactivate(&active), RefusalCode::Conflict, &active),
    ] {
        let refusal = say(&mut cluster, command.clone()).unwrap_err();
        assert_eq!(refusal.code, code, "{command:?}: {refusal}");
        assert!(refusal.message.contains(name.as_str()), "{command:?}: {refusal}");
    }
    assert_eq!(cluster.registry, before);
}
