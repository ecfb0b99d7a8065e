//! What an agent and the master say to each other.

use std::time::Duration;

use lonja_model::framework::FrameworkInfo;
use lonja_model::ids::{ExecutorId, FrameworkId};
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::operation::AgentOperation;
use lonja_model::resources::Resources;
use lonja_model::role::Role;
use lonja_model::task::TaskInfo;

use super::agent::{
    agent_capabilities_from_wire, agent_capabilities_to_wire, agent_info_from_wire, agent_info_to_wire,
};
use super::check::{check_status_from_wire, check_status_to_wire};
use super::conversion::{conversion_from_wire, conversion_to_wire};
use super::executor::{
    agent_executor_from_wire, agent_executor_to_wire, executor_ended_from_wire, executor_ended_to_wire,
};
use super::framework::{framework_from_wire, framework_to_wire};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, container_id_from_wire, container_id_to_wire,
    executor_id_from_wire, executor_id_to_wire, framework_id_from_wire, framework_id_to_wire,
    grace_from_wire, grace_to_wire, operation_id_from_wire, operation_id_to_wire, operation_uuid_from_wire,
    optional, role_from_wire, task_id_from_wire, task_id_to_wire, update_id_from_wire,
};
use super::operation_status::{operation_record_from_wire, operation_record_to_wire};
use super::refusal::{At, Fault, Refusal, at_most, data, required, text};
use super::resources::{Shape, all_resources_from_wire, resources_to_wire};
use super::status::{state_from_wire, state_to_wire, status_from_wire, status_to_wire};
use super::task::{task_info_from_wire, task_info_to_wire};
use crate::limits;
use crate::lonja::{self, agent_message, master_message};
use crate::mesos;

/// What an agent says. Errors: there is nothing in it, or a field is missing or not well formed.
pub fn agent_message_from_wire(wire: lonja::AgentMessage) -> Result<FromAgent, Refusal> {
    use agent_message::Message;
    match required(wire.message)? {
        Message::Register(wire) => register(wire).at("register"),
        Message::Reregister(wire) => reregister(wire).at("reregister"),
        Message::Update(wire) => update(wire).at("update"),
        Message::OperationUpdate(wire) => operation_update(wire).at("operation_update"),
        Message::ExecutorEnded(wire) => executor_ended_from_wire(wire).at("executor_ended"),
        Message::Pong(wire) => Ok(FromAgent::Pong { sequence: wire.sequence }),
        Message::ExecutorMessage(wire) => {
            let (framework, executor, data) = executor_message(wire).at("executor_message")?;
            Ok(FromAgent::Message { framework, executor, data })
        }
    }
}

/// What an agent says, as the wire has it.
pub fn agent_message_to_wire(message: &FromAgent) -> lonja::AgentMessage {
    use agent_message::Message;
    let message = match message {
        FromAgent::Register { info, version, capabilities } => Message::Register(lonja::Register {
            info: Some(mesos::AgentInfo { id: None, ..agent_info_to_wire(info) }),
            version: version.clone(),
            capabilities: agent_capabilities_to_wire(capabilities),
        }),
        FromAgent::Reregister {
            agent,
            info,
            version,
            tasks,
            frameworks,
            total,
            operations,
            executors,
            capabilities,
        } => Message::Reregister(lonja::Reregister {
            info: Some(mesos::AgentInfo { id: Some(agent_id_to_wire(agent)), ..agent_info_to_wire(info) }),
            version: version.clone(),
            tasks: tasks.iter().map(agent_task_to_wire).collect(),
            frameworks: frameworks.iter().map(|(id, info)| framework_to_wire(Some(id), info)).collect(),
            total: Some(total_to_wire(total)),
            operations: operations.iter().map(operation_record_to_wire).collect(),
            executors: executors.iter().map(agent_executor_to_wire).collect(),
            capabilities: agent_capabilities_to_wire(capabilities),
        }),
        FromAgent::OperationUpdate { record, total } => Message::OperationUpdate(lonja::OperationUpdate {
            operation: Some(Box::new(operation_record_to_wire(record))),
            total: Some(total_to_wire(total)),
        }),
        FromAgent::Update { framework, status, latest } => Message::Update(lonja::TaskUpdate {
            framework_id: Some(framework_id_to_wire(framework)),
            status: Some(status_to_wire(status)),
            latest_state: Some(state_to_wire(*latest).into()),
        }),
        FromAgent::ExecutorEnded { framework, executor, status } => {
            Message::ExecutorEnded(executor_ended_to_wire(framework, executor, *status))
        }
        FromAgent::Pong { sequence } => Message::Pong(lonja::Pong { sequence: *sequence }),
        FromAgent::Message { framework, executor, data } => {
            Message::ExecutorMessage(executor_message_to_wire(framework, executor, data))
        }
    };
    lonja::AgentMessage { message: Some(message) }
}

