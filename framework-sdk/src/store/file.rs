//! A store in a folder of this machine, over [`lonja_storage`]: one synced commit for each batch.
//!
//! A key of the scheduler is the key in the database; the framework's id, the agents of its tasks and their kills stand under
//! keys that no text can be.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lonja_model::{AgentId, FrameworkId, TaskId};
use lonja_sdk_core::{Change, Record, State};
use lonja_storage::{Batch, CommitError, Key, OpenError, ReadError, RedbStore, Snapshot, StoreIdentity};
use lonja_storage::{Store as _, StoreFailure};

use super::{Store, StoreError};

/// Whose data it is, and the number of our encoding.
const IDENTITY: StoreIdentity = StoreIdentity { kind: "framework", format: 1 };

/// The key of the framework's id: no beginning of any UTF-8 text.
const FRAMEWORK: &[u8] = &[0xff];

/// What comes before a task's id in the key of its agent: no beginning of any UTF-8 text either.
const TASK: u8 = 0xfe;

/// What comes before a task's id in the key of its kill: no beginning of any UTF-8 text either.
const KILL: u8 = 0xfd;

/// The key that is there while the framework is being torn down.
const TEARING_DOWN: &[u8] = &[0xff, 1];

/// The file in the folder whose lock keeps others out.
const LOCK: &str = "LOCK";

/// How long a run of this same process may take to let go of the folder: one that was dropped ends a little later.
const OWN_HOLD: Duration = Duration::from_secs(2);

/// Keeps a [`State`] in a folder, synced to its disk with each commit.
///
/// The folder is made when it is missing and opened when the run begins; from then on it is locked, and another driver
/// is refused; should it be removed or replaced meanwhile, nothing more is kept. What it holds survives a kill of the process at any moment, and a loss of power if the disk keeps what
/// it has synced. A disk that is full delays the run and loses nothing.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    open: Option<Open>,
}

impl FileStore {
    /// The store in this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), open: None }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database, if it is there still.
    fn opened(&mut self) -> Result<&RedbStore, StoreError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::new(&self.folder)?,
        };
        let open = self.open.insert(open);
        open.is_in_place()?;
        Ok(&open.store)
    }
}

/// The open database and the files that it is made of: removed or moved they go on to be written and locked, and nobody
/// else sees either.
#[derive(Debug)]
struct Open {
    store: RedbStore,
    files: Vec<(PathBuf, (u64, u64))>,
}

impl Open {
    fn new(folder: &Path) -> Result<Self, StoreError> {
        let store = open(folder)?;
        let mut files = Vec::new();
        for path in [store.path(), folder.join(LOCK)] {
            // The process may go to another folder meanwhile.
            let path = std::path::absolute(&path).unwrap_or(path);
            let identity = identity(&path).map_err(|why| moved(&path, &why))?;
            files.push((path, identity));
        }
        Ok(Self { store, files })
    }

    fn is_in_place(&self) -> Result<(), StoreError> {
        for (path, opened) in &self.files {
            match identity(path) {
                Ok(found) if found == *opened => {}
                Ok(_) => return Err(moved(path, "another file stands in its place")),
                Err(why) => return Err(moved(path, &why)),
            }
        }
        Ok(())
    }
}

/// Which file this path names: its device and inode. Errors: none, in words.
fn identity(path: &Path) -> Result<(u64, u64), String> {
    let metadata = std::fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    Ok((metadata.dev(), metadata.ino()))
}

fn moved(path: &Path, why: &str) -> StoreError {
    StoreError::Moved { path: path.to_owned(), why: why.to_owned() }
}

fn task_key(kind: u8, task: &TaskId) -> Vec<u8> {
    [&[kind], task.as_str().as_bytes()].concat()
}

/// A grace period as it is kept: nothing, or seconds and nanoseconds, big-endian.
fn grace_to_bytes(grace: Option<Duration>) -> Vec<u8> {
    grace.map_or_else(Vec::new, |grace| {
        [&grace.as_secs().to_be_bytes()[..], &grace.subsec_nanos().to_be_bytes()].concat()
    })
}

