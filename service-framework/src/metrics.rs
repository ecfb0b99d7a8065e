//! Metrics: what the interface has done, and what the services hold, by Marathon's names.
//!
//! Source: Marathon's metrics, `marathon.<thing>.<kind>[.<unit>]`; Prometheus has `_` for dots and dashes.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lonja_model::Timestamp;
use lonja_services_core::Services;
use lonja_services_core::instance::Condition;
use serde_json::{Map, Value, json};

use crate::discovery::{self, Kind};

/// What the interface has done.
#[derive(Debug)]
pub(crate) struct Counters {
    net: Arc<discovery::Counters>,
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
    deployments: AtomicU64,
}

impl Counters {
    /// None as yet, beside those of checks, names and the balancer.
    pub(crate) fn new(net: Arc<discovery::Counters>) -> Self {
        Self {
            net,
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            micros: AtomicU64::new(0),
            deployments: AtomicU64::new(0),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match status {
            400..=499 => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            500.. => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A deployment was begun by a request.
    pub(crate) fn deployed(&self) {
        self.deployments.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the services hold at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    apps: usize,
    pods: usize,
    groups: usize,
    jobs: usize,
    running: u64,
    staged: u64,
    killing: u64,
    waiting: u64,
    overdue: u64,
    deployments: usize,
}

impl Held {
    /// Counts. O(instances).
    pub(crate) fn of(services: &Services, now: Timestamp) -> Self {
        let mut held = Self {
            groups: services.groups().len(),
            jobs: services.jobs().len(),
            deployments: services.deployments().len(),
            ..Self::default()
        };
        for service in services.services().values() {
            match service.spec() {
                _ if service.is_removed() => {}
                lonja_services_core::definition::RunSpec::App(_) => held.apps += 1,
                lonja_services_core::definition::RunSpec::Pod(_) => held.pods += 1,
            }
            held.waiting += service.waiting().map_or(0, |waiting| u64::from(waiting.count));
            for instance in service.instances().values() {
                match instance.condition {
                    Condition::Running => held.running += 1,
                    Condition::Provisioned | Condition::Staging => {
                        held.staged += 1;
                        let late = now.since(instance.since) > services.config().launch_timeout;
                        held.overdue += u64::from(late);
                    }
                    Condition::Killing => held.killing += 1,
                    _ => {}
                }
            }
        }
        held
    }
}

/// One value: its name by Marathon, what it is, whether it only grows, and how much.
pub(crate) type Sample = (Cow<'static, str>, &'static str, bool, f64);

/// All of them.
pub(crate) fn samples(
    counters: &Counters,
    held: &Held,
    driver: &lonja_sdk::Metrics,
    events: (u64, usize),
    uptime: Duration,
) -> Vec<Sample> {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let size = |count: usize| count as f64;
    let many = |count: u64| count as f64;
    let up = uptime.as_secs_f64();
    let (uptime, counts) = ("Time since this daemon started", &driver.counts);
    let own: [(&'static str, &'static str, bool, f64); 24] = [
        ("marathon.apps.active.gauge", "Apps that are wanted", false, size(held.apps)),
        ("marathon.pods.active.gauge", "Pods that are wanted", false, size(held.pods)),
        ("marathon.groups.active.gauge", "Groups", false, size(held.groups)),
        ("marathon.jobs.active.gauge", "Jobs", false, size(held.jobs)),
        ("marathon.instances.running.gauge", "Instances that run", false, many(held.running)),
        (
            "marathon.instances.staged.gauge",
            "Instances launched that do not run yet",
            false,
            many(held.staged),
        ),
        ("marathon.instances.waiting.gauge", "Instances that wait to be launched", false, many(held.waiting)),
        (
            "marathon.instances.launch-overdue.gauge",
            "Instances launched and not heard of",
            false,
            many(held.overdue),
        ),
        (
            "marathon.instances.inflight-kills.gauge",
            "Instances that are being killed",
            false,
            many(held.killing),
        ),
        ("marathon.deployments.active.gauge", "Deployments that run", false, size(held.deployments)),
        ("marathon.deployments.counter", "Deployments begun by requests", true, of(&counters.deployments)),
        ("marathon.uptime.gauge.seconds", uptime, false, up),
        ("marathon.leadership.duration.gauge.seconds", uptime, false, up),
        ("marathon.tasks.launched.counter", "Tasks launched", true, many(counts.tasks_launched)),
        ("marathon.mesos.offers.incoming.counter", "Offers received", true, many(counts.offers_received)),
        ("marathon.mesos.offers.used.counter", "Offers used", true, many(counts.offers_used)),
        ("marathon.mesos.offers.declined.counter", "Offers declined", true, many(counts.offers_declined)),
        ("marathon.mesos.task-updates.counter", "Updates of tasks", true, many(counts.updates)),
        ("marathon.http.requests.counter", "Requests answered", true, of(&counters.requests)),
        ("marathon.http.responses.4xx.counter", "Requests refused", true, of(&counters.refused)),
        ("marathon.http.responses.5xx.counter", "Requests failed", true, of(&counters.failed)),
        (
            "marathon.http.requests.counter.seconds",
            "Time spent on requests",
            true,
            of(&counters.micros) / 1e6,
        ),
        ("marathon.http.event-streams.active.gauge", "Streams of events", false, size(events.1)),
        ("marathon.http.event-streams.events.counter", "Events told", true, many(events.0)),
    ];
    let own = own.into_iter().map(|(name, help, grows, value)| (Cow::Borrowed(name), help, grows, value));
    let net = counters.net.figures().into_iter().map(|one| {
        let grows = matches!(one.kind, Kind::Counter);
        (
            Cow::Owned(format!("lonja.services.{}", one.name)),
            one.help.trim_end_matches('.'),
            grows,
            many(one.value),
        )
    });
    own.chain(net).collect()
}

/// As `/metrics` has them.
pub(crate) fn as_json(samples: &[Sample]) -> Value {
    let (mut counters, mut gauges) = (Map::new(), Map::new());
    for (name, _, grows, value) in samples {
        if *grows {
            counters.insert(name.to_string(), json!({ "count": value }));
        } else {
            gauges.insert(name.to_string(), json!({ "value": value }));
        }
    }
    json!({ "version": "4.0.0", "counters": counters, "gauges": gauges, "histograms": {}, "meters": {}, "timers": {} })
}

/// As Prometheus reads them.
pub(crate) fn as_text(samples: &[Sample]) -> String {
    let mut text = String::new();
    for (name, help, grows, value) in samples {
        let name = name.replace(['.', '-'], "_");
        let kind = if *grows { "counter" } else { "gauge" };
        text.push_str(&format!("# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n"));
    }
    text
}
