//! What survives a restart of the agent: one entry for its identity, each framework and each task, in
//! the form of `lonja.checkpoint.v1`.

use std::sync::Arc;

use lonja_model::checkpoint::{Checkpoint, CheckpointOp};
use lonja_proto::convert::checkpoint::{decode, encode};
use lonja_storage::{Batch, CommitError, Key, ReadError, Revision, Store, StoreIdentity};

/// What an agent's store says it is.
pub(crate) const IDENTITY: StoreIdentity = StoreIdentity { kind: "agent", format: 1 };

/// Why checkpoints cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The store cannot be read.
    #[error("cannot read the checkpoints")]
    Read(#[from] ReadError),
    /// A change cannot be made durable.
    #[error("cannot write a checkpoint")]
    Commit(#[from] CommitError),
    /// An entry does not hold what its key says. Nothing was guessed.
    #[error("checkpoint {key} cannot be read: {reason}")]
    Entry {
        /// Where.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads checkpoints at start and commits their changes.
pub(crate) struct Checkpoints {
    store: Arc<dyn Store>,
}

impl Checkpoints {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Everything that was ever committed.
    pub(crate) async fn load(&self) -> Result<Checkpoint, CheckpointError> {
        let mut checkpoint = Checkpoint::default();
        for (key, entry) in self.store.scan(&Key::empty()).await?.entries {
            let refuse = |reason: String| CheckpointError::Entry { key: key.to_string(), reason };
            let op = decode(&entry.value).map_err(|error| refuse(error.to_string()))?;
            if encode(&op).key != key.as_bytes() {
                return Err(refuse("it is another entry's value".to_owned()));
            }
            checkpoint.apply(op);
        }
        Ok(checkpoint)
    }

    /// Makes changes durable, all or none. No changes cost nothing.
    pub(crate) async fn commit(&self, changes: Vec<CheckpointOp>) -> Result<(), CheckpointError> {
        if changes.is_empty() {
            return Ok(());
        }
        let batch = changes.iter().map(encode).fold(Batch::new(), |batch, change| match change.value {
            Some(value) => batch.put(change.key, value),
            None => batch.delete(change.key),
        });
        let _revision: Revision = self.store.commit(batch).await?;
        Ok(())
    }
}
