//! Tasks and offers in, launches out: what most schedulers place by.
//!
//! A [`Placement`] takes the tasks that wait in their order and puts each where it may go and its scorer likes it best.
//! Offers of one agent and role are used together. What it places counts at once for those behind: rules about one's own
//! tasks hold among the tasks of one decision, too.
//!
//! How it meets its time: machines with the same room share a score, tasks of the same kind share a search, each leaf
//! of the predicates is judged once for each value there is, and a decision makes no more scores than
//! [`Options::most_scores`].
//!
//! Invariants
//! - No launch goes over its offers, and none is where its predicate does not hold, in the order in which they are made.
//! - With the same seed, tasks and offers the decision is the same.
//! - What is told of a task without a place adds up to the offers that were looked at.

mod bits;
mod explain;
mod leaves;
mod machines;
mod misses;
mod ports;
mod rooms;
mod search;
mod values;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::labels::Labels;
use lonja_model::unplaced::Unplaced;
use lonja_model::{AgentId, Offer, OfferId, Resources, TaskId, TaskStatus};

use crate::draws::Draws;
use crate::placement::{Ask, Cluster, OwnTasks, Scorer, Spec};
use crate::task::Need;
use crate::{Plan, PlanError, Problem};
use ports::Choice;
use search::Search;

pub use wanted::{MAX_WISHES, Wanted};

/// Asks that are remembered of what was placed, to tell the scorer what tasks are like.
const MAX_ASKS: usize = 4_096;

/// How a [`Placement`] chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Which ports a task gets that asks for any.
    pub ports: Ports,
    /// About how many scores one decision may make. While asks times different rooms are no more, the best of all rooms is
    /// found. Above, each task is put into the best of as many rooms where it fits as its part of this allows, 16 at
    /// least, beginning behind where the last one went.
    pub most_scores: usize,
}

impl Default for Options {
    /// The lowest ports, and 100,000 scores: 10 to 20 milliseconds.
    fn default() -> Self {
        Self { ports: Ports::Lowest, most_scores: 100_000 }
    }
}

/// Which of the free ports a task gets that asks for any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// The lowest.
    #[default]
    Lowest,
    /// Any, drawn from this seed: a port is not used again soon, so that who still knocks there disturbs nobody.
    Random(u64),
}

impl Options {
    /// Which ports a task gets that asks for any.
    #[must_use]
    pub const fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// About how many scores one decision may make.
    #[must_use]
    pub const fn most_scores(mut self, scores: usize) -> Self {
        self.most_scores = scores;
        self
    }
}

/// Puts tasks on offers. See the module.
///
/// ```
/// use lonja_model::scheduler::MasterInfo;
/// use lonja_model::{AgentId, FrameworkId, Offer, TaskId, TaskStatus, Timestamp};
/// use lonja_sdk_core::placement::policies::BestFit;
/// use lonja_sdk_core::placement::predicate::{Tasks, agent, attribute};
/// use lonja_sdk_core::placement::{Placement, Wanted};
/// use lonja_sdk_core::{Plan, Problem, Scheduler, Task};
///
/// /// Three web servers, no two on one machine.
/// struct Web {
///     waiting: Vec<Wanted>,
///     launched: Vec<Wanted>,
///     placement: Placement,
/// }
///
/// impl Web {
///     fn new() -> Result<Self, Box<dyn std::error::Error>> {
///         let apart = agent().unique(&Tasks::labelled("app", "web"));
///         let task = Task::shell("serve")?.ports(1).label("app", "web").place(attribute("disk").is("ssd") & apart);
///         let waiting = ["web-1", "web-2", "web-3"].map(|id| Ok(Wanted::new(TaskId::new(id)?, task.clone())));
///         let waiting: Result<Vec<Wanted>, lonja_model::InvalidId> = waiting.into_iter().collect();
///         let placement = Placement::new(Box::new(BestFit::default()));
///         Ok(Self { waiting: waiting?, launched: Vec::new(), placement })
///     }
/// }
///
/// impl Scheduler for Web {
///     fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
///         let decision = self.placement.decide(offers, &self.waiting);
///         self.launched.extend(self.waiting.extract_if(.., |wanted| decision.has_placed(wanted.id())));
///         decision.plan.unplaced(decision.unplaced)
///     }
///
///     fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
///         self.placement.update(status);
///         Plan::new()
///     }
///
///     // An impossible launch was not made: its tasks wait again.
///     fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
///         let again = self.placement.refused(problem);
///         self.waiting.extend(self.launched.extract_if(.., |wanted| again.contains(wanted.id())));
///         Plan::new()
///     }
///
///     fn agent_lost(&mut self, _now: Timestamp, agent: &AgentId) -> Plan {
///         self.placement.agent_lost(agent);
///         Plan::new()
///     }
///
///     fn subscribed(&mut self, _now: Timestamp, _framework: &FrameworkId, _master: &MasterInfo) -> Plan {
///         self.placement.subscribed();
///         Plan::new()
///     }
///
///     fn wants_offers(&self) -> bool {
///         !self.waiting.is_empty()
///     }
/// }
/// # Web::new()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Placement {
    scorer: Box<dyn Scorer>,
    options: Options,
    ports: Choice,
    own: OwnTasks,
    largest: Spec,
    workload: BTreeMap<Ask, u64>,
    /// How many tasks were placed, and with how many the scorer is told again what they are like.
    placed: u64,
    tell_at: u64,
    /// Where the next search begins that does not look at all.
    start: usize,
    /// The launches of the last decision.
    launches: Vec<Launch>,
}

