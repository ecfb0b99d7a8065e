//! What executors of frameworks' own and their agent say to each other.
//!
//! Source: Mesos v1 executor API, `Call` and `Event`.

use lonja_model::execution::{Call, Event, Subscribed};
use lonja_model::ids::{ExecutorId, FrameworkId};
use lonja_model::task::{TaskInfo, TaskStatus};

use super::agent::{agent_info_from_wire, agent_info_to_wire};
use super::executor::{executor_info_from_wire, executor_info_to_wire};
use super::framework::{framework_from_wire, framework_to_wire};
use super::ids::{
    agent_id_to_wire, container_id_from_wire, container_id_to_wire, executor_id_from_wire,
    executor_id_to_wire, framework_id_from_wire, framework_id_to_wire, grace_from_wire, grace_to_wire,
    task_id_from_wire, task_id_to_wire, update_id_from_wire,
};
use super::refusal::{At, Fault, Refusal, at_most, data, known, required, text};
use super::status::{cut, status_from_wire, status_to_wire};
use super::task::{task_info_from_wire, task_info_to_wire};
use crate::limits;
use crate::mesos;
use crate::mesos::executor::{self, call, event};

/// A call, with the framework and the executor that it says it comes from.
///
/// Errors: an id, the type or what goes with it is missing; an update has no id; a field is not well formed.
pub fn execution_call_from_wire(wire: executor::Call) -> Result<(FrameworkId, ExecutorId, Call), Refusal> {
    use call::Type;
    let framework = framework_id_from_wire(wire.framework_id).at("framework_id")?;
    let executor = executor_id_from_wire(wire.executor_id).at("executor_id")?;
    let kind: Type = known(required(wire.r#type).at("type")?, "executor.Call.Type").at("type")?;
    let call = match kind {
        Type::Unknown => return Err(Fault::Missing).at("type"),
        // Mesos wants it to be there; executors that have nothing to bring leave it out, as npm's mesos-framework does.
        Type::Subscribe => subscribe(wire.subscribe.unwrap_or_default()).at("subscribe")?,
        Type::Update => {
            let status = required(wire.update).and_then(update).at("update")?;
            Call::Update(Box::new(status))
        }
        Type::Message => {
            let bytes = required(wire.message).and_then(|message| data(message.data).at("data"));
            Call::Message(bytes.at("message")?)
        }
        Type::Heartbeat => Call::Heartbeat,
    };
    Ok((framework, executor, call))
}

fn subscribe(wire: call::Subscribe) -> Result<Call, Refusal> {
    let (tasks, updates) = (wire.unacknowledged_tasks, wire.unacknowledged_updates);
    at_most(tasks.len(), limits::TASKS_PER_EXECUTOR, "unacknowledged_tasks")?;
    at_most(updates.len(), limits::UPDATES_PER_EXECUTOR, "unacknowledged_updates")?;
    let one = |(index, wire)| update(wire).at_index("unacknowledged_updates", index);
    Ok(Call::Subscribe {
        unacknowledged_tasks: tasks_from_wire(tasks, "unacknowledged_tasks")?,
        unacknowledged_updates: updates.into_iter().enumerate().map(one).collect::<Result<_, _>>()?,
    })
}

/// An update is repeated until it is confirmed by its id, so it has one.
fn update(wire: call::Update) -> Result<TaskStatus, Refusal> {
    let status = status_from_wire(wire.status).at("status")?;
    required(status.update).at("uuid").at("status")?;
    Ok(status)
}

/// The call as the wire has it.
pub fn execution_call_to_wire(framework: &FrameworkId, executor: &ExecutorId, call: &Call) -> executor::Call {
    let mut wire = executor::Call {
        framework_id: framework_id_to_wire(framework),
        executor_id: executor_id_to_wire(executor),
        ..Default::default()
    };
    let kind = match call {
        Call::Subscribe { unacknowledged_tasks, unacknowledged_updates } => {
            wire.subscribe = Some(call::Subscribe {
                unacknowledged_tasks: unacknowledged_tasks.iter().map(task_info_to_wire).collect(),
                unacknowledged_updates: unacknowledged_updates.iter().map(update_to_wire).collect(),
            });
            call::Type::Subscribe
        }
        Call::Update(status) => {
            wire.update = Some(update_to_wire(status));
            call::Type::Update
        }
        Call::Message(data) => {
            wire.message = Some(call::Message { data: data.clone() });
            call::Type::Message
        }
        Call::Heartbeat => call::Type::Heartbeat,
    };
    wire.set_type(kind);
    wire
}

fn update_to_wire(status: &TaskStatus) -> call::Update {
    call::Update { status: status_to_wire(status) }
}

/// An event, as an executor reads it.
///
/// Errors: the type or what goes with it is missing; SUBSCRIBED does not name the framework, the agent and the
/// container; a field is not well formed.
pub fn execution_event_from_wire(wire: executor::Event) -> Result<Event, Refusal> {
    use event::Type;
    let kind: Type = known(required(wire.r#type).at("type")?, "executor.Event.Type").at("type")?;
    match kind {
        Type::Unknown => Err(Fault::Missing).at("type"),
        Type::Subscribed => {
            let subscribed = required(wire.subscribed).and_then(subscribed).at("subscribed")?;
            Ok(Event::Subscribed(Box::new(subscribed)))
        }
        Type::Launch => {
            let task = required(wire.launch).and_then(|launch| task_from_wire(launch.task).at("task"));
            Ok(Event::Launch(Box::new(task.at("launch")?)))
        }
        Type::LaunchGroup => {
            let tasks = required(wire.launch_group).at("launch_group")?.task_group.tasks;
            at_most(tasks.len(), limits::TASKS_PER_CALL, "launch_group.task_group.tasks")?;
            tasks_from_wire(tasks, "launch_group.task_group.tasks").map(Event::LaunchGroup)
        }
        Type::Kill => required(wire.kill).and_then(kill).at("kill"),
        Type::Acknowledged => required(wire.acknowledged).and_then(acknowledged).at("acknowledged"),
        Type::Message => {
            let bytes = required(wire.message).and_then(|message| data(message.data).at("data"));
            bytes.at("message").map(Event::Message)
        }
        Type::Error => {
            let why =
                required(wire.error).and_then(|error| text(error.message, limits::TEXT_BYTES).at("message"));
            why.at("error").map(Event::Error)
        }
        Type::Shutdown => Ok(Event::Shutdown),
        Type::Heartbeat => Ok(Event::Heartbeat),
    }
}

fn subscribed(wire: event::Subscribed) -> Result<Subscribed, Refusal> {
    let (framework, framework_info) = framework_from_wire(wire.framework_info).at("framework_info")?;
    let agent_info = agent_info_from_wire(wire.agent_info).at("agent_info")?;
    Ok(Subscribed {
        executor: executor_info_from_wire(wire.executor_info).at("executor_info")?,
        framework: required(framework).at("id").at("framework_info")?,
        framework_info,
        agent: required(agent_info.id.clone()).at("id").at("agent_info")?,
        agent_info,
        container: container_id_from_wire(wire.container_id).at("container_id")?,
    })
}

fn kill(wire: event::Kill) -> Result<Event, Refusal> {
    Ok(Event::Kill {
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        grace: grace_from_wire(wire.kill_policy).at("kill_policy")?,
    })
}

fn acknowledged(wire: event::Acknowledged) -> Result<Event, Refusal> {
    Ok(Event::Acknowledged {
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        update: update_id_from_wire(&wire.uuid).at("uuid")?,
    })
}

fn tasks_from_wire(wire: Vec<mesos::TaskInfo>, name: &str) -> Result<Vec<TaskInfo>, Refusal> {
    let task = |(index, wire)| task_from_wire(wire).at_index(name, index);
    wire.into_iter().enumerate().map(task).collect()
}

/// A task in its executor's hands: it may leave out who runs it, and still needs no command.
fn task_from_wire(mut wire: mesos::TaskInfo) -> Result<TaskInfo, Refusal> {
    if wire.executor.is_some() || wire.command.is_some() {
        return task_info_from_wire(wire);
    }
    let executor_id = mesos::ExecutorId { value: "unnamed".to_owned() };
    wire.executor = Some(mesos::ExecutorInfo { executor_id, ..Default::default() });
    task_info_from_wire(wire).map(|task| TaskInfo { executor: None, ..task })
}

/// The event as the wire has it. A reason longer than the reader takes is cut.
pub fn execution_event_to_wire(event: &Event) -> executor::Event {
    let mut wire = executor::Event::default();
    let kind = match event {
        Event::Subscribed(subscribed) => {
            wire.subscribed = Some(subscribed_to_wire(subscribed));
            event::Type::Subscribed
        }
        Event::Launch(task) => {
            wire.launch = Some(event::Launch { task: task_info_to_wire(task) });
            event::Type::Launch
        }
        Event::LaunchGroup(tasks) => {
            let tasks = tasks.iter().map(task_info_to_wire).collect();
            wire.launch_group = Some(event::LaunchGroup { task_group: mesos::TaskGroupInfo { tasks } });
            event::Type::LaunchGroup
        }
        Event::Kill { task, grace } => {
            let kill_policy = grace_to_wire(*grace);
            wire.kill = Some(event::Kill { task_id: task_id_to_wire(task), kill_policy });
            event::Type::Kill
        }
        Event::Acknowledged { task, update } => {
            let (task_id, uuid) = (task_id_to_wire(task), update.0.to_vec());
            wire.acknowledged = Some(event::Acknowledged { task_id, uuid });
            event::Type::Acknowledged
        }
        Event::Message(data) => {
            wire.message = Some(event::Message { data: data.clone() });
            event::Type::Message
        }
        Event::Error(why) => {
            wire.error = Some(event::Error { message: cut(why) });
            event::Type::Error
        }
        Event::Shutdown => event::Type::Shutdown,
        Event::Heartbeat => event::Type::Heartbeat,
    };
    wire.set_type(kind);
    wire
}

fn subscribed_to_wire(subscribed: &Subscribed) -> event::Subscribed {
    event::Subscribed {
        executor_info: executor_info_to_wire(&subscribed.executor),
        framework_info: framework_to_wire(Some(&subscribed.framework), &subscribed.framework_info),
        agent_info: mesos::AgentInfo {
            id: Some(agent_id_to_wire(&subscribed.agent)),
            ..agent_info_to_wire(&subscribed.agent_info)
        },
        container_id: Some(container_id_to_wire(&subscribed.container)),
    }
}
