//! Connections: HTTP/1.1 and HTTP/2 on one port, so many at once, and none that only waits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::stalled::Impatient;
use crate::config::STOP_TIMEOUT;

/// Connections at once; more wait to be accepted. Each agent has one.
const MAX_CONNECTIONS: usize = 60_000;

/// How long the first bytes of a connection may take to come.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// How long a request's head may take to come, and a connection of HTTP/1.1 may be idle: some clients keep one for calls beside their
/// stream, call rarely, and subscribe again when it is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How long a client may read nothing while something is to be written to it: an answer, or events.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// The largest head. In bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 1_024;

/// What every connection of HTTP/2 begins with. Source: RFC 9113, 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often one that has begun with a part of it is looked at.
const PREFACE_LOOKS: Duration = Duration::from_millis(100);

/// Serves until asked to stop.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = asked(&mut stop) => break,
        };
        // Never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = asked(&mut stop) => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    talk(stream, router, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Too many open files, most likely: it passes, and trying at once would not help.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _within = tokio::time::timeout(STOP_TIMEOUT, ended).await;
}

async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error: nobody is left to ask.
    let _stopping = stop.wait_for(|stop| *stop).await;
}

async fn talk(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Only a matter of speed.
    let _best_effort = stream.set_nodelay(true);
    let begun = tokio::select! {
        begun = tokio::time::timeout(BEGINS_WITHIN, begins(&stream)) => begun,
        () = asked(&mut stop) => return,
    };
    if !matches!(begun, Ok(Ok(true))) {
        return;
    }
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(MAX_HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(STREAMS_PER_CONNECTION);
    let connection = server.serve_connection(
        TokioIo::new(Impatient::new(stream, READ_WITHIN)),
        TowerToHyperService::new(router),
    );
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until it can be told which protocol a connection speaks; false if it ends before.
async fn begins(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        if length == 0
            || first != *PREFACE && !PREFACE.starts_with(&first[..length])
            || length == PREFACE.len()
        {
            return Ok(length > 0);
        }
        // What was looked at stays there, so that there is no waiting for what comes next.
        tokio::time::sleep(PREFACE_LOOKS).await;
    }
}
