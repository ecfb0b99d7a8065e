//! What the daemon says of itself: `/ping`, `/v2/info`, `/v2/leader`, `/metrics` and what is like them.
//!
//! Source: Marathon's system routes.

use std::net::SocketAddr;

use lonja_model::Timestamp;
use lonja_services_core::Config;
use serde_json::{Value, json};

use super::problem::Problem;
use super::reply::{self, Outcome};
use super::route::Route;
use super::{Api, Ask};
use crate::metrics::{self, Held};

/// The version of the interface that clients compare with.
const API_VERSION: &str = "1.11.24";

/// What the daemon says of itself.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// The name that others reach it by.
    pub(crate) hostname: String,
    /// The framework's name.
    pub(crate) framework_name: String,
    /// The masters, as they were given.
    pub(crate) master: String,
    /// How long its tasks outlive it.
    pub(crate) failover_timeout: std::time::Duration,
    pub(crate) started: Timestamp,
}

impl About {
    /// `host:port` of this daemon, which leads: there is one.
    pub(crate) fn leader(&self) -> String {
        let host = &self.hostname;
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
        format!("{host}:{}", self.listen.port())
    }

    /// The same as a URL.
    pub(crate) fn leader_url(&self) -> String {
        format!("http://{}", self.leader())
    }
}

/// Answers for the daemon itself.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Leader, "DELETE") => abdicate(),
        (Route::Leader, "GET") => Ok(reply::ok(&json!({ "leader": api.about.leader() }))),
        (Route::Leader, _) => Err(Problem::Method("GET, DELETE")),
        (_, method) if method != "GET" => Err(Problem::Method("GET")),
        (Route::Root, _) => Ok(reply::text("text/html; charset=utf-8", root())),
        (Route::Ping, _) => ping(ask),
        (Route::Metrics, _) => Ok(reply::ok(&metrics::as_json(&samples(api).await?))),
        (Route::Prometheus, _) => {
            let mut text = metrics::as_text(&samples(api).await?);
            text.push_str(&api.door.link().handle().metrics().to_string());
            Ok(reply::text("text/plain; version=0.0.4; charset=utf-8", text))
        }
        (Route::Config, _) => Ok(reply::ok(&settings(&api.about, &api.config))),
        (Route::Logging, _) => Ok(reply::ok(&json!({ "ROOT": "by --log" }))),
        (Route::OpenApi, _) => Ok(reply::ok(&wire_openapi())),
        (Route::Info, _) => info(api).await,
        (Route::Plugins, _) => Ok(reply::ok(&json!({ "plugins": [] }))),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

/// There is one daemon, and nobody to lead in its place.
fn abdicate() -> Outcome {
    Err(Problem::Refused(lonja_services_core::Refused::NotNow(
        "there is no other instance that could lead; stop the daemon and start it again instead".to_owned(),
    )))
}

fn ping(ask: &Ask) -> Outcome {
    let accept = ask.accept.as_deref();
    if reply::accepts(accept, "text/plain") {
        return Ok(reply::text("text/plain", "pong".to_owned()));
    }
    if reply::accepts(accept, "application/json") {
        return Ok(reply::ok(&json!("pong")));
    }
    Ok(reply::empty(axum::http::StatusCode::NO_CONTENT))
}

async fn samples(api: &Api) -> Result<Vec<metrics::Sample>, Problem> {
    let (held, now) = api.door.look(|services, now| (Held::of(services, now), now)).await?;
    let driver = api.door.link().handle().metrics();
    let uptime = now.since(api.about.started);
    Ok(metrics::samples(&api.counters, &held, &driver, api.hub.counts(), uptime))
}

async fn info(api: &Api) -> Outcome {
    let framework = api.door.look(|services, _| services.framework().cloned()).await?;
    let port = api.about.listen.port();
    Ok(reply::ok(&json!({
        "name": "marathon",
        "version": API_VERSION,
        "buildref": concat!("lonja ", env!("CARGO_PKG_VERSION")),
        "elected": true,
        "leader": api.about.leader(),
        "frameworkId": framework.as_ref().map(|id| id.as_str().to_owned()),
        "marathon_config": settings(&api.about, &api.config),
        "zookeeper_config": zookeeper(&api.config),
        "http_config": { "http_port": port, "https_port": Value::Null },
    })))
}

/// Settings by the names of Marathon's flags, as far as there is such a thing here.
fn settings(about: &About, config: &Config) -> Value {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({
        "access_control_allow_origin": Value::Null,
        "checkpoint": true,
        "decline_offer_duration": 5_000,
        "default_network_name": Value::Null,
        "env_vars_prefix": config.env_vars_prefix,
        "executor": "//cmd",
        "failover_timeout": about.failover_timeout.as_secs(),
        "features": ["secrets", "external_volumes", "gpu_resources", "vips", "task_killing"],
        "framework_name": about.framework_name,
        "ha": false,
        "hostname": about.hostname,
        "launch_token": Value::Null,
        "local_port_max": config.local_port_max,
        "local_port_min": config.local_port_min,
        "maintenance_mode": true,
        "master": about.master,
        "max_instances_per_offer": config.max_instances_per_offer,
        "max_running_deployments": config.max_running_deployments,
        "mesos_bridge_name": Value::Null,
        "mesos_leader_ui_url": about.master,
        "mesos_role": config.default_role,
        "mesos_user": Value::Null,
        "new_group_enforce_role": if config.new_groups_enforce_role { "top" } else { "off" },
        "task_launch_confirm_timeout": millis(config.launch_timeout),
        "task_launch_timeout": millis(config.launch_timeout),
        "webui_url": Value::Null,
    })
}

/// There is no ZooKeeper; clients that know it want its settings all the same.
fn zookeeper(config: &Config) -> Value {
    json!({
        "zk": Value::Null,
        "zk_compression": false,
        "zk_compression_threshold": 0,
        "zk_connection_timeout": 0,
        "zk_max_node_size": 0,
        "zk_max_versions": config.max_versions,
        "zk_session_timeout": 0,
        "zk_timeout": 0,
    })
}

/// What there is, for a browser.
fn root() -> String {
    const LINKS: [&str; 11] = [
        "/v2/apps",
        "/v2/groups",
        "/v2/pods",
        "/v2/jobs",
        "/v2/tasks",
        "/v2/deployments",
        "/v2/queue",
        "/v2/info",
        "/metrics",
        "/ping",
        "/openapi.json",
    ];
    let links: String =
        LINKS.iter().map(|link| format!("<li><a href=\"{link}\">{link}</a></li>\n")).collect();
    format!("<!doctype html>\n<title>Lonja services</title>\n<h1>Lonja services</h1>\n<ul>\n{links}</ul>\n")
}

/// The description of the interface.
fn wire_openapi() -> Value {
    crate::wire::openapi()
}
