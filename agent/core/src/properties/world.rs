//! The world around the agent: a master that repeats itself, frameworks, containers, folders, and a machine that may
//! die at any moment.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::checkpoint::{Checkpoint, CheckpointOp};
use lonja_model::framework::Capability;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::role::Role;
use lonja_model::{AgentId, ContainerId, Resources, TaskInfo, TaskState, TaskStatus, Timestamp, UpdateId};

use super::custom::Customs;
use super::folders::{Asked, Folders, needs};
use super::groups::Charged;
use super::looks::{self, Looks};
use super::{Mishap, Step};
use crate::book::Key;
use crate::fixture::*;
use crate::ledger::once;
use crate::{
    Agent, Config, ContainerExit, Effects, Entropy, Event, LaunchFailure, Recovery, Runs, invariants,
};

const TOTAL: &str = "cpus:4;mem:1000;disk:100;ports:[31000-31003]";

/// A container as the host has it, from its launch until it is forgotten.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) needs: Resources,
    life: Life,
    kill_asked: bool,
}

impl Container {
    /// Does its program run, known to the agent or not?
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.life, Life::Ended(_))
    }
}

#[derive(Clone, Debug)]
enum Life {
    Launching,
    Running,
    Ended(ContainerExit),
}

/// What a framework knows of one task.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Every update the agent ever made durable, in order.
    made: Vec<TaskStatus>,
    /// How many of them have arrived.
    arrived: usize,
    /// How many are acknowledged.
    acknowledged: usize,
}

impl Told {
    /// News of a running task that was never sent may be overtaken by newer such news.
    fn forget_the_overtaken(&mut self, waiting: &[TaskStatus]) {
        let arrived = self.arrived;
        let mut index = 0;
        self.made.retain(|made| {
            let waits = waiting.iter().any(|update| update.update == made.update);
            index += 1;
            index <= arrived || waits || made.state != TaskState::Running
        });
    }
}

pub(super) struct World {
    config: Config,
    pub(super) agent: Agent,
    pub(super) now: Timestamp,
    checkpoint: Checkpoint,
    linked: bool,
    starts: u64,
    pub(super) containers: BTreeMap<ContainerId, Container>,
    launches: BTreeMap<Key, u32>,
    told: BTreeMap<Key, Told>,
    inbox: Vec<(Key, UpdateId)>,
    shut_down: BTreeSet<u8>,
    folders: Folders,
    asked: Asked,
    pub(super) charged: Charged,
    looks: Looks,
    pub(super) customs: Customs,
}

pub(super) fn framework_name(framework: u8) -> String {
    format!("f{framework}")
}

pub(super) fn key(framework: u8, task: u8) -> Key {
    (framework_id(&framework_name(framework)), task_id(&format!("t{task}")))
}

pub(super) fn pick<T: Clone>(all: &[T], which: u8) -> Option<T> {
    all.get(usize::from(which).checked_rem(all.len())?).cloned()
}

fn any_exit(how: u8, kill_asked: bool) -> ContainerExit {
    let exit = match how % 4 {
        0 => exit(0),
        1 => exit(7),
        2 => signaled(9),
        _ => ContainerExit {
            memory_breach: Some(crate::MemoryBreach {
                limit_bytes: 1 << 25,
                peak_bytes: 1 << 25,
                host_was_short: false,
            }),
            ..signaled(9)
        },
    };
    if kill_asked && how >= 64 { by_request(exit) } else { exit }
}

impl World {
    pub(super) fn new() -> Self {
        let config = Config::new(agent_info(TOTAL), "0.1.0", "test");
        let mut world = Self {
            agent: Agent::new(config.clone(), Entropy(0, 0)),
            config,
            now: Timestamp::from_nanos(1_000_000_000),
            checkpoint: Checkpoint::default(),
            linked: false,
            starts: 0,
            containers: BTreeMap::new(),
            launches: BTreeMap::new(),
            told: BTreeMap::new(),
            inbox: Vec::new(),
            shut_down: BTreeSet::new(),
            folders: Folders::default(),
            asked: Asked::default(),
            charged: Charged::default(),
            looks: Looks::default(),
            customs: Customs::default(),
        };
        world.restart(0);
        world
    }

