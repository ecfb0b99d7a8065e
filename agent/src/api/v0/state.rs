//! `/state` of the agent.
//!
//! In Mesos every task has an executor. A task that the agent runs by itself is shown in an executor of its own name, as
//! Mesos shows a command task; `directory` is where its files are. Beside what Mesos has stands what only Lonja has:
//! `tasks` (every task in one list), `volumes`, `operations`, `registered`, `instance` and `disk_limit`.
//!
//! Source: Mesos agent, `Http::state`.

use std::collections::BTreeMap;
use std::path::Path;

use lonja_agent_core::Stage;
use lonja_model::framework::{Capability, FrameworkInfo};
use lonja_model::resources::Resource;
use lonja_model::role::Role;
use lonja_model::{ContainerId, ExecutorId, FrameworkId, Resources};
use lonja_proto::convert::check::health_check_to_wire;
use lonja_proto::convert::files::without_secrets;
use lonja_proto::convert::ids::{labels_to_wire, time_to_seconds};
use lonja_proto::convert::task::task_info_to_wire;
use serde_json::{Map, Value, json};

use super::shapes;
use crate::api::v1::operator::command_executor_name;
use crate::picture::{ExecutorPicture, Picture, TaskPicture};
use crate::volumes::volumes_of;

/// What the picture does not show.
pub(super) struct Beside<'a> {
    pub(super) flags: &'a Map<String, Value>,
    /// Where the agent is reached, as `ip:port`.
    pub(super) endpoint: String,
    pub(super) master: &'a str,
    pub(super) disk_limit: &'a str,
}

/// Everything.
pub(super) fn state(picture: &Picture, beside: &Beside<'_>) -> Value {
    let mut state = about(picture, beside);
    let sorted = Sorted::of(picture);
    let all = |frameworks: &[(FrameworkId, FrameworkInfo)]| -> Value {
        frameworks.iter().map(|(id, info)| framework(&sorted, id, info)).collect()
    };
    state["frameworks"] = all(&picture.frameworks);
    state["completed_frameworks"] = all(&picture.completed_frameworks);
    state["flags"] = Value::Object(beside.flags.clone());
    for (name, value) in own(picture, beside) {
        state[name] = value;
    }
    state
}

/// What the agent is.
fn about(picture: &Picture, beside: &Beside<'_>) -> Value {
    let (total, promised) = (&picture.total, &picture.promised);
    let mut state = super::misc::build();
    let mut put = |name: &str, value: Value| state[name] = value;
    put("start_time", json!(time_to_seconds(picture.started)));
    put("id", json!(picture.id_text()));
    put("pid", json!(format!("slave(1)@{}", beside.endpoint)));
    put("hostname", json!(picture.info.hostname));
    put("port", json!(picture.info.port));
    put("capabilities", super::misc::capabilities());
    put("resources", shapes::resources(total));
    put("reserved_resources", shapes::reserved(total));
    put("reserved_resources_full", shapes::reserved_full(total));
    put("unreserved_resources", shapes::resources(&shapes::unreserved(total)));
    put("unreserved_resources_full", shapes::full(&shapes::unreserved(total)));
    put("reserved_resources_allocated", shapes::reserved(promised));
    put("unreserved_resources_allocated", shapes::resources(&shapes::unreserved(promised)));
    put("resource_providers", json!([]));
    put("attributes", shapes::attributes(&picture.info.attributes));
    put("master_hostname", json!(host_of(beside.master)));
    if let Some(domain) = &picture.info.domain {
        put("domain", shapes::message(&lonja_proto::convert::agent::domain_to_wire(domain)));
    }
    state
}

/// The host of `http://host:port`.
fn host_of(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

/// What is in a picture, by whom it belongs to.
struct Sorted<'a> {
    picture: &'a Picture,
    frameworks: BTreeMap<&'a FrameworkId, OfFramework<'a>>,
    /// The tasks of executors, by the executor's container: another of the same name has another. Ended ones come last.
    homes: BTreeMap<&'a ContainerId, Vec<&'a TaskPicture>>,
}

