//! Who runs together with whom: executors, the tasks in each, and the tasks that were launched as a group.
//!
//! Invariants
//! - An executor's container, and a group's name, belong to nobody else.
//! - An executor's tasks are those with a record that name it; a group's are those with a record of it.
//! - What of an executor differs from the checkpoint is marked as changed.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::checkpoint::{ExecutorRecord, TaskRecord};
use lonja_model::task::Reason;
use lonja_model::{ContainerId, ExecutorId, FrameworkId, Resources, TaskId, TaskInfo};

use crate::book::Key;

/// Names an executor: its id is unique within a framework only.
pub(crate) type ExecutorKey = (FrameworkId, ExecutorId);

/// One executor: what is durable and what is not.
#[derive(Debug)]
pub(crate) struct Executor {
    /// What the checkpoint holds, at the end of each event.
    pub(crate) record: ExecutorRecord,
    /// Where it stands.
    pub(crate) place: ExecutorPlace,
    /// It has subscribed in this life of the agent.
    pub(crate) has_subscribed: bool,
    /// It has shown its token in this life of the agent: nobody speaks for it without.
    pub(crate) has_proved: bool,
    /// It ran before this life of the agent began.
    pub(crate) was_recovered: bool,
    /// Why the agent ends it; its tasks are told.
    pub(crate) given_up: Option<(Reason, String)>,
    /// What its tasks hold, kept by the book so that nobody has to add it up.
    pub(crate) share: Share,
}

/// What the tasks of a custom executor hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// How many they are.
    pub(crate) tasks: usize,
    /// How many of them have limits of their own.
    pub(crate) limited: usize,
    /// What they need together.
    pub(crate) resources: Resources,
}

impl Share {
    /// One more task holds what it needs.
    pub(crate) fn add(&mut self, task: &TaskInfo) {
        self.tasks += 1;
        self.limited += usize::from(!task.limits.is_empty());
        let sum = self.resources.checked_add(&task.resources);
        self.resources = sum.expect("what is held has one holder, or the ledger had refused it");
    }

    /// A task holds nothing any more.
    pub(crate) fn take_out(&mut self, task: &TaskInfo) {
        self.tasks -= 1;
        self.limited -= usize::from(!task.limits.is_empty());
        let rest = self.resources.checked_sub(&task.resources);
        self.resources = rest.expect("what a task held was added");
    }
}

/// Where an executor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutorPlace {
    /// What it needs is still held by tasks whose framework is gone.
    Waiting,
    /// The built-in one: it is there, as long as it has tasks.
    Open,
    /// A custom one: the shell makes its container. Its program may have subscribed before that is known to run.
    Launching {
        /// The connection over which it is subscribed.
        connection: Option<u64>,
    },
    /// A custom one: its program runs.
    Running {
        /// The process id.
        pid: u32,
        /// The connection over which it is subscribed.
        connection: Option<u64>,
    },
    /// A custom one: its container is no more, and its tasks are being told.
    Ended,
}

impl ExecutorPlace {
    /// The connection over which it is subscribed.
    pub(crate) fn connection(self) -> Option<u64> {
        match self {
            Self::Launching { connection } | Self::Running { connection, pid: _ } => connection,
            Self::Waiting | Self::Open | Self::Ended => None,
        }
    }

    /// The process id of its program, while it is known to run.
    pub(crate) fn pid(self) -> Option<u32> {
        match self {
            Self::Running { pid, connection: _ } => Some(pid),
            Self::Waiting | Self::Open | Self::Launching { .. } | Self::Ended => None,
        }
    }

    /// The same with another connection, or none; for one that is there.
    pub(crate) fn over(self, connection: Option<u64>) -> Self {
        match self {
            Self::Launching { .. } => Self::Launching { connection },
            Self::Running { pid, .. } => Self::Running { pid, connection },
            Self::Waiting | Self::Open | Self::Ended => self,
        }
    }
}

impl Executor {
    pub(crate) fn new(record: ExecutorRecord, place: ExecutorPlace) -> Self {
        Self {
            record,
            place,
            has_subscribed: false,
            has_proved: false,
            was_recovered: false,
            given_up: None,
            share: Share::default(),
        }
    }

    /// Does it take tasks?
    pub(crate) fn is_open(&self) -> bool {
        let ends = self.record.shutting_down.is_some() || self.given_up.is_some();
        !ends && self.place != ExecutorPlace::Ended
    }

