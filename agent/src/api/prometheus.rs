//! The agent's figures for Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::doors::Doors;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes.
pub(crate) fn router(doors: Doors) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(doors)
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

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the agent has stopped\n").into_response()
}
