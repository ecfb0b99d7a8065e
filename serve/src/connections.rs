//! The loop that takes connections in, and one connection's life.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::requests::{Answering, Requests};
use crate::stalled::Impatient;

/// The largest head. In bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How often TCP asks, before it gives a silent other end up.
const TCP_PROBES: u32 = 3;

/// What every connection of HTTP/2 begins with. Source: RFC 9113, 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often one that has begun with a part of it is looked at.
const PREFACE_LOOKS: Duration = Duration::from_millis(100);

/// The wait after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How much, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// Streams that one connection of HTTP/2 may have open; `None`: only HTTP/1.1 is spoken.
    pub streams: Option<u32>,
    /// How long the first bytes of a connection may take to come, and then the head of its first request.
    pub begins_within: Duration,
    /// How long the head of any other may take to come, and a connection may be idle.
    pub head_within: Duration,
    /// How long a client may read nothing while something is to be written to it: an answer, or events.
    pub read_within: Duration,
    /// How long requests that are under way may take once the server stops.
    pub stop_within: Duration,
}

impl Default for Bounds {
    /// For doors where frameworks and executors of Mesos come: some keep a connection for calls beside their stream, call
    /// rarely, and subscribe again when it is closed. So it may be idle for a quarter of an hour.
    fn default() -> Self {
        Self {
            connections: 4_096,
            streams: Some(256),
            begins_within: Duration::from_secs(60),
            head_within: Duration::from_secs(15 * 60),
            read_within: Duration::from_secs(60),
            stop_within: Duration::from_secs(2),
        }
    }
}

/// Where connections come from.
pub trait Accepting: Send {
    /// One connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// What is known of it. Every request that comes over it has this among its extensions.
    type Info: Clone + Send + Sync + 'static;

    /// The next connection. Errors: not now; it is asked again soon.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Self::Info)>> + Send;

    /// Waits until the connection has begun; `false`: it ends before. What it takes is bounded by [`Bounds::begins_within`].
    fn begins(stream: &Self::Stream) -> impl Future<Output = bool> + Send {
        let _anything = stream;
        std::future::ready(true)
    }
}

/// Between which addresses a connection of TCP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The daemon's.
    pub local: SocketAddr,
    /// The client's.
    pub remote: SocketAddr,
}

impl Accepting for TcpListener {
    type Stream = TcpStream;
    type Info = Ends;

    async fn accept(&mut self) -> io::Result<(TcpStream, Ends)> {
        let (stream, remote) = TcpListener::accept(self).await?;
        let ends = Ends { local: stream.local_addr()?, remote };
        // Only a matter of speed.
        let _best_effort = stream.set_nodelay(true);
        if let Err(error) = keep_alive(&stream) {
            tracing::debug!(%error, "TCP will not ask whether the other end is there");
        }
        Ok((stream, ends))
    }

    async fn begins(stream: &TcpStream) -> bool {
        begins(stream).await.unwrap_or(false)
    }
}

/// Over HTTP/1.1 nobody but TCP can ask whether the other end is there.
fn keep_alive(stream: &TcpStream) -> nix::Result<()> {
    let seconds = u32::try_from(KEEPALIVE.as_secs()).unwrap_or(u32::MAX);
    setsockopt(stream, sockopt::TcpKeepIdle, &seconds)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &seconds)?;
    setsockopt(stream, sockopt::TcpKeepCount, &TCP_PROBES)?;
    setsockopt(stream, sockopt::KeepAlive, &true)
}

