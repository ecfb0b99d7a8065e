//! Who is here: how many streams each container has, and which connections have any.
//!
//! Invariants
//! - A container has [`MOST_STREAMS`] streams at most, whether it subscribed over them or not, and whether it reads them or
//!   not. That bounds what the agent holds for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lonja_model::ContainerId;

/// Streams of one container at once: the one that counts, one that is to take its place, and one that is on its way out.
const MOST_STREAMS: usize = 3;

/// How many streams each container has.
#[derive(Default)]
pub(super) struct Streams(Mutex<BTreeMap<ContainerId, usize>>);

/// A stream of a container, which counts as long as this is held.
pub(super) struct Stay {
    place: Option<(Arc<Streams>, ContainerId)>,
    connection: Option<Arc<Presence>>,
}

impl Streams {
    /// One more stream of the container, over a connection that is watched or not. `None`: it has too many.
    pub(super) fn enter(
        self: &Arc<Self>,
        container: ContainerId,
        connection: Option<Arc<Presence>>,
    ) -> Option<Stay> {
        let mut counts = self.counts();
        let count = counts.entry(container.clone()).or_default();
        if *count >= MOST_STREAMS {
            return None;
        }
        *count += 1;
        drop(counts);
        if let Some(connection) = &connection {
            connection.enter();
        }
        Some(Stay { place: Some((self.clone(), container)), connection })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<ContainerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Stay {
    /// One that counts nowhere.
    pub(super) fn of_nobody() -> Self {
        Self { place: None, connection: None }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if let Some((streams, container)) = self.place.take() {
            let mut counts = streams.counts();
            let left = counts.get_mut(&container).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                counts.remove(&container);
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.leave(Instant::now());
        }
    }
}

/// Whether a connection is of use: it has streams that were admitted, or calls that come one by one were, or its user has
/// streams over another, as HTTP clients do.
pub(crate) struct Presence {
    own: Mutex<Present>,
    /// Streams of the same user, over all connections.
    of_user: Arc<AtomicUsize>,
}

struct Present {
    streams: usize,
    /// A call that stands alone was admitted.
    has_called: bool,
    /// When the last one left, or the connection was made.
    since: Instant,
}

impl Presence {
    /// One of a user with so many streams.
    pub(super) fn new(now: Instant, of_user: Arc<AtomicUsize>) -> Self {
        Self { own: Mutex::new(Present { streams: 0, has_called: false, since: now }), of_user }
    }

    /// A call was admitted that stands alone: more are about to come.
    pub(crate) fn keep(&self) {
        self.present().has_called = true;
    }

    fn enter(&self) {
        self.of_user.fetch_add(1, Ordering::Relaxed);
        self.present().streams += 1;
    }

    fn leave(&self, now: Instant) {
        self.of_user.fetch_sub(1, Ordering::Relaxed);
        let mut present = self.present();
        present.streams -= 1;
        present.since = now;
    }

    /// When to look again, if the connection has a stream or had one within `patience`; `None`: it is of no use.
    pub(super) fn look(&self, now: Instant, patience: Duration) -> Option<Instant> {
        let present = self.present();
        let is_of_use = present.streams > 0 || present.has_called || self.of_user.load(Ordering::Relaxed) > 0;
        let next = if is_of_use { now + patience } else { present.since + patience };
        (next > now).then_some(next)
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str) -> ContainerId {
        ContainerId::new(name).unwrap()
    }

    #[test]
    fn the_streams_of_one_container_are_bounded_and_no_others() {
        let streams = Arc::new(Streams::default());
        let mut held: Vec<Stay> =
            (0..MOST_STREAMS).map(|_| streams.enter(container("c1"), None).expect("there is room")).collect();
        assert!(streams.enter(container("c1"), None).is_none());
        assert!(streams.enter(container("c2"), None).is_some());
        held.pop();
        assert!(streams.enter(container("c1"), None).is_some());
        held.clear();
        assert!(streams.counts().is_empty());
    }

    #[test]
    fn a_connection_without_a_stream_is_of_no_use_after_a_while() {
        let patience = Duration::from_secs(10);
        let streams = Arc::new(Streams::default());
        let begun = Instant::now();
        let presence = Arc::new(Presence::new(begun, Arc::default()));
        assert_eq!(presence.look(begun, patience), Some(begun + patience));
        assert_eq!(presence.look(begun + patience, patience), None);

        let stay = streams.enter(container("c1"), Some(presence.clone()));
        let later = begun + 10 * patience;
        assert_eq!(presence.look(later, patience), Some(later + patience), "it is in use");
        drop(stay);
        assert_eq!(presence.look(later, patience), None, "it has not been for long");
        assert!(presence.look(Instant::now(), patience).is_some(), "it was a moment ago");
    }

    #[test]
    fn a_connection_is_of_use_beside_a_stream_of_its_user_and_after_a_call() {
        let patience = Duration::from_secs(10);
        let (streams, of_user) = (Arc::new(Streams::default()), Arc::<AtomicUsize>::default());
        let begun = Instant::now();
        let [first, second] = [(), ()].map(|()| Arc::new(Presence::new(begun, of_user.clone())));
        let stay = streams.enter(container("c1"), Some(first));
        let later = begun + 10 * patience;
        assert_eq!(second.look(later, patience), Some(later + patience));
        drop(stay);
        assert_eq!(second.look(later, patience), None);
        second.keep();
        assert_eq!(second.look(later, patience), Some(later + patience));
    }
}
