//! The agent's own doors: logs, sessions in containers and a description over gRPC; `/health`, `/version`, `/metrics`, `/state`
//! over HTTP, on one port.

mod attach;
mod exec;
mod grpc;
mod http;
mod logs;
mod sessions;

use std::time::Duration;

use lonja_proto::lonja::agent_api_server::AgentApiServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

pub(crate) use sessions::Sessions;

use crate::isolation::Enforcement;
use crate::{AgentError, Handle};

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Serves until asked to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    handle: Handle,
    enforced: Vec<Enforcement>,
    sessions: Sessions,
    mut stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let api = AgentApiServer::new(grpc::Api::new(handle.clone(), enforced, sessions, stop.clone()));
    let router = Routes::new(api).prepare().into_axum_router().merge(http::router(handle));
    let stopped = async move {
        let _stopping = stop.wait_for(|stop| *stop).await;
    };
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stopped)
        .await
        .map_err(|error| AgentError::Server(Box::new(error)))
}
