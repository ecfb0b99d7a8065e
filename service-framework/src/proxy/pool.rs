//! The instances behind one service port, and which of them takes the next connection or request.
//!
//! Invariants
//! - One that takes no new requests is never chosen.
//! - What is under way at one that was drained may go on until it ends or the drain's time is over.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lonja_services_core::event::Endpoint;
use lonja_services_core::instance::InstanceId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::idle::Idle;
use crate::directory::Host;

/// One that could not be reached comes last for so long.
const SHUNNED: Duration = Duration::from_secs(5);

/// The instances behind one service port.
#[derive(Debug)]
pub(super) struct Pool {
    backends: Mutex<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
    drain: Duration,
}

/// An instance's port.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) instance: InstanceId,
    pub(super) host: Host,
    pub(super) port: u16,
    accepts: AtomicBool,
    open: AtomicUsize,
    failed: Mutex<Option<Instant>>,
    /// When what is under way is cut; none: it need not end.
    end: watch::Sender<Option<Instant>>,
    /// Connections without a request.
    pub(super) idle: Idle,
}

/// One connection or request at an instance, counted for as long as this lives.
#[derive(Debug)]
pub(super) struct Lease(Arc<Backend>);

impl Pool {
    /// An empty one. `drain`: how long what is under way at a drained instance may go on.
    pub(super) fn new(drain: Duration) -> Self {
        Self { backends: Mutex::default(), turn: AtomicUsize::new(0), drain }
    }

    /// Exactly these are behind the port of this number from now on.
    pub(super) fn set(&self, service_port: u16, endpoints: &[Endpoint]) {
        let mut backends = self.lock();
        let mut before = std::mem::take(&mut *backends);
        for endpoint in endpoints {
            let ports = endpoint.ports.iter().filter(|port| port.service_port == service_port && !port.udp);
            for port in ports {
                let host = Host::new(&endpoint.host);
                let is_it = |one: &Arc<Backend>| {
                    one.instance == endpoint.instance && one.port == port.port && one.host == host
                };
                let backend = match before.iter().position(is_it) {
                    Some(found) => before.swap_remove(found),
                    None => Arc::new(Backend::new(endpoint.instance.clone(), host, port.port)),
                };
                backend.set_accepts(endpoint.accepts, self.drain);
                backends.push(backend);
            }
        }
        drop(backends);
        for gone in before {
            gone.set_accepts(false, self.drain);
        }
    }

    /// The one with the fewest connections or requests under way; those that failed lately come last, those that were tried
    /// already are left out. O(instances).
    pub(super) fn choose(&self, tried: &[InstanceId]) -> Option<Lease> {
        self.choose_at(Instant::now(), tried)
    }

    fn choose_at(&self, now: Instant, tried: &[InstanceId]) -> Option<Lease> {
        let backends = self.lock();
        let count = backends.len();
        let begin = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..count).filter_map(|step| backends.get((begin.wrapping_add(step)) % count));
        let candidates = in_turn.filter(|one| one.accepts() && !tried.contains(&one.instance));
        let chosen = candidates.min_by_key(|one| (one.is_shunned(now), one.open.load(Ordering::Relaxed)))?;
        // Counted before the lock goes, so that two at once do not both see the same one empty.
        Some(Lease::new(chosen))
    }

    /// How many take requests.
    pub(super) fn accepting(&self) -> usize {
        self.lock().iter().filter(|one| one.accepts()).count()
    }

    /// How much is under way at those that take no more.
    pub(super) fn draining(&self) -> usize {
        let backends = self.lock();
        let drained = backends.iter().filter(|one| !one.accepts());
        drained.map(|one| one.open.load(Ordering::Relaxed)).sum()
    }

    /// Does any of them come last, because it could not be reached?
    #[cfg(test)]
    pub(super) fn is_any_shunned(&self) -> bool {
        let now = Instant::now();
        self.lock().iter().any(|one| one.is_shunned(now))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Backend>>> {
        self.backends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend {
    fn new(instance: InstanceId, host: Host, port: u16) -> Self {
        Self {
            instance,
            host,
            port,
            accepts: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            failed: Mutex::default(),
            end: watch::Sender::new(None),
            idle: Idle::default(),
        }
    }

    fn set_accepts(&self, accepts: bool, drain: Duration) {
        let before = self.accepts.swap(accepts, Ordering::AcqRel);
        if accepts {
            self.idle.open();
            self.end.send_if_modified(|end| end.take().is_some());
        } else if before {
            self.idle.close();
            self.end.send_replace(Some(Instant::now() + drain));
        }
    }

    /// Does it still take requests?
    pub(super) fn accepts(&self) -> bool {
        self.accepts.load(Ordering::Acquire)
    }

    /// It could not be reached.
    pub(super) fn has_failed(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_shunned(&self, now: Instant) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| now.saturating_duration_since(failed) < SHUNNED)
    }
}

impl Lease {
    fn new(backend: &Arc<Backend>) -> Self {
        backend.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(backend))
    }

    /// Whose it is.
    pub(super) fn backend(&self) -> &Arc<Backend> {
        &self.0
    }

    /// Ends when what is under way is to be cut, which may be never.
    pub(super) fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut end = self.0.end.subscribe();
        async move {
            loop {
                let at = *end.borrow_and_update();
                let changed = match at {
                    None => end.changed().await,
                    Some(at) => tokio::select! {
                        () = tokio::time::sleep_until(at) => return,
                        changed = end.changed() => changed,
                    },
                };
                if changed.is_err() {
                    // Nobody can say more; the lease itself holds the other end, so this is after its time.
                    return;
                }
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