    /// Is it promised what it needs?
    pub(crate) fn is_promised(&self) -> bool {
        !self.record.orphaned
    }

    /// Does it hold what it needs?
    pub(crate) fn is_holding(&self) -> bool {
        self.place != ExecutorPlace::Waiting
    }
}

/// All executors and groups.
#[derive(Debug, Default)]
pub(crate) struct Company {
    executors: BTreeMap<ExecutorKey, Executor>,
    by_container: BTreeMap<ContainerId, ExecutorKey>,
    tasks: BTreeMap<ExecutorKey, BTreeSet<TaskId>>,
    groups: BTreeMap<ContainerId, BTreeSet<Key>>,
    changed: BTreeSet<ExecutorKey>,
}

impl Company {
    /// The executor of that name.
    pub(crate) fn get(&self, key: &ExecutorKey) -> Option<&Executor> {
        self.executors.get(key)
    }

    /// What of the executor's record differs from the checkpoint will be written.
    pub(crate) fn mark_changed(&mut self, key: &ExecutorKey) {
        self.changed.insert(key.clone());
    }

    /// The same, to change what is not durable and does not bear on resources.
    pub(crate) fn volatile(&mut self, key: &ExecutorKey) -> Option<&mut Executor> {
        self.executors.get_mut(key)
    }

    /// Every executor, ordered by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ExecutorKey, &Executor)> {
        self.executors.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.executors.len()
    }

    /// The executors of a framework.
    pub(crate) fn of_framework<'a>(
        &'a self,
        framework: &'a FrameworkId,
    ) -> impl Iterator<Item = &'a ExecutorKey> {
        self.executors.keys().filter(move |key| key.0 == *framework)
    }

    /// The executor in that container.
    pub(crate) fn in_container(&self, container: &ContainerId) -> Option<&ExecutorKey> {
        self.by_container.get(container)
    }

    /// Is there a group of that name?
    pub(crate) fn has_group(&self, name: &ContainerId) -> bool {
        self.groups.contains_key(name)
    }

    /// The tasks with a record that were launched as that group.
    pub(crate) fn group(&self, name: &ContainerId) -> Vec<Key> {
        self.groups.get(name).into_iter().flatten().cloned().collect()
    }

    /// The tasks with a record that name this executor.
    pub(crate) fn tasks_of(&self, executor: &ExecutorKey) -> Vec<Key> {
        let tasks = self.tasks.get(executor).into_iter().flatten();
        tasks.map(|task| (executor.0.clone(), task.clone())).collect()
    }

    /// Every group, with its tasks.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&ContainerId, &BTreeSet<Key>)> {
        self.groups.iter()
    }

    /// Takes in a task that has a record from now on.
    pub(crate) fn join(&mut self, key: &Key, record: &TaskRecord) {
        if let Some(executor) = record.info.executor_id() {
            self.tasks.entry((key.0.clone(), executor.clone())).or_default().insert(key.1.clone());
        }
        if let Some(group) = &record.group {
            self.groups.entry(group.name.clone()).or_default().insert(key.clone());
        }
    }

    /// A task has no record any more.
    pub(crate) fn leave(&mut self, key: &Key, record: &TaskRecord) {
        if let Some(executor) = record.info.executor_id() {
            let executor = (key.0.clone(), executor.clone());
            if let Some(tasks) = self.tasks.get_mut(&executor) {
                tasks.remove(&key.1);
                if tasks.is_empty() {
                    self.tasks.remove(&executor);
                }
            }
        }
        if let Some(group) = &record.group
            && let Some(tasks) = self.groups.get_mut(&group.name)
        {
            tasks.remove(key);
            if tasks.is_empty() {
                self.groups.remove(&group.name);
            }
        }
    }

    pub(crate) fn insert(&mut self, key: ExecutorKey, executor: Executor) {
        self.by_container.insert(executor.record.container.clone(), key.clone());
        self.changed.insert(key.clone());
        self.executors.insert(key, executor);
    }

    pub(crate) fn remove(&mut self, key: &ExecutorKey) -> Option<Executor> {
        let executor = self.executors.remove(key)?;
        self.by_container.remove(&executor.record.container);
        self.changed.insert(key.clone());
        Some(executor)
    }

    /// The executors whose records differ from the checkpoint; they count as written from now on.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<ExecutorKey> {
        std::mem::take(&mut self.changed)
    }
}
