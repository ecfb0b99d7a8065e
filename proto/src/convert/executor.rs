//! Executors as their frameworks describe them, and as agents remember and tell of them.

use std::time::Duration;

use lonja_model::checkpoint::{ExecutorRecord, GroupRecord};
use lonja_model::executor::{ExecutorInfo, ExecutorProgram};
use lonja_model::ids::{ExecutorId, FrameworkId};
use lonja_model::link::{AgentExecutor, FromAgent};

use super::container::{command_from_wire, command_to_wire, container_from_wire, container_to_wire};
use super::ids::{
    container_id_from_wire, container_id_to_wire, duration_from_wire, duration_to_wire,
    executor_id_from_wire, executor_id_to_wire, framework_id_from_wire, framework_id_to_wire,
    labels_from_wire, labels_to_wire, optional, role_from_wire, task_id_from_wire, task_id_to_wire,
};
use super::refusal::{At, Fault, Refusal, data, known, optional_text, required, unsupported};
use super::resources::{Shape, resources_from_wire, resources_to_wire};
use crate::lonja;
use crate::mesos::{self, executor_info};
use crate::wire::lonja::checkpoint::v1 as stored;

/// An executor's description. Without a type it is the framework's own if it has a command, and the built-in one if
/// it has none; `source`, which is deprecated, is not looked at.
///
/// Errors: a field is not well formed; the built-in one with a command, or another without; a discovery of its own.
pub fn executor_info_from_wire(wire: mesos::ExecutorInfo) -> Result<ExecutorInfo, Refusal> {
    use executor_info::Type;
    unsupported(wire.discovery.is_some(), "discovery", "a discovery of an executor")?;
    let kind = wire.r#type.map(|number| known(number, "ExecutorInfo.Type")).transpose().at("type")?;
    let program = match (kind.unwrap_or(Type::Unknown), wire.command) {
        (Type::Default, Some(_)) => {
            let reason =
                "is set, but type DEFAULT is the agent's own executor; leave it out, or set type CUSTOM";
            return Err(Fault::Invalid(reason.to_owned())).at("command");
        }
        (Type::Custom, None) => return Err(Fault::Missing).at("command"),
        (Type::Default | Type::Unknown, None) => ExecutorProgram::Builtin,
        (Type::Custom | Type::Unknown, Some(command)) => {
            ExecutorProgram::Custom(command_from_wire(command).at("command")?)
        }
    };
    Ok(ExecutorInfo {
        id: executor_id_from_wire(wire.executor_id).at("executor_id")?,
        framework: optional(wire.framework_id, framework_id_from_wire).at("framework_id")?,
        program,
        name: optional_text(wire.name, "name")?,
        resources: resources_from_wire(wire.resources).at("resources")?,
        container: container_from_wire(wire.container).at("container")?,
        shutdown_grace: wire
            .shutdown_grace_period
            .map(duration_from_wire)
            .transpose()
            .at("shutdown_grace_period")?,
        labels: labels_from_wire(wire.labels).at("labels")?,
        data: data(wire.data.unwrap_or_default()).at("data")?,
    })
}

/// An executor's description as the wire has it.
pub fn executor_info_to_wire(executor: &ExecutorInfo) -> mesos::ExecutorInfo {
    let kind = match executor.program {
        ExecutorProgram::Builtin => executor_info::Type::Default,
        ExecutorProgram::Custom(_) => executor_info::Type::Custom,
    };
    mesos::ExecutorInfo {
        executor_id: executor_id_to_wire(&executor.id),
        framework_id: executor.framework.as_ref().map(framework_id_to_wire),
        r#type: Some(kind.into()),
        command: executor.command().map(command_to_wire),
        name: executor.name.clone(),
        resources: resources_to_wire(&executor.resources, None, Shape::FULL),
        container: container_to_wire(&executor.container),
        shutdown_grace_period: executor.shutdown_grace.map(duration_to_wire),
        labels: labels_to_wire(&executor.labels),
        data: (!executor.data.is_empty()).then(|| executor.data.clone()),
        ..Default::default()
    }
}

pub(super) fn agent_executor_from_wire(wire: lonja::AgentExecutor) -> Result<AgentExecutor, Refusal> {
    Ok(AgentExecutor {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        role: role_from_wire(&wire.role).at("role")?,
        info: required(wire.info).and_then(executor_info_from_wire).at("info")?,
        container: container_id_from_wire(wire.container_id).at("container_id")?,
    })
}

pub(super) fn agent_executor_to_wire(executor: &AgentExecutor) -> lonja::AgentExecutor {
    lonja::AgentExecutor {
        framework_id: Some(framework_id_to_wire(&executor.framework)),
        role: executor.role.to_string(),
        info: Some(executor_info_to_wire(&executor.info)),
        container_id: Some(container_id_to_wire(&executor.container)),
    }
}

pub(super) fn executor_ended_from_wire(wire: lonja::ExecutorEnded) -> Result<FromAgent, Refusal> {
    Ok(FromAgent::ExecutorEnded {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        executor: executor_id_from_wire(wire.executor_id).at("executor_id")?,
        status: wire.status,
    })
}

pub(super) fn executor_ended_to_wire(
    framework: &FrameworkId,
    executor: &ExecutorId,
    status: Option<i32>,
) -> lonja::ExecutorEnded {
    lonja::ExecutorEnded {
        framework_id: Some(framework_id_to_wire(framework)),
        executor_id: Some(executor_id_to_wire(executor)),
        status,
    }
}

/// A task's place in its group, as it is stored beside the task.
pub(super) fn group_from_stored(wire: &stored::Task) -> Result<Option<GroupRecord>, Refusal> {
    let name = optional(wire.group.clone(), container_id_from_wire).at("group")?;
    let fell_with = optional(wire.fell_with.clone(), task_id_from_wire).at("fell_with")?;
    Ok(name.map(|name| GroupRecord { name, fell_with }))
}

/// The same, the way back.
pub(super) fn group_to_stored(group: Option<&GroupRecord>, wire: &mut stored::Task) {
    wire.group = group.map(|group| container_id_to_wire(&group.name));
    wire.fell_with = group.and_then(|group| group.fell_with.as_ref()).map(task_id_to_wire);
}

pub(super) fn executor_from_stored(wire: stored::Executor) -> Result<(FrameworkId, ExecutorRecord), Refusal> {
    let framework = framework_id_from_wire(wire.framework_id).at("framework_id")?;
    let record = ExecutorRecord {
        info: required(wire.info).and_then(executor_info_from_wire).at("info")?.into(),
        role: role_from_wire(&wire.role).at("role")?,
        container: container_id_from_wire(wire.container_id).at("container_id")?,
        shutting_down: wire.shutting_down_ns.map(Duration::from_nanos),
        orphaned: wire.orphaned,
        launched: wire.launched,
    };
    Ok((framework, record))
}

pub(super) fn executor_to_stored(framework: &FrameworkId, record: &ExecutorRecord) -> stored::Executor {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    stored::Executor {
        framework_id: Some(framework_id_to_wire(framework)),
        role: record.role.to_string(),
        info: Some(executor_info_to_wire(&record.info)),
        container_id: Some(container_id_to_wire(&record.container)),
        shutting_down_ns: record.shutting_down.map(nanoseconds),
        orphaned: record.orphaned,
        launched: record.launched,
    }
}