/// What the master says to an agent. Errors: as for [`agent_message_from_wire`].
pub fn master_message_from_wire(wire: lonja::MasterMessage) -> Result<ToAgent, Refusal> {
    use master_message::Message;
    match required(wire.message)? {
        Message::Registered(wire) => registered(wire).at("registered"),
        Message::Refused(wire) => Ok(ToAgent::Refused { reason: wire.reason, permanent: wire.permanent }),
        Message::Run(wire) => run(wire).at("run"),
        Message::RunInExecutor(wire) => run_in_executor(wire).at("run_in_executor"),
        Message::Kill(wire) => kill(wire).at("kill"),
        Message::Acknowledge(wire) => acknowledge(wire).at("acknowledge"),
        Message::Apply(wire) => apply(wire).at("apply"),
        Message::AcknowledgeOperation(wire) => {
            let operation = operation_uuid_from_wire(&wire.uuid).at("uuid").at("acknowledge_operation")?;
            Ok(ToAgent::AcknowledgeOperation { operation })
        }
        Message::ResendUpdates(wire) => {
            let framework = framework_id_from_wire(wire.framework_id).at("framework_id");
            Ok(ToAgent::ResendUpdates { framework: framework.at("resend_updates")? })
        }
        Message::ShutdownFramework(wire) => {
            let framework = framework_id_from_wire(wire.framework_id).at("framework_id");
            Ok(ToAgent::ShutdownFramework { framework: framework.at("shutdown_framework")? })
        }
        Message::ExecutorMessage(wire) => {
            let (framework, executor, data) = executor_message(wire).at("executor_message")?;
            Ok(ToAgent::Message { framework, executor, data })
        }
        Message::ShutdownExecutor(wire) => shutdown_executor(wire).at("shutdown_executor"),
        Message::Ping(wire) => Ok(ToAgent::Ping { sequence: wire.sequence }),
    }
}

