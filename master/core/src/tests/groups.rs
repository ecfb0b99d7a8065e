//! Groups of tasks, and what their executors hold.

use lonja_model::executor::ExecutorInfo;
use lonja_model::link::{AgentExecutor, FromAgent, ToAgent};
use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchGroup, LaunchTask, Operation};
use lonja_model::scheduler::Call;
use lonja_model::task::Reason;
use lonja_model::{ContainerId, ExecutorId, FrameworkId, Offer, Role, TaskInfo, TaskState};

use super::fixture::*;
use crate::StreamId;

fn pod(needs: &str) -> ExecutorInfo {
    let id = ExecutorId::new("pod").unwrap();
    ExecutorInfo { resources: res(needs), ..ExecutorInfo::builtin(id) }
}

fn group(executor: ExecutorInfo, tasks: Vec<TaskInfo>) -> Operation {
    let tasks = tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect();
    Operation::LaunchGroup(LaunchGroup { executor: Ok(Box::new(executor)), tasks })
}

fn launch(cluster: &mut Cluster, stream: StreamId, offer: &Offer, operations: Vec<Operation>) {
    let offers = vec![offer.id.clone()];
    cluster.call(stream, Call::Accept { offers, operations, filters: Filters::NONE }).unwrap();
}

/// The executors, starting or not, and tasks of what was sent to the agent to run in executors.
fn sent(cluster: &Cluster, link: crate::LinkId) -> Vec<(bool, bool, Vec<String>)> {
    let orders = cluster.sent(link).iter().filter_map(|message| {
        let ToAgent::RunInExecutor { tasks, starts_executor, as_group, .. } = message else { return None };
        assert!(tasks.iter().all(|task| task.executor.is_some()));
        let tasks = tasks.iter().map(|task| task.id.to_string()).collect();
        Some((*starts_executor, *as_group, tasks))
    });
    orders.collect()
}

#[test]
fn a_group_goes_to_its_agent_as_one_and_its_executor_is_charged() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    let tasks = vec![task_info("a", &agent, "cpus:1;mem:64"), task_info("b", &agent, "cpus:1;mem:64")];
    launch(&mut cluster, stream, &offer, vec![group(pod("cpus:0.5;mem:32"), tasks)]);

    assert_eq!(sent(&cluster, link), [(true, true, vec!["a".to_owned(), "b".to_owned()])]);
    let offer = cluster.only_offer(stream);
    assert_eq!(offer.resources, res("cpus:1.5;mem:3936"));
    assert_eq!(offer.executors, [ExecutorId::new("pod").unwrap()]);

    launch(
        &mut cluster,
        stream,
        &offer,
        vec![group(pod("cpus:0.5;mem:32"), vec![task_info("c", &agent, "cpus:1.5;mem:64")])],
    );
    assert!(!sent(&cluster, link)[1].0, "the executor is there");
}

/// What is said of a task, and what makes it so.
type Spoiled = (&'static str, fn(&mut TaskInfo));

#[test]
fn one_task_that_is_wrong_spoils_the_group_and_nothing_else() {
    let wrong: [Spoiled; 4] = [
        ("the offers hold", |task| task.resources = res("cpus:9")),
        ("names agent", |task| task.agent = lonja_model::AgentId::new("other").unwrap()),
        ("stands twice in the group", |task| task.id = lonja_model::TaskId::new("a").unwrap()),
        ("no command", |task| task.command = lonja_model::container::Command::none()),
    ];
    for (says, spoil) in wrong {
        let mut cluster = cluster();
        let (link, agent) = cluster.agent("cpus:4;mem:4096");
        let (stream, _) = cluster.framework("web");
        let offer = cluster.only_offer(stream);
        let mut bad = task_info("b", &agent, "cpus:1;mem:64");
        spoil(&mut bad);
        let alone = task_info("alone", &agent, "cpus:1;mem:64");
        let alone = Operation::Launch(vec![LaunchTask::Valid(Box::new(alone))]);
        let tasks = vec![task_info("a", &agent, "cpus:1;mem:64"), bad];
        launch(&mut cluster, stream, &offer, vec![group(pod("cpus:1"), tasks), alone]);

        let told = cluster.updates(stream);
        assert!(told.iter().all(|status| status.state == TaskState::Error));
        assert!(told.iter().all(|status| status.reason == Some(Reason::TaskGroupInvalid)));
        assert!(told.iter().all(|status| status.message.as_ref().unwrap().contains(says)), "{told:?}");
        assert!(sent(&cluster, link).is_empty());
        assert!(matches!(cluster.sent(link).last(), Some(ToAgent::Run { tasks, .. }) if tasks.len() == 1));
        assert_eq!(cluster.only_offer(stream).resources, res("cpus:3;mem:4032"));
    }
}

#[test]
fn an_executor_that_is_described_otherwise_than_before_spoils_the_group() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    launch(&mut cluster, stream, &offer, vec![group(pod("cpus:1"), vec![task_info("a", &agent, "cpus:1")])]);
    let offer = cluster.only_offer(stream);
    launch(&mut cluster, stream, &offer, vec![group(pod("cpus:2"), vec![task_info("b", &agent, "cpus:1")])]);
    let told = cluster.updates(stream);
    assert!(told[0].message.as_ref().unwrap().contains("was described otherwise"), "{told:?}");
}

