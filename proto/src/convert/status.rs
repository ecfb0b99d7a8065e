//! What is said about a task.

use lonja_model::task::{Reason, Source, TaskState, TaskStatus};
use lonja_model::time::Timestamp;

use super::check::{check_status_from_wire, check_status_to_wire};
use super::ids::{
    LONGEST, agent_id_from_wire, agent_id_to_wire, container_id_from_wire, container_id_to_wire,
    executor_id_from_wire, executor_id_to_wire, labels_from_wire, labels_to_wire, optional,
    task_id_from_wire, task_id_to_wire, time_from_wire, time_to_seconds, time_to_wire, update_id_from_wire,
};
use super::refusal::{At, Refusal, data, known, optional_text, seconds};
use super::resources::{Shape, resources_from_wire, resources_to_wire};
use crate::limits;
use crate::mesos::{self, task_status};

/// What is said about a task. A status without a source is the master's.
///
/// Errors: the task id is none; a number is of no state, source or reason; an id, the instant or the
/// limitation is not well formed; the result of a check names no type.
pub fn status_from_wire(wire: mesos::TaskStatus) -> Result<TaskStatus, Refusal> {
    let source: task_status::Source = match wire.source {
        Some(number) => known(number, "TaskStatus.Source").at("source")?,
        None => task_status::Source::Master,
    };
    let reason = wire.reason.map(|number| known(number, "TaskStatus.Reason")).transpose().at("reason")?;
    let timestamp = match (wire.timestamp_nanoseconds, wire.timestamp) {
        (Some(nanoseconds), _) => Timestamp::from_nanos(nanoseconds),
        (None, None) => Timestamp::ZERO,
        (None, Some(since)) => Timestamp::ZERO + seconds(since, LONGEST).at("timestamp")?,
    };
    let place = wire.container_status.unwrap_or_default();
    Ok(TaskStatus {
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        state: state_from_wire(wire.state).at("state")?,
        source: source_from_wire(source),
        reason: reason.map(reason_from_wire),
        message: optional_text(wire.message, "message")?,
        data: data(wire.data.unwrap_or_default()).at("data")?,
        agent: optional(wire.agent_id, agent_id_from_wire).at("agent_id")?,
        executor: optional(wire.executor_id, executor_id_from_wire).at("executor_id")?,
        timestamp,
        update: wire.uuid.map(|uuid| update_id_from_wire(&uuid)).transpose().at("uuid")?,
        healthy: wire.healthy,
        container: optional(place.container_id, container_id_from_wire)
            .at("container_id")
            .at("container_status")?,
        pid: place.executor_pid,
        unreachable_since: wire.unreachable_time.map(time_from_wire).transpose().at("unreachable_time")?,
        limitation: wire
            .limitation
            .map(|limitation| resources_from_wire(limitation.resources).at("resources"))
            .transpose()
            .at("limitation")?,
        labels: labels_from_wire(wire.labels).at("labels")?,
        check: wire.check_status.map(check_status_from_wire).transpose().at("check_status")?,
    })
}

/// The status as the wire has it. A message longer than the reader takes is cut: to have it refused, and
/// sent again for ever, would help nobody.
pub fn status_to_wire(status: &TaskStatus) -> mesos::TaskStatus {
    let place = (status.container.is_some() || status.pid.is_some()).then(|| mesos::ContainerStatus {
        executor_pid: status.pid,
        container_id: status.container.as_ref().map(container_id_to_wire),
        ..Default::default()
    });
    mesos::TaskStatus {
        task_id: task_id_to_wire(&status.task),
        state: state_to_wire(status.state).into(),
        data: (!status.data.is_empty()).then(|| status.data.clone()),
        message: status.message.as_deref().map(cut),
        agent_id: status.agent.as_ref().map(agent_id_to_wire),
        timestamp: Some(time_to_seconds(status.timestamp)),
        executor_id: status.executor.as_ref().map(executor_id_to_wire),
        healthy: status.healthy,
        source: Some(source_to_wire(status.source).into()),
        reason: status.reason.map(|reason| reason_to_wire(reason).into()),
        uuid: status.update.map(|update| update.0.to_vec()),
        labels: labels_to_wire(&status.labels),
        container_status: place,
        unreachable_time: status.unreachable_since.map(time_to_wire),
        check_status: status.check.map(check_status_to_wire),
        limitation: status.limitation.as_ref().map(|limitation| mesos::TaskResourceLimitation {
            resources: resources_to_wire(limitation, None, Shape::FULL),
        }),
        timestamp_nanoseconds: Some(status.timestamp.as_nanos()),
    }
}

