//! Prometheus metrics, made of a snapshot when asked for.

use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_model::Timestamp;
use lonja_model::resources::Quantities;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// What the text is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: String,
    held: String,
}

/// The metrics of this moment in OpenMetrics text.
pub(crate) fn encode(snapshot: &Snapshot, now: Timestamp) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("lonja_master");
    counters(&mut registry, snapshot);
    let uptime = i64::try_from(now.since(snapshot.started).as_secs()).unwrap_or(i64::MAX);
    gauge(&mut registry, "uptime_seconds", "Time since this master started", uptime);
    let awaited = snapshot.pause.map_or(0, |pause| pause.awaited);
    let help = "Agents whose return offers wait for after a restart with quotas";
    gauge(&mut registry, "allocation_pause_agents", help, size(awaited));
    gauge(&mut registry, "offers_outstanding", "Offers that wait for an answer", size(snapshot.offers.len()));
    let connected = snapshot.frameworks.iter().filter(|view| view.stream.is_some()).count();
    gauge(&mut registry, "frameworks_connected", "Frameworks with a live stream", size(connected));
    let absent = snapshot.frameworks.len() - connected;
    gauge(&mut registry, "frameworks_disconnected", "Frameworks expected back", size(absent));
    agents(&mut registry, snapshot);
    tasks(&mut registry, snapshot);
    resources(&mut registry, snapshot);
    let mut text = String::new();
    encode_text(&mut text, &registry)?;
    Ok(text)
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn counters(registry: &mut Registry, snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    for (name, help, value) in [
        ("agents_registered", "Agents admitted for the first time", counters.agents_registered),
        ("agents_reregistered", "Agents that came back", counters.agents_reregistered),
        ("agents_unreachable", "Agents declared unreachable", counters.agents_unreachable),
        ("removal_brakes", "Times that removals were held back", counters.removal_brakes),
        (
            "frameworks_subscribed",
            "Frameworks that subscribed for the first time",
            counters.frameworks_subscribed,
        ),
        ("frameworks_resubscribed", "Frameworks that came back", counters.frameworks_resubscribed),
        ("frameworks_removed", "Frameworks removed", counters.frameworks_removed),
        ("calls", "Calls of frameworks", counters.calls),
        ("calls_refused", "Calls refused", counters.calls_refused),
        ("offers_made", "Offers made", counters.offers_made),
        ("offers_accepted", "Offers accepted", counters.offers_accepted),
        ("offers_declined", "Offers declined", counters.offers_declined),
        ("offers_rescinded", "Offers that ended by no doing of their framework", counters.offers_rescinded),
        ("tasks_launched", "Tasks sent to agents", counters.tasks_launched),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    let updates = Family::<State, Counter>::default();
    for (state, count) in &counters.updates {
        updates.get_or_create(&State { state: state.name().to_owned() }).inc_by(*count);
    }
    registry.register("task_updates", "Status updates by the state they tell of", updates);
}

fn agents(registry: &mut Registry, snapshot: &Snapshot) {
    let agents = Family::<State, Gauge>::default();
    for view in &snapshot.agents {
        let state = match view.presence {
            Presence::Connected(_) => "connected",
            Presence::Disconnected => "disconnected",
            Presence::Recovered => "recovered",
            Presence::Unreachable { .. } => "unreachable",
            Presence::Gone { .. } => "gone",
        };
        agents.get_or_create(&State { state: state.to_owned() }).inc();
    }
    registry.register("agents", "Agents by where they stand", agents);
}

fn tasks(registry: &mut Registry, snapshot: &Snapshot) {
    let tasks = Family::<State, Gauge>::default();
    for task in &snapshot.tasks {
        tasks.get_or_create(&State { state: task.state.name().to_owned() }).inc();
    }
    registry.register("tasks", "Known tasks by state", tasks);
}

fn resources(registry: &mut Registry, snapshot: &Snapshot) {
    let resources = Family::<Resource, Gauge<f64, AtomicU64>>::default();
    let add = |held: &str, quantities: &Quantities| {
        for (name, amount) in quantities.iter() {
            let labels = Resource { resource: name.to_owned(), held: held.to_owned() };
            resources.get_or_create(&labels).inc_by(amount.to_f64());
        }
    };
    for view in snapshot.agents.iter().filter(|view| matches!(view.presence, Presence::Connected(_))) {
        add("total", &view.info.resources.quantities());
        add("allocated", &view.allocated.quantities());
        add("offered", &view.offered.quantities());
        add("free", &view.free.quantities());
    }
    registry.register("resources", "Resources of connected agents; mem and disk in MiB", resources);
}
