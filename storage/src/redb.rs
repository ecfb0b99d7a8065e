//! A store in one file of a data dir, by redb.
//!
//! ```text
//! <dir>/LOCK                  held by flock while the store is open; the holder's pid inside
//! <dir>/<kind>.redb           the database: identity, revision, entries
//! <dir>/<kind>.acknowledged   the newest revision ever acknowledged, written after each commit
//! ```
//!
//! Invariants
//! - One process has a data dir open; the kernel frees the lock when it dies.
//! - A database file that exists is complete: it is made under another name and renamed.
//! - A revision is acknowledged after redb has synced it, and after `acknowledged` says so. Opening
//!   refuses a database that stands before it: whatever made redb fall back to an older commit (bits
//!   that rotted, a copy put back, a disk that lied about a sync), it is not passed over in silence.
//! - A full disk fails no commit: there is room set aside for it, and beyond that it waits (`room`).
//! - Each entry carries a checksum over key, revision and value, and the whole tree is verified when
//!   it is opened.
//!
//! One thread owns all writing. Batches that arrive while a sync is under way are applied together in
//! the next transaction: one sync for all that is waiting (`docs/design.md` D3). Reads run on
//! tokio's blocking threads, on redb's own snapshots, and wait for nobody.
//!
//! Source: redb 4 design notes (commit slots, one-phase commit with checksums, repair at open).

mod acknowledged;
mod data_dir;
mod database;
mod identity;
mod room;
mod writer;

#[cfg(test)]
mod tests;

pub use self::data_dir::OpenError;
pub use self::identity::StoreIdentity;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use ::redb::backends::FileBackend;
use ::redb::{DatabaseError, StorageBackend};
use tokio::sync::{mpsc, oneshot};

use self::data_dir::DataDir;
use self::database::Database;
use self::room::RoomyDisk;
use self::writer::Request;
use crate::entry::{Batch, Key, Revision, Snapshot, Versioned};
use crate::error::{CommitError, ReadError, StoreFailure};
use crate::watch::{ChangeFeed, Watcher};
use crate::{Store, StoreFuture};

/// How many batches may wait for the disk; more wait in `commit`.
const QUEUE_BATCHES: usize = 256;

/// See the module. Dropping it waits for the batches in the queue, closes the database, and unlocks
/// the data dir, as soon as the last read under way has ended.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writing thread and the readers share.
#[derive(Debug)]
struct Shared {
    /// Closed before `data_dir` is unlocked: fields are dropped in order.
    database: Database,
    data_dir: DataDir,
    feed: ChangeFeed,
    /// The newest durable revision, or why the store is unusable.
    standing: RwLock<Result<Revision, StoreFailure>>,
}

impl RedbStore {
    /// Opens the store of `identity` in `dir`, making both when they do not exist (`dir` with mode
    /// 0700). Verifies every page, so it reads the whole file. Blocks: on a runtime, call it from a
    /// blocking thread.
    ///
    /// # Errors
    /// One variant of [`OpenError`] for each reason to refuse; each says where and what to do.
    pub fn open(dir: impl AsRef<Path>, identity: StoreIdentity) -> Result<RedbStore, OpenError> {
        RedbStore::open_with(dir.as_ref(), identity, FileBackend::new)
    }

    /// Opens over `disk`, which is the file itself, or in tests a disk with faults.
    fn open_with<Disk: StorageBackend>(
        dir: &Path,
        identity: StoreIdentity,
        disk: impl FnOnce(File) -> Result<Disk, DatabaseError>,
    ) -> Result<RedbStore, OpenError> {
        identity.check()?;
        let mut data_dir = DataDir::lock(dir, identity)?;
        if !data_dir.has_database()? {
            data_dir.refuse_if_acknowledged()?;
            data_dir.create_database(|path| database::create(path, identity))?;
        }
        let patience = data_dir.patience();
        let database =
            Database::open(data_dir.open_database()?, data_dir.database_path(), identity, |file| {
                let own = file.try_clone().map_err(::redb::StorageError::from)?;
                let roomy = RoomyDisk::new(disk(file)?, own, patience);
                Ok(roomy.map_err(::redb::StorageError::from)?)
            })?;
        let revision = database.revision().map_err(|failure| OpenError::from_failure(failure, dir))?;
        data_dir.check_acknowledged(revision)?;
        let shared = Arc::new(Shared {
            database,
            data_dir,
            feed: ChangeFeed::new(revision),
            standing: RwLock::new(Ok(revision)),
        });
        let (requests, queue) = mpsc::channel(QUEUE_BATCHES);
        let writer = writer::spawn(Arc::clone(&shared), queue).map_err(|source| OpenError::Io {
            path: dir.to_owned(),
            action: "start the writing thread for",
            source,
        })?;
        Ok(RedbStore { shared, requests: Some(requests), writer: Some(writer) })
    }

    /// The database file.
    pub fn path(&self) -> PathBuf {
        self.shared.data_dir.database_path()
    }

    async fn apply(&self, batch: Batch) -> Result<Revision, CommitError> {
        batch.check()?;
        let standing = self.shared.standing()?;
        if batch.is_empty() {
            return Ok(standing);
        }
        let (reply, answer) = oneshot::channel();
        if let Some(requests) = &self.requests {
            // A send or an answer that fails means the writing thread is gone; `standing` says why.
            let _ = requests.send(Request { batch, reply }).await;
        }
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.shared.standing()?;
                Err(StoreFailure::Closed("its writing thread ended".to_owned()).into())
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.shared.standing()?;
        let shared = Arc::clone(&self.shared);
        let outcome = tokio::task::spawn_blocking(move || {
            read(&shared.database).inspect_err(|failure| shared.fail(failure))
        });
        match outcome.await {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(StoreFailure::Closed(format!("the read was cut off: {error}")).into()),
        }
    }
}

impl Shared {
    fn standing(&self) -> Result<Revision, StoreFailure> {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn advance(&self, revision: Revision) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(current) = &mut *standing {
            *current = revision;
        }
    }

    /// The fail-stop rule: from now on every call fails with the first failure there was.
    fn fail(&self, failure: &StoreFailure) {
        let mut standing = self.standing.write().unwrap_or_else(PoisonError::into_inner);
        if standing.is_ok() {
            tracing::error!(error = %failure, "store failed, every later call on it is refused");
            *standing = Err(failure.clone());
        }
        drop(standing);
        self.feed.fail(failure);
    }
}

impl Store for RedbStore {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Result<Option<Versioned>, ReadError>> {
        Box::pin(async move {
            key.check()?;
            let key = key.clone();
            self.read(move |database| database.get(&key)).await
        })
    }

    fn scan<'a>(&'a self, prefix: &'a Key) -> StoreFuture<'a, Result<Snapshot, ReadError>> {
        Box::pin(async move {
            prefix.check()?;
            let prefix = prefix.clone();
            self.read(move |database| database.scan(&prefix)).await
        })
    }

    fn commit(&self, batch: Batch) -> StoreFuture<'_, Result<Revision, CommitError>> {
        Box::pin(self.apply(batch))
    }

    fn watch(&self, prefix: &Key, from: Revision) -> Watcher {
        self.shared.feed.watch(prefix, from)
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // No future of `commit` can outlive the store it borrows, so this is the last sender and the
        // writing thread ends once the queue is empty.
        drop(self.requests.take());
        self.shared.data_dir.patience().close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path().display(), "the store's writing thread panicked");
        }
    }
}
