//! The tasks the agent has taken on, and their frameworks.
//!
//! Invariants
//! - A container's name belongs to one task, or to one executor with all of its tasks if it is a custom one.
//! - A framework is known as long as it has tasks or executors.
//! - A task that has ended is promised nothing and holds nothing.
//! - The weight is that of all records as they stand, and of what was last said of each task.
//! - What differs from the checkpoint is marked as changed, and leaves as a [`CheckpointOp`] at the end of
//!   the same event.

mod task;

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::checkpoint::{CheckpointOp, TaskRecord};
use lonja_model::framework::{Capability, FrameworkInfo};
use lonja_model::resources::AddError;
use lonja_model::weight::Weigh;
use lonja_model::{ContainerId, FrameworkId, Resources, TaskId, TaskInfo};

use crate::company::{Company, Executor, ExecutorKey, ExecutorPlace, Share};
use crate::effects::Effects;
use crate::history::History;
use crate::ledger::{Ledger, Sum};
use crate::view::Tally;

pub(crate) use task::{Handed, Place, Task, without_data};

/// Names a task: task ids are unique within a framework only.
pub(crate) type Key = (FrameworkId, TaskId);

/// All tasks, by name and by container.
#[derive(Debug)]
pub(crate) struct Book {
    tasks: BTreeMap<Key, Task>,
    by_container: BTreeMap<ContainerId, Key>,
    by_framework: BTreeMap<FrameworkId, BTreeSet<TaskId>>,
    frameworks: BTreeMap<FrameworkId, FrameworkInfo>,
    /// Who runs together with whom. Executors are put in and taken out by the book, for the sums' sake.
    pub(crate) company: Company,
    /// Executors that ended while no master knew the agent, and how.
    pub(crate) untold: BTreeMap<ExecutorKey, Option<i32>>,
    ledger: Ledger,
    waiting: BTreeMap<u64, Key>,
    arrivals: u64,
    /// What has ended for good.
    pub(crate) history: History,
    /// What has happened since the start.
    pub(crate) tally: Tally,
    changed_tasks: BTreeSet<Key>,
    changed_frameworks: BTreeSet<FrameworkId>,
    total_changed: bool,
    /// All records of tasks, executors and frameworks together, with what was last said of each task, in bytes.
    weight: usize,
}

impl Book {
    /// No tasks on an agent that has `total`.
    pub(crate) fn new(total: Resources) -> Self {
        Self {
            tasks: BTreeMap::new(),
            by_container: BTreeMap::new(),
            by_framework: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            company: Company::default(),
            untold: BTreeMap::new(),
            ledger: Ledger::new(total),
            waiting: BTreeMap::new(),
            arrivals: 0,
            history: History::default(),
            tally: Tally::default(),
            changed_tasks: BTreeSet::new(),
            changed_frameworks: BTreeSet::new(),
            total_changed: false,
            weight: 0,
        }
    }

    /// All records together, with what was last said of each task, in bytes: no less than what a registration tells at once, and than
    /// the most that one commit writes.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// What more there would be to keep with the framework described so.
    pub(crate) fn framework_growth(&self, framework: &FrameworkId, info: &FrameworkInfo) -> usize {
        info.weight().saturating_sub(self.frameworks.get(framework).map_or(0, Weigh::weight))
    }

