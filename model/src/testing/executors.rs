//! Executors, and tasks that run in them together.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::names::{
    any_container_id, any_duration, any_executor_id, any_framework_id, any_labels, any_role, any_task_id,
    any_text, any_update_id,
};
use super::tasks::{any_command, any_container_info, any_task_info};
use super::values::any_resources;
use crate::checkpoint::{Delivery, ExecutorRecord, GroupRecord};
use crate::executor::{ExecutorInfo, ExecutorProgram};
use crate::link::{AgentExecutor, ToAgent};
use crate::operation::{LaunchGroup, LaunchTask};
use crate::task::TaskInfo;

/// Any executor.
pub fn any_executor_info() -> BoxedStrategy<ExecutorInfo> {
    let program =
        prop_oneof![Just(ExecutorProgram::Builtin), any_command().prop_map(ExecutorProgram::Custom),];
    let names = (any_executor_id(), option::of(any_framework_id()), option::of(any_text()), any_labels());
    let surroundings = (any_resources(), any_container_info(), option::of(any_duration()));
    (names, program, surroundings, vec(any::<u8>(), 0..8))
        .prop_map(|((id, framework, name, labels), program, surroundings, data)| {
            let (resources, container, shutdown_grace) = surroundings;
            ExecutorInfo { id, framework, program, name, resources, container, shutdown_grace, labels, data }
        })
        .boxed()
}

/// Any group of tasks that is well formed.
pub fn any_launch_group() -> BoxedStrategy<LaunchGroup> {
    let task =
        any_task_info().prop_map(|task| LaunchTask::Valid(Box::new(TaskInfo { executor: None, ..task })));
    let executor = any_executor_info().prop_map(|executor| Ok(Box::new(executor)));
    (executor, vec(task, 1..3)).prop_map(|(executor, tasks)| LaunchGroup { executor, tasks }).boxed()
}

/// Any executor as its agent knows it.
pub fn any_agent_executor() -> BoxedStrategy<AgentExecutor> {
    (any_framework_id(), any_role(), any_executor_info(), any_container_id())
        .prop_map(|(framework, role, info, container)| AgentExecutor { framework, role, info, container })
        .boxed()
}

/// Any order to run tasks in an executor.
pub(super) fn any_run_in_executor() -> BoxedStrategy<ToAgent> {
    let tasks = (any_executor_info(), vec(any_task_info(), 1..3)).prop_map(|(executor, mut tasks)| {
        tasks.iter_mut().for_each(|task| task.executor = Some(Box::new(executor.clone())));
        tasks
    });
    let framework = (any_framework_id(), super::any_framework_info(), any_role());
    (framework, tasks, any::<bool>(), any::<bool>())
        .prop_map(|((framework, info, role), tasks, starts_executor, as_group)| ToAgent::RunInExecutor {
            framework,
            info: Box::new(info),
            role,
            tasks,
            starts_executor,
            as_group,
        })
        .boxed()
}

/// What may be remembered of an executor.
pub fn any_executor_record() -> BoxedStrategy<ExecutorRecord> {
    let life = (option::of(any_duration()), any::<bool>(), any::<bool>());
    (any_executor_info(), any_role(), any_container_id(), life)
        .prop_map(|(info, role, container, (shutting_down, orphaned, launched))| ExecutorRecord {
            info: info.into(),
            role,
            container,
            shutting_down,
            orphaned,
            launched,
        })
        .boxed()
}

/// Anything that may have passed between an agent and a custom executor.
pub(super) fn any_delivery() -> BoxedStrategy<Delivery> {
    (any::<bool>(), vec(any_update_id(), 0..3))
        .prop_map(|(handed_over, heard)| Delivery { handed_over, heard })
        .boxed()
}

/// Any place in a group.
pub(super) fn any_group_record() -> BoxedStrategy<GroupRecord> {
    (any_container_id(), option::of(any_task_id()))
        .prop_map(|(name, fell_with)| GroupRecord { name, fell_with })
        .boxed()
}
