//! The registry on disk: one entry for each agent, framework and weight, and one for the epoch; their form
//! is `lonja.registry.v1`.
//!
//! One fsync carries all that a batch of the driver changes (group commit).

use std::sync::Arc;

use lonja_model::registry::{Registry, RegistryOp};
use lonja_proto::convert::registry::{decode, encode};
use lonja_storage::{Batch, CommitError, Key, ReadError, Revision, Store, StoreIdentity};

/// What a master's store says it is.
pub(crate) const IDENTITY: StoreIdentity = StoreIdentity { kind: "master", format: 1 };

/// Why the registry cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store cannot be read.
    #[error("cannot read the registry")]
    Read(#[from] ReadError),
    /// A change cannot be made durable.
    #[error("cannot commit to the registry")]
    Commit(#[from] CommitError),
    /// An entry does not hold what its key says. Nothing was guessed.
    #[error("registry entry {key} cannot be read: {reason}")]
    Entry {
        /// Where.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the registry at start and commits its changes.
pub(crate) struct Registrar {
    store: Arc<dyn Store>,
}

impl Registrar {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Everything that was ever committed.
    pub(crate) async fn load(&self) -> Result<Registry, RegistryError> {
        let mut registry = Registry::default();
        for (key, entry) in self.store.scan(&Key::empty()).await?.entries {
            let refuse = |reason: String| RegistryError::Entry { key: key.to_string(), reason };
            let op = decode(&entry.value).map_err(|error| refuse(error.to_string()))?;
            if encode(&op).key != key.as_bytes() {
                return Err(refuse(
                    "it is another entry's value; restore the work dir from a copy".to_owned(),
                ));
            }
            registry.apply(op);
        }
        Ok(registry)
    }

    /// Makes changes durable, all or none. No changes cost nothing.
    pub(crate) async fn commit(&self, changes: Vec<RegistryOp>) -> Result<(), RegistryError> {
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