/// What the master says to an agent, as the wire has it.
pub fn master_message_to_wire(message: &ToAgent) -> lonja::MasterMessage {
    use master_message::Message;
    let message = match message {
        ToAgent::Registered { agent, ping_interval, max_missed_pings } => {
            Message::Registered(lonja::Registered {
                agent_id: Some(agent_id_to_wire(agent)),
                ping_interval_ms: u64::try_from(ping_interval.as_millis()).unwrap_or(u64::MAX).max(1),
                max_missed_pings: *max_missed_pings,
            })
        }
        ToAgent::Refused { reason, permanent } => {
            Message::Refused(lonja::Refused { reason: reason.clone(), permanent: *permanent })
        }
        ToAgent::Run { framework, info, role, tasks } => {
            Message::Run(run_to_wire(framework, info, role, tasks))
        }
        ToAgent::RunInExecutor { framework, info, role, tasks, starts_executor, as_group } => {
            Message::RunInExecutor(lonja::RunInExecutor {
                run: Some(run_to_wire(framework, info, role, tasks)),
                starts_executor: *starts_executor,
                as_group: *as_group,
            })
        }
        ToAgent::Kill { framework, task, grace } => Message::Kill(lonja::KillTask {
            framework_id: Some(framework_id_to_wire(framework)),
            task_id: Some(task_id_to_wire(task)),
            kill_policy: grace_to_wire(*grace),
        }),
        ToAgent::Acknowledge { framework, task, update } => Message::Acknowledge(lonja::AcknowledgeUpdate {
            framework_id: Some(framework_id_to_wire(framework)),
            task_id: Some(task_id_to_wire(task)),
            uuid: update.0.to_vec(),
        }),
        ToAgent::Apply { operation } => Message::Apply(apply_to_wire(operation)),
        ToAgent::AcknowledgeOperation { operation } => {
            Message::AcknowledgeOperation(lonja::AcknowledgeOperation { uuid: operation.0.to_vec() })
        }
        ToAgent::ResendUpdates { framework } => Message::ResendUpdates(lonja::ResendUpdates {
            framework_id: Some(framework_id_to_wire(framework)),
        }),
        ToAgent::ShutdownFramework { framework } => Message::ShutdownFramework(lonja::ShutdownFramework {
            framework_id: Some(framework_id_to_wire(framework)),
        }),
        ToAgent::Message { framework, executor, data } => {
            Message::ExecutorMessage(executor_message_to_wire(framework, executor, data))
        }
        ToAgent::ShutdownExecutor { framework, executor } => {
            Message::ShutdownExecutor(lonja::ShutdownExecutor {
                framework_id: Some(framework_id_to_wire(framework)),
                executor_id: Some(executor_id_to_wire(executor)),
            })
        }
        ToAgent::Ping { sequence } => Message::Ping(lonja::Ping { sequence: *sequence }),
    };
    lonja::MasterMessage { message: Some(message) }
}

fn register(wire: lonja::Register) -> Result<FromAgent, Refusal> {
    let info = required(wire.info).and_then(agent_info_from_wire).at("info")?;
    if info.id.is_some() {
        let reason = "is set, but a new agent has none; register again with it, or leave it out";
        return Err(Fault::Invalid(reason.to_owned())).at("info.id");
    }
    Ok(FromAgent::Register {
        info: Box::new(info),
        version: text(wire.version, limits::TEXT_BYTES).at("version")?,
        capabilities: agent_capabilities_from_wire(&wire.capabilities),
    })
}

fn reregister(wire: lonja::Reregister) -> Result<FromAgent, Refusal> {
    let info = required(wire.info).and_then(agent_info_from_wire).at("info")?;
    at_most(wire.tasks.len(), limits::TASKS_PER_AGENT, "tasks")?;
    at_most(wire.frameworks.len(), limits::FRAMEWORKS_PER_AGENT, "frameworks")?;
    at_most(wire.operations.len(), limits::OPERATIONS_PER_AGENT, "operations")?;
    at_most(wire.executors.len(), limits::TASKS_PER_AGENT, "executors")?;
    let executor = |(index, wire)| agent_executor_from_wire(wire).at_index("executors", index);
    let task = |(index, wire)| agent_task_from_wire(wire).at_index("tasks", index);
    let framework = |(index, wire)| named_framework(wire).at_index("frameworks", index);
    let operation = |(index, wire)| operation_record_from_wire(wire).at_index("operations", index);
    // An agent that says nothing of it is of a version that converts nothing.
    let total = wire.total.map(total_from_wire).transpose().at("total")?;
    Ok(FromAgent::Reregister {
        capabilities: agent_capabilities_from_wire(&wire.capabilities),
        agent: required(info.id.clone()).at("info.id")?,
        total: total.unwrap_or_else(|| info.resources.clone()),
        operations: wire.operations.into_iter().enumerate().map(operation).collect::<Result<_, _>>()?,
        executors: wire.executors.into_iter().enumerate().map(executor).collect::<Result<_, _>>()?,
        info: Box::new(info),
        version: text(wire.version, limits::TEXT_BYTES).at("version")?,
        tasks: wire.tasks.into_iter().enumerate().map(task).collect::<Result<_, _>>()?,
        frameworks: wire.frameworks.into_iter().enumerate().map(framework).collect::<Result<_, _>>()?,
    })
}

