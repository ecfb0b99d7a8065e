//! The world: one virtual clock, one queue of what is to happen, and the machines it happens to.
//!
//! Nothing here waits: time jumps from one event to the next. Events at the same time happen in the order
//! in which they were decided; deadlines of cores come after them, master first. So the seed alone says
//! what happens.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::link::ToAgent;
use lonja_model::{ContainerId, Role, Timestamp};

use crate::clocks::Clocks;
use crate::faults::clocks::{self, ClockFault};
use crate::faults::kills::{self, Kill, Moment};
use crate::faults::network::{self, NetworkFault};
use crate::hosts::Turn;
use crate::hosts::agent::AgentHost;
use crate::hosts::framework::FrameworkHost;
use crate::hosts::master::MasterHost;
use crate::invariants::{self, Broken};
use crate::journal::Journal;
use crate::network::{ConnectionId, End, Network, Payload};
use crate::operator::{self, Wish};
use crate::oracle::Oracle;
use crate::partitions::Partitions;
use crate::random::Random;
use crate::report::Activity;
use crate::stalls::Stalls;
use crate::workload::Plan;
use crate::{Mutant, Options, liveness};

/// How long the cluster may take to settle once the faults have ended.
const SETTLES_WITHIN: Duration = Duration::from_secs(3600);
/// How often it is looked whether it has.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// More events than this at one instant: something goes round in circles.
const AT_ONE_INSTANT: u32 = 10_000;

/// A machine with its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Master,
    Agent(usize),
    Framework(usize),
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

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrival {
        id: ConnectionId,
        to: End,
        payload: Payload,
    },
    /// What waited on a way is sent again.
    Resend {
        id: ConnectionId,
        to: End,
    },
    /// An end is told that its connection is over.
    Reset {
        id: ConnectionId,
        to: End,
    },
    /// The keep-alive of an end may be due; `asked`: when it asked whether the other is there.
    KeepAlive {
        id: ConnectionId,
        end: End,
        asked: Option<Timestamp>,
    },
    /// A client tries to connect; `since`: when it first did.
    Dial {
        node: Node,
        life: u64,
        since: Timestamp,
    },
    /// A framework's connection should stand by now.
    DialIsLate {
        framework: usize,
        id: ConnectionId,
    },
    Start(Node),
    Committed {
        node: Node,
        life: u64,
    },
    Launched {
        agent: usize,
        container: ContainerId,
    },
    Ended {
        agent: usize,
        container: ContainerId,
    },
    /// An agent's disk has made folders, or could not.
    VolumesMade {
        agent: usize,
        life: u64,
        number: u64,
        works: bool,
    },
    Kill(Kill),
    Trouble(NetworkFault),
    Warp(ClockFault),
    /// A process that was stopped goes on.
    Resume(Node),
    /// An operator says something.
    Operate(Wish),
    /// The faults end.
    Calm,
    /// A message is there once more; only a mutant's network does that.
    Repeat {
        agent: usize,
        message: Box<ToAgent>,
    },
}

/// What is going to happen, in order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BTreeMap<(Timestamp, u64), Happening>,
    count: u64,
}

impl Queue {
    pub(crate) fn at(&mut self, at: Timestamp, what: Happening) {
        self.count += 1;
        self.events.insert((at, self.count), what);
    }

    fn next(&self) -> Option<Timestamp> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }
}

/// A cluster in virtual time.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) master: MasterHost,
    pub(crate) agents: Vec<AgentHost>,
    pub(crate) frameworks: Vec<FrameworkHost>,
    pub(crate) oracle: Oracle,
    pub(crate) journal: Journal,
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
    /// Kills that wait for their victim's next commit.
    armed: BTreeMap<Node, Kill>,
    calm_at: Timestamp,
    look_at: Timestamp,
    crowd: u32,
}

