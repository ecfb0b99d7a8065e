//! `/state`, in the shape that tools written for Mesos read.
//!
//! Source: Mesos, `/state` of the master. Numbers are plain, times are seconds since the epoch, ranges
//! are one text.

use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_master_core::snapshot::{AgentView, FrameworkView};
use lonja_master_core::tasks::Task;
use lonja_model::attributes::AttributeValue;
use lonja_model::resources::{Quantities, Value as Amount};
use lonja_model::{FrameworkId, Offer, Resources, TaskState, TaskStatus, Timestamp};
use lonja_proto::convert::ids::time_to_seconds;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Everything.
pub(crate) fn state(snapshot: &Snapshot) -> Value {
    let count =
        |wanted: fn(&Presence) -> bool| snapshot.agents.iter().filter(|view| wanted(&view.presence)).count();
    let leader = format!("master@{}:{}", snapshot.master.hostname, snapshot.master.port);
    let parts = Parts::of(snapshot);
    json!({
        "version": snapshot.master.version,
        "id": snapshot.master.id,
        "pid": leader,
        "leader": leader,
        "hostname": snapshot.master.hostname,
        "start_time": time_to_seconds(snapshot.started),
        "elected_time": time_to_seconds(snapshot.started),
        "activated_slaves": snapshot.agents.iter().filter(|view| is_active(view)).count(),
        "deactivated_slaves":
            snapshot.agents.iter().filter(|view| is_listed(view) && !is_active(view)).count(),
        "unreachable_slaves": count(|presence| matches!(presence, Presence::Unreachable { .. })),
        "slaves": snapshot.agents.iter().filter(|view| is_listed(view)).map(agent).collect::<Vec<_>>(),
        "recovered_slaves":
            snapshot.agents.iter().filter(|view| view.presence == Presence::Recovered).map(agent).collect::<Vec<_>>(),
        "frameworks": snapshot.frameworks.iter().map(|view| framework(&parts, view)).collect::<Vec<_>>(),
        "completed_frameworks":
            snapshot.completed_frameworks.iter().map(|view| framework(&parts, view)).collect::<Vec<_>>(),
        "orphan_tasks": [],
        "unregistered_frameworks": [],
    })
}

/// Is it part of the cluster, and has it come back?
fn is_listed(view: &AgentView) -> bool {
    matches!(view.presence, Presence::Connected(_) | Presence::Disconnected)
}

/// Is it offered?
fn is_active(view: &AgentView) -> bool {
    view.is_connected() && view.duty.is_active()
}

fn seconds(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| json!(time_to_seconds(time)))
}

fn agent(view: &AgentView) -> Value {
    let attributes = view.info.attributes.0.iter().map(|(name, value)| {
        let value = match value {
            AttributeValue::Scalar(scalar) => json!(scalar.to_f64()),
            AttributeValue::Ranges(ranges) => json!(ranges.to_string()),
            AttributeValue::Text(text) => json!(text),
        };
        (name.clone(), value)
    });
    json!({
        "id": view.id.as_str(),
        "hostname": view.info.hostname,
        "port": view.info.port,
        "pid": format!("slave(1)@{}:{}", view.info.hostname, view.info.port),
        "attributes": attributes.collect::<Map<_, _>>(),
        "registered_time": seconds(view.registered),
        "reregistered_time": seconds(view.reregistered),
        "resources": resources(if view.total.is_empty() { &view.info.resources } else { &view.total }),
        "used_resources": resources(&view.allocated),
        "offered_resources": resources(&view.offered),
        "active": is_active(view),
        "deactivated": !view.duty.is_active(),
        "version": view.version,
    })
}

/// What belongs to each framework, sorted out once.
#[derive(Default)]
struct Parts<'a> {
    tasks: BTreeMap<&'a FrameworkId, Vec<&'a Task>>,
    completed: BTreeMap<&'a FrameworkId, Vec<&'a Task>>,
    offers: BTreeMap<&'a FrameworkId, Vec<&'a Offer>>,
}