/// A framework that is known by its id.
pub(super) fn named_framework(wire: mesos::FrameworkInfo) -> Result<(FrameworkId, FrameworkInfo), Refusal> {
    let (id, info) = framework_from_wire(wire)?;
    Ok((required(id).at("id")?, info))
}

fn agent_task_from_wire(wire: lonja::AgentTask) -> Result<AgentTask, Refusal> {
    Ok(AgentTask {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        role: role_from_wire(&wire.role).at("role")?,
        info: required(wire.info).and_then(task_info_from_wire).at("info")?,
        state: required(wire.state).and_then(state_from_wire).at("state")?,
        container: optional(wire.container_id, container_id_from_wire).at("container_id")?,
        pid: wire.pid,
        healthy: wire.healthy,
        check: wire.check_status.map(check_status_from_wire).transpose().at("check_status")?,
    })
}

fn agent_task_to_wire(task: &AgentTask) -> lonja::AgentTask {
    lonja::AgentTask {
        framework_id: Some(framework_id_to_wire(&task.framework)),
        role: task.role.to_string(),
        info: Some(task_info_to_wire(&task.info)),
        state: Some(state_to_wire(task.state).into()),
        container_id: task.container.as_ref().map(container_id_to_wire),
        pid: task.pid,
        healthy: task.healthy,
        check_status: task.check.map(check_status_to_wire),
    }
}

fn update(wire: lonja::TaskUpdate) -> Result<FromAgent, Refusal> {
    Ok(FromAgent::Update {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        status: Box::new(required(wire.status).and_then(status_from_wire).at("status")?),
        latest: required(wire.latest_state).and_then(state_from_wire).at("latest_state")?,
    })
}

fn total_from_wire(wire: lonja::Total) -> Result<Resources, Refusal> {
    all_resources_from_wire(wire.resources).at("resources")
}

fn total_to_wire(total: &Resources) -> lonja::Total {
    lonja::Total { resources: resources_to_wire(total, None, Shape::FULL) }
}

fn operation_update(wire: lonja::OperationUpdate) -> Result<FromAgent, Refusal> {
    let record =
        required(wire.operation).and_then(|wire| operation_record_from_wire(*wire)).at("operation")?;
    let total = required(wire.total).and_then(total_from_wire).at("total")?;
    Ok(FromAgent::OperationUpdate { record: Box::new(record), total })
}

fn apply(wire: lonja::ApplyOperation) -> Result<ToAgent, Refusal> {
    let operation = *required(wire.operation).at("operation")?;
    let operation = AgentOperation {
        uuid: operation_uuid_from_wire(&wire.uuid).at("uuid")?,
        framework: optional(wire.framework_id, framework_id_from_wire).at("framework_id")?,
        id: optional(operation.id.clone(), operation_id_from_wire).at("operation.id")?,
        conversion: conversion_from_wire(operation).at("operation")?,
    };
    Ok(ToAgent::Apply { operation: Box::new(operation) })
}

fn apply_to_wire(operation: &AgentOperation) -> lonja::ApplyOperation {
    lonja::ApplyOperation {
        uuid: operation.uuid.0.to_vec(),
        framework_id: operation.framework.as_ref().map(framework_id_to_wire),
        operation: Some(Box::new(mesos::offer::Operation {
            id: operation.id.as_ref().map(operation_id_to_wire),
            ..conversion_to_wire(&operation.conversion)
        })),
    }
}

