//! Any sequence of conversions, launches, answers, failures, losses and restarts keeps every promise; the fixture
//! checks them after each step. The agents here keep what real ones keep: their total and their records.

use std::collections::BTreeMap;

use lonja_model::framework::Capability;
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::maintenance::Drain;
use lonja_model::operation::{AgentOperation, Conversion, Operation, OperationRecord, OperationState};
use lonja_model::resources::Resource;
use lonja_model::scheduler::{Call, Event as FrameworkEvent};
use lonja_model::{AgentId, FrameworkId, OperationUuid, Resources, Role, TaskId, TaskState};
use proptest::prelude::*;

use super::conversion_fixture::*;
use super::fixture::*;
use crate::{Config, LinkId, MaintenanceCommand, OperatorCommand, StreamId};

const CONFIGURED: &str = "cpus:4;mem:4096;disk:40;disk(web):8";

/// What an agent keeps over links and masters.
#[derive(Debug)]
struct PlayedAgent {
    id: AgentId,
    link: Option<LinkId>,
    total: Resources,
    records: BTreeMap<OperationUuid, OperationRecord>,
    tasks: BTreeMap<(FrameworkId, TaskId), AgentTask>,
    /// How many messages of this link it has read.
    read: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// A framework does this with all it is offered.
    Accept(usize, Vec<Wish>),
    Decline(usize),
    Acknowledge(usize),
    /// An operator asks.
    Operator(usize, Wish),
    /// An agent reads one message; whether it succeeds at what that asks.
    Read(usize, bool),
    /// An agent tells of every outcome again.
    Repeat(usize),
    TaskEnds(usize),
    LinkBreaks(usize),
    Returns(usize),
    StreamBreaks(usize),
    FrameworkReturns(usize),
    Teardown(usize),
    Drain(usize),
    Reactivate(usize),
    Pass(u64),
    MasterRestarts,
}

/// What is tried with resources, whether they are there or not.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Reserve(u64),
    Unreserve,
    Create(u8, bool),
    Destroy,
    Launch(bool),
}

fn any_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        3 => (1..6u64).prop_map(Wish::Reserve),
        1 => Just(Wish::Unreserve),
        3 => (0..3u8, any::<bool>()).prop_map(|(id, shared)| Wish::Create(id, shared)),
        2 => Just(Wish::Destroy),
        4 => any::<bool>().prop_map(Wish::Launch),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4usize, proptest::collection::vec(any_wish(), 1..5)).prop_map(|(f, w)| Step::Accept(f, w)),
        1 => (0..4usize).prop_map(Step::Decline),
        3 => (0..4usize).prop_map(Step::Acknowledge),
        4 => (0..3usize, any_wish()).prop_map(|(a, w)| Step::Operator(a, w)),
        14 => (0..3usize, prop::bool::weighted(0.7)).prop_map(|(a, ok)| Step::Read(a, ok)),
        1 => (0..3usize).prop_map(Step::Repeat),
        3 => (0..3usize).prop_map(Step::TaskEnds),
        1 => (0..3usize).prop_map(Step::LinkBreaks),
        3 => (0..3usize).prop_map(Step::Returns),
        1 => (0..4usize).prop_map(Step::StreamBreaks),
        2 => (0..4usize).prop_map(Step::FrameworkReturns),
        1 => (0..4usize).prop_map(Step::Teardown),
        1 => (0..3usize).prop_map(Step::Drain),
        2 => (0..3usize).prop_map(Step::Reactivate),
        3 => (0..90u64).prop_map(Step::Pass),
        1 => Just(Step::MasterRestarts),
    ]
}

fn info() -> lonja_model::FrameworkInfo {
    let mut info = framework_info("web", secs(60));
    info.capabilities.insert(Capability::SharedResources);
    info
}

struct World {
    cluster: Cluster,
    agents: Vec<PlayedAgent>,
    frameworks: Vec<(FrameworkId, Option<StreamId>)>,
    named: usize,
    /// How often something happened, so that no run is empty by mistake.
    done: usize,
}