    /// The agent takes in `event`, unless it dies on it; whether it lived.
    pub(super) fn happen(&mut self, event: Event, mishap: Mishap) -> bool {
        let effects = self.agent.handle(self.now, event);
        match mishap {
            Mishap::None => {
                self.persist(&effects);
                self.carry_out(effects);
                self.check();
                true
            }
            Mishap::BeforeDurable => {
                self.restart(self.now.as_nanos().to_le_bytes()[0]);
                false
            }
            Mishap::AfterDurable => {
                self.persist(&effects);
                self.restart(self.now.as_nanos().to_le_bytes()[1]);
                false
            }
        }
    }

    fn persist(&mut self, effects: &Effects) {
        for change in &effects.persist {
            self.checkpoint.apply(change.clone());
            if let CheckpointOp::Task(framework, task, Some(record)) = change {
                let told = self.told.entry((framework.clone(), task.clone())).or_default();
                for update in &record.updates {
                    if told.made.iter().all(|made| made.update != update.update) {
                        told.made.push(update.clone());
                    }
                }
                told.forget_the_overtaken(&record.updates);
                self.looks.recorded(record, self.now);
            }
            match change {
                CheckpointOp::Total(total) => self.folders.durable(total),
                CheckpointOp::Operation(uuid, Some(record)) => self.asked.recorded(*uuid, &record.status),
                CheckpointOp::Operation(_, None)
                | CheckpointOp::Identity(_)
                | CheckpointOp::Framework(..)
                | CheckpointOp::Task(..)
                | CheckpointOp::Executor(..) => {}
            }
        }
    }

    fn carry_out(&mut self, effects: Effects) {
        self.folders.order(effects.volumes);
        for launch in effects.launch {
            let container =
                Container { needs: launch.task.resources, life: Life::Launching, kill_asked: false };
            let of_executor = matches!(launch.runs, Runs::Executor(_));
            if of_executor {
                self.customs.launched(launch.container.clone(), launch.framework.clone());
            }
            assert!(self.containers.insert(launch.container, container).is_none(), "a name is used twice");
            if of_executor {
                continue;
            }
            let count = self.launches.entry((launch.framework, launch.task.id)).or_default();
            *count += 1;
            assert_eq!(*count, 1, "a task is launched twice");
        }
        for kill in effects.kill {
            let container = self.containers.get_mut(&kill.container).expect("what is killed exists");
            assert!(!matches!(container.life, Life::Launching), "killed before it runs");
            container.kill_asked = true;
        }
        for order in effects.checks {
            let runs = |container: &ContainerId| {
                let container = self.containers.get(container);
                container.is_some_and(|found| matches!(found.life, Life::Running) && !found.kill_asked)
            };
            self.looks.order(order, runs);
        }
        for resize in effects.resize {
            let container = self.containers.get_mut(&resize.container).expect("what is resized exists");
            assert!(matches!(container.life, Life::Running), "resized while it does not run");
            container.needs = resize.together.resources;
        }
        self.customs.hear(effects.executors);
        for forgotten in effects.forget {
            if let Some(container) = self.containers.remove(&forgotten) {
                assert!(matches!(container.life, Life::Ended(_)), "forgotten before its end");
            }
        }
        if !effects.send.is_empty() {
            assert!(self.linked, "sent without a link");
        }
        let mut told_total = None;
        for message in effects.send {
            self.charged.hear(&message);
            if let FromAgent::OperationUpdate { record, total } = &message {
                told_total = Some(total.clone());
                self.asked.told(record.operation.uuid, &record.status);
            }
            if let FromAgent::Update { framework, status, latest } = message {
                if status.update.is_none() {
                    let untaken = matches!(status.state, TaskState::Killed | TaskState::Dropped);
                    assert!(untaken, "only what waited, or was not taken on, leaves no record");
                    continue;
                }
                assert!(latest == status.state || status.state.may_become(latest) || latest.is_terminal());
                self.arrive((framework, status.task.clone()), &status);
            }
        }
        // Each outcome comes with the total as of then, so that the last one has the present.
        assert!(told_total.is_none_or(|told| told == *self.agent.total()));
        assert_eq!(effects.shutdown, None);
        self.linked &= !effects.reconnect;
    }

