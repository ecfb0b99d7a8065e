use lonja_model::TaskState;
use lonja_model::registry::AgentStanding;
use lonja_model::scheduler::Call;

use super::fixture::*;

#[test]
fn a_restarted_master_finds_agents_frameworks_and_their_tasks() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();

    cluster.restart();
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(cluster.registered(link), Some(agent));
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:3;mem:4032"));
    assert_eq!(cluster.last_state(stream), None, "not one task is disturbed");
    cluster.call(stream, Call::Reconcile { tasks: vec![] }).unwrap();
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
}

#[test]
fn ids_are_never_given_twice() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, framework) = cluster.framework("web");
    let offer = cluster.only_offer(stream).id;

    cluster.restart();
    let (_, other_agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, other_framework) = cluster.framework("web");
    let other_offer = cluster.only_offer(stream).id;

    assert_ne!((agent, framework, offer), (other_agent, other_framework, other_offer));
}

#[test]
fn the_failover_deadline_of_an_absent_framework_survives_a_restart() {
    let mut cluster = cluster();
    let (_, _, stream, framework) = cluster.running();
    cluster.lose_stream(stream);
    cluster.advance(secs(50));

    cluster.restart();
    cluster.advance(secs(9));
    assert!(cluster.master.snapshot().frameworks.iter().any(|known| known.id == framework), "never early");
    cluster.advance(secs(8));

    assert!(cluster.master.snapshot().frameworks.is_empty(), "at most one timeout late");
}

#[test]
fn a_framework_that_never_returns_after_a_restart_is_removed_and_its_tasks_are_ended() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();
    cluster.restart();
    cluster.advance(secs(60));

    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    let shutdown = lonja_model::link::ToAgent::ShutdownFramework { framework };
    assert!(cluster.sent(link).contains(&shutdown));
}

#[test]
fn however_often_the_master_restarts_an_absent_framework_is_removed_in_the_end() {
    let mut cluster = cluster();
    let (_, _, stream, _) = cluster.running();
    cluster.lose_stream(stream);
    for _ in 0..20 {
        cluster.advance(secs(8));
        cluster.restart();
    }
    assert!(cluster.master.snapshot().frameworks.is_empty());
}

#[test]
fn a_restart_of_the_master_is_not_held_against_a_framework_without_a_failover_timeout() {
    let mut cluster = cluster();
    let stream = cluster.subscribe(None, framework_info("web", secs(0)));
    let framework = cluster.subscribed(stream).unwrap();

    cluster.restart();
    cluster.advance(secs(30));

    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(0)));
    assert_eq!(cluster.subscribed(stream), Some(framework));
}

#[test]
fn an_agent_cannot_put_words_into_the_masters_mouth() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    for state in [TaskState::Lost, TaskState::Unreachable, TaskState::Unknown] {
        cluster.report(link, &framework, "t1", state, 7);
    }
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    cluster.lose_link(link);
    let other = lonja_model::AgentId::new("other-S1").unwrap();
    let foreign = agent_task(&framework, "t2", &other, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![foreign]);
    assert_eq!(cluster.registered(link), None);
}

#[test]
fn an_id_that_this_master_would_give_is_not_taken_from_a_peer() {
    let mut cluster = cluster();
    let framework = lonja_model::FrameworkId::new("c-1-0007").unwrap();
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    assert_eq!(cluster.subscribed(stream), None);
    let agent = lonja_model::AgentId::new("c-1-S7").unwrap();
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    assert_eq!(cluster.registered(link), None);
}

#[test]
fn a_removed_framework_stays_removed_over_a_restart() {
    let mut cluster = cluster();
    let (stream, framework) = cluster.framework("web");
    cluster.call(stream, Call::Teardown).unwrap();
    cluster.restart();
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    assert_eq!(cluster.subscribed(stream), None);
}

#[test]
fn agents_that_do_not_come_back_in_time_are_unreachable() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    cluster.restart();
    cluster.advance(secs(599));
    assert_eq!(cluster.registry.agents[&agent].standing, AgentStanding::Admitted);
    cluster.advance(secs(1));
    assert!(matches!(cluster.registry.agents[&agent].standing, AgentStanding::Unreachable { .. }));
}

/// The agent was silent through a restart: the master that called its tasks unreachable did not know one of them.
#[test]
fn tasks_that_reconciliation_called_unreachable_are_told_to_be_back() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();
    cluster.restart();
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(3600)));
    cluster.advance(secs(601));
    let task = lonja_model::TaskId::new("t1").unwrap();
    cluster.call(stream, Call::Reconcile { tasks: vec![(task, Some(agent.clone()))] }).unwrap();
    assert_eq!(cluster.last_state(stream), Some(TaskState::Unreachable));

    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    let last = *cluster.updates(stream).last().unwrap();
    assert_eq!(last.state, TaskState::Running);
    assert_eq!(last.reason, Some(lonja_model::task::Reason::AgentReregistered));
}

#[test]
fn while_agents_are_awaited_reconciliation_of_unknown_tasks_is_silent() {
    let mut cluster = cluster();
    let (_, agent, _, framework) = cluster.running();
    cluster.restart();
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    let task = lonja_model::TaskId::new("t1").unwrap();

    cluster.call(stream, Call::Reconcile { tasks: vec![(task.clone(), Some(agent)), (task, None)] }).unwrap();

    assert_eq!(cluster.last_state(stream), None);
}

#[test]
fn a_framework_and_tasks_that_only_an_agent_remembers_are_taken_over() {
    let mut cluster = cluster();
    let framework = lonja_model::FrameworkId::new("older-0000").unwrap();
    let agent = lonja_model::AgentId::new("older-S0").unwrap();
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);

    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(cluster.registered(link), Some(agent));
    assert_eq!(cluster.master.snapshot().tasks.len(), 1);
    let stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:3;mem:4032"));
}