impl World {
    /// The world of `seed`, about to begin.
    pub(crate) fn new(seed: u64, options: &Options, mutant: Mutant) -> Self {
        let mut random = Random::new(seed);
        let now = Timestamp::ZERO + Duration::from_secs(1);
        let calm_at = now + options.duration;
        let (agents, frameworks) = (options.agents.max(1), options.frameworks.max(1));
        let mut queue = Queue::default();
        let mut plans = random.fork();
        // The last jobs come before the last faults.
        let time = options.duration / 4 * 3;
        let plan = |index| Plan::draw(&mut plans, index, options.tasks.max(1), time);
        let frameworks: Vec<_> =
            (0..frameworks).map(plan).map(|plan| FrameworkHost::new(now, plan)).collect();
        let agents: Vec<_> = (0..agents).map(|index| AgentHost::new(&mut random, index)).collect();
        for (at, kill) in kills::schedule(&mut random.fork(), now, calm_at, agents.len(), frameworks.len()) {
            queue.at(at, Happening::Kill(kill));
        }
        let span = (now, calm_at);
        let network = network::schedule(&mut random.fork(), span, agents.len(), frameworks.len());
        for (at, fault) in network.faults {
            queue.at(at, Happening::Trouble(fault));
        }
        for (at, fault) in clocks::schedule(&mut random.fork(), span, agents.len(), frameworks.len()) {
            queue.at(at, Happening::Warp(fault));
        }
        let clients = (0..agents.len()).map(Node::Agent).chain((0..frameworks.len()).map(Node::Framework));
        let clocks = Clocks::draw(&mut random.fork(), std::iter::once(Node::Master).chain(clients));
        let activity = Activity::of(&clocks);
        let mut roles: Vec<Role> = frameworks.iter().map(|host| host.plan.role()).collect();
        roles.sort();
        roles.dedup();
        operator::schedule(&mut random.fork(), &mut queue, (now, calm_at), agents.len(), &roles);
        queue.at(now, Happening::Start(Node::Master));
        for index in 0..agents.len() {
            queue.at(now + random.millis(0, 2_000), Happening::Start(Node::Agent(index)));
        }
        for index in 0..frameworks.len() {
            queue.at(now + random.millis(0, 2_000), Happening::Start(Node::Framework(index)));
        }
        queue.at(calm_at, Happening::Calm);
        Self {
            now,
            random,
            queue,
            network: Network::new(network.repeats),
            master: MasterHost::new(),
            agents,
            frameworks,
            oracle: Oracle::default(),
            journal: Journal::new(),
            activity,
            mutant,
            clocks,
            stalls: Stalls::default(),
            partitions: Partitions::default(),
            failed_dials: BTreeMap::new(),
            requests: 0,
            lives: BTreeMap::new(),
            armed: BTreeMap::new(),
            calm_at,
            look_at: calm_at,
            crowd: 0,
        }
    }

    /// Lets one thing happen. True: the faults are over and everything has settled.
    pub(crate) fn step(&mut self) -> Result<bool, Broken> {
        let alarm = self.next_alarm();
        let queued = self.queue.next();
        let (at, alarmed) = match (queued, alarm) {
            (Some(queued), Some((at, node))) if at < queued => (at, Some(node)),
            (Some(queued), _) => (queued, None),
            (None, Some((at, node))) => (at, Some(node)),
            (None, None) => return Err(Broken::new("liveness", "nothing is going to happen any more")),
        };
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
        let touched = match alarmed {
            Some(node) => Some(self.wake(node)),
            None => self.happen()?,
        };
        if let Some(node) = touched {
            self.turn(node)?;
            invariants::check(self, node)?;
        }
        Ok(false)
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
        let alarm = |node: Node, at: Option<Timestamp>| {
            let at = at.filter(|_| !self.stalls.contains_key(&node))?;
            Some((self.clocks.world(node, at), node))
        };
        let master = self.master.process.iter();
        let master = master.filter_map(|process| alarm(Node::Master, process.alarm()));
        let agents = self.agents.iter().enumerate();
        let agents = agents.filter_map(|(i, host)| alarm(Node::Agent(i), host.process.as_ref()?.alarm()));
        let frameworks = self.frameworks.iter().enumerate();
        let frameworks =
            frameworks.filter_map(|(i, host)| alarm(Node::Framework(i), host.process.as_ref()?.alarm()));
        master.chain(agents).chain(frameworks).min()
    }

    fn wake(&mut self, node: Node) -> Node {
        self.journal.note(self.now, &format!("{node} wakes"));
        match node {
            Node::Master => self.master.process.iter_mut().for_each(|process| process.wake()),
            Node::Agent(i) => self.agents[i].process.iter_mut().for_each(|process| process.wake()),
            Node::Framework(i) => self.frameworks[i].process.iter_mut().for_each(|process| process.wake()),
        }
        node
    }

