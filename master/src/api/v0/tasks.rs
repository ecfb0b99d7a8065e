//! Tasks, in `/tasks` and within frameworks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lonja_master_core::Snapshot;
use lonja_master_core::tasks::Task;
use lonja_model::profile::Network;
use lonja_model::task::Limit;
use lonja_model::{AgentId, TaskState, TaskStatus, Timestamp};
use lonja_proto::convert::files::without_secrets;
use lonja_proto::convert::ids::time_to_seconds;
use lonja_proto::convert::task::task_info_to_wire;
use serde::{Serialize, Serializer};

use super::out::{Gone, Out, Reader, listing};
use super::query::Query;
use super::shapes::{Amounts, LabelList};
use super::{Door, reply};

/// Tasks that one answer holds unless it is asked for more.
const LIMIT: usize = 100;

/// `/tasks`: live, unreachable and ended ones, the latest first.
///
/// `framework_id`, `task_id`: only theirs. `limit`: so many, 100 without it, all with -1. `offset`: so many are passed
/// over. `order`: `asc` for the earliest first. As in Mesos, numbers that are none count as not given.
pub(super) async fn tasks(State(door): State<Door>, reader: Reader, query: Query) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    let page = Page::of(&query);
    match door.answers.make(move || (page.tasks(&snapshot), snapshot)).await {
        Ok(((tasks, snapshot), _)) => listing(&door, reader, move |out| write(out, snapshot, tasks)).await,
        Err(busy) => reply::unanswered(&busy.into()),
    }
}

/// Which tasks are asked for.
struct Page {
    framework: Option<String>,
    task: Option<String>,
    limit: usize,
    offset: usize,
    ascending: bool,
}

impl Page {
    fn of(query: &Query) -> Self {
        let number = |name| query.get(name).and_then(|text| text.parse::<i64>().ok());
        let limit = number("limit").map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let offset = number("offset").and_then(|offset| usize::try_from(offset).ok());
        Self {
            framework: query.get("framework_id").map(str::to_owned),
            task: query.get("task_id").map(str::to_owned),
            limit: limit.unwrap_or(LIMIT),
            offset: offset.unwrap_or(0),
            ascending: query.get("order") == Some("asc"),
        }
    }

    fn wants(&self, task: &Task) -> bool {
        self.framework.as_deref().is_none_or(|id| id == task.framework.as_str())
            && self.task.as_deref().is_none_or(|id| id == task.id().as_str())
    }

    /// O(tasks · log(tasks)).
    fn tasks(&self, snapshot: &Snapshot) -> Vec<Arc<Task>> {
        let known = snapshot.tasks.iter().chain(&snapshot.completed_tasks);
        let mut tasks: Vec<&Arc<Task>> = known.filter(|task| self.wants(task)).collect();
        tasks.sort_by_key(|task| began(task));
        if !self.ascending {
            tasks.reverse();
        }
        tasks.into_iter().skip(self.offset).take(self.limit).cloned().collect()
    }
}

async fn write(mut out: Out, snapshot: Arc<Snapshot>, tasks: Vec<Arc<Task>>) -> Result<(), Gone> {
    out.open(&reply::Empty {});
    out.begin("tasks");
    for task in &tasks {
        write_task(&mut out, &snapshot, task);
        out.pass().await?;
    }
    out.end();
    out.close();
    out.finish().await
}

/// When the first was said of it that is still known; what nothing was said of is oldest, as in Mesos.
fn began(task: &Task) -> Option<Timestamp> {
    task.statuses.first().map(|status| status.timestamp)
}

/// One task as the list's next item.
pub(super) fn write_task(out: &mut Out, snapshot: &Snapshot, task: &Task) {
    out.open(&Head::of(snapshot, task));
    // Of what the wire alone can tell, most tasks have nothing.
    let info = &task.info;
    if info.discovery.is_some() || info.health_check.is_some() || info.container != Default::default() {
        let mut bare = lonja_model::TaskInfo::clone(info);
        (bare.executor, bare.data) = (None, Vec::new());
        let wired = task_info_to_wire(&bare);
        if let Some(discovery) = &wired.discovery {
            out.message("discovery", discovery);
        }
        if let Some(container) = wired.container {
            out.message("container", &without_secrets(container));
        }
        if let Some(health_check) = &wired.health_check {
            out.message("health_check", health_check);
        }
    }
    out.close();
}