    /// An update reaches its framework.
    fn arrive(&mut self, key: Key, status: &TaskStatus) {
        let told = self.told.get_mut(&key).expect("what arrives was made durable");
        let index = told.made.iter().position(|made| made == status).expect("it arrives as it was made");
        if index >= told.arrived {
            assert_eq!(index, told.arrived, "first deliveries keep order");
            assert!(index <= told.acknowledged, "the one before is acknowledged");
            assert!(index == 0 || told.made[index - 1].state.may_become(status.state));
            told.arrived = index + 1;
        }
        self.inbox.push((key, status.update.expect("an update has an id")));
    }

    fn check(&self) {
        invariants::check(&self.agent).unwrap();
        invariants::checkpoint_is_complete(&self.agent, &self.checkpoint).unwrap();
        let mut held = Resources::new();
        for (name, container) in &self.containers {
            // An executor that starts is given its true measure once it runs: until then nothing of it is used.
            let is_unmeasured = matches!(container.life, Life::Launching) && self.customs.has(name);
            if !matches!(container.life, Life::Ended(_)) && !is_unmeasured {
                held = held.checked_add(&container.needs).expect("nothing has two holders");
            }
        }
        assert!(self.agent.total().contains(&once(&held)), "containers hold {held}");
        self.folders.check();
        self.charged.check(&self.agent);
        self.customs.check(&self.agent);
        for task in self.agent.tasks().filter(|task| task.is_being_killed() && task.pid().is_some()) {
            assert!(self.containers[task.container()].kill_asked, "a kill is lost");
        }
    }

    /// The agent dies; what launches are under way end somehow; a new agent starts.
    fn restart(&mut self, fate: u8) {
        let mut found = Vec::new();
        for (index, (name, container)) in self.containers.iter_mut().enumerate() {
            let fate = fate.wrapping_mul(31).wrapping_add(u8::try_from(index % 256).unwrap());
            container.life = match (&container.life, fate % 3) {
                (Life::Launching, 0) => {
                    found.push((name.clone(), Recovery::NeverStarted));
                    continue;
                }
                (Life::Launching | Life::Running, 1) => Life::Ended(any_exit(fate, container.kill_asked)),
                (Life::Launching | Life::Running, _) => Life::Running,
                (Life::Ended(exit), _) => Life::Ended(exit.clone()),
            };
            let recovery = match &container.life {
                Life::Ended(exit) => Recovery::Exited(exit.clone()),
                Life::Launching | Life::Running => Recovery::Running { pid: 1, since: Some(self.now) },
            };
            found.push((name.clone(), recovery));
        }
        for (name, recovery) in &found {
            if *recovery == Recovery::NeverStarted {
                self.containers.remove(name);
            }
        }
        self.looks.die();
        self.customs.agent_died();
        self.folders.die(usize::from(fate % 4));
        self.starts += 1;
        self.linked = false;
        self.agent = Agent::new(self.config.clone(), Entropy(self.starts, 7));
        let checkpoint = self.checkpoint.clone();
        assert!(self.happen(Event::Recovered { checkpoint, containers: found }, Mishap::None));
    }

