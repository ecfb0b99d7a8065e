//! Plain HTTP of the agent.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lonja_model::resources::Resource;
use lonja_model::role::Role;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::doors::Doors;
use crate::handle::Description;
use crate::volumes::volumes_of;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes.
pub(crate) fn router(doors: Doors) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .route("/state", get(state))
        .with_state(doors)
}

async fn health(State(doors): State<Doors>) -> StatusCode {
    if doors.handle.describe().await.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByState {
    state: String,
}

async fn metrics(State(doors): State<Doors>) -> Response {
    let Ok(described) = doors.handle.describe().await else { return unavailable() };
    let mut registry = Registry::with_prefix("lonja_agent");
    let registered = Gauge::<i64>::default();
    registered.set(i64::from(described.registered));
    registry.register("registered", "Whether a master knows this agent over the present link", registered);
    let tasks = Family::<ByState, Gauge>::default();
    for task in &described.tasks {
        tasks.get_or_create(&ByState { state: task.state.name().to_owned() }).inc();
    }
    registry.register("tasks", "Tasks not yet forgotten, by state", tasks);
    let Ok(statistics) = doors.statistics(|_, _| true).await else { return unavailable() };
    let collected = doors.containers.sandboxes().collection().collected();
    super::monitor::register(&mut registry, &statistics, collected);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn state(State(doors): State<Doors>) -> Response {
    match doors.handle.describe().await {
        Ok(described) => {
            let mut state = state_json(&described);
            state["disk_limit"] = json!(doors.containers.sandboxes().disks().how());
            Json(state).into_response()
        }
        Err(_) => unavailable(),
    }
}

fn state_json(described: &Description) -> Value {
    let tasks = described.tasks.iter().map(|task| {
        json!({
            "id": task.task.as_str(),
            "framework_id": task.framework.as_str(),
            "state": task.state.name(),
            "container_id": task.container.as_str(),
            "pid": task.pid,
            "directory": task.sandbox.display().to_string(),
        })
    });
    let reserved = described.total.iter().filter(|resource| resource.reserved_for().is_some());
    let reservations = reserved.map(|resource| {
        json!({
            "role": resource.reserved_for().map(Role::as_str),
            "resource": resource.to_string(),
        })
    });
    let volumes = volumes_of(&described.total).map(volume_json);
    let operations = described.operations.iter().map(|record| {
        json!({
            "uuid": record.operation.uuid.to_string(),
            "id": record.operation.id.as_ref().map(|id| id.as_str()),
            "framework_id": record.operation.framework.as_ref().map(|id| id.as_str()),
            "name": record.operation.conversion.name(),
            "state": format!("{:?}", record.status.state),
            "message": record.status.message,
        })
    });
    json!({
        "id": described.id.as_ref().map(|id| id.as_str()),
        "hostname": described.info.hostname,
        "port": described.info.port,
        "resources": described.info.resources.to_string(),
        "total": described.total.to_string(),
        "reservations": reservations.collect::<Vec<_>>(),
        "volumes": volumes.collect::<Vec<_>>(),
        "operations": operations.collect::<Vec<_>>(),
        "attributes": described.info.attributes.to_string(),
        "registered": described.registered,
        "instance": described.instance,
        "version": env!("CARGO_PKG_VERSION"),
        "tasks": tasks.collect::<Vec<_>>(),
    })
}

fn volume_json(volume: &Resource) -> Value {
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

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the agent has stopped\n").into_response()
}
