//! The agent's own doors: logs, files, statistics, sessions in containers, executors and a description over gRPC; `/health`, `/version`,
//! `/metrics`, `/state`, `/files/...`, `/monitor/statistics` and `/containers` over HTTP, on one port.

mod attach;
mod browse;
mod doors;
mod exec;
mod grpc;
mod http;
mod logs;
mod looking;
mod monitor;
mod query;
mod sessions;
mod stdin;
pub(crate) mod v1;

use std::sync::Arc;
use std::time::Duration;

use lonja_proto::lonja::agent_api_server::AgentApiServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

pub(crate) use sessions::Sessions;

use crate::containers::Containers;
use crate::executors::{Door, server};
use crate::isolation::Enforcement;
use crate::{AgentError, Handle};
use doors::Doors;

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Serves until asked to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    handle: Handle,
    containers: Arc<Containers>,
    enforced: Vec<Enforcement>,
    (sessions, executors): (Sessions, Door),
    mut stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let doors = Doors::new(handle, containers);
    let executor_calls = executors.clone();
    let api = AgentApiServer::new(grpc::Api::new(doors.clone(), enforced, sessions, stop.clone()));
    let router = Routes::new(api)
        .add_service(server(executors))
        .prepare()
        .into_axum_router()
        .merge(http::router(doors.clone()));
    let router = router.merge(browse::router(doors.clone())).merge(monitor::router(doors));
    let router = router.merge(v1::executor::router(executor_calls));
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
