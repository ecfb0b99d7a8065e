//! What a framework asks to be done with the resources of the offers it accepts.

use crate::ids::TaskId;
use crate::task::TaskInfo;

/// One step of an ACCEPT call. Steps run in order on what the offers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Start tasks, each for itself.
    Launch(Vec<LaunchTask>),
    /// Something that this master does not do yet, named as the wire names it, such as `RESERVE`.
    /// It is refused, and the rest of the call goes on.
    Unsupported(String),
}

/// A task as it came in: well formed, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchTask {
    /// Every field could be understood.
    Valid(Box<TaskInfo>),
    /// Only its id could. Answered by TASK_ERROR, and no other task suffers.
    Invalid {
        /// The id it asked for.
        task: TaskId,
        /// Which field, and what is wrong with it.
        reason: String,
    },
}