    pub(super) fn take(&mut self, step: Step, mishap: Mishap) {
        match step {
            Step::Run { framework, task, needs, limited, checked } => {
                self.run((framework, task), needs, limited, checked, mishap)
            }
            Step::RunGroup { framework, executor, first, size, needs } => {
                self.run_group(framework, executor, first..first + size, needs, mishap);
            }
            Step::Kill { framework, task, grace } => {
                let (framework, task) = key(framework, task);
                let grace = grace.map(|grace| secs(u64::from(grace)));
                self.receive(ToAgent::Kill { framework, task, grace }, mishap);
            }
            Step::ShutdownFramework(framework) => self.shut_down(framework, mishap),
            Step::Acknowledge(which) => {
                if let Some((key, update)) = pick(&self.inbox, which) {
                    self.acknowledge(key, update, mishap);
                }
            }
            Step::AcknowledgeAgain(which) => {
                let told: Vec<_> = self.told.iter().collect();
                if let Some((key, told)) = pick(&told, which)
                    && told.acknowledged > 0
                {
                    let update = told.made[0].update.expect("an update has an id");
                    self.acknowledge(key.clone(), update, mishap);
                }
            }
            Step::Resend(framework) => {
                let framework = framework_id(&framework_name(framework));
                self.receive(ToAgent::ResendUpdates { framework }, mishap);
            }
            Step::Ping => self.receive(ToAgent::Ping { sequence: 1 }, mishap),
            Step::Start(which) => self.start(which, mishap),
            Step::FailToStart(which) => self.fail_to_start(which, mishap),
            Step::Exit(which, how) => self.exit(which, how, mishap),
            Step::Pass(seconds) => {
                self.now = self.now + secs(u64::from(seconds % 900));
                self.happen(Event::Tick, mishap);
            }
            Step::Online => self.online(),
            Step::LinkUp => {
                self.linked = true;
                self.happen(Event::LinkUp, mishap);
            }
            Step::Registered => {
                let agent = AgentId::new("a1").unwrap();
                self.receive(ToAgent::Registered { agent, ping_interval: PING, max_missed_pings: 5 }, mishap);
            }
            Step::LinkDown => {
                self.linked = false;
                self.happen(Event::LinkDown, mishap);
            }
            Step::Restart(fate) => self.restart(fate),
            Step::Apply { which, again } => {
                if self.agent.is_registered() {
                    let operation = Box::new(self.asked.next(which, again));
                    self.receive(ToAgent::Apply { operation }, mishap);
                }
            }
            Step::WorkOnFolders { fails } => {
                if let Some(event) = self.folders.work(fails) {
                    self.happen(event, mishap);
                }
            }
            Step::AcknowledgeOperation(which) => self.acknowledge_operation(which, mishap),
            Step::Look { which, saw } => {
                if let Some(event) = self.looks.result(which, saw, self.now) {
                    self.happen(event, mishap);
                }
            }
            Step::RunCustom { framework, executor, first, size, needs, as_group } => {
                self.run_custom((framework, executor), first..first + size, needs, as_group, mishap);
            }
            Step::Subscribe(which) => self.subscribe(which, mishap),
            Step::Disconnect(which) => self.disconnect(which, mishap),
            Step::GoDeaf(which) => self.go_deaf(which),
            Step::Report { which, task, what } => self.report(which, task, what, mishap),
        }
    }

    fn online(&mut self) {
        self.take(Step::LinkUp, Mishap::None);
        self.take(Step::Registered, Mishap::None);
    }

    pub(super) fn receive(&mut self, message: ToAgent, mishap: Mishap) {
        if self.linked {
            self.happen(Event::Received(message), mishap);
        }
    }

    fn run(&mut self, (framework, task): (u8, u8), which: u8, limited: bool, checked: u8, mishap: Mishap) {
        let key = key(framework, task);
        let is_over = self.is_over(&key);
        // A master repeats a launch only while it does not know the end, and never for a dead framework.
        if is_over || self.shut_down.contains(&framework) {
            return;
        }
        let mut info = TaskInfo { resources: needs(which), ..task_info(key.1.as_str(), "") };
        info.max_completion_time = limited.then(|| secs(100));
        looks::ask(&mut info, checked);
        let capabilities: &[_] = if framework == 0 { &[Capability::TaskKillingState] } else { &[] };
        let framework = Box::new(framework_info(capabilities));
        let role = Role::new("eng").unwrap();
        self.receive(ToAgent::Run { framework: key.0, info: framework, role, tasks: vec![info] }, mishap);
    }

    /// Is its end known and acknowledged?
    pub(super) fn is_over(&self, key: &Key) -> bool {
        self.told.get(key).is_some_and(|told| {
            told.made.last().is_some_and(|last| last.state.is_terminal())
                && told.acknowledged == told.made.len()
        })
    }

    /// May nothing be launched for it any more?
    pub(super) fn is_shut_down(&self, framework: u8) -> bool {
        self.shut_down.contains(&framework)
    }

    pub(super) fn is_registered(&self) -> bool {
        self.linked && self.agent.is_registered()
    }

    fn shut_down(&mut self, framework: u8, mishap: Mishap) {
        if self.agent.is_registered() {
            self.shut_down.insert(framework);
            self.charged.shut_down(&framework_id(&framework_name(framework)));
        }
        let id = framework_id(&framework_name(framework));
        self.receive(ToAgent::ShutdownFramework { framework: id.clone() }, mishap);
        if self.shut_down.contains(&framework) && mishap == Mishap::BeforeDurable {
            // The master sees that the agent still has the framework and says so again.
            self.online();
            self.receive(ToAgent::ShutdownFramework { framework: id }, Mishap::None);
        }
    }

