//! The socket by which executors reach their agent from any network.
//!
//! It lies in a folder of its own, which is mounted into containers, so that the socket of a restarted agent is seen
//! there in the place of the old one. Whoever can see it may connect: the token says who it is.
//!
//! Invariants
//! - No container keeps another from connecting: connections are counted for each, by the users of the host that are its
//!   own. Containers that share a user of the host share what that one may have.
//! - A connection of a user without a stream of an executor, over which nobody was let in, is closed after [`PATIENCE`];
//!   one that is idle for long, or reads nothing, is closed as everywhere ([`lonja_serve`]).
//!
//! Source: unix(7), SO_PEERCRED.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use lonja_serve::{Accepting, Bounds};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::Sleep;
use tonic::service::Routes;

use super::stay::Presence;
use super::{Door, Executors, server};
use crate::AgentError;
use crate::config::STOP_TIMEOUT;
use crate::supervisor::{UserIds, UserOf};

/// The socket's name in its folder.
pub(super) const NAME: &str = "agent.sock";

/// Connections at once, of all together.
const MOST_CONNECTIONS: usize = 4_096;

/// Connections at once of one container with users of its own.
const MOST_OF_CONTAINER: usize = 16;

/// Connections at once of one user of the host.
const MOST_OF_USER: usize = 512;

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 8;

/// How long a connection may be open without a stream of an executor.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// Serves executors at the socket, over gRPC and by these routes, until asked to stop.
pub(crate) async fn serve(
    executors: Arc<Executors>,
    door: Door,
    over_http: axum::Router,
    stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let refuse = |source: io::Error| AgentError::WorkDir { path: executors.socket_folder.clone(), source };
    let listener = bind(&executors.socket_folder).map_err(refuse)?;
    let router = Routes::new(server(door)).prepare().into_axum_router().merge(over_http);
    let bounds = Bounds {
        // Those are sent away for whom there is no place, lest others wait.
        connections: MOST_CONNECTIONS + 1,
        streams: Some(STREAMS_PER_CONNECTION),
        stop_within: STOP_TIMEOUT,
        ..Bounds::default()
    };
    lonja_serve::serve(Entrance::new(listener, PATIENCE), router, bounds, stop).await;
    Ok(())
}

/// Takes in who connects, where there is room. Others are sent away at once, lest those wait that come after them.
struct Entrance {
    listener: UnixListener,
    places: Arc<Places>,
    patience: Duration,
}

impl Entrance {
    fn new(listener: UnixListener, patience: Duration) -> Self {
        Self { listener, places: Arc::new(Places::new(UserIds::of_host())), patience }
    }
}

impl Accepting for Entrance {
    type Stream = Held;
    type Info = Arc<Presence>;

    async fn accept(&mut self) -> io::Result<(Held, Arc<Presence>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if let Some(place) = self.places.enter(uid) {
                let held = Held::new(stream, place, self.patience);
                let presence = held.presence.clone();
                return Ok((held, presence));
            }
            tracing::debug!(uid, "too many connections of this user to the executors' socket");
        }
    }
}

/// Whose connections there are.
struct Places {
    ids: UserIds,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of: BTreeMap<UserOf, OfUser>,
}

/// What one user has.
#[derive(Default)]
struct OfUser {
    connections: usize,
    /// Streams of executors, over all of them.
    streams: Arc<AtomicUsize>,
}

/// The place of one connection, for as long as it is held.
struct Place {
    places: Arc<Places>,
    user: UserOf,
    streams: Arc<AtomicUsize>,
}

impl Places {
    fn new(ids: UserIds) -> Self {
        Self { ids, taken: Mutex::default() }
    }

    /// A place for somebody who runs as this user of the host. `None`: there is none.
    fn enter(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let user = self.ids.user_of(uid);
        let most = match user {
            UserOf::Container(_) => MOST_OF_CONTAINER,
            UserOf::Host(_) => MOST_OF_USER,
        };
        let mut taken = self.taken();
        let own = taken.of.get(&user).map_or(0, |own| own.connections);
        if own >= most || taken.all >= MOST_CONNECTIONS {
            return None;
        }
        taken.all += 1;
        let own = taken.of.entry(user).or_default();
        own.connections += 1;
        Some(Place { places: self.clone(), user, streams: own.streams.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        let left = taken.of.get_mut(&self.user).map_or(0, |own| {
            own.connections -= 1;
            own.connections
        });
        if left == 0 {
            taken.of.remove(&self.user);
        }
    }
}

/// A connection that counts as long as it is open, and ends where nobody was let in over it for long.
struct Held {
    stream: UnixStream,
    presence: Arc<Presence>,
    look: Pin<Box<Sleep>>,
    patience: Duration,
    _place: Place,
}

impl Held {
    fn new(stream: UnixStream, place: Place, patience: Duration) -> Self {
        let presence = Arc::new(Presence::new(Instant::now(), place.streams.clone()));
        let look = Box::pin(tokio::time::sleep(patience));
        Self { stream, presence, look, patience, _place: place }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.look.as_mut().poll(context).is_ready() {
            let Some(next) = self.presence.look(Instant::now(), self.patience) else {
                let reason = "no executor was let in over this connection for long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
            };
            self.look.as_mut().reset(next.into());
        }
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    fn who_has_many_connections_leaves_room_for_others() {
        let places = Arc::new(Places::new(UserIds::of_host()));
        let uid = 0x7000_0000;
        let most = match places.ids.user_of(uid) {
            UserOf::Container(_) => MOST_OF_CONTAINER,
            // The host's ranges are others.
            UserOf::Host(_) => MOST_OF_USER,
        };
        let held: Vec<Place> = (0..most).map(|_| places.enter(uid).unwrap()).collect();
        assert!(places.enter(uid).is_none());
        let other = places.enter(0);
        assert!(other.is_some());
        drop((held, other));
        assert!(places.enter(uid).is_some());
        assert_eq!(places.taken().all, 0);
        assert!(places.taken().of.is_empty());
    }

    #[tokio::test]
    async fn who_only_connects_is_sent_away_and_leaves_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let listener = bind(folder.path()).unwrap();
        let mut entrance = Entrance::new(listener, Duration::from_millis(1));
        let client = UnixStream::connect(folder.path().join(NAME)).await.unwrap();
        let (mut held, _) = entrance.accept().await.unwrap();
        let places = held._place.places.clone();
        assert_eq!(places.taken().all, 1);

        let read = held.read(&mut [0; 1]).await;

        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(held);
        assert_eq!(places.taken().all, 0);
        drop(client);
    }
}
