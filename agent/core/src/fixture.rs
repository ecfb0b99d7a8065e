//! A stage for one agent: a checkpoint, a link, containers, and few words to move them.
//!
//! After each event the changes are applied to the checkpoint and every invariant is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::agent::AgentInfo;
use lonja_model::attributes::Attributes;
use lonja_model::checkpoint::Checkpoint;
use lonja_model::container::{Command, ContainerInfo, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::{Capability, FrameworkInfo};
use lonja_model::labels::Labels;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::operation::{AgentOperation, Conversion, OperationStatus};
use lonja_model::resources::{
    Disk, Metadata, Persistence, Reservation, ReservationKind, Resource, Resources,
};
use lonja_model::role::Role;
use lonja_model::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OperationId, OperationUuid, TaskId, TaskInfo, TaskState,
    TaskStatus, Timestamp,
};

use crate::{
    Agent, Config, ContainerExit, Effects, Entropy, Event, LaunchFailure, Recovery, WaitStatus, invariants,
};

pub(crate) const PING: Duration = Duration::from_secs(15);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn framework_id(id: &str) -> FrameworkId {
    FrameworkId::new(id).unwrap()
}

pub(crate) fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(crate) fn resources(text: &str) -> Resources {
    Resources::parse(text).unwrap()
}

/// A dynamic reservation of plain resources.
pub(crate) fn reserve(text: &str, role: &str) -> Conversion {
    Conversion::reserve(reserved(text, role), None).unwrap()
}

/// Plain resources, reserved dynamically.
pub(crate) fn reserved(text: &str, role: &str) -> Resources {
    let layer = Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new(role).unwrap(),
        principal: None,
        labels: Labels::default(),
    };
    with_metadata(&resources(text), |metadata| metadata.reservations.push(layer.clone()))
}

/// A volume on disk that is reserved dynamically.
pub(crate) fn volume(text: &str, role: &str, id: &str, shared: bool) -> Resources {
    with_metadata(&reserved(text, role), |metadata| {
        let persistence = Some(Persistence { id: id.to_owned(), principal: None });
        let container_path = Some("data".to_owned());
        metadata.disk = Some(Disk { persistence, container_path, ..Disk::default() });
        metadata.shared = shared;
    })
}

pub(crate) fn create(text: &str, role: &str, id: &str, shared: bool) -> Conversion {
    Conversion::create(volume(text, role, id, shared)).unwrap()
}

pub(crate) fn with_metadata(resources: &Resources, change: impl Fn(&mut Metadata)) -> Resources {
    let all = resources.iter().map(|resource| {
        let mut metadata = resource.metadata().clone();
        change(&mut metadata);
        Resource::with_metadata(resource.name(), resource.value().clone(), metadata).unwrap()
    });
    Resources::of(all).unwrap()
}

pub(crate) fn agent_info(total: &str) -> AgentInfo {
    AgentInfo {
        hostname: "host".to_owned(),
        port: 5051,
        resources: resources(total),
        attributes: Attributes::default(),
        domain: None,
        id: None,
    }
}

pub(crate) fn framework_info(capabilities: &[Capability]) -> FrameworkInfo {
    FrameworkInfo {
        user: "web".to_owned(),
        name: "test".to_owned(),
        failover_timeout: Duration::ZERO,
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: capabilities.iter().copied().collect(),
        labels: Labels::default(),
        roles: BTreeSet::from([Role::default_role()]),
        minimum_offers: BTreeMap::new(),
    }
}

pub(crate) fn task_info(id: &str, needs: &str) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        id: task_id(id),
        agent: AgentId::new("a1").unwrap(),
        resources: resources(needs),
        limits: BTreeMap::new(),
        command: Command::new(Program::Shell("true".to_owned())),
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    }
}

pub(crate) fn builtin(id: &str, needs: &str) -> ExecutorInfo {
    let id = ExecutorId::new(id).unwrap();
    ExecutorInfo { resources: resources(needs), ..ExecutorInfo::builtin(id) }
}

/// The executors of which the master is told that they have ended.
pub(crate) fn executors_ended(effects: &Effects) -> Vec<String> {
    let sent = effects.send.iter();
    sent.filter_map(|message| match message {
        FromAgent::ExecutorEnded { executor, .. } => Some(executor.to_string()),
        FromAgent::Register { .. }
        | FromAgent::Reregister { .. }
        | FromAgent::Pong { .. }
        | FromAgent::Update { .. }
        | FromAgent::OperationUpdate { .. }
        | FromAgent::Message { .. } => None,
    })
    .collect()
}

