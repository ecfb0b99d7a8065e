//! What executors of frameworks' own and their agent say to each other.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::cluster::{any_agent_info, any_framework_info};
use super::executors::any_executor_info;
use super::messages::any_data;
use super::names::{
    any_agent_id, any_container_id, any_duration, any_framework_id, any_task_id, any_text, any_update_id,
};
use super::tasks::{any_task_info, any_task_status};
use crate::agent::AgentInfo;
use crate::container::Command;
use crate::execution::{Call, Event, Subscribed};
use crate::task::{TaskInfo, TaskStatus};

/// Any update: a status with an id.
fn any_update() -> BoxedStrategy<TaskStatus> {
    (any_task_status(), any_update_id())
        .prop_map(|(status, update)| TaskStatus { update: Some(update), ..status })
        .boxed()
}

/// Any task in its executor's hands, where it needs no command and may leave out who runs it.
fn any_handed_task() -> BoxedStrategy<TaskInfo> {
    let bare = |task| TaskInfo { command: Command::none(), executor: None, ..task };
    prop_oneof![3 => any_task_info(), 1 => any_task_info().prop_map(bare)].boxed()
}

/// Any call of an executor.
pub fn any_execution_call() -> BoxedStrategy<Call> {
    let subscribe = (vec(any_handed_task(), 0..3), vec(any_update(), 0..3));
    prop_oneof![
        subscribe.prop_map(|(unacknowledged_tasks, unacknowledged_updates)| Call::Subscribe {
            unacknowledged_tasks,
            unacknowledged_updates
        }),
        any_update().prop_map(|status| Call::Update(Box::new(status))),
        any_data().prop_map(Call::Message),
        Just(Call::Heartbeat),
    ]
    .boxed()
}

/// Any event for an executor.
pub fn any_execution_event() -> BoxedStrategy<Event> {
    prop_oneof![
        any_subscribed().prop_map(|subscribed| Event::Subscribed(Box::new(subscribed))),
        any_handed_task().prop_map(|task| Event::Launch(Box::new(task))),
        vec(any_handed_task(), 0..3).prop_map(Event::LaunchGroup),
        (any_task_id(), option::of(any_duration())).prop_map(|(task, grace)| Event::Kill { task, grace }),
        (any_task_id(), any_update_id()).prop_map(|(task, update)| Event::Acknowledged { task, update }),
        any_data().prop_map(Event::Message),
        any_text().prop_map(Event::Error),
        Just(Event::Shutdown),
        Just(Event::Heartbeat),
    ]
    .boxed()
}

fn any_subscribed() -> BoxedStrategy<Subscribed> {
    let own = (any_executor_info(), any_framework_id(), any_framework_info(), any_container_id());
    (own, any_agent_id(), any_agent_info())
        .prop_map(|((executor, framework, framework_info, container), agent, info)| Subscribed {
            executor,
            framework,
            framework_info,
            agent_info: AgentInfo { id: Some(agent.clone()), ..info },
            agent,
            container,
        })
        .boxed()
}
