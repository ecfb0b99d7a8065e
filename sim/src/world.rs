//! The world: one virtual clock, one queue of what is to happen, and the machines it happens to.
//!
//! Nothing here waits: time jumps from one event to the next. Events at the same time happen in the order
//! in which they were decided; deadlines of cores come after them, master first. So the seed alone says
//! what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::checkpoint::Checkpoint;
use lonja_model::link::ToAgent;
use lonja_model::{Role, Timestamp};

use crate::clocks::Clocks;
use crate::cluster::Rule;
use crate::disk::Fate;
use crate::faults::{self, Ending, Kill, Moment, Shape};
pub(crate) use crate::happening::Happening;
use crate::happening::Queue;
use crate::health;
use crate::hosts::agent::AgentHost;
use crate::hosts::framework::FrameworkHost;
use crate::hosts::master::MasterHost;
use crate::hosts::resident::Resident;
use crate::hosts::{Process, Turn};
use crate::invariants::{self, Broken};
use crate::journal::{Journal, Reader};
use crate::ledger::Ledger;
use crate::network::{ConnectionId, Network, Payload};
use crate::operator;
use crate::oracle::Oracle;
use crate::partitions::Partitions;
use crate::pods::Pods;
use crate::random::Random;
use crate::report::{Activity, Fault};
use crate::stalls::Stalls;
use crate::steps::{self, Step};
use crate::witness::Witness;
use crate::workload::Plan;
use crate::{Mutant, Options, liveness};

/// How long the cluster may take to settle once the faults have ended.
const SETTLES_WITHIN: Duration = Duration::from_secs(3600);
/// How often it is looked whether it has.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// So many steps of one node in which nothing but keep-alive happened are checked together.
const QUIET_IN_A_ROW: u8 = 32;
/// More events than this at one instant: something goes round in circles.
const AT_ONE_INSTANT: u32 = 10_000;

/// A machine with its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Master,
    Agent(usize),
    Framework(usize),
}

impl Node {
    /// A number of its own.
    pub(crate) fn number(self) -> u64 {
        let of = |kind: u64, index: usize| kind << 32 | u64::try_from(index).unwrap_or(u64::MAX);
        match self {
            Self::Master => 0,
            Self::Agent(index) => of(1, index),
            Self::Framework(index) => of(2, index),
        }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Master => write!(f, "master"),
            Self::Agent(index) => write!(f, "agent {index}"),
            Self::Framework(index) => write!(f, "framework {index}"),
        }
    }
}

/// What came of letting a process handle what is ready.
enum Done {
    /// Nothing is ready.
    Waits,
    Commits,
    /// It has acted; true: nothing but keep-alive happened.
    Acts(bool),
}

/// Who takes part in a world, and what is to happen at its beginning.
pub(crate) struct Cast {
    pub(crate) random: Random,
    pub(crate) agents: Vec<AgentHost>,
    pub(crate) frameworks: Vec<FrameworkHost>,
    pub(crate) network: Network,
    pub(crate) clocks: Clocks,
    pub(crate) queue: Queue,
}

