//! A framework, a scheduler that follows orders, and a master made of words.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use lonja_model::attributes::Attributes;
use lonja_model::constraints::OfferConstraints;
use lonja_model::offer::InverseOffer;
use lonja_model::operation::OperationStatus;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::{Call, Event as MasterEvent, MasterInfo, Refusal, RefusalCode};
use lonja_model::task::Source;
use lonja_model::{
    AgentId, ExecutorId, FrameworkId, FrameworkInfo, Offer, OfferId, Role, TaskId, TaskInfo, TaskState,
    TaskStatus, Timestamp, UpdateId,
};

use crate::{Effects, Event, Framework, Options, Outcome, Plan, Problem, Scheduler, Task};

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Does what it was told to do next, and notes what it is shown.
#[derive(Default)]
pub(crate) struct Obedient {
    /// What it answers with, in order; then nothing.
    pub(crate) plans: VecDeque<Plan>,
    pub(crate) sated: bool,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) ticks: u32,
    pub(crate) subscriptions: u32,
    pub(crate) losses: u32,
    pub(crate) rescinded: Vec<OfferId>,
    pub(crate) updates: Vec<TaskStatus>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) needs: Vec<Quantities>,
    pub(crate) operations: Vec<OperationStatus>,
    pub(crate) asked_to_leave: u32,
    pub(crate) lost_executors: Vec<(AgentId, ExecutorId, Option<i32>)>,
}

impl Obedient {
    fn next(&mut self) -> Plan {
        self.plans.pop_front().unwrap_or_default()
    }
}

impl Scheduler for Obedient {
    fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
        self.next()
    }
    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.updates.push(status.clone());
        self.next()
    }
    fn wants_offers(&self) -> bool {
        !self.sated
    }
    fn needs(&self) -> Vec<Quantities> {
        self.needs.clone()
    }
    fn operation(&mut self, _now: Timestamp, status: &OperationStatus) -> Plan {
        self.operations.push(status.clone());
        self.next()
    }
    fn asked_to_leave(&mut self, _now: Timestamp, _offer: &InverseOffer) -> Plan {
        self.asked_to_leave += 1;
        self.next()
    }
    fn subscribed(&mut self, _now: Timestamp, _framework: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.subscriptions += 1;
        Plan::new()
    }
    fn disconnected(&mut self, _now: Timestamp) {
        self.losses += 1;
    }
    fn executor_lost(
        &mut self,
        _now: Timestamp,
        agent: &AgentId,
        executor: &ExecutorId,
        status: Option<i32>,
    ) -> Plan {
        self.lost_executors.push((agent.clone(), executor.clone(), status));
        self.next()
    }
    fn rescinded(&mut self, _now: Timestamp, offer: &OfferId) {
        self.rescinded.push(offer.clone());
    }
    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        self.problems.push(problem.clone());
        self.next()
    }
    fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
    fn tick(&mut self, _now: Timestamp) -> Plan {
        self.ticks += 1;
        self.next()
    }
}

/// A framework at a moment, with all that it has sent.
pub(crate) struct World {
    pub(crate) framework: Framework<Obedient>,
    pub(crate) now: Timestamp,
    pub(crate) last: Effects,
}

pub(crate) fn info() -> FrameworkInfo {
    FrameworkInfo {
        user: "nobody".to_owned(),
        name: "test".to_owned(),
        failover_timeout: secs(60),
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::new(),
        labels: Default::default(),
        roles: BTreeSet::from([Role::default_role()]),
        minimum_offers: BTreeMap::new(),
    }
}

/// A framework that has not connected yet.
pub(crate) fn world() -> World {
    world_with(None)
}

pub(crate) fn world_with(id: Option<&str>) -> World {
    let id = id.map(|id| FrameworkId::new(id).unwrap());
    world_of(Options { info: info(), id, constraints: OfferConstraints::default(), seed: 7 })
}

pub(crate) fn world_of_seed(seed: u64) -> World {
    world_of(Options { info: info(), id: None, constraints: OfferConstraints::default(), seed })
}

fn world_of(options: Options) -> World {
    let now = Timestamp::ZERO + secs(1_000);
    World { framework: Framework::new(now, options, Obedient::default()), now, last: Effects::default() }
}

/// A framework whose subscription stands.
pub(crate) fn subscribed() -> World {
    let mut world = world();
    world.connects();
    world
}

