//! The changes of a store, remembered for a while, for those who watch.
//!
//! One ring of recent changes serves all watchers of a store; a watcher is a place in it. So a slow
//! watcher costs nothing and delays nobody: when the ring has moved past its place it is told so, once,
//! and ends.
//!
//! Invariants
//! - Changes enter in the order of their revisions, and only once they are durable.
//! - A watcher sees every change above its first revision below its prefix, or ends with
//!   [`Watched::Lagged`] or [`Watched::Failed`].
//! - The ring holds at most [`RING_CHANGES`] changes and [`RING_BYTES`] of keys and values.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::entry::{Change, Key, Revision};
use crate::error::StoreFailure;

/// How many changes a store remembers for its watchers.
pub(crate) const RING_CHANGES: usize = 4096;

/// How many bytes of keys and values it remembers at most: a master idles within 30 MiB.
pub(crate) const RING_BYTES: usize = 1 << 20;

/// What a watcher is told.
#[derive(Debug, Clone)]
pub enum Watched {
    /// A key changed.
    Change(Change),
    /// Changes were lost before they could be told: scan again and watch from there. The last item.
    Lagged {
        /// The last revision of which the watcher has been told everything.
        complete_through: Revision,
        /// The newest revision of which the store has forgotten changes.
        lost_through: Revision,
    },
    /// The store failed. The last item.
    Failed(StoreFailure),
}

/// The changes below one prefix, in order. Made by [`crate::Store::watch`].
#[derive(Debug)]
pub struct Watcher {
    feed: Arc<Mutex<Ring>>,
    news: watch::Receiver<()>,
    prefix: Key,
    /// Changes up to this revision are of no interest.
    from: Revision,
    /// The number, counted from the store's opening, of the next change to look at.
    position: u64,
    /// The revision of the last change looked at; more changes of the same batch may follow.
    examined: Revision,
    /// The ring had forgotten changes above `from` when the watch began.
    behind: bool,
    ended: bool,
}

impl Watcher {
    /// The next change; `None` when the store was closed, or after an item that ends the watch.
    /// Waits while there is none. Losing the future loses no change.
    pub async fn next(&mut self) -> Option<Watched> {
        loop {
            if self.ended {
                return None;
            }
            // Marked as seen before looking, so that what is published after the look wakes us.
            self.news.borrow_and_update();
            if let Some(item) = self.look() {
                self.ended = !matches!(item, Watched::Change(_));
                return Some(item);
            }
            if self.news.changed().await.is_err() {
                // The store is gone, but its last changes may have come between look and wait.
                let last = self.look();
                self.ended = !matches!(last, Some(Watched::Change(_)));
                return last;
            }
        }
    }

    fn look(&mut self) -> Option<Watched> {
        let ring = lock(&self.feed);
        let overtaken = self.position < ring.first && ring.lost_through > self.from;
        if self.behind || overtaken {
            let complete_through = self.from.max(Revision(self.examined.0.saturating_sub(1)));
            return Some(Watched::Lagged { complete_through, lost_through: ring.lost_through });
        }
        self.position = self.position.max(ring.first);
        let skipped = usize::try_from(self.position - ring.first).unwrap_or(usize::MAX);
        for change in ring.changes.iter().skip(skipped) {
            self.position += 1;
            self.examined = change.revision;
            if change.revision > self.from && change.key.starts_with(&self.prefix) {
                return Some(Watched::Change(change.clone()));
            }
        }
        ring.failure.clone().map(Watched::Failed)
    }
}

#[derive(Debug)]
struct Ring {
    changes: VecDeque<Change>,
    bytes: usize,
    /// The number of the oldest change held.
    first: u64,
    /// The newest revision of which a change has been dropped, or that came before the opening.
    lost_through: Revision,
    failure: Option<StoreFailure>,
}

/// The publishing end, owned by the store.
#[derive(Debug)]
pub(crate) struct ChangeFeed {
    ring: Arc<Mutex<Ring>>,
    news: watch::Sender<()>,
}

impl ChangeFeed {
    /// A feed for a store that stands at `revision` and remembers nothing before it.
    pub(crate) fn new(revision: Revision) -> ChangeFeed {
        let ring =
            Ring { changes: VecDeque::new(), bytes: 0, first: 0, lost_through: revision, failure: None };
        ChangeFeed { ring: Arc::new(Mutex::new(ring)), news: watch::Sender::new(()) }
    }

    /// Tells the changes of one or more durable batches, in order.
    pub(crate) fn publish(&self, changes: impl IntoIterator<Item = Change>) {
        let mut ring = lock(&self.ring);
        for change in changes {
            ring.bytes = ring.bytes.saturating_add(size(&change));
            ring.changes.push_back(change);
            while ring.changes.len() > RING_CHANGES || ring.bytes > RING_BYTES {
                let Some(oldest) = ring.changes.pop_front() else { break };
                ring.bytes = ring.bytes.saturating_sub(size(&oldest));
                ring.first += 1;
                ring.lost_through = oldest.revision;
            }
        }
        drop(ring);
        self.news.send_replace(());
    }

    /// Ends every watch, after what was published before.
    pub(crate) fn fail(&self, failure: &StoreFailure) {
        lock(&self.ring).failure.get_or_insert_with(|| failure.clone());
        self.news.send_replace(());
    }

    pub(crate) fn watch(&self, prefix: &Key, from: Revision) -> Watcher {
        let news = self.news.subscribe();
        let ring = lock(&self.ring);
        Watcher {
            feed: Arc::clone(&self.ring),
            news,
            prefix: prefix.clone(),
            from,
            position: ring.first,
            examined: Revision::ZERO,
            behind: from < ring.lost_through,
            ended: false,
        }
    }
}

fn size(change: &Change) -> usize {
    change.key.as_bytes().len() + change.value.as_ref().map_or(0, |value| value.len())
}

/// The ring is consistent between any two of its statements, so a panic elsewhere does not spoil it.
fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}
