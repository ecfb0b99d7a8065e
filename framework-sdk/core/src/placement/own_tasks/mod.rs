//! One's own tasks: what runs where, with which labels, beside which attributes.
//!
//! A scheduler keeps this up to date from what it launches and hears: [`OwnTasks::put`] when it launches,
//! [`OwnTasks::update`] on news, [`OwnTasks::saw`] on offers, [`OwnTasks::agent_lost`]. A
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

mod tracked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::labels::Labels;
use lonja_model::resources::Scalar;
use lonja_model::{AgentId, Offer, TaskId, TaskStatus};

use crate::placement::predicate::{Census, Predicate, Rule, Site, Standing, Subject, Tasks};
use crate::placement::{Gpus, Room, Spec};
use crate::task::Need;
use tracked::Tracked;

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
    agents: BTreeMap<AgentId, Machine>,
    tracked: Tracked,
    /// How many agents there are on which nothing runs.
    idle: usize,
    decisions: u64,
}

/// One task.
#[derive(Clone, Debug)]
struct OwnTask {
    agent: AgentId,
    labels: Arc<Labels>,
    need: Need,
}

/// One agent.
#[derive(Clone, Debug, Default)]
struct Machine {
    /// As offers told it.
    place: Option<Place>,
    tasks: BTreeSet<TaskId>,
    by_gpus: BTreeMap<Gpus, u32>,
    used: (Scalar, Scalar),
    /// The most that was ever seen.
    spec: Spec,
    is_lost: bool,
    /// In which decision it was last seen, and as which of its machines.
    mark: Option<(u64, usize)>,
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    hostname: String,
    domain: Option<Domain>,
    attributes: Attributes,
}

impl Place {
    fn is_of(&self, offer: &Offer) -> bool {
        self.hostname == offer.hostname && self.domain == offer.domain && self.attributes == offer.attributes
    }
}

impl Machine {
    /// The value of `subject`, as far as it is known.
    fn value(&self, agent: &AgentId, subject: &Subject) -> Option<Arc<str>> {
        let Some(Place { hostname, domain, attributes }) = &self.place else {
            return (*subject == Subject::Agent).then(|| Arc::from(agent.as_str()));
        };
        let site = Site { agent, hostname, domain: domain.as_ref(), attributes };
        subject.value(&site).map(|value| Arc::from(&*value))
    }
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
        let is_new = !self.agents.contains_key(agent);
        let machine = self.agents.entry(agent.clone()).or_default();
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
            if machine.is_lost || machine.place.is_none() || self.idle > MAX_AGENTS {
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
        let agent = &offer.agent;
        let known = self.agents.get(agent).is_some_and(|machine| {
            !machine.is_lost && machine.place.as_ref().is_some_and(|place| place.is_of(offer))
        });
        if !known && (self.agents.contains_key(agent) || self.idle < MAX_AGENTS) {
            self.learn(offer);
        }
        Seen { machine: self.agents.get_mut(agent), decision: self.decisions }
    }

    /// Another decision begins: no offer of it was seen.
    pub(crate) fn begin(&mut self) {
        self.decisions += 1;
    }

    fn learn(&mut self, offer: &Offer) {
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
        let machine = self.agents.entry(agent.clone()).or_default();
        machine.place = Some(place);
        machine.is_lost = false;
        let machine = &*machine;
        self.tracked.add_agent(|subject| machine.value(agent, subject));
        for labels in &labels {
            self.tracked.add_task(labels, |subject| machine.value(agent, subject));
        }
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
        for (agent, machine) in &self.agents {
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
        let least = |census: &Census, values: &BTreeMap<Arc<str>, u32>| {
            rule.expected().map_or(0, |expected| census.least(values, expected))
        };
        if let Some((values, census)) = self.tracked.get(subject, tasks) {
            return f(&Standing { census, least: least(census, values) });
        }
        let census = self.census(subject, tasks);
        let least = if rule.expected().is_some() { least(&census, &self.values(subject)) } else { 0 };
        f(&Standing { census: &census, least })
    }

    /// Do all invariants hold?
    #[cfg(test)]
    pub(crate) fn is_consistent(&self) -> bool {
        let idle = self.agents.values().filter(|machine| machine.tasks.is_empty()).count();
        idle == self.idle
            && self.tracked.iter().all(|(subject, tasks, values, census)| {
                *values == self.values(subject) && *census == self.census(subject, tasks)
            })
    }
}

/// What is known of an agent whose offer was just seen.
pub(crate) struct Seen<'a> {
    /// None if there are too many to be remembered.
    machine: Option<&'a mut Machine>,
    decision: u64,
}

impl Seen<'_> {
    /// Is there a place to mark it?
    pub(crate) fn is_known(&self) -> bool {
        self.machine.is_some()
    }

    /// The number by which it was marked in this decision.
    pub(crate) fn mark(&self) -> Option<usize> {
        let (decision, number) = self.machine.as_ref()?.mark?;
        (decision == self.decision).then_some(number)
    }

    pub(crate) fn set_mark(&mut self, number: usize) {
        if let Some(machine) = &mut self.machine {
            machine.mark = Some((self.decision, number));
        }
    }

    /// Fills in what an offer does not tell: how large the machine is in all, and what of one's own runs there.
    pub(crate) fn complete(&mut self, room: &mut Room) {
        let Some(machine) = &mut self.machine else { return };
        let sum = |free: Scalar, used: Scalar| free.checked_add(used).unwrap_or(Scalar::MAX);
        let spec = &mut machine.spec;
        spec.cpus = spec.cpus.max(sum(room.cpus, machine.used.0));
        spec.mem = spec.mem.max(sum(room.mem, machine.used.1));
        spec.devices = spec.devices.max(room.devices.len());
        room.spec = *spec;
        if !machine.by_gpus.is_empty() {
            room.tasks = machine.by_gpus.clone();
        }
    }
}

#[cfg(test)]
mod tests;
