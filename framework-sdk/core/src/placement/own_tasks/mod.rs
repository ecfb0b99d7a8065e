//! One's own tasks: what runs where, with which labels, beside which attributes.
//!
//! A scheduler keeps this up to date from what it launches and hears: [`OwnTasks::put`] when it launches,
//! [`OwnTasks::update`] on news, [`OwnTasks::saw`] on offers, [`OwnTasks::agent_lost`], [`OwnTasks::subscribed`]. A
//! [`Placement`](crate::placement::Placement) does so by itself.
//!
//! Predicates about one's own tasks ask how many of some there are at some value, of zones for instance. For those
//! that are tracked ([`OwnTasks::track`]) that is counted as tasks come and go, so that the answer costs a look-up.
//!
//! Invariants
//! - A census that is tracked says what counting all tasks anew would say.
//! - A task counts from its launch to its end, also while its agent is unreachable; where it runs is known once an offer
//!   of its agent was seen, and until then it counts by [`Subject::Agent`] alone.
//! - Memory is bounded: [`MAX_TASKS`], [`MAX_AGENTS`], [`MAX_TRACKED`].

mod agents;
mod columns;
mod tracked;

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_model::labels::Labels;
use lonja_model::resources::Scalar;
use lonja_model::{AgentId, Offer, TaskId, TaskStatus};

use crate::placement::predicate::{Census, Predicate, Rule, Standing, Subject, Tasks};
use crate::task::Need;
use agents::{Agents, Machine, Place, Seen};
use columns::Columns;
use tracked::Tracked;

pub(crate) use columns::{Column, Names, Told};

/// The most tasks that are remembered; what is launched beyond counts nowhere.
pub const MAX_TASKS: usize = 1_000_000;

/// The most agents that are remembered though nothing of one's own runs there.
pub const MAX_AGENTS: usize = 200_000;

/// The most kinds of tasks, each by one subject, that are counted as they come and go; beyond, the one not asked for
/// longest is forgotten, and counted anew when it is asked for.
pub const MAX_TRACKED: usize = 4_096;

/// One's own tasks. See the module.
///
/// ```
/// use lonja_model::labels::Labels;
/// use lonja_model::{AgentId, TaskId};
/// use lonja_sdk_core::placement::OwnTasks;
/// use lonja_sdk_core::placement::predicate::{Tasks, agent};
/// use lonja_sdk_core::task::Need;
///
/// let mut own = OwnTasks::new();
/// let labels = Labels(vec![("app".to_owned(), Some("web".to_owned()))]);
/// own.put(TaskId::new("web-1")?, &AgentId::new("a1")?, &labels, &Need::default());
///
/// assert_eq!(own.count(&agent(), &Tasks::labelled("app", "web"), "a1"), 1);
/// # Ok::<(), lonja_model::InvalidId>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OwnTasks {
    tasks: BTreeMap<TaskId, OwnTask>,
    agents: Agents,
    tracked: Tracked,
    columns: Columns,
    /// How often agents have told something new of themselves.
    tellings: u64,
    /// How many agents there are on which nothing runs.
    idle: usize,
    decisions: u64,
    subscription: u64,
}

/// One task.
#[derive(Clone, Debug)]
struct OwnTask {
    agent: AgentId,
    labels: Arc<Labels>,
    need: Need,
}

impl OwnTasks {
    /// None, and no agent is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Where it runs, or is to run.
    pub fn agent_of(&self, task: &TaskId) -> Option<&AgentId> {
        self.tasks.get(task).map(|task| &task.agent)
    }

    /// Its labels.
    pub fn labels_of(&self, task: &TaskId) -> Option<&Labels> {
        self.tasks.get(task).map(|task| &*task.labels)
    }

    /// Those on one agent, in the order of their ids.
    pub fn on(&self, agent: &AgentId) -> impl Iterator<Item = &TaskId> {
        self.agents.get(agent).into_iter().flat_map(|machine| &machine.tasks)
    }

    /// How many of `tasks` there are where `subject` has this value. O(log n) if it is tracked, else O(tasks).
    pub fn count(&self, subject: &Subject, tasks: &Tasks, value: &str) -> u32 {
        self.ask(subject, tasks, &Rule::Present, |standing| standing.census.at(value))
    }