pub(super) fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(limits::TEXT_BYTES)].to_owned()
}

/// The reason's name on the wire, such as `REASON_AGENT_REMOVED`.
pub fn reason_name(reason: Reason) -> &'static str {
    reason_to_wire(reason).as_str_name()
}

/// The source's name on the wire, such as `SOURCE_AGENT`.
pub fn source_name(source: Source) -> &'static str {
    source_to_wire(source).as_str_name()
}

/// The same values under the same names on both sides, so that one table serves both ways.
macro_rules! same_names {
    ($model:ident, $wire:path, $from:ident, $to:ident, { $($model_name:ident = $wire_name:ident),* $(,)? }) => {
        fn $from(wire: $wire) -> $model {
            use $wire as Wire;
            match wire { $(Wire::$wire_name => $model::$model_name),* }
        }
        fn $to(model: $model) -> $wire {
            use $wire as Wire;
            match model { $($model::$model_name => Wire::$wire_name),* }
        }
    };
}

same_names!(Source, task_status::Source, source_from_wire, source_to_wire, {
    Master = Master, Agent = Agent, Executor = Executor,
});

same_names!(TaskState, mesos::TaskState, state_of, state_to, {
    Staging = TaskStaging, Starting = TaskStarting, Running = TaskRunning, Killing = TaskKilling,
    Finished = TaskFinished, Failed = TaskFailed, Killed = TaskKilled, Error = TaskError, Lost = TaskLost,
    Dropped = TaskDropped, Unreachable = TaskUnreachable, Gone = TaskGone,
    GoneByOperator = TaskGoneByOperator, Unknown = TaskUnknown,
});

same_names!(Reason, task_status::Reason, reason_from_wire, reason_to_wire, {
    CommandExecutorFailed = CommandExecutorFailed,
    ContainerLaunchFailed = ContainerLaunchFailed,
    ContainerLimitation = ContainerLimitation,
    ContainerLimitationDisk = ContainerLimitationDisk,
    ContainerLimitationMemory = ContainerLimitationMemory,
    ContainerPreempted = ContainerPreempted,
    ContainerUpdateFailed = ContainerUpdateFailed,
    MaxCompletionTimeReached = MaxCompletionTimeReached,
    ExecutorRegistrationTimeout = ExecutorRegistrationTimeout,
    ExecutorReregistrationTimeout = ExecutorReregistrationTimeout,
    ExecutorTerminated = ExecutorTerminated,
    ExecutorUnregistered = ExecutorUnregistered,
    FrameworkRemoved = FrameworkRemoved,
    GcError = GcError,
    InvalidFrameworkId = InvalidFrameworkid,
    InvalidOffers = InvalidOffers,
    IoSwitchboardExited = IoSwitchboardExited,
    MasterDisconnected = MasterDisconnected,
    Reconciliation = Reconciliation,
    ResourcesUnknown = ResourcesUnknown,
    AgentDisconnected = AgentDisconnected,
    AgentDraining = AgentDraining,
    AgentRemoved = AgentRemoved,
    AgentRemovedByOperator = AgentRemovedByOperator,
    AgentReregistered = AgentReregistered,
    AgentRestarted = AgentRestarted,
    AgentUnknown = AgentUnknown,
    TaskKilledDuringLaunch = TaskKilledDuringLaunch,
    TaskCheckStatusUpdated = TaskCheckStatusUpdated,
    TaskHealthCheckStatusUpdated = TaskHealthCheckStatusUpdated,
    TaskGroupInvalid = TaskGroupInvalid,
    TaskGroupUnauthorized = TaskGroupUnauthorized,
    TaskInvalid = TaskInvalid,
    TaskUnauthorized = TaskUnauthorized,
    TaskUnknown = TaskUnknown,
});

/// The state of this number. Errors: there is none.
pub fn state_from_wire(wire: i32) -> Result<TaskState, Refusal> {
    known(wire, "TaskState").map(state_of)
}

/// The state's form on the wire.
pub fn state_to_wire(state: TaskState) -> mesos::TaskState {
    state_to(state)
}
