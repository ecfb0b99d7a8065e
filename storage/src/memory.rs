//! A store in memory: the semantics of the durable ones, for tests, dev mode and simulation.
//!
//! Nothing survives the value being dropped. Batches take effect one at a time under a lock that is
//! never held across a wait.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::entry::{Batch, Change, Key, Revision, Snapshot, Versioned};
use crate::error::{CommitError, Conflict, ReadError, StoreFailure};
use crate::watch::{ChangeFeed, Watcher};
use crate::{Store, StoreFuture};

/// See the module.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    feed: ChangeFeed,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Versioned>,
    revision: Revision,
    failure: Option<StoreFailure>,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty store at revision 0.
    pub fn new() -> MemoryStore {
        MemoryStore { state: Mutex::default(), feed: ChangeFeed::new(Revision::ZERO) }
    }

    /// From now on every call fails, as if the disk had died: for tests of the fail-stop rule.
    pub fn break_down(&self, reason: impl Into<String>) {
        let failure = StoreFailure::Closed(reason.into());
        self.lock().failure.get_or_insert_with(|| failure.clone());
        self.feed.fail(&failure);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No statement under the lock can panic halfway through a batch.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, key: &Key) -> Result<Option<Versioned>, ReadError> {
        key.check()?;
        let state = self.lock();
        state.usable()?;
        Ok(state.entries.get(key).cloned())
    }

    fn read_all(&self, prefix: &Key) -> Result<Snapshot, ReadError> {
        prefix.check()?;
        let state = self.lock();
        state.usable()?;
        let entries = state
            .entries
            .range::<Key, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, versioned)| (key.clone(), versioned.clone()))
            .collect();
        Ok(Snapshot { revision: state.revision, entries })
    }

    fn apply(&self, batch: Batch) -> Result<Revision, CommitError> {
        batch.check()?;
        let mut state = self.lock();
        state.usable()?;
        for (key, wanted) in &batch.conditions {
            let found = state.entries.get(key).map(|versioned| versioned.revision);
            if found != *wanted {
                return Err(Conflict { key: key.clone(), wanted: *wanted, found }.into());
            }
        }
        if batch.writes.is_empty() {
            return Ok(state.revision);
        }
        state.revision = state.revision.next();
        let revision = state.revision;
        let mut changes = Vec::with_capacity(batch.writes.len());
        for (key, value) in batch.writes {
            let existed = match &value {
                Some(value) => {
                    state.entries.insert(key.clone(), Versioned { value: value.clone(), revision });
                    true
                }
                None => state.entries.remove(&key).is_some(),
            };
            if existed {
                changes.push(Change { key, value, revision });
            }
        }
        // Published under the lock, so that changes come in the order of their revisions.
        self.feed.publish(changes);
        Ok(revision)
    }
}

impl State {
    fn usable(&self) -> Result<(), StoreFailure> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Result<Option<Versioned>, ReadError>> {
        Box::pin(async move { self.read(key) })
    }

    fn scan<'a>(&'a self, prefix: &'a Key) -> StoreFuture<'a, Result<Snapshot, ReadError>> {
        Box::pin(async move { self.read_all(prefix) })
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async move { self.apply(batch) })
    }

    fn watch(&self, prefix: &Key, from: Revision) -> Watcher {
        self.feed.watch(prefix, from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Fresh, conformance_suite};

    struct InMemory;

    impl Fresh for InMemory {
        type Store = MemoryStore;

        fn open() -> (InMemory, MemoryStore) {
            (InMemory, MemoryStore::new())
        }
    }

    conformance_suite!(InMemory);

    #[tokio::test]
    async fn a_broken_store_fails_every_call_and_ends_its_watchers() {
        let store = MemoryStore::new();
        let mut watcher = store.watch(&Key::empty(), Revision::ZERO);
        store.commit(Batch::new().put("a", *b"1")).await.unwrap();

        store.break_down("test");

        assert!(matches!(store.get(&"a".into()).await, Err(ReadError::Failed(_))));
        assert!(matches!(store.commit(Batch::new()).await, Err(CommitError::Failed(_))));
        assert!(matches!(watcher.next().await, Some(crate::Watched::Change(_))));
        assert!(matches!(watcher.next().await, Some(crate::Watched::Failed(_))));
        assert!(watcher.next().await.is_none());
    }
}
