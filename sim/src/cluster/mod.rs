//! A cluster of guests: any schedulers of the SDK among the production cores, in virtual time, with faults as a test
//! asks for them or as a seed draws them.
//!
//! The same world as in [`fuzz`](crate::fuzz), with all its judges; only who lives on the frameworks' machines, what
//! tasks do and what goes wrong come from outside. `lonja_sdk::testing::TestCluster` is what tests use; this is what it is
//! made of.
//!
//! Invariants
//! - What happens follows from the seed, the members, the rule and the order of calls, and from nothing else.
//! - After the first failure nothing happens any more.
//!
//! Reading order: this file, `guest`, `outcome`, `faults`, `outside`, `view`.

mod faults;
mod guest;
mod outcome;
mod outside;
mod view;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use lonja_model::Timestamp;

pub use faults::Place;
pub use guest::{Member, Promises};
pub use outcome::{Rule, TaskOutcome};
pub use outside::{Outside, PassOn};
pub use view::{TaskView, Told};

use crate::clocks::Clocks;
use crate::happening::Queue;
use crate::hosts::agent::AgentHost;
use crate::hosts::framework::FrameworkHost;
use crate::hosts::resident::{Resident, Speaker};
use crate::invariants::Broken;
use crate::journal::{Entry, Reader};
use crate::lab::Machine;
use crate::network::Network;
use crate::random::Random;
use crate::world::{Cast, Happening, Node, World};
use crate::{Fault, liveness};

/// Events told of a run that failed.
const LAST_EVENTS: usize = 60;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When, since the beginning, in virtual time.
    pub at: Duration,
    /// What promise was broken, and how: `INV-n: ...` of `docs/invariants.md`, `scheduler: ...` for a mistake of the
    /// scheduler's own, `panic: ...` of anything else.
    pub what: String,
    /// The last events before it, if somebody read along.
    pub events: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        write!(f, "after {:?} of virtual time: {}", self.at, self.what)
    }
}

impl std::error::Error for Failure {}

/// A cluster in virtual time with guests for frameworks.
pub struct Cluster {
    world: World,
    born: Timestamp,
    last: Rc<RefCell<VecDeque<String>>>,
    failure: Option<Failure>,
    /// Links that are cut until further notice, by the numbers of their troubles.
    cuts: BTreeMap<Node, u64>,
    /// How many faults were drawn.
    drawn: usize,
    /// Of those that are drawn only these; none: all.
    keep: Option<BTreeSet<usize>>,
}

impl Cluster {
    /// A cluster of these, about to begin: all start within half a second. `words`: the last events are kept in words,
    /// which takes longer.
    pub fn new(seed: u64, machines: Vec<Machine>, members: Vec<Member>, words: bool) -> Self {
        let mut random = Random::new(seed);
        let now = Timestamp::ZERO + Duration::from_secs(1);
        let machine =
            |(index, machine): (usize, Machine)| AgentHost::with(index, machine.total, machine.attributes);
        let agents: Vec<_> = machines.into_iter().enumerate().map(machine).collect();
        let member = |Member(guest)| FrameworkHost::new(now, Resident::Guest(guest));
        let frameworks: Vec<_> = members.into_iter().map(member).collect();
        let mut queue = Queue::default();
        queue.at(now, Happening::Start(Node::Master));
        let clients = (0..agents.len()).map(Node::Agent).chain((0..frameworks.len()).map(Node::Framework));
        for client in clients {
            queue.at(now + random.millis(0, 500), Happening::Start(client));
        }
        let last: Rc<RefCell<VecDeque<String>>> = Rc::default();
        let reader = words.then(|| reader(now, last.clone()));
        let (network, clocks) = (Network::default(), Clocks::default());
        let cast = Cast { random, agents, frameworks, network, clocks, queue };
        let mut world = World::with(seed, now, cast, reader);
        (world.smooth, world.gentle) = (true, true);
        let (cuts, drawn, keep) = (BTreeMap::new(), 0, None);
        Self { world, born: now, last, failure: None, cuts, drawn, keep }
    }

    /// What the programs of tasks do from now on. Without a rule they read it in their commands, as in `fuzz`.
    pub fn set_rule(&mut self, rule: Rule) {
        self.world.rule = Some(rule);
    }

