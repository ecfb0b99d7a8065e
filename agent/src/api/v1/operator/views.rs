//! What an agent is and runs, in the messages of the v1 operator API.
//!
//! Source: Mesos v1 operator API of the agent, `mesos.v1.agent.Response`.

use lonja_agent_core::Stage;
use lonja_model::FrameworkId;
use lonja_model::container::{Command, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_proto::convert::agent::agent_info_to_wire;
use lonja_proto::convert::check::health_check_to_wire;
use lonja_proto::convert::container::command_to_wire;
use lonja_proto::convert::executor::executor_info_to_wire;
use lonja_proto::convert::files::{executor_without_secrets, without_secrets};
use lonja_proto::convert::framework::framework_to_wire;
use lonja_proto::convert::ids::{
    agent_id_to_wire, executor_id_to_wire, framework_id_to_wire, grace_to_wire, labels_to_wire,
    task_id_to_wire,
};
use lonja_proto::convert::operation_status::operation_record_to_wire;
use lonja_proto::convert::resources::{Shape, resources_to_wire};
use lonja_proto::convert::status::{state_to_wire, status_to_wire};
use lonja_proto::convert::task::task_info_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::agent::response;

use crate::picture::{ExecutorPicture, Picture, TaskPicture};

pub(super) fn agent(picture: &Picture) -> response::GetAgent {
    let info = lonja_model::AgentInfo {
        id: picture.id.clone(),
        resources: picture.total.clone(),
        ..picture.info.clone()
    };
    response::GetAgent { agent_info: Some(agent_info_to_wire(&info)), ..Default::default() }
}

pub(super) fn frameworks(picture: &Picture) -> response::GetFrameworks {
    let one = |(id, info): &(FrameworkId, FrameworkInfo)| response::get_frameworks::Framework {
        framework_info: framework_to_wire(Some(id), info),
    };
    let all = |frameworks: &[(FrameworkId, FrameworkInfo)]| frameworks.iter().map(one).collect();
    response::GetFrameworks {
        frameworks: all(&picture.frameworks),
        completed_frameworks: all(&picture.completed_frameworks),
    }
}

/// Executors, also those that Mesos would have made for tasks without one.
pub(super) fn executors(picture: &Picture) -> response::GetExecutors {
    response::GetExecutors {
        executors: all_executors(&picture.executors, &picture.tasks),
        completed_executors: all_executors(&picture.completed_executors, &picture.completed_tasks),
    }
}

fn all_executors(
    executors: &[ExecutorPicture],
    tasks: &[TaskPicture],
) -> Vec<response::get_executors::Executor> {
    let own = executors.iter().map(|one| {
        let info = ExecutorInfo { framework: Some(one.framework.clone()), ..ExecutorInfo::clone(&one.info) };
        executor_info_to_wire(&info)
    });
    let alone = tasks.iter().filter(|task| task.info.executor.is_none()).map(command_executor);
    own.chain(alone)
        .map(executor_without_secrets)
        .map(|executor_info| response::get_executors::Executor { executor_info })
        .collect()
}

#[allow(deprecated, reason = "tools tell executors of commands by their source")]
fn command_executor(task: &TaskPicture) -> mesos::ExecutorInfo {
    let id = task.info.id.as_str();
    mesos::ExecutorInfo {
        executor_id: mesos::ExecutorId { value: id.to_owned() },
        framework_id: Some(framework_id_to_wire(&task.framework)),
        name: Some(command_executor_name(id, &task.info.command)),
        source: Some(id.to_owned()),
        command: Some(command_to_wire(&task.info.command)),
        resources: Vec::new(),
        ..Default::default()
    }
}

/// What Mesos calls the executor of a task that is a command.
pub(crate) fn command_executor_name(task: &str, command: &Command) -> String {
    let words = match &command.program {
        Program::Shell(line) => format!("sh -c '{}'", line.chars().take(256).collect::<String>()),
        Program::Exec { path, .. } => path.clone(),
    };
    format!("Command Executor (Task: {task}) (Command: {words})")
}

pub(super) fn tasks(picture: &Picture) -> response::GetTasks {
    let mut all = response::GetTasks::default();
    for one in &picture.tasks {
        let list = match one.stage {
            Stage::Pending => &mut all.pending_tasks,
            Stage::Queued => &mut all.queued_tasks,
            Stage::Launched => &mut all.launched_tasks,
            Stage::Ended => &mut all.terminated_tasks,
        };
        list.push(task(picture, one));
    }
    all.completed_tasks = picture.completed_tasks.iter().map(|one| task(picture, one)).collect();
    all
}

pub(super) fn operations(picture: &Picture) -> response::GetOperations {
    let all = picture.operations.iter().map(operation_record_to_wire);
    response::GetOperations { operations: all.collect() }
}

pub(super) fn state(picture: &Picture) -> response::GetState {
    response::GetState {
        get_tasks: Some(tasks(picture)),
        get_executors: Some(executors(picture)),
        get_frameworks: Some(frameworks(picture)),
    }
}

fn task(picture: &Picture, task: &TaskPicture) -> mesos::Task {
    let info = &task.info;
    let wire = task_info_to_wire(info);
    mesos::Task {
        name: info.name.clone(),
        task_id: task_id_to_wire(&info.id),
        framework_id: framework_id_to_wire(&task.framework),
        executor_id: info.executor_id().map(executor_id_to_wire),
        agent_id: picture.id.as_ref().map(agent_id_to_wire).unwrap_or_default(),
        state: state_to_wire(task.state).into(),
        resources: resources_to_wire(&info.resources, Some(&task.role), Shape::FULL),
        statuses: task.latest.iter().map(|latest| status_to_wire(latest)).collect(),
        status_update_state: task.latest.as_ref().map(|latest| state_to_wire(latest.state).into()),
        status_update_uuid: task.latest.as_ref().and_then(|latest| latest.update).map(|id| id.0.to_vec()),
        labels: labels_to_wire(&info.labels),
        discovery: wire.discovery,
        container: wire.container.map(without_secrets),
        user: info.command.user.clone(),
        health_check: info.health_check.as_deref().map(health_check_to_wire),
        kill_policy: grace_to_wire(info.kill_grace),
        limits: wire.limits,
    }
}

#[cfg(test)]
mod tests {
    use crate::api::v0::tests::{is_without, with_secrets};

    #[test]
    fn no_listing_shows_a_secret() {
        let shown = lonja_proto::json::encode(&super::state(&with_secrets()));
        is_without(&String::from_utf8(shown).unwrap());
    }
}