/// The executors in the one registration that is sent.
pub(crate) fn executors_reported(effects: &Effects) -> Vec<String> {
    let [FromAgent::Reregister { executors, .. }] = &effects.send[..] else { panic!("{effects:?}") };
    executors.iter().map(|executor| executor.info.id.to_string()).collect()
}

pub(crate) fn exit(status: i32) -> ContainerExit {
    ContainerExit::new(WaitStatus::Exited(status))
}

pub(crate) fn signaled(signal: i32) -> ContainerExit {
    ContainerExit::new(WaitStatus::Signaled(signal))
}

/// An exit after a signal of ours.
pub(crate) fn by_request(exit: ContainerExit) -> ContainerExit {
    ContainerExit { killed_by_request: true, ..exit }
}

/// One agent and all around it.
pub(crate) struct Stage {
    pub(crate) config: Config,
    pub(crate) agent: Agent,
    pub(crate) now: Timestamp,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) capabilities: Vec<Capability>,
    starts: u64,
}

/// An agent that has just been told that it remembers nothing.
pub(crate) fn newborn(total: &str) -> Stage {
    let mut config = Config::new(agent_info(total), "0.1.0", "test");
    config.default_user = Some("nobody".to_owned());
    let agent = Agent::new(config.clone(), Entropy(1, 1));
    let now = Timestamp::from_nanos(1_000_000_000);
    let checkpoint = Checkpoint::default();
    let mut stage = Stage { config, agent, now, checkpoint, capabilities: Vec::new(), starts: 1 };
    let _ = stage.handle(Event::Recovered { checkpoint: Checkpoint::default(), containers: Vec::new() });
    stage
}

/// An agent that is registered as `a1`.
pub(crate) fn agent(total: &str) -> Stage {
    let mut stage = newborn(total);
    let _ = stage.link_up();
    let _ = stage.registered();
    stage
}

impl Stage {
    pub(crate) fn knowing(mut self, capability: Capability) -> Self {
        self.capabilities.push(capability);
        self
    }

    pub(crate) fn handle(&mut self, event: Event) -> Effects {
        let effects = self.agent.handle(self.now, event);
        for change in effects.persist.clone() {
            self.checkpoint.apply(change);
        }
        invariants::check(&self.agent).unwrap();
        invariants::checkpoint_is_complete(&self.agent, &self.checkpoint).unwrap();
        effects
    }

    pub(crate) fn receive(&mut self, message: ToAgent) -> Effects {
        self.handle(Event::Received(message))
    }

    pub(crate) fn link_up(&mut self) -> Effects {
        self.handle(Event::LinkUp)
    }

    pub(crate) fn link_down(&mut self) -> Effects {
        self.handle(Event::LinkDown)
    }

    pub(crate) fn registered(&mut self) -> Effects {
        self.registered_as("a1")
    }

    pub(crate) fn registered_as(&mut self, agent: &str) -> Effects {
        let agent = AgentId::new(agent).unwrap();
        self.receive(ToAgent::Registered { agent, ping_interval: PING, max_missed_pings: 5 })
    }

    /// Passes `time` in one step and ticks at its end.
    pub(crate) fn after(&mut self, time: Duration) -> Effects {
        self.now = self.now + time;
        self.handle(Event::Tick)
    }

    pub(crate) fn run(&mut self, framework: &str, task: &str, needs: &str) -> Effects {
        self.run_task(framework, task_info(task, needs))
    }

    pub(crate) fn run_task(&mut self, framework: &str, task: TaskInfo) -> Effects {
        let info = Box::new(framework_info(&self.capabilities));
        let (framework, role) = (framework_id(framework), Role::default_role());
        self.receive(ToAgent::Run { framework, info, role, tasks: vec![task] })
    }

    pub(crate) fn run_for(&mut self, role: &str, task: &str, needs: Resources) -> Effects {
        let info = Box::new(framework_info(&self.capabilities));
        let (framework, role) = (framework_id("f1"), Role::new(role).unwrap());
        let task = TaskInfo { resources: needs, ..task_info(task, "") };
        self.receive(ToAgent::Run { framework, info, role, tasks: vec![task] })
    }

