//! What a framework asks to be done with offers.
//!
//! A task that is not well formed does not spoil the call it came in: it goes on with its id and what is
//! wrong with it, and is answered by TASK_ERROR.

use lonja_model::operation::{LaunchTask, Operation};

use super::ids::{task_id_from_wire, task_id_to_wire};
use super::refusal::{At, Fault, Refusal, at_most, known, required};
use super::task::{task_info_from_wire, task_info_to_wire};
use crate::limits;
use crate::mesos::offer::{self, operation};
use crate::mesos::{OperationId, TaskInfo};

/// The operations of a call, in order.
///
/// Errors: there are more than [`limits`] allow; the type of one is missing or unknown, or the message
/// that goes with it is missing; the id of a task is none.
pub fn operations_from_wire(wire: Vec<offer::Operation>) -> Result<Vec<Operation>, Refusal> {
    at_most(wire.len(), limits::OPERATIONS_PER_CALL, "")?;
    let count = wire.iter().map(tasks_in).sum::<usize>();
    if count > limits::TASKS_PER_CALL {
        let reason =
            format!("launch {count} tasks, at most {} are taken; use several calls", limits::TASKS_PER_CALL);
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

/// The operation's form on the wire.
pub fn operation_to_wire(operation: &Operation) -> offer::Operation {
    let mut wire = offer::Operation::default();
    match operation {
        Operation::Launch(tasks) => {
            wire.set_type(operation::Type::Launch);
            wire.launch =
                Some(operation::Launch { task_infos: tasks.iter().map(launch_task_to_wire).collect() });
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

fn operation_from_wire(wire: offer::Operation) -> Result<Operation, Refusal> {
    use operation::Type;
    let kind: Type = known(required(wire.r#type).at("type")?, "Offer.Operation.Type").at("type")?;
    match kind {
        Type::Unknown => Err(Fault::Missing).at("type"),
        Type::Launch => {
            let tasks = required(wire.launch).at("launch")?.task_infos;
            launch(tasks, wire.id.as_ref()).at("launch").map(Operation::Launch)
        }
        Type::LaunchGroup => {
            let tasks = required(wire.launch_group).at("launch_group")?.task_group.tasks;
            refused_group(tasks).at("task_group").at("launch_group").map(Operation::Launch)
        }
        Type::Reserve
        | Type::Unreserve
        | Type::Create
        | Type::Destroy
        | Type::GrowVolume
        | Type::ShrinkVolume
        | Type::CreateDisk
        | Type::DestroyDisk => Ok(Operation::Unsupported(kind.as_str_name().to_owned())),
    }
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

/// Groups are not served yet; each of their tasks is told so.
fn refused_group(tasks: Vec<TaskInfo>) -> Result<Vec<LaunchTask>, Refusal> {
    let task = |(index, wire): (usize, TaskInfo)| {
        let task = task_id_from_wire(wire.task_id).at("task_id").at_index("tasks", index)?;
        let reason = "LAUNCH_GROUP is not supported yet; launch the tasks one by one with LAUNCH".to_owned();
        Ok(LaunchTask::Invalid { task, reason })
    };
    tasks.into_iter().enumerate().map(task).collect()
}
