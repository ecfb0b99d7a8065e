//! What an agent and the master say to each other, over one stream that the agent opens.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::agent::{AgentCapability, AgentInfo};
use crate::check::CheckStatus;
use crate::executor::ExecutorInfo;
use crate::framework::FrameworkInfo;
use crate::ids::{AgentId, ContainerId, ExecutorId, FrameworkId, OperationUuid, TaskId, UpdateId};
use crate::operation::{AgentOperation, OperationRecord};
use crate::resources::Resources;
use crate::role::Role;
use crate::task::{TaskInfo, TaskState, TaskStatus};

/// From an agent to the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromAgent {
    /// A new agent asks for an id.
    Register {
        /// What it is; without an id.
        info: Box<AgentInfo>,
        /// Its version.
        version: String,
        /// What it can do beyond what every agent can.
        capabilities: BTreeSet<AgentCapability>,
    },
    /// An agent is back, with everything it knows.
    Reregister {
        /// The id that it was given.
        agent: AgentId,
        /// What it is.
        info: Box<AgentInfo>,
        /// Its version.
        version: String,
        /// Every task it has a record of, also ended ones whose last update is not acknowledged.
        tasks: Vec<AgentTask>,
        /// The frameworks of those tasks.
        frameworks: Vec<(FrameworkId, FrameworkInfo)>,
        /// All it has as it stands: what `info` has, with the reservations and volumes made since.
        total: Resources,
        /// Every operation whose outcome is not acknowledged.
        operations: Vec<OperationRecord>,
        /// Every executor that has resources of its own or tasks.
        executors: Vec<AgentExecutor>,
        /// What it can do beyond what every agent can.
        capabilities: BTreeSet<AgentCapability>,
    },
    /// An operation is done, or could not be; sent again until acknowledged.
    OperationUpdate {
        /// Which, and how it went.
        record: Box<OperationRecord>,
        /// All the agent has as it stands.
        total: Resources,
    },
    /// News of a task; sent again until acknowledged.
    Update {
        /// Whose task.
        framework: FrameworkId,
        /// The oldest unacknowledged status of it.
        status: Box<TaskStatus>,
        /// Where the task stands by now, which may be further on.
        latest: TaskState,
    },
    /// The answer to [`ToAgent::Ping`], and once, with number 0, to [`ToAgent::Registered`]: the agent has made
    /// its id durable, and may be offered.
    Pong {
        /// The ping's number.
        sequence: u64,
    },
    /// Bytes from an executor to its framework.
    Message {
        /// Whose executor.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Lonja does not look inside.
        data: Vec<u8>,
    },
    /// An executor is no more, and what it needed is free. Not acknowledged: the next registration tells as much.
    ExecutorEnded {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Its `wait` status, if it was a process.
        status: Option<i32>,
    },
}

/// An executor as its agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentExecutor {
    /// Whose.
    pub framework: FrameworkId,
    /// For which of its roles.
    pub role: Role,
    /// What was asked for.
    pub info: ExecutorInfo,
    /// Its container; for the built-in one that of the sandbox its tasks share.
    pub container: ContainerId,
}

/// A task as its agent knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTask {
    /// Whose.
    pub framework: FrameworkId,
    /// For which of its roles.
    pub role: Role,
    /// What was asked for.
    pub info: TaskInfo,
    /// Where it stands.
    pub state: TaskState,
    /// Its container, once there is one.
    pub container: Option<ContainerId>,
    /// The process id of its program as the agent's host sees it, while it runs.
    pub pid: Option<u32>,
    /// The last word of its health check, if there was one.
    pub healthy: Option<bool>,
    /// The last word of its check, if it has one.
    pub check: Option<CheckStatus>,
}

/// From the master to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAgent {
    /// Admitted, durably; or welcome back.
    Registered {
        /// The agent's id from now on.
        agent: AgentId,
        /// A [`ToAgent::Ping`] comes this often.
        ping_interval: Duration,
        /// After this many missed ones the master calls the agent unreachable; so the agent takes the
        /// link for dead and connects again.
        max_missed_pings: u32,
    },
    /// Not admitted.
    Refused {
        /// Why, and what to do.
        reason: String,
        /// To try again is no use.
        permanent: bool,
    },
    /// Start tasks.
    Run {
        /// Whose.
        framework: FrameworkId,
        /// The framework.
        info: Box<FrameworkInfo>,
        /// For which of its roles.
        role: Role,
        /// Each for itself.
        tasks: Vec<TaskInfo>,
    },
    /// Start tasks in an executor, which all of them describe.
    RunInExecutor {
        /// Whose.
        framework: FrameworkId,
        /// The framework.
        info: Box<FrameworkInfo>,
        /// For which of its roles.
        role: Role,
        /// At least one.
        tasks: Vec<TaskInfo>,
        /// The master knows of no such executor on the agent, and has set aside what it needs. Otherwise it is to be
        /// there: where it has ended meanwhile, the tasks are dropped.
        starts_executor: bool,
        /// All of them or none, and they fall together.
        as_group: bool,
    },
    /// End a task. An unknown one is ignored: the master answers for those.
    Kill {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// The framework has dealt with an update.
    Acknowledge {
        /// Whose task.
        framework: FrameworkId,
        /// Which task.
        task: TaskId,
        /// Which update.
        update: UpdateId,
    },
    /// Make resources into others. Answered by [`FromAgent::OperationUpdate`], once it is durable. One that the agent
    /// has a record of is only answered again.
    Apply {
        /// Which.
        operation: Box<AgentOperation>,
    },
    /// The outcome of an operation is known to whom it concerns: forget it.
    AcknowledgeOperation {
        /// Which.
        operation: OperationUuid,
    },
    /// The framework is back: send its unacknowledged updates now rather than after the back-off.
    ResendUpdates {
        /// Which framework.
        framework: FrameworkId,
    },
    /// The framework is no more: kill its tasks and forget them without a word. Until they have ended, a
    /// launch that needs what they use waits.
    ShutdownFramework {
        /// Which framework.
        framework: FrameworkId,
    },
    /// Bytes for an executor.
    Message {
        /// Whose executor.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Lonja does not look inside.
        data: Vec<u8>,
    },
    /// End a custom executor: ask it, and kill what is left of it after its grace period. One that is not there is
    /// ignored.
    ShutdownExecutor {
        /// Whose executor.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
    },
    /// Are you there?
    Ping {
        /// To be repeated in the answer.
        sequence: u64,
    },
}
