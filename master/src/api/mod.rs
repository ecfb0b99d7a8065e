//! The doors: gRPC and HTTP on one port. A door decodes, hands on, and encodes; no rule lives here.

mod grpc;
mod serve;
mod stalled;
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
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;

pub(crate) use bodies::Room;

use crate::Handle;
use crate::config::{MAX_MESSAGE_BYTES, MAX_REPLY_BYTES};

/// The least of an answer that is worth compressing. In bytes.
const COMPRESSED_FROM: u64 = 1_024;

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
    serve::serve(listener, router, stop).await;
}