/// The same back; `None` if these bytes are none.
fn grace_from_bytes(bytes: &[u8]) -> Option<Option<Duration>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let (seconds, nanos) = bytes.split_first_chunk()?;
    let nanos = u32::from_be_bytes(nanos.try_into().ok()?);
    (nanos < 1_000_000_000).then(|| Some(Duration::new(u64::from_be_bytes(*seconds), nanos)))
}

/// Is there what the library keeps, and no note of the scheduler?
fn is_the_librarys(key: &Key) -> bool {
    key.as_bytes().first().is_some_and(|first| *first >= KILL)
}

/// Deletes all that is kept under such keys, or that one of these changes puts there.
fn delete(
    batch: Batch,
    store: &RedbStore,
    changes: &[Record],
    which: impl Fn(&Key) -> bool,
) -> Result<Batch, StoreError> {
    let kept = scan(store)?.entries.into_iter().map(|(key, _)| key);
    let put = changes.iter().filter_map(|change| match change {
        Record::Put { key, .. } => Some(Key::from(key.as_str())),
        Record::Launched { task, .. } => Some(Key::from(task_key(TASK, task))),
        Record::Killing { task, .. } => Some(Key::from(task_key(KILL, task))),
        _ => None,
    });
    let batch = kept.chain(put).filter(which).fold(batch, Batch::delete);
    Ok(batch.delete(FRAMEWORK).delete(TEARING_DOWN))
}

fn open(folder: &Path) -> Result<RedbStore, StoreError> {
    let began = Instant::now();
    loop {
        match RedbStore::open(folder, IDENTITY) {
            Ok(store) => return Ok(store),
            Err(OpenError::Locked { holder, .. })
                if holder == Some(std::process::id()) && began.elapsed() < OWN_HOLD =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(not_opened(folder, error)),
        }
    }
}

impl Store for FileStore {
    fn load(&mut self) -> Result<State, StoreError> {
        let store = self.opened()?;
        let snapshot = scan(store)?;
        let mut state = State::default();
        for (key, entry) in snapshot.entries {
            let damaged = |what: &str| StoreError::Damaged {
                why: format!("{} holds {what}: restore a backup", store.path().display()),
            };
            if key.as_bytes() == FRAMEWORK {
                let id = std::str::from_utf8(&entry.value).ok().and_then(|id| FrameworkId::new(id).ok());
                let id = id.ok_or_else(|| damaged("a framework id that is none"))?;
                state.apply(Record::Framework(Some(id)));
            } else if let Some((&TASK, id)) = key.as_bytes().split_first() {
                let task = std::str::from_utf8(id).ok().and_then(|id| TaskId::new(id).ok());
                let agent = std::str::from_utf8(&entry.value).ok().and_then(|id| AgentId::new(id).ok());
                let (task, agent) = task.zip(agent).ok_or_else(|| damaged("a task that is none"))?;
                state.apply(Record::Launched { task, agent });
            } else if let Some((&KILL, id)) = key.as_bytes().split_first() {
                let task = std::str::from_utf8(id).ok().and_then(|id| TaskId::new(id).ok());
                let kill = task.zip(grace_from_bytes(&entry.value));
                let (task, grace) = kill.ok_or_else(|| damaged("a kill that is none"))?;
                state.apply(Record::Killing { task, grace });
            } else if key.as_bytes() == TEARING_DOWN {
                state.apply(Record::TearingDown);
            } else {
                let key =
                    std::str::from_utf8(key.as_bytes()).map_err(|_| damaged("a key that is no text"))?;
                state.apply(Change::put(key, &*entry.value));
            }
        }
        Ok(state)
    }

