//! One instance of an app or pod: what it is to do, and where it stands.
//!
//! Invariants
//! - An instance has one place at most, and a task only while it has a place.
//! - The number of its incarnation grows with each launch, so that no task id is used twice.
//!
//! Source: Marathon's instances; `docs/services.md`.

use std::fmt;
use std::sync::Arc;

use lonja_model::check::CheckStatus;
use lonja_model::{AgentId, TaskId, TaskState, TaskStatus, Timestamp};

use crate::definition::RunSpec;
use crate::draws::uuid;
use crate::path_id::PathId;

/// The name of an instance: `prod_web.instance-UUID`. It outlives its tasks. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// An instance of `spec` with these 128 bits of its own.
    pub fn new(spec: &PathId, bits: u128) -> Self {
        Self(format!("{}.instance-{}", spec.joined(), uuid(bits)).into())
    }

    /// One that was written down.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of its task: `ID._app.1` for apps, `ID.CONTAINER.1` for pods. None if that is no task id.
    pub fn task(&self, container: Option<&str>, incarnation: u32) -> Option<TaskId> {
        TaskId::new(format!("{self}.{}.{incarnation}", container.unwrap_or("_app"))).ok()
    }

    /// Whose task this is, if it is named as those of instances are.
    pub fn of_task(task: &str) -> Option<Self> {
        let (rest, incarnation) = task.rsplit_once('.')?;
        incarnation.parse::<u32>().ok()?;
        let (instance, _container) = rest.rsplit_once('.')?;
        instance.contains(".instance-").then(|| Self(instance.into()))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an instance is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Run; one that has ended is started again.
    Running,
    /// Not run, and keep its place and data.
    Stopped,
    /// End, and leave nothing.
    Decommissioned,
}

/// Where an instance stands. As events and the API name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Waits for an offer.
    Scheduled,
    /// An offer was used for it; the agent has not been heard of.
    Provisioned,
    /// Accepted by the master.
    Staging,
    /// Its container is made.
    Starting,
    /// Its program runs.
    Running,
    /// It is being ended.
    Killing,
    /// Its agent is silent.
    Unreachable,
    /// Its agent has been silent for so long that it no longer counts.
    UnreachableInactive,
    /// Ended with 0.
    Finished,
    /// Ended otherwise.
    Failed,
    /// Was ended.
    Killed,
    /// Could not be launched: it is wrong.
    Error,
    /// Its agent is no more.
    Gone,
    /// Was never launched.
    Dropped,
    /// Nobody knows.
    Unknown,
}

impl Condition {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "Scheduled",
            Self::Provisioned => "Provisioned",
            Self::Staging => "Staging",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Killing => "Killing",
            Self::Unreachable => "Unreachable",
            Self::UnreachableInactive => "UnreachableInactive",
            Self::Finished => "Finished",
            Self::Failed => "Failed",
            Self::Killed => "Killed",
            Self::Error => "Error",
            Self::Gone => "Gone",
            Self::Dropped => "Dropped",
            Self::Unknown => "Unknown",
        }
    }

    /// What a task in this state makes of its instance.
    pub fn of(state: TaskState) -> Self {
        match state {
            TaskState::Staging => Self::Staging,
            TaskState::Starting => Self::Starting,
            TaskState::Running => Self::Running,
            TaskState::Killing => Self::Killing,
            TaskState::Unreachable => Self::Unreachable,
            TaskState::Finished => Self::Finished,
            TaskState::Failed | TaskState::Lost => Self::Failed,
            TaskState::Killed => Self::Killed,
            TaskState::Error => Self::Error,
            TaskState::Gone | TaskState::GoneByOperator => Self::Gone,
            TaskState::Dropped => Self::Dropped,
            TaskState::Unknown => Self::Unknown,
        }
    }

    /// Has it a task that may be alive?
    pub fn is_active(self) -> bool {
        match self {
            Self::Provisioned
            | Self::Staging
            | Self::Starting
            | Self::Running
            | Self::Killing
            | Self::Unreachable
            | Self::UnreachableInactive => true,
            Self::Scheduled
            | Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Error
            | Self::Gone
            | Self::Dropped
            | Self::Unknown => false,
        }
    }
}

/// One instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// What it is made by. While it waits for a place that follows changes.
    pub spec: RunSpec,
    /// What it is to do.
    pub goal: Goal,
    /// Where it stands.
    pub condition: Condition,
    /// Since when.
    pub since: Timestamp,
    /// How often it was launched.
    pub incarnation: u32,
    /// Where its task runs, or its data are.
    pub place: Option<Place>,
    /// Its tasks: one of an app, one for each container of a pod. Empty while it has never been launched.
    pub tasks: Vec<InstanceTask>,
    /// What the framework's own checks say, in the order of the definition's; none of the agent's.
    pub health: Vec<HealthState>,
    /// The deployment's readiness check has said yes, or there is none.
    pub ready: bool,
    /// The last answer to a readiness check, if it is kept.
    pub last_response: Option<Response>,
    /// Since when its agent is silent, as the master says.
    pub unreachable_since: Option<Timestamp>,
    /// A task of it has begun where it is: so its data are there.
    pub settled: bool,
    /// Takes no requests though it is healthy: it is green of a blue-green deployment, or drained before a kill.
    pub hidden: bool,
    /// It was launched, or heard of, since the daemon began; else it is as it was last known.
    pub confirmed: bool,
}

/// An answer to a readiness check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Of what kind the body is.
    pub content_type: String,
    /// At most 64 KiB.
    pub body: String,
}

