//! The Mesos v1 HTTP API: `POST /api/v1/scheduler` for frameworks, `POST /api/v1` for operators.
//!
//! A second door to the inbox that gRPC has: it decodes, hands on, and encodes. Which status a refusal is stands here, why
//! something is refused in the core.
//!
//! Source: Mesos, "Scheduler HTTP API", "Operator HTTP API", and `master/http.cpp` for the order of checks.

mod operator;
mod problem;
mod receive;
mod records;
mod scheduler;
mod streams;

use axum::Router;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use axum::routing::any;
use tokio::sync::watch;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};

use super::COMPRESSED_FROM;
use super::bodies::Bodies;
use super::operator::Operators;
use crate::Handle;
use records::Streamed;
use streams::Streams;

/// What the routes share.
#[derive(Clone)]
pub(super) struct Door {
    handle: Handle,
    operators: Operators,
    streams: Streams,
    bodies: Bodies,
    stop: watch::Receiver<bool>,
}

/// The routes. Deeper paths reach the nearest one above them, as clients that follow redirects by hand rely on.
pub(super) fn router(
    handle: Handle,
    operators: Operators,
    bodies: Bodies,
    stop: watch::Receiver<bool>,
) -> Router {
    let door = Door { handle, operators, streams: Streams::default(), bodies, stop };
    let ends = |_: StatusCode, _: Version, _: &HeaderMap, more: &Extensions| more.get::<Streamed>().is_none();
    let worth = SizeAbove::new(COMPRESSED_FROM).and(ends);
    let routes = Router::new()
        .route("/api/v1/scheduler", any(scheduler::call))
        .route("/api/v1/scheduler/", any(scheduler::call))
        .route("/api/v1/scheduler/{*deeper}", any(scheduler::call))
        .route("/api/v1", any(operator::call))
        .route("/api/v1/", any(operator::call))
        .route("/api/v1/{*deeper}", any(operator::call))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth))
        .with_state(door);
    routes.clone().nest("/master", routes)
}
