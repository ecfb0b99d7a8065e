use std::collections::BTreeSet;

use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{Call, RefusalCode};
use lonja_model::task::{Limit, Reason};
use lonja_model::{TaskId, TaskState};

use super::fixture::*;
use crate::effects::LinkId;

#[test]
fn a_launched_task_is_sent_to_its_agent_and_what_is_left_is_offered_again() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    cluster.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:1024")]).unwrap();

    assert!(matches!(cluster.sent(link).last(), Some(ToAgent::Run { tasks, .. }) if tasks.len() == 1));
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:3;mem:3072"));
}

#[test]
fn an_ended_tasks_resources_are_offered_before_anyone_acknowledges() {
    let mut cluster = cluster();
    let (link, _, stream, framework) = cluster.running();

    cluster.report(link, &framework, "t1", TaskState::Finished, 2);

    assert_eq!(cluster.only_offer(stream).resources, res("cpus:4;mem:4096"));
}

#[test]
fn a_terminal_update_said_twice_gives_resources_back_once() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    cluster.report(link, &framework, "t1", TaskState::Finished, 2);
    cluster.report(link, &framework, "t1", TaskState::Finished, 2);
    cluster.settle();

    cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    cluster.report(link, &framework, "t1", TaskState::Finished, 2);

    // The invariant check of the fixture has counted; the agent is told to forget in any case.
    let acknowledged = cluster.sent(link).iter().filter(|m| matches!(m, ToAgent::Acknowledge { .. })).count();
    assert_eq!(acknowledged, 3);
}

#[test]
fn a_task_over_its_offer_is_an_error_and_harms_no_other() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    let tasks = vec![task_info("big", &agent, "cpus:5;mem:64"), task_info("small", &agent, "cpus:1;mem:64")];
    cluster.launch(stream, &offer, tasks).unwrap();

    let error = cluster.updates(stream)[0];
    assert_eq!(
        (error.task.as_str(), error.state, error.reason),
        ("big", TaskState::Error, Some(Reason::TaskInvalid))
    );
    assert_eq!(error.agent.as_ref(), Some(&agent), "it says where, as its task did");
    assert!(error.message.as_ref().unwrap().contains("cpus:5"), "{error:?}");
    assert!(matches!(cluster.sent(link).last(), Some(ToAgent::Run { tasks, .. }) if tasks.len() == 1));
}

#[test]
fn a_task_id_in_use_is_refused_and_the_first_task_runs_on() {
    let mut cluster = cluster();
    let (_, agent, stream, framework) = cluster.running();
    cluster.call(stream, Call::Revive { roles: Default::default() }).unwrap();
    let (_, other) = cluster.agent("cpus:4;mem:4096");
    assert_ne!(agent, other);
    cluster.settle();
    let offer = cluster.offers(stream).into_iter().find(|offer| offer.agent == other).unwrap();

    cluster.launch(stream, &offer, vec![task_info("t1", &other, "cpus:1;mem:64")]).unwrap();

    assert_eq!(cluster.last_state(stream), Some(TaskState::Error));
    let task = cluster.master.snapshot().tasks.into_iter().find(|task| task.framework == framework).unwrap();
    assert_eq!(task.state, TaskState::Running);
}

#[test]
fn a_task_that_could_not_be_read_is_answered_by_task_error() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    let task =
        LaunchTask::Invalid { task: TaskId::new("t").unwrap(), reason: "cpus: NaN is not a number".into() };
    let operations = vec![Operation::Launch(vec![task])];
    cluster
        .call(stream, Call::Accept { offers: vec![offer.id], operations, filters: Filters::NONE })
        .unwrap();

    assert_eq!(cluster.updates(stream)[0].message.as_deref(), Some("cpus: NaN is not a number"));
}

#[test]
fn a_kill_goes_to_the_agent_and_again_when_it_comes_back() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    cluster.lose_link(link);
    let kill = Call::Kill { task: TaskId::new("t1").unwrap(), agent: None, grace: Some(secs(1)) };

    cluster.call(stream, kill).unwrap();
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    let sent = cluster.sent(link);
    assert!(
        sent.iter().any(|m| matches!(m, ToAgent::Kill { grace: Some(g), .. } if *g == secs(1))),
        "{sent:?}"
    );
}

#[test]
fn a_kill_of_an_unknown_task_is_answered() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.call(stream, Call::Kill { task: TaskId::new("no").unwrap(), agent: None, grace: None }).unwrap();
    assert_eq!(cluster.last_state(stream), Some(TaskState::Unknown));
}

#[test]
fn an_acknowledgement_of_nothing_is_refused_and_changes_nothing() {
    let mut cluster = cluster();
    let (_, agent, stream, _) = cluster.running();
    assert_eq!(cluster.acknowledge(stream, &agent, "t1", 9).unwrap_err().code, RefusalCode::NotFound);
    assert_eq!(cluster.acknowledge(stream, &agent, "none", 1).unwrap_err().code, RefusalCode::NotFound);
}

#[test]
fn reconciliation_tells_the_state_of_known_tasks_and_of_none() {
    let mut cluster = cluster();
    let (_, agent, stream, _) = cluster.running();
    let before = cluster.updates(stream).len();

    cluster.call(stream, Call::Reconcile { tasks: vec![] }).unwrap();
    let gone = (TaskId::new("other").unwrap(), Some(agent));
    let unknown = (TaskId::new("other").unwrap(), None);
    cluster.call(stream, Call::Reconcile { tasks: vec![gone, unknown] }).unwrap();

    let states: Vec<_> = cluster.updates(stream)[before..].iter().map(|status| status.state).collect();
    assert_eq!(states, [TaskState::Running, TaskState::Gone, TaskState::Unknown]);
}

#[test]
fn limits_of_their_own_are_for_agents_that_hold_tasks_to_them() {
    let mut cluster = cluster();
    let (_, able) = cluster.agent("cpus:4;mem:4096");
    let link = LinkId(cluster.number());
    let info = Box::new(agent_info("cpus:2;mem:2048"));
    let older = FromAgent::Register { info, version: "0.0.1".into(), capabilities: BTreeSet::new() };
    cluster.say(link, older);
    cluster.say(link, FromAgent::Pong { sequence: 0 });
    let unable = cluster.registered(link).unwrap();
    let (stream, _) = cluster.framework("web");
    cluster.settle();
    let offers = cluster.offers(stream);
    for (agent, id) in [(&unable, "refused"), (&able, "limited")] {
        let offer = offers.iter().find(|offer| offer.agent == *agent).unwrap();
        let mut task = task_info(id, agent, "cpus:1;mem:64");
        task.limits.insert("mem".to_owned(), Limit::Infinite);
        cluster.launch(stream, offer, vec![task]).unwrap();
    }

    let errors = cluster.updates(stream);
    assert_eq!((errors.len(), errors[0].task.as_str(), errors[0].state), (1, "refused", TaskState::Error));
    let said = errors[0].message.as_ref().unwrap();
    assert!(said.contains("TASK_RESOURCE_LIMITS") && said.contains(unable.as_str()), "{said}");
}
