//! Calls, events, and what agents and master say to each other.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::checks::any_check_status;
use super::cluster::{any_agent_info, any_filters, any_framework_info, any_offer};
use super::executors::{any_agent_executor, any_run_in_executor};
use super::names::{
    any_agent_id, any_container_id, any_duration, any_executor_id, any_framework_id, any_offer_id,
    any_operation_id, any_operation_uuid, any_role, any_task_id, any_text, any_update_id,
};
use super::operations::{any_agent_operation, any_operation, any_operation_record, any_operation_status};
use super::tasks::{any_task_info, any_task_state, any_task_status};
use super::values::any_resources;
use super::wishes::{any_constraints, any_inverse_offer, any_resource_request};
use crate::framework::FrameworkInfo;
use crate::link::{AgentTask, FromAgent, ToAgent};
use crate::role::Role;
use crate::scheduler::{Call, CallResult, Event, MasterInfo, Refusal, RefusalCode};
use crate::unplaced::{NearMiss, Unplaced};

pub(super) fn any_data() -> BoxedStrategy<Vec<u8>> {
    vec(any::<u8>(), 0..32).boxed()
}

/// Any call.
pub fn any_call() -> BoxedStrategy<Call> {
    let roles = || btree_set(any_role(), 0..3);
    let offers = || vec(any_offer_id(), 0..4);
    let operations = vec(any_operation(), 0..3);
    let kill = (any_task_id(), option::of(any_agent_id()), option::of(any_duration()));
    prop_oneof![
        any_subscribe(),
        Just(Call::Teardown),
        (offers(), operations, any_filters()).prop_map(|(offers, operations, filters)| Call::Accept {
            offers,
            operations,
            filters
        }),
        (offers(), any_filters()).prop_map(|(offers, filters)| Call::Decline { offers, filters }),
        roles().prop_map(|roles| Call::Revive { roles }),
        roles().prop_map(|roles| Call::Suppress { roles }),
        kill.prop_map(|(task, agent, grace)| Call::Kill { task, agent, grace }),
        (any_agent_id(), any_task_id(), any_update_id())
            .prop_map(|(agent, task, update)| Call::Acknowledge { agent, task, update }),
        vec((any_task_id(), option::of(any_agent_id())), 0..4).prop_map(|tasks| Call::Reconcile { tasks }),
        (any_agent_id(), any_executor_id(), any_data()).prop_map(|(agent, executor, data)| Call::Message {
            agent,
            executor,
            data
        }),
        any_new_call(),
        (any_agent_id(), any_executor_id())
            .prop_map(|(agent, executor)| Call::ShutdownExecutor { agent, executor }),
    ]
    .boxed()
}

/// The calls about operations, inverse offers, and what is wished for.
fn any_new_call() -> BoxedStrategy<Call> {
    let offers = || vec(any_offer_id(), 0..4);
    let acknowledged = (option::of(any_agent_id()), any_operation_id(), any_update_id());
    prop_oneof![
        (any_framework_and_suppressed(), any_constraints()).prop_map(|((info, suppressed), constraints)| {
            Call::UpdateFramework { info: Box::new(info), suppressed, constraints }
        }),
        vec(any_resource_request(), 0..3).prop_map(|requests| Call::Request { requests }),
        (offers(), any_filters()).prop_map(|(offers, filters)| Call::AcceptInverseOffers { offers, filters }),
        (offers(), any_filters())
            .prop_map(|(offers, filters)| Call::DeclineInverseOffers { offers, filters }),
        acknowledged.prop_map(|(agent, operation, update)| Call::AcknowledgeOperation {
            agent,
            operation,
            update
        }),
        vec((any_operation_id(), option::of(any_agent_id())), 0..4)
            .prop_map(|operations| Call::ReconcileOperations { operations }),
        vec(any_unplaced(), 0..3).prop_map(named_once).prop_map(|tasks| Call::Unplaced { tasks }),
    ]
    .boxed()
}

