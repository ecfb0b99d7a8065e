//! Tasks of apps as replies show them.
//!
//! Source: Marathon's task objects.

use std::net::IpAddr;

use lonja_model::TaskState;
use lonja_model::check::CheckStatus;
use lonja_services_core::definition::{App, CheckKind, RunSpec};
use lonja_services_core::instance::{Condition, HealthState, Instance, InstanceTask, LocalVolume};
use serde_json::{Map, Value, json};

use crate::wire;

/// Has it a task that lists show? One that waits for an offer has none.
pub(crate) fn is_listed(instance: &Instance) -> bool {
    instance.condition != Condition::Scheduled && instance.place.is_some() && !instance.tasks.is_empty()
}

/// The state of a task of an instance, as others are told it.
pub(crate) fn state(instance: &Instance, task: &InstanceTask) -> TaskState {
    instance.told(task.stands())
}

/// The task of an app's instance, if it is listed. `with_service_ports`: as in the list of all tasks.
pub(crate) fn task(instance: &Instance, with_service_ports: bool) -> Option<Value> {
    let (RunSpec::App(app), true) = (&instance.spec, is_listed(instance)) else { return None };
    let (task, place) = (instance.tasks.first()?, instance.place.as_ref()?);
    let active = instance.is_active();
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("appId", json!(app.id.as_str()));
    put("id", json!(task.id.as_str()));
    put("host", json!(place.hostname));
    put("state", json!(state(instance, task).name()));
    put("role", json!(app.role));
    put("slaveId", json!(place.agent.as_str()));
    put("ports", json!(if active { place.ports.as_slice() } else { &[] }));
    put("servicePorts", json!(if with_service_ports { app.service_ports() } else { Vec::new() }));
    put("ipAddresses", Value::Array(addresses(&place.hostname)));
    if active {
        put("stagedAt", json!(wire::time(task.staged_at)));
        if let Some(at) = task.started_at {
            put("startedAt", json!(wire::time(at)));
        }
        put("version", json!(wire::version(app.version.version)));
    }
    let health = health(app, instance);
    // Balancers take an empty list to say that it is in bad health; without one they go by what they saw last.
    if app.health_checks.is_empty() || !health.is_empty() {
        put("healthCheckResults", Value::Array(health));
    }
    if let (Some(check), Some(status)) = (&app.check, &task.check) {
        put("checkResult", check_result(&check.kind, status));
    }
    let volumes = place.volumes.iter().map(|volume| volume_json(app.id.as_str(), volume)).collect();
    put("localVolumes", Value::Array(volumes));
    for (name, value) in [("region", &place.region), ("zone", &place.zone)] {
        if let Some(value) = value {
            put(name, json!(value));
        }
    }
    Some(Value::Object(fields))
}

/// The addresses of a host that is named by one.
pub(crate) fn addresses(host: &str) -> Vec<Value> {
    let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return Vec::new() };
    let protocol = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    vec![json!({ "ipAddress": address.to_string(), "protocol": protocol })]
}

/// A volume of a resident instance.
pub(crate) fn volume_json(spec: &str, volume: &LocalVolume) -> Value {
    json!({
        "runSpecId": spec,
        "containerPath": volume.container_path,
        "uuid": volume.uuid,
        "persistenceId": volume.persistence_id,
    })
}

/// What health checks have said, in the order of the definition; those that have said nothing are left out.
fn health(app: &App, instance: &Instance) -> Vec<Value> {
    let mut own = instance.health.iter();
    let by_agent = instance.tasks.first().and_then(|task| task.healthy);
    let results = app.health_checks.iter().filter_map(|check| {
        if check.protocol.is_by_agent() {
            let alive = by_agent?;
            // The agent tells no more than that.
            return Some(json!({
                "alive": alive, "consecutiveFailures": u32::from(!alive), "instanceId": instance.id.as_str() }));
        }
        health_result(instance, own.next()?)
    });
    results.collect()
}

fn health_result(instance: &Instance, state: &HealthState) -> Option<Value> {
    let alive = state.alive()?;
    let mut result = json!({
        "alive": alive,
        "consecutiveFailures": state.consecutive_failures,
        "instanceId": instance.id.as_str(),
    });
    let fields = result.as_object_mut()?;
    let times = [
        ("firstSuccess", state.first_success),
        ("lastSuccess", state.last_success),
        ("lastFailure", state.last_failure),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            fields.insert(name.to_owned(), json!(wire::time(at)));
        }
    }
    if let Some(cause) = &state.last_failure_cause {
        fields.insert("lastFailureCause".to_owned(), json!(cause));
    }
    Some(result)
}

fn check_result(kind: &CheckKind, status: &CheckStatus) -> Value {
    let bare = |name: &str| json!({ name: {} });
    match (status, kind) {
        (CheckStatus::Command(Some(code)), _) => json!({ "command": { "exitCode": code } }),
        (CheckStatus::Http(Some(code)), _) => json!({ "http": { "statusCode": code } }),
        (CheckStatus::Tcp(Some(succeeded)), _) => json!({ "tcp": { "succeeded": succeeded } }),
        (_, CheckKind::Http { .. }) => bare("http"),
        (_, CheckKind::Tcp { .. }) => bare("tcp"),
        (_, CheckKind::Shell(_) | CheckKind::Argv(_)) => bare("command"),
    }
}