    /// A task is launched there, or was found there. One that is known already is moved. O(log n), times the kinds tracked
    /// that it is of.
    pub fn put(&mut self, task: TaskId, agent: &AgentId, labels: &Labels, need: &Need) {
        self.remove(&task);
        if self.tasks.len() >= MAX_TASKS {
            return;
        }
        let is_new = self.agents.get(agent).is_none();
        let machine = self.agents.get_or_add(agent);
        self.idle -= usize::from(!is_new && machine.tasks.is_empty());
        machine.tasks.insert(task.clone());
        *machine.by_gpus.entry(need.gpus).or_default() += 1;
        let sum = |used: Scalar, more: Scalar| used.checked_add(more).unwrap_or(Scalar::MAX);
        machine.used = (sum(machine.used.0, need.cpus), sum(machine.used.1, need.mem));
        let machine = &*machine;
        if is_new {
            self.tracked.add_agent(|subject| machine.value(agent, subject));
        }
        self.tracked.add_task(labels, |subject| machine.value(agent, subject));
        let labels = Arc::new(labels.clone());
        self.tasks.insert(task, OwnTask { agent: agent.clone(), labels, need: *need });
    }

    /// A task is no more. `false` if it was not known. O(log n), times the kinds tracked that it was of.
    pub fn remove(&mut self, task: &TaskId) -> bool {
        let Some(OwnTask { agent, labels, need }) = self.tasks.remove(task) else { return false };
        let Some(machine) = self.agents.get_mut(&agent) else { return true };
        machine.tasks.remove(task);
        if let Some(count) = machine.by_gpus.get_mut(&need.gpus) {
            *count -= 1;
            if *count == 0 {
                machine.by_gpus.remove(&need.gpus);
            }
        }
        let (cpus, mem) = machine.used;
        machine.used = (cpus.saturating_sub(need.cpus), mem.saturating_sub(need.mem));
        let machine = &*machine;
        self.tracked.remove_task(&labels, |subject| machine.value(&agent, subject));
        if machine.tasks.is_empty() {
            self.idle += 1;
            let may_be_gone = machine.is_lost || machine.seen_in != self.subscription;
            if may_be_gone || machine.place.is_none() || self.idle > MAX_AGENTS {
                self.forget(&agent);
            }
        }
        true
    }

    /// News of a task: one that has ended counts no more.
    pub fn update(&mut self, status: &TaskStatus) {
        if status.state.is_terminal() {
            self.remove(&status.task);
        }
    }

    /// An offer tells what its agent is. O(log agents) if nothing about that is new.
    pub fn saw(&mut self, offer: &Offer) {
        self.see(offer);
    }

