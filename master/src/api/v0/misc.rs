//! What a master says of itself: `/health`, `/version`, `/flags`, `/redirect`, `/system/stats.json`, and what it does
//! not serve.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_master_core::{Config, Sorter};
use lonja_proto::convert::ids::in_address;
use serde::Serialize;

use super::{Door, metrics_snapshot, reply};

/// `/health`. Alive means: the loop that owns the core answers.
pub(super) async fn health(State(door): State<Door>) -> StatusCode {
    match door.handle.alive().await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Which build this is: the version is true, what Mesos says beside it is not known here.
#[derive(Serialize)]
pub(super) struct Build<'a> {
    version: &'a str,
    git_sha: &'static str,
    git_branch: &'static str,
    git_tag: &'static str,
    build_date: &'static str,
    build_time: f64,
    build_user: &'static str,
}

impl<'a> Build<'a> {
    pub(super) fn of(version: &'a str) -> Self {
        Self {
            version,
            git_sha: "",
            git_branch: "",
            git_tag: "",
            build_date: "",
            build_time: 0.0,
            build_user: "",
        }
    }
}

/// `/version`: the version is three whole numbers, which clients take apart.
pub(super) async fn version() -> Response {
    reply::json(&Build::of(env!("CARGO_PKG_VERSION")))
}

#[derive(Serialize)]
struct Flags {
    flags: BTreeMap<&'static str, String>,
}

/// `/flags`.
pub(super) async fn all_flags(State(door): State<Door>) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    reply::json(&Flags { flags: flags(&snapshot.config) })
}

/// The settings by the names that Mesos has for them.
pub(in crate::api) fn flags(config: &Config) -> BTreeMap<&'static str, String> {
    let sorter = match config.allocator.sorter {
        Sorter::DominantShare => "drf",
        Sorter::Random => "random",
    };
    let mut flags = BTreeMap::from([
        ("agent_ping_timeout", duration(config.ping_interval)),
        ("max_agent_ping_timeouts", config.max_missed_pings.to_string()),
        ("agent_reregister_timeout", duration(config.agent_reregister_timeout)),
        (
            "agent_removal_rate_limit",
            format!("{}/{}", config.removal_rate, duration(config.removal_rate_period)),
        ),
        ("allocation_interval", duration(config.allocation_window)),
        ("authenticate_agents", false.to_string()),
        ("authenticate_frameworks", false.to_string()),
        ("authenticate_http_frameworks", false.to_string()),
        ("authenticate_http_readonly", false.to_string()),
        ("authenticate_http_readwrite", false.to_string()),
        ("hostname", config.hostname.clone()),
        ("max_completed_frameworks", config.completed_frameworks.to_string()),
        ("max_completed_tasks_per_framework", config.completed_tasks.to_string()),
        ("port", config.port.to_string()),
        ("registry_max_agent_age", duration(config.removed_agent_age)),
        ("registry_max_agent_count", config.removed_agents.to_string()),
        ("require_agent_domain", config.require_agent_domain.to_string()),
        ("role_sorter", sorter.to_owned()),
        ("root_submissions", true.to_string()),
    ]);
    if let Some(timeout) = config.offer_timeout {
        flags.insert("offer_timeout", duration(timeout));
    }
    if let Some(domain) = &config.domain {
        flags.insert("domain", domain.to_string());
    }
    flags
}

/// As Mesos writes a length of time: in the largest unit that it is a whole number of.
fn duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 8] = [
        (7 * 24 * 3_600_000_000_000, "weeks"),
        (24 * 3_600_000_000_000, "days"),
        (3_600_000_000_000, "hrs"),
        (60_000_000_000, "mins"),
        (1_000_000_000, "secs"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let nanos = duration.as_nanos();
    let fits = UNITS.iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    fits.map_or("0ns".to_owned(), |(unit, name)| format!("{}{name}", nanos / unit))
}

/// `/redirect`: to the leader, which is this master. The address is a whole URL: some clients read no other.
pub(super) async fn redirect(State(door): State<Door>) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    let host = in_address(&snapshot.master.hostname);
    let leader = format!("http://{host}:{}", snapshot.master.port);
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, leader)]).into_response()
}

/// `/system/stats.json`.
pub(super) async fn system_stats() -> Response {
    let system = metrics_snapshot::system().await;
    let names = [
        ("avg_load_1min", "system/load_1min"),
        ("avg_load_5min", "system/load_5min"),
        ("avg_load_15min", "system/load_15min"),
        ("cpus_total", "system/cpus_total"),
        ("mem_total_bytes", "system/mem_total_bytes"),
        ("mem_free_bytes", "system/mem_free_bytes"),
    ];
    let stats: BTreeMap<&str, f64> =
        names.iter().filter_map(|(name, metric)| Some((*name, *system.get(*metric)?))).collect();
    reply::json(&stats)
}

/// `/logging/toggle`.
pub(super) async fn logging_toggle() -> Response {
    let message =
        "/logging/toggle is not served: how much is logged is set when the master starts, by LONJA_LOG\n";
    (StatusCode::NOT_IMPLEMENTED, message).into_response()
}
