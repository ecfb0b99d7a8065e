//! Any sequence of steps by agents, frameworks, operators and time keeps every promise; the fixture checks
//! them after each step.

use lonja_model::link::FromAgent;
use lonja_model::offer::Filters;
use lonja_model::quota::Quota;
use lonja_model::resources::Scalar;
use lonja_model::scheduler::Call;
use lonja_model::{FrameworkId, Role, TaskId, TaskState};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

use super::fixture::*;
use super::maintenance_steps::{HOSTS, MaintenanceStep, any_maintenance_step};
use crate::{LinkId, OperatorCommand, StreamId};

#[derive(Clone, Debug)]
enum Step {
    AgentJoins,
    LinkBreaks(usize),
    AgentReturns(usize, bool),
    FrameworkJoins,
    StreamBreaks(usize),
    FrameworkReturns(usize),
    Launch(usize),
    Decline(usize),
    Report(usize, u8),
    Kill(usize),
    Teardown(usize),
    Revive(usize),
    Pass(u64),
    Pongs,
    Quota(usize, u64, bool),
    MasterRestarts,
    Maintenance(MaintenanceStep),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::AgentJoins),
        1 => (0..8usize).prop_map(Step::LinkBreaks),
        2 => (0..8usize, any::<bool>()).prop_map(|(agent, all)| Step::AgentReturns(agent, all)),
        2 => Just(Step::FrameworkJoins),
        1 => (0..8usize).prop_map(Step::StreamBreaks),
        2 => (0..8usize).prop_map(Step::FrameworkReturns),
        8 => (0..8usize).prop_map(Step::Launch),
        2 => (0..8usize).prop_map(Step::Decline),
        8 => (0..16usize, 0..5u8).prop_map(|(task, state)| Step::Report(task, state)),
        2 => (0..16usize).prop_map(Step::Kill),
        1 => (0..8usize).prop_map(Step::Teardown),
        1 => (0..8usize).prop_map(Step::Revive),
        4 => (0..100u64).prop_map(Step::Pass),
        2 => Just(Step::Pongs),
        2 => (0..3usize, 0..9u64, any::<bool>()).prop_map(|(role, cpus, force)| Step::Quota(role, cpus, force)),
        1 => Just(Step::MasterRestarts),
        8 => any_maintenance_step().prop_map(Step::Maintenance),
    ]
}

/// More of what agents do while they are maintained.
fn any_step_of_upkeep() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any_step(),
        3 => any_maintenance_step().prop_map(Step::Maintenance),
        1 => (0..8usize).prop_map(Step::LinkBreaks),
        2 => (0..8usize).prop_map(|agent| Step::AgentReturns(agent, true)),
    ]
}

/// What the test plays: agents with the tasks they hold, and frameworks.
#[derive(Default)]
struct World {
    agents: Vec<(lonja_model::AgentId, Option<LinkId>)>,
    frameworks: Vec<(FrameworkId, Option<StreamId>)>,
    tasks: BTreeMap<(FrameworkId, TaskId), (usize, TaskState)>,
    launched: usize,
    reported: u8,
}

fn nth<T>(items: &[T], index: usize) -> Option<usize> {
    (!items.is_empty()).then(|| index % items.len())
}

