//! An executor that follows orders, and an agent made of words.

use std::collections::VecDeque;
use std::time::Duration;

use lonja_model::agent::AgentInfo;
use lonja_model::attributes::Attributes;
use lonja_model::container::{Command as Program, ContainerInfo};
use lonja_model::execution::{Call, Event as AgentEvent, Subscribed};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::Capability;
use lonja_model::{
    AgentId, ContainerId, ExecutorId, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus,
    Timestamp, UpdateId,
};

use crate::executor::{
    Command, Effects, Event, Execution, Executor, Options, Outcome, Plan, Problem, Update, invariants,
};

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Does what it was told to do next, and notes what it is shown.
#[derive(Default)]
pub(crate) struct Obedient {
    /// What it answers with, in order; then nothing.
    pub(crate) plans: VecDeque<Plan>,
    pub(crate) launched: Vec<TaskId>,
    pub(crate) together: Vec<Vec<TaskId>>,
    pub(crate) kills: Vec<(TaskId, Option<Duration>)>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) shutdowns: Vec<Timestamp>,
    pub(crate) subscriptions: u32,
    pub(crate) losses: u32,
    pub(crate) ticks: u32,
    pub(crate) deadline: Option<Timestamp>,
    /// Leaves its tasks when it is to shut down, rather than end at once.
    pub(crate) is_slow_to_end: bool,
}

impl Obedient {
    fn next(&mut self) -> Plan {
        self.plans.pop_front().unwrap_or_default()
    }
}

impl Executor for Obedient {
    fn launched(&mut self, _now: Timestamp, task: &TaskInfo) -> Plan {
        self.launched.push(task.id.clone());
        self.next()
    }
    fn launched_together(&mut self, _now: Timestamp, tasks: &[TaskInfo]) -> Plan {
        self.together.push(tasks.iter().map(|task| task.id.clone()).collect());
        self.launched.extend(tasks.iter().map(|task| task.id.clone()));
        self.next()
    }
    fn kill(&mut self, _now: Timestamp, task: &TaskId, grace: Option<Duration>) -> Plan {
        self.kills.push((task.clone(), grace));
        self.next()
    }
    fn message(&mut self, _now: Timestamp, data: &[u8]) -> Plan {
        self.messages.push(data.to_vec());
        self.next()
    }
    fn shutdown(&mut self, _now: Timestamp, until: Timestamp) -> Plan {
        self.shutdowns.push(until);
        if self.is_slow_to_end { self.next() } else { Plan::new().end() }
    }
    fn subscribed(&mut self, _now: Timestamp, _subscribed: &Subscribed) -> Plan {
        self.subscriptions += 1;
        Plan::new()
    }
    fn disconnected(&mut self, _now: Timestamp) {
        self.losses += 1;
    }
    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        self.problems.push(problem.clone());
        Plan::new()
    }
    fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
    fn tick(&mut self, _now: Timestamp) -> Plan {
        self.ticks += 1;
        self.next()
    }
}

pub(crate) fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

pub(crate) fn task(id: &str) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        id: task_id(id),
        agent: AgentId::new("a1").unwrap(),
        resources: "cpus:0.1".parse().unwrap(),
        limits: Default::default(),
        command: Program::none(),
        container: ContainerInfo::default(),
        kill_grace: Some(secs(3)),
        max_completion_time: None,
        labels: Default::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    }
}

pub(crate) fn options() -> Options {
    Options {
        framework: FrameworkId::new("f1").unwrap(),
        executor: ExecutorId::new("e1").unwrap(),
        checkpoint: true,
        recovery_timeout: secs(900),
        longest_pause: secs(2),
        shutdown_grace: secs(10),
        seed: 7,
    }
}

fn subscribed_event(knows_killing: bool) -> AgentEvent {
    let mut framework_info = FrameworkInfo::named("test");
    if knows_killing {
        framework_info.capabilities.insert(Capability::TaskKillingState);
    } else {
        framework_info.capabilities.remove(&Capability::TaskKillingState);
    }
    let agent = AgentId::new("a1").unwrap();
    AgentEvent::Subscribed(Box::new(Subscribed {
        executor: ExecutorInfo::builtin(options().executor),
        framework: options().framework,
        framework_info,
        agent_info: AgentInfo {
            hostname: "localhost".to_owned(),
            port: 5051,
            resources: Default::default(),
            attributes: Attributes::default(),
            domain: None,
            id: Some(agent.clone()),
        },
        agent,
        container: ContainerId::new("c1").unwrap(),
    }))
}

/// An executor at a moment, with what it said last.
pub(crate) struct World {
    pub(crate) execution: Execution<Obedient>,
    pub(crate) now: Timestamp,
    pub(crate) last: Effects,
    pub(crate) knows_killing: bool,
}

