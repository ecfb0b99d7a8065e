//! The registry on disk: each entry a key and a message of `lonja.registry.v1`.
//!
//! ```text
//! epoch                  the cluster's name and the number of this start
//! agents/<agent id>      an agent and where it stands
//! frameworks/<id>        a framework and where it stands
//! weights/<role>         a role's weight
//! ```
//!
//! One fsync carries all that a batch of the driver changes (group commit).

use std::sync::Arc;

use lonja_model::registry::{Registry, RegistryOp};
use lonja_proto::convert::registry::{registry_op_from_entry, registry_op_to_entry};
use lonja_proto::wire::lonja::registry::v1::Entry;
use lonja_storage::{Batch, CommitError, Key, ReadError, Revision, Store, StoreIdentity};
use prost::Message;

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
    /// An entry does not hold what its key says. Nothing was guessed: restore a backup of the work dir.
    #[error("registry entry {key} cannot be read: {reason}; restore the work dir from a backup")]
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
            let decoded = Entry::decode(&*entry.value).map_err(|error| refuse(error.to_string()))?;
            let op = registry_op_from_entry(decoded).map_err(|error| refuse(error.to_string()))?;
            if key_of(&op) != key {
                return Err(refuse("it is another entry's value".to_owned()));
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
        let batch = changes.iter().fold(Batch::new(), |batch, change| match registry_op_to_entry(change) {
            Some(entry) => batch.put(key_of(change), entry.encode_to_vec()),
            None => batch.delete(key_of(change)),
        });
        let _revision: Revision = self.store.commit(batch).await?;
        Ok(())
    }
}

fn key_of(op: &RegistryOp) -> Key {
    match op {
        RegistryOp::Epoch(_) => Key::from("epoch"),
        RegistryOp::Agent(agent, _) => Key::from(format!("agents/{agent}")),
        RegistryOp::Framework(framework, _) => Key::from(format!("frameworks/{framework}")),
        RegistryOp::Weight(role, _) => Key::from(format!("weights/{role}")),
    }
}
