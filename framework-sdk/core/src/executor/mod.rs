//! An executor's side of the protocol, and the trait that a custom executor implements: pure.
//!
//! You write an [`Executor`]: tasks and kills in, a [`Plan`] out. The library does the rest: it subscribes with the
//! agent, comes back after the agent was away, repeats each update until the agent has stored it, shows each task
//! once although the agent may hand it out again, and ends when it is told to or the agent stays away.
//!
//! [`Execution`] is that library as a deterministic state machine. The work itself is done outside and reports by
//! commands, for which the SDK's driver has a handle.
//!
//! Invariants (most of them a function in [`invariants`])
//! - Every update is kept, and sent again, until the agent says that it has stored it.
//! - A task is shown to the executor once; what is said of it follows the table of states (INV-17).
//! - Nothing but SUBSCRIBE is sent before the subscription stands.
//! - Nothing grows without bound: tasks, updates of one task, bytes of one SUBSCRIBE.
//!
//! Source: Mesos v1 executor API.

mod execution;
mod ledger;
mod link;
mod plan;
mod received;

pub mod invariants;

#[cfg(test)]
mod tests;

use std::time::Duration;

use lonja_model::execution::Subscribed;
use lonja_model::{TaskId, TaskInfo, TaskState, Timestamp};

pub use execution::{Command, Effects, Event, Execution, Options, Outcome};
pub use ledger::{MAX_TASKS, MAX_UPDATES_PER_TASK};
pub use plan::{Plan, Update};

/// The longest message, and the longest data of one update, in bytes.
pub const MAX_DATA_BYTES: usize = 1 << 20;

/// The longest text for people, in bytes; what is beyond is cut.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Labels of one update, and the bytes of their text together; what is larger is refused.
const MAX_LABELS: usize = 1_024;
const MAX_LABEL_BYTES: usize = 16 << 10;

/// Your way to run tasks. Every method is called by one owner, in order, and must not block: it starts work elsewhere,
/// or stops it, and returns. `now` is the only clock.
pub trait Executor: Send {
    /// A task to run, once for each task. Say [`Plan::running`] when it does, now or later, and how it ends.
    fn launched(&mut self, now: Timestamp, task: &TaskInfo) -> Plan;

    /// End a task, within `grace` if it says so; then say how it ended. It may be asked for again, with another grace
    /// period, while the task has not ended.
    fn kill(&mut self, now: Timestamp, task: &TaskId, grace: Option<Duration>) -> Plan;

    /// Tasks to run together: all of them or none. Without this, each for itself.
    fn launched_together(&mut self, now: Timestamp, tasks: &[TaskInfo]) -> Plan {
        tasks.iter().fold(Plan::new(), |plan, task| plan.and(self.launched(now, task)))
    }

    /// Bytes from the framework; they come at most once.
    fn message(&mut self, now: Timestamp, data: &[u8]) -> Plan {
        let _ = (now, data);
        Plan::new()
    }

    /// End every task, say how they ended, and be done by `until`: what is left then is killed with this process.
    /// It may be asked for again, with less time. Without this, all is ended at once, and tasks are said to be killed.
    fn shutdown(&mut self, now: Timestamp, until: Timestamp) -> Plan {
        let _ = (now, until);
        Plan::new().end()
    }

    /// The subscription stands, for the first time or again.
    fn subscribed(&mut self, now: Timestamp, subscribed: &Subscribed) -> Plan {
        let _ = (now, subscribed);
        Plan::new()
    }

    /// The agent is away. Tasks run on; the library comes back by itself.
    fn disconnected(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Something that this executor, or work it has started, wanted to say was not said. Should the plan returned here
    /// be impossible too, this is called once more and what it then returns is dropped.
    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        let _ = (now, problem);
        Plan::new()
    }

    /// When it wants [`Executor::tick`], should nothing happen before.
    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// Its deadline has come.
    fn tick(&mut self, now: Timestamp) -> Plan {
        let _ = now;
        Plan::new()
    }
}

/// Why something was not said, or not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No such task runs here: it was never launched, or its end has been said and stored.
    #[error("task {0} is not known here")]
    UnknownTask(TaskId),
    /// No state that an executor may report.
    #[error(
        "{state} of task {task} is not for an executor to say; use one from TASK_STARTING to TASK_KILLED"
    )]
    NotForExecutors {
        /// Which task.
        task: TaskId,
        /// What was to be said.
        state: TaskState,
    },
    /// No task goes from the one state to the other.
    #[error("task {task} is {from} and cannot become {to}")]
    Impossible {
        /// Which task.
        task: TaskId,
        /// Where it stands.
        from: TaskState,
        /// What was to be said.
        to: TaskState,
    },
    /// More data than fits into one update or message.
    #[error("{bytes} bytes, at most {max} go at once; leave large results in a file", max = MAX_DATA_BYTES)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// More labels than fit into one update.
    #[error(
        "the labels of task {0} are more than {MAX_LABELS}, or have more than {MAX_LABEL_BYTES} bytes together"
    )]
    TooManyLabels(TaskId),
    /// The agent has yet to store so many updates of the task; only its end can be said now.
    #[error("{max} updates of task {0} wait to be stored; say less, or later", max = MAX_UPDATES_PER_TASK)]
    TooManyUpdates(TaskId),
    /// A message while the agent is away: those are not kept.
    #[error("the agent is away, and messages are not kept; send it again once subscribed")]
    MessageLost,
}
