//! What an agent remembers across a restart, as values; `proto` gives them a form on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::AgentInfo;
use crate::check::Watched;
use crate::executor::ExecutorInfo;
use crate::framework::FrameworkInfo;
use crate::ids::{AgentId, ContainerId, ExecutorId, FrameworkId, OperationUuid, TaskId, UpdateId};
use crate::operation::OperationRecord;
use crate::resources::Resources;
use crate::role::Role;
use crate::task::{TaskInfo, TaskState, TaskStatus};

/// Everything an agent remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Who the agent is, once a master has said so.
    pub identity: Option<Identity>,
    /// The frameworks whose tasks it has.
    pub frameworks: BTreeMap<FrameworkId, FrameworkInfo>,
    /// Every task it has taken on and not yet been allowed to forget.
    pub tasks: BTreeMap<(FrameworkId, TaskId), TaskRecord>,
    /// All the agent has, with the reservations and volumes made since it registered; `None`: none were made.
    pub total: Option<Resources>,
    /// Every operation whose outcome is not acknowledged.
    pub operations: BTreeMap<OperationUuid, OperationRecord>,
    /// Every executor that is there.
    pub executors: BTreeMap<(FrameworkId, ExecutorId), ExecutorRecord>,
}

/// Who an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As given by the master.
    pub agent: AgentId,
    /// As it registered; an agent that restarts with less is refused (INV-31).
    pub info: AgentInfo,
}

/// One task that the agent has taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// What was asked for.
    pub info: Arc<TaskInfo>,
    /// For which of its framework's roles.
    pub role: Role,
    /// The container it runs in; a new name for each run. That of its executor, if the executor is its framework's own.
    pub container: ContainerId,
    /// Where it stands.
    pub state: TaskState,
    /// The grace period of a kill that was asked for.
    pub killing: Option<Duration>,
    /// Its framework is gone: nobody waits for its updates any more.
    pub orphaned: bool,
    /// Status updates not yet acknowledged, oldest first. Bounded: one for each state at most, and one more RUNNING; of a
    /// custom executor's task so many as its agent takes on.
    pub updates: Vec<TaskStatus>,
    /// The group it was launched with, if it was.
    pub group: Option<GroupRecord>,
    /// What its checks have seen, and when it started.
    pub watched: Watched,
    /// What passed between the agent and its executor, if that is its framework's own.
    pub delivery: Delivery,
}

/// What passed between an agent and a custom executor about one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The executor has it, or is about to: what the task needs is its own from now on.
    pub handed_over: bool,
    /// The latest updates of the executor that were taken on, oldest first: one that comes again is known by its id.
    pub heard: Vec<UpdateId>,
}

/// A task's place in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// The same for all tasks that were launched together; a new name for each group.
    pub name: ContainerId,
    /// The task that took this one with it; `None`: none did.
    pub fell_with: Option<TaskId>,
}

/// One executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorRecord {
    /// What was asked for.
    pub info: Arc<ExecutorInfo>,
    /// For which of its framework's roles.
    pub role: Role,
    /// Its container; for the built-in one that of the sandbox its tasks share.
    pub container: ContainerId,
    /// It was asked to end, and has this long for it.
    pub shutting_down: Option<Duration>,
    /// Its framework is gone.
    pub orphaned: bool,
    /// Its container is, or was about to be, made. Of no use for the built-in one.
    pub launched: bool,
}

/// One change of the checkpoint: the new value of one entry. Applying a change twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointOp {
    /// The master has named the agent.
    Identity(Box<Identity>),
    /// A framework; `None`: forgotten.
    Framework(FrameworkId, Option<Box<FrameworkInfo>>),
    /// A task; `None`: forgotten.
    Task(FrameworkId, TaskId, Option<Box<TaskRecord>>),
    /// All the agent has from now on.
    Total(Resources),
    /// An operation; `None`: forgotten.
    Operation(OperationUuid, Option<Box<OperationRecord>>),
    /// An executor; `None`: it is no more.
    Executor(FrameworkId, ExecutorId, Option<Box<ExecutorRecord>>),
}

impl Checkpoint {
    /// Takes in one change.
    pub fn apply(&mut self, change: CheckpointOp) {
        match change {
            CheckpointOp::Identity(identity) => self.identity = Some(*identity),
            CheckpointOp::Framework(id, Some(info)) => {
                self.frameworks.insert(id, *info);
            }
            CheckpointOp::Framework(id, None) => {
                self.frameworks.remove(&id);
            }
            CheckpointOp::Task(framework, task, Some(record)) => {
                self.tasks.insert((framework, task), *record);
            }
            CheckpointOp::Task(framework, task, None) => {
                self.tasks.remove(&(framework, task));
            }
            CheckpointOp::Total(total) => self.total = Some(total),
            CheckpointOp::Operation(uuid, Some(record)) => {
                self.operations.insert(uuid, *record);
            }
            CheckpointOp::Operation(uuid, None) => {
                self.operations.remove(&uuid);
            }
            CheckpointOp::Executor(framework, executor, Some(record)) => {
                self.executors.insert((framework, executor), *record);
            }
            CheckpointOp::Executor(framework, executor, None) => {
                self.executors.remove(&(framework, executor));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::any_checkpoint_op;

    proptest! {
        /// A log may be played again from any point before its end.
        #[test]
        fn applying_changes_twice_does_no_harm(
            changes in vec(any_checkpoint_op(), 0..8),
            from in 0..8_usize,
        ) {
            let mut once = Checkpoint::default();
            changes.iter().for_each(|change| once.apply(change.clone()));
            let mut twice = once.clone();
            changes.iter().skip(from).for_each(|change| twice.apply(change.clone()));
            prop_assert_eq!(twice, once);
        }
    }
}
