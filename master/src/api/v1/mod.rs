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
mod subscribers;

use axum::Router;
use axum::routing::any;
use tokio::sync::watch;

use crate::Handle;
use receive::Bodies;
use streams::Streams;
use subscribers::Subscribers;

/// What the routes share.
#[derive(Clone)]
pub(super) struct Door {
    handle: Handle,
    streams: Streams,
    subscribers: Subscribers,
    bodies: Bodies,
    stop: watch::Receiver<bool>,
}

/// The routes. Deeper paths reach the nearest one above them, as clients that follow redirects by hand rely on.
pub(crate) fn router(handle: Handle, stop: watch::Receiver<bool>) -> Router {
    let door = Door {
        handle,
        streams: Streams::default(),
        subscribers: Subscribers::default(),
        bodies: Bodies::default(),
        stop,
    };
    let routes = Router::new()
        .route("/api/v1/scheduler", any(scheduler::call))
        .route("/api/v1/scheduler/", any(scheduler::call))
        .route("/api/v1/scheduler/{*deeper}", any(scheduler::call))
        .route("/api/v1", any(operator::call))
        .route("/api/v1/", any(operator::call))
        .route("/api/v1/{*deeper}", any(operator::call))
        .with_state(door);
    routes.clone().nest("/master", routes)
}