impl World {
    pub(crate) fn event(&mut self, event: Event) -> &Effects {
        self.last = self.framework.handle(self.now, event);
        crate::invariants::check(&self.framework).unwrap();
        &self.last
    }

    pub(crate) fn hears(&mut self, event: MasterEvent) -> &Effects {
        self.event(Event::Received(event))
    }

    /// Time passes, all deadlines being kept. Returns what was sent meanwhile.
    pub(crate) fn passes(&mut self, time: Duration) -> Vec<Call> {
        let until = self.now + time;
        let mut sent = Vec::new();
        while let Some(at) = self.framework.next_deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            sent.extend(self.event(Event::Tick).send.iter().map(|(_, call)| call.clone()));
            if self.last.connect || self.last.finished.is_some() {
                return sent;
            }
        }
        self.now = until;
        sent
    }

    /// Asks for a connection, gets it and the subscription.
    pub(crate) fn connects(&mut self) -> Vec<Call> {
        self.passes(secs(60));
        assert!(self.last.connect, "no connection was asked for");
        let mut sent: Vec<Call> = self.event(Event::Connected).send.iter().map(|(_, c)| c.clone()).collect();
        sent.extend(self.is_subscribed_as("f1"));
        sent
    }

    pub(crate) fn is_subscribed_as(&mut self, id: &str) -> Vec<Call> {
        let framework = FrameworkId::new(id).unwrap();
        let event = MasterEvent::Subscribed { framework, heartbeat: secs(15), master: MasterInfo::default() };
        self.hears(event);
        self.sent()
    }

    pub(crate) fn loses_connection(&mut self) {
        self.event(Event::Disconnected { why: "cut".to_owned() });
    }

    pub(crate) fn will(&mut self, plan: Plan) -> &mut Self {
        self.framework.scheduler.plans.push_back(plan);
        self
    }

    pub(crate) fn is_offered(&mut self, offers: &[&Offer]) -> Vec<Call> {
        self.hears(MasterEvent::Offers(offers.iter().map(|offer| (*offer).clone()).collect()));
        self.sent()
    }

    pub(crate) fn launches(&mut self, offer: &Offer, id: &str) {
        self.will(Plan::new().launch(offer, [task(offer, id)]));
        self.is_offered(&[offer]);
        assert!(matches!(self.sent()[..], [Call::Accept { .. }]), "{:?}", self.last);
    }

    pub(crate) fn hears_of(&mut self, task: &str, state: TaskState, update: Option<u8>) -> Vec<Call> {
        self.hears(MasterEvent::Update(Box::new(status(task, state, update))));
        self.sent()
    }

    pub(crate) fn sent(&self) -> Vec<Call> {
        self.last.send.iter().map(|(_, call)| call.clone()).collect()
    }

    /// The master refuses the call that was sent last.
    pub(crate) fn is_refused(&mut self, code: RefusalCode) -> Vec<Call> {
        let id = self.last.send.last().expect("something was sent").0;
        self.event(Event::Answered { id, result: Err(Refusal::new(code, "because")) });
        self.sent()
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.last.finished.as_ref()
    }

    pub(crate) fn scheduler(&mut self) -> &mut Obedient {
        &mut self.framework.scheduler
    }
}

pub(crate) fn offer(id: &str, resources: &str) -> Offer {
    offer_on(id, "a1", resources)
}

pub(crate) fn offer_on(id: &str, agent: &str, resources: &str) -> Offer {
    Offer {
        id: OfferId::new(id).unwrap(),
        framework: FrameworkId::new("f1").unwrap(),
        agent: AgentId::new(agent).unwrap(),
        role: Role::default_role(),
        hostname: "localhost".to_owned(),
        port: 5051,
        resources: resources.parse().unwrap(),
        attributes: Attributes::default(),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    }
}

pub(crate) fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

/// A task of 1 CPU and 32 MiB on `offer`'s agent, whether or not the offer holds as much.
pub(crate) fn task(offer: &Offer, id: &str) -> TaskInfo {
    let resources = "cpus:1;mem:32".parse().unwrap();
    Task::shell("true").unwrap().with_resources(&offer.agent, task_id(id), resources)
}

pub(crate) fn status(task: &str, state: TaskState, update: Option<u8>) -> TaskStatus {
    let mut status = TaskStatus::new(task_id(task), state, Source::Agent, Timestamp::ZERO);
    status.agent = Some(AgentId::new("a1").unwrap());
    status.update = update.map(|number| UpdateId([number; 16]));
    status
}
