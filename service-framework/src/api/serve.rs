//! Connections: how many, how long, and how large a head each may send.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::events::Hub;
use crate::stalled::Impatient;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4_096;

/// How long a request's head may take to come, and a connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// How long a client may read nothing while something is to be written to it: an answer, or events.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// The largest head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How long requests that are under way may take once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// From where a request comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The address of a request of which none is known.
pub(crate) fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

/// Serves until asked to stop.
pub(crate) async fn serve(listener: TcpListener, router: Router, hub: Hub, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = asked(&mut stop) => break,
        };
        // Never closed; and without a place there is no connection.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = asked(&mut stop) => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, from)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    one(stream, from, router, stop).await;
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
    // Streams have no end of their own.
    hub.close();
    let ended = async { while connections.join_next().await.is_some() {} };
    let _within = tokio::time::timeout(STOP_WITHIN, ended).await;
}

/// Resolves when the server is asked to stop.
pub(crate) async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error: nobody is left to ask.
    let _stopping = stop.wait_for(|stop| *stop).await;
}

async fn one(stream: TcpStream, from: SocketAddr, router: Router, stop: watch::Receiver<bool>) {
    // Only a matter of speed.
    let _best_effort = stream.set_nodelay(true);
    talk(Impatient::new(stream, READ_WITHIN), from, router, stop).await;
}

async fn talk<S>(stream: S, from: SocketAddr, router: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(Peer(from))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use futures::stream;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_closed_though_its_answer_has_no_end() {
        let answer = || async {
            let piece = Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 50_000]));
            Body::from_stream(stream::repeat(piece))
        };
        let router = Router::new().fallback(answer);
        let (mut client, far) = tokio::io::duplex(4_096);
        let (_asks, stop) = watch::channel(false);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let far = Impatient::new(far, Duration::from_millis(20));
        let closed = tokio::time::timeout(READ_WITHIN, talk(far, nowhere(), router, stop));
        closed.await.expect("it is closed");
    }
}
