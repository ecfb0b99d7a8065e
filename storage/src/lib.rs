//! Bytes that survive a crash.
//!
//! A [`Store`] is a small ordered map from byte keys to byte values with one version number, the
//! [`Revision`], for the whole of it. It knows no domain type: the daemon that owns the data encodes
//! it. The master's registry, the agent's checkpoints and the service framework's apps stand on it.
//!
//! What a store guarantees
//! - **Acknowledged means kept.** When [`Store::commit`] returns a revision, its batch has been
//!   synced to the disk. So a daemon that sends only after the commit keeps `docs/design.md` D3 and
//!   `docs/invariants.md` INV-10 (write before effect) and INV-11 (registry durability).
//! - **All or nothing.** A batch is there whole or not at all, whatever kills the process.
//! - **Conditions.** A batch may demand that a key stands at a given revision, or is absent; it is
//!   refused with the first condition that fails, and changes nothing.
//! - **One order.** Revisions only grow, also over restarts. A scan is one consistent moment and says
//!   which; a watch from there sees every later change in order, or ends by saying it lost some.
//! - **Damage is found.** A torn, truncated or flipped file is refused or fails typed, never read as
//!   another value (INV-30).
//! - **Fail-stop.** After an I/O error on commit, what reached the disk is unknown: the store fails
//!   every later call with the same error. The daemon exits and reads again.
//!
//! What survives what
//!
//! | event | memory | redb |
//! |---|---|---|
//! | `SIGKILL` of the process at any moment | nothing | every acknowledged batch |
//! | power loss, kernel crash | nothing | every acknowledged batch, if the disk keeps what it synced |
//! | a full disk | - | everything: there is room set aside, and beyond it a commit waits |
//! | a failed write or sync | - | every acknowledged batch, after a restart |
//! | bits that rot in the file | - | refused at open or failed at read, with the path |
//! | loss of the disk | nothing | nothing: that takes a replicated backend |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lonja_storage::{Batch, CommitError, Key, MemoryStore, Store, Watched};
//!
//! let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(MemoryStore::new());
//! let born = store.commit(Batch::new().expect("agents/1", None).put("agents/1", *b"up")).await?;
//!
//! let seen = store.scan(&Key::from("agents/")).await?;
//! let mut changes = store.watch(&Key::from("agents/"), seen.revision);
//! store.commit(Batch::new().expect("agents/1", Some(born)).put("agents/1", *b"gone")).await?;
//! let stale = store.commit(Batch::new().expect("agents/1", Some(born)).delete("agents/1")).await;
//!
//! assert!(matches!(stale, Err(CommitError::Conflict(_))));
//! assert!(matches!(changes.next().await, Some(Watched::Change(change)) if change.revision > born));
//! # Ok(())
//! # }
//! ```
//!
//! redb is the default that needs nothing beside the work dir (`docs/design.md` D7). Memory has the
//! same semantics for tests and dev mode. Both pass the `conformance` suite.

mod checksum;
mod entry;
mod error;
mod limits;
mod watch;

pub mod memory;
pub mod redb;

pub mod election;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use crate::entry::{Batch, Change, Key, Revision, Snapshot, Value, Versioned};
pub use crate::error::{CommitError, Conflict, ReadError, StoreFailure};
pub use crate::limits::{LimitExceeded, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub use crate::memory::MemoryStore;
pub use crate::redb::{OpenError, RedbStore, StoreIdentity};
pub use crate::watch::{Watched, Watcher};

use std::pin::Pin;

/// What the methods of a [`Store`] return, so that it can stand behind `Arc<dyn Store>`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A versioned map of bytes that survives a crash. See the crate's documentation for its guarantees.
///
/// The futures must be polled inside a tokio runtime.
pub trait Store: Send + Sync {
    /// The value at `key` and the revision that wrote it, or `None` when the key is absent.
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Result<Option<Versioned>, ReadError>>;

    /// Every entry whose key starts with `prefix`, in key order, with the store's revision: one
    /// moment. [`Key::empty`] reads everything. Holds all of it in memory.
    fn scan<'a>(&'a self, prefix: &'a Key) -> StoreFuture<'a, Result<Snapshot, ReadError>>;

    /// Applies `batch` whole, or not at all, and returns the store's revision after it, once it is
    /// durable.
    ///
    /// A batch without writes is not synced and leaves the revision as it is; its conditions are
    /// checked. Batches take effect in the order in which their futures are first polled, as far as
    /// one caller can tell. A future dropped after that may or may not have committed.
    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<Revision, CommitError>>;

    /// Every change below `prefix` with a revision above `from`, in order and without a gap.
    ///
    /// `from` is the revision of a [`Snapshot`], or the last one seen. The store remembers a bounded
    /// number of changes, since it was opened: a watcher that asks for older ones, or falls behind,
    /// gets [`Watched::Lagged`] and must scan again. A slow watcher delays nobody.
    fn watch(&self, prefix: &Key, from: Revision) -> Watcher;
}
