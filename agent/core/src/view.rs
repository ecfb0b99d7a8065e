//! What others may see of an agent's tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::operation::{AgentOperation, OperationRecord};
use lonja_model::role::Role;
use lonja_model::{ContainerId, FrameworkId, Resources, TaskId, TaskInfo, TaskState, TaskStatus};

use crate::Agent;
use crate::book::{Handed, Key, Place, Task};
use crate::company::{Executor, ExecutorKey};
use crate::history::{CompletedExecutor, CompletedTask};
use crate::ledger::Sum;
use crate::total;

/// What has happened since the agent's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks that have ended, by how.
    pub ended: BTreeMap<TaskState, u64>,
    /// States that tasks came to be in.
    pub updates: u64,
    /// What executors said of tasks that could not be.
    pub strange_updates: u64,
    /// Executors that have ended; a task without one counts as one of its own.
    pub executors_ended: u64,
    /// Containers that could not be made, though nobody wanted them gone.
    pub failed_launches: u64,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it is begun.
    Pending,
    /// It waits until its executor takes it.
    Queued,
    /// It was begun.
    Launched,
    /// It has ended, and that is not acknowledged.
    Ended,
}

/// One task, as its agent sees it.
#[derive(Clone, Copy, Debug)]
pub struct TaskView<'a> {
    key: &'a Key,
    task: &'a Task,
}

impl<'a> TaskView<'a> {
    /// Whose it is.
    pub fn framework(&self) -> &'a FrameworkId {
        &self.key.0
    }

    /// Which it is.
    pub fn id(&self) -> &'a TaskId {
        &self.key.1
    }

    /// What was asked for.
    pub fn info(&self) -> &'a Arc<TaskInfo> {
        &self.task.record.info
    }

    /// Where it stands.
    pub fn state(&self) -> TaskState {
        self.task.state()
    }

    /// The name of its container, which may not be made yet, or be no more.
    pub fn container(&self) -> &'a ContainerId {
        &self.task.record.container
    }

    /// The container of its executor, by which runs of one executor are told apart; its own if it has none.
    pub fn home(&self) -> &'a ContainerId {
        &self.task.home
    }

    /// The process id of its program, while that runs.
    pub fn pid(&self) -> Option<u32> {
        self.task.place.pid()
    }

    /// For which role.
    pub fn role(&self) -> &'a Role {
        &self.task.record.role
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match self.task.place {
            Place::Waiting(_) => Stage::Pending,
            Place::InExecutor(Handed::NotYet) => Stage::Queued,
            Place::Launching | Place::Running { .. } | Place::InExecutor(Handed::Over) => Stage::Launched,
            Place::Ended => Stage::Ended,
        }
    }

    /// What was last said of it, without its data; `None`: nothing since the agent's start.
    pub fn latest(&self) -> Option<&'a Arc<TaskStatus>> {
        self.task.latest.as_ref()
    }

    /// Is it being killed?
    pub fn is_being_killed(&self) -> bool {
        self.task.record.killing.is_some() && !self.task.has_ended()
    }

    /// Was its framework shut down?
    pub fn is_orphaned(&self) -> bool {
        self.task.record.orphaned
    }

    /// How many of its updates wait for an acknowledgement.
    pub fn unacknowledged(&self) -> usize {
        self.task.record.updates.len()
    }
}

/// One executor, as its agent sees it.
#[derive(Clone, Copy, Debug)]
pub struct ExecutorView<'a> {
    key: &'a ExecutorKey,
    executor: &'a Executor,
}

