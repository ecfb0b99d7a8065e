//! The socket by which executors reach their agent from any network.
//!
//! It lies in a folder of its own, which is mounted into containers, so that the socket of a restarted agent is seen
//! there in the place of the old one. Whoever can see it may connect: the token says who it is.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::{Door, Executors, server};
use crate::AgentError;

/// The socket's name in its folder.
pub(super) const NAME: &str = "agent.sock";

/// Connections at once, of all executors together.
const MOST_CONNECTIONS: usize = 1_024;

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 8;

/// The folder for the socket of the agent with this work dir, made if it is missing.
pub(super) fn folder(work_dir: &Path) -> io::Result<PathBuf> {
    let folder = work_dir.join("executors");
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
    Ok(folder)
}

/// Puts a new socket in the place of the one before, if there was one.
fn bind(folder: &Path) -> io::Result<UnixListener> {
    // The path of the folder may be longer than that of a socket can be.
    let held = std::fs::File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held)));
    let (fresh, place) = (short.join("agent.new"), short.join(NAME));
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o666))?;
    std::fs::rename(&fresh, &place)?;
    Ok(listener)
}

/// Serves executors at the socket until asked to stop.
pub(crate) async fn serve(
    executors: Arc<Executors>,
    door: Door,
    mut stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let refuse = |source: io::Error| AgentError::WorkDir { path: executors.socket_folder.clone(), source };
    let listener = bind(&executors.socket_folder).map_err(refuse)?;
    let stopped = async move {
        let _stopping = stop.wait_for(|stop| *stop).await;
    };
    Server::builder()
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .add_service(server(door))
        .serve_with_incoming_shutdown(accept(listener), stopped)
        .await
        .map_err(|error| AgentError::Server(Box::new(error)))
}

/// Who connects, as long as there is room.
fn accept(listener: UnixListener) -> impl Stream<Item = io::Result<Held>> {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let accepted = futures::stream::unfold((listener, room), |(listener, room)| async move {
        let permit = room.clone().acquire_owned().await.ok()?;
        let stream = listener.accept().await.map(|(stream, _)| Held { stream, _permit: permit });
        Some((stream, (listener, room)))
    });
    accepted.boxed()
}

/// A connection that counts as long as it is open.
struct Held {
    stream: UnixStream,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Held {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