    /// A group in a built-in executor that needs `own`, to be started with it.
    pub(crate) fn run_group(
        &mut self,
        framework: &str,
        executor: &str,
        own: &str,
        tasks: &[(&str, &str)],
    ) -> Effects {
        self.run_in(framework, builtin(executor, own), tasks, (true, true))
    }

    /// A further group in a built-in executor that needs one cpu and should be there.
    pub(crate) fn more_in_group(
        &mut self,
        framework: &str,
        executor: &str,
        tasks: &[(&str, &str)],
    ) -> Effects {
        self.run_in(framework, builtin(executor, "cpus:1"), tasks, (false, true))
    }

    /// Tasks in an executor; `manner`: it starts with them, and they are a group.
    pub(crate) fn run_in(
        &mut self,
        framework: &str,
        executor: ExecutorInfo,
        tasks: &[(&str, &str)],
        manner: (bool, bool),
    ) -> Effects {
        let task = |(id, needs): &(&str, &str)| TaskInfo {
            executor: Some(Box::new(executor.clone())),
            ..task_info(id, needs)
        };
        let message = ToAgent::RunInExecutor {
            framework: framework_id(framework),
            info: Box::new(framework_info(&self.capabilities)),
            role: Role::default_role(),
            tasks: tasks.iter().map(task).collect(),
            starts_executor: manner.0,
            as_group: manner.1,
        };
        self.receive(message)
    }

    /// A group of tasks of a tenth of a cpu each, in an executor of one, all of them running.
    pub(crate) fn running_group(&mut self, framework: &str, executor: &str, tasks: &[&str]) -> Effects {
        let needs: Vec<_> = tasks.iter().map(|task| (*task, "cpus:0.1")).collect();
        let mut effects = self.run_group(framework, executor, "cpus:1", &needs);
        for task in tasks {
            effects.append(self.started(task));
        }
        effects
    }

    /// The newest update of a task that waits for an acknowledgement.
    pub(crate) fn last_update(&self, framework: &str, task: &str) -> TaskStatus {
        let key = (framework_id(framework), task_id(task));
        self.checkpoint.tasks[&key].updates.last().unwrap().clone()
    }

    /// The master asks for `conversion`, as operation number `number`.
    pub(crate) fn apply(&mut self, number: u8, conversion: Conversion) -> Effects {
        self.receive(ToAgent::Apply { operation: Box::new(operation(number, conversion)) })
    }

    /// The folders of order `number` are made.
    pub(crate) fn made(&mut self, number: u64) -> Effects {
        self.handle(Event::VolumesMade { number, result: Ok(()) })
    }

    /// Reserves disk for `eng` and makes volume `v1` of all of it.
    pub(crate) fn with_volume(mut self, size: &str, shared: bool) -> Self {
        let _ = self.apply(100, reserve(size, "eng"));
        let _ = self.apply(101, create(size, "eng", "v1", shared));
        let _ = self.made(1);
        for number in [100, 101] {
            let operation = OperationUuid([number; 16]);
            let _ = self.receive(ToAgent::AcknowledgeOperation { operation });
        }
        self
    }

    /// Runs a task and starts its container.
    pub(crate) fn running(&mut self, framework: &str, task: &str, needs: &str) -> Effects {
        let mut effects = self.run(framework, task, needs);
        effects.append(self.started(task));
        effects
    }

    /// The container of the only task of that name.
    pub(crate) fn container(&self, task: &str) -> ContainerId {
        let id = task_id(task);
        let found: Vec<_> = self.agent.tasks_named(&id).collect();
        assert_eq!(found.len(), 1, "tasks called {task}");
        found[0].container().clone()
    }

    pub(crate) fn started(&mut self, task: &str) -> Effects {
        let container = self.container(task);
        self.handle(Event::ContainerStarted { container, pid: 77 })
    }

    pub(crate) fn exited(&mut self, task: &str, exit: ContainerExit) -> Effects {
        let container = self.container(task);
        self.handle(Event::ContainerExited { container, exit })
    }

    pub(crate) fn failed(&mut self, task: &str, reason: LaunchFailure, message: &str) -> Effects {
        let container = self.container(task);
        self.handle(Event::ContainerFailed { container, reason, message: message.to_owned() })
    }

    pub(crate) fn kill(&mut self, framework: &str, task: &str, grace: Option<Duration>) -> Effects {
        self.receive(ToAgent::Kill { framework: framework_id(framework), task: task_id(task), grace })
    }

