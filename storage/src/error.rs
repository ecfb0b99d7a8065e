//! Why a store did not do what it was asked.

use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::{Key, Revision};
use crate::limits::LimitExceeded;

/// The store itself is unusable. Sticky: every later call on it fails alike (fail-stop).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreFailure {
    /// The disk failed a read, a write or a sync. The batches in flight may or may not be durable:
    /// stop, and open the store again to learn it.
    #[error(
        "the disk failed under {path}: {reason}; what was not acknowledged may be lost: stop, free or \
             replace the disk, and start again"
    )]
    Io {
        /// The database file.
        path: PathBuf,
        /// What failed, in the words of the operating system.
        reason: String,
        /// The operating system's error, where there is one.
        #[source]
        source: Option<Arc<std::io::Error>>,
    },
    /// The file does not hold what was written. No value was returned from the damaged place.
    #[error("{path} is damaged: {detail}; restore it from a backup")]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The store was closed, or broken on purpose by a test.
    #[error("the store is closed: {0}")]
    Closed(String),
}

/// Why a read failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The key is longer than any key in the store can be.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The store is unusable; stop.
    #[error(transparent)]
    Failed(#[from] StoreFailure),
}

/// Why a batch was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold: read again, decide again. Nothing was changed.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The batch is too large. Nothing was changed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The store is unusable; whether the batch is durable is unknown. Stop.
    #[error(transparent)]
    Failed(#[from] StoreFailure),
}

/// The first condition of a batch that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key \"{key}\" is {}, the batch expects it {}", standing(*.found), standing(*.wanted))]
pub struct Conflict {
    /// The key.
    pub key: Key,
    /// What the batch demanded; `None`: absent.
    pub wanted: Option<Revision>,
    /// What the store has; `None`: absent.
    pub found: Option<Revision>,
}

fn standing(revision: Option<Revision>) -> String {
    revision.map_or_else(|| "absent".to_owned(), |revision| format!("at revision {revision}"))
}
