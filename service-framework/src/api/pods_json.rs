//! Pods and their instances as replies show them.
//!
//! Source: Marathon's pod status objects.

use lonja_model::{TaskState, Timestamp};
use lonja_services_core::definition::{Pod, PodContainer, RunSpec};
use lonja_services_core::instance::{Condition, Goal, Instance, InstanceTask};
use serde_json::{Map, Value, json};

use super::tasks_json;
use crate::wire;

/// The state of a pod: how it is as a whole, and each instance that has a place.
pub(crate) fn status(pod: &Pod, instances: &[Instance], removed: bool, now: Timestamp) -> Value {
    let placed: Vec<&Instance> = instances.iter().filter(|one| is_placed(one)).collect();
    let shown: Vec<Value> = placed.iter().filter_map(|one| instance(one, now)).collect();
    let stable = placed.iter().filter(|one| state(one) == "STABLE").count();
    let wanted = usize::try_from(pod.instances).unwrap_or(usize::MAX);
    let whole = match (removed, stable >= wanted) {
        (true, _) => "TERMINAL",
        (false, true) => "STABLE",
        (false, false) => "DEGRADED",
    };
    let since = placed.iter().map(|one| one.since).max().unwrap_or_else(|| pod.version.version.at());
    json!({
        "id": pod.id.as_str(),
        "spec": wire::show_pod(pod),
        "status": whole,
        "statusSince": wire::time(since),
        "instances": shown,
        "terminationHistory": [],
        "lastUpdated": wire::time(now),
        "lastChanged": wire::time(since),
    })
}

fn is_placed(instance: &Instance) -> bool {
    instance.condition != Condition::Scheduled && instance.place.is_some()
}

/// How an instance is, in the five words that there are for it.
fn state(instance: &Instance) -> &'static str {
    match instance.condition {
        Condition::Scheduled | Condition::Provisioned => "PENDING",
        Condition::Staging | Condition::Starting => "STAGING",
        Condition::Running if instance.healthy() == Some(false) => "DEGRADED",
        Condition::Running if !instance.is_healthy() => "STAGING",
        Condition::Running => "STABLE",
        Condition::Unreachable | Condition::UnreachableInactive | Condition::Unknown => "DEGRADED",
        Condition::Killing
        | Condition::Finished
        | Condition::Failed
        | Condition::Killed
        | Condition::Error
        | Condition::Gone
        | Condition::Dropped => "TERMINAL",
    }
}

fn instance(instance: &Instance, now: Timestamp) -> Option<Value> {
    let (RunSpec::Pod(pod), Some(place)) = (&instance.spec, &instance.place) else { return None };
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("id", json!(instance.id.as_str()));
    put("status", json!(state(instance)));
    put("statusSince", json!(wire::time(instance.since)));
    let message = match instance.condition {
        Condition::Unreachable | Condition::UnreachableInactive => Some("the instance cannot be reached"),
        Condition::Running if instance.healthy() == Some(false) => {
            Some("at least one container is not healthy")
        }
        _ => None,
    };
    if let Some(message) = message {
        put("message", json!(message));
    }
    put("conditions", json!([]));
    put("agentHostname", json!(place.hostname));
    put("agentId", json!(place.agent.as_str()));
    for (name, value) in [("agentRegion", &place.region), ("agentZone", &place.zone)] {
        if let Some(value) = value {
            put(name, json!(value));
        }
    }
    let own = &pod.executor_resources;
    let sum = |amount: &dyn Fn(&PodContainer) -> f64| pod.containers.iter().map(amount).sum::<f64>();
    put(
        "resources",
        json!({
            "cpus": sum(&|one| one.cpus.to_f64()) + own.cpus.to_f64(),
            "mem": sum(&|one| one.mem.to_f64()) + own.mem.to_f64(),
            "disk": sum(&|one| one.disk.to_f64()) + own.disk.to_f64(),
            "gpus": pod.containers.iter().map(|one| u64::from(one.gpus)).sum::<u64>(),
        }),
    );
    put("networks", Value::Array(networks(pod, &place.hostname)));
    let containers = pod.containers.iter().scan(0, |used, container| {
        let first = *used;
        *used += container.endpoints.iter().filter(|endpoint| endpoint.host_port.is_some()).count();
        Some((container, place.ports.get(first..).unwrap_or_default()))
    });
    let containers = containers.map(|(one, ports)| self::container(instance, one, ports, now)).collect();
    put("containers", Value::Array(containers));
    let version = wire::version(pod.version.version);
    put("specReference", json!(format!("/v2/pods{}::versions/{version}", pod.id)));
    let volumes =
        place.volumes.iter().map(|volume| tasks_json::volume_json(pod.id.as_str(), volume)).collect();
    put("localVolumes", Value::Array(volumes));
    put("lastUpdated", json!(wire::time(now)));
    put("lastChanged", json!(wire::time(instance.since)));
    put("role", json!(pod.role));
    Some(Value::Object(fields))
}

