//! Frameworks with their tasks, offers and executors, in `/frameworks` and `/state`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lonja_master_core::Snapshot;
use lonja_master_core::executors::Executor;
use lonja_master_core::snapshot::FrameworkView;
use lonja_master_core::tasks::Task;
use lonja_model::container::{Command, Program};
use lonja_model::executor::ExecutorProgram;
use lonja_model::framework::Capability;
use lonja_model::resources::Quantities;
use lonja_model::{FrameworkId, Offer, TaskState};
use lonja_proto::convert::constraints::constraints_to_wire;
use lonja_proto::convert::framework::framework_to_wire;
use lonja_proto::convert::ids::time_to_seconds;
use serde::Serialize;

use super::out::{Gone, Out, Reader, listing};
use super::query::Query;
use super::shapes::{Amounts, LabelList, seconds};
use super::tasks::write_task;
use super::{Door, reply};

/// `/frameworks`; `framework_id`: only that one.
pub(super) async fn frameworks(State(door): State<Door>, reader: Reader, query: Query) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    let only = query.get("framework_id").map(str::to_owned);
    listing(&door, reader, move |out| write(out, snapshot, only)).await
}

async fn write(mut out: Out, snapshot: Arc<Snapshot>, only: Option<String>) -> Result<(), Gone> {
    out.open(&reply::Empty {});
    write_frameworks(&mut out, &snapshot, only.as_deref()).await?;
    out.begin("unregistered_frameworks");
    out.end();
    out.close();
    out.finish().await
}

/// The fields `frameworks` and `completed_frameworks`; with only one in them if `only` names one.
pub(super) async fn write_frameworks(
    out: &mut Out,
    snapshot: &Snapshot,
    only: Option<&str>,
) -> Result<(), Gone> {
    let wanted = |view: &FrameworkView| only.is_none_or(|id| id == view.id.as_str());
    let parts = Parts::of(snapshot);
    out.begin("frameworks");
    for view in snapshot.frameworks.iter().filter(|view| wanted(view)) {
        write_framework(out, &parts, view).await?;
    }
    out.end();
    out.begin("completed_frameworks");
    for view in snapshot.completed_frameworks.iter().filter(|view| wanted(view)) {
        write_framework(out, &parts, view).await?;
    }
    out.end();
    Ok(())
}

/// What belongs to each framework, where the snapshot does not have it in order.
struct Parts<'a> {
    snapshot: &'a Snapshot,
    offers: BTreeMap<&'a FrameworkId, Vec<&'a Offer>>,
    executors: BTreeMap<&'a FrameworkId, Vec<&'a Executor>>,
}

impl<'a> Parts<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut parts = Self { snapshot, offers: BTreeMap::new(), executors: BTreeMap::new() };
        for offer in &snapshot.offers {
            parts.offers.entry(&offer.framework).or_default().push(offer);
        }
        for executor in &snapshot.executors {
            parts.executors.entry(&executor.framework).or_default().push(executor);
        }
        parts
    }
}

/// A framework's tasks among those of all, which stand framework by framework.
pub(super) fn tasks_of<'a>(tasks: &'a [Arc<Task>], framework: &FrameworkId) -> &'a [Arc<Task>] {
    let begin = tasks.partition_point(|task| task.framework < *framework);
    let length = tasks[begin..].partition_point(|task| task.framework == *framework);
    &tasks[begin..begin + length]
}

async fn write_framework(out: &mut Out, parts: &Parts<'_>, view: &FrameworkView) -> Result<(), Gone> {
    let snapshot = parts.snapshot;
    let mut all = view.allocated.clone();
    all.add(&view.offered);
    out.open(&Head::of(view, &all));
    let tasks = tasks_of(&snapshot.tasks, &view.id);
    for (name, unreachable) in [("tasks", false), ("unreachable_tasks", true)] {
        out.begin(name);
        for task in tasks.iter().filter(|task| (task.state == TaskState::Unreachable) == unreachable) {
            write_task(out, snapshot, task);
            out.pass().await?;
        }
        out.end();
    }
    out.begin("completed_tasks");
    for task in tasks_of(&snapshot.completed_tasks, &view.id) {
        write_task(out, snapshot, task);
        out.pass().await?;
    }
    out.end();
    out.begin("offers");
    for offer in parts.offers.get(&view.id).into_iter().flatten() {
        out.item(&OfferShape::of(offer));
        out.pass().await?;
    }
    out.end();
    out.begin("executors");
    for executor in parts.executors.get(&view.id).into_iter().flatten() {
        out.item(&ExecutorShape::of(executor));
        out.pass().await?;
    }
    out.end();
    if let Some(constraints) = constraints_to_wire(view.constraints.source()) {
        out.message("offer_constraints", &constraints);
    }
    out.close();
    out.pass().await
}

