//! What a framework asks to be done with offers.
//!
//! A task that is not well formed does not spoil the call it came in: it goes on with its id and what is
//! wrong with it, and is answered by TASK_ERROR. So does a conversion that is none, which is answered by
//! OPERATION_ERROR if it has an id.
//!
//! Source: Mesos v1 `Offer.Operation`, ACCEPT.

use lonja_model::operation::{Conversion, LaunchGroup, LaunchTask, Operation};

use super::executor::{executor_info_from_wire, executor_info_to_wire};
use super::ids::{
    operation_id_from_wire, operation_id_to_wire, optional, task_id_from_wire, task_id_to_wire,
};
use super::refusal::{At, Fault, Refusal, at_most, known, required};
use super::task::{task_info_from_wire, task_info_to_wire};
use crate::limits;
use crate::mesos::offer::{self, operation};
use crate::mesos::{self, OperationId, TaskInfo};

pub use super::conversion::{conversion_from_wire, conversion_to_wire};

/// The operations of a call, in order.
///
/// Errors: there are more than [`limits`] allow, or more resources in them; the type of one is missing or unknown; a
/// launch has no message; the id of a task, or of an operation, is none.
pub fn operations_from_wire(wire: Vec<offer::Operation>) -> Result<Vec<Operation>, Refusal> {
    at_most(wire.len(), limits::OPERATIONS_PER_CALL, "")?;
    let count = wire.iter().map(tasks_in).sum::<usize>();
    if count > limits::TASKS_PER_CALL {
        let reason =
            format!("launch {count} tasks, at most {} are taken; use several calls", limits::TASKS_PER_CALL);
        return Err(Fault::Invalid(reason).into());
    }
    let count = wire.iter().map(resources_in).sum::<usize>();
    if count > limits::RESOURCES_PER_CALL {
        let most = limits::RESOURCES_PER_CALL;
        let reason = format!("convert {count} resources, at most {most} are taken; use several calls");
        return Err(Fault::Invalid(reason).into());
    }
    let operation = |(index, wire)| operation_from_wire(wire).at_index("", index);
    wire.into_iter().enumerate().map(operation).collect()
}

fn tasks_in(wire: &offer::Operation) -> usize {
    let group = wire.launch_group.as_ref().map(|launch| &launch.task_group);
    wire.launch.as_ref().map_or(0, |launch| launch.task_infos.len())
        + group.map_or(0, |group| group.tasks.len())
}

/// Resources in the lists of a conversion.
fn resources_in(wire: &offer::Operation) -> usize {
    wire.reserve.as_ref().map_or(0, |reserve| reserve.resources.len() + reserve.source.len())
        + wire.unreserve.as_ref().map_or(0, |unreserve| unreserve.resources.len())
        + wire.create.as_ref().map_or(0, |create| create.volumes.len())
        + wire.destroy.as_ref().map_or(0, |destroy| destroy.volumes.len())
}

/// The operation's form on the wire. Of one that is wrong in itself only the name and the id are left; whoever reads
/// it finds it as wrong.
pub fn operation_to_wire(operation: &Operation) -> offer::Operation {
    let mut wire = offer::Operation::default();
    match operation {
        Operation::Launch(tasks) => {
            wire.set_type(operation::Type::Launch);
            wire.launch =
                Some(operation::Launch { task_infos: tasks.iter().map(launch_task_to_wire).collect() });
        }
        Operation::LaunchGroup(group) => {
            wire.set_type(operation::Type::LaunchGroup);
            wire.launch_group = Some(Box::new(group_to_wire(group)));
        }
        Operation::Convert { id, conversion } => {
            wire = conversion_to_wire(conversion);
            wire.id = id.as_ref().map(operation_id_to_wire);
        }
        Operation::Invalid { id, name, .. } => {
            wire.set_type(operation::Type::from_str_name(name).unwrap_or(operation::Type::Unknown));
            wire.id = id.as_ref().map(operation_id_to_wire);
        }
        Operation::Unsupported(name) => {
            wire.set_type(operation::Type::from_str_name(name).unwrap_or(operation::Type::Unknown));
        }
    }
    wire
}

/// Of a task that is not well formed only the id is left; whoever reads it finds it as wrong.
fn launch_task_to_wire(task: &LaunchTask) -> TaskInfo {
    match task {
        LaunchTask::Valid(task) => task_info_to_wire(task),
        LaunchTask::Invalid { task, .. } => TaskInfo { task_id: task_id_to_wire(task), ..Default::default() },
    }
}