impl World {
    fn new() -> Self {
        let config = Config { max_operations: 12, offer_timeout: None, ..Config::default() };
        let mut cluster = cluster_with(config);
        let agents = (0..3).map(|_| {
            let (link, id) = cluster.agent(CONFIGURED);
            let total = res(CONFIGURED);
            PlayedAgent {
                id,
                link: Some(link),
                total,
                records: BTreeMap::new(),
                tasks: BTreeMap::new(),
                read: 0,
            }
        });
        let agents = agents.collect();
        let frameworks = (0..3).map(|_| {
            let stream = cluster.subscribe(None, info());
            (cluster.subscribed(stream).unwrap(), Some(stream))
        });
        let frameworks = frameworks.collect();
        Self { cluster, agents, frameworks, named: 0, done: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Accept(framework, wishes) => self.accept(framework, &wishes),
            Step::Decline(framework) => {
                let Some((stream, offer)) = self.offer(framework) else { return };
                self.cluster.decline(stream, &offer, secs(1));
            }
            Step::Acknowledge(framework) => self.acknowledge(framework),
            Step::Operator(agent, wish) => {
                let agent = self.agents[agent].id.clone();
                let total =
                    self.cluster.master.state.allocator.agent_total(&agent).cloned().unwrap_or_default();
                self.named += 1;
                if let Some(conversion) = conversion(&total, wish) {
                    self.cluster.convert(&agent, conversion);
                }
            }
            Step::Read(agent, succeeds) => self.read(agent, succeeds),
            Step::Repeat(agent) => {
                let Some(link) = self.agents[agent].link else { return };
                for record in self.agents[agent].records.values().cloned().collect::<Vec<_>>() {
                    let total = self.agents[agent].total.clone();
                    self.cluster.say(link, FromAgent::OperationUpdate { record: Box::new(record), total });
                }
            }
            Step::TaskEnds(agent) => self.task_ends(agent),
            Step::LinkBreaks(agent) => {
                if let Some(link) = self.agents[agent].link.take() {
                    self.cluster.lose_link(link);
                }
            }
            Step::Returns(agent) => self.returns(agent),
            Step::StreamBreaks(framework) => {
                let Some((_, stream)) = self.frameworks.get_mut(framework) else { return };
                if let Some(stream) = stream.take() {
                    self.cluster.lose_stream(stream);
                }
            }
            Step::FrameworkReturns(framework) => {
                let Some((id, stream)) = self.frameworks.get_mut(framework) else { return };
                let new = self.cluster.subscribe(Some(id), info());
                if self.cluster.subscribed(new).is_some() {
                    *stream = Some(new);
                } else {
                    let new = self.cluster.subscribe(None, info());
                    (*id, *stream) = (self.cluster.subscribed(new).unwrap(), Some(new));
                }
            }
            Step::Teardown(framework) => {
                let Some((_, stream)) = self.frameworks.get_mut(framework) else { return };
                if let Some(stream) = stream.take() {
                    self.cluster.call(stream, Call::Teardown).unwrap();
                    self.cluster.lose_stream(stream);
                }
            }
            Step::Drain(agent) => {
                let (agent, drain) = (self.agents[agent].id.clone(), Drain::default());
                let _ = self
                    .cluster
                    .operator(OperatorCommand::Maintenance(MaintenanceCommand::Drain { agent, drain }));
            }
            Step::Reactivate(agent) => {
                let agent = self.agents[agent].id.clone();
                let _ = self
                    .cluster
                    .operator(OperatorCommand::Maintenance(MaintenanceCommand::Reactivate { agent }));
            }
            Step::Pass(seconds) => self.pass(seconds),
            Step::MasterRestarts => {
                self.cluster.restart();
                self.agents.iter_mut().for_each(|agent| agent.link = None);
                self.frameworks.iter_mut().for_each(|(_, stream)| *stream = None);
            }
        }
    }

    /// Time passes; agents that are connected answer pings, others fall silent.
    fn pass(&mut self, seconds: u64) {
        let links: Vec<LinkId> = self.agents.iter().filter_map(|agent| agent.link).collect();
        for _ in 0..seconds.div_ceil(10) {
            self.cluster.advance(secs(10));
            links.iter().for_each(|link| self.cluster.say(*link, FromAgent::Pong { sequence: 0 }));
        }
        for (id, stream) in &mut self.frameworks {
            if self.cluster.master.state.frameworks.get(id).is_none() {
                *stream = None;
            }
        }
    }

    /// The framework's stream and one offer to it that still stands.
    fn offer(&mut self, framework: usize) -> Option<(StreamId, lonja_model::Offer)> {
        self.cluster.settle();
        let (id, stream) = self.frameworks.get(framework)?;
        let stream = (*stream)?;
        let offer = self.cluster.master.state.offers.iter().find(|offer| offer.framework == *id)?;
        Some((stream, (**offer).clone()))
    }