/// What every listing says of a framework.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    id: &'a str,
    name: &'a str,
    used_resources: Amounts<'a>,
    offered_resources: Amounts<'a>,
    capabilities: Vec<&'static str>,
    hostname: &'a str,
    webui_url: &'a str,
    active: bool,
    connected: bool,
    recovered: bool,
}

impl<'a> Summary<'a> {
    pub(super) fn of(view: &'a FrameworkView) -> Self {
        let connected = view.stream.is_some();
        let capabilities = framework_to_wire(None, &view.info).capabilities;
        Self {
            id: view.id.as_str(),
            name: &view.info.name,
            used_resources: (&view.allocated).into(),
            offered_resources: (&view.offered).into(),
            capabilities: capabilities.iter().map(|one| one.r#type().as_str_name()).collect(),
            hostname: view.info.hostname.as_deref().unwrap_or_default(),
            webui_url: view.info.webui_url.as_deref().unwrap_or_default(),
            active: connected,
            connected,
            recovered: !connected && view.registered.is_none() && view.unregistered.is_none(),
        }
    }
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    user: &'a str,
    failover_timeout: f64,
    checkpoint: bool,
    registered_time: f64,
    unregistered_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reregistered_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    resources: Amounts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<LabelList<'a>>,
}

impl<'a> Head<'a> {
    fn of(view: &'a FrameworkView, all: &'a Quantities) -> Self {
        let info = &view.info;
        let mut roles = info.roles.iter().map(|role| role.as_str());
        let (role, roles) = if info.can(Capability::MultiRole) {
            (None, Some(roles.collect()))
        } else {
            (roles.next(), None)
        };
        Self {
            summary: Summary::of(view),
            user: &info.user,
            failover_timeout: info.failover_timeout.as_secs_f64(),
            checkpoint: info.checkpoint,
            registered_time: seconds(view.registered),
            unregistered_time: seconds(view.unregistered),
            reregistered_time: view.reregistered.map(time_to_seconds),
            principal: info.principal.as_deref(),
            resources: all.into(),
            role,
            roles,
            labels: LabelList::some(&info.labels),
        }
    }
}

#[derive(Serialize)]
struct OfferShape<'a> {
    id: &'a str,
    framework_id: &'a str,
    allocation_info: AllocationInfo<'a>,
    slave_id: &'a str,
    resources: Amounts<'a>,
}

#[derive(Serialize)]
struct AllocationInfo<'a> {
    role: &'a str,
}

impl<'a> OfferShape<'a> {
    fn of(offer: &'a Offer) -> Self {
        Self {
            id: offer.id.as_str(),
            framework_id: offer.framework.as_str(),
            allocation_info: AllocationInfo { role: offer.role.as_str() },
            slave_id: offer.agent.as_str(),
            resources: Amounts::of(&offer.resources),
        }
    }
}

#[derive(Serialize)]
struct ExecutorShape<'a> {
    executor_id: &'a str,
    name: &'a str,
    framework_id: &'a str,
    command: CommandShape<'a>,
    resources: Amounts<'a>,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<LabelList<'a>>,
    r#type: &'static str,
    slave_id: &'a str,
}

/// What is executed, without its surroundings: these may be nobody else's business.
#[derive(Serialize)]
struct CommandShape<'a> {
    shell: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    argv: &'a [String],
    uris: Vec<UriShape<'a>>,
}

#[derive(Serialize)]
struct UriShape<'a> {
    value: &'a str,
    executable: bool,
}

impl<'a> ExecutorShape<'a> {
    fn of(executor: &'a Executor) -> Self {
        let info = &executor.info;
        let (command, kind) = match &info.program {
            ExecutorProgram::Builtin => (CommandShape::none(), "DEFAULT"),
            ExecutorProgram::Custom(command) => (CommandShape::of(command), "CUSTOM"),
        };
        Self {
            executor_id: info.id.as_str(),
            name: info.name.as_deref().unwrap_or_default(),
            framework_id: executor.framework.as_str(),
            command,
            resources: Amounts::of(&info.resources),
            role: executor.role.as_str(),
            labels: LabelList::some(&info.labels),
            r#type: kind,
            slave_id: executor.agent.as_str(),
        }
    }
}

impl<'a> CommandShape<'a> {
    fn none() -> Self {
        Self { shell: true, value: None, argv: &[], uris: Vec::new() }
    }

    fn of(command: &'a Command) -> Self {
        let (shell, value, argv) = match &command.program {
            Program::Shell(line) => (true, line.as_str(), &[] as &[String]),
            Program::Exec { path, arguments } => (false, path.as_str(), arguments.as_slice()),
        };
        let uris = command.uris.iter().map(|uri| UriShape { value: uri.value(), executable: uri.executable });
        Self { shell, value: Some(value), argv, uris: uris.collect() }
    }
}
