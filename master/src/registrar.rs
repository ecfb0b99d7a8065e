//! The registry on disk: one entry for each agent, framework and weight, and one for the epoch; their form
//! is `lonja.registry.v1`.
//!
//! One fsync carries all that a batch of the driver changes (group commit).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// Commits whose times are remembered, the latest.
const REMEMBERED: usize = 1_000;

/// How long reading and committing take.
#[derive(Debug, Default)]
pub(crate) struct Times(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    fetch: Duration,
    commits: u64,
    latest: VecDeque<Duration>,
}

impl Times {
    fn committed(&self, took: Duration) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.commits += 1;
        taken.latest.push_back(took);
        if taken.latest.len() > REMEMBERED {
            taken.latest.pop_front();
        }
    }

    /// In milliseconds, by the names that Mesos has below `registrar/`.
    pub(crate) fn figures(&self) -> Vec<(String, f64)> {
        let (fetch, mut times, commits) = {
            let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let times: Vec<f64> = taken.latest.iter().map(|took| took.as_secs_f64() * 1e3).collect();
            (taken.fetch.as_secs_f64() * 1e3, times, taken.commits)
        };
        let mut figures = vec![
            ("state_fetch_ms".to_owned(), fetch),
            ("queued_operations".to_owned(), 0.0),
            ("log/recovered".to_owned(), 1.0),
        ];
        let Some(last) = times.last().copied() else { return figures };
        times.sort_by(f64::total_cmp);
        let at = |thousandths: usize| times[(times.len() - 1) * thousandths / 1_000];
        #[expect(clippy::cast_precision_loss, reason = "figures are doubles in Mesos, too")]
        let count = commits as f64;
        figures.extend([("state_store_ms".to_owned(), last), ("state_store_ms/count".to_owned(), count)]);
        for (name, thousandths) in [
            ("min", 0),
            ("p50", 500),
            ("p90", 900),
            ("p95", 950),
            ("p99", 990),
            ("p999", 999),
            ("max", 1_000),
        ] {
            figures.push((format!("state_store_ms/{name}"), at(thousandths)));
        }
        figures
    }
}

/// Reads the registry at start and commits its changes.
pub(crate) struct Registrar {
    store: Arc<dyn Store>,
    times: Arc<Times>,
}

impl Registrar {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, times: Arc::default() }
    }

    pub(crate) fn times(&self) -> Arc<Times> {
        self.times.clone()
    }

    /// Everything that was ever committed.
    pub(crate) async fn load(&self) -> Result<Registry, RegistryError> {
        let begun = Instant::now();
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
        self.times.0.lock().unwrap_or_else(PoisonError::into_inner).fetch = begun.elapsed();
        Ok(registry)
    }

    /// Makes changes durable, all or none. No changes cost nothing.
    pub(crate) async fn commit(&self, changes: Vec<RegistryOp>) -> Result<(), RegistryError> {
        if changes.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let batch = changes.iter().map(encode).fold(Batch::new(), |batch, change| match change.value {
            Some(value) => batch.put(change.key, value),
            None => batch.delete(change.key),
        });
        let _revision: Revision = self.store.commit(batch).await?;
        self.times.committed(begun.elapsed());
        Ok(())
    }
}