/// A cluster in virtual time.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    /// What looks at tasks see by luck.
    pub(crate) luck: Random,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) master: MasterHost,
    pub(crate) agents: Vec<AgentHost>,
    pub(crate) frameworks: Vec<FrameworkHost>,
    /// What the programs of tasks do; none: what their commands say.
    pub(crate) rule: Option<Rule>,
    /// Nothing goes wrong but what was asked for.
    pub(crate) smooth: bool,
    /// Is that so whenever no faults are drawn?
    pub(crate) gentle: bool,
    /// A guest that panics is started again.
    pub(crate) survives_panics: bool,
    /// Nodes that do not start, whoever starts them.
    pub(crate) held: BTreeSet<Node>,
    pub(crate) oracle: Oracle,
    pub(crate) pods: Pods,
    pub(crate) journal: Journal,
    /// The faults of this run, in order.
    pub(crate) faults: Vec<Fault>,
    pub(crate) activity: Activity,
    pub(crate) mutant: Mutant,
    pub(crate) clocks: Clocks,
    pub(crate) stalls: Stalls,
    pub(crate) partitions: Partitions,
    /// Tries to connect that failed in a row.
    pub(crate) failed_dials: BTreeMap<Node, u32>,
    /// Commands that the operator has said.
    pub(crate) requests: u64,
    lives: BTreeMap<Node, u64>,
    /// When each node wants to be woken, as it said when it was last touched; the master first, then agents, then
    /// frameworks.
    alarms: Vec<Option<Timestamp>>,
    /// How many steps of each node have not been checked, by the same order.
    unchecked: Vec<u8>,
    /// How long the master's present commit takes.
    commit_takes: Duration,
    /// Kills that wait for their victim's next commit.
    pub(crate) armed: BTreeMap<Node, Kill>,
    /// Kills that wait until their victim comes to a step.
    pub(crate) aimed: Vec<Kill>,
    /// Checkpoints that agents have lost with their disks.
    pub(crate) lost: Vec<Checkpoint>,
    pub(crate) witness: Witness,
    pub(crate) ledger: Ledger,
    pub(crate) calm_at: Timestamp,
    look_at: Timestamp,
    crowd: u32,
}

impl World {
    /// The world of `seed`, about to begin.
    pub(crate) fn new(seed: u64, options: &Options, mutant: Mutant, reader: Option<Reader>) -> Self {
        let mut random = Random::new(seed);
        let now = Timestamp::ZERO + Duration::from_secs(1);
        let calm_at = now + options.duration;
        let shape = Shape::draw(&mut random.fork(), options);
        let mut plans = random.fork();
        // The last jobs come before the last faults.
        let time = options.duration / 4 * 3;
        let mut plan = |index| {
            let mut plan = Plan::draw(&mut plans, index, shape.jobs, time);
            if options.faults.health {
                health::afflict(&mut plan, seed, u64::try_from(index).unwrap_or(0));
            }
            plan
        };
        let resident = |index| FrameworkHost::new(now, Resident::Batch(plan(index)));
        let frameworks: Vec<_> = (0..shape.frameworks).map(resident).collect();
        let agents: Vec<_> = (0..shape.agents).map(|index| AgentHost::new(&mut random, index)).collect();
        let mut roles: Vec<Role> = frameworks.iter().flat_map(|host| host.resident.roles()).collect();
        roles.sort();
        roles.dedup();
        let faults = faults::draw(&mut random, options.faults, &shape, &roles, (now, calm_at));
        let clients = (0..agents.len()).map(Node::Agent).chain((0..frameworks.len()).map(Node::Framework));
        let nodes = std::iter::once(Node::Master).chain(clients);
        let clocks = Clocks::draw(&mut random.fork(), options.faults.clocks, nodes);
        let network = Network::draw(&mut random.fork(), options.faults.network);
        let mut queue = Queue::default();
        let mut kept = Vec::new();
        for (number, (at, fault)) in faults.into_iter().enumerate() {
            if options.keep.as_ref().is_none_or(|keep| keep.contains(&number)) {
                kept.push(Fault { number, at_nanos: at.as_nanos(), words: format!("{fault:?}") });
                queue.at(at, fault);
            }
        }
        operator::take_back(&mut queue, calm_at, agents.len(), &roles);
        queue.at(now, Happening::Start(Node::Master));
        for index in 0..agents.len() {
            queue.at(now + random.millis(0, 2_000), Happening::Start(Node::Agent(index)));
        }
        for index in 0..frameworks.len() {
            queue.at(now + random.millis(0, 2_000), Happening::Start(Node::Framework(index)));
        }
        queue.at(calm_at, Happening::Calm);
        let cast = Cast { random, agents, frameworks, network, clocks, queue };
        Self { faults: kept, mutant, calm_at, look_at: calm_at, ..Self::with(seed, now, cast, reader) }
    }