/// One launch of a decision.
#[derive(Clone, Debug)]
pub(in crate::placement) struct Launch {
    /// All that it uses: whichever is gone, nothing is launched.
    offers: Vec<OfferId>,
    tasks: Vec<TaskId>,
}

/// A task that has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// Which.
    pub task: TaskId,
    /// Where.
    pub agent: AgentId,
    /// What of the offers it takes.
    pub resources: Resources,
}

/// What was decided.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Decision {
    /// The launches. What it does not use is declined as it is, or may be held ([`Decision::unused`]).
    pub plan: Plan,
    /// Who has a place, in the order in which they were placed.
    pub placed: Vec<Placed>,
    /// Why others have none: of the first [`MAX_UNPLACED`](lonja_model::unplaced::MAX_UNPLACED), as things stand after
    /// all launches.
    pub unplaced: Vec<Unplaced>,
    /// The offers of which nothing is used.
    pub unused: Vec<OfferId>,
}

/// Not all of these tasks have a place beside each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("of {waiting} tasks that start together, {} have no place beside the others", unplaced.len())]
#[non_exhaustive]
pub struct NotTogether {
    /// How many there are.
    pub waiting: usize,
    /// Why those have none that have none, while the others have theirs.
    pub unplaced: Vec<Unplaced>,
    /// The offers on which none of them would go: to wait for the others they are of no use.
    pub unused: Vec<OfferId>,
}

impl Decision {
    /// Has this task a place? O(placed).
    pub fn has_placed(&self, task: &TaskId) -> bool {
        self.placed.iter().any(|placed| placed.task == *task)
    }
}

impl Placement {
    /// By this scorer, such as one of the [`policies`](crate::placement::policies), or one composed of them.
    pub fn new(scorer: Box<dyn Scorer>) -> Self {
        Self::with_options(scorer, Options::default())
    }

    /// The same with these options.
    pub fn with_options(scorer: Box<dyn Scorer>, options: Options) -> Self {
        let ports = match options.ports {
            Ports::Lowest => Choice::Lowest,
            Ports::Random(seed) => Choice::Random(Draws::new(seed)),
        };
        Self {
            scorer,
            options,
            ports,
            own: OwnTasks::new(),
            largest: Spec::default(),
            workload: BTreeMap::new(),
            placed: 0,
            tell_at: 0,
            start: 0,
            launches: Vec::new(),
        }
    }

    /// One's own tasks, as it knows them.
    pub fn own(&self) -> &OwnTasks {
        &self.own
    }

    /// A task of an earlier run that is there: it counts for predicates from now on.
    pub fn restore(&mut self, task: TaskId, agent: &AgentId, labels: &Labels, need: &Need) {
        self.own.put(task, agent, labels, need);
    }

    /// Places what has a place, in this order. What is placed counts as running from now on, until news of its end come
    /// ([`Placement::update`]) or the plan turns out to be impossible ([`Placement::refused`]).
    ///
    /// Each offer stands there once, and none of the tasks runs already: such a task gets no place. O(offers +
    /// tasks + rooms · asks), for tasks of few kinds.
    pub fn decide(&mut self, offers: &[Offer], waiting: &[Wanted]) -> Decision {
        let decision = self.try_out(offers, waiting);
        self.count(&decision, waiting);
        decision
    }

    /// Decides, and does not count it: it may be taken back.
    fn try_out(&mut self, offers: &[Offer], waiting: &[Wanted]) -> Decision {
        let mut search = Search::new(self, offers, waiting);
        search.place_all();
        search.finish()
    }

    /// Places all of them, or none. They are tried in their order, and if that fails the large ones first. Errors:
    /// [`NotTogether`], when nothing was changed.
    pub fn decide_together(&mut self, offers: &[Offer], waiting: &[Wanted]) -> Result<Decision, NotTogether> {
        let decision = self.try_out(offers, waiting);
        if decision.placed.len() == waiting.len() {
            self.count(&decision, waiting);
            return Ok(decision);
        }
        self.take_back(&decision);
        let mut large_first = waiting.to_vec();
        large_first.sort_by_key(|wanted| {
            let need = &wanted.ask().need;
            std::cmp::Reverse((need.gpus.thousandths(), need.cpus, need.mem))
        });
        let other = self.try_out(offers, &large_first);
        if other.placed.len() == waiting.len() {
            self.count(&other, waiting);
            return Ok(other);
        }
        self.take_back(&other);
        let Decision { unplaced, unused, .. } =
            if other.placed.len() > decision.placed.len() { other } else { decision };
        Err(NotTogether { waiting: waiting.len(), unplaced, unused })
    }

