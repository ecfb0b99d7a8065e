//! Where a framework keeps what it must not forget: its id, and what its scheduler writes down.
//!
//! The driver makes what a [`Scheduler`](crate::Scheduler) says by [`changes`](crate::Scheduler::changes) durable before
//! it sends anything that the same event led to. [`FileStore`] does that on this machine's disk; whoever has a database
//! implements [`Store`] over it.
//!
//! Invariants
//! - What [`Store::commit`] has returned from is there after any crash, whole.
//! - One driver has a store open at a time, or none of them knows what is kept.

mod file;
mod memory;

use std::error::Error;
use std::path::PathBuf;

use lonja_sdk_core::state::{MAX_CHANGES, MAX_CHANGES_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use lonja_sdk_core::{Record, State};

pub use file::FileStore;
pub use memory::MemoryStore;

/// Keeps a framework's [`State`]. The driver calls it from a thread of its own, where it may block, one call at a time.
pub trait Store: Send + 'static {
    /// All that is kept. Called when a run begins, and when a scheduler that panicked is made anew.
    fn load(&mut self) -> Result<State, StoreError>;

    /// Makes these changes in order: all of them or none, and durable on return. After an error the driver ends the
    /// run, for what is kept is then not known.
    fn commit(&mut self, changes: &[Record]) -> Result<(), StoreError>;

    /// Forgets a framework that is no more, so that the next run begins as a new one: its id, its tasks and their kills.
    /// The scheduler's own notes stay, also of tasks that ended with that framework. This is for a framework that the master
    /// has removed ([`DriverError::Removed`](crate::DriverError::Removed)); the tasks of one that lives would run on without
    /// anybody who knows of them.
    fn forget_framework(&mut self) -> Result<(), StoreError> {
        self.commit(&[Record::Removed])
    }

    /// What to call it in errors, such as its path.
    fn name(&self) -> String {
        "the store".to_owned()
    }
}

/// Why a store could not keep or find something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another driver has it open.
    #[error(
        "{} is in use by {holder}: one scheduler at a time keeps its state there; stop that one, or name another path",
        path.display()
    )]
    InUse {
        /// Where it is.
        path: PathBuf,
        /// Who has it, as far as that is known.
        holder: String,
    },
    /// It was removed, or moved, while it was open: nobody would find what is kept there, and nobody is kept out any more.
    #[error(
        "{} was removed or moved while the framework ran ({why}), and its lock with it: another scheduler may be running \
         as the same framework; put the folder back as it was, or start with a new one as a new framework",
        path.display()
    )]
    Moved {
        /// The file that is not there, or is another.
        path: PathBuf,
        /// What is found in its place.
        why: String,
    },
    /// There is something else at the path, or a newer release wrote it.
    #[error("{why}")]
    Foreign {
        /// What, where, and what to do.
        why: String,
    },
    /// It is torn or has rotted.
    #[error("{why}")]
    Damaged {
        /// What, where, and what to do.
        why: String,
    },
    /// The scheduler wants to keep more under one key than a store takes.
    #[error(
        "the change of key {key:?} is too large ({key_bytes} bytes of key, {value_bytes} of value; at most \
         {MAX_KEY_BYTES} and {MAX_VALUE_BYTES}): split it over several keys"
    )]
    TooLarge {
        /// The key's beginning.
        key: String,
        /// The key's length.
        key_bytes: usize,
        /// The value's length.
        value_bytes: usize,
    },
    /// The scheduler wants to keep more at one event than is taken.
    #[error(
        "{changes} changes of {bytes} bytes together are too much for one event (at most {MAX_CHANGES} and \
         {MAX_CHANGES_BYTES}; the last is of key {key:?}): make them over several events"
    )]
    TooMuch {
        /// How many changes.
        changes: usize,
        /// Their keys and values together.
        bytes: usize,
        /// The beginning of the last one's key.
        key: String,
    },
    /// A store of your own panicked. What was to be kept may or may not be.
    #[error("it panicked in `{method}`: {message}")]
    Panicked {
        /// In which method.
        method: &'static str,
        /// What it said.
        message: String,
    },
    /// The disk or the database failed. What was to be kept may or may not be.
    #[error("{why}")]
    Failed {
        /// What failed, where, and what to do.
        why: String,
        /// Why.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl StoreError {
    /// A failure of a store of your own, in words.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed { why: why.into(), source: None }
    }
}

/// Refuses what no store takes, whichever it is.
pub(crate) fn check_size(change: &Record) -> Result<(), StoreError> {
    let (key, value_bytes) = match change {
        Record::Put { key, value } => (key, value.len()),
        Record::Remove { key } => (key, 0),
        _ => return Ok(()),
    };
    if key.len() <= MAX_KEY_BYTES && value_bytes <= MAX_VALUE_BYTES {
        return Ok(());
    }
    Err(StoreError::TooLarge { key: beginning(key), key_bytes: key.len(), value_bytes })
}

/// Refuses more than is taken of a scheduler for one event, whichever store it is.
pub(crate) fn check_event(changes: &[Record]) -> Result<(), StoreError> {
    let (mut number, mut bytes, mut last) = (0, 0, "");
    for change in changes {
        let (key, size) = match change {
            Record::Put { key, value } => (key, key.len() + value.len()),
            Record::Remove { key } => (key, key.len()),
            _ => continue,
        };
        (number, bytes, last) = (number + 1, bytes + size, key.as_str());
    }
    if number <= MAX_CHANGES && bytes <= MAX_CHANGES_BYTES {
        return Ok(());
    }
    Err(StoreError::TooMuch { changes: number, bytes, key: beginning(last) })
}

fn beginning(key: &str) -> String {
    key.chars().take(80).collect()
}
