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
    cluster.advance(secs(59));
    assert!(cluster.master.snapshot().frameworks.iter().any(|known| known.id == framework), "never early");
    cluster.advance(secs(1));

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
