//! Executors of frameworks' own, as the master sees them.

use lonja_model::container::{Command, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{Call, Event};
use lonja_model::{ExecutorId, Offer, TaskInfo, TaskState};

use super::fixture::*;
use crate::StreamId;

fn custom(needs: &str) -> ExecutorInfo {
    let command = Command::new(Program::Shell("run-tasks".to_owned()));
    ExecutorInfo::custom(ExecutorId::new("own").unwrap(), command, res(needs))
}

fn task(id: &str, agent: &lonja_model::AgentId, needs: &str, executor: ExecutorInfo) -> TaskInfo {
    let plain = task_info(id, agent, needs);
    TaskInfo { executor: Some(Box::new(executor)), command: Command::none(), ..plain }
}

fn launch(cluster: &mut Cluster, stream: StreamId, offer: &Offer, tasks: Vec<TaskInfo>) {
    cluster.launch(stream, offer, tasks).unwrap();
}

/// Whether the executor starts, and with which tasks, of each order to the agent.
fn sent(cluster: &Cluster, link: crate::LinkId) -> Vec<(bool, Vec<String>)> {
    let orders = cluster.sent(link).iter().filter_map(|message| {
        let ToAgent::RunInExecutor { tasks, starts_executor, as_group: false, .. } = message else {
            return None;
        };
        Some((*starts_executor, tasks.iter().map(|task| task.id.to_string()).collect()))
    });
    orders.collect()
}

#[test]
fn an_executor_is_charged_with_its_first_task_and_free_when_it_ends_of_which_its_framework_hears() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, framework) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let own = custom("cpus:0.5;mem:64");
    let tasks =
        vec![task("a", &agent, "cpus:1;mem:64", own.clone()), task("b", &agent, "cpus:1;mem:64", own)];
    launch(&mut cluster, stream, &offer, tasks);
    assert_eq!(sent(&cluster, link), [(true, vec!["a".to_owned(), "b".to_owned()])]);
    let offer = cluster.only_offer(stream);
    assert_eq!(offer.resources, res("cpus:1.5;mem:3904"));
    assert_eq!(offer.executors, [ExecutorId::new("own").unwrap()]);

    let executor = ExecutorId::new("own").unwrap();
    let status = Some(9);
    cluster.say(link, FromAgent::ExecutorEnded { framework, executor: executor.clone(), status });
    let failure = Event::Failure { agent, executor: Some(executor), status };
    assert!(cluster.events(stream).contains(&failure));
    cluster.settle();
}

#[test]
fn one_id_means_one_executor() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let own = custom("cpus:0.5;mem:64");
    launch(&mut cluster, stream, &offer, vec![task("a", &agent, "cpus:1;mem:64", own.clone())]);
    let offer = cluster.only_offer(stream);
    let other = ExecutorInfo { data: vec![1], ..own };
    launch(&mut cluster, stream, &offer, vec![task("b", &agent, "cpus:1;mem:64", other)]);
    assert_eq!(sent(&cluster, link).len(), 1);
    let status = (*cluster.updates(stream).last().unwrap()).clone();
    assert_eq!(status.state, TaskState::Error);
    assert!(status.message.unwrap().contains("was described otherwise"));
}

#[test]
fn a_task_has_a_command_or_an_executor_and_not_both() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let both = TaskInfo { executor: Some(Box::new(custom(""))), ..task_info("a", &agent, "cpus:1;mem:64") };
    launch(&mut cluster, stream, &offer, vec![both]);
    let status = (*cluster.updates(stream).last().unwrap()).clone();
    assert!(status.message.unwrap().contains("has both a command and executor own"));
}

#[test]
fn bytes_pass_between_an_executor_and_its_framework() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, framework) = cluster.framework("web");
    let executor = ExecutorId::new("own").unwrap();
    let data = b"down".to_vec();
    let call = Call::Message { agent: agent.clone(), executor: executor.clone(), data: data.clone() };
    cluster.call(stream, call).unwrap();
    let down = ToAgent::Message { framework: framework.clone(), executor: executor.clone(), data };
    assert!(cluster.sent(link).contains(&down));
    let data = b"up".to_vec();
    cluster.say(link, FromAgent::Message { framework, executor: executor.clone(), data: data.clone() });
    assert!(cluster.events(stream).contains(&Event::Message { agent, executor, data }));
}

#[test]
fn a_framework_may_end_an_executor_of_its_own_and_no_other() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    let (owner, _) = cluster.framework("web");
    let offer = cluster.only_offer(owner);
    let own = task("a", &agent, "cpus:1;mem:64", custom("cpus:0.5;mem:64"));
    launch(&mut cluster, owner, &offer, vec![own]);
    let (stranger, _) = cluster.framework("web");
    let call = Call::ShutdownExecutor { agent, executor: ExecutorId::new("own").unwrap() };
    assert!(cluster.call(stranger, call.clone()).is_err());
    cluster.call(owner, call).unwrap();
    let sent =
        cluster.sent(link).iter().filter(|message| matches!(message, ToAgent::ShutdownExecutor { .. }));
    assert_eq!(sent.count(), 1);
}
