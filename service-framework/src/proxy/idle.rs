//! Connections to one instance that wait for the next HTTP request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::http::Body;

/// The most that wait at one instance.
const MOST: usize = 64;

/// One that waits for longer is not used: servers close theirs after a time of their own, and a request would meet that.
const FRESH: Duration = Duration::from_secs(15);

/// A request that must not be sent twice is only given to one that has waited for less than this.
const CERTAIN: Duration = Duration::from_millis(500);

/// Connections without a request.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    is_closed: bool,
    connections: Vec<(SendRequest<Body>, Instant)>,
}

impl Idle {
    /// The one that was used last. `once`: the request must not be sent twice.
    pub(super) fn take(&self, once: bool) -> Option<SendRequest<Body>> {
        let oldest = if once { CERTAIN } else { FRESH };
        let now = Instant::now();
        let mut waiting = self.lock();
        while let Some((connection, since)) = waiting.connections.pop() {
            if now.saturating_duration_since(since) >= oldest {
                if !once {
                    // The others have waited for longer.
                    waiting.connections.clear();
                } else {
                    waiting.connections.push((connection, since));
                }
                return None;
            }
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// One that can take another request.
    pub(super) fn put(&self, connection: SendRequest<Body>) {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return;
        }
        if waiting.connections.len() >= MOST {
            waiting.connections.remove(0);
        }
        waiting.connections.push((connection, Instant::now()));
    }

    /// Closes those that wait; none is kept any more.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.connections.clear();
    }

    /// They are kept again.
    pub(super) fn open(&self) {
        self.lock().is_closed = false;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