    pub(crate) fn shutdown_framework(&mut self, framework: &str) -> Effects {
        self.receive(ToAgent::ShutdownFramework { framework: framework_id(framework) })
    }

    /// Acknowledges `status`.
    pub(crate) fn acknowledge(&mut self, framework: &str, status: &TaskStatus) -> Effects {
        let (framework, task) = (framework_id(framework), status.task.clone());
        let update = status.update.expect("an update to acknowledge has an id");
        self.receive(ToAgent::Acknowledge { framework, task, update })
    }

    /// Acknowledges whatever comes of the task, from `effects` on, until nothing more does.
    pub(crate) fn acknowledge_all(&mut self, framework: &str, effects: Effects) -> Vec<TaskState> {
        let mut told = Vec::new();
        let mut next = updates(&effects);
        while let Some(status) = next.pop() {
            told.push(status.state);
            next.extend(updates(&self.acknowledge(framework, &status)));
        }
        told
    }

    /// The agent dies, and a new one starts that finds `containers` by the names of their tasks.
    pub(crate) fn restart(&mut self, containers: &[(&str, Recovery)]) -> Effects {
        let containers = containers.iter().map(|(task, fate)| (self.container(task), fate.clone())).collect();
        self.restart_with(containers)
    }

    pub(crate) fn restart_with(&mut self, containers: Vec<(ContainerId, Recovery)>) -> Effects {
        self.starts += 1;
        self.agent = Agent::new(self.config.clone(), Entropy(self.starts, 1));
        self.handle(Event::Recovered { checkpoint: self.checkpoint.clone(), containers })
    }

    /// Links up and is registered; what the agent says meanwhile.
    pub(crate) fn back_online(&mut self) -> Effects {
        let mut effects = self.link_up();
        effects.append(self.registered());
        effects
    }

    pub(crate) fn state(&self, framework: &str, task: &str) -> Option<TaskState> {
        self.agent.task(&framework_id(framework), &task_id(task)).map(|task| task.state())
    }

    /// How long until the next deadline.
    pub(crate) fn next_in(&self) -> Option<Duration> {
        self.agent.next_deadline().map(|at| at.since(self.now))
    }
}

pub(crate) fn operation(number: u8, conversion: Conversion) -> AgentOperation {
    let id = Some(OperationId::new(format!("o{number}")).unwrap());
    AgentOperation { uuid: OperationUuid([number; 16]), framework: Some(framework_id("f1")), id, conversion }
}

/// The outcomes among what is sent, by the number of their operation.
pub(crate) fn outcomes(effects: &Effects) -> Vec<(u8, OperationStatus)> {
    let sent = effects.send.iter();
    sent.filter_map(|message| match message {
        FromAgent::OperationUpdate { record, .. } => {
            Some((record.operation.uuid.0[0], record.status.clone()))
        }
        FromAgent::Register { .. }
        | FromAgent::Reregister { .. }
        | FromAgent::Pong { .. }
        | FromAgent::Update { .. }
        | FromAgent::ExecutorEnded { .. }
        | FromAgent::Message { .. } => None,
    })
    .collect()
}

/// The one outcome that is sent.
pub(crate) fn only_outcome(effects: &Effects) -> OperationStatus {
    let mut all = outcomes(effects);
    assert_eq!(all.len(), 1, "outcomes: {all:?}");
    all.remove(0).1
}

/// The updates among what is sent.
pub(crate) fn updates(effects: &Effects) -> Vec<TaskStatus> {
    let sent = effects.send.iter();
    sent.filter_map(|message| match message {
        FromAgent::Update { status, .. } => Some((**status).clone()),
        FromAgent::Register { .. }
        | FromAgent::Reregister { .. }
        | FromAgent::Pong { .. }
        | FromAgent::OperationUpdate { .. }
        | FromAgent::ExecutorEnded { .. }
        | FromAgent::Message { .. } => None,
    })
    .collect()
}

/// The states told.
pub(crate) fn states(effects: &Effects) -> Vec<TaskState> {
    updates(effects).iter().map(|status| status.state).collect()
}

/// The one update that is sent.
pub(crate) fn only_update(effects: &Effects) -> TaskStatus {
    let mut all = updates(effects);
    assert_eq!(all.len(), 1, "updates: {all:?}");
    all.remove(0)
}
