//! The doors: gRPC and HTTP on one port. A door decodes, hands on, and encodes; no rule lives here.

mod grpc;
mod v0;
mod v1;

mod commands;
mod operator;
mod views;

use std::time::Duration;

use lonja_model::clock::Clock;
use lonja_proto::lonja::agent_link_server::AgentLinkServer;
use lonja_proto::lonja::operator_server::OperatorServer;
use lonja_proto::lonja::schedulers_server::SchedulersServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::config::{MAX_MESSAGE_BYTES, MAX_REPLY_BYTES};
use crate::{Handle, MasterError};

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 1_024;

/// Serves all doors until asked to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    handle: Handle,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) -> Result<(), MasterError> {
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
        .merge(v0::router(handle, clock))
        .fallback(v0::unknown);
    let stopped = async move {
        let _stopping = stop.wait_for(|stop| *stop).await;
    };
    Server::builder()
        .accept_http1(true)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stopped)
        .await
        .map_err(|error| MasterError::Server(Box::new(error)))
}