    /// How many tasks there are, ended ones included.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Every task, ordered by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Task)> {
        self.tasks.iter()
    }

    /// The task of that name, with its name.
    pub(crate) fn entry(&self, key: &Key) -> Option<(&Key, &Task)> {
        self.tasks.get_key_value(key)
    }

    /// Names of every task.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.tasks.keys().cloned().collect()
    }

    /// Names of a framework's tasks.
    pub(crate) fn keys_of(&self, framework: &FrameworkId) -> Vec<Key> {
        let tasks = self.by_framework.get(framework).into_iter().flatten();
        tasks.map(|task| (framework.clone(), task.clone())).collect()
    }

    /// The task of that name.
    pub(crate) fn get(&self, key: &Key) -> Option<&Task> {
        self.tasks.get(key)
    }

    /// The task in that container.
    pub(crate) fn in_container(&self, container: &ContainerId) -> Option<(Key, &Task)> {
        let key = self.by_container.get(container)?;
        self.tasks.get(key).map(|task| (key.clone(), task))
    }

    /// Is that container's name taken?
    pub(crate) fn knows_container(&self, container: &ContainerId) -> bool {
        self.by_container.contains_key(container)
            || self.company.in_container(container).is_some()
            || self.company.has_group(container)
    }

    /// How many containers have names.
    pub(crate) fn container_count(&self) -> usize {
        self.by_container.len()
    }

    /// Each framework that has tasks.
    pub(crate) fn frameworks(&self) -> &BTreeMap<FrameworkId, FrameworkInfo> {
        &self.frameworks
    }

    /// Does the framework understand `capability`?
    pub(crate) fn can(&self, framework: &FrameworkId, capability: Capability) -> bool {
        self.frameworks.get(framework).is_some_and(|info| info.can(capability))
    }

    /// `total` is all the agent has from now on.
    pub(crate) fn replace_total(&mut self, total: Resources) {
        self.ledger.replace_total(total);
        self.total_changed = true;
    }

    /// What is spoken for.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The number of the next task that must wait.
    pub(crate) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Notes a framework as it last described itself.
    pub(crate) fn put_framework(&mut self, framework: &FrameworkId, info: FrameworkInfo) {
        if self.frameworks.get(framework) != Some(&info) {
            self.weight += info.weight();
            let before = self.frameworks.insert(framework.clone(), info);
            self.weight -= before.weight();
            self.changed_frameworks.insert(framework.clone());
        }
    }

    /// Takes on a task. Errors, with nothing changed: something that has one holder would have two.
    pub(crate) fn insert(&mut self, key: Key, record: TaskRecord, place: Place) -> Result<(), AddError> {
        let executor = record.info.executor_id().map(|executor| (key.0.clone(), executor.clone()));
        let executor = executor.and_then(|executor| self.company.get(&executor));
        let home = executor.map_or(&record.container, |executor| &executor.record.container).clone();
        let task = Task::new(record, place, home);
        let needed = &task.record.info.resources;
        if task.is_promised() {
            self.ledger.take(Sum::Promised, needed)?;
        }
        if task.is_holding()
            && let Err(error) = self.ledger.take(Sum::Held, needed)
        {
            if task.is_promised() {
                self.ledger.give_back(Sum::Promised, needed);
            }
            return Err(error);
        }
        if task.is_holding() {
            share(&mut self.company, &key, &task.record.info, Share::add);
        }
        if let Place::Waiting(arrival) = place {
            self.waiting.insert(arrival, key.clone());
        }
        if !task.is_custom() {
            self.by_container.insert(task.record.container.clone(), key.clone());
        }
        self.company.join(&key, &task.record);
        self.by_framework.entry(key.0.clone()).or_default().insert(key.1.clone());
        self.changed_tasks.insert(key.clone());
        self.weight += task.weight();
        self.tasks.insert(key, task);
        Ok(())
    }

    /// The task of that name, to change what is not durable and does not bear on resources.
    pub(crate) fn volatile(&mut self, key: &Key) -> Option<&mut Task> {
        self.tasks.get_mut(key)
    }

    /// Changes a task; the sums follow, and the checkpoint will. `None`: there is no such task.
    pub(crate) fn change<T>(&mut self, key: &Key, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let result = self.adjust(key, change)?;
        self.changed_tasks.insert(key.clone());
        Some(result)
    }

    /// What is known of a task's container has changed, and nothing that is durable.
    pub(crate) fn put_in(&mut self, key: &Key, place: Place) {
        self.adjust(key, |task| task.place = place);
    }

    fn adjust<T>(&mut self, key: &Key, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let task = self.tasks.get_mut(key)?;
        let before = (task.is_promised(), task.is_holding(), task.place);
        self.weight -= task.weight();
        let result = change(task);
        self.weight += task.weight();
        let after = (task.is_promised(), task.is_holding(), task.place);
        let needed = &task.record.info.resources;
        for (sum, was, is) in [(Sum::Promised, before.0, after.0), (Sum::Held, before.1, after.1)] {
            match (was, is) {
                (true, false) => self.ledger.give_back(sum, needed),
                (false, true) => {
                    self.ledger.take(sum, needed).expect("a task that waited is started when it fits")
                }
                (true, true) | (false, false) => {}
            }
        }
        match (before.1, after.1) {
            (false, true) => share(&mut self.company, key, &task.record.info, Share::add),
            (true, false) => share(&mut self.company, key, &task.record.info, Share::take_out),
            (true, true) | (false, false) => {}
        }
        if let (Place::Waiting(arrival), true) = (before.2, before.2 != after.2) {
            self.waiting.remove(&arrival);
        }
        Some(result)
    }

    /// The task that waits longest for what is still held by others.
    pub(crate) fn first_waiting(&self) -> Option<(Key, &Task)> {
        let (_, key) = self.waiting.first_key_value()?;
        self.tasks.get(key).map(|task| (key.clone(), task))
    }

    /// Forgets a task that has ended, and its framework with the last of its tasks.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Task> {
        self.change(key, |task| task.place = Place::Ended)?;
        let task = self.tasks.remove(key)?;
        self.weight -= task.weight();
        if let Some(framework) = self.frameworks.get(&key.0) {
            self.history.note_task(&key.0, framework, &task);
        }
        if task.is_promised() {
            self.ledger.give_back(Sum::Promised, &task.record.info.resources);
        }
        if !task.is_custom() {
            self.by_container.remove(&task.record.container);
        }
        self.company.leave(key, &task.record);
        if let Some(tasks) = self.by_framework.get_mut(&key.0) {
            tasks.remove(&key.1);
            if tasks.is_empty() {
                self.by_framework.remove(&key.0);
            }
        }
        self.forget_unused(&key.0);
        Some(task)
    }

    /// Forgets a framework that has neither tasks nor executors any more.
    fn forget_unused(&mut self, framework: &FrameworkId) {
        if !self.is_in_use(framework)
            && let Some(info) = self.frameworks.remove(framework)
        {
            self.weight -= info.weight();
            self.changed_frameworks.insert(framework.clone());
        }
    }

    fn is_in_use(&self, framework: &FrameworkId) -> bool {
        self.by_framework.contains_key(framework) || self.company.of_framework(framework).next().is_some()
    }

    /// Says what the checkpoint must take in. The total comes first, for tasks rest on it. A framework stands there before and after its tasks, so that
    /// a record always has its framework, wherever the writing stops.
    pub(crate) fn flush(&mut self, effects: &mut Effects) {
        if std::mem::take(&mut self.total_changed) {
            effects.persist.push(CheckpointOp::Total(self.ledger.total().clone()));
        }
        let frameworks = std::mem::take(&mut self.changed_frameworks);
        let (known, forgotten): (Vec<_>, Vec<_>) =
            frameworks.into_iter().partition(|framework| self.frameworks.contains_key(framework));
        for framework in known {
            let info = self.frameworks.get(&framework).cloned().map(Box::new);
            effects.persist.push(CheckpointOp::Framework(framework, info));
        }
        for key in std::mem::take(&mut self.changed_tasks) {
            let record = self.tasks.get(&key).map(|task| Box::new(task.record.clone()));
            effects.persist.push(CheckpointOp::Task(key.0, key.1, record));
        }
        for key in self.company.take_changed() {
            let record = self.company.get(&key).map(|executor| Box::new(executor.record.clone()));
            effects.persist.push(CheckpointOp::Executor(key.0, key.1, record));
        }
        effects.persist.extend(forgotten.into_iter().map(|gone| CheckpointOp::Framework(gone, None)));
    }

    /// Takes in a framework of the checkpoint, after its tasks; one that has none left is forgotten.
    pub(crate) fn recover_framework(&mut self, framework: FrameworkId, info: FrameworkInfo) {
        if self.is_in_use(&framework) {
            self.weight += info.weight();
            self.frameworks.insert(framework, info);
        } else {
            self.changed_frameworks.insert(framework);
        }
    }

    /// The tasks inserted so far stay, even if they need more than there is.
    pub(crate) fn admit_debt(&mut self) {
        self.ledger.admit_debt();
    }

    /// Takes in the total at the start; `is_news`: the checkpoint holds another.
    pub(crate) fn recover_total(&mut self, total: Resources, is_news: bool) {
        self.ledger.replace_total(total);
        self.total_changed = is_news;
    }

    /// The tasks inserted so far stand in the checkpoint already: none counts as changed.
    pub(crate) fn settle(&mut self) {
        self.changed_frameworks.clear();
        self.changed_tasks.clear();
        let _known = self.company.take_changed();
    }

    /// Takes on an executor. Errors, with nothing changed: something that has one holder would have two.
    pub(crate) fn insert_executor(&mut self, key: ExecutorKey, executor: Executor) -> Result<(), AddError> {
        let needed = executor.record.info.resources.clone();
        if executor.is_promised() {
            self.ledger.take(Sum::Promised, &needed)?;
        }
        if executor.is_holding()
            && let Err(error) = self.ledger.take(Sum::Held, &needed)
        {
            if executor.is_promised() {
                self.ledger.give_back(Sum::Promised, &needed);
            }
            return Err(error);
        }
        self.weight += executor.record.weight();
        self.company.insert(key, executor);
        Ok(())
    }

    /// Changes an executor; the sums follow, and the checkpoint will. `None`: there is no such executor.
    pub(crate) fn change_executor<T>(
        &mut self,
        key: &ExecutorKey,
        change: impl FnOnce(&mut Executor) -> T,
    ) -> Option<T> {
        self.adjust_executor(key, change).inspect(|_| self.company.mark_changed(key))
    }

    /// Where an executor stands has changed, and nothing that is durable.
    pub(crate) fn put_executor_in(&mut self, key: &ExecutorKey, place: ExecutorPlace) {
        self.adjust_executor(key, |executor| executor.place = place);
    }

    fn adjust_executor<T>(
        &mut self,
        key: &ExecutorKey,
        change: impl FnOnce(&mut Executor) -> T,
    ) -> Option<T> {
        let executor = self.company.volatile(key)?;
        let before = (executor.is_promised(), executor.is_holding());
        let result = change(executor);
        let after = (executor.is_promised(), executor.is_holding());
        let needed = &executor.record.info.resources;
        for (sum, was, is) in [(Sum::Promised, before.0, after.0), (Sum::Held, before.1, after.1)] {
            match (was, is) {
                (true, false) => self.ledger.give_back(sum, needed),
                (false, true) => {
                    self.ledger.take(sum, needed).expect("an executor that waited is started when it fits")
                }
                (true, true) | (false, false) => {}
            }
        }
        Some(result)
    }

    /// An executor is no more.
    pub(crate) fn remove_executor(&mut self, key: &ExecutorKey) -> Option<Executor> {
        let executor = self.company.remove(key)?;
        self.weight -= executor.record.weight();
        if let Some(framework) = self.frameworks.get(&key.0) {
            self.history.note_executor(&key.0, framework, &executor);
        }
        let needed = &executor.record.info.resources;
        if executor.is_promised() {
            self.ledger.give_back(Sum::Promised, needed);
        }
        if executor.is_holding() {
            self.ledger.give_back(Sum::Held, needed);
        }
        self.forget_unused(&key.0);
        Some(executor)
    }
}

/// The account of a task's custom executor, if it has one, follows what the task holds.
fn share(company: &mut Company, key: &Key, task: &TaskInfo, change: fn(&mut Share, &TaskInfo)) {
    let Some(executor) = task.executor_id().filter(|_| task.is_in_custom_executor()) else { return };
    if let Some(executor) = company.volatile(&(key.0.clone(), executor.clone())) {
        change(&mut executor.share, task);
    }
}
