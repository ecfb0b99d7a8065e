//! What master and agent remember.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::checks::any_watched;
use super::cluster::{any_agent_info, any_framework_info};
use super::executors::{any_delivery, any_executor_record, any_group_record};
use super::names::{
    any_agent_id, any_container_id, any_duration, any_executor_id, any_framework_id, any_operation_uuid,
    any_role, any_task_id, any_timestamp,
};
use super::operations::any_operation_record;
use super::tasks::{any_task_info, any_task_state, any_task_status};
use super::values::{any_resources, any_scalar};
use super::wishes::{any_duty, any_machine, any_machine_id, any_quota};
use crate::checkpoint::{CheckpointOp, Identity, TaskRecord};
use crate::registry::{AgentRecord, AgentStanding, Epoch, FrameworkRecord, FrameworkStanding, RegistryOp};

/// Any start of a master.
pub fn any_epoch() -> BoxedStrategy<Epoch> {
    ("[a-zA-Z0-9-]{1,64}", 1..=u64::MAX).prop_map(|(cluster, number)| Epoch { cluster, number }).boxed()
}

/// What may be remembered of an agent.
pub fn any_agent_record() -> BoxedStrategy<AgentRecord> {
    let standing = prop_oneof![
        Just(AgentStanding::Admitted),
        any_timestamp().prop_map(|since| AgentStanding::Unreachable { since }),
        any_timestamp().prop_map(|since| AgentStanding::Gone { since }),
    ];
    (any_agent_info(), standing, any_duty())
        .prop_map(|(info, standing, duty)| AgentRecord { info, standing, duty })
        .boxed()
}

/// What may be remembered of a framework.
pub fn any_framework_record() -> BoxedStrategy<FrameworkRecord> {
    let standing = prop_oneof![
        Just(FrameworkStanding::Connected),
        any_duration().prop_map(|left| FrameworkStanding::Disconnected { left }),
        Just(FrameworkStanding::Removed),
    ];
    (any_framework_info(), standing).prop_map(|(info, standing)| FrameworkRecord { info, standing }).boxed()
}

/// Any change of the registry.
pub fn any_registry_op() -> BoxedStrategy<RegistryOp> {
    prop_oneof![
        any_epoch().prop_map(RegistryOp::Epoch),
        (any_agent_id(), option::weighted(0.8, any_agent_record().prop_map(Box::new)))
            .prop_map(|(id, record)| RegistryOp::Agent(id, record)),
        (any_framework_id(), option::weighted(0.8, any_framework_record().prop_map(Box::new)))
            .prop_map(|(id, record)| RegistryOp::Framework(id, record)),
        (any_role(), option::weighted(0.8, any_scalar()))
            .prop_map(|(role, weight)| RegistryOp::Weight(role, weight)),
        (any_role(), option::weighted(0.8, any_quota()))
            .prop_map(|(role, quota)| RegistryOp::Quota(role, quota)),
        (any_machine_id(), option::weighted(0.8, any_machine()))
            .prop_map(|(id, machine)| RegistryOp::Machine(id, machine)),
    ]
    .boxed()
}

/// Who an agent may be. Its description has an id of its own or none, as when it registered.
pub fn any_identity() -> BoxedStrategy<Identity> {
    (any_agent_id(), any_agent_info()).prop_map(|(agent, info)| Identity { agent, info }).boxed()
}

/// What may be remembered of a task.
pub fn any_task_record() -> BoxedStrategy<TaskRecord> {
    let place = (any_role(), any_container_id(), any_task_state());
    let ending = (option::of(any_duration()), any::<bool>(), any_watched());
    let company = (option::of(any_group_record()), any_delivery());
    (any_task_info(), place, ending, vec(any_task_status(), 0..4), company)
        .prop_map(|(info, (role, container, state), ending, updates, (group, delivery))| {
            let (killing, orphaned, watched) = ending;
            let info = Arc::new(info);
            TaskRecord { info, role, container, state, killing, orphaned, updates, group, watched, delivery }
        })
        .boxed()
}

/// Any change of the checkpoint; a task stands under its own id, an operation under its own uuid.
pub fn any_checkpoint_op() -> BoxedStrategy<CheckpointOp> {
    prop_oneof![
        any_identity().prop_map(|identity| CheckpointOp::Identity(Box::new(identity))),
        (any_framework_id(), option::weighted(0.8, any_framework_info().prop_map(Box::new)))
            .prop_map(|(id, info)| CheckpointOp::Framework(id, info)),
        (any_framework_id(), any_task_record()).prop_map(|(framework, record)| {
            CheckpointOp::Task(framework, record.info.id.clone(), Some(Box::new(record)))
        }),
        (any_framework_id(), any_task_id())
            .prop_map(|(framework, task)| CheckpointOp::Task(framework, task, None)),
        any_resources().prop_map(CheckpointOp::Total),
        any_operation_record()
            .prop_map(|record| { CheckpointOp::Operation(record.operation.uuid, Some(Box::new(record))) }),
        any_operation_uuid().prop_map(|uuid| CheckpointOp::Operation(uuid, None)),
        (any_framework_id(), any_executor_record()).prop_map(|(framework, record)| {
            CheckpointOp::Executor(framework, record.info.id.clone(), Some(Box::new(record)))
        }),
        (any_framework_id(), any_executor_id())
            .prop_map(|(framework, executor)| CheckpointOp::Executor(framework, executor, None)),
    ]
    .boxed()
}
