use lonja_model::link::ToAgent;
use lonja_model::maintenance::{MachineId, Unavailability, Window};
use lonja_model::registry::AgentStanding;
use lonja_model::scheduler::{Call, CallResult, Event};
use lonja_model::task::Reason;
use lonja_model::{TaskId, TaskState};

use super::fixture::*;
use crate::{ClusterEvent, MaintenanceCommand, OperatorCommand};

fn say(cluster: &mut Cluster, command: MaintenanceCommand) -> CallResult {
    cluster.operator(OperatorCommand::Maintenance(command))
}

#[test]
fn an_agent_that_is_gone_is_told_to_stop_and_refused_for_ever() {
    let mut cluster = cluster();
    let (link, agent, stream, _) = cluster.running();

    say(&mut cluster, MaintenanceCommand::MarkGone { agent: agent.clone() }).unwrap();

    let last = cluster.updates(stream).pop().unwrap().clone();
    assert_eq!((last.state, last.reason), (TaskState::GoneByOperator, Some(Reason::AgentRemovedByOperator)));
    assert!(cluster.events(stream).iter().any(|event| matches!(event, Event::Failure { .. })));
    assert!(matches!(cluster.sent(link).last(), Some(ToAgent::Refused { permanent: true, .. })));
    let removed = |event: &ClusterEvent| matches!(event, ClusterEvent::AgentRemoved(id) if *id == agent);
    assert_eq!(cluster.published.iter().filter(|event| removed(event)).count(), 1);
    say(&mut cluster, MaintenanceCommand::MarkGone { agent: agent.clone() }).unwrap();
    assert_eq!(cluster.published.iter().filter(|event| removed(event)).count(), 1, "once");

    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    assert_eq!(cluster.registered(link), None);
    cluster.restart();
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    assert!(matches!(cluster.sent(link), [ToAgent::Refused { permanent: true, .. }]));
}

#[test]
fn a_gone_agent_of_a_machine_that_is_down_hears_that_it_is_gone() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let machines = vec![MachineId::named("host")];
    let unavailability = Unavailability { start: cluster.now, duration: None };
    let windows = vec![Window { machines: machines.clone(), unavailability }];
    say(&mut cluster, MaintenanceCommand::Schedule { windows }).unwrap();
    say(&mut cluster, MaintenanceCommand::Start { machines }).unwrap();
    say(&mut cluster, MaintenanceCommand::MarkGone { agent: agent.clone() }).unwrap();

    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![]);

    assert!(matches!(cluster.sent(link), [ToAgent::Refused { permanent: true, .. }]));
}

#[test]
fn an_unreachable_or_awaited_agent_can_be_declared_gone() {
    for restart in [false, true] {
        let mut cluster = cluster();
        let (_, agent, mut stream, framework) = cluster.running();
        if restart {
            cluster.restart();
            stream = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
        } else {
            cluster.advance(secs(80));
        }

        say(&mut cluster, MaintenanceCommand::MarkGone { agent: agent.clone() }).unwrap();

        let task = vec![(TaskId::new("t1").unwrap(), Some(agent.clone()))];
        cluster.call(stream, Call::Reconcile { tasks: task }).unwrap();
        assert_eq!(cluster.last_state(stream), Some(TaskState::GoneByOperator));
        assert!(matches!(cluster.registry.agents[&agent].standing, AgentStanding::Gone { .. }));
    }
}

#[test]
fn an_end_that_waits_for_its_acknowledgement_is_told_once_more_when_the_agent_is_gone() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    cluster.report(link, &framework, "t1", TaskState::Failed, 2);

    say(&mut cluster, MaintenanceCommand::MarkGone { agent }).unwrap();

    let last = cluster.updates(stream).pop().unwrap().clone();
    assert_eq!((last.state, last.update), (TaskState::Failed, None), "there is nobody to acknowledge it to");
    assert!(cluster.master.snapshot().tasks.is_empty());
}

#[test]
fn a_framework_that_does_not_know_gone_hears_that_its_tasks_are_lost() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let mut info = framework_info("web", secs(60));
    info.capabilities.clear();
    let stream = cluster.subscribe(None, info);
    let offer = cluster.only_offer(stream);
    cluster.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:64")]).unwrap();

    say(&mut cluster, MaintenanceCommand::MarkGone { agent }).unwrap();

    assert_eq!(cluster.last_state(stream), Some(TaskState::Lost));
}
