//! `/metrics/snapshot`: the figures that Mesos has, by Mesos' names; and `/metrics`, all there are, for Prometheus.
//!
//! A figure that this master has not is left out rather than told as 0: clients take what they find.
//!
//! Source: Mesos, `docs/monitoring.md`, `src/master/metrics.cpp`.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_master_core::snapshot::{AgentView, FrameworkView, RoleView};
use lonja_model::clock::Clock;
use lonja_model::operation::OperationState;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{TaskState, Timestamp};
use lonja_proto::convert::status::{reason_name, source_name};

use super::query::Query;
use super::shapes::is_active;
use super::slaves::is_listed;
use super::{Door, reply};
use crate::Handle;
use crate::api::answers::{Answers, Unanswered};
use crate::metrics as open_metrics_text;

/// The resources that Mesos has figures of.
const NAMES: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// Figures by name.
pub(in crate::api) type Figures = BTreeMap<String, f64>;

/// `/metrics`.
pub(super) async fn open_metrics(State(door): State<Door>) -> Response {
    let now = door.clock.now();
    let made = move |snapshot: &Snapshot| open_metrics_text::encode(snapshot, now);
    match door.answers.of_picture(&door.handle, made).await {
        Err(unanswered) => reply::unanswered(&unanswered),
        Ok((Ok(text), _)) => {
            ([(header::CONTENT_TYPE, open_metrics_text::CONTENT_TYPE)], text).into_response()
        }
        Ok((Err(error), _)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// `/metrics/snapshot`; `timeout` is how long to wait for slow figures: there are none.
pub(super) async fn snapshot(State(door): State<Door>, query: Query) -> Response {
    if let Some(timeout) = query.get("timeout").filter(|timeout| !is_duration(timeout)) {
        let shown: String = timeout.chars().take(64).collect();
        return reply::bad_request(&format!(
            "Invalid 'timeout' parameter: {shown:?} is no length of time; write, for example, 10secs"
        ));
    }
    match all(&door.handle, door.clock, &door.answers).await {
        Ok(figures) => reply::json(&figures),
        Err(unanswered) => reply::unanswered(&unanswered),
    }
}

/// Every figure there is by a name of Mesos.
pub(in crate::api) async fn all(
    handle: &Handle,
    clock: Clock,
    answers: &Answers,
) -> Result<Figures, Unanswered> {
    let collect = move |snapshot: &Snapshot| collect(snapshot, clock.now());
    let (mut figures, _) = answers.of_picture(handle, collect).await?;
    figures.extend(system().await.into_iter().map(|(name, value)| (name.to_owned(), value)));
    figures.insert("master/event_queue_messages".to_owned(), number(handle.waiting()));
    figures.insert("master/operator_event_stream_subscribers".to_owned(), number(handle.watchers()));
    for (name, value) in handle.registrar().figures() {
        figures.insert(format!("registrar/{name}"), value);
    }
    Ok(figures)
}

/// `10secs`: a number and one of Mesos' units.
fn is_duration(text: &str) -> bool {
    let units = ["ns", "us", "ms", "secs", "mins", "hrs", "days", "weeks"];
    let number = units.iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| number.parse::<f64>().is_ok_and(|number| number.is_finite() && number >= 0.0))
}

#[expect(clippy::cast_precision_loss, reason = "figures are doubles in Mesos, too")]
fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// All figures that a picture tells.
pub(super) fn collect(snapshot: &Snapshot, now: Timestamp) -> Figures {
    let mut figures = Sheet::default();
    figures.put("master/elected", 1.0);
    figures.put("master/uptime_secs", now.since(snapshot.started).as_secs_f64());
    figures.put("master/outstanding_offers", number(snapshot.offers.len()));
    resources(&mut figures, snapshot);
    agents(&mut figures, snapshot);
    frameworks(&mut figures, snapshot);
    tasks(&mut figures, snapshot);
    operations(&mut figures, snapshot);
    messages(&mut figures, snapshot);
    allocator(&mut figures, snapshot);
    for view in &snapshot.frameworks {
        framework(&mut figures, view);
    }
    figures.0
}

#[derive(Default)]
struct Sheet(Figures);

impl Sheet {
    fn put(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    fn count(&mut self, name: impl Display, count: impl TryInto<u64>) {
        self.put(name.to_string(), number(count));
    }

    fn add(&mut self, name: String, count: u64) {
        *self.0.entry(name).or_default() += number(count);
    }
}

/// Total, used and their ratio; what may be taken back apart.
fn resources(figures: &mut Sheet, snapshot: &Snapshot) {
    let mut sums: BTreeMap<(&str, bool), (Scalar, Scalar)> = BTreeMap::new();
    let plus = |sum: &mut Scalar, amount: Scalar| *sum = sum.checked_add(amount).unwrap_or(Scalar::MAX);
    for view in snapshot.agents.iter().filter(|view| is_active(view)) {
        for revocable in [false, true] {
            let part = |all: &lonja_model::Resources| {
                all.filter(|resource| resource.metadata().revocable == revocable).quantities()
            };
            for (name, amount) in part(&view.total).iter().filter_map(known) {
                plus(&mut sums.entry((name, revocable)).or_default().0, amount);
            }
            for (name, amount) in part(&view.allocated).iter().filter_map(known) {
                plus(&mut sums.entry((name, revocable)).or_default().1, amount);
            }
        }
    }
    for name in NAMES {
        for (revocable, infix) in [(false, ""), (true, "_revocable")] {
            let (total, used) = sums.get(&(name, revocable)).copied().unwrap_or_default();
            let (total, used) = (total.to_f64(), used.to_f64());
            figures.put(format!("master/{name}{infix}_total"), total);
            figures.put(format!("master/{name}{infix}_used"), used);
            figures
                .put(format!("master/{name}{infix}_percent"), if total > 0.0 { used / total } else { 0.0 });
        }
    }
}

fn known((name, amount): (&str, Scalar)) -> Option<(&'static str, Scalar)> {
    NAMES.into_iter().find(|known| *known == name).map(|known| (known, amount))
}

fn agents(figures: &mut Sheet, snapshot: &Snapshot) {
    let count = |wanted: fn(&AgentView) -> bool| snapshot.agents.iter().filter(|view| wanted(view)).count();
    let is_unreachable = |view: &AgentView| matches!(view.presence, Presence::Unreachable { .. });
    let counters = &snapshot.counters;
    let removed = counters.agents_unreachable + counters.agents_gone;
    for (name, value) in [
        ("slaves_active", count(is_active)),
        ("slaves_inactive", count(|view| is_listed(view) && !is_active(view))),
        ("slaves_connected", count(AgentView::is_connected)),
        ("slaves_disconnected", count(|view| view.presence == Presence::Disconnected)),
        ("slaves_unreachable", count(is_unreachable)),
    ] {
        figures.count(format_args!("master/{name}"), value);
    }
    for (name, value) in [
        ("slave_registrations", counters.agents_registered),
        ("slave_reregistrations", counters.agents_reregistered),
        ("slave_removals", removed),
        ("slave_removals/reason_unhealthy", counters.agents_unreachable),
        ("slave_removals/reason_unregistered", counters.agents_gone),
        ("slave_removals/reason_registered", 0),
        // An agent that is silent for too long is declared unreachable in one step, never called back.
        ("slave_unreachable_scheduled", counters.agents_unreachable),
        ("slave_unreachable_completed", counters.agents_unreachable),
        ("slave_unreachable_canceled", 0),
        ("slave_shutdowns_scheduled", counters.agents_unreachable),
        ("slave_shutdowns_completed", counters.agents_unreachable),
        ("slave_shutdowns_canceled", 0),
    ] {
        figures.count(format_args!("master/{name}"), value);
    }
}

fn frameworks(figures: &mut Sheet, snapshot: &Snapshot) {
    let connected = snapshot.frameworks.iter().filter(|view| view.stream.is_some()).count();
    let absent = snapshot.frameworks.len() - connected;
    for (name, value) in [
        ("frameworks_active", connected),
        ("frameworks_connected", connected),
        ("frameworks_inactive", absent),
        ("frameworks_disconnected", absent),
    ] {
        figures.count(format_args!("master/{name}"), value);
    }
}

/// `TASK_RUNNING` as `running`.
fn short(state: TaskState) -> String {
    state.name().trim_start_matches("TASK_").to_lowercase()
}

/// Live tasks as they are now, ended ones as they have been counted.
fn tasks(figures: &mut Sheet, snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    for state in TaskState::ALL.into_iter().filter(|state| *state != TaskState::Unknown) {
        let ended = counters.updates.get(&state).copied().unwrap_or_default();
        let count = if state.is_terminal() { ended } else { 0 };
        figures.count(format_args!("master/tasks_{}", short(state)), count);
    }
    for task in snapshot.tasks.iter().filter(|task| !task.state.is_terminal()) {
        figures.add(format!("master/tasks_{}", short(task.state)), 1);
    }
    for ((state, source, reason), count) in &counters.endings {
        let Some(reason) = reason else { continue };
        let (source, reason) = (source_name(*source), reason_name(*reason));
        let name = format!("master/task_{}/{source}/{reason}", short(*state)).to_lowercase();
        // Mesos' metrics keep the older words.
        figures.add(name.replace("agent", "slave"), *count);
    }
}

fn operations(figures: &mut Sheet, snapshot: &Snapshot) {
    figures.count("master/operations/total", snapshot.operations.len());
    for (state, name) in [
        (OperationState::Pending, "pending"),
        (OperationState::Recovering, "recovering"),
        (OperationState::Unreachable, "unreachable"),
    ] {
        let now = snapshot.operations.iter().filter(|known| known.status.state == state).count();
        figures.count(format_args!("master/operations/{name}"), now);
    }
    for (state, name) in [
        (OperationState::Finished, "finished"),
        (OperationState::Failed, "failed"),
        (OperationState::Error, "error"),
        (OperationState::Dropped, "dropped"),
        (OperationState::GoneByOperator, "gone_by_operator"),
    ] {
        let count = snapshot.counters.operations.get(&state).copied().unwrap_or_default();
        figures.count(format_args!("master/operations/{name}"), count);
    }
    for known in &snapshot.operations {
        let kind = known.operation.conversion.name().to_lowercase();
        figures.add(format!("master/operations/{kind}/total"), 1);
    }
}

/// All that may come, also what has not yet.
const MESSAGES: [&str; 24] = [
    "authenticate",
    "deactivate_framework",
    "decline_offers",
    "executor_to_framework",
    "exited_executor",
    "framework_to_executor",
    "kill_task",
    "launch_tasks",
    "operation_status_update",
    "operation_status_update_acknowledgement",
    "reconcile_operations",
    "reconcile_tasks",
    "register_framework",
    "register_slave",
    "reregister_framework",
    "reregister_slave",
    "resource_request",
    "revive_offers",
    "status_update",
    "status_update_acknowledgement",
    "suppress_offers",
    "unregister_framework",
    "unregister_slave",
    "update_slave",
];

/// Those of which Mesos tells how many were of use, by its names for them in the plural.
const VALIDATED: [(&str, &str); 4] = [
    ("status_update", "status_updates"),
    ("status_update_acknowledgement", "status_update_acknowledgements"),
    ("framework_to_executor", "framework_to_executor_messages"),
    ("executor_to_framework", "executor_to_framework_messages"),
];

fn messages(figures: &mut Sheet, snapshot: &Snapshot) {
    for name in MESSAGES {
        let count = snapshot.counters.messages.get(name).copied().unwrap_or_default();
        figures.count(format_args!("master/messages_{name}"), count);
    }
    for (name, plural) in VALIDATED {
        let all = snapshot.counters.messages.get(name).copied().unwrap_or_default();
        let valid = snapshot.counters.valid_messages.get(name).copied().unwrap_or_default();
        figures.count(format_args!("master/valid_{plural}"), valid);
        figures.count(format_args!("master/invalid_{plural}"), all.saturating_sub(valid));
    }
    figures.count("master/dropped_messages", snapshot.counters.calls_refused);
}

fn allocator(figures: &mut Sheet, snapshot: &Snapshot) {
    figures.count("allocator/mesos/allocation_runs", snapshot.counters.allocations);
    let (mut total, mut held) = (Quantities::default(), Quantities::default());
    for view in snapshot.agents.iter().filter(|view| is_listed(view)) {
        total.add(&view.total.quantities());
        held.add(&view.allocated.quantities());
        held.add(&view.offered.quantities());
    }
    for name in NAMES {
        let prefix = format!("allocator/mesos/resources/{name}");
        figures.put(format!("{prefix}/total"), total.get(name).to_f64());
        figures.put(format!("{prefix}/offered_or_allocated"), held.get(name).to_f64());
    }
    for view in &snapshot.roles {
        role(figures, view, &total);
    }
}

fn role(figures: &mut Sheet, view: &RoleView, total: &Quantities) {
    let mut held = view.allocated.clone();
    held.add(&view.offered);
    let share = |(name, amount): (&str, Scalar)| {
        let all = total.get(name).to_f64();
        if all > 0.0 { amount.to_f64() / all } else { 0.0 }
    };
    let weight = view.weight.to_f64();
    let dominant = held.iter().map(share).fold(0.0, f64::max);
    let name = escaped(view.role.as_str());
    let share = if weight > 0.0 { dominant / weight } else { dominant };
    figures.put(format!("allocator/mesos/roles/{name}/shares/dominant"), share);
    let Some(quota) = &view.quota else { return };
    for (kind, amounts) in
        [("guarantee", &quota.guarantees), ("limit", &quota.limits), ("offered_or_allocated", &held)]
    {
        for (resource, amount) in amounts.iter() {
            let name = format!("allocator/mesos/quota/roles/{name}/resources/{resource}/{kind}");
            figures.put(name, amount.to_f64());
        }
    }
}

/// A name as one part of a figure's name, as Mesos writes it in a URL.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'*');
    name.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

fn framework(figures: &mut Sheet, view: &FrameworkView) {
    let prefix = format!("master/frameworks/{}/{}", escaped(&view.info.name), view.id);
    let counters = &view.counters;
    figures.put(format!("{prefix}/subscribed"), if view.stream.is_some() { 1.0 } else { 0.0 });
    figures.count(format_args!("{prefix}/calls"), counters.calls.values().sum::<u64>());
    for (call, count) in &counters.calls {
        figures.count(format_args!("{prefix}/calls/{call}"), *count);
    }
    for (name, count) in [
        ("sent", counters.offers_made),
        ("accepted", counters.offers_accepted),
        ("declined", counters.offers_declined),
        ("rescinded", counters.offers_rescinded),
    ] {
        figures.count(format_args!("{prefix}/offers/{name}"), count);
    }
    for (state, count) in &counters.endings {
        figures.count(format_args!("{prefix}/tasks/terminal/{}", short(*state)), *count);
    }
    for role in &view.info.roles {
        let suppressed = if view.suppressed.contains(role) { 1.0 } else { 0.0 };
        figures.put(format!("{prefix}/roles/{}/suppressed", escaped(role.as_str())), suppressed);
    }
}

/// What the host says of itself; what it does not say is left out.
pub(super) async fn system() -> BTreeMap<&'static str, f64> {
    let mut figures = BTreeMap::new();
    if let Ok(cpus) = std::thread::available_parallelism() {
        figures.insert("system/cpus_total", number(cpus.get()));
    }
    if let Ok(text) = tokio::fs::read_to_string("/proc/loadavg").await {
        let names = ["system/load_1min", "system/load_5min", "system/load_15min"];
        let loads = text.split(' ').map_while(|load| load.parse::<f64>().ok());
        figures.extend(names.into_iter().zip(loads));
    }
    if let Ok(text) = tokio::fs::read_to_string("/proc/meminfo").await {
        for (name, key) in [("system/mem_total_bytes", "MemTotal:"), ("system/mem_free_bytes", "MemFree:")] {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
            if let Some(kibibytes) = kibibytes {
                figures.insert(name, kibibytes * 1024.0);
            }
        }
    }
    figures
}
