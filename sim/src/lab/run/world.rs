//! The fleet at work: cores, and what is on its way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lonja_agent_core::{
    Agent, ContainerExit, Effects as AgentEffects, Entropy, Event as AgentEvent, LaunchContainer, WaitStatus,
};
use lonja_master_core::{
    Config, Effects as MasterEffects, Event as MasterEvent, LinkId, Master, OperatorCommand, Outbound,
    RequestId, StreamId,
};
use lonja_model::framework::Capability;
use lonja_model::registry::Registry;
use lonja_model::resources::Scalar;
use lonja_model::{AgentInfo, ContainerId, FrameworkInfo, Resources, Role, TaskId, Timestamp};
use lonja_sdk_core::placement::Ask;
use lonja_sdk_core::{Effects, Event, Framework, Problem};

use super::books::Books;
use super::client::{Client, Hosted};
use super::queue::{Happening, Queue};
use super::{Options, RunError};
use crate::journal::mix;
use crate::lab::{Machine, RunResult, Sample, Tenant, Workload};
use crate::random::Random;

/// How long a message takes.
const MESSAGE: Duration = Duration::from_micros(500);
/// How long a commit takes.
const COMMIT: Duration = Duration::from_millis(2);
/// How long a container takes to start.
const LAUNCH: Duration = Duration::from_millis(50);
/// How long a container takes to die.
const KILL: Duration = Duration::from_millis(10);
/// The workload begins when the fleet has long been there.
const BEGIN: Duration = Duration::from_secs(10);

/// One machine and its agent.
struct Host {
    core: Agent,
    /// For when a tick is on its way.
    tick: Option<Timestamp>,
    /// The containers here, by their places in [`World::live`].
    containers: Vec<(ContainerId, usize)>,
}

/// One framework.
struct Seat {
    core: Framework<Hosted>,
    tick: Option<Timestamp>,
    /// Its present stream.
    stream: Option<u64>,
    streams: u64,
}

/// A container that lives.
struct Live {
    number: u64,
    agent: u32,
    framework: usize,
    container: ContainerId,
    resources: Resources,
    /// How long it runs; none: to the end.
    runs: Option<Duration>,
}