    /// A world of these, about to begin, without faults.
    pub(crate) fn with(seed: u64, now: Timestamp, cast: Cast, reader: Option<Reader>) -> Self {
        let Cast { random, agents, frameworks, network, clocks, queue } = cast;
        let nodes = 1 + agents.len() + frameworks.len();
        Self {
            now,
            random,
            luck: Random::new(seed ^ 0x6c75_636b),
            queue,
            network,
            master: MasterHost::new(),
            agents,
            frameworks,
            rule: None,
            smooth: false,
            gentle: false,
            survives_panics: false,
            held: BTreeSet::new(),
            oracle: Oracle::default(),
            pods: Pods::default(),
            journal: Journal::new(reader),
            faults: Vec::new(),
            activity: Activity::of(&clocks),
            mutant: Mutant::None,
            clocks,
            stalls: Stalls::default(),
            partitions: Partitions::default(),
            failed_dials: BTreeMap::new(),
            requests: 0,
            lives: BTreeMap::new(),
            alarms: vec![None; nodes],
            unchecked: vec![0; nodes],
            commit_takes: Duration::ZERO,
            armed: BTreeMap::new(),
            aimed: Vec::new(),
            lost: Vec::new(),
            witness: Witness::default(),
            ledger: Ledger::default(),
            calm_at: now,
            look_at: now,
            crowd: 0,
        }
    }

    /// When the next thing happens, and whose deadline that is, if it is one.
    fn next(&self) -> Result<(Timestamp, Option<Node>), Broken> {
        match (self.queue.next(), self.next_alarm()) {
            (Some(queued), Some((at, node))) if at < queued => Ok((at, Some(node))),
            (Some(queued), _) => Ok((queued, None)),
            (None, Some((at, node))) => Ok((at, Some(node))),
            (None, None) => Err(Broken::new("liveness", "nothing is going to happen any more")),
        }
    }

    /// Lets one thing happen, if it does by `until`; else only time passes, until then. True: it did.
    pub(crate) fn step_until(&mut self, until: Timestamp) -> Result<bool, Broken> {
        let (at, alarmed) = self.next()?;
        if at > until {
            self.now = self.now.max(until);
            return Ok(false);
        }
        self.pass_time(at)?;
        self.happens(alarmed)?;
        Ok(true)
    }

    /// Lets one thing happen. True: the faults are over and everything has settled.
    pub(crate) fn step(&mut self) -> Result<bool, Broken> {
        let (at, alarmed) = self.next()?;
        self.pass_time(at)?;
        if self.now >= self.look_at {
            self.look_at = self.now + LOOKS_EVERY;
            match liveness::unsettled(self) {
                None => return Ok(true),
                Some(what) if self.now > self.calm_at + SETTLES_WITHIN => {
                    return Err(Broken::new("liveness", what));
                }
                Some(_) => {}
            }
        }
        self.happens(alarmed)?;
        Ok(false)
    }

    fn happens(&mut self, alarmed: Option<Node>) -> Result<(), Broken> {
        self.judge_partitions()?;
        let touched = match alarmed {
            Some(node) => Some(self.wake(node)),
            None => self.happen()?,
        };
        if let Some(node) = touched {
            let quiet = self.turn(node)?;
            self.set_alarm(node);
            self.check(node, quiet)?;
        }
        Ok(())
    }

    /// Checks what a step of `node` may have broken. Keep-alive that changed nothing is left to the next step that
    /// does something, or to the last of a row.
    fn check(&mut self, node: Node, quiet: bool) -> Result<(), Broken> {
        let place = self.place(node);
        self.unchecked[place] += 1;
        if quiet && self.unchecked[place] < QUIET_IN_A_ROW {
            return Ok(());
        }
        self.unchecked[place] = 0;
        invariants::check(self, node)
    }

    /// Where a node stands in lists of all nodes.
    fn place(&self, node: Node) -> usize {
        match node {
            Node::Master => 0,
            Node::Agent(index) => 1 + index,
            Node::Framework(index) => 1 + self.agents.len() + index,
        }
    }

