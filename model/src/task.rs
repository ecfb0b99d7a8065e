//! Tasks: what was asked for, where they stand, what is said about them.
//!
//! Source: Mesos v1 `TaskInfo`, `TaskState`, `TaskStatus`; the state table is INV-17.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::check::{Check, CheckStatus, HealthCheck};
use crate::container::{Command, ContainerInfo};
use crate::executor::ExecutorInfo;
use crate::ids::{AgentId, ContainerId, ExecutorId, TaskId, UpdateId};
use crate::labels::Labels;
use crate::resources::{Resources, Scalar};
use crate::time::Timestamp;

/// A task as its framework describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// For people.
    pub name: String,
    /// Unique within the framework while the task is known (INV-16).
    pub id: TaskId,
    /// Where it is to run: the agent of the offers.
    pub agent: AgentId,
    /// What it needs; never empty.
    pub resources: Resources,
    /// Hard limits above what it needs, by resource name (`cpus`, `mem`). Empty: the need is the limit.
    pub limits: BTreeMap<String, Limit>,
    /// The program; [`Command::none`] for a task of a custom executor, which knows what to do.
    pub command: Command,
    /// Its surroundings.
    pub container: ContainerInfo,
    /// How long a kill waits between asking and forcing; `None`: the agent's default.
    pub kill_grace: Option<Duration>,
    /// Ended by its agent after this long; `None`: never.
    pub max_completion_time: Option<Duration>,
    /// Carried, never read.
    pub labels: Labels,
    /// For those who look services up; carried, never read.
    pub discovery: Option<Discovery>,
    /// Who runs it; `None`: the agent, for itself alone.
    pub executor: Option<Box<ExecutorInfo>>,
    /// For its executor; Lonja does not look inside.
    pub data: Vec<u8>,
    /// Ends it when it fails too often.
    pub health_check: Option<Box<HealthCheck>>,
    /// Reports what it sees.
    pub check: Option<Box<Check>>,
}

impl TaskInfo {
    /// Its executor's name, if it has one.
    pub fn executor_id(&self) -> Option<&ExecutorId> {
        self.executor.as_ref().map(|executor| &executor.id)
    }

    /// From now on its secrets, and those of its executor, have no bytes.
    pub fn forget_secrets(&mut self) {
        self.command.forget_secrets();
        self.container.forget_secrets();
        if let Some(executor) = &mut self.executor {
            executor.forget_secrets();
        }
    }

    /// Is it run by a program of the framework's own?
    pub fn is_in_custom_executor(&self) -> bool {
        self.executor.as_ref().is_some_and(|executor| executor.is_custom())
    }
}

/// A hard limit above a task's need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So much, in thousandths.
    Amount(Scalar),
    /// As much as the host has.
    Infinite,
}

/// What a task says to those who look services up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Who may see it: `FRAMEWORK`, `CLUSTER` or `EXTERNAL`.
    pub visibility: Visibility,
    /// The service's name.
    pub name: Option<String>,
    /// Such as `prod`.
    pub environment: Option<String>,
    /// Such as a data center.
    pub location: Option<String>,
    /// The service's version.
    pub version: Option<String>,
    /// Ports by number, with name and protocol.
    pub ports: Vec<DiscoveryPort>,
    /// Carried, never read.
    pub labels: Labels,
}

/// Who may discover a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Its own framework.
    #[default]
    Framework,
    /// Anyone in the cluster.
    Cluster,
    /// Anyone.
    External,
}

/// One port of a [`Discovery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryPort {
    /// 0 to 65535.
    pub number: u32,
    /// Such as `http`.
    pub name: Option<String>,
    /// Such as `tcp`.
    pub protocol: Option<String>,
}

/// Where a task stands. See [`TaskState::may_become`] for the arcs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// Accepted by the master, not yet seen by an agent's executor.
    Staging,
    /// The agent makes its container.
    Starting,
    /// Its program runs.
    Running,
    /// A kill is under way. Only told to frameworks that know it.
    Killing,
    /// Its agent is silent; it may still run.
    Unreachable,
    /// Ended by itself with exit status 0.
    Finished,
    /// Ended by itself otherwise, or could not be started.
    Failed,
    /// Ended because someone asked.
    Killed,
    /// Its description was refused.
    Error,
    /// Never reached an agent, or an old framework's word for the states below.
    Lost,
    /// Never reached an agent, and will not run.
    Dropped,
    /// Its agent is back without it.
    Gone,
    /// An operator declared its agent gone; it may still run there, unwatched.
    GoneByOperator,
    /// Nobody knows it. Only ever an answer to reconciliation.
    Unknown,
}

