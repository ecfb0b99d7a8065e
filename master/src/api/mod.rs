//! The doors: gRPC and HTTP on one port. A door decodes, hands on, and encodes; no rule lives here.

mod grpc;
mod v0;
mod v1;

mod answers;
mod bodies;

mod commands;
mod operator;
mod views;
mod watchers;

use lonja_model::clock::Clock;
use lonja_proto::lonja::agent_link_server::AgentLinkServer;
use lonja_proto::lonja::operator_server::OperatorServer;
use lonja_proto::lonja::schedulers_server::SchedulersServer;
use lonja_serve::Bounds;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;

pub(crate) use bodies::Room;

use crate::Handle;
use crate::config::{MAX_MESSAGE_BYTES, MAX_REPLY_BYTES, STOP_TIMEOUT};

/// The least of an answer that is worth compressing. In bytes.
const COMPRESSED_FROM: u64 = 1_024;

/// Connections at once; more wait to be accepted. Each agent has one.
const MAX_CONNECTIONS: usize = 60_000;

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 1_024;

/// How much clients may have, and how long they may take.
fn bounds() -> Bounds {
    Bounds {
        connections: MAX_CONNECTIONS,
        streams: Some(STREAMS_PER_CONNECTION),
        stop_within: STOP_TIMEOUT,
        ..Bounds::default()
    }
}

/// Serves all doors until asked to stop.
pub(crate) async fn serve(listener: TcpListener, handle: Handle, clock: Clock, stop: watch::Receiver<bool>) {
    let schedulers = SchedulersServer::new(grpc::Schedulers::new(handle.clone(), stop.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let agents = AgentLinkServer::new(grpc::AgentLinks::new(handle.clone(), stop.clone()))
        .max_decoding_message_size(grpc::MAX_AGENT_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let (answers, bodies) = (answers::Answers::default(), bodies::Bodies::default());
    let operators = operator::Operators::new(handle.clone(), clock, answers.clone(), stop.clone());
    let operator = OperatorServer::new(grpc::Operators::new(operators.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_REPLY_BYTES);
    let mut routes = Routes::new(schedulers);
    routes = routes.add_service(agents).add_service(operator);
    let router = routes
        .prepare()
        .into_axum_router()
        .merge(v1::router(handle.clone(), operators, bodies.clone(), stop.clone()))
        .merge(v0::router(handle, clock, answers, bodies))
        .fallback(v0::unknown);
    lonja_serve::serve(listener, router, bounds(), stop).await;
}
