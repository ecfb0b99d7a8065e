//! What the services tell: the events of the API's stream, and what the shell acts on.

use std::sync::Arc;

use lonja_model::{AgentId, FrameworkId, TaskId, TaskState, Timestamp};

use crate::definition::{HealthCheck, RunSpec, Version};
use crate::deployment::{DeploymentId, DeploymentPlan};
use crate::instance::{Condition, InstanceId};
use crate::path_id::PathId;

/// Something happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened. Named as in the API's stream, but for the last two, which are for the daemon itself.
#[derive(Clone, Debug)]
pub enum What {
    /// The subscription stands for the first time.
    SchedulerRegistered {
        /// As this framework.
        framework: FrameworkId,
        /// The master's address.
        master: String,
    },
    /// The subscription stands again.
    SchedulerReregistered {
        /// The master's address.
        master: String,
    },
    /// The connection is lost.
    SchedulerDisconnected,
    /// An app's health check is being run.
    AddHealthCheck {
        /// Of which.
        app: PathId,
        /// Of which version.
        version: Version,
        /// It.
        check: HealthCheck,
    },
    /// It is no longer.
    RemoveHealthCheck {
        /// Of which.
        app: PathId,
    },
    /// A health check of the framework has failed.
    FailedHealthCheck {
        /// Of which.
        app: PathId,
        /// Which instance.
        instance: InstanceId,
        /// Which check.
        check: HealthCheck,
    },
    /// A check's word on an instance has changed.
    HealthStatusChanged {
        /// Of which.
        app: PathId,
        /// Which.
        instance: InstanceId,
        /// Of which version.
        version: Version,
        /// To what.
        alive: bool,
    },
    /// An instance is killed for its health.
    UnhealthyInstanceKill {
        /// Of which.
        app: PathId,
        /// Its task.
        task: TaskId,
        /// Which.
        instance: InstanceId,
        /// Of which version.
        version: Version,
        /// Why.
        reason: String,
        /// Where.
        host: String,
        /// Where.
        agent: Option<AgentId>,
    },
    /// A change was taken in.
    GroupChangeSuccess {
        /// Where.
        group: PathId,
        /// When.
        version: Version,
    },
    /// A change was refused.
    GroupChangeFailed {
        /// Where.
        group: PathId,
        /// When.
        version: Version,
        /// Why.
        reason: String,
    },
    /// A step of a deployment begins.
    DeploymentInfo {
        /// Which.
        id: DeploymentId,
        /// Of what.
        plan: Arc<DeploymentPlan>,
        /// Which, from 0.
        step: usize,
    },
    /// A step is done.
    DeploymentStepSuccess {
        /// Which.
        id: DeploymentId,
        /// Of what.
        plan: Arc<DeploymentPlan>,
        /// Which, from 0.
        step: usize,
    },
    /// A step is given up.
    DeploymentStepFailure {
        /// Which.
        id: DeploymentId,
        /// Of what.
        plan: Arc<DeploymentPlan>,
        /// Which, from 0.
        step: usize,
    },
    /// All is done.
    DeploymentSuccess {
        /// Which.
        id: DeploymentId,
        /// Of what.
        plan: Arc<DeploymentPlan>,
    },
    /// It ended otherwise.
    DeploymentFailed {
        /// Which.
        id: DeploymentId,
        /// Of what.
        plan: Arc<DeploymentPlan>,
        /// Why.
        reason: String,
    },
    /// An app is no more.
    AppTerminated {
        /// Which.
        app: PathId,
    },
    /// News of a task.
    StatusUpdate {
        /// Where.
        agent: Option<AgentId>,
        /// Which.
        task: TaskId,
        /// What.
        state: TaskState,
        /// For people.
        message: String,
        /// Of which app or pod.
        spec: PathId,
        /// Where.
        host: String,
        /// Its ports.
        ports: Vec<u16>,
        /// Of which version.
        version: Version,
    },
    /// An instance stands elsewhere.
    InstanceChanged {
        /// Which.
        instance: InstanceId,
        /// Where.
        condition: Condition,
        /// Of which app or pod.
        spec: PathId,
        /// On which agent.
        agent: Option<AgentId>,
        /// Where that is.
        host: Option<String>,
        /// Of which version.
        version: Version,
    },
    /// A task ended that nobody here knows.
    UnknownInstanceTerminated {
        /// Which.
        instance: InstanceId,
        /// How.
        condition: Condition,
    },
    /// The health of an instance has changed.
    InstanceHealthChanged {
        /// Which.
        instance: InstanceId,
        /// Of which app or pod.
        spec: PathId,
        /// Of which version.
        version: Version,
        /// To what.
        healthy: Option<bool>,
    },
    /// Where requests for an app or pod go has changed. For name servers and balancers.
    Endpoints {
        /// Of which.
        spec: PathId,
        /// All of them; empty: there is none.
        endpoints: Arc<[Endpoint]>,
    },
    /// What is to be looked at of an app by the framework's own checks has changed.
    Watches {
        /// Of which.
        app: PathId,
        /// All of it; empty: nothing.
        watches: Arc<[Watch]>,
    },
}

/// Where requests for one instance go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which.
    pub instance: InstanceId,
    /// Its app or pod.
    pub spec: PathId,
    /// The agent's name or address.
    pub host: String,
    /// Its ports.
    pub ports: Vec<EndpointPort>,
    /// New requests may go there. False: it is drained, and those under way may end.
    pub accepts: bool,
}

/// One port of an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// Its name in the definition.
    pub name: Option<String>,
    /// The agent's port.
    pub port: u16,
    /// The balancer's; 0: none.
    pub service_port: u16,
    /// Over UDP.
    pub udp: bool,
}

/// One check of the framework at one instance, to be run by the shell.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// Which.
    pub instance: InstanceId,
    /// As it is now.
    pub incarnation: u32,
    /// Of which version.
    pub spec: RunSpec,
    /// Where.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Which check.
    pub check: WatchKind,
}

/// Which check is to be run.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchKind {
    /// A health check: its number among the framework's own, and it.
    Health(usize, HealthCheck),
    /// The readiness check.
    Readiness(crate::definition::ReadinessCheck),
}