#[derive(Serialize)]
struct Head<'a> {
    id: &'a str,
    name: &'a str,
    framework_id: &'a str,
    executor_id: &'a str,
    slave_id: &'a str,
    state: &'static str,
    resources: Amounts<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    limits: BTreeMap<&'a str, LimitAmount>,
    role: &'a str,
    statuses: Vec<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<LabelList<'a>>,
}

impl<'a> Head<'a> {
    fn of(snapshot: &Snapshot, task: &'a Task) -> Self {
        let info = &task.info;
        let shared = info.executor.as_ref().map(|executor| executor.container.network);
        let on_host = shared.unwrap_or(info.container.network) == Network::Host;
        let address = if on_host { address(snapshot, task.agent()) } else { None };
        Self {
            id: task.id().as_str(),
            name: &info.name,
            framework_id: task.framework.as_str(),
            executor_id: info.executor_id().map(|executor| executor.as_str()).unwrap_or_default(),
            slave_id: task.agent().as_str(),
            state: task.state.name(),
            resources: Amounts::of(&info.resources),
            limits: info.limits.iter().map(|(name, limit)| (name.as_str(), LimitAmount(*limit))).collect(),
            role: task.role.as_str(),
            statuses: task.statuses.iter().map(|status| Status::of(status, address)).collect(),
            user: info.command.user.as_deref(),
            labels: LabelList::some(&info.labels),
        }
    }
}

/// The address of an agent, which is that of the tasks on its network; `None`: it is known by its name alone.
fn address(snapshot: &Snapshot, agent: &AgentId) -> Option<IpAddr> {
    let index = snapshot.agents.binary_search_by(|view| view.id.cmp(agent)).ok()?;
    snapshot.agents[index].info.hostname.parse().ok()
}

/// A limit as a number, or the text `Infinity`.
struct LimitAmount(Limit);

impl Serialize for LimitAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Limit::Amount(amount) => serializer.serialize_f64(amount.to_f64()),
            Limit::Infinite => serializer.serialize_str("Infinity"),
        }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    state: &'static str,
    timestamp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<LabelList<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_status: Option<ContainerStatus<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<bool>,
}

#[derive(Serialize)]
struct ContainerStatus<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<ContainerId<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_infos: Option<[NetworkInfo; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor_pid: Option<u32>,
}

#[derive(Serialize)]
struct ContainerId<'a> {
    value: &'a str,
}

#[derive(Serialize)]
struct NetworkInfo {
    ip_addresses: [Address; 1],
}

#[derive(Serialize)]
struct Address {
    protocol: &'static str,
    ip_address: IpAddr,
}

impl<'a> Status<'a> {
    fn of(status: &'a TaskStatus, address: Option<IpAddr>) -> Self {
        let container = status.container.as_ref().map(|id| ContainerId { value: id.as_str() });
        let runs = matches!(status.state, TaskState::Starting | TaskState::Running | TaskState::Killing);
        let address = address.filter(|_| runs || container.is_some());
        let network_infos = address.map(|address| {
            let protocol = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            [NetworkInfo { ip_addresses: [Address { protocol, ip_address: address }] }]
        });
        let known = container.is_some() || network_infos.is_some() || status.pid.is_some();
        let container_status = known.then_some(ContainerStatus {
            container_id: container,
            network_infos,
            executor_pid: status.pid,
        });
        Self {
            state: status.state.name(),
            timestamp: time_to_seconds(status.timestamp),
            message: status.message.as_deref(),
            labels: LabelList::some(&status.labels),
            container_status,
            healthy: status.healthy,
        }
    }
}
