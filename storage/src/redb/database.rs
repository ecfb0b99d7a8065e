//! Our tables in a redb file, and redb's failures in our words.
//!
//! Tables: `identity` (kind, format, layout), `revision` (one number), `entries` (key to record). A
//! record is revision (8 bytes, little endian), checksum (8 bytes, little endian), value.
//!
//! redb verifies its own checksums when it repairs, not when it reads; so opening verifies the whole
//! tree, and each record is verified again when it is read. redb also asserts what its own checksums
//! were to guarantee: on a file damaged in between it may panic. Every call into it therefore goes
//! through [`Contained`], which turns a panic into [`StoreFailure::Corrupt`].

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{Builder, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::data_dir::{self, OpenError};
use super::identity::StoreIdentity;
use super::writer::Transaction;
use crate::checksum;
use crate::entry::{Key, Revision, Snapshot, Value, Versioned};
use crate::error::StoreFailure;

/// Cache of pages, in bytes. A daemon holds its state in memory and reads the store at start.
const CACHE_BYTES: usize = 4 << 20;

/// The number of the layout of our tables.
const LAYOUT: &str = "1";

const IDENTITY: TableDefinition<'_, &str, &str> = TableDefinition::new("identity");
pub(super) const REVISION: TableDefinition<'_, (), u64> = TableDefinition::new("revision");
pub(super) const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// An open, verified database of ours.
pub(super) struct Database {
    /// `None` only while it is being dropped.
    redb: Option<::redb::Database>,
    contained: Contained,
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Database({})", self.contained.path.display())
    }
}

/// Makes the file of an empty store; durable on return.
pub(super) fn create(path: &Path, identity: StoreIdentity) -> Result<(), OpenError> {
    let file = data_dir::open_file(path, true)?;
    let contained = Contained { path: path.to_owned() };
    let created = contained.run(|| {
        let redb = Builder::new().set_cache_size(CACHE_BYTES).create_file(file)?;
        let transaction = redb.begin_write()?;
        {
            let mut table = transaction.open_table(IDENTITY)?;
            table.insert("kind", identity.kind)?;
            table.insert("format", identity.format.to_string().as_str())?;
            table.insert("layout", LAYOUT)?;
            transaction.open_table(REVISION)?.insert((), 0)?;
            transaction.open_table(ENTRIES)?;
        }
        transaction.commit()?;
        Ok(())
    });
    created.map_err(|failure| OpenError::from_failure(failure, path))?;
    let synced = data_dir::open_file(path, false)?.sync_all();
    synced.map_err(|source| OpenError::io(path, "sync", source))
}

