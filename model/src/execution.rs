//! What an executor of a framework's own and its agent say to each other.
//!
//! Source: Mesos v1 executor API, `Call` and `Event`.

use std::time::Duration;

use crate::agent::AgentInfo;
use crate::executor::ExecutorInfo;
use crate::framework::FrameworkInfo;
use crate::ids::{AgentId, ContainerId, FrameworkId, TaskId, UpdateId};
use crate::task::{TaskInfo, TaskStatus};

/// Names of what an agent puts into the environment of an executor.
///
/// Source: Mesos, "Executor HTTP API", environment of an executor.
pub mod environment {
    /// The id of its framework.
    pub const FRAMEWORK: &str = "MESOS_FRAMEWORK_ID";
    /// Its own id.
    pub const EXECUTOR: &str = "MESOS_EXECUTOR_ID";
    /// `ip:port` of its agent's API.
    pub const ENDPOINT: &str = "MESOS_AGENT_ENDPOINT";
    /// The path of the socket of its agent's executor API, as the executor sees it; works in any network.
    pub const SOCKET: &str = "MESOS_DOMAIN_SOCKET";
    /// What it must show to be let in, as `authorization: Bearer TOKEN`.
    pub const TOKEN: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";
    /// Its working directory.
    pub const SANDBOX: &str = "MESOS_SANDBOX";
    /// The same, by its older name.
    pub const DIRECTORY: &str = "MESOS_DIRECTORY";
    /// How long it may take to end when it is asked to, such as `5secs`.
    pub const SHUTDOWN_GRACE: &str = "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD";
    /// How long it waits for an agent that is away before it ends, such as `15mins`.
    pub const RECOVERY_TIMEOUT: &str = "MESOS_RECOVERY_TIMEOUT";
    /// The longest pause between two attempts to reach its agent, such as `2secs`.
    pub const LONGEST_PAUSE: &str = "MESOS_SUBSCRIPTION_BACKOFF_MAX";
    /// `1`: its agent may restart under it.
    pub const CHECKPOINT: &str = "MESOS_CHECKPOINT";
    /// `0`: it is a program of its framework's, not Mesos' command executor.
    pub const COMMAND_EXECUTOR: &str = "MESOS_HTTP_COMMAND_EXECUTOR";
    /// `0`: the port of Mesos' own library, if the executor has that, is any free one.
    pub const MESSAGES_PORT: &str = "LIBPROCESS_PORT";
}

/// What an executor tells its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Open the subscription that every other call needs, with all that the agent has not confirmed.
    Subscribe {
        /// Launched, and no update of it confirmed.
        unacknowledged_tasks: Vec<TaskInfo>,
        /// Sent and not confirmed, oldest first.
        unacknowledged_updates: Vec<TaskStatus>,
    },
    /// News of a task; its `update` is set. Repeated until confirmed.
    Update(Box<TaskStatus>),
    /// Bytes for the framework, delivered at most once.
    Message(Vec<u8>),
    /// It is alive.
    Heartbeat,
}

/// What an agent tells an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first event of every subscription.
    Subscribed(Box<Subscribed>),
    /// Start a task.
    Launch(Box<TaskInfo>),
    /// Start tasks together.
    LaunchGroup(Vec<TaskInfo>),
    /// End a task.
    Kill {
        /// Which.
        task: TaskId,
        /// Overrides the task's own grace period.
        grace: Option<Duration>,
    },
    /// The agent has stored an update; the executor may forget it.
    Acknowledged {
        /// The task it is about.
        task: TaskId,
        /// Which update.
        update: UpdateId,
    },
    /// Bytes from the framework.
    Message(Vec<u8>),
    /// The subscription ends here, and why.
    Error(String),
    /// End every task, then end; what is left after the grace period is killed.
    Shutdown,
    /// The agent is alive.
    Heartbeat,
}

/// Who an executor is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// What its framework said of it.
    pub executor: ExecutorInfo,
    /// Its framework.
    pub framework: FrameworkId,
    /// What its framework is.
    pub framework_info: FrameworkInfo,
    /// Its agent.
    pub agent: AgentId,
    /// What its agent is.
    pub agent_info: AgentInfo,
    /// Its container.
    pub container: ContainerId,
}
