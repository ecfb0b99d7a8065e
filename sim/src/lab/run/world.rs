//! The fleet at work: cores, and what is on its way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lonja_agent_core::{Agent, Effects as AgentEffects, Entropy, Event as AgentEvent};
use lonja_master_core::{
    Effects as MasterEffects, Event as MasterEvent, LinkId, Master, OperatorCommand, Outbound, RequestId,
    StreamId,
};
use lonja_model::registry::Registry;
use lonja_model::resources::Scalar;
use lonja_model::{ContainerId, Role, Timestamp};
use lonja_sdk_core::placement::Ask;
use lonja_sdk_core::{Effects, Event, Framework, Problem};

use super::books::Books;
use super::client::{Hosted, Seated};
use super::containers::{Live, task_id};
use super::queue::{Happening, Queue};
use super::setup::{config, describe, host, role};
use super::{Options, RunError, Runs};
use crate::journal::mix;
use crate::lab::{RunResult, Sample, Tenant, Workload};
use crate::random::Random;

/// How long a message takes.
pub(super) const MESSAGE: Duration = Duration::from_micros(500);
/// How long a commit takes.
pub(super) const COMMIT: Duration = Duration::from_millis(2);
/// How long a container takes to start.
pub(super) const LAUNCH: Duration = Duration::from_millis(50);
/// How long a container takes to die.
pub(super) const KILL: Duration = Duration::from_millis(10);
/// The workload begins when the fleet has long been there.
pub(super) const BEGIN: Duration = Duration::from_secs(10);

/// One machine and its agent.
pub(super) struct Host {
    pub(super) core: Agent,
    /// For when a tick is on its way.
    pub(super) tick: Option<Timestamp>,
    /// The containers here, by their places in [`World::live`].
    pub(super) containers: Vec<(ContainerId, usize)>,
}

/// One framework.
pub(super) struct Seat {
    pub(super) core: Framework<Hosted>,
    pub(super) tick: Option<Timestamp>,
    /// Its present stream.
    pub(super) stream: Option<u64>,
    pub(super) streams: u64,
}