    fn commit(&mut self, changes: &[Record]) -> Result<(), StoreError> {
        let store = self.opened()?;
        let mut batch = Batch::new();
        for change in changes {
            batch = match change {
                Record::TearingDown => batch.put(TEARING_DOWN, []),
                Record::Put { key, value } => batch.put(key.as_str(), value.as_slice()),
                Record::Remove { key } => batch.delete(key.as_str()),
                Record::Framework(Some(id)) => batch.put(FRAMEWORK, id.as_str().as_bytes()),
                // With all that was there, and all that this very batch has put there.
                Record::Framework(None) => delete(batch, store, changes, |_| true)?,
                Record::Removed => delete(batch, store, changes, is_the_librarys)?,
                Record::Launched { task, agent } => {
                    batch.put(task_key(TASK, task), agent.as_str().as_bytes())
                }
                Record::Killing { task, grace } => batch.put(task_key(KILL, task), grace_to_bytes(*grace)),
                Record::Ended { task } => batch.delete(task_key(TASK, task)).delete(task_key(KILL, task)),
                other => {
                    return Err(StoreError::failed(format!(
                        "a change that this store cannot make: {other:?}"
                    )));
                }
            };
        }
        // Somebody may call this within a task of a runtime, which would have it pause now and then; there it would never
        // go on, since the task does not.
        match futures::executor::block_on(tokio::task::unconstrained(store.commit(batch))) {
            Ok(_revision) => Ok(()),
            Err(CommitError::Failed(failure)) => Err(failed(failure)),
            // In the words: whoever prints the error alone learns the limit too.
            Err(error @ (CommitError::Conflict(_) | CommitError::Limit(_))) => {
                Err(StoreError::failed(format!(
                    "the changes of one event were refused together: {error}; make them over several events"
                )))
            }
        }
    }

    fn name(&self) -> String {
        self.folder.display().to_string()
    }
}

/// Reads everything. The database reads on a runtime's threads, and here there may be none.
fn scan(store: &RedbStore) -> Result<Snapshot, StoreError> {
    let runtime = || StoreError::failed("no thread can be started to read the store");
    let scanned = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
            Some(runtime.block_on(store.scan(&Key::empty())))
        });
        reader.join().ok().flatten()
    });
    scanned.ok_or_else(runtime)?.map_err(|error| match error {
        ReadError::Failed(failure) => failed(failure),
        ReadError::Limit(limit) => StoreError::failed(limit.to_string()),
    })
}

fn failed(failure: StoreFailure) -> StoreError {
    match failure {
        StoreFailure::Corrupt { .. } => StoreError::Damaged { why: failure.to_string() },
        StoreFailure::Io { .. } | StoreFailure::Closed(_) => {
            StoreError::Failed { why: failure.to_string(), source: None }
        }
    }
}

fn not_opened(folder: &Path, error: OpenError) -> StoreError {
    match error {
        OpenError::Locked { holder, .. } => StoreError::InUse {
            path: folder.to_owned(),
            holder: match holder {
                Some(pid) if pid == std::process::id() => "another driver of this process".to_owned(),
                Some(pid) => format!("process {pid}"),
                None => "another process".to_owned(),
            },
        },
        OpenError::OtherKind { .. }
        | OpenError::NewerFormat { .. }
        | OpenError::OlderFormat { .. }
        | OpenError::NotADatabase { .. }
        | OpenError::NotADirectory { .. }
        | OpenError::SymbolicLink { .. } => StoreError::Foreign { why: error.to_string() },
        OpenError::Corrupt { .. } | OpenError::LostRevisions { .. } => {
            StoreError::Damaged { why: error.to_string() }
        }
        OpenError::NoPermission { path, action, source } => {
            let why = match source.kind() {
                std::io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only",
                _ => "this user has no right to",
            };
            let (path, folder) = (path.display(), folder.display());
            let why = format!(
                "cannot {action} {path}: {why}; a store is written to: let this process write in {folder}, or name another \
                 folder"
            );
            StoreError::Failed { why, source: Some(Box::new(source)) }
        }
        OpenError::InvalidKind(_) | OpenError::Io { .. } => {
            StoreError::Failed { why: error.to_string(), source: Some(Box::new(error)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_said_to_be_so() {
        let folder = Path::new("/state");
        for (kind, why) in
            [(ErrorKind::ReadOnlyFilesystem, "read-only"), (ErrorKind::PermissionDenied, "no right")]
        {
            let (path, source) = (folder.join(LOCK), Error::from(kind));
            let error = not_opened(folder, OpenError::NoPermission { path, action: "open", source });
            let text = error.to_string();
            assert!(text.contains(why) && text.contains("/state/LOCK"), "{text}");
        }
    }
}
