//! The endpoints that tools written for Mesos read, and the forms that they post: plain HTTP and JSON on the same
//! port, each also below `/master`, with a `/` or `.json` at its end, and for paths below it.
//!
//! Source: Mesos, `docs/endpoints/master`; the JSON of `src/master/readonly_handler.cpp` and `src/common/http.cpp`.

mod body;
mod files;
mod frameworks;
mod jsonp;
mod maintenance;
pub(super) mod metrics_snapshot;
pub(super) mod misc;
mod out;
mod query;
mod quota;
mod reply;
mod reservations;
mod roles;
mod shapes;
mod slaves;
mod state;
mod summary;
mod tasks;
mod weights;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use lonja_model::clock::Clock;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use super::COMPRESSED_FROM;
use super::answers::Answers;
use super::bodies::Bodies;
use crate::Handle;

/// All that requests need. Cheap to clone.
#[derive(Clone)]
struct Door {
    handle: Handle,
    clock: Clock,
    answers: Answers,
    bodies: Bodies,
}

/// The routes.
pub(super) fn router(handle: Handle, clock: Clock, answers: Answers, bodies: Bodies) -> Router {
    let door = Door { handle, clock, answers, bodies };
    let mut routes = Router::new();
    for (path, methods, allowed) in read().into_iter().chain(written()) {
        let methods = methods.fallback(move |method: Method| wrong_method(method, allowed));
        for prefix in ["", "/master"] {
            for end in ["", "/", ".json", "/{*below}"] {
                routes = routes.route(&format!("{prefix}{path}{end}"), methods.clone());
            }
        }
    }
    for prefix in ["", "/master"] {
        let redirect = get(misc::redirect).fallback(|method| wrong_method(method, "GET"));
        routes = routes.route(&format!("{prefix}/redirect"), redirect.clone());
        routes = routes.route(&format!("{prefix}/redirect/"), redirect);
        let quota = get(quota::get).post(quota::set);
        let allowed = |method| wrong_method(method, "GET, POST, DELETE");
        for end in ["", "/", ".json"] {
            let quota = quota.clone().delete(quota::remove_which).fallback(allowed);
            routes = routes.route(&format!("{prefix}/quota{end}"), quota);
        }
        let role = quota.delete(quota::remove).fallback(allowed);
        routes = routes.route(&format!("{prefix}/quota/{{*role}}"), role);
    }
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    routes
        .layer(middleware::from_fn(jsonp::wrap))
        .layer(compression.compress_when(SizeAbove::new(COMPRESSED_FROM)))
        .with_state(door)
}

type Route = (&'static str, MethodRouter<Door>, &'static str);

/// What is only read.
fn read() -> Vec<Route> {
    let read: [(&'static str, MethodRouter<Door>); 17] = [
        ("/state", get(state::state)),
        ("/state-summary", get(summary::summary)),
        ("/slaves", get(slaves::slaves)),
        ("/frameworks", get(frameworks::frameworks)),
        ("/tasks", get(tasks::tasks)),
        ("/roles", get(roles::roles)),
        ("/metrics", get(metrics_snapshot::open_metrics)),
        ("/metrics/snapshot", get(metrics_snapshot::snapshot)),
        ("/health", get(misc::health)),
        ("/version", get(misc::version)),
        ("/flags", get(misc::all_flags)),
        ("/system/stats", get(misc::system_stats)),
        ("/maintenance/status", get(maintenance::status)),
        ("/files/browse", get(files::any)),
        ("/files/read", get(files::any)),
        ("/files/download", get(files::any)),
        ("/files/debug", get(files::debug)),
    ];
    read.into_iter().map(|(path, methods)| (path, methods, "GET")).collect()
}

/// What is also, or only, written.
fn written() -> Vec<Route> {
    vec![
        ("/weights", get(weights::get).put(weights::update), "GET, PUT"),
        ("/maintenance/schedule", get(maintenance::schedule).post(maintenance::update), "GET, POST"),
        ("/machine/down", post(maintenance::down), "POST"),
        ("/machine/up", post(maintenance::up), "POST"),
        ("/reserve", post(reservations::reserve), "POST"),
        ("/unreserve", post(reservations::unreserve), "POST"),
        ("/create-volumes", post(reservations::create), "POST"),
        ("/destroy-volumes", post(reservations::destroy), "POST"),
        ("/teardown", post(reservations::teardown), "POST"),
        ("/logging/toggle", get(misc::logging_toggle).post(misc::logging_toggle), "GET, POST"),
    ]
}

/// In Mesos' words.
async fn wrong_method(method: Method, allowed: &'static str) -> Response {
    let expected: Vec<String> = allowed.split(", ").map(|one| format!("'{one}'")).collect();
    let message = format!("Expecting one of {{ {} }}, but received '{method}'\n", expected.join(", "));
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed)], message).into_response()
}

/// What is nowhere. Who speaks gRPC is told so in its own words.
pub(crate) async fn unknown(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/grpc")) {
        let message = format!("{} is no method of this master", request.uri().path());
        return tonic::Status::unimplemented(message).into_http();
    }
    (StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}