/// All of it.
pub(super) struct World<'a> {
    pub(super) workload: &'a Workload,
    pub(super) now: Timestamp,
    pub(super) end: Timestamp,
    pub(super) queue: Queue,
    pub(super) master: Master,
    pub(super) master_tick: Option<Timestamp>,
    pub(super) hosts: Vec<Host>,
    pub(super) seats: Vec<Seat>,
    pub(super) live: Vec<Option<Live>>,
    pub(super) unused: Vec<usize>,
    pub(super) launches: u64,
    pub(super) books: Books<'a>,
    /// Tasks by their places in the workload that are not handed out.
    pub(super) never: BTreeSet<usize>,
    /// Tasks that were launched.
    pub(super) launched: Vec<bool>,
    pub(super) next_arrival: usize,
    pub(super) sample_every: Duration,
    pub(super) result: RunResult,
    pub(super) hash: u64,
    pub(super) has_the_word: Arc<AtomicBool>,
    /// How long tasks run that are not of the workload.
    pub(super) runs: Option<Runs>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        workload: &'a Workload,
        asks: &[(Ask, u64)],
        never: &[(usize, String)],
        seated: Vec<Seated>,
        runs: Option<Runs>,
        options: &Options,
        seed: u64,
    ) -> Result<Self, RunError> {
        let mut random = Random::new(seed);
        let start = Timestamp::ZERO;
        let (master, effects) =
            Master::start(start, config(workload, random.next()), Registry::default(), "lab");
        let has_the_word = Arc::new(AtomicBool::new(false));
        let seat = |(seated, tenant): (Seated, &Tenant)| -> Result<Seat, RunError> {
            let hosted = Hosted { seated, has_the_word: has_the_word.clone() };
            let options = lonja_sdk_core::Options {
                info: describe(tenant)?,
                id: None,
                constraints: Default::default(),
                seed: random.next(),
            };
            let core = Framework::new(start, options, hosted).with_max_hold(Duration::MAX);
            Ok(Seat { core, tick: None, stream: None, streams: 0 })
        };
        let seats = seated.into_iter().zip(&workload.frameworks).map(seat).collect::<Result<_, _>>()?;
        let host = |(number, machine)| host(number, machine, Entropy(seed, number as u64));
        let mut world = Self {
            workload,
            now: start,
            end: start + BEGIN + workload.lasts,
            queue: Queue::default(),
            master,
            master_tick: None,
            hosts: workload.machines.iter().enumerate().map(host).collect(),
            seats,
            live: Vec::new(),
            unused: Vec::new(),
            launches: 0,
            books: Books::new(workload, asks),
            never: never.iter().map(|(index, _)| *index).collect(),
            launched: vec![false; workload.arrivals.len()],
            next_arrival: 0,
            sample_every: (workload.lasts / options.samples.max(1)).max(Duration::from_nanos(1)),
            result: RunResult::default(),
            hash: 0x6a09_e667_f3bc_c908,
            has_the_word,
            runs,
        };
        world.begin(effects);
        Ok(world)
    }

    /// Everything starts: the master, the weights, the agents, the frameworks; then the workload.
    fn begin(&mut self, effects: MasterEffects) {
        self.act_master(effects);
        let weight = |tenant: &Tenant| Some((role(tenant).ok()?, Scalar::from_thousandths(tenant.weight)?));
        let weights: BTreeMap<Role, Scalar> = self.workload.frameworks.iter().filter_map(weight).collect();
        let weights = weights.into_iter().filter(|(_, weight)| weight.thousandths() != 1_000);
        let command = OperatorCommand::SetWeights { weights: weights.collect() };
        let effects = self.master.handle(self.now, MasterEvent::Operator { request: RequestId(1), command });
        self.act_master(effects);
        for agent in 0..self.hosts.len() as u32 {
            let recovered = AgentEvent::Recovered { checkpoint: Default::default(), containers: Vec::new() };
            for event in [recovered, AgentEvent::LinkUp] {
                self.queue.push(self.now, Happening::Agent(agent, Box::new(event)));
            }
        }
        for seat in 0..self.seats.len() {
            self.arm_framework(seat);
        }
        self.queue.push(Timestamp::ZERO + BEGIN, Happening::Sample);
        self.plan_arrival();
    }

    /// Goes on to the end. Errors: the policy made a mistake, or a promise is broken; in words.
    pub(super) fn run(&mut self) -> Result<(), String> {
        while let Some((at, happening)) = self.queue.pop() {
            if at > self.end {
                break;
            }
            self.now = self.now.max(at);
            self.step(happening)?;
        }
        self.now = self.end;
        Ok(())
    }

    /// Is it a scheduler that is being asked?
    pub(super) fn policy_has_the_word(&self) -> bool {
        self.has_the_word.load(Ordering::Relaxed)
    }

    /// What came of it.
    pub(super) fn take_result(&mut self, stopped: Option<String>) -> RunResult {
        if stopped.is_some() {
            // What waits is lost by the policy, and the task at hand in any case.
            self.result.failed += self.books.waiting.max(1);
        }
        self.result.stopped = stopped;
        self.result.trace_hash = self.hash;
        std::mem::take(&mut self.result)
    }

    /// The scheduler of a seat, given back.
    pub(super) fn into_seated(mut self, seat: usize) -> Seated {
        self.seats.swap_remove(seat).core.into_scheduler().seated
    }

    pub(super) fn since_begin(&self) -> Duration {
        self.now.since(Timestamp::ZERO + BEGIN)
    }

    pub(super) fn note(&mut self, kind: u64, one: u64, other: u64) {
        for number in [self.now.as_nanos(), kind, one, other] {
            self.hash = mix(self.hash ^ number);
        }
    }

    fn step(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Arrival => self.arrival()?,
            Happening::Sample => self.sample(),
            Happening::MasterTick => {
                if self.master_tick.take_if(|at| *at <= self.now).is_some() {
                    self.tell_master(MasterEvent::Tick);
                }
            }
            Happening::AgentTick(agent) => {
                if self.hosts[agent as usize].tick.take_if(|at| *at <= self.now).is_some() {
                    self.tell_agent(agent, AgentEvent::Tick)?;
                }
            }
            Happening::FrameworkTick(seat) => {
                if self.seats[seat as usize].tick.take_if(|at| *at <= self.now).is_some() {
                    self.tell_framework(seat as usize, Event::Tick)?;
                }
            }
            Happening::FromAgent(agent, message) => {
                self.note(1, u64::from(agent), 0);
                let link = LinkId(u64::from(agent));
                self.tell_master(MasterEvent::Agent { link, message: *message });
            }
            Happening::ToAgent(agent, message) => {
                self.note(2, u64::from(agent), 0);
                self.tell_agent(agent, AgentEvent::Received(*message))?;
            }
            Happening::Agent(agent, event) => self.tell_agent(agent, *event)?,
            Happening::Call { stream, number, call } => {
                self.note(3, stream, number);
                let framework = self.seats[self.seat(stream)].core.id().cloned();
                let stream = StreamId(stream);
                self.tell_master(MasterEvent::Call { stream, id: number, framework, call: *call });
            }
            Happening::Answer { stream, number, result } => {
                self.note(4, stream, number);
                self.tell_on(stream, Event::Answered { id: number, result: *result })?;
            }
            Happening::ToFramework { stream, event } => {
                self.note(5, stream, 0);
                self.tell_on(stream, Event::Received(*event))?;
            }
            Happening::Connected { stream } => self.tell_on(stream, Event::Connected)?,
            Happening::Closed { stream } => {
                let seat = self.seat(stream);
                if self.seats[seat].stream == Some(stream) {
                    self.seats[seat].stream = None;
                    self.tell_framework(seat, Event::Disconnected { why: "closed".to_owned() })?;
                }
                self.tell_master(MasterEvent::StreamClosed { stream: StreamId(stream) });
            }
            Happening::HungUp { stream } => {
                self.tell_master(MasterEvent::StreamClosed { stream: StreamId(stream) });
            }
            Happening::Started { live } => self.started(live)?,
            Happening::Ended { live, number, killed } => self.ended(live, number, killed)?,
        }
        Ok(())
    }

    // The workload.

    fn plan_arrival(&mut self) {
        if let Some(arrival) = self.workload.arrivals.get(self.next_arrival) {
            self.queue.push(Timestamp::ZERO + BEGIN + arrival.at, Happening::Arrival);
        }
    }

    /// All tasks that are wanted now are handed out; then each framework that got any looks what to do.
    fn arrival(&mut self) -> Result<(), String> {
        let mut told = BTreeSet::new();
        while let Some(arrival) = self.workload.arrivals.get(self.next_arrival) {
            if Timestamp::ZERO + BEGIN + arrival.at > self.now {
                break;
            }
            let index = self.next_arrival;
            self.next_arrival += 1;
            self.result.arrived += 1;
            if self.never.contains(&index) {
                continue;
            }
            self.books.waiting += 1;
            let now = self.now;
            let hosted = self.seats[arrival.framework].core.scheduler_mut();
            hosted.arrive(now, task_id(index), &arrival.ask);
            told.insert(arrival.framework);
        }
        self.plan_arrival();
        told.into_iter().try_for_each(|seat| self.tell_framework(seat, Event::Tick))
    }

    fn sample(&mut self) {
        let at = self.since_begin();
        let sample: Sample = self.books.sample(at);
        self.result.samples.push(sample);
        let next = at + self.sample_every;
        if next <= self.workload.lasts {
            self.queue.push(Timestamp::ZERO + BEGIN + next, Happening::Sample);
        }
    }

    // The cores.

    fn tell_master(&mut self, event: MasterEvent) {
        let effects = self.master.handle(self.now, event);
        self.act_master(effects);
    }

    fn act_master(&mut self, effects: MasterEffects) {
        let commit = if effects.persist.is_empty() { Duration::ZERO } else { COMMIT };
        let at = self.now + commit + MESSAGE;
        for outbound in effects.send {
            let happening = match outbound {
                Outbound::Agent(link, message) => Happening::ToAgent(link.0 as u32, Box::new(message)),
                Outbound::Framework(stream, event) => {
                    Happening::ToFramework { stream: stream.0, event: Box::new(event) }
                }
                Outbound::Answer(stream, number, result) => {
                    Happening::Answer { stream: stream.0, number, result: Box::new(result) }
                }
                Outbound::CloseStream(stream) => Happening::Closed { stream: stream.0 },
                // Its agent is told why, and says so.
                Outbound::CloseLink(_) | Outbound::Operator(..) => continue,
            };
            self.queue.push(at, happening);
        }
        let next = self.master.next_deadline();
        arm(&mut self.queue, &mut self.master_tick, next, self.now, self.end, || Happening::MasterTick);
    }

    pub(super) fn tell_agent(&mut self, agent: u32, event: AgentEvent) -> Result<(), String> {
        let effects = self.hosts[agent as usize].core.handle(self.now, event);
        self.act_agent(agent, effects)
    }

    fn act_agent(&mut self, agent: u32, effects: AgentEffects) -> Result<(), String> {
        if let Some(why) = effects.shutdown {
            let name = &self.workload.machines[agent as usize].name;
            return Err(format!("the agent of machine {name} gave up: {why}"));
        }
        let durable = self.now + if effects.persist.is_empty() { Duration::ZERO } else { COMMIT };
        for launch in effects.launch {
            self.launch(agent, launch, durable)?;
        }
        let host = &mut self.hosts[agent as usize];
        for kill in effects.kill {
            let live = host.containers.iter().find(|(container, _)| *container == kill.container);
            if let Some((_, live)) = live
                && let Some(Live { number, .. }) = &self.live[*live]
            {
                let ended = Happening::Ended { live: *live, number: *number, killed: true };
                self.queue.push(durable + KILL, ended);
            }
        }
        for message in effects.send {
            self.queue.push(durable + MESSAGE, Happening::FromAgent(agent, Box::new(message)));
        }
        let next = host.core.next_deadline();
        arm(&mut self.queue, &mut host.tick, next, self.now, self.end, || Happening::AgentTick(agent));
        Ok(())
    }

    fn tell_on(&mut self, stream: u64, event: Event) -> Result<(), String> {
        let seat = self.seat(stream);
        if self.seats[seat].stream == Some(stream) { self.tell_framework(seat, event) } else { Ok(()) }
    }

    fn tell_framework(&mut self, seat: usize, event: Event) -> Result<(), String> {
        let effects = self.seats[seat].core.handle(self.now, event);
        self.act_framework(seat, effects)
    }

    fn act_framework(&mut self, index: usize, effects: Effects) -> Result<(), String> {
        let seats = self.seats.len() as u64;
        let seat = &mut self.seats[index];
        if effects.connect {
            seat.streams += 1;
            let stream = seat.streams * seats + index as u64;
            seat.stream = Some(stream);
            self.queue.push(self.now + MESSAGE, Happening::Connected { stream });
        }
        if let Some(stream) = seat.stream {
            for (number, call) in effects.send {
                let call = Happening::Call { stream, number, call: Box::new(call) };
                self.queue.push(self.now + MESSAGE, call);
            }
        }
        if effects.disconnect
            && let Some(stream) = seat.stream.take()
        {
            self.queue.push(self.now + MESSAGE, Happening::HungUp { stream });
        }
        self.arm_framework(index);
        let problem = effects.problems.into_iter().find(|problem| matches!(problem, Problem::Plan(_)));
        let mistake = self.seats[index].core.scheduler_mut().mistake();
        match problem.map(|problem| problem.to_string()).or(mistake) {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    fn arm_framework(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        let next = seat.core.next_deadline();
        let tick = || Happening::FrameworkTick(index as u32);
        arm(&mut self.queue, &mut seat.tick, next, self.now, self.end, tick);
    }

    fn seat(&self, stream: u64) -> usize {
        (stream % self.seats.len() as u64) as usize
    }
}

/// Sets the time of a core's next tick, unless one comes before that.
fn arm(
    queue: &mut Queue,
    tick: &mut Option<Timestamp>,
    next: Option<Timestamp>,
    now: Timestamp,
    end: Timestamp,
    happening: impl FnOnce() -> Happening,
) {
    let Some(at) = next.map(|at| at.max(now)).filter(|at| *at <= end) else { return };
    if tick.is_none_or(|armed| at < armed) {
        *tick = Some(at);
        queue.push(at, happening());
    }
}