    /// The same; returns what is needed to make a room of it.
    pub(crate) fn see(&mut self, offer: &Offer) -> Seen<'_> {
        let slot = self.agents.slot(&offer.agent);
        let known = slot.and_then(|slot| self.agents.at(slot)).map(|machine| machine.is_as_told(offer));
        let slot = match known {
            Some(true) => slot,
            Some(false) => Some(self.learn(offer)),
            None => (self.idle < MAX_AGENTS).then(|| self.learn(offer)),
        };
        let mut machine = slot.and_then(|slot| self.agents.at_mut(slot));
        if let Some(machine) = &mut machine {
            machine.seen_in = self.subscription;
        }
        Seen { machine, slot, decision: self.decisions }
    }

    /// The values of a subject at so many machines that are asked about.
    pub(crate) fn column(&mut self, subject: &Subject, machines: usize) -> &mut Column {
        self.columns.get(subject, machines)
    }

    /// Another decision begins: no offer of it was seen.
    pub(crate) fn begin(&mut self) {
        self.decisions += 1;
    }

    /// Takes in what an agent says of itself; returns where it is kept.
    fn learn(&mut self, offer: &Offer) -> usize {
        let Offer { agent, hostname, domain, attributes, .. } = offer;
        let labels: Vec<Arc<Labels>> =
            self.on(agent).filter_map(|task| self.tasks.get(task)).map(|task| task.labels.clone()).collect();
        match self.agents.get(agent) {
            Some(machine) => {
                for labels in &labels {
                    self.tracked.remove_task(labels, |subject| machine.value(agent, subject));
                }
                self.tracked.remove_agent(|subject| machine.value(agent, subject));
            }
            None => self.idle += 1,
        }
        let place =
            Place { hostname: hostname.clone(), domain: domain.clone(), attributes: attributes.clone() };
        self.tellings += 1;
        let machine = self.agents.get_or_add(agent);
        machine.place = Some(place);
        machine.telling = self.tellings;
        machine.is_lost = false;
        let machine = &*machine;
        self.tracked.add_agent(|subject| machine.value(agent, subject));
        for labels in &labels {
            self.tracked.add_task(labels, |subject| machine.value(agent, subject));
        }
        self.agents.slot(agent).expect("it was just put there")
    }

    /// The subscription stands, for the first time or again. Agents that went away in between are told of by nobody, and
    /// what was their zone alone would count for ever. So those on which nothing runs are forgotten until an offer shows
    /// them anew, and the others once nothing runs there, should none have shown them by then. O(agents).
    pub fn subscribed(&mut self) {
        self.subscription += 1;
        let is_idle = |(_, machine): &(&AgentId, &Machine)| machine.tasks.is_empty();
        let idle: Vec<AgentId> = self.agents.iter().filter(is_idle).map(|(agent, _)| agent.clone()).collect();
        idle.iter().for_each(|agent| self.forget(agent));
    }

    /// An agent is lost. It is forgotten once the news of its tasks have come.
    pub fn agent_lost(&mut self, agent: &AgentId) {
        let Some(machine) = self.agents.get_mut(agent) else { return };
        machine.is_lost = true;
        if machine.tasks.is_empty() {
            self.forget(agent);
        }
    }

    fn forget(&mut self, agent: &AgentId) {
        if let Some(machine) = self.agents.remove(agent) {
            self.idle -= 1;
            self.tracked.remove_agent(|subject| machine.value(agent, subject));
        }
    }

    /// Counts from now on what this predicate asks of one's own tasks. O(tasks + agents) for each kind that was not
    /// tracked.
    pub fn track(&mut self, predicate: &Predicate) {
        predicate.each_leaf(&mut |leaf| {
            if let Some((subject, tasks)) = leaf.of_own() {
                self.track_one(subject, tasks);
            }
        });
    }

    pub(crate) fn track_one(&mut self, subject: &Subject, tasks: &Tasks) {
        if self.tracked.touch(subject, tasks) {
            return;
        }
        if !self.tracked.has_values(subject) {
            self.tracked.insert_values(subject, self.values(subject));
        }
        self.tracked.insert(subject, tasks, self.census(subject, tasks));
    }

    fn census(&self, subject: &Subject, tasks: &Tasks) -> Census {
        let mut census = Census::default();
        for task in self.tasks.values().filter(|task| tasks.match_labels(&task.labels)) {
            let machine = self.agents.get(&task.agent);
            if let Some(value) = machine.and_then(|machine| machine.value(&task.agent, subject)) {
                census.add(&value);
            }
        }
        census
    }

    fn values(&self, subject: &Subject) -> BTreeMap<Arc<str>, u32> {
        let mut values = BTreeMap::new();
        for (agent, machine) in self.agents.iter() {
            if let Some(value) = machine.value(agent, subject) {
                *values.entry(value).or_default() += 1;
            }
        }
        values
    }

    /// What `f` makes of the census of `tasks` by `subject`.
    pub(crate) fn ask<T>(
        &self,
        subject: &Subject,
        tasks: &Tasks,
        rule: &Rule,
        f: impl FnOnce(&Standing<'_>) -> T,
    ) -> T {
        let expected = rule.expected();
        let least = |census: &Census, known: &BTreeMap<Arc<str>, u32>| {
            expected.map_or(0, |expected| census.least(known, expected))
        };
        if let Some((known, census)) = self.tracked.get(subject, tasks) {
            return f(&Standing { census, least: least(census, known), expected, known });
        }
        let census = self.census(subject, tasks);
        let known = if expected.is_some() { self.values(subject) } else { BTreeMap::new() };
        f(&Standing { census: &census, least: least(&census, &known), expected, known: &known })
    }

    /// Do all invariants hold?
    #[cfg(test)]
    pub(crate) fn is_consistent(&self) -> bool {
        let idle = self.agents.iter().filter(|(_, machine)| machine.tasks.is_empty()).count();
        idle == self.idle
            && self.tracked.iter().all(|(subject, tasks, values, census)| {
                *values == self.values(subject) && *census == self.census(subject, tasks)
            })
    }
}

#[cfg(test)]
mod tests;