    /// The next thing in the queue happens; returns whom it happened to.
    fn happen(&mut self) -> Result<Option<Node>, Broken> {
        let Some((_, what)) = self.queue.events.pop_first() else { return Ok(None) };
        Ok(match what {
            Happening::Arrival { id, to, payload } => self.arrive(id, to, payload, false)?,
            Happening::Resend { id, to } => self.resend(id, to)?,
            Happening::Reset { id, to } => self.reset(id, to),
            Happening::KeepAlive { id, end, asked } => self.keep_alive(id, end, asked),
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
                self.journal.note(self.now, &format!("agent {agent}: container {container} is launched"));
                self.launched(agent, container);
                Some(Node::Agent(agent))
            }
            Happening::Ended { agent, container } => {
                self.journal.note(self.now, &format!("agent {agent}: container {container} may end"));
                self.ended(agent, container);
                Some(Node::Agent(agent))
            }
            Happening::VolumesMade { agent, life, number, works } => {
                self.volumes_made(agent, life, number, works);
                Some(Node::Agent(agent))
            }
            Happening::Kill(kill) => {
                self.fault(kill)?;
                None
            }
            Happening::Trouble(fault) => {
                self.trouble(fault);
                None
            }
            Happening::Warp(fault) => {
                self.warp(fault);
                None
            }
            Happening::Resume(node) => self.resume(node),
            Happening::Operate(wish) => self.operate(&wish),
            Happening::Calm => {
                self.journal.note(self.now, "the faults end");
                self.armed.clear();
                None
            }
            Happening::Repeat { agent, message } => {
                if let Some(link) = self.agents[agent].link {
                    self.arrive_at_agent(agent, link, Payload::ToAgent(*message));
                }
                Some(Node::Agent(agent))
            }
        })
    }

    /// Lets a process handle what is ready, until it waits.
    fn turn(&mut self, node: Node) -> Result<(), Broken> {
        if self.stalls.contains_key(&node) {
            return Ok(());
        }
        let now = self.local(node);
        loop {
            let commits = match node {
                Node::Master => match self.master.process.as_mut().map(|process| process.turn(now)) {
                    None | Some(Turn::Idle) => return Ok(()),
                    Some(Turn::Commits) => true,
                    Some(Turn::Acts(effects)) => {
                        self.act_master(effects)?;
                        false
                    }
                },
                Node::Agent(i) => match self.agents[i].process.as_mut().map(|process| process.turn(now)) {
                    None | Some(Turn::Idle) => return Ok(()),
                    Some(Turn::Commits) => true,
                    Some(Turn::Acts(effects)) => {
                        self.act_agent(i, effects)?;
                        false
                    }
                },
                Node::Framework(i) => {
                    match self.frameworks[i].process.as_mut().map(|process| process.turn(now)) {
                        None | Some(Turn::Idle) => return Ok(()),
                        Some(Turn::Commits) => true,
                        Some(Turn::Acts(effects)) => {
                            self.act_framework(i, effects)?;
                            false
                        }
                    }
                }
            };
            if commits {
                return self.begin_commit(node);
            }
        }
    }

    /// A commit is under way; perhaps the process does not live to see its end.
    pub(crate) fn begin_commit(&mut self, node: Node) -> Result<(), Broken> {
        if let Some(kill) = self.armed.remove(&node) {
            self.activity.count_kill(kill);
            return self.die(kill, kill.moment == Moment::AfterDurable);
        }
        let takes = self.random.between(Duration::from_micros(20), Duration::from_millis(3));
        let life = self.lives.get(&node).copied().unwrap_or(0);
        self.queue.at(self.now + takes, Happening::Committed { node, life });
        Ok(())
    }

    fn committed(&mut self, node: Node) -> Result<(), Broken> {
        self.journal.note(self.now, &format!("{node} has committed"));
        match node {
            Node::Master => {
                let effects = self.master.process.as_mut().and_then(|process| process.committing.take());
                let Some(mut effects) = effects else { return Ok(()) };
                self.commit_master(&mut effects);
                self.act_master(effects)
            }
            Node::Agent(i) => {
                let effects = self.agents[i].process.as_mut().and_then(|process| process.committing.take());
                let Some(mut effects) = effects else { return Ok(()) };
                self.commit_agent(i, &mut effects)?;
                self.act_agent(i, effects)
            }
            Node::Framework(i) => {
                let effects =
                    self.frameworks[i].process.as_mut().and_then(|process| process.committing.take());
                let Some(mut effects) = effects else { return Ok(()) };
                self.commit_framework(i, &mut effects);
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

    /// A kill waits for its victim's next commit.
    pub(crate) fn arm(&mut self, kill: Kill) {
        self.armed.insert(kill.node, kill);
    }

    /// Does `mutant`'s disk forget its commit numbered `commit`?
    pub(crate) fn forgets(&self, mutant: Mutant, commit: u64) -> bool {
        self.mutant == mutant && commit % 5 == 3
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