    /// Asks a node that was touched when it wants to be woken.
    pub(crate) fn set_alarm(&mut self, node: Node) {
        let alarm = match node {
            Node::Master => self.master.process.as_ref().and_then(Process::alarm),
            Node::Agent(i) => self.agents[i].process.as_ref().and_then(Process::alarm),
            Node::Framework(i) => self.frameworks[i].process.as_ref().and_then(Process::alarm),
        };
        let alarm = alarm.filter(|_| !self.stalls.contains_key(&node));
        let place = self.place(node);
        self.alarms[place] = alarm.map(|at| self.clocks.world(node, at));
    }

    fn pass_time(&mut self, at: Timestamp) -> Result<(), Broken> {
        self.crowd = if at > self.now { 0 } else { self.crowd + 1 };
        self.now = self.now.max(at);
        if self.crowd > AT_ONE_INSTANT {
            return Err(Broken::new("liveness", format!("{AT_ONE_INSTANT} events and no time passes")));
        }
        Ok(())
    }

    /// The earliest deadline of any core. O(nodes).
    fn next_alarm(&self) -> Option<(Timestamp, Node)> {
        let all = self.alarms.iter().enumerate();
        let (at, place) = all.filter_map(|(place, at)| Some(((*at)?, place))).min()?;
        let node = match place.checked_sub(1) {
            None => Node::Master,
            Some(index) if index < self.agents.len() => Node::Agent(index),
            Some(index) => Node::Framework(index - self.agents.len()),
        };
        Some((at, node))
    }

    /// A process has something to do that no message brought.
    pub(crate) fn nudge(&mut self, node: Node) -> Result<(), Broken> {
        self.wake(node);
        let quiet = self.turn(node)?;
        self.set_alarm(node);
        self.check(node, quiet)
    }

    fn wake(&mut self, node: Node) -> Node {
        self.journal.note(self.now, "wakes", [node.number(), 0], || format!("{node} wakes"));
        match node {
            Node::Master => self.master.process.iter_mut().for_each(|process| process.wake()),
            Node::Agent(i) => self.agents[i].process.iter_mut().for_each(|process| process.wake()),
            Node::Framework(i) => self.frameworks[i].process.iter_mut().for_each(|process| process.wake()),
        }
        node
    }

    /// The next thing in the queue happens; returns whom it happened to.
    fn happen(&mut self) -> Result<Option<Node>, Broken> {
        let Some(what) = self.queue.pop() else { return Ok(None) };
        Ok(match what {
            Happening::Arrival { id, to, payload } => self.arrive(id, to, payload, false)?,
            Happening::Resend { id, to } => self.resend(id, to)?,
            Happening::Reset { id, to } => self.reset(id, to)?,
            Happening::KeepAlive { id, end, asked } => self.keep_alive(id, end, asked)?,
            Happening::Dial { node, life, since } => {
                self.dial(node, life, since);
                Some(node)
            }
            Happening::DialIsLate { framework, id } => self.dial_is_late(framework, id),
            Happening::Start(node) => {
                self.start(node)?;
                Some(node)
            }
            Happening::Committed { node, life } => {
                if self.life(node) != Some(life) {
                    return Ok(None);
                }
                if let Some(until) = self.stalled_until(node) {
                    self.queue.at(until, Happening::Committed { node, life });
                    return Ok(None);
                }
                self.committed(node)?;
                Some(node)
            }
            Happening::Launched { agent, container } => {
                let words = || format!("agent {agent}: container {container} is launched");
                self.journal.note(self.now, "launched", [Node::Agent(agent).number(), 0], words);
                self.launched(agent, container)?;
                Some(Node::Agent(agent))
            }
            Happening::Ended { agent, container } => {
                let words = || format!("agent {agent}: container {container} may end");
                self.journal.note(self.now, "may end", [Node::Agent(agent).number(), 0], words);
                self.ended(agent, container)?;
                Some(Node::Agent(agent))
            }
            Happening::VolumesMade { agent, life, number, works } => {
                self.volumes_made(agent, life, number, works)?;
                Some(Node::Agent(agent))
            }
            Happening::Seen { agent, life, container, kind, number, result } => {
                let words = || format!("agent {agent}: {kind} of container {container}: {result:?}");
                self.journal.note(self.now, "seen", [Node::Agent(agent).number(), number], words);
                self.seen(agent, life, container, kind, number, result)?;
                Some(Node::Agent(agent))
            }
            Happening::Kill(kill) => {
                self.fault(kill)?;
                None
            }
            Happening::Disk(fault) => {
                self.activity.count_disk_fault(&fault);
                self.disk_fault(fault)?;
                None
            }
            Happening::CommitFailed { node, life, durable } => {
                if self.life(node) == Some(life) {
                    self.step_down(node, durable)?;
                }
                None
            }
            Happening::Operate(wish) => self.operate(&wish)?,
            Happening::Trouble(fault) => {
                self.trouble(fault);
                None
            }
            Happening::TroubleEnds(number) => {
                self.trouble_ends(number);
                None
            }
            Happening::Warp(fault) => {
                self.warp(fault);
                None
            }
            Happening::Resume(node) => self.resume(node),
            Happening::Calm => {
                self.journal.note(self.now, "calm", [0, 0], || "the faults end".to_owned());
                self.armed.clear();
                self.aimed.clear();
                self.smooth = self.gentle;
                self.tidy_up_later();
                None
            }
            Happening::Repeat { agent, message } => {
                if let Some(link) = self.agents[agent].link {
                    self.arrive_at_agent(agent, link, Payload::ToAgent(*message))?;
                }
                Some(Node::Agent(agent))
            }
        })
    }

