//! Plain HTTP on the same port: `/health`, `/version`, `/metrics`, `/state`.
//!
//! `/state` has the names that tools written for Mesos read; more of it comes with the v1 HTTP API.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lonja_model::clock::Clock;
use serde_json::{Value, json};

use crate::api::state_json;
use crate::{Handle, metrics};

#[derive(Clone)]
struct Door {
    handle: Handle,
    clock: Clock,
}

/// The routes, each also below `/master` as Mesos has them.
pub(crate) fn router(handle: Handle, clock: Clock) -> Router {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/metrics", get(metrics_text))
        .route("/state", get(state))
        .with_state(Door { handle, clock });
    routes.clone().nest("/master", routes)
}

/// Alive means: the loop that owns the core answers.
async fn health(State(door): State<Door>) -> StatusCode {
    match door.handle.alive().await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

async fn metrics_text(State(door): State<Door>) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return unavailable() };
    match metrics::encode(&snapshot, door.clock.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn state(State(door): State<Door>) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return unavailable() };
    // Long for a large cluster: others go on meanwhile.
    tokio::task::block_in_place(|| Json(state_json::state(&snapshot)).into_response())
}

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the master has stopped\n").into_response()
}
