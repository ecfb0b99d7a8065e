//! The read endpoints of an agent as tools written for Mesos read them.
//!
//! `/state`, `/metrics/snapshot`, `/monitor/statistics`, `/containers`, `/flags`, `/version` and `/health`; files are
//! `browse`'s.
//!
//! Source: Mesos agent, endpoints of the same names.

pub(crate) mod figures;
pub(crate) mod flags;
mod misc;
pub(crate) mod shapes;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::doors::Doors;
use super::query;
use super::v1::refusal::Refusal;
use crate::statistics::ContainerStatistics;
use state::Beside;

/// What does not change while the agent runs.
#[derive(Clone)]
pub(crate) struct Constant {
    pub(crate) flags: Arc<Map<String, Value>>,
    pub(crate) master: Arc<str>,
}

/// What most answers are.
const JSON: &str = "application/json";

#[derive(Clone)]
struct Reading {
    doors: Doors,
    constant: Constant,
}

/// The routes.
pub(super) fn router(doors: Doors, constant: Constant) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/flags", get(flags))
        .route("/state", get(state))
        .route("/metrics/snapshot", get(snapshot))
        .route("/monitor/statistics", get(statistics))
        .route("/containers", get(containers))
        .with_state(Reading { doors, constant })
}

async fn health(State(reading): State<Reading>) -> StatusCode {
    match reading.doors.handle.describe().await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn version() -> Json<Value> {
    Json(misc::build())
}

async fn flags(State(reading): State<Reading>) -> Json<Value> {
    Json(json!({ "flags": &*reading.constant.flags }))
}

async fn state(State(Reading { doors, constant }): State<Reading>) -> Result<Response, Refusal> {
    let (picture, leave) = doors.picture().await?;
    let endpoint = doors.containers.executors().endpoint().to_string();
    let disk_limit = doors.containers.sandboxes().disks().how();
    let made = move || {
        let Constant { flags, master } = &constant;
        let state = state::state(&picture, &Beside { flags, endpoint, master, disk_limit });
        drop((picture, leave));
        json_bytes(&state)
    };
    doors.answers.of(JSON, made).await
}

async fn snapshot(State(Reading { doors, .. }): State<Reading>) -> Result<Response, Refusal> {
    let counts = doors.counts().await?;
    let collected = doors.containers.sandboxes().collection().collected();
    Ok(Json(figures::figures(&counts, collected)).into_response())
}

async fn statistics(State(reading): State<Reading>) -> Result<Response, Refusal> {
    told(&reading.doors, &BTreeMap::new(), ContainerStatistics::to_json).await
}

async fn containers(State(reading): State<Reading>, RawQuery(asked): RawQuery) -> Result<Response, Refusal> {
    let asked = query::parse(&asked.unwrap_or_default()).map_err(Refusal::bad)?;
    told(&reading.doors, &asked, ContainerStatistics::to_container_json).await
}

/// What running containers use, of those that were asked for.
async fn told(
    doors: &Doors,
    asked: &BTreeMap<String, String>,
    tell: fn(&ContainerStatistics) -> Value,
) -> Result<Response, Refusal> {
    let is = |name: &str, value: &str| asked.get(name).is_none_or(|wanted| wanted == value);
    let all = doors.all_statistics(|framework, task| {
        is("framework_id", framework.as_str()) && is("executor_id", task.as_str())
    });
    let mut all = all.await.map_err(|_| Refusal::stopped())?;
    all.retain(|one| is("container_id", one.task.container.as_str()));
    let made = move || json_bytes(&Value::Array(all.iter().map(tell).collect()));
    doors.answers.of(JSON, made).await
}

/// A value as it is sent. One that is made here can be written.
fn json_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