impl TaskState {
    /// Every state, in the order above.
    pub const ALL: [Self; 14] = [
        Self::Staging,
        Self::Starting,
        Self::Running,
        Self::Killing,
        Self::Unreachable,
        Self::Finished,
        Self::Failed,
        Self::Killed,
        Self::Error,
        Self::Lost,
        Self::Dropped,
        Self::Gone,
        Self::GoneByOperator,
        Self::Unknown,
    ];

    /// Has the task ended for good? UNREACHABLE and UNKNOWN have not.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Error
            | Self::Lost
            | Self::Dropped
            | Self::Gone
            | Self::GoneByOperator => true,
            Self::Staging
            | Self::Starting
            | Self::Running
            | Self::Killing
            | Self::Unreachable
            | Self::Unknown => false,
        }
    }

    /// May a task in state `self` be reported to be in `next`? (INV-17)
    ///
    /// An active task moves forward only, may repeat RUNNING or KILLING (new health, new addresses), may
    /// become unreachable, and may end. A terminal state is final. LOST, UNREACHABLE and GONE_BY_OPERATOR
    /// are what the master said in the agent's absence: whatever the agent reports on its return holds.
    pub fn may_become(self, next: Self) -> bool {
        use TaskState::*;
        match (self, next) {
            (_, Staging | Unknown) => false,
            (Unreachable | Lost | GoneByOperator, Unreachable) => false,
            (Unreachable | Lost | GoneByOperator, _) => self != next,
            (Finished | Failed | Killed | Error | Dropped | Gone, _) => false,
            (Unknown, _) => false,
            (Staging, Starting) => true,
            (Staging | Starting, Running) => true,
            (Running, Running) | (Killing, Killing) => true,
            (Staging | Starting | Running, Killing) => true,
            (Starting | Running | Killing, Starting) | (Killing, Running) => false,
            (Staging | Starting | Running | Killing, Unreachable) => true,
            (
                Staging | Starting | Running | Killing,
                Finished | Failed | Killed | Error | Lost | Dropped | Gone | GoneByOperator,
            ) => true,
        }
    }

    /// The name on the wire and in every listing, such as `TASK_RUNNING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staging => "TASK_STAGING",
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Killing => "TASK_KILLING",
            Self::Unreachable => "TASK_UNREACHABLE",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
            Self::Error => "TASK_ERROR",
            Self::Lost => "TASK_LOST",
            Self::Dropped => "TASK_DROPPED",
            Self::Gone => "TASK_GONE",
            Self::GoneByOperator => "TASK_GONE_BY_OPERATOR",
            Self::Unknown => "TASK_UNKNOWN",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who made a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The master, by itself.
    Master,
    /// The agent.
    Agent,
    /// The executor, for Lonja's built-in one the agent on its behalf.
    Executor,
}

/// Why a task is in the state it is in, where the state alone does not say. Mesos v1's reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the Mesos v1 reason of the same name, REASON_...")]
pub enum Reason {
    CommandExecutorFailed,
    ContainerLaunchFailed,
    ContainerLimitation,
    ContainerLimitationDisk,
    ContainerLimitationMemory,
    ContainerPreempted,
    ContainerUpdateFailed,
    MaxCompletionTimeReached,
    ExecutorRegistrationTimeout,
    ExecutorReregistrationTimeout,
    ExecutorTerminated,
    ExecutorUnregistered,
    FrameworkRemoved,
    GcError,
    InvalidFrameworkId,
    InvalidOffers,
    IoSwitchboardExited,
    MasterDisconnected,
    Reconciliation,
    ResourcesUnknown,
    AgentDisconnected,
    AgentDraining,
    AgentRemoved,
    AgentRemovedByOperator,
    AgentReregistered,
    AgentRestarted,
    AgentUnknown,
    TaskKilledDuringLaunch,
    TaskCheckStatusUpdated,
    TaskHealthCheckStatusUpdated,
    TaskGroupInvalid,
    TaskGroupUnauthorized,
    TaskInvalid,
    TaskUnauthorized,
    TaskUnknown,
}

/// What is said about a task at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which task.
    pub task: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why, where the state alone does not say.
    pub reason: Option<Reason>,
    /// For people; such as `exited with status 7`.
    pub message: Option<String>,
    /// From its executor, for its framework; Lonja does not look inside.
    pub data: Vec<u8>,
    /// Where it runs, if that is known.
    pub agent: Option<AgentId>,
    /// Its executor, if it has one of its own.
    pub executor: Option<ExecutorId>,
    /// When it was said.
    pub timestamp: Timestamp,
    /// Present on updates that the framework must acknowledge; absent on answers of the master.
    pub update: Option<UpdateId>,
    /// The last word of its health check, if it has one.
    pub healthy: Option<bool>,
    /// Its container.
    pub container: Option<ContainerId>,
    /// The process id of its program as the agent's host sees it.
    pub pid: Option<u32>,
    /// Since when its agent is silent.
    pub unreachable_since: Option<Timestamp>,
    /// The limit it broke.
    pub limitation: Option<Resources>,
    /// Carried, never read.
    pub labels: Labels,
    /// The last word of its check, if it has one.
    pub check: Option<CheckStatus>,
}