#[derive(Default)]
struct OfFramework<'a> {
    executors: Vec<&'a ExecutorPicture>,
    /// Tasks without an executor.
    alone: Vec<&'a TaskPicture>,
    completed_executors: Vec<&'a ExecutorPicture>,
    completed_alone: Vec<&'a TaskPicture>,
}

impl<'a> Sorted<'a> {
    fn of(picture: &'a Picture) -> Self {
        let mut sorted = Self { picture, frameworks: BTreeMap::new(), homes: BTreeMap::new() };
        for executor in &picture.executors {
            sorted.frameworks.entry(&executor.framework).or_default().executors.push(executor);
        }
        for executor in &picture.completed_executors {
            sorted.frameworks.entry(&executor.framework).or_default().completed_executors.push(executor);
        }
        for task in picture.tasks.iter().chain(&picture.completed_tasks) {
            if task.info.executor.is_some() {
                sorted.homes.entry(&task.home).or_default().push(task);
            }
        }
        let alone = |tasks: &'a [TaskPicture]| tasks.iter().filter(|task| task.info.executor.is_none());
        for task in alone(&picture.tasks) {
            sorted.frameworks.entry(&task.framework).or_default().alone.push(task);
        }
        for task in alone(&picture.completed_tasks) {
            sorted.frameworks.entry(&task.framework).or_default().completed_alone.push(task);
        }
        sorted
    }
}

fn framework(sorted: &Sorted<'_>, id: &FrameworkId, info: &FrameworkInfo) -> Value {
    let nothing = OfFramework::default();
    let own = sorted.frameworks.get(id).unwrap_or(&nothing);
    let all = |executors: &[&ExecutorPicture], alone: &[&TaskPicture]| -> Vec<Value> {
        let executors = executors.iter().map(|one| executor(sorted, one));
        executors.chain(alone.iter().map(|task| command_executor(sorted.picture, task))).collect()
    };
    let executors = all(&own.executors, &own.alone);
    let completed = all(&own.completed_executors, &own.completed_alone);
    let mut shown = json!({
        "id": id.as_str(),
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout.as_secs_f64(),
        "checkpoint": info.checkpoint,
        "hostname": info.hostname.as_deref().unwrap_or_default(),
        "executors": executors,
        "completed_executors": completed,
    });
    if let Some(principal) = &info.principal {
        shown["principal"] = json!(principal);
    }
    if info.can(Capability::MultiRole) {
        shown["roles"] = info.roles.iter().map(Role::as_str).collect();
    } else {
        shown["role"] = json!(info.roles.first().map(Role::as_str));
    }
    shown
}

/// What executors of all kinds have in common.
struct Shown<'a> {
    id: &'a str,
    name: String,
    source: &'a str,
    container: &'a str,
    directory: &'a Path,
    resources: Resources,
    role: &'a Role,
    labels: Value,
    kind: Option<&'static str>,
    tasks: Vec<&'a TaskPicture>,
}

fn executor(sorted: &Sorted<'_>, one: &ExecutorPicture) -> Value {
    let tasks = sorted.homes.get(&one.container).cloned().unwrap_or_default();
    let living = tasks.iter().filter(|task| task.stage != Stage::Ended);
    let resources = living
        .fold(one.info.resources.clone(), |sum, task| sum.checked_add(&task.info.resources).unwrap_or(sum));
    let labels = labels_to_wire(&one.info.labels).map(|labels| shapes::message(&labels)["labels"].take());
    shown(
        Shown {
            id: one.info.id.as_str(),
            name: one.info.name.clone().unwrap_or_default(),
            source: "",
            container: one.container.as_str(),
            directory: &one.sandbox,
            resources,
            role: &one.role,
            labels: labels.unwrap_or(json!([])),
            kind: Some(if one.info.is_custom() { "CUSTOM" } else { "DEFAULT" }),
            tasks,
        },
        sorted.picture,
    )
}

/// The executor that Mesos would have made for a task without one.
fn command_executor(picture: &Picture, task: &TaskPicture) -> Value {
    let id = task.info.id.as_str();
    let name = command_executor_name(id, &task.info.command);
    shown(
        Shown {
            id,
            name,
            source: id,
            container: task.container.as_str(),
            directory: &task.sandbox,
            resources: task.info.resources.clone(),
            role: &task.role,
            labels: json!([]),
            kind: None,
            tasks: vec![task],
        },
        picture,
    )
}

