use lonja_model::TaskState;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::registry::{AgentStanding, FrameworkStanding};
use lonja_model::scheduler::Event;
use std::collections::BTreeSet;
use std::time::Duration;

use super::fixture::*;
use crate::LinkId;
use crate::agents::Presence;

#[test]
fn silence_shorter_than_the_limit_changes_nothing_and_longer_makes_unreachable() {
    let mut cluster = cluster();
    let (_, agent, stream, _) = cluster.running();

    cluster.advance(secs(74));
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    cluster.advance(secs(2));

    assert_eq!(cluster.last_state(stream), Some(TaskState::Unreachable));
    assert!(cluster.events(stream).iter().any(|event| matches!(event, Event::Failure { .. })));
    assert!(matches!(cluster.registry.agents[&agent].standing, AgentStanding::Unreachable { .. }));
}

/// A stopped master (SIGSTOP, a suspended machine) hears nobody, and is asked by nobody.
#[test]
fn the_time_that_the_master_was_stopped_is_nobodys_silence() {
    let mut cluster = cluster();
    let (link, _, stream, _) = cluster.running();
    let (other, absent) = cluster.framework("eng");
    cluster.lose_stream(other);
    cluster.advance_with_pongs(&[link], secs(30));

    cluster.now = cluster.now + secs(300);
    cluster.handle(crate::Event::Tick);
    cluster.advance(secs(14));

    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    let standing = cluster.registry.frameworks[&absent].standing;
    assert!(matches!(standing, FrameworkStanding::Disconnected { .. }), "it had a minute: {standing:?}");
    cluster.advance(secs(62));
    assert_eq!(cluster.last_state(stream), Some(TaskState::Unreachable), "from now on it counts");
}

#[test]
fn an_agent_that_answers_stays() {
    let mut cluster = cluster();
    let (link, agent, stream, _) = cluster.running();
    cluster.advance_with_pongs(&[link], secs(600));
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    assert_eq!(cluster.registry.agents[&agent].standing, AgentStanding::Admitted);
}

#[test]
fn a_broken_link_takes_the_offers_and_leaves_the_tasks() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    cluster.call(stream, lonja_model::scheduler::Call::Revive { roles: Default::default() }).unwrap();
    cluster.settle();

    cluster.lose_link(link);

    assert!(cluster.events(stream).iter().any(|event| matches!(event, Event::Rescind(_))));
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    cluster.offers(stream);
    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:3;mem:4032"));
}

#[test]
fn an_unreachable_agent_that_returns_brings_its_tasks_back() {
    let mut cluster = cluster();
    let (_, agent, stream, framework) = cluster.running();
    cluster.advance(secs(80));
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);

    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    assert_eq!(cluster.registry.agents[&agent].standing, AgentStanding::Admitted);
}

/// What it says is kept until then, and may be large.
#[test]
fn who_says_to_be_back_and_answers_no_ping_is_sent_away() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent("cpus:4;mem:4096");
    cluster.lose_link(link);
    let info = Box::new(agent_info("cpus:4;mem:4096"));
    let (total, version) = (info.resources.clone(), "0.1.0".into());
    let (tasks, frameworks, operations, executors) = (vec![], vec![], vec![], vec![]);
    let back = crate::LinkId(77);
    let word = FromAgent::Reregister {
        agent,
        info,
        version,
        tasks,
        frameworks,
        total,
        operations,
        executors,
        capabilities: lonja_model::agent::AgentCapability::all(),
    };
    cluster.say(back, word);

    cluster.advance(secs(14));
    assert_eq!(cluster.sent(back), [ToAgent::Ping { sequence: 0 }]);
    cluster.advance(secs(1));

    let last = cluster.sent(back).last();
    assert!(matches!(last, Some(ToAgent::Refused { permanent: false, .. })), "{last:?}");
    cluster.say(back, FromAgent::Pong { sequence: 0 });
    assert_eq!(cluster.registered(back), None, "it has to begin anew");
}

#[test]
fn a_task_that_its_agent_forgot_is_gone_and_one_that_never_arrived_is_dropped() {
    let mut cluster = cluster();
    let (link, agent, stream, _) = cluster.running();
    cluster.call(stream, lonja_model::scheduler::Call::Revive { roles: Default::default() }).unwrap();
    let offer = cluster.only_offer(stream);
    cluster.launch(stream, &offer, vec![task_info("t2", &agent, "cpus:1;mem:64")]).unwrap();
    cluster.lose_link(link);

    cluster.back(&agent, "cpus:4;mem:4096", vec![]);

    let last =
        |task: &str| cluster.updates(stream).into_iter().rfind(|s| s.task.as_str() == task).unwrap().state;
    assert_eq!((last("t1"), last("t2")), (TaskState::Gone, TaskState::Dropped));
}