/// Where an instance runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The agent.
    pub agent: AgentId,
    /// Where it is reached by name.
    pub hostname: String,
    /// The port of its API.
    pub agent_port: u16,
    /// Its region.
    pub region: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// The agent's attributes as text: what constraints look at, also those to come.
    pub values: Vec<(String, String)>,
    /// The agent's ports that it has, in the order of the definition; of each port whether the agent has one.
    pub ports: Vec<u16>,
    /// Its data there.
    pub volumes: Vec<LocalVolume>,
}

/// Data of an instance on its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalVolume {
    /// Where inside.
    pub container_path: String,
    /// Of its own.
    pub uuid: String,
    /// As the agent knows it: `APP#PATH#UUID`.
    pub persistence_id: String,
}

/// One task of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceTask {
    /// Its id.
    pub id: TaskId,
    /// Which container of the pod.
    pub container: Option<String>,
    /// The last that was heard; none: launched, and nothing heard.
    pub state: Option<TaskState>,
    /// Since when.
    pub since: Timestamp,
    /// When it was launched.
    pub staged_at: Timestamp,
    /// When its program began.
    pub started_at: Option<Timestamp>,
    /// What the agent's health check says.
    pub healthy: Option<bool>,
    /// What the agent's check says.
    pub check: Option<CheckStatus>,
    /// For people.
    pub message: Option<String>,
}

/// What one health check of the framework says of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthState {
    /// The first success.
    pub first_success: Option<Timestamp>,
    /// The last success.
    pub last_success: Option<Timestamp>,
    /// The last failure.
    pub last_failure: Option<Timestamp>,
    /// Why it failed.
    pub last_failure_cause: Option<String>,
    /// Failures in a row that count.
    pub consecutive_failures: u32,
}

impl HealthState {
    /// Is the last word a success? None: there is no word.
    pub fn alive(&self) -> Option<bool> {
        match (self.last_success, self.last_failure) {
            (None, None) => None,
            (success, failure) => Some(success > failure),
        }
    }
}

impl InstanceTask {
    /// The last that was heard; of one that was launched and not heard of, that it is on its way.
    pub fn stands(&self) -> TaskState {
        self.state.unwrap_or(TaskState::Staging)
    }

    /// Does this say anything that is not known?
    pub fn is_news(&self, status: &TaskStatus) -> bool {
        self.state != Some(status.state)
            || (status.healthy.is_some() && status.healthy != self.healthy)
            || (status.check.is_some() && status.check != self.check)
    }
}

impl Instance {
    /// Its health: no check has failed and all have been heard of; none: some were not heard of, or there are none.
    pub fn healthy(&self) -> Option<bool> {
        if self.condition != Condition::Running || !self.spec.has_health_checks() {
            return None;
        }
        let (framework, by_agent) = match &self.spec {
            RunSpec::App(app) => {
                let by_agent = app.health_checks.iter().filter(|check| check.protocol.is_by_agent()).count();
                (app.health_checks.len() - by_agent, by_agent > 0)
            }
            RunSpec::Pod(_) => (0, true),
        };
        let own = (0..framework).map(|index| self.health.get(index).and_then(HealthState::alive));
        let watched = |task: &&InstanceTask| match (&self.spec, &task.container) {
            (RunSpec::Pod(pod), Some(name)) => {
                pod.containers.iter().any(|one| one.name == *name && one.health_check.is_some())
            }
            (RunSpec::App(_) | RunSpec::Pod(_), _) => true,
        };
        let agents = self.tasks.iter().filter(watched).map(|task| task.healthy).filter(|_| by_agent);
        let words: Vec<Option<bool>> = own.chain(agents).collect();
        if words.contains(&Some(false)) {
            return Some(false);
        }
        words.iter().all(Option::is_some).then_some(true)
    }

    /// Does it serve: it runs, no health check is missing or failed, and it is ready?
    pub fn is_serving(&self) -> bool {
        self.is_healthy() && self.ready
    }

    /// Does it run, and have all health checks said yes, if there are any?
    pub fn is_healthy(&self) -> bool {
        self.condition == Condition::Running
            && (!self.spec.has_health_checks() || self.healthy() == Some(true))
    }

    /// Has it a task that may be alive?
    pub fn is_active(&self) -> bool {
        self.condition.is_active()
    }

    /// Is its agent silent?
    pub fn is_silent(&self) -> bool {
        matches!(self.condition, Condition::Unreachable | Condition::UnreachableInactive)
    }

    /// Was it launched, and has its program not begun?
    pub fn is_staged(&self) -> bool {
        matches!(self.condition, Condition::Provisioned | Condition::Staging | Condition::Starting)
    }

    /// Since when its agent is silent, if it is.
    pub fn since_unreachable(&self) -> Timestamp {
        self.unreachable_since.unwrap_or(self.since)
    }

    /// What is told of a task of it in this state. A balancer knows no more than that: to one that takes no requests it begins
    /// while it is tried, and ends while it is drained.
    pub fn told(&self, state: TaskState) -> TaskState {
        match (state, self.goal) {
            (TaskState::Running, Goal::Running) if self.hidden => TaskState::Starting,
            (TaskState::Running, Goal::Stopped | Goal::Decommissioned) if self.hidden => TaskState::Killing,
            (state, _) => state,
        }
    }

    /// When its program began, of the first of its tasks.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.tasks.iter().filter_map(|task| task.started_at).min()
    }
}