    fn take_back(&mut self, decision: &Decision) {
        for placed in &decision.placed {
            self.own.remove(&placed.task);
        }
        self.launches.clear();
    }

    /// Remembers what was placed, to tell the scorer.
    fn count(&mut self, decision: &Decision, waiting: &[Wanted]) {
        let count = u64::try_from(decision.placed.len()).unwrap_or(u64::MAX);
        self.placed = self.placed.saturating_add(count);
        let placed: BTreeSet<&TaskId> = decision.placed.iter().map(|placed| &placed.task).collect();
        for wanted in waiting.iter().filter(|wanted| placed.contains(wanted.id())) {
            if self.workload.len() < MAX_ASKS || self.workload.contains_key(wanted.ask()) {
                *self.workload.entry(wanted.ask().clone()).or_default() += 1;
            }
        }
    }

    /// The launches of the last decision, which are then known no more: for those who make one plan of several decisions.
    pub(in crate::placement) fn take_launches(&mut self) -> Vec<Launch> {
        std::mem::take(&mut self.launches)
    }

    /// The launches of all decisions of a plan.
    pub(in crate::placement) fn set_launches(&mut self, launches: Vec<Launch>) {
        self.launches = launches;
    }

    /// The subscription stands, for the first time or again: what was lost in between is told by nobody, so agents count
    /// for [`Subject::spread`](crate::placement::predicate::Subject::spread) once they are seen anew
    /// ([`OwnTasks::subscribed`]).
    pub fn subscribed(&mut self) {
        self.own.subscribed();
    }

    /// News of a task: one that has ended counts no more.
    pub fn update(&mut self, status: &TaskStatus) {
        self.own.update(status);
    }

    /// An agent is lost.
    pub fn agent_lost(&mut self, agent: &AgentId) {
        self.own.agent_lost(agent);
    }

    /// A launch of the last decision was impossible, for instance because its offer was taken back in between: these tasks
    /// were not launched, and wait again. Launches that the master refused are told of by updates.
    pub fn refused(&mut self, problem: &Problem) -> Vec<TaskId> {
        let Problem::Plan(error) = problem else { return Vec::new() };
        let (offers, task) = match error {
            PlanError::OfferGone(offer) => ([Some(offer), None], None),
            PlanError::OffersDiffer(one, other) => ([Some(one), Some(other)], None),
            PlanError::Exceeds { task, .. }
            | PlanError::TaskIdInUse(task)
            | PlanError::NoResources(task)
            | PlanError::WrongAgent { task, .. } => ([None, None], Some(task)),
            PlanError::NoOffer
            | PlanError::ExecutorExceeds { .. }
            | PlanError::NothingToConvert { .. }
            | PlanError::OperationIdInUse(_)
            | PlanError::TooManyTasks(_)
            | PlanError::MessageTooLarge(_)
            | PlanError::MessageLost(_)
            | PlanError::UnknownTask(_) => ([None, None], None),
        };
        let is_it = |launch: &Launch| {
            let mut named = offers.iter().flatten();
            named.any(|offer| launch.offers.contains(offer))
                || task.is_some_and(|task| launch.tasks.contains(task))
        };
        let Some(index) = self.launches.iter().position(is_it) else { return Vec::new() };
        let Launch { tasks, .. } = self.launches.swap_remove(index);
        tasks.iter().for_each(|task| {
            self.own.remove(task);
        });
        tasks
    }

    /// Tells the scorer what is known, if that has changed by much.
    fn teach(&mut self, largest: Spec, waiting: &[Wanted]) {
        let spec = Spec {
            cpus: self.largest.cpus.max(largest.cpus),
            mem: self.largest.mem.max(largest.mem),
            devices: self.largest.devices.max(largest.devices),
        };
        if spec == self.largest && self.placed < self.tell_at {
            return;
        }
        self.largest = spec;
        self.tell_at = self.placed.saturating_mul(2).max(1);
        let mut workload = self.workload.clone();
        for wanted in waiting {
            if workload.len() < MAX_ASKS || workload.contains_key(wanted.ask()) {
                *workload.entry(wanted.ask().clone()).or_default() += 1;
            }
        }
        self.scorer.learn(&Cluster { largest: spec, workload: workload.into_iter().collect() });
    }
}

#[cfg(test)]
mod tests;