#[test]
fn when_most_agents_are_silent_together_none_is_removed() {
    let mut cluster = cluster();
    let agents: Vec<_> = (0..5).map(|_| cluster.agent("cpus:1;mem:1024")).collect();
    let talking = [agents[0].0, agents[1].0];

    cluster.advance_with_pongs(&talking, secs(200));

    assert!(cluster.registry.agents.values().all(|record| record.standing == AgentStanding::Admitted));
    assert_eq!(cluster.alerts.len(), 1);
    assert!(cluster.alerts[0].contains("3 of 5"), "{}", cluster.alerts[0]);
}

#[test]
fn fewer_silent_agents_are_removed_no_faster_than_the_rate() {
    let config = crate::Config { removal_rate: 1, removal_rate_period: secs(60), ..Default::default() };
    let mut cluster = cluster_with(config);
    let agents: Vec<_> = (0..8).map(|_| cluster.agent("cpus:1;mem:1024")).collect();
    let talking: Vec<_> = agents[2..].iter().map(|(link, _)| *link).collect();
    let unreachable = |cluster: &Cluster| {
        let standing =
            |record: &&lonja_model::registry::AgentRecord| record.standing != AgentStanding::Admitted;
        cluster.registry.agents.values().filter(standing).count()
    };

    cluster.advance_with_pongs(&talking, secs(76));
    assert_eq!(unreachable(&cluster), 1);
    cluster.advance_with_pongs(&talking, secs(80));
    assert_eq!(unreachable(&cluster), 2);
}

/// A registration waited in the network; its agent gave the link up, came back over another, and was given a task.
#[test]
fn a_registration_that_comes_late_over_a_link_that_was_given_up_changes_nothing() {
    let mut cluster = cluster();
    let (link, agent, stream, _) = cluster.running();
    let info = Box::new(agent_info("cpus:4;mem:4096"));
    let late = lonja_model::link::FromAgent::Reregister {
        capabilities: lonja_model::agent::AgentCapability::all(),
        agent,
        total: info.resources.clone(),
        info,
        version: "0.1.0".into(),
        tasks: vec![],
        frameworks: vec![],
        operations: vec![],
        executors: vec![],
    };

    cluster.say(crate::LinkId(99), late);
    cluster.handle(crate::Event::LinkClosed { link: crate::LinkId(99) });

    assert_eq!(cluster.last_state(stream), Some(TaskState::Running));
    assert!(!cluster.closed_links.contains(&link));
    assert!(cluster.master.state.returning.is_empty());
}

#[test]
fn a_copy_of_a_connected_agents_work_dir_is_refused() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let link = crate::LinkId(99);
    let info = lonja_model::AgentInfo { hostname: "elsewhere".into(), ..agent_info("cpus:4;mem:4096") };
    let message = lonja_model::link::FromAgent::Reregister {
        capabilities: lonja_model::agent::AgentCapability::all(),
        agent: agent.clone(),
        total: info.resources.clone(),
        info: Box::new(info),
        version: "0.1.0".into(),
        tasks: vec![],
        frameworks: vec![],
        operations: vec![],
        executors: vec![],
    };

    cluster.come_back(link, message);

    assert!(cluster.registered(link).is_none());
    let snapshot = cluster.master.snapshot();
    assert!(matches!(snapshot.agents[0].presence, Presence::Connected(link) if link != crate::LinkId(99)));
}

#[test]
fn agents_that_came_close_together_are_asked_together() {
    let mut cluster = cluster();
    let links: Vec<_> = (0..3)
        .map(|_| {
            cluster.advance(Duration::from_millis(20));
            cluster.agent("cpus:4;mem:4096").0
        })
        .collect();
    let asked = |cluster: &Cluster| {
        let pings =
            |link: &&LinkId| cluster.sent(**link).iter().any(|sent| matches!(sent, ToAgent::Ping { .. }));
        links.iter().filter(pings).count()
    };
    let mut seen = BTreeSet::new();
    while asked(&cluster) < 3 {
        let due = cluster.master.next_deadline().unwrap();
        let by = due.since(cluster.now);
        cluster.advance(by);
        seen.insert(asked(&cluster));
    }
    assert_eq!(seen, BTreeSet::from([0, 3]));
}