impl<'a> ExecutorView<'a> {
    /// Whose it is.
    pub fn framework(&self) -> &'a FrameworkId {
        &self.key.0
    }

    /// What was asked for.
    pub fn info(&self) -> &'a Arc<ExecutorInfo> {
        &self.executor.record.info
    }

    /// For which role.
    pub fn role(&self) -> &'a Role {
        &self.executor.record.role
    }

    /// Is it to end?
    pub fn is_shutting_down(&self) -> bool {
        self.executor.record.shutting_down.is_some()
    }

    /// Its container; for the built-in one that of the sandbox its tasks share.
    pub fn container(&self) -> &'a ContainerId {
        &self.executor.record.container
    }

    /// The process id of its program, if it is a custom one that runs.
    pub fn pid(&self) -> Option<u32> {
        self.executor.place.pid()
    }

    /// Is it a custom one with a subscription?
    pub fn is_subscribed(&self) -> bool {
        self.executor.place.connection().is_some()
    }
}

impl Agent {
    /// Every executor that is there; by framework, then executor.
    pub fn executors(&self) -> impl Iterator<Item = ExecutorView<'_>> {
        self.book.company.iter().map(|(key, executor)| ExecutorView { key, executor })
    }

    /// The executor in that container. O(log executors).
    pub fn executor_in(&self, container: &ContainerId) -> Option<ExecutorView<'_>> {
        let key = self.book.company.in_container(container)?;
        self.book.company.get(key).map(|executor| ExecutorView { key, executor })
    }

    /// Every task it knows, ended ones that wait for an acknowledgement included; by framework, then task.
    pub fn tasks(&self) -> impl Iterator<Item = TaskView<'_>> {
        self.book.iter().map(|(key, task)| TaskView { key, task })
    }

    /// The tasks with that id: one of each framework that has it. O(tasks).
    pub fn tasks_named<'a>(&'a self, id: &'a TaskId) -> impl Iterator<Item = TaskView<'a>> {
        self.tasks().filter(move |task| task.id() == id)
    }

    /// That task.
    pub fn task(&self, framework: &FrameworkId, id: &TaskId) -> Option<TaskView<'_>> {
        let key = (framework.clone(), id.clone());
        self.book.entry(&key).map(|(key, task)| TaskView { key, task })
    }

    /// The frameworks that have tasks here, as they last described themselves.
    pub fn frameworks(&self) -> impl Iterator<Item = (&FrameworkId, &FrameworkInfo)> {
        self.book.frameworks().iter()
    }

    /// All it has as it stands: its settings, with the reservations and volumes made since.
    pub fn total(&self) -> &Resources {
        self.book.ledger().total()
    }

    /// The persistent volumes it has.
    pub fn volumes(&self) -> Resources {
        total::volumes(self.total())
    }

    /// Tasks that have ended for good, as far as they are remembered; oldest first.
    pub fn completed_tasks(&self) -> impl Iterator<Item = &CompletedTask> {
        self.book.history.tasks()
    }

    /// Executors that have ended, as far as they are remembered; oldest first.
    pub fn completed_executors(&self) -> impl Iterator<Item = &CompletedExecutor> {
        self.book.history.executors()
    }

    /// Frameworks that have nothing here any more, as far as they are remembered.
    pub fn completed_frameworks(&self) -> impl Iterator<Item = (&FrameworkId, &FrameworkInfo)> {
        let known = self.book.frameworks();
        self.book.history.frameworks().filter(|(id, _)| !known.contains_key(*id))
    }

    /// What has happened since the start.
    pub fn tally(&self) -> &Tally {
        &self.book.tally
    }

    /// What tasks and executors have been promised.
    pub fn promised(&self) -> Resources {
        let free = self.free();
        self.total().checked_sub(&free).unwrap_or_default()
    }

    /// Every operation whose outcome is not acknowledged yet.
    pub fn operations(&self) -> impl Iterator<Item = &OperationRecord> {
        self.operations.records()
    }

    /// The operation whose folders are being made, and how many orders wait for it.
    pub fn waiting_for_folders(&self) -> Option<(&AgentOperation, usize)> {
        self.operations.making().map(|making| (making, self.operations.orders.len()))
    }

    /// What no task has been promised; nothing if the tasks need more than there is.
    pub fn free(&self) -> Resources {
        self.book.ledger().free(Sum::Promised)
    }
}