/// All of it.
pub(super) struct World<'a> {
    workload: &'a Workload,
    now: Timestamp,
    end: Timestamp,
    queue: Queue,
    master: Master,
    master_tick: Option<Timestamp>,
    hosts: Vec<Host>,
    seats: Vec<Seat>,
    live: Vec<Option<Live>>,
    unused: Vec<usize>,
    launches: u64,
    books: Books<'a>,
    /// Tasks by their places in the workload that are not handed out.
    never: BTreeSet<usize>,
    /// Tasks that were launched.
    launched: Vec<bool>,
    next_arrival: usize,
    sample_every: Duration,
    result: RunResult,
    hash: u64,
    has_the_word: Arc<AtomicBool>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        workload: &'a Workload,
        asks: &[(Ask, u64)],
        never: &[(usize, String)],
        clients: Vec<Box<dyn Client>>,
        options: &Options,
        seed: u64,
    ) -> Result<Self, RunError> {
        let mut random = Random::new(seed);
        let start = Timestamp::ZERO;
        let (master, effects) =
            Master::start(start, config(workload, random.next()), Registry::default(), "lab");
        let has_the_word = Arc::new(AtomicBool::new(false));
        let seat = |(client, tenant): (Box<dyn Client>, &Tenant)| -> Result<Seat, RunError> {
            let hosted = Hosted { client, has_the_word: has_the_word.clone() };
            let options = lonja_sdk_core::Options {
                info: describe(tenant)?,
                id: None,
                constraints: Default::default(),
                seed: random.next(),
            };
            let core = Framework::new(start, options, hosted).with_max_hold(Duration::MAX);
            Ok(Seat { core, tick: None, stream: None, streams: 0 })
        };
        let seats = clients.into_iter().zip(&workload.frameworks).map(seat).collect::<Result<_, _>>()?;
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
    pub(super) fn into_result(mut self, stopped: Option<String>) -> RunResult {
        if stopped.is_some() {
            // What waits is lost by the policy, and the task at hand in any case.
            self.result.failed += self.books.waiting.max(1);
        }
        self.result.stopped = stopped;
        self.result.trace_hash = self.hash;
        self.result
    }

    fn since_begin(&self) -> Duration {
        self.now.since(Timestamp::ZERO + BEGIN)
    }

    fn note(&mut self, kind: u64, one: u64, other: u64) {
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
            hosted.ask(|client| client.arrive(now, task_id(index), arrival));
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

    fn tell_agent(&mut self, agent: u32, event: AgentEvent) -> Result<(), String> {
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
        let mistake = self.seats[index].core.scheduler_mut().ask(|client| client.mistake());
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

    // Containers.

    fn launch(&mut self, agent: u32, launch: LaunchContainer, durable: Timestamp) -> Result<(), String> {
        let index = index_of(&launch.task.id).filter(|index| *index < self.launched.len());
        let arrival = index.map(|index| &self.workload.arrivals[index]);
        let framework = self.seats.iter().position(|seat| seat.core.id() == Some(&launch.framework));
        let framework = framework.expect("agents run what frameworks launched");
        self.books.take(agent, framework, &launch.task.resources)?;
        if let (Some(index), Some(arrival)) = (index, arrival)
            && !std::mem::replace(&mut self.launched[index], true)
        {
            self.result.placed += 1;
            self.books.waiting -= 1;
            self.result.waits.push(self.since_begin().saturating_sub(arrival.at).as_secs_f64());
        }
        self.note(6, u64::from(agent), index.map_or(u64::MAX, |index| index as u64));
        self.launches += 1;
        let live = Live {
            number: self.launches,
            agent,
            framework,
            container: launch.container.clone(),
            resources: launch.task.resources.clone(),
            runs: arrival.and_then(|arrival| arrival.runs),
        };
        let place = match self.unused.pop() {
            Some(place) => {
                self.live[place] = Some(live);
                place
            }
            None => {
                self.live.push(Some(live));
                self.live.len() - 1
            }
        };
        self.hosts[agent as usize].containers.push((launch.container, place));
        self.queue.push(durable + LAUNCH, Happening::Started { live: place });
        Ok(())
    }

    fn started(&mut self, place: usize) -> Result<(), String> {
        let Some(live) = &self.live[place] else { return Ok(()) };
        if let Some(runs) = live.runs {
            let ended = Happening::Ended { live: place, number: live.number, killed: false };
            self.queue.push(self.now + runs, ended);
        }
        let event = AgentEvent::ContainerStarted { container: live.container.clone(), pid: 1 + place as u32 };
        let agent = live.agent;
        self.tell_agent(agent, event)
    }

    fn ended(&mut self, place: usize, number: u64, killed: bool) -> Result<(), String> {
        let Some(live) = self.live[place].take_if(|live| live.number == number) else { return Ok(()) };
        let Live { agent, framework, container, resources, .. } = live;
        self.unused.push(place);
        self.hosts[agent as usize].containers.retain(|(_, other)| *other != place);
        self.books.give_back(agent, framework, &resources);
        self.result.preempted += u64::from(killed);
        self.note(7, u64::from(agent), number);
        let status = if killed { WaitStatus::Signaled(15) } else { WaitStatus::Exited(0) };
        let exit = ContainerExit { killed_by_request: killed, ..ContainerExit::new(status) };
        self.tell_agent(agent, AgentEvent::ContainerExited { container, exit })
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

fn host(number: usize, machine: &Machine, entropy: Entropy) -> Host {
    let info = AgentInfo {
        hostname: machine.name.clone(),
        port: 5051,
        resources: machine.total.clone(),
        attributes: machine.attributes.clone(),
        domain: None,
        id: None,
    };
    let config = lonja_agent_core::Config::new(info, "1.0.0", format!("lab-{number}"));
    Host { core: Agent::new(config, entropy), tick: None, containers: Vec::new() }
}

/// The master's settings: see the module above for those that differ from production, and why.
fn config(workload: &Workload, seed: u64) -> Config {
    let never = workload.lasts + BEGIN + Duration::from_secs(24 * 3600);
    Config {
        ping_interval: never,
        heartbeat_interval: never,
        offer_timeout: None,
        calls_per_second: u32::MAX,
        call_burst: u32::MAX,
        max_agents: workload.machines.len(),
        max_frameworks: workload.frameworks.len(),
        completed_tasks: 0,
        completed_frameworks: 0,
        allocator: lonja_master_core::AllocatorOptions { seed, ..Default::default() },
        ..Config::default()
    }
}

fn role(tenant: &Tenant) -> Result<Role, RunError> {
    Role::new(&tenant.name).map_err(|why| RunError::NoRole { name: tenant.name.clone(), why })
}

fn describe(tenant: &Tenant) -> Result<FrameworkInfo, RunError> {
    Ok(FrameworkInfo {
        user: "nobody".to_owned(),
        name: tenant.name.clone(),
        failover_timeout: Duration::from_secs(3600),
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::from([
            Capability::PartitionAware,
            Capability::MultiRole,
            Capability::ReservationRefinement,
            Capability::TaskKillingState,
            Capability::GpuResources,
        ]),
        labels: Default::default(),
        roles: BTreeSet::from([role(tenant)?]),
        minimum_offers: BTreeMap::new(),
    })
}

/// The id under which a task of the workload is launched: its place.
fn task_id(index: usize) -> TaskId {
    TaskId::new(format!("t{index}")).expect("letters and digits")
}

fn index_of(id: &TaskId) -> Option<usize> {
    id.as_str().strip_prefix('t')?.parse().ok()
}