impl Database {
    /// Opens and verifies the database in `file`, repairing what a crash left unfinished.
    pub(super) fn open<Disk: StorageBackend>(
        file: File,
        path: PathBuf,
        identity: StoreIdentity,
        disk: impl FnOnce(File) -> Result<Disk, DatabaseError>,
    ) -> Result<Database, OpenError> {
        let contained = Contained { path };
        let opened = contained.run(|| {
            let mut builder = Builder::new();
            let mut redb = match builder.set_cache_size(CACHE_BYTES).create_with_backend(disk(file)?) {
                Ok(redb) => redb,
                // Somebody who does not know our lock file, such as a tool that inspects databases.
                Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            // `false`: it repaired its bookkeeping. Entries lost that way are noticed by the
            // acknowledged revision.
            let sound = redb.check_integrity()?;
            Ok(Some((redb, sound)))
        });
        let Some((redb, sound)) =
            opened.map_err(|failure| OpenError::from_failure(failure, &contained.path))?
        else {
            let dir = contained.path.parent().unwrap_or(Path::new(".")).to_owned();
            return Err(OpenError::Locked { dir, holder: None });
        };
        if !sound {
            tracing::warn!(path = %contained.path.display(), "the database was repaired");
        }
        let database = Database { redb: Some(redb), contained };
        database.check_identity(identity)?;
        Ok(database)
    }

    fn check_identity(&self, identity: StoreIdentity) -> Result<(), OpenError> {
        let path = &self.contained.path;
        let read = self.run(|redb| {
            let transaction = redb.begin_read()?;
            let table = match transaction.open_table(IDENTITY) {
                Ok(table) => table,
                Err(::redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let text = |name| -> Result<String, ::redb::Error> {
                Ok(table.get(name)?.map(|found| found.value().to_owned()).unwrap_or_default())
            };
            Ok(Some((text("kind")?, text("format")?, text("layout")?)))
        });
        let not_ours =
            |detail: &str| OpenError::NotADatabase { path: path.clone(), detail: detail.to_owned() };
        let Some((kind, format, layout)) = read.map_err(|failure| OpenError::from_failure(failure, path))?
        else {
            return Err(not_ours("it is a redb database without our identity record"));
        };
        let Ok(format) = format.parse() else {
            return Err(not_ours("its identity record has no format"));
        };
        identity.admit(&kind, format, path)?;
        if layout != LAYOUT {
            return Err(not_ours(&format!(
                "its tables have layout \"{layout}\", this release reads {LAYOUT}"
            )));
        }
        Ok(())
    }

    pub(super) fn revision(&self) -> Result<Revision, StoreFailure> {
        self.run(|redb| Ok(stored_revision(&redb.begin_read()?.open_table(REVISION)?)?))
            .and_then(|found| self.contained.present(found))
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreFailure> {
        let record = self.run(|redb| {
            let table = redb.begin_read()?.open_table(ENTRIES)?;
            let found = table.get(key.as_bytes())?;
            Ok(found.map(|record| decode(key.as_bytes(), record.value())))
        })?;
        record.map(|versioned| self.contained.sound(key, versioned)).transpose()
    }

    pub(super) fn scan(&self, prefix: &Key) -> Result<Snapshot, StoreFailure> {
        let (revision, found) = self.run(|redb| {
            let transaction = redb.begin_read()?;
            let revision = stored_revision(&transaction.open_table(REVISION)?)?;
            let mut found = Vec::new();
            for entry in transaction.open_table(ENTRIES)?.range(prefix.as_bytes()..)? {
                let (key, record) = entry?;
                if !key.value().starts_with(prefix.as_bytes()) {
                    break;
                }
                found.push((Key::from(key.value()), decode(key.value(), record.value())));
            }
            Ok((revision, found))
        })?;
        let revision = self.contained.present(revision)?;
        let sound = |(key, versioned): (Key, Option<Versioned>)| {
            let versioned = self.contained.sound(&key, versioned)?;
            Ok((key, versioned))
        };
        let entries = found.into_iter().map(sound).collect::<Result<Vec<_>, StoreFailure>>()?;
        Ok(Snapshot { revision, entries })
    }

    /// Runs `write` in a transaction and syncs it when `write` says it wrote.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<(bool, T), ::redb::Error>,
    ) -> Result<T, StoreFailure> {
        self.run(|redb| {
            // Durability is Immediate unless said otherwise: the commit returns after its sync.
            let transaction = redb.begin_write()?;
            let (wrote, outcome) = {
                let mut tables = Transaction::open(&transaction)?;
                write(&mut tables)?
            };
            if wrote {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(outcome)
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.contained.path
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&::redb::Database) -> Result<T, ::redb::Error>,
    ) -> Result<T, StoreFailure> {
        match &self.redb {
            Some(redb) => self.contained.run(|| work(redb)),
            None => Err(StoreFailure::Closed("it is being dropped".to_owned())),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let redb = self.redb.take();
        // After a contained panic redb's own locks are poisoned, and its clean-up may panic again.
        if let Err(failure) = self.contained.run(|| {
            drop(redb);
            Ok(())
        }) {
            tracing::warn!(error = %failure, "database not closed cleanly, the next opening repairs it");
        }
    }
}

/// The record of a value, as it stands in the table.
pub(super) fn encode(key: &Key, revision: Revision, value: &Value) -> Vec<u8> {
    let number = revision.0.to_le_bytes();
    let sum = checksum::of_parts(&[key.as_bytes(), &number, value]).to_le_bytes();
    [&number[..], &sum[..], value].concat()
}

/// What `record` says, or `None` when it does not verify as a record of `key`.
pub(super) fn decode(key: &[u8], record: &[u8]) -> Option<Versioned> {
    let (number, rest) = record.split_first_chunk::<8>()?;
    let (sum, value) = rest.split_first_chunk::<8>()?;
    let verified = checksum::of_parts(&[key, number, value]) == u64::from_le_bytes(*sum);
    let revision = Revision(u64::from_le_bytes(*number));
    verified.then(|| Versioned { value: value.into(), revision })
}

pub(super) fn stored_revision(
    table: &impl ReadableTable<(), u64>,
) -> Result<Option<Revision>, ::redb::StorageError> {
    Ok(table.get(())?.map(|found| Revision(found.value())))
}

/// Runs calls into redb so that nothing but a [`StoreFailure`] about `path` comes out.
struct Contained {
    path: PathBuf,
}

impl Contained {
    fn run<T>(&self, work: impl FnOnce() -> Result<T, ::redb::Error>) -> Result<T, StoreFailure> {
        // Unwind safe: after a failure nobody uses the database again (fail-stop).
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(outcome) => outcome.map_err(|error| self.failure(error)),
            Err(panic) => Err(self.corrupt(format!("redb stopped at it: {}", panic_text(&*panic)))),
        }
    }

    fn failure(&self, error: ::redb::Error) -> StoreFailure {
        use ::redb::Error;
        match error {
            // Every offset redb reads is one the file's own header or pages name.
            Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.corrupt("it is shorter than its own pages say".to_owned())
            }
            Error::Io(source) => StoreFailure::Io {
                path: self.path.clone(),
                reason: source.to_string(),
                source: Some(Arc::new(source)),
            },
            Error::PreviousIo | Error::LockPoisoned(_) | Error::Unsupported => {
                StoreFailure::Io { path: self.path.clone(), reason: error.to_string(), source: None }
            }
            Error::DatabaseClosed => StoreFailure::Closed(error.to_string()),
            other => self.corrupt(other.to_string()),
        }
    }

    fn corrupt(&self, detail: String) -> StoreFailure {
        StoreFailure::Corrupt { path: self.path.clone(), detail }
    }

    fn present(&self, revision: Option<Revision>) -> Result<Revision, StoreFailure> {
        revision.ok_or_else(|| self.corrupt("its revision is missing".to_owned()))
    }

    fn sound(&self, key: &Key, found: Option<Versioned>) -> Result<Versioned, StoreFailure> {
        found.ok_or_else(|| self.corrupt(format!("the record of key \"{key}\" does not verify")))
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