fn shown(executor: Shown<'_>, picture: &Picture) -> Value {
    let tasks = |wanted: fn(Stage) -> bool| -> Vec<Value> {
        let chosen = executor.tasks.iter().filter(|task| wanted(task.stage));
        chosen.map(|task| self::task(picture, task)).collect()
    };
    let mut shown = json!({
        "id": executor.id,
        "name": executor.name,
        "source": executor.source,
        "container": executor.container,
        "directory": executor.directory.display().to_string(),
        "resources": shapes::resources(&executor.resources),
        "role": executor.role.as_str(),
        "labels": executor.labels,
        "tasks": tasks(|stage| stage == Stage::Launched),
        "queued_tasks": tasks(|stage| matches!(stage, Stage::Pending | Stage::Queued)),
        "completed_tasks": tasks(|stage| stage == Stage::Ended),
    });
    if let Some(kind) = executor.kind {
        shown["type"] = json!(kind);
    }
    shown
}

/// One task.
fn task(picture: &Picture, task: &TaskPicture) -> Value {
    let info = &task.info;
    let wire = task_info_to_wire(info);
    let labels = wire.labels.as_ref().map(|labels| shapes::message(labels)["labels"].take());
    let mut shown = json!({
        "id": info.id.as_str(),
        "name": info.name,
        "framework_id": task.framework.as_str(),
        "executor_id": info.executor_id().map_or("", ExecutorId::as_str),
        "slave_id": picture.id_text(),
        "state": task.state.name(),
        "resources": shapes::resources(&info.resources),
        "role": task.role.as_str(),
        "statuses": task.latest.iter().map(|latest| shapes::status(latest)).collect::<Vec<_>>(),
    });
    if let Some(labels) = labels {
        shown["labels"] = labels;
    }
    if let Some(user) = &info.command.user {
        shown["user"] = json!(user);
    }
    if !wire.limits.is_empty() {
        let limits = wire.limits.iter().map(|(name, limit)| (name.clone(), json!(limit.value)));
        shown["limits"] = Value::Object(limits.collect());
    }
    if let Some(discovery) = &wire.discovery {
        shown["discovery"] = shapes::message(discovery);
    }
    if let Some(container) = wire.container {
        shown["container"] = shapes::message(&without_secrets(container));
    }
    if let Some(check) = &info.health_check {
        shown["health_check"] = shapes::message(&health_check_to_wire(check));
    }
    shown
}

/// What only Lonja has.
fn own(picture: &Picture, beside: &Beside<'_>) -> Vec<(&'static str, Value)> {
    let tasks = picture.tasks.iter().map(|task| {
        json!({
            "id": task.info.id.as_str(),
            "framework_id": task.framework.as_str(),
            "state": task.state.name(),
            "container_id": task.container.as_str(),
            "pid": task.pid,
            "directory": task.sandbox.display().to_string(),
        })
    });
    let operations = picture.operations.iter().map(|record| {
        json!({
            "uuid": record.operation.uuid.to_string(),
            "id": record.operation.id.as_ref().map(|id| id.as_str()),
            "framework_id": record.operation.framework.as_ref().map(|id| id.as_str()),
            "name": record.operation.conversion.name(),
            "state": format!("{:?}", record.status.state),
            "message": record.status.message,
        })
    });
    vec![
        ("tasks", tasks.collect()),
        ("volumes", volumes_of(&picture.total).map(volume).collect()),
        ("operations", operations.collect()),
        ("registered", json!(picture.registered)),
        ("instance", json!(picture.instance)),
        ("disk_limit", json!(beside.disk_limit)),
    ]
}

fn volume(volume: &Resource) -> Value {
    let disk = volume.metadata().disk.as_ref();
    json!({
        "id": disk.and_then(|disk| disk.persistence.as_ref()).map(|persistence| persistence.id.as_str()),
        "role": volume.reserved_for().map(Role::as_str),
        "size_mib": volume.value().to_string(),
        "container_path": disk.and_then(|disk| disk.container_path.as_deref()),
        "read_only": disk.is_some_and(|disk| disk.read_only),
        "shared": volume.metadata().shared,
    })
}
