//! The one thread that writes: group commit.
//!
//! It takes every batch that waits, checks and applies them in order in one transaction, syncs once,
//! notes the new revision as acknowledged, tells the watchers, and only then answers anyone. A batch
//! whose condition fails leaves no trace and does not disturb its neighbours; it is answered with
//! the others, for what it saw may be a neighbour's write that is not durable yet.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use ::redb::{ReadableTable, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::database::{ENTRIES, REVISION, decode, encode, stored_revision};
use crate::entry::{Batch, Change, Key, Revision};
use crate::error::{CommitError, Conflict, StoreFailure};
use crate::limits::MAX_BATCH_BYTES;

/// A batch and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Result<Revision, CommitError>>,
}

/// Starts the thread; it ends when all senders are gone and the queue is empty.
pub(super) fn spawn(shared: Arc<Shared>, mut queue: mpsc::Receiver<Request>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("lonja-store".to_owned()).spawn(move || {
        while let Some(first) = queue.blocking_recv() {
            write_group(&shared, gather(first, &mut queue));
        }
    })
}

/// `first` and what waits behind it, up to the size of one full batch more.
fn gather(first: Request, queue: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.batch.size_bytes();
    let mut group = vec![first];
    while bytes < MAX_BATCH_BYTES
        && let Ok(request) = queue.try_recv()
    {
        bytes = bytes.saturating_add(request.batch.size_bytes());
        group.push(request);
    }
    group
}

fn write_group(shared: &Shared, group: Vec<Request>) {
    let (batches, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|request| (request.batch, request.reply)).unzip();
    match make_durable(shared, batches) {
        Ok(outcomes) => {
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                // Whoever asked may have gone; the batch stands all the same.
                let _ = reply.send(outcome.map_err(CommitError::from));
            }
        }
        Err(failure) => {
            shared.fail(&failure);
            for reply in replies {
                let _ = reply.send(Err(failure.clone().into()));
            }
        }
    }
}

type Outcome = Result<Revision, Conflict>;

fn make_durable(shared: &Shared, batches: Vec<Batch>) -> Result<Vec<Outcome>, StoreFailure> {
    shared.standing()?;
    let applied = shared.database.write(|tables| {
        let before = tables.revision;
        let outcomes = batches
            .into_iter()
            .map(|batch| tables.apply(batch))
            .collect::<Result<Vec<Outcome>, ::redb::Error>>()?;
        let wrote = tables.revision != before;
        if wrote {
            tables.store_revision()?;
        }
        let changes = std::mem::take(&mut tables.changes);
        Ok((wrote, (outcomes, wrote.then_some((tables.revision, changes)))))
    })?;
    let (outcomes, written) = applied;
    if let Some((revision, changes)) = written {
        shared.data_dir.acknowledge(revision).map_err(|source| StoreFailure::Io {
            path: shared.database.path().to_owned(),
            reason: format!("the acknowledged revision cannot be noted: {source}"),
            source: Some(Arc::new(source)),
        })?;
        shared.advance(revision);
        shared.feed.publish(changes);
    }
    Ok(outcomes)
}

/// Our tables inside a write transaction, and what has been done in it so far.
pub(super) struct Transaction<'txn> {
    numbers: Table<'txn, (), u64>,
    entries: Table<'txn, &'static [u8], &'static [u8]>,
    revision: Revision,
    changes: Vec<Change>,
}

impl<'txn> Transaction<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Transaction<'txn>, ::redb::Error> {
        let numbers = transaction.open_table(REVISION)?;
        let entries = transaction.open_table(ENTRIES)?;
        let revision =
            stored_revision(&numbers)?.ok_or_else(|| damaged("its revision is missing".to_owned()))?;
        Ok(Transaction { numbers, entries, revision, changes: Vec::new() })
    }

    /// Applies `batch` on top of what the transaction already holds, or nothing of it.
    fn apply(&mut self, batch: Batch) -> Result<Outcome, ::redb::Error> {
        for (key, wanted) in &batch.conditions {
            let found = self.written_at(key)?;
            if found != *wanted {
                return Ok(Err(Conflict { key: key.clone(), wanted: *wanted, found }));
            }
        }
        if batch.writes.is_empty() {
            return Ok(Ok(self.revision));
        }
        let revision = self.revision.next();
        for (key, value) in batch.writes {
            let existed = match &value {
                Some(value) => {
                    self.entries.insert(key.as_bytes(), encode(&key, revision, value).as_slice())?;
                    true
                }
                None => self.entries.remove(key.as_bytes())?.is_some(),
            };
            if existed {
                self.changes.push(Change { key, value, revision });
            }
        }
        self.revision = revision;
        Ok(Ok(revision))
    }

    fn written_at(&self, key: &Key) -> Result<Option<Revision>, ::redb::Error> {
        let Some(record) = self.entries.get(key.as_bytes())? else { return Ok(None) };
        match decode(key.as_bytes(), record.value()) {
            Some(versioned) => Ok(Some(versioned.revision)),
            None => Err(damaged(format!("the record of key \"{key}\" does not verify"))),
        }
    }

    fn store_revision(&mut self) -> Result<(), ::redb::Error> {
        self.numbers.insert((), self.revision.0)?;
        Ok(())
    }
}

fn damaged(detail: String) -> ::redb::Error {
    ::redb::Error::Corrupted(detail)
}