    /// Is a scheduler that panics started again, a second later? If not, it ends the run.
    pub fn set_survives_panics(&mut self, survives: bool) {
        self.world.survives_panics = survives;
    }

    /// Of the faults that are drawn only these happen, by their numbers.
    pub fn set_keep(&mut self, keep: Option<BTreeSet<usize>>) {
        self.keep = keep;
    }

    /// How much virtual time has passed.
    pub fn now(&self) -> Duration {
        self.world.now.since(self.born)
    }

    /// How many agents there are.
    pub fn agents(&self) -> usize {
        self.world.agents.len()
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.world.frameworks.len()
    }

    /// When the last of the drawn faults is over.
    pub fn calm_at(&self) -> Duration {
        self.world.calm_at.since(self.born)
    }

    /// The faults that were drawn, in order.
    pub fn faults(&self) -> &[Fault] {
        &self.world.faults
    }

    /// A number over all events and their times: two runs with the same number are the same.
    pub fn trace_hash(&self) -> u64 {
        self.world.journal.hash()
    }

    /// How many events there were.
    pub fn count_events(&self) -> u64 {
        self.world.journal.events()
    }

    /// The last of them in words, if words are kept; the oldest first.
    pub fn last_events(&self) -> Vec<String> {
        self.last.borrow().iter().cloned().collect()
    }

    /// Lets time pass. Errors: a promise is broken; from then on it is always the same one.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.now().saturating_add(time);
        while self.step(until)? {}
        Ok(())
    }

    /// Lets one thing happen, if it does by then; `false`: none did, and it is then now. Errors: as [`Self::run_for`].
    pub fn step(&mut self, until: Duration) -> Result<bool, Failure> {
        let until = self.born + until;
        self.attempt(|world| world.step_until(until))
    }

    /// Has a member's process look at what [`Outside::give`] has for it, now or as soon as it can. Errors: a promise is
    /// broken.
    pub fn command(&mut self, member: usize) -> Result<(), Failure> {
        self.attempt(|world| world.nudge(Node::Framework(member)))
    }

    /// What is still under way, in words; `None`: every process is up and connected, every task runs or has ended, and
    /// its framework knows. Who is kept down or cut off is not waited for.
    pub fn unsettled(&self) -> Option<String> {
        liveness::unquiet(&self.world)
    }

    /// Fails the run, as a broken promise does.
    pub fn fail(&mut self, what: impl Into<String>) -> Failure {
        let failure = Failure { at: self.now(), what: what.into(), events: self.last_events() };
        self.failure.get_or_insert(failure).clone()
    }

    /// The scheduler of that member; `None`: its process is down, or there is no such member.
    pub fn scheduler(&self, member: usize) -> Option<&dyn std::any::Any> {
        match &self.world.frameworks.get(member)?.process.as_ref()?.core {
            Speaker::Guest(life) => Some(life.scheduler()),
            Speaker::Batch(_) => None,
        }
    }

    /// Does something to the world, unless it has failed. A panic or a broken promise fails it.
    fn attempt<T>(&mut self, act: impl FnOnce(&mut World) -> Result<T, Broken>) -> Result<T, Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let world = &mut self.world;
        let what = match catch_unwind(AssertUnwindSafe(|| act(world))) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(broken)) => broken.to_string(),
            Err(panic) => format!("panic: {}", guest::words(&*panic)),
        };
        Err(self.fail(what))
    }
}

/// What happens all the time and tells nobody anything.
const NOISE: [&str; 5] = ["wakes", "committed", "agent: ping", "master: pong", "framework: heartbeat"];

/// Keeps the last events in words, with their times since `born`.
fn reader(born: Timestamp, last: Rc<RefCell<VecDeque<String>>>) -> Reader {
    Box::new(move |mut entry: Entry| {
        if NOISE.contains(&entry.kind) {
            return;
        }
        entry.at_nanos = entry.at_nanos.saturating_sub(born.as_nanos());
        let mut last = last.borrow_mut();
        if last.len() == LAST_EVENTS {
            last.pop_front();
        }
        last.push_back(entry.to_string());
    })
}