    fn accept(&mut self, framework: usize, wishes: &[Wish]) {
        let Some((stream, offer)) = self.offer(framework) else { return };
        let mut left = offer.resources.clone();
        let mut operations = Vec::new();
        for wish in wishes {
            self.named += 1;
            if let Wish::Launch(with_volume) = wish {
                let volume = volume_in(&left).filter(|_| *with_volume);
                let needs = both(&res("cpus:1;mem:64"), &volume.unwrap_or_default());
                let tasks =
                    ["a", "b"].map(|half| task_on(&format!("t{}{half}", self.named), &offer.agent, &needs));
                operations.push(launch_of(tasks.to_vec()));
            } else if let Some(conversion) = conversion(&left, *wish) {
                left = conversion.apply(&left).unwrap_or(left);
                let id = self.named.is_multiple_of(2).then(|| operation_id(&format!("o{}", self.named)));
                operations.push(Operation::Convert { id, conversion });
            }
        }
        let offers = vec![offer.id.clone()];
        let filters = lonja_model::offer::Filters { refuse: secs(1) };
        // Some of it may be refused; what counts is that the promises hold.
        let _ = self.cluster.call(stream, Call::Accept { offers, operations, filters });
    }

    fn acknowledge(&mut self, framework: usize) {
        let Some((_, Some(stream))) = self.frameworks.get(framework).cloned() else { return };
        let news = self.cluster.events(stream).iter().rev().find_map(|event| {
            let FrameworkEvent::OperationUpdate(status) = event else { return None };
            Some((status.operation.clone()?, status.update?))
        });
        if let Some((operation, update)) = news {
            let _ = self.cluster.call(stream, Call::AcknowledgeOperation { agent: None, operation, update });
        }
    }

    fn read(&mut self, index: usize, succeeds: bool) {
        let agent = &mut self.agents[index];
        let Some(link) = agent.link else { return };
        let Some(message) = self.cluster.sent(link).get(agent.read).cloned() else { return };
        agent.read += 1;
        match message {
            ToAgent::Apply { operation } => {
                let record = agent.carry_out(&operation, succeeds);
                let total = agent.total.clone();
                self.done += 1;
                self.cluster.say(link, FromAgent::OperationUpdate { record: Box::new(record), total });
            }
            ToAgent::AcknowledgeOperation { operation } => {
                agent.records.remove(&operation);
            }
            ToAgent::RunInExecutor { .. } => unreachable!("none is launched"),
            ToAgent::Run { framework, role, tasks, .. } => {
                for info in tasks {
                    self.run(index, link, &framework, &role, info, succeeds);
                }
            }
            ToAgent::ShutdownFramework { framework } => {
                agent.tasks.retain(|(owner, _), _| *owner != framework);
            }
            ToAgent::Registered { .. }
            | ToAgent::Refused { .. }
            | ToAgent::Kill { .. }
            | ToAgent::Acknowledge { .. }
            | ToAgent::ResendUpdates { .. }
            | ToAgent::Message { .. }
            | ToAgent::ShutdownExecutor { .. }
            | ToAgent::Ping { .. } => {}
        }
    }

    /// A task starts if the agent has what it needs; else it is dropped.
    fn run(
        &mut self,
        index: usize,
        link: LinkId,
        framework: &FrameworkId,
        role: &Role,
        info: lonja_model::TaskInfo,
        succeeds: bool,
    ) {
        let agent = &mut self.agents[index];
        let id = info.id.clone();
        let fits = succeeds && agent.total.contains(&info.resources);
        if fits {
            let state = TaskState::Running;
            let (framework, role) = (framework.clone(), role.clone());
            let task = AgentTask {
                framework: framework.clone(),
                role,
                info,
                state,
                container: None,
                pid: None,
                healthy: None,
                check: None,
            };
            agent.tasks.insert((framework, id.clone()), task);
        }
        let state = if fits { TaskState::Running } else { TaskState::Dropped };
        self.done += 1;
        self.cluster.report(link, framework, id.as_str(), state, 1);
    }

    fn task_ends(&mut self, index: usize) {
        let Some(((framework, task), _)) = self.agents[index].tasks.pop_first() else { return };
        let Some(link) = self.agents[index].link else { return };
        self.cluster.report(link, &framework, task.as_str(), TaskState::Finished, 2);
    }

