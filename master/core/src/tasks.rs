//! Task records.
//!
//! A record lives from the ACCEPT that launched it until its terminal update has been acknowledged; then
//! it moves to the [`history`](crate::history).
//!
//! Invariants
//! - No two records of one framework share a task id (INV-16).
//! - While its state is not terminal its resources are charged to its agent in the allocator; from its
//!   first terminal state on they are not (INV-4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::task::TaskStatus;
use lonja_model::{
    AgentId, ContainerId, FrameworkId, Role, TaskId, TaskInfo, TaskState, Timestamp, UpdateId,
};

/// One task as the master knows it.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub framework: FrameworkId,
    /// For which of its roles.
    pub role: Role,
    /// What was asked for.
    pub info: Arc<TaskInfo>,
    /// Where it stands by the latest that is known.
    pub state: TaskState,
    /// The last status of each state it went through, oldest first; so at most one for each state.
    pub statuses: Vec<TaskStatus>,
    /// The update that waits for the framework's acknowledgement, and its state.
    pub awaiting: Option<(UpdateId, TaskState)>,
    /// A kill that was asked for, with the grace period if one was named: repeated when its agent comes back.
    pub killing: Option<Option<Duration>>,
    /// A drain of its agent has asked for that kill, be it called off since.
    pub drained: bool,
    /// Its container, once that is known.
    pub container: Option<ContainerId>,
    /// When the master first knew it.
    pub since: Timestamp,
}

impl Task {
    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.info.id
    }

    /// Where it runs.
    pub fn agent(&self) -> &AgentId {
        &self.info.agent
    }

    /// The last thing said about it.
    pub fn last_status(&self) -> Option<&TaskStatus> {
        self.statuses.last()
    }

    /// Keeps a status, the last of each state.
    pub(crate) fn remember(&mut self, status: TaskStatus) {
        self.statuses.retain(|kept| kept.state != status.state);
        self.statuses.push(status);
    }
}

/// A task's full name.
pub type TaskKey = (FrameworkId, TaskId);

/// All task records, found by name or by agent.
#[derive(Debug, Default)]
pub struct Tasks {
    tasks: BTreeMap<FrameworkId, BTreeMap<TaskId, Arc<Task>>>,
    by_agent: BTreeMap<AgentId, BTreeSet<TaskKey>>,
    count: usize,
}

impl Tasks {
    /// One task.
    pub fn get(&self, framework: &FrameworkId, task: &TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(framework)?.get(task)
    }

    /// One task, to change anything but its name and agent.
    pub(crate) fn get_mut(&mut self, framework: &FrameworkId, task: &TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(framework)?.get_mut(task).map(Arc::make_mut)
    }

    /// All tasks of one framework in order of their ids.
    pub fn of_framework(&self, framework: &FrameworkId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.get(framework).into_iter().flat_map(|tasks| tasks.values())
    }

    /// The names of all tasks on one agent.
    pub fn on_agent(&self, agent: &AgentId) -> Vec<TaskKey> {
        self.by_agent.get(agent).into_iter().flatten().cloned().collect()
    }

    /// Is there a task on the agent, be it one that has ended and is not acknowledged?
    pub fn is_any_on(&self, agent: &AgentId) -> bool {
        self.by_agent.contains_key(agent)
    }

    /// The agents that hold tasks of one framework.
    pub(crate) fn agents_of(&self, framework: &FrameworkId) -> BTreeSet<AgentId> {
        self.of_framework(framework).map(|task| task.agent().clone()).collect()
    }

    /// All tasks, framework by framework.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values().flat_map(|tasks| tasks.values())
    }

    /// Every task with `id`, of whichever framework.
    pub fn named(&self, id: &TaskId) -> Vec<TaskKey> {
        self.tasks
            .iter()
            .filter(|(_, tasks)| tasks.contains_key(id))
            .map(|(owner, _)| (owner.clone(), id.clone()))
            .collect()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there no record?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn insert(&mut self, task: Arc<Task>) {
        let key = (task.framework.clone(), task.id().clone());
        self.by_agent.entry(task.agent().clone()).or_default().insert(key.clone());
        let before = self.tasks.entry(key.0).or_default().insert(key.1, task);
        assert!(before.is_none(), "a task id is launched once while it is known");
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, framework: &FrameworkId, id: &TaskId) -> Option<Arc<Task>> {
        let tasks = self.tasks.get_mut(framework)?;
        let task = tasks.remove(id)?;
        if tasks.is_empty() {
            self.tasks.remove(framework);
        }
        if let Some(names) = self.by_agent.get_mut(task.agent()) {
            names.remove(&(framework.clone(), id.clone()));
            if names.is_empty() {
                self.by_agent.remove(task.agent());
            }
        }
        self.count -= 1;
        Some(task)
    }
}