#[test]
fn a_built_in_executor_takes_no_task_alone_and_no_folder_is_shared_without_one() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let named = TaskInfo { executor: Some(Box::new(pod(""))), ..task_info("a", &agent, "cpus:1") };
    let mut sharing = task_info("b", &agent, "cpus:1");
    sharing.container.parent_volumes.push(lonja_model::container::ParentVolume {
        path: "data".to_owned(),
        container_path: "data".to_owned(),
        read_only: false,
    });
    cluster.launch(stream, &offer, vec![named, sharing]).unwrap();
    let told = cluster.updates(stream);
    assert!(told[0].message.as_ref().unwrap().contains("LAUNCH_GROUP"));
    assert!(told[1].message.as_ref().unwrap().contains("launch it in a group"));
}

#[test]
fn an_executor_gives_back_what_it_held_once_when_it_ends() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, framework) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    launch(&mut cluster, stream, &offer, vec![group(pod("cpus:1"), vec![task_info("a", &agent, "cpus:1")])]);
    cluster.report(link, &framework, "a", TaskState::Finished, 2);
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:3;mem:4096"));
    for _ in 0..2 {
        let executor = ExecutorId::new("pod").unwrap();
        cluster.say(link, FromAgent::ExecutorEnded { framework: framework.clone(), executor, status: None });
    }
    cluster.settle();
    let left: Vec<_> = cluster.offers(stream).iter().map(|offer| offer.resources.clone()).collect();
    assert!(left.contains(&res("cpus:1")) || left.contains(&res("cpus:4;mem:4096")), "{left:?}");
}

/// The agent is back with these executors of `framework`.
fn back_with(
    cluster: &mut Cluster,
    agent: &lonja_model::AgentId,
    framework: &FrameworkId,
    executors: &[ExecutorInfo],
) {
    let link = crate::LinkId(77);
    let info = Box::new(agent_info("cpus:4;mem:4096"));
    let executor = |info: &ExecutorInfo| AgentExecutor {
        framework: framework.clone(),
        role: Role::new("web").unwrap(),
        info: info.clone(),
        container: ContainerId::new("c1").unwrap(),
    };
    let message = FromAgent::Reregister {
        capabilities: lonja_model::agent::AgentCapability::all(),
        agent: agent.clone(),
        total: info.resources.clone(),
        info,
        version: "0.1.0".into(),
        tasks: vec![],
        frameworks: vec![],
        operations: vec![],
        executors: executors.iter().map(executor).collect(),
    };
    cluster.come_back(link, message);
}

#[test]
fn what_an_agent_brings_of_its_executors_replaces_what_was_thought() {
    for (brings, free) in [(vec![], "cpus:4;mem:4096"), (vec![pod("cpus:1")], "cpus:3;mem:4096")] {
        let mut cluster = cluster();
        let (link, agent) = cluster.agent("cpus:4;mem:4096");
        let (stream, framework) = cluster.framework("web");
        let offer = cluster.only_offer(stream);
        let tasks = vec![task_info("a", &agent, "cpus:1")];
        launch(&mut cluster, stream, &offer, vec![group(pod("cpus:1"), tasks)]);
        cluster.handle(crate::Event::LinkClosed { link });
        back_with(&mut cluster, &agent, &framework, &brings);
        cluster.settle();
        assert_eq!(cluster.only_offer(stream).resources, res(free));
    }
}