/// Waits until it can be told which protocol a connection speaks; false if it ends before.
async fn begins(stream: &TcpStream) -> io::Result<bool> {
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

/// Serves until asked to stop.
pub async fn serve<L: Accepting>(
    mut listener: L,
    router: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
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
            Ok((stream, info)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    one::<L>(stream, info, router, bounds, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Too many open files, most likely: it passes, and trying at once would not help.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _within = tokio::time::timeout(bounds.stop_within, ended).await;
}

async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error: nobody is left to ask.
    let _stopping = stop.wait_for(|stop| *stop).await;
}

async fn one<L: Accepting>(
    stream: L::Stream,
    info: L::Info,
    router: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let begun = tokio::select! {
        begun = tokio::time::timeout(bounds.begins_within, L::begins(&stream)) => begun,
        () = asked(&mut stop) => return,
    };
    if matches!(begun, Ok(true)) {
        talk(stream, info, router, bounds, stop).await;
    }
}

async fn talk<S, I>(stream: S, info: I, router: Router, bounds: Bounds, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    I: Clone + Send + Sync + 'static,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_within)
        .max_buf_size(MAX_HEAD_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(bounds.streams);
    let server = if bounds.streams.is_some() { server } else { server.http1_only() };
    let routes = TowerToHyperService::new(router);
    let requests = Requests::default();
    let counted = requests.clone();
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(info.clone());
        let (open, answer) = (counted.begin(), routes.call(request));
        async move { answer.await.map(|response| response.map(|body| Answering { body, _open: open })) }
    });
    let stream = TokioIo::new(Impatient::new(stream, bounds.read_within));
    let connection = server.serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = requests.lacking(bounds) => {
            connection.as_mut().graceful_shutdown();
            // There is nothing to be finished, only to be said.
            tokio::time::timeout(PAUSE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::{Body, Bytes};
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(30);

    /// A server of these bounds, and where it is; it stops when the sender is dropped.
    async fn served(router: Router, bounds: Bounds) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asks, stop) = watch::channel(false);
        tokio::spawn(serve(listener, router, bounds, stop));
        (address, asks)
    }

    /// What a client is told after `request`, until the connection is closed.
    async fn told(address: SocketAddr, request: &[u8]) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(LATE, client.read_to_end(&mut answer)).await;
        // Closed over something unread, it is reset.
        let _closed_or_reset = read.expect("it is closed");
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn knows_its_client() -> Router {
        Router::new().fallback(|Extension(ends): Extension<Ends>| async move { ends.remote.ip().to_string() })
    }

    #[tokio::test]
    async fn who_says_nothing_and_who_is_idle_for_long_is_closed() {
        let bounds = Bounds { begins_within: SOON, head_within: SOON, ..Bounds::default() };
        let (address, _asks) = served(knows_its_client(), bounds).await;
        for begun in ["", "P", "PRI * HTTP/2.0\r\n"] {
            assert_eq!(told(address, begun.as_bytes()).await, "", "{begun:?}");
        }
        let answer = told(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn who_asks_nothing_for_long_is_closed_whatever_it_sends() {
        let begins = Bounds { begins_within: SOON, ..Bounds::default() };
        let (address, _asks) = served(knows_its_client(), begins).await;
        assert!(!told(address, b"G").await.starts_with("HTTP/1.1 200"), "the first head comes soon");

        let idle = Bounds { head_within: SOON, begins_within: SOON, ..Bounds::default() };
        let (address, _asks) = served(knows_its_client(), idle).await;
        let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
        let said = told(address, &[PREFACE, settings].concat()).await;
        assert!(!said.is_empty(), "HTTP/2 was spoken");
    }

    #[tokio::test]
    async fn a_connection_that_is_idle_is_kept_within_its_time() {
        let (address, _asks) = served(knows_its_client(), Bounds::default()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut answer = [0; 15];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            while !answer.ends_with(b"127.0.0.1") {
                answer.rotate_left(1);
                client.read_exact(&mut answer[14..]).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn there_are_so_many_connections_and_no_more() {
        let (address, asks) =
            served(knows_its_client(), Bounds { connections: 1, ..Bounds::default() }).await;
        let first = TcpStream::connect(address).await.unwrap();
        let second = tokio::spawn(async move { told(address, b"GET / HTTP/1.0\r\n\r\n").await });
        // The second is answered once the first has left, and not before.
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().starts_with("HTTP/1.0 200"));
        drop(asks);
    }

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
        let bounds = Bounds { read_within: SOON, ..Bounds::default() };
        tokio::time::timeout(LATE, talk(far, (), router, bounds, stop)).await.expect("it is closed");
    }
}