    /// Lets a process handle what is ready, until it waits. True: nothing but keep-alive happened.
    fn turn(&mut self, node: Node) -> Result<bool, Broken> {
        if self.stalls.contains_key(&node) {
            return Ok(true);
        }
        let now = self.local(node);
        let mut quiet = true;
        loop {
            let turn = match node {
                Node::Master => match self.master.process.as_mut().map(|process| process.turn(now)) {
                    None | Some(Turn::Idle) => Done::Waits,
                    Some(Turn::Commits) => Done::Commits,
                    Some(Turn::Acts(effects, calm)) => {
                        self.act_master(effects)?;
                        Done::Acts(calm)
                    }
                },
                Node::Agent(i) => match self.agents[i].process.as_mut().map(|process| process.turn(now)) {
                    None | Some(Turn::Idle) => Done::Waits,
                    Some(Turn::Commits) => Done::Commits,
                    Some(Turn::Acts(effects, calm)) => {
                        self.act_agent(i, effects)?;
                        Done::Acts(calm)
                    }
                },
                Node::Framework(i) => {
                    match self.frameworks[i].process.as_mut().map(|process| process.turn(now)) {
                        None | Some(Turn::Idle) => Done::Waits,
                        Some(Turn::Commits) => Done::Commits,
                        Some(Turn::Acts(effects, calm)) => {
                            self.act_framework(i, effects)?;
                            Done::Acts(calm)
                        }
                    }
                }
            };
            match turn {
                Done::Waits => return Ok(quiet),
                Done::Acts(calm) => quiet &= calm,
                Done::Commits => return self.begin_commit(node).map(|()| false),
            }
        }
    }

    /// A commit is under way; perhaps the process does not live to see its end.
    pub(crate) fn begin_commit(&mut self, node: Node) -> Result<(), Broken> {
        if node == Node::Master {
            self.keep_silence();
            if let Some(effects) =
                self.master.process.as_ref().and_then(|process| process.committing.as_ref())
            {
                self.judge_declarations(effects)?;
            }
        }
        if let Some(kill) = self.armed.remove(&node) {
            self.activity.count_kill(kill);
            return self.die(kill, kill.moment == Moment::AfterDurable);
        }
        for step in self.writes(node) {
            if self.dies_at(node, step)? {
                return Ok(());
            }
        }
        if self.mutant == Mutant::MasterSpeaksFirst && node == Node::Master {
            self.speak_first()?;
        }
        let life = self.lives.get(&node).copied().unwrap_or(0);
        match self.commit_fate(node) {
            Fate::Holds { takes } => {
                if node == Node::Master {
                    self.commit_takes = takes;
                }
                self.queue.at(self.now + takes, Happening::Committed { node, life });
            }
            Fate::Fails { takes, durable } => {
                self.queue.at(self.now + takes, Happening::CommitFailed { node, life, durable });
            }
        }
        Ok(())
    }

