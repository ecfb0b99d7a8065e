//! The doors: gRPC and HTTP on one port. A door decodes, hands on, and encodes; no rule lives here.

mod grpc;
mod http;
mod serve;
mod v1;

mod commands;
mod operator;
mod state_json;
mod views;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_model::clock::Clock;
use lonja_proto::lonja::agent_link_server::AgentLinkServer;
use lonja_proto::lonja::operator_server::OperatorServer;
use lonja_proto::lonja::schedulers_server::SchedulersServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;

use crate::Handle;
use crate::config::{MAX_MESSAGE_BYTES, MAX_REPLY_BYTES};

/// Serves all doors until asked to stop.
pub(crate) async fn serve(listener: TcpListener, handle: Handle, clock: Clock, stop: watch::Receiver<bool>) {
    let schedulers = SchedulersServer::new(grpc::Schedulers::new(handle.clone(), stop.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let agents = AgentLinkServer::new(grpc::AgentLinks::new(handle.clone(), stop.clone()))
        .max_decoding_message_size(grpc::MAX_AGENT_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let operator = OperatorServer::new(grpc::Operators::new(handle.clone(), stop.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let mut routes = Routes::new(schedulers);
    routes = routes.add_service(agents).add_service(operator);
    let router = routes
        .prepare()
        .into_axum_router()
        .merge(v1::router(handle.clone(), stop.clone()))
        .merge(http::router(handle, clock))
        .fallback(unknown);
    serve::serve(listener, router, stop).await;
}

/// No door is there: said as the protocol of the caller says it.
async fn unknown(request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return tonic::Status::unimplemented("this master has no such method").into_http();
    }
    let text = format!("there is nothing at {}\n", request.uri().path().escape_debug());
    (StatusCode::NOT_FOUND, text).into_response()
}