/// An executor that has not connected yet.
pub(crate) fn world() -> World {
    world_of(options())
}

pub(crate) fn world_of(options: Options) -> World {
    let now = Timestamp::ZERO + secs(1_000);
    World {
        execution: Execution::new(now, options, Obedient::default()),
        now,
        last: Effects::default(),
        knows_killing: true,
    }
}

/// An executor whose subscription stands.
pub(crate) fn subscribed() -> World {
    let mut world = world();
    world.connects();
    world
}

impl World {
    pub(crate) fn event(&mut self, event: Event) -> &Effects {
        self.last = self.execution.handle(self.now, event);
        invariants::check(&self.execution).unwrap();
        &self.last
    }

    pub(crate) fn hears(&mut self, event: AgentEvent) -> Vec<Call> {
        self.event(Event::Received(event)).send.clone()
    }

    /// Time passes, all deadlines being kept, until a connection is asked for or it is over. Returns what was sent.
    pub(crate) fn passes(&mut self, time: Duration) -> Vec<Call> {
        let until = self.now + time;
        let mut sent = Vec::new();
        while let Some(at) = self.execution.next_deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            sent.extend(self.event(Event::Tick).send.clone());
            if self.last.connect || self.last.finished.is_some() {
                return sent;
            }
        }
        self.now = until;
        sent
    }

    /// Asks for a connection, gets it and the subscription. Returns what was sent.
    pub(crate) fn connects(&mut self) -> Vec<Call> {
        self.passes(secs(60));
        assert!(self.last.connect, "no connection was asked for");
        self.is_let_in()
    }

    /// Gets the connection that it asked for, and the subscription.
    pub(crate) fn is_let_in(&mut self) -> Vec<Call> {
        let mut sent = self.event(Event::Connected).send.clone();
        sent.extend(self.hears(subscribed_event(self.knows_killing)));
        sent
    }

    pub(crate) fn is_subscribed(&mut self) -> Vec<Call> {
        self.hears(subscribed_event(self.knows_killing))
    }

    pub(crate) fn loses_connection(&mut self) {
        self.event(Event::Disconnected { why: "cut".to_owned() });
    }

    /// Launches `id`, which runs at once, and has that stored.
    pub(crate) fn runs(&mut self, id: &str) {
        self.will(Plan::new().running(task_id(id)));
        let sent = self.hears(AgentEvent::Launch(Box::new(task(id))));
        self.stores(&sent);
    }

    pub(crate) fn launches(&mut self, id: &str) -> Vec<Call> {
        self.hears(AgentEvent::Launch(Box::new(task(id))))
    }

    pub(crate) fn says(&mut self, update: Update) -> Vec<Call> {
        self.event(Event::Command(Command::Update(update))).send.clone()
    }

    pub(crate) fn will(&mut self, plan: Plan) -> &mut Self {
        self.execution.executor.plans.push_back(plan);
        self
    }

    /// The agent stores all updates among `sent`.
    pub(crate) fn stores(&mut self, sent: &[Call]) {
        for status in updates(sent) {
            self.acknowledges(&status.task, status.update.unwrap());
        }
    }

    pub(crate) fn acknowledges(&mut self, task: &TaskId, update: UpdateId) {
        self.hears(AgentEvent::Acknowledged { task: task.clone(), update });
    }

    pub(crate) fn executor(&mut self) -> &mut Obedient {
        &mut self.execution.executor
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.last.finished.as_ref()
    }
}

/// All updates among `sent`, those within a SUBSCRIBE first.
pub(crate) fn updates(sent: &[Call]) -> Vec<TaskStatus> {
    let mut all = Vec::new();
    for call in sent {
        match call {
            Call::Subscribe { unacknowledged_updates, .. } => all.extend(unacknowledged_updates.clone()),
            Call::Update(status) => all.push((**status).clone()),
            Call::Message(_) | Call::Heartbeat => {}
        }
    }
    all
}

/// What the updates among `sent` say, in order.
pub(crate) fn states(sent: &[Call]) -> Vec<(String, TaskState)> {
    updates(sent).iter().map(|status| (status.task.to_string(), status.state)).collect()
}

/// The SUBSCRIBE among `sent`: its tasks and what its updates say.
pub(crate) fn opening(sent: &[Call]) -> (Vec<String>, Vec<(String, TaskState)>) {
    let Some(Call::Subscribe { unacknowledged_tasks, .. }) = sent.first() else { panic!("{sent:?}") };
    let tasks = unacknowledged_tasks.iter().map(|task| task.id.to_string()).collect();
    (tasks, states(&sent[..1]))
}