    fn returns(&mut self, index: usize) {
        let agent = &self.agents[index];
        let (id, total) = (agent.id.clone(), agent.total.clone());
        let (tasks, records) =
            (agent.tasks.values().cloned().collect(), agent.records.values().cloned().collect());
        let old = agent.link;
        let link = self.cluster.back_with(&id, CONFIGURED, &total, tasks, records);
        assert_eq!(self.cluster.registered(link), Some(id));
        if let Some(old) = old {
            self.cluster.lose_link(old);
        }
        (self.agents[index].link, self.agents[index].read) = (Some(link), 0);
    }
}

impl PlayedAgent {
    /// What the agent does on Apply: once, in order, and remembered.
    fn carry_out(&mut self, operation: &AgentOperation, succeeds: bool) -> OperationRecord {
        if let Some(record) = self.records.get(&operation.uuid) {
            return record.clone();
        }
        let in_use = operation.conversion.name() == "DESTROY" && {
            let names = |resources: &Resources| -> Vec<String> {
                crate::volumes::of(resources).map(|one| crate::volumes::name_of(one).to_owned()).collect()
            };
            let gone = names(operation.conversion.before());
            self.tasks.values().any(|task| names(&task.info.resources).iter().any(|name| gone.contains(name)))
        };
        let state = match crate::totals::done(&self.total, &operation.conversion) {
            Some(total) if succeeds && !in_use => {
                self.total = total;
                OperationState::Finished
            }
            Some(_) | None => OperationState::Failed,
        };
        let record = record_of(operation, state);
        self.records.insert(operation.uuid, record.clone());
        record
    }
}

fn volume_in(resources: &Resources) -> Option<Resources> {
    let volume = crate::volumes::of(resources).next()?;
    let (value, metadata) = (volume.value().clone(), volume.metadata().clone());
    Some(Resources::of([Resource::with_metadata(volume.name(), value, metadata).unwrap()]).unwrap())
}

/// The wish as a conversion of these resources, if they have anything that it is about.
fn conversion(resources: &Resources, wish: Wish) -> Option<Conversion> {
    let dynamic = |one: &&Resource| {
        !crate::volumes::is_volume(one)
            && one
                .metadata()
                .reservations
                .last()
                .is_some_and(|top| top.kind == lonja_model::resources::ReservationKind::Dynamic)
    };
    match wish {
        Wish::Reserve(amount) => Some(reserve(&reserved(&format!("disk:{amount}"), &["web"]))),
        Wish::Unreserve => {
            let one = resources.iter().find(dynamic)?.clone();
            Conversion::unreserve(Resources::of([one]).unwrap()).ok()
        }
        Wish::Create(id, shared) => Some(create(&volume("disk:2", "web", &format!("v{id}"), shared))),
        Wish::Destroy => Some(destroy(&volume_in(resources)?)),
        Wish::Launch(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is asked, done, refused, lost or said twice: books, totals, holds and volumes agree, and once all is
    /// quiet everybody has the same total and nothing is held back for ever.
    #[test]
    fn conversions_keep_every_promise(steps in proptest::collection::vec(any_step(), 0..150)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        for agent in 0..world.agents.len() {
            if world.agents[agent].link.is_none() {
                world.returns(agent);
            }
            while world.agents[agent].link.is_some_and(|link| world.cluster.sent(link).len() > world.agents[agent].read) {
                world.read(agent, true);
            }
            let played = &world.agents[agent];
            prop_assert_eq!(&world.cluster.total(&played.id), &played.total, "after all was answered");
        }
        let pending = world.cluster.master.state.operations.iter().filter(|known| known.is_pending()).count();
        prop_assert_eq!(pending, 0);
    }
}

/// INV-M2: a run of the property above does what it is about.
#[test]
fn the_property_is_not_empty() {
    let mut world = World::new();
    for round in 0..20 {
        let wishes = vec![Wish::Reserve(4), Wish::Create(round % 3, false), Wish::Launch(true)];
        world.step(Step::Accept(usize::from(round % 3), wishes));
        (0..6).for_each(|_| (0..3).for_each(|agent| world.step(Step::Read(agent, true))));
        world.step(Step::Acknowledge(usize::from(round % 3)));
    }
    assert!(world.done > 10, "{}", world.done);
    assert!(world.agents.iter().any(|agent| crate::volumes::of(&agent.total).next().is_some()));
    assert!(world.agents.iter().any(|agent| !agent.tasks.is_empty()));
}