/// Any word on a task without a place that is within the bounds.
fn any_unplaced() -> BoxedStrategy<Unplaced> {
    let near = (any_agent_id(), any_text(), any_text());
    let near = near.prop_map(|(agent, hostname, why)| NearMiss { agent, hostname, why });
    let reasons = vec((any_text(), any::<u64>()), 0..4);
    ("[a-z]{1,8}", any::<u64>(), reasons, option::of(near))
        .prop_map(|(task, offers, reasons, nearest)| Unplaced { task, offers, reasons, nearest }.trimmed())
        .boxed()
}

fn named_once(mut tasks: Vec<Unplaced>) -> Vec<Unplaced> {
    tasks.sort_by(|one, other| one.task.cmp(&other.task));
    tasks.dedup_by(|one, other| one.task == other.task);
    tasks
}

fn any_subscribe() -> BoxedStrategy<Call> {
    (option::of(any_framework_id()), any_framework_and_suppressed(), any_constraints())
        .prop_map(|(framework, (info, suppressed), constraints)| Call::Subscribe {
            framework,
            info: Box::new(info),
            suppressed,
            constraints,
        })
        .boxed()
}

/// What is suppressed is some of the framework's roles.
fn any_framework_and_suppressed() -> BoxedStrategy<(FrameworkInfo, BTreeSet<Role>)> {
    (any_framework_info(), any::<[bool; 3]>())
        .prop_map(|(info, chosen)| {
            let suppressed: BTreeSet<_> = info
                .roles
                .iter()
                .zip(chosen)
                .filter(|(_, chosen)| *chosen)
                .map(|(role, _)| role.clone())
                .collect();
            (info, suppressed)
        })
        .boxed()
}

/// Any master.
pub fn any_master_info() -> BoxedStrategy<MasterInfo> {
    let version = "[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}";
    (any_text(), any_text(), any::<u16>(), version, proptest::option::of(super::cluster::any_domain()))
        .prop_map(|(id, hostname, port, version, domain)| MasterInfo { id, hostname, port, version, domain })
        .boxed()
}

/// Any event.
pub fn any_event() -> BoxedStrategy<Event> {
    let beat = (1..=60_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        (any_framework_id(), beat, any_master_info())
            .prop_map(|(framework, heartbeat, master)| Event::Subscribed { framework, heartbeat, master }),
        Just(Event::Heartbeat),
        vec(any_offer(), 0..3).prop_map(Event::Offers),
        any_offer_id().prop_map(Event::Rescind),
        vec(any_inverse_offer(), 0..3).prop_map(Event::InverseOffers),
        any_offer_id().prop_map(Event::RescindInverse),
        any_operation_status().prop_map(|status| Event::OperationUpdate(Box::new(status))),
        any_task_status().prop_map(|status| Event::Update(Box::new(status))),
        (any_agent_id(), any_executor_id(), any_data()).prop_map(|(agent, executor, data)| Event::Message {
            agent,
            executor,
            data
        }),
        (any_agent_id(), option::of(any_executor_id()), option::of(any::<i32>()))
            .prop_map(|(agent, executor, status)| Event::Failure { agent, executor, status }),
        any_text().prop_map(Event::Error),
    ]
    .boxed()
}

/// Any refusal of a call.
pub fn any_refusal() -> BoxedStrategy<Refusal> {
    let code = select(vec![
        RefusalCode::InvalidArgument,
        RefusalCode::NotSubscribed,
        RefusalCode::NotFound,
        RefusalCode::Conflict,
        RefusalCode::RateLimited,
        RefusalCode::NotLeader,
        RefusalCode::Unsupported,
    ]);
    let field = option::of("[a-z_]{1,8}(\\.[a-z_]{1,8}(\\[[0-9]\\])?){0,2}");
    (code, any_text(), field).prop_map(|(code, message, field)| Refusal { code, message, field }).boxed()
}

/// Any answer to a call.
pub fn any_call_result() -> BoxedStrategy<CallResult> {
    prop_oneof![Just(Ok(())), any_refusal().prop_map(Err)].boxed()
}

