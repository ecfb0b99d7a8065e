//! Snapshots in the words of the operator API.
//!
//! Source: Mesos v1 operator API of the master, `mesos.v1.master`.

mod agents;
mod changes;
pub(crate) mod explain;
mod sharing;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use lonja_master_core::Snapshot;
use lonja_master_core::executors::Executor;
use lonja_master_core::snapshot::FrameworkView;
use lonja_master_core::tasks::Task;
use lonja_model::TaskState;
use lonja_proto::convert::executor::executor_info_to_wire;
use lonja_proto::convert::files::{executor_without_secrets, without_secrets};
use lonja_proto::convert::framework::framework_to_wire;
use lonja_proto::convert::ids::{
    agent_id_to_wire, executor_id_to_wire, framework_id_to_wire, task_id_to_wire, time_to_seconds,
    time_to_wire,
};
use lonja_proto::convert::offer::{inverse_offer_to_wire, offer_to_wire};
use lonja_proto::convert::resources::{Shape, resources_to_wire};
use lonja_proto::convert::status::{state_to_wire, status_to_wire};
use lonja_proto::convert::task::task_info_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::master::response::{self, Type, get_frameworks};
use lonja_proto::mesos::master::{Event, Response, event};

use super::v0::metrics_snapshot::Figures;
use super::v0::misc;

pub(crate) use changes::event;
pub(crate) use sharing::{quotas, roles, weights, with_weight};
pub(crate) use upkeep::{maintenance_schedule, maintenance_status, operations};

/// How often one who watches hears from the master.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