    fn acknowledge(&mut self, key: Key, update: UpdateId, mishap: Mishap) {
        if !self.agent.is_registered() {
            return;
        }
        let told = self.told.get_mut(&key).expect("an acknowledged update was made");
        let index = told.made.iter().position(|made| made.update == Some(update)).unwrap();
        let (framework, task) = key.clone();
        if mishap != Mishap::BeforeDurable {
            told.acknowledged = told.acknowledged.max(index + 1);
            let last = (key, update);
            self.inbox.retain(|waiting| *waiting != last);
        }
        self.receive(ToAgent::Acknowledge { framework, task, update }, mishap);
    }

    fn acknowledge_operation(&mut self, which: u8, mishap: Mishap) {
        if !self.agent.is_registered() {
            return;
        }
        let Some(operation) = self.asked.unacknowledged(which) else { return };
        if mishap != Mishap::BeforeDurable {
            self.asked.acknowledged(operation);
        }
        self.receive(ToAgent::AcknowledgeOperation { operation }, mishap);
    }

    fn living(&self, wanted: fn(&Life) -> bool) -> Vec<ContainerId> {
        let found = self.containers.iter().filter(|(_, container)| wanted(&container.life));
        found.map(|(name, _)| name.clone()).collect()
    }

    fn start(&mut self, which: u8, mishap: Mishap) {
        if let Some(container) = pick(&self.living(|life| matches!(life, Life::Launching)), which) {
            self.containers.get_mut(&container).unwrap().life = Life::Running;
            self.happen(Event::ContainerStarted { container, pid: 1 }, mishap);
        }
    }

    fn fail_to_start(&mut self, which: u8, mishap: Mishap) {
        if let Some(container) = pick(&self.living(|life| matches!(life, Life::Launching)), which) {
            self.containers.remove(&container);
            let message = "no such file".to_owned();
            self.happen(
                Event::ContainerFailed { container, reason: LaunchFailure::Command, message },
                mishap,
            );
        }
    }

    fn exit(&mut self, which: u8, how: u8, mishap: Mishap) {
        if let Some(container) = pick(&self.living(|life| matches!(life, Life::Running)), which) {
            let entry = self.containers.get_mut(&container).unwrap();
            let exit = any_exit(how, entry.kill_asked);
            entry.life = Life::Ended(exit.clone());
            self.happen(Event::ContainerExited { container, exit }, mishap);
        }
    }

    /// All is well from now on: everything comes to an end.
    pub(super) fn settle(&mut self) {
        self.online();
        for round in 0..1_000 {
            while !self.living(|life| matches!(life, Life::Launching)).is_empty() {
                self.start(0, Mishap::None);
            }
            while !self.living(|life| matches!(life, Life::Running)).is_empty() {
                self.exit(0, 255, Mishap::None);
            }
            while !self.folders.is_idle() {
                self.take(Step::WorkOnFolders { fails: false }, Mishap::None);
            }
            self.acknowledge_operation(0, Mishap::None);
            if self.agent.tasks().next().is_none() && self.agent.operations().next().is_none() {
                return;
            }
            while let Some((key, update)) = self.inbox.pop() {
                self.acknowledge(key, update, Mishap::None);
            }
            if round % 100 == 99 {
                self.take(Step::Pass(899), Mishap::None);
                self.online();
            }
        }
        panic!("it never settles: {:?}", self.agent.tasks().collect::<Vec<_>>());
    }

    pub(super) fn check_the_end(&self) {
        assert!(self.checkpoint.tasks.is_empty() && self.checkpoint.frameworks.is_empty());
        assert!(self.containers.is_empty(), "containers without records: {:?}", self.containers);
        assert!(self.checkpoint.operations.is_empty());
        assert!(self.checkpoint.executors.is_empty());
        assert!(self.charged.is_empty(), "the master sets aside for nothing: {:?}", self.charged);
        assert_eq!(self.agent.free(), *self.agent.total());
        assert_eq!(self.agent.total().quantities(), resources(TOTAL).quantities());
        self.folders.check_the_end();
        for (key, told) in &self.told {
            let orphaned = self.shut_down.iter().any(|gone| framework_name(*gone) == key.0.as_str());
            if !orphaned {
                let last = told.made.last().expect("a task taken on is told of");
                assert!(last.state.is_terminal(), "{key:?} ends as {}", last.state);
                assert_eq!((told.arrived, told.acknowledged), (told.made.len(), told.made.len()), "{key:?}");
            }
        }
    }
}