impl<'a> Parts<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut parts = Self::default();
        for task in &snapshot.tasks {
            parts.tasks.entry(&task.framework).or_default().push(task);
        }
        for task in &snapshot.completed_tasks {
            parts.completed.entry(&task.framework).or_default().push(task);
        }
        for offer in &snapshot.offers {
            parts.offers.entry(&offer.framework).or_default().push(offer);
        }
        parts
    }
}

fn framework(parts: &Parts<'_>, view: &FrameworkView) -> Value {
    let tasks = |unreachable: bool| -> Vec<Value> {
        let known = parts.tasks.get(&view.id).into_iter().flatten();
        known
            .filter(|known| (known.state == TaskState::Unreachable) == unreachable)
            .map(|known| task(known))
            .collect()
    };
    let completed =
        parts.completed.get(&view.id).into_iter().flatten().map(|known| task(known)).collect::<Vec<_>>();
    let offers =
        parts.offers.get(&view.id).into_iter().flatten().map(|known| offer(known)).collect::<Vec<_>>();
    let connected = view.stream.is_some();
    json!({
        "id": view.id.as_str(),
        "name": view.info.name,
        "user": view.info.user,
        "hostname": view.info.hostname.as_deref().unwrap_or_default(),
        "webui_url": view.info.webui_url.as_deref().unwrap_or_default(),
        "failover_timeout": view.info.failover_timeout.as_secs_f64(),
        "checkpoint": view.info.checkpoint,
        "roles": view.info.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "active": connected,
        "connected": connected,
        "recovered": !connected && view.registered.is_none() && view.unregistered.is_none(),
        "registered_time": seconds(view.registered),
        "reregistered_time": seconds(view.reregistered),
        "unregistered_time": seconds(view.unregistered),
        "used_resources": quantities(&view.allocated),
        "offered_resources": quantities(&view.offered),
        "tasks": tasks(false),
        "unreachable_tasks": tasks(true),
        "completed_tasks": completed,
        "offers": offers,
        "executors": [],
    })
}

fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id.as_str(),
        "framework_id": offer.framework.as_str(),
        "slave_id": offer.agent.as_str(),
        "allocation_info": { "role": offer.role.as_str() },
        "resources": resources(&offer.resources),
    })
}

fn task(task: &Task) -> Value {
    json!({
        "id": task.id().as_str(),
        "name": task.info.name,
        "framework_id": task.framework.as_str(),
        "executor_id": task.info.executor_id().map(|executor| executor.as_str()).unwrap_or_default(),
        "slave_id": task.agent().as_str(),
        "state": task.state.name(),
        "role": task.role.as_str(),
        "resources": resources(&task.info.resources),
        "statuses": task.statuses.iter().map(status).collect::<Vec<_>>(),
        "labels": task.info.labels.0.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>(),
    })
}

fn status(status: &TaskStatus) -> Value {
    json!({
        "state": status.state.name(),
        "timestamp": time_to_seconds(status.timestamp),
        "message": status.message,
        "healthy": status.healthy,
        "container_status": {
            "container_id": { "value": status.container.as_ref().map(|container| container.as_str()) },
            "executor_pid": status.pid,
        },
    })
}

/// The four kinds that are always there, then the others by name.
fn resources(resources: &Resources) -> Value {
    let mut object = quantities(&resources.quantities());
    for resource in resources.iter() {
        let text = match resource.value() {
            Amount::Ranges(ranges) => ranges.to_string(),
            Amount::Set(set) => set.to_string(),
            Amount::Scalar(_) | Amount::Devices(_) => continue,
        };
        object[resource.name()] = json!(text);
    }
    object
}

fn quantities(quantities: &Quantities) -> Value {
    let mut object = json!({ "cpus": 0.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0 });
    for (name, amount) in quantities.iter() {
        object[name] = json!(amount.to_f64());
    }
    object
}
