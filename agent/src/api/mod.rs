//! The agent's own doors: logs, files, statistics, sessions in containers, executors and a description over gRPC; `/health`, `/version`,
//! `/metrics`, `/state`, `/files/...`, `/monitor/statistics` and `/containers` over HTTP, on one port.

mod answers;
mod attach;
mod browse;
mod doors;
mod exec;
mod grpc;
mod jsonp;
mod logs;
mod looking;
mod monitor;
mod paths;
mod prometheus;
mod query;
mod sessions;
mod stdin;
pub(crate) mod v0;
pub(crate) mod v1;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use lonja_proto::lonja::agent_api_server::AgentApiServer;
use lonja_serve::Bounds;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tower_http::compression::{CompressionLayer, Predicate};

pub(crate) use sessions::Sessions;

use crate::Handle;
use crate::config::STOP_TIMEOUT;
use crate::containers::Containers;
use crate::executors::{Door, server};
use crate::isolation::Enforcement;
use doors::Doors;

/// Connections at once; more wait to be accepted. An executor that speaks HTTP has two or three.
const MOST_CONNECTIONS: usize = 16_384;

/// An answer of fewer bytes is sent as it is. Source: Mesos, libprocess `GZIP_MINIMUM_BODY_LENGTH`.
const SMALLEST_COMPRESSED: u64 = 1024;

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 256;

/// What the doors need beside the agent itself.
pub(crate) struct Furniture {
    pub(crate) enforced: Vec<Enforcement>,
    pub(crate) sessions: Sessions,
    pub(crate) executors: Door,
    /// The executors' routes, which their socket has too.
    pub(crate) over_http: Router,
    pub(crate) constant: v0::Constant,
}

/// Serves until asked to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    handle: Handle,
    containers: Arc<Containers>,
    furniture: Furniture,
    stop: watch::Receiver<bool>,
) {
    let router = router(Doors::new(handle, containers), furniture, stop.clone());
    let bounds = Bounds {
        connections: MOST_CONNECTIONS,
        streams: Some(STREAMS_PER_CONNECTION),
        stop_within: STOP_TIMEOUT,
        ..Bounds::default()
    };
    lonja_serve::serve(listener, router, bounds, stop).await;
}

/// All routes of the agent's port.
fn router(doors: Doors, furniture: Furniture, stop: watch::Receiver<bool>) -> Router {
    let Furniture { enforced, sessions, executors, over_http, constant } = furniture;
    let operator = v1::operator::router(doors.clone(), sessions.clone(), constant.clone(), stop.clone());
    let api = AgentApiServer::new(grpc::Api::new(doors.clone(), enforced, sessions, stop));
    let reading = v0::router(doors.clone(), constant)
        .merge(browse::router(doors.clone()))
        .layer(middleware::from_fn(jsonp::wrap))
        .layer(CompressionLayer::new().compress_when(WorthIt));
    let router = Routes::new(api)
        .add_service(server(executors))
        .prepare()
        .into_axum_router()
        .merge(prometheus::router(doors))
        .merge(reading)
        .merge(over_http)
        .merge(operator.layer(CompressionLayer::new().compress_when(WorthIt)))
        .fallback(nothing_here);
    // Around all routes, so that it comes before any is looked for.
    Router::new().fallback_service(router).layer(middleware::map_request(paths::plain))
}

/// Which answers are made smaller for who takes that: whole ones that are worth it. Streams are never held up.
#[derive(Clone, Copy)]
struct WorthIt;

impl Predicate for WorthIt {
    fn should_compress<B: HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        response.body().size_hint().exact().is_some_and(|length| length >= SMALLEST_COMPRESSED)
    }
}

/// Who calls a method that is not there is told so in gRPC's words, anybody else in HTTP's.
async fn nothing_here(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/grpc")) {
        return tonic::Status::unimplemented("no such method").into_http::<Body>();
    }
    (StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}