    fn committed(&mut self, node: Node) -> Result<(), Broken> {
        let place = self.place(node);
        self.unchecked[place] = QUIET_IN_A_ROW - 1;
        self.journal.note(self.now, "committed", [node.number(), 0], || format!("{node} has committed"));
        match node {
            Node::Master => {
                let effects = self.master.process.as_mut().and_then(|process| process.committing.take());
                let Some(mut effects) = effects else { return Ok(()) };
                // While it waited for a disk that stalls it was as good as stopped.
                let now = self.local(node);
                self.partitions.silence.master_waited(self.commit_takes, now);
                self.commit_master(&mut effects, Ending::Acknowledged)?;
                if self.dies_at(node, Step::MasterCommitted)? {
                    return Ok(());
                }
                self.act_master(effects)
            }
            Node::Agent(i) => {
                let effects = self.agents[i].process.as_mut().and_then(|process| process.committing.take());
                let Some(mut effects) = effects else { return Ok(()) };
                self.commit_agent(i, &mut effects, Ending::Acknowledged)?;
                let first = self.agents[i].recovering;
                let step = if first { Step::AgentRecovered } else { Step::AgentCommitted };
                if self.dies_at(node, step)? {
                    return Ok(());
                }
                self.act_agent(i, effects)?;
                self.agents[i].recovering = false;
                Ok(())
            }
            Node::Framework(i) => {
                let effects =
                    self.frameworks[i].process.as_mut().and_then(|process| process.committing.take());
                let Some(mut effects) = effects else { return Ok(()) };
                self.commit_framework(i, &mut effects, Ending::Acknowledged);
                if self.dies_at(node, Step::FrameworkCommitted)? {
                    return Ok(());
                }
                self.act_framework(i, effects)
            }
        }
    }

    /// What the process of `node` believes the time is.
    pub(crate) fn local(&self, node: Node) -> Timestamp {
        self.clocks.local(node, self.now)
    }

    /// Counts the lives of a node.
    pub(crate) fn next_life(&mut self, node: Node) -> u64 {
        let life = self.lives.entry(node).or_default();
        *life += 1;
        *life
    }

    /// The steps before the commit that `node` is about to make.
    fn writes(&self, node: Node) -> Vec<Step> {
        fn of<C: crate::hosts::Core>(process: Option<&Process<C>>) -> Option<&C::Effects> {
            process.and_then(|process| process.committing.as_ref())
        }
        let mut all: Vec<Step> = match node {
            Node::Master => of(self.master.process.as_ref())
                .map_or_else(Vec::new, |effects| effects.persist.iter().map(steps::master_writes).collect()),
            Node::Agent(i) => of(self.agents[i].process.as_ref())
                .map_or_else(Vec::new, |effects| effects.persist.iter().map(steps::agent_writes).collect()),
            Node::Framework(i) => of(self.frameworks[i].process.as_ref()).map_or_else(Vec::new, |wishes| {
                wishes.persist.iter().filter_map(steps::framework_writes).collect()
            }),
        };
        all.dedup();
        all
    }

    /// A mutant's master speaks before its commit holds.
    fn speak_first(&mut self) -> Result<(), Broken> {
        let effects = self.master.process.as_mut().and_then(|process| process.committing.as_mut());
        let Some(effects) = effects else { return Ok(()) };
        let send = std::mem::take(&mut effects.send);
        self.act_master(lonja_master_core::Effects { send, ..Default::default() })
    }

    /// A mutant's network brings every RUN again, long after.
    pub(crate) fn repeat_run(&mut self, id: ConnectionId, message: &ToAgent) {
        if let (Mutant::NetworkRepeatsRun, ToAgent::Run { .. }, Some(Node::Agent(agent))) =
            (self.mutant, message, self.network.client(id))
        {
            let message = Box::new(message.clone());
            self.queue.at(self.now + Duration::from_secs(300), Happening::Repeat { agent, message });
        }
    }
}