fn networks(pod: &Pod, host: &str) -> Vec<Value> {
    let addresses: Vec<Value> =
        tasks_json::addresses(host).iter().filter_map(|one| one.get("ipAddress")).cloned().collect();
    let shown = pod.networks.iter().map(|network| match &network.name {
        Some(name) => json!({ "name": name, "addresses": [] }),
        None => json!({ "addresses": addresses }),
    });
    shown.collect()
}

/// One container. `ports`: the agent's, from its first on.
fn container(instance: &Instance, container: &PodContainer, ports: &[u16], now: Timestamp) -> Value {
    let task = instance.tasks.iter().find(|task| task.container.as_deref() == Some(&container.name));
    let since = task.map_or(instance.since, |task| task.since);
    let healthy = task.and_then(|task| task.healthy);
    let mut ports = ports.iter();
    let endpoints = container.endpoints.iter().map(|endpoint| {
        let mut shown = Map::from_iter([("name".to_owned(), json!(endpoint.name))]);
        if let Some(port) = endpoint.host_port.and_then(|_| ports.next()) {
            shown.insert("allocatedHostPort".to_owned(), json!(port));
        }
        if let Some(healthy) = healthy.filter(|_| container.health_check.is_some()) {
            shown.insert("healthy".to_owned(), json!(healthy));
        }
        Value::Object(shown)
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let mut shown = json!({
        "name": container.name,
        "status": task.map_or(TaskState::Staging, |task| tasks_json::state(instance, task)).name(),
        "statusSince": wire::time(since),
        "conditions": conditions(container, healthy, since),
        "endpoints": endpoints,
        "resources": {
            "cpus": container.cpus.to_f64(),
            "mem": container.mem.to_f64(),
            "disk": container.disk.to_f64(),
            "gpus": container.gpus,
        },
        "lastUpdated": wire::time(now),
        "lastChanged": wire::time(since),
    });
    if let (Some(fields), Some(task)) = (shown.as_object_mut(), task) {
        fields.insert("containerId".to_owned(), json!(task.id.as_str()));
        fields.extend(task.message.as_ref().map(|message| ("message".to_owned(), json!(message))));
        fields.extend(termination(instance, task).map(|ended| ("termination".to_owned(), ended)));
    }
    shown
}

fn termination(instance: &Instance, task: &InstanceTask) -> Option<Value> {
    tasks_json::state(instance, task).is_terminal().then(|| match &task.message {
        Some(message) => json!({ "message": message }),
        None => json!({}),
    })
}

fn conditions(container: &PodContainer, healthy: Option<bool>, since: Timestamp) -> Vec<Value> {
    if container.health_check.is_none() {
        return Vec::new();
    }
    let (value, reason) = match healthy {
        Some(true) => ("true", "health-reported-by-mesos"),
        Some(false) => ("false", "health-reported-by-mesos"),
        None => ("false", "health-unreported-by-mesos"),
    };
    let at = wire::time(since);
    vec![json!({ "name": "healthy", "value": value, "reason": reason, "lastChanged": at, "lastUpdated": at })]
}

/// An instance whose kill was asked for.
pub(crate) fn killed(instance: &Instance) -> Value {
    let goal = match instance.goal {
        Goal::Running => "Running",
        Goal::Stopped => "Stopped",
        Goal::Decommissioned => "Decommissioned",
    };
    let tasks = instance.tasks.iter().map(
        |task| json!({ "taskId": task.id.as_str(), "status": tasks_json::state(instance, task).name() }),
    );
    json!({
        "instanceId": { "idString": instance.id.as_str() },
        "runSpecId": instance.spec.id().as_str(),
        "runSpecVersion": wire::version(instance.spec.version().version),
        "state": { "condition": instance.condition.name(), "since": wire::time(instance.since), "goal": goal },
        "agentInfo": instance.place.as_ref().map(|place| {
            json!({ "host": place.hostname, "agentId": place.agent.as_str() })
        }),
        "tasks": tasks.collect::<Vec<_>>(),
        "role": instance.spec.role(),
    })
}