impl TaskStatus {
    /// The least that can be said: `task` is in `state`, says `source`, at `now`.
    pub fn new(task: TaskId, state: TaskState, source: Source, now: Timestamp) -> Self {
        Self {
            task,
            state,
            source,
            reason: None,
            message: None,
            data: Vec::new(),
            agent: None,
            executor: None,
            timestamp: now,
            update: None,
            healthy: None,
            container: None,
            pid: None,
            unreachable_since: None,
            limitation: None,
            labels: Labels::default(),
            check: None,
        }
    }

    /// With a reason.
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// With words for people.
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// On `agent`.
    pub fn on(mut self, agent: AgentId) -> Self {
        self.agent = Some(agent);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published table (`docs/invariants.md`, INV-17): from the state on the left, a `+` under each state
    /// it may become. Columns in the order of [`TaskState::ALL`]: staging, starting, running, killing,
    /// unreachable; finished, failed, killed, error, lost, dropped, gone, gone by operator; unknown.
    const TABLE: [(TaskState, &str); 14] = [
        (TaskState::Staging, "-+++ + ++++++++ -"),
        (TaskState::Starting, "--++ + ++++++++ -"),
        (TaskState::Running, "--++ + ++++++++ -"),
        (TaskState::Killing, "---+ + ++++++++ -"),
        (TaskState::Unreachable, "-+++ - ++++++++ -"),
        (TaskState::Finished, "---- - -------- -"),
        (TaskState::Failed, "---- - -------- -"),
        (TaskState::Killed, "---- - -------- -"),
        (TaskState::Error, "---- - -------- -"),
        (TaskState::Lost, "-+++ - ++++-+++ -"),
        (TaskState::Dropped, "---- - -------- -"),
        (TaskState::Gone, "---- - -------- -"),
        (TaskState::GoneByOperator, "-+++ - +++++++- -"),
        (TaskState::Unknown, "---- - -------- -"),
    ];

    #[test]
    fn tasks_move_along_the_published_table_only() {
        assert_eq!(TABLE.map(|(state, _)| state), TaskState::ALL);
        for (state, row) in TABLE {
            let row: Vec<bool> = row.split(' ').flat_map(str::chars).map(|mark| mark == '+').collect();
            assert_eq!(row.len(), TaskState::ALL.len(), "{state}");
            for (next, expected) in TaskState::ALL.into_iter().zip(row) {
                assert_eq!(state.may_become(next), expected, "from {state} to {next}");
            }
        }
    }

    #[test]
    fn a_terminal_state_is_final_unless_the_master_said_it_in_the_agents_absence() {
        use TaskState::*;
        for state in TaskState::ALL {
            let moves = TaskState::ALL.iter().any(|next| state.may_become(*next));
            let said_in_absence = matches!(state, Lost | GoneByOperator);
            assert_eq!(moves, (!state.is_terminal() && state != Unknown) || said_in_absence, "{state}");
        }
    }

    #[test]
    fn each_state_has_the_name_of_the_wire() {
        let names: std::collections::BTreeSet<_> = TaskState::ALL.iter().map(|state| state.name()).collect();
        assert_eq!(names.len(), TaskState::ALL.len());
        assert!(names.iter().all(|name| name.starts_with("TASK_")));
        assert_eq!(TaskState::GoneByOperator.to_string(), "TASK_GONE_BY_OPERATOR");
    }

    #[test]
    fn a_status_says_what_it_was_given() {
        let (task, agent) = (TaskId::new("t").unwrap(), AgentId::new("a").unwrap());
        let now = Timestamp::from_nanos(7);
        let status = TaskStatus::new(task, TaskState::Failed, Source::Agent, now)
            .because(Reason::ContainerLimitationMemory)
            .saying("used 33 MiB of 32")
            .on(agent.clone());
        assert_eq!(status.reason, Some(Reason::ContainerLimitationMemory));
        assert_eq!(status.message.as_deref(), Some("used 33 MiB of 32"));
        assert_eq!((status.agent, status.timestamp, status.update), (Some(agent), now, None));
    }
}