/// Any task as its agent knows it.
pub fn any_agent_task() -> BoxedStrategy<AgentTask> {
    let container = (option::of(any_container_id()), option::of(any::<u32>()));
    let checks = (option::of(any::<bool>()), option::of(any_check_status()));
    (any_framework_id(), any_role(), any_task_info(), any_task_state(), container, checks)
        .prop_map(|(framework, role, info, state, (container, pid), (healthy, check))| AgentTask {
            framework,
            role,
            info,
            state,
            container,
            pid,
            healthy,
            check,
        })
        .boxed()
}

/// Anything an agent says.
pub fn any_from_agent() -> BoxedStrategy<FromAgent> {
    let register = (any_agent_info(), any_text()).prop_map(|(mut info, version)| {
        info.id = None;
        FromAgent::Register { info: Box::new(info), version, capabilities: BTreeSet::new() }
    });
    let frameworks = vec((any_framework_id(), any_framework_info()), 0..3);
    let identity = (any_agent_id(), any_agent_info(), any_text());
    let executors = vec(any_agent_executor(), 0..2);
    let holdings = (any_resources(), vec(any_operation_record(), 0..3), executors);
    let reregister = (identity, vec(any_agent_task(), 0..3), frameworks, holdings);
    let reregister = reregister.prop_map(|((agent, mut info, version), tasks, frameworks, holdings)| {
        info.id = Some(agent.clone());
        let (total, operations, executors) = holdings;
        let info = Box::new(info);
        let capabilities = crate::agent::AgentCapability::all();
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
        }
    });
    let operation_update = (any_operation_record(), any_resources());
    let update = (any_framework_id(), any_task_status(), any_task_state());
    prop_oneof![
        register,
        reregister,
        update.prop_map(|(framework, status, latest)| FromAgent::Update {
            framework,
            status: Box::new(status),
            latest,
        }),
        operation_update
            .prop_map(|(record, total)| FromAgent::OperationUpdate { record: Box::new(record), total }),
        any::<u64>().prop_map(|sequence| FromAgent::Pong { sequence }),
        (any_framework_id(), any_executor_id(), any_data())
            .prop_map(|(framework, executor, data)| FromAgent::Message { framework, executor, data }),
        (any_framework_id(), any_executor_id(), option::of(any::<i32>())).prop_map(
            |(framework, executor, status)| FromAgent::ExecutorEnded { framework, executor, status }
        ),
    ]
    .boxed()
}

/// Anything the master says to an agent.
pub fn any_to_agent() -> BoxedStrategy<ToAgent> {
    let beat = (1..=60_000_u64).prop_map(Duration::from_millis);
    let run = (any_framework_id(), any_framework_info(), any_role(), vec(any_task_info(), 0..3));
    let kill = (any_framework_id(), any_task_id(), option::of(any_duration()));
    prop_oneof![
        (any_agent_id(), beat, any::<u32>()).prop_map(|(agent, ping_interval, max_missed_pings)| {
            ToAgent::Registered { agent, ping_interval, max_missed_pings }
        }),
        (any_text(), any::<bool>()).prop_map(|(reason, permanent)| ToAgent::Refused { reason, permanent }),
        run.prop_map(|(framework, info, role, tasks)| {
            ToAgent::Run { framework, info: Box::new(info), role, tasks }
        }),
        any_run_in_executor(),
        kill.prop_map(|(framework, task, grace)| ToAgent::Kill { framework, task, grace }),
        (any_framework_id(), any_task_id(), any_update_id())
            .prop_map(|(framework, task, update)| ToAgent::Acknowledge { framework, task, update }),
        any_agent_operation().prop_map(|operation| ToAgent::Apply { operation: Box::new(operation) }),
        any_operation_uuid().prop_map(|operation| ToAgent::AcknowledgeOperation { operation }),
        any_framework_id().prop_map(|framework| ToAgent::ResendUpdates { framework }),
        any_framework_id().prop_map(|framework| ToAgent::ShutdownFramework { framework }),
        (any_framework_id(), any_executor_id(), any_data())
            .prop_map(|(framework, executor, data)| ToAgent::Message { framework, executor, data }),
        (any_framework_id(), any_executor_id())
            .prop_map(|(framework, executor)| ToAgent::ShutdownExecutor { framework, executor }),
        any::<u64>().prop_map(|sequence| ToAgent::Ping { sequence }),
    ]
    .boxed()
}