fn answer(kind: Type) -> Response {
    Response { r#type: Some(kind.into()), ..Response::default() }
}

pub(crate) fn health() -> Response {
    Response { get_health: Some(response::GetHealth { healthy: true }), ..answer(Type::GetHealth) }
}

pub(crate) fn version() -> Response {
    let version_info =
        mesos::VersionInfo { version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
    let get_version = Some(response::GetVersion { version_info });
    Response { get_version, ..answer(Type::GetVersion) }
}

pub(crate) fn flags(snapshot: &Snapshot) -> Response {
    let flag = |(name, value): (&str, String)| mesos::Flag { name: name.to_owned(), value: Some(value) };
    let flags = misc::flags(&snapshot.config).into_iter().map(flag).collect();
    Response { get_flags: Some(response::GetFlags { flags }), ..answer(Type::GetFlags) }
}

pub(crate) fn metrics(figures: Figures) -> Response {
    let metric = |(name, value)| mesos::Metric { name, value: Some(value) };
    let metrics = figures.into_iter().map(metric).collect();
    Response { get_metrics: Some(response::GetMetrics { metrics }), ..answer(Type::GetMetrics) }
}

/// What is logged is chosen at the start, by other words than Mesos' numbers: its usual one.
pub(crate) fn logging_level() -> Response {
    let get_logging_level = Some(response::GetLoggingLevel { level: 0 });
    Response { get_logging_level, ..answer(Type::GetLoggingLevel) }
}

pub(crate) fn executors(snapshot: &Snapshot) -> Response {
    Response { get_executors: Some(get_executors(snapshot)), ..answer(Type::GetExecutors) }
}

fn get_executors(snapshot: &Snapshot) -> response::GetExecutors {
    let executor = |known: &Arc<Executor>| response::get_executors::Executor {
        executor_info: executor_info(known),
        agent_id: agent_id_to_wire(&known.agent),
    };
    response::GetExecutors {
        executors: snapshot.executors.iter().map(executor).collect(),
        ..Default::default()
    }
}

/// What was asked for, but for the values of secrets.
fn executor_info(known: &Executor) -> mesos::ExecutorInfo {
    let mut info = executor_info_to_wire(&known.info);
    info.framework_id = Some(framework_id_to_wire(&known.framework));
    executor_without_secrets(info)
}

pub(crate) fn master(snapshot: &Snapshot) -> Response {
    let get_master = Some(response::GetMaster {
        master_info: Some(lonja_proto::convert::event::master_to_wire(&snapshot.master)),
        start_time: Some(time_to_seconds(snapshot.started)),
        elected_time: Some(time_to_seconds(snapshot.started)),
    });
    Response { get_master, ..answer(Type::GetMaster) }
}

pub(crate) fn agents(snapshot: &Snapshot) -> Response {
    Response { get_agents: Some(agents::get_agents(snapshot)), ..answer(Type::GetAgents) }
}

pub(crate) fn frameworks(snapshot: &Snapshot) -> Response {
    Response { get_frameworks: Some(get_frameworks(snapshot)), ..answer(Type::GetFrameworks) }
}

pub(crate) fn tasks(snapshot: &Snapshot) -> Response {
    Response { get_tasks: Some(get_tasks(snapshot)), ..answer(Type::GetTasks) }
}

pub(crate) fn state(snapshot: &Snapshot) -> Response {
    Response { get_state: Some(get_state(snapshot)), ..answer(Type::GetState) }
}

fn get_state(snapshot: &Snapshot) -> response::GetState {
    response::GetState {
        get_tasks: Some(get_tasks(snapshot)),
        get_executors: Some(get_executors(snapshot)),
        get_frameworks: Some(get_frameworks(snapshot)),
        get_agents: Some(agents::get_agents(snapshot)),
    }
}

fn get_frameworks(snapshot: &Snapshot) -> response::GetFrameworks {
    let frameworks = snapshot.frameworks.iter().map(|view| {
        let offers = snapshot.offers.iter().filter(|offer| offer.framework == view.id);
        let offers = offers.map(|offer| offer_to_wire(offer, Shape::OPERATOR)).collect();
        let inverse = snapshot.inverse_offers.iter().filter(|offer| offer.framework == view.id);
        let inverse_offers = inverse.map(|offer| inverse_offer_to_wire(offer)).collect();
        get_frameworks::Framework { offers, inverse_offers, ..framework(view) }
    });
    response::GetFrameworks {
        frameworks: frameworks.collect(),
        completed_frameworks: snapshot.completed_frameworks.iter().map(|view| framework(view)).collect(),
        ..Default::default()
    }
}

fn framework(view: &FrameworkView) -> get_frameworks::Framework {
    let connected = view.stream.is_some();
    get_frameworks::Framework {
        framework_info: framework_to_wire(Some(&view.id), &view.info),
        active: connected,
        connected,
        recovered: !connected && view.registered.is_none() && view.unregistered.is_none(),
        registered_time: view.registered.map(time_to_wire),
        reregistered_time: view.reregistered.map(time_to_wire),
        unregistered_time: view.unregistered.map(time_to_wire),
        allocated_resources: quantities(&view.allocated),
        offered_resources: quantities(&view.offered),
        ..Default::default()
    }
}

/// Totals as scalar resources. Devices stand as thousandths of one.
fn quantities(quantities: &lonja_model::resources::Quantities) -> Vec<mesos::Resource> {
    let scalar = |(name, amount): (&str, lonja_model::resources::Scalar)| mesos::Resource {
        name: name.to_owned(),
        r#type: mesos::value::Type::Scalar.into(),
        scalar: Some(mesos::value::Scalar { value: amount.to_f64() }),
        ..Default::default()
    };
    quantities.iter().map(scalar).collect()
}

fn get_tasks(snapshot: &Snapshot) -> response::GetTasks {
    let unreachable = |task: &&Arc<Task>| task.state == TaskState::Unreachable;
    response::GetTasks {
        tasks: snapshot.tasks.iter().filter(|task| !unreachable(task)).map(|known| task(known)).collect(),
        unreachable_tasks: snapshot.tasks.iter().filter(unreachable).map(|known| task(known)).collect(),
        completed_tasks: snapshot.completed_tasks.iter().map(|known| task(known)).collect(),
        ..Default::default()
    }
}

fn task(known: &Task) -> mesos::Task {
    let info = task_info_to_wire(&known.info);
    let statuses: Vec<_> = known.statuses.iter().map(status_to_wire).collect();
    let awaiting = known.awaiting.map(|(_, state)| state);
    mesos::Task {
        name: info.name,
        task_id: task_id_to_wire(known.id()),
        framework_id: framework_id_to_wire(&known.framework),
        agent_id: agent_id_to_wire(known.agent()),
        executor_id: known.info.executor_id().map(executor_id_to_wire),
        state: state_to_wire(known.state).into(),
        resources: resources_to_wire(&known.info.resources, Some(&known.role), Shape::OPERATOR),
        status_update_state: awaiting.map(|state| state_to_wire(state).into()),
        status_update_uuid: known.awaiting.map(|(update, _)| update.0.to_vec()),
        statuses,
        labels: info.labels,
        discovery: info.discovery,
        container: info.container.map(without_secrets),
        user: known.info.command.user.clone(),
        kill_policy: info.kill_policy,
        health_check: info.health_check,
        limits: info.limits,
    }
}

pub(crate) fn subscribed(snapshot: &Snapshot) -> Event {
    let subscribed = event::Subscribed {
        get_state: Some(get_state(snapshot)),
        heartbeat_interval_seconds: Some(HEARTBEAT.as_secs_f64()),
    };
    Event { r#type: Some(event::Type::Subscribed.into()), subscribed: Some(subscribed), ..Event::default() }
}

pub(crate) fn heartbeat() -> Event {
    Event { r#type: Some(event::Type::Heartbeat.into()), ..Event::default() }
}