impl World {
    fn step(&mut self, cluster: &mut Cluster, step: Step) {
        match step {
            Step::AgentJoins if self.agents.len() < 6 => {
                let host = HOSTS[self.agents.len() % HOSTS.len()];
                let link = cluster.ask_in(host, "cpus:4;mem:4096;ports:[1-10]");
                // Its machine may be down.
                let Some(id) = cluster.registered(link) else { return };
                cluster.hostnames.insert(id.clone(), host.to_owned());
                cluster.say(link, FromAgent::Pong { sequence: 0 });
                self.agents.push((id, Some(link)));
            }
            Step::LinkBreaks(index) => {
                let Some(index) = nth(&self.agents, index) else { return };
                if let Some(link) = self.agents[index].1.take() {
                    cluster.lose_link(link);
                }
            }
            Step::AgentReturns(index, all) => {
                let Some(index) = nth(&self.agents, index) else { return };
                if !all {
                    self.tasks.retain(|_, (agent, _)| *agent != index);
                }
                let agent = self.agents[index].0.clone();
                let held = self.tasks.iter().filter(|(_, (on, _))| *on == index);
                let tasks = held
                    .map(|((framework, task), (_, state))| {
                        agent_task(framework, task.as_str(), &agent, "cpus:1;mem:64", *state)
                    })
                    .collect();
                self.agents[index].1 = Some(cluster.back(&agent, "cpus:4;mem:4096;ports:[1-10]", tasks));
            }
            Step::FrameworkJoins if self.frameworks.len() < 6 => {
                let (stream, id) = cluster.framework(["a", "b"][self.frameworks.len() % 2]);
                self.frameworks.push((id, Some(stream)));
            }
            Step::StreamBreaks(index) => {
                let Some(index) = nth(&self.frameworks, index) else { return };
                if let Some(stream) = self.frameworks[index].1.take() {
                    cluster.lose_stream(stream);
                }
            }
            Step::FrameworkReturns(index) => {
                let Some(index) = nth(&self.frameworks, index) else { return };
                let id = self.frameworks[index].0.clone();
                let stream = cluster.subscribe(Some(&id), framework_info("a", secs(60)));
                self.frameworks[index].1 = cluster.subscribed(stream).map(|_| stream);
            }
            Step::Launch(index) => self.launch(cluster, index),
            Step::Decline(index) => {
                let Some(stream) = self.stream(index) else { return };
                for offer in cluster.offers(stream) {
                    let filters = Filters { refuse: secs(u64::try_from(index).unwrap()) };
                    // The framework may have been removed meanwhile.
                    let _ = cluster.call(stream, Call::Decline { offers: vec![offer.id], filters });
                }
            }
            Step::Report(index, state) => self.report(cluster, index, state),
            Step::Kill(index) => {
                let Some((framework, task)) = self.tasks.keys().nth(index).cloned() else { return };
                let stream =
                    self.frameworks.iter().find(|(id, _)| *id == framework).and_then(|(_, stream)| *stream);
                if let Some(stream) = stream {
                    let _ = cluster.call(stream, Call::Kill { task, agent: None, grace: None });
                }
            }
            Step::Teardown(index) => {
                if let Some(stream) = self.stream(index) {
                    let _ = cluster.call(stream, Call::Teardown);
                }
            }
            Step::Revive(index) => {
                if let Some(stream) = self.stream(index) {
                    let _ = cluster.call(stream, Call::Revive { roles: BTreeSet::new() });
                }
            }
            Step::Pass(seconds) => {
                cluster.advance(secs(seconds));
            }
            Step::Pongs => {
                for (_, link) in &self.agents {
                    if let Some(link) = link {
                        cluster.say(*link, FromAgent::Pong { sequence: 0 });
                    }
                }
            }
            Step::Quota(role, cpus, force) => {
                let role = Role::new(["a", "b", "b/c"][role]).unwrap();
                let amount = |cpus| [("cpus", Scalar::from_units(cpus).unwrap())].into_iter().collect();
                let quota = Quota { guarantees: amount(cpus / 2), limits: amount(cpus) };
                let quotas = vec![(role, (cpus < 8).then_some(quota))];
                // What is refused changes nothing; the fixture looks.
                let _ = cluster.operator(OperatorCommand::UpdateQuotas { quotas, force });
            }
            Step::MasterRestarts => {
                cluster.restart();
                self.agents.iter_mut().for_each(|(_, link)| *link = None);
                self.frameworks.iter_mut().for_each(|(_, stream)| *stream = None);
            }
            Step::Maintenance(step) => {
                let agents: Vec<_> = self.agents.iter().map(|(id, _)| id.clone()).collect();
                let streams: Vec<_> = self.frameworks.iter().map(|(_, stream)| *stream).collect();
                step.take(cluster, &agents, &streams);
            }
            Step::AgentJoins | Step::FrameworkJoins => {}
        }
    }

    fn stream(&self, index: usize) -> Option<StreamId> {
        self.frameworks[nth(&self.frameworks, index)?].1
    }

    fn launch(&mut self, cluster: &mut Cluster, index: usize) {
        cluster.settle();
        let Some(stream) = self.stream(index) else { return };
        let framework = self.frameworks[nth(&self.frameworks, index).unwrap()].0.clone();
        for offer in cluster.offers(stream) {
            self.launched += 1;
            let id = format!("t{}", self.launched);
            let task = task_info(&id, &offer.agent, "cpus:1;mem:64");
            let accepted = cluster.launch(stream, &offer, vec![task]);
            let agent = self.agents.iter().position(|(agent, _)| *agent == offer.agent);
            let known = cluster.master.snapshot().tasks.iter().any(|task| task.id().as_str() == id);
            if let (Ok(()), Some(agent), true) = (accepted, agent, known) {
                self.tasks.insert((framework.clone(), TaskId::new(id).unwrap()), (agent, TaskState::Staging));
            }
        }
    }

    fn report(&mut self, cluster: &mut Cluster, index: usize, state: u8) {
        let Some(key) = self.tasks.keys().nth(index).cloned() else { return };
        let (agent, now) = self.tasks[&key];
        let next = [
            TaskState::Starting,
            TaskState::Running,
            TaskState::Finished,
            TaskState::Failed,
            TaskState::Killed,
        ][usize::from(state)];
        let (true, Some(link)) = (now.may_become(next), self.agents[agent].1) else { return };
        self.reported = self.reported.wrapping_add(1);
        cluster.report(link, &key.0, key.1.as_str(), next, self.reported);
        self.tasks.insert(key.clone(), (agent, next));
        let stream = self.frameworks.iter().find(|(id, _)| *id == key.0).and_then(|(_, stream)| *stream);
        let (true, Some(stream)) = (state.is_multiple_of(2), stream) else { return };
        let acknowledged =
            cluster.acknowledge(stream, &self.agents[agent].0.clone(), key.1.as_str(), self.reported);
        if acknowledged.is_ok() && next.is_terminal() {
            self.tasks.remove(&key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever happens, nothing is promised twice, nobody is forgotten, and memory agrees with the registry.
    #[test]
    fn every_promise_holds_after_every_step(steps in proptest::collection::vec(any_step(), 0..120)) {
        let mut cluster = cluster();
        let mut world = World::default();
        for step in steps {
            world.step(&mut cluster, step);
        }
    }

    /// The same where all are at work when operators begin to take agents out of use.
    #[test]
    fn every_promise_holds_while_a_busy_cluster_is_maintained(
        steps in proptest::collection::vec(any_step_of_upkeep(), 0..60),
    ) {
        let mut cluster = cluster();
        let mut world = World::default();
        let three = |step: Step| [step.clone(), step.clone(), step];
        let start = [three(Step::AgentJoins), three(Step::FrameworkJoins)].concat();
        let launches = (0..3).flat_map(|framework| three(Step::Launch(framework)));
        for step in start.into_iter().chain(launches).chain(steps) {
            world.step(&mut cluster, step);
        }
    }
}