fn operation_from_wire(mut wire: offer::Operation) -> Result<Operation, Refusal> {
    use operation::Type;
    let kind: Type = known(required(wire.r#type).at("type")?, "Offer.Operation.Type").at("type")?;
    match kind {
        Type::Unknown => Err(Fault::Missing).at("type"),
        Type::Launch => {
            let tasks = required(wire.launch).at("launch")?.task_infos;
            launch(tasks, wire.id.as_ref()).at("launch").map(Operation::Launch)
        }
        Type::LaunchGroup => {
            let group = *required(wire.launch_group).at("launch_group")?;
            group_from_wire(group, wire.id.as_ref()).at("launch_group").map(Operation::LaunchGroup)
        }
        Type::Reserve
        | Type::Unreserve
        | Type::Create
        | Type::Destroy
        | Type::GrowVolume
        | Type::ShrinkVolume => {
            let id = optional(wire.id.take(), operation_id_from_wire).at("id")?;
            Ok(match framework_conversion(wire) {
                Ok(conversion) => Operation::Convert { id, conversion },
                Err(refusal) => {
                    let name = kind.as_str_name().to_owned();
                    Operation::Invalid { id, name, reason: refusal.to_string() }
                }
            })
        }
        Type::CreateDisk | Type::DestroyDisk => Ok(Operation::Unsupported(kind.as_str_name().to_owned())),
    }
}

/// What a framework may ask: only operators say what is to be reserved anew.
fn framework_conversion(wire: offer::Operation) -> Result<Conversion, Refusal> {
    if wire.reserve.as_ref().is_some_and(|reserve| !reserve.source.is_empty()) {
        let reason = "is for operators only; leave it out, or UNRESERVE first and then RESERVE";
        return Err(Fault::Invalid(reason.to_owned())).at("reserve.source");
    }
    conversion_from_wire(wire)
}

fn launch(tasks: Vec<TaskInfo>, operation_id: Option<&OperationId>) -> Result<Vec<LaunchTask>, Refusal> {
    let task = |(index, wire): (usize, TaskInfo)| {
        let task = task_id_from_wire(wire.task_id.clone()).at("task_id").at_index("task_infos", index)?;
        let invalid = |reason: String| LaunchTask::Invalid { task, reason };
        if operation_id.is_some() {
            return Ok(invalid(
                "id: a launch has no id of its own; leave it out of the operation".to_owned(),
            ));
        }
        Ok(match task_info_from_wire(wire) {
            Ok(info) => LaunchTask::Valid(Box::new(info)),
            Err(refusal) => invalid(refusal.to_string()),
        })
    };
    tasks.into_iter().enumerate().map(task).collect()
}

/// A group; what is wrong with its executor, or one of its tasks, goes on with it.
///
/// Errors: the id of a task is none.
fn group_from_wire(
    wire: operation::LaunchGroup,
    operation_id: Option<&OperationId>,
) -> Result<LaunchGroup, Refusal> {
    let executor = match operation_id {
        Some(_) => Err("id: a launch has no id of its own; leave it out of the operation".to_owned()),
        None => executor_info_from_wire(wire.executor.clone())
            .at("executor")
            .map(Box::new)
            .map_err(|refusal| refusal.to_string()),
    };
    let task = |(index, wire_task): (usize, TaskInfo)| -> Result<LaunchTask, Refusal> {
        let task = task_id_from_wire(wire_task.task_id.clone()).at("task_id").at_index("tasks", index)?;
        if wire_task.executor.is_some() {
            let reason = "executor: the group has one for all its tasks; leave it out of the task".to_owned();
            return Ok(LaunchTask::Invalid { task, reason });
        }
        // So that a task of a custom executor may do without a command.
        let wire_task = TaskInfo { executor: Some(wire.executor.clone()), ..wire_task };
        Ok(match task_info_from_wire(wire_task) {
            Ok(info) => LaunchTask::Valid(Box::new(lonja_model::TaskInfo { executor: None, ..info })),
            Err(refusal) => LaunchTask::Invalid { task, reason: refusal.to_string() },
        })
    };
    let tasks = wire.task_group.tasks.into_iter().enumerate().map(task);
    let tasks = tasks.collect::<Result<_, _>>().at("task_group")?;
    Ok(LaunchGroup { executor, tasks })
}

/// Of an executor that is not well formed nothing is left; whoever reads it finds it as wrong.
fn group_to_wire(group: &LaunchGroup) -> operation::LaunchGroup {
    operation::LaunchGroup {
        executor: group
            .executor
            .as_ref()
            .map_or_else(|_| Default::default(), |executor| executor_info_to_wire(executor)),
        task_group: mesos::TaskGroupInfo { tasks: group.tasks.iter().map(launch_task_to_wire).collect() },
    }
}