fn executor_message(wire: lonja::ExecutorMessage) -> Result<(FrameworkId, ExecutorId, Vec<u8>), Refusal> {
    let framework = framework_id_from_wire(wire.framework_id).at("framework_id")?;
    let executor = executor_id_from_wire(wire.executor_id).at("executor_id")?;
    Ok((framework, executor, data(wire.data).at("data")?))
}

fn shutdown_executor(wire: lonja::ShutdownExecutor) -> Result<ToAgent, Refusal> {
    Ok(ToAgent::ShutdownExecutor {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        executor: executor_id_from_wire(wire.executor_id).at("executor_id")?,
    })
}

fn executor_message_to_wire(
    framework: &FrameworkId,
    executor: &ExecutorId,
    data: &[u8],
) -> lonja::ExecutorMessage {
    lonja::ExecutorMessage {
        framework_id: Some(framework_id_to_wire(framework)),
        executor_id: Some(executor_id_to_wire(executor)),
        data: data.to_vec(),
    }
}

fn registered(wire: lonja::Registered) -> Result<ToAgent, Refusal> {
    if wire.ping_interval_ms == 0 {
        return Err(Fault::Missing).at("ping_interval_ms");
    }
    Ok(ToAgent::Registered {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        ping_interval: Duration::from_millis(wire.ping_interval_ms),
        max_missed_pings: wire.max_missed_pings,
    })
}

fn run_to_wire(
    framework: &FrameworkId,
    info: &FrameworkInfo,
    role: &Role,
    tasks: &[TaskInfo],
) -> lonja::RunTasks {
    lonja::RunTasks {
        framework: Some(framework_to_wire(Some(framework), info)),
        role: role.to_string(),
        tasks: tasks.iter().map(task_info_to_wire).collect(),
    }
}

/// Framework, role and tasks of an order.
type Order = (FrameworkId, FrameworkInfo, Role, Vec<TaskInfo>);

fn order(wire: lonja::RunTasks) -> Result<Order, Refusal> {
    let (framework, info) = required(wire.framework).and_then(named_framework).at("framework")?;
    at_most(wire.tasks.len(), limits::TASKS_PER_CALL, "tasks")?;
    let task = |(index, wire)| task_info_from_wire(wire).at_index("tasks", index);
    let role = role_from_wire(&wire.role).at("role")?;
    let tasks = wire.tasks.into_iter().enumerate().map(task).collect::<Result<Vec<TaskInfo>, _>>()?;
    Ok((framework, info, role, tasks))
}

fn run(wire: lonja::RunTasks) -> Result<ToAgent, Refusal> {
    let (framework, info, role, tasks) = order(wire)?;
    Ok(ToAgent::Run { framework, info: Box::new(info), role, tasks })
}

fn run_in_executor(wire: lonja::RunInExecutor) -> Result<ToAgent, Refusal> {
    let (framework, info, role, tasks) = required(wire.run).and_then(order).at("run")?;
    let executor = tasks.first().and_then(|task| task.executor.as_ref());
    if executor.is_none() || tasks.iter().any(|task| task.executor.as_ref() != executor) {
        let reason = "must hold tasks, all of which describe the same executor";
        return Err(Fault::Invalid(reason.to_owned())).at("run.tasks");
    }
    let (starts_executor, as_group) = (wire.starts_executor, wire.as_group);
    Ok(ToAgent::RunInExecutor { framework, info: Box::new(info), role, tasks, starts_executor, as_group })
}

fn kill(wire: lonja::KillTask) -> Result<ToAgent, Refusal> {
    Ok(ToAgent::Kill {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        grace: grace_from_wire(wire.kill_policy).at("kill_policy")?,
    })
}

fn acknowledge(wire: lonja::AcknowledgeUpdate) -> Result<ToAgent, Refusal> {
    Ok(ToAgent::Acknowledge {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        update: update_id_from_wire(&wire.uuid).at("uuid")?,
    })
}
