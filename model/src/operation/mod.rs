//! What a framework asks to be done with the resources of the offers it accepts, and how that went.
//!
//! A [`Conversion`] makes resources of one kind into resources of another: reserved, a volume, a larger volume. It
//! takes `before` away and puts `after` in its place; nothing else changes and no amount is lost.
//!
//! Source: Mesos v1 `Offer.Operation`, `OperationStatus`.

mod conversion;

use crate::executor::ExecutorInfo;
use crate::ids::{AgentId, FrameworkId, OperationId, OperationUuid, TaskId, UpdateId};
use crate::resources::Resources;
use crate::task::TaskInfo;

pub use conversion::{Conversion, ConversionError, ConversionKind};

/// One step of an ACCEPT call. Steps run in order on what the offers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Start tasks, each for itself.
    Launch(Vec<LaunchTask>),
    /// Start tasks together in one executor: all of them, or none.
    LaunchGroup(LaunchGroup),
    /// Make resources into others.
    Convert {
        /// The framework's name for it, if it wants news of it.
        id: Option<OperationId>,
        /// What is asked.
        conversion: Conversion,
    },
    /// An operation that is wrong in itself: answered by OPERATION_ERROR if it has an id; the rest of the call
    /// goes on.
    Invalid {
        /// The framework's name for it, if it wants news of it.
        id: Option<OperationId>,
        /// As the wire names it, such as `RESERVE`.
        name: String,
        /// Which field, and what is wrong with it.
        reason: String,
    },
    /// Something that this master does not do yet, named as the wire names it, such as `CREATE_DISK`.
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

/// A group of tasks as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchGroup {
    /// Who runs them; or which field of it is wrong, and what with it. Then all are answered by TASK_ERROR.
    pub executor: Result<Box<ExecutorInfo>, String>,
    /// The tasks; none of them names an executor. One that is not well formed spoils the group.
    pub tasks: Vec<LaunchTask>,
}

impl LaunchTask {
    /// The id it asked for.
    pub fn id(&self) -> &TaskId {
        match self {
            Self::Valid(info) => &info.id,
            Self::Invalid { task, .. } => task,
        }
    }

    /// The agent that it names, where that could be understood.
    pub fn agent(&self) -> Option<&AgentId> {
        match self {
            Self::Valid(info) => Some(&info.agent),
            Self::Invalid { .. } => None,
        }
    }
}

impl Operation {
    /// The tasks that it asks to start, alone or together.
    pub fn tasks(&self) -> &[LaunchTask] {
        match self {
            Self::Launch(tasks) => tasks,
            Self::LaunchGroup(group) => &group.tasks,
            Self::Convert { .. } | Self::Invalid { .. } | Self::Unsupported(_) => &[],
        }
    }
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationState {
    /// On its way.
    Pending,
    /// Done.
    Finished,
    /// The agent tried and could not; nothing is changed.
    Failed,
    /// Wrong in itself; nothing is changed.
    Error,
    /// It never reached its agent; nothing is changed.
    Dropped,
    /// Its agent is silent; it may be done or not.
    Unreachable,
    /// Its agent will never return.
    GoneByOperator,
    /// Its agent is not back yet after a restart of the master.
    Recovering,
    /// Nothing is known of it.
    Unknown,
}

impl OperationState {
    /// Will nothing more come of it, as far as its agent is concerned?
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Error | Self::Dropped | Self::GoneByOperator => true,
            Self::Pending | Self::Unreachable | Self::Recovering | Self::Unknown => false,
        }
    }
}

/// What is said of an operation at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationStatus {
    /// The framework's name for it.
    pub operation: Option<OperationId>,
    /// Where it stands.
    pub state: OperationState,
    /// For people.
    pub message: Option<String>,
    /// What came of it, if it is done.
    pub converted: Resources,
    /// To be repeated in the acknowledgement; `None`: none is wanted.
    pub update: Option<UpdateId>,
    /// Whose resources it is about.
    pub agent: Option<AgentId>,
}

/// An operation as its agent knows it, and as master and agent tell each other of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOperation {
    /// Over all its deliveries.
    pub uuid: OperationUuid,
    /// Whose; `None`: an operator's.
    pub framework: Option<FrameworkId>,
    /// The framework's name for it, if it wants news of it.
    pub id: Option<OperationId>,
    /// What is asked.
    pub conversion: Conversion,
}

/// An operation that an agent has carried out, or has not been able to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// What was asked.
    pub operation: AgentOperation,
    /// How it went: never [`OperationState::Pending`].
    pub status: OperationStatus,
}
