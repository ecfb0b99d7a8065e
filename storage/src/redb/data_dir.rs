//! The folder a store lives in: who holds it, what is in it, and why it is refused.
//!
//! Links are refused inside the folder, so that nobody who may write there can point a daemon's
//! writes elsewhere; the folder itself may be one, as operators have it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acknowledged::Acknowledged;
use super::identity::StoreIdentity;
use super::room::{Patience, is_full};
use crate::entry::Revision;
use crate::error::StoreFailure;

/// Why a data dir is not opened. Nothing in it was changed, unless by redb's own repair.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kind cannot name a file.
    #[error("\"{0}\" cannot name a store: use up to 32 of a-z, 0-9 and -")]
    InvalidKind(String),
    /// Another process, or another store in this one, has it open.
    #[error("{} is in use by {}: stop that process, or choose another work dir", dir.display(), holder_text(*holder))]
    Locked {
        /// The data dir.
        dir: PathBuf,
        /// The process that wrote its id into the lock file, where that can be read.
        holder: Option<u32>,
    },
    /// The data dir's path leads to something else.
    #[error("{} is not a directory: name a directory, or a path where one can be made", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A name we use inside the data dir is a symbolic link.
    #[error("{} is a symbolic link, which is not followed: put the file itself there, or remove the link", path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The operating system denies it.
    #[error("no permission to {action} {}: give this user the right, or choose another work dir", path.display())]
    NoPermission {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's words.
        source: io::Error,
    },
    /// The data is another daemon's.
    #[error("{} holds the data of \"{found}\", not of \"{wanted}\": choose another work dir", path.display())]
    OtherKind {
        /// The database file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: &'static str,
    },
    /// A newer release wrote it.
    #[error("{} has format {found}, this release reads {wanted}: run the newer release that wrote it", path.display())]
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// The file's format.
        found: u32,
        /// Ours.
        wanted: u32,
    },
    /// An older release wrote it.
    #[error("{} has format {found}, this release reads {wanted}: it has no conversion from it; run the older release", path.display())]
    OlderFormat {
        /// The database file.
        path: PathBuf,
        /// The file's format.
        found: u32,
        /// Ours.
        wanted: u32,
    },
    /// The file in the database's place is none.
    #[error("{} is not a database of ours ({detail}): move it away, or restore a backup", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// The database is torn or has rotted.
    #[error("{} is damaged ({detail}): restore a backup, or move the data dir away to start empty", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// The database is sound, but older than what was acknowledged, or gone.
    #[error(
        "{} stands at revision {found}, but revision {acknowledged} was acknowledged: restore the newest copy, or \
         accept the loss by removing {}", path.display(), witness.display()
    )]
    LostRevisions {
        /// The database file.
        path: PathBuf,
        /// Where it stands; 0 when it is missing.
        found: Revision,
        /// Where it must stand at least.
        acknowledged: Revision,
        /// The file that says so.
        witness: PathBuf,
    },
    /// The disk or the file system fails.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's words.
        source: io::Error,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    pub(super) fn from_failure(failure: StoreFailure, dir: &Path) -> OpenError {
        match failure {
            StoreFailure::Corrupt { path, detail } => OpenError::Corrupt { path, detail },
            StoreFailure::Io { path, reason, source } => {
                let kind = source.map_or(io::ErrorKind::Other, |source| source.kind());
                OpenError::io(&path, "read", io::Error::new(kind, reason))
            }
            StoreFailure::Closed(reason) => OpenError::io(dir, "read", io::Error::other(reason)),
        }
    }

    pub(super) fn io(path: &Path, action: &'static str, source: io::Error) -> OpenError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NoPermission { path, action, source }
            }
            io::ErrorKind::NotADirectory => OpenError::NotADirectory { path },
            // What O_NOFOLLOW answers for a link in the last place.
            _ if source.raw_os_error() == Some(libc::ELOOP) => OpenError::SymbolicLink { path },
            _ => OpenError::Io { path, action, source },
        }
    }
}

/// A data dir that this process holds.
#[derive(Debug)]
pub(super) struct DataDir {
    dir: PathBuf,
    identity: StoreIdentity,
    acknowledged: Acknowledged,
    /// Whether there was such a file; a new one says nothing yet.
    witnessed: Option<Revision>,
    patience: Arc<Patience>,
    _lock: Lock,
}

/// The held lock file. The kernel unlocks it when the process dies.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread has just forked holds the same open
        // file until it calls exec, and the lock with it.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "lock file not unlocked, it stays locked until this process ends");
        }
    }
}

impl DataDir {
    /// Makes the folder when it is missing, and takes it, or says who has it.
    pub(super) fn lock(dir: &Path, identity: StoreIdentity) -> Result<DataDir, OpenError> {
        make_dir(dir)?;
        let lock = take_lock(dir)?;
        let witness = dir.join(format!("{}.acknowledged", identity.kind));
        refuse_other_kinds(dir, identity)?;
        let file = open_file(&witness, true)?;
        let acknowledged = Acknowledged::new(file);
        let witnessed = acknowledged.read().map_err(|source| OpenError::io(&witness, "read", source))?;
        Ok(DataDir {
            dir: dir.to_owned(),
            identity,
            acknowledged,
            witnessed,
            patience: Patience::new(dir),
            _lock: lock,
        })
    }

    pub(super) fn database_path(&self) -> PathBuf {
        self.dir.join(format!("{}.redb", self.identity.kind))
    }

    fn witness_path(&self) -> PathBuf {
        self.dir.join(format!("{}.acknowledged", self.identity.kind))
    }

    pub(super) fn has_database(&self) -> Result<bool, OpenError> {
        let path = self.database_path();
        // Not following: a link that leads nowhere is there, and refused when it is opened.
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(OpenError::io(&path, "look at", source)),
        }
    }

    /// A data dir that once acknowledged something does not start over because its database is gone.
    pub(super) fn refuse_if_acknowledged(&self) -> Result<(), OpenError> {
        self.refuse_below(Revision::ZERO)
    }

    /// Refuses a database at `revision` when more was acknowledged; else takes it as the new floor.
    pub(super) fn check_acknowledged(&self, revision: Revision) -> Result<(), OpenError> {
        self.refuse_below(revision)?;
        if self.witnessed == Some(revision) {
            return Ok(());
        }
        if self.witnessed.is_none() && revision > Revision::ZERO {
            let path = self.witness_path();
            tracing::warn!(path = %path.display(), %revision, "acknowledged revision unknown, taken from the database");
        }
        let written = self.acknowledged.write(revision).and_then(|()| self.acknowledged.sync());
        written.map_err(|source| OpenError::io(&self.witness_path(), "write", source))
    }

    fn refuse_below(&self, found: Revision) -> Result<(), OpenError> {
        match self.witnessed {
            Some(acknowledged) if acknowledged > found => Err(OpenError::LostRevisions {
                path: self.database_path(),
                found,
                acknowledged,
                witness: self.witness_path(),
            }),
            _ => Ok(()),
        }
    }

    /// Notes that everything through `revision` is about to be acknowledged.
    pub(super) fn acknowledge(&self, revision: Revision) -> io::Result<()> {
        self.patience.wait_for(|| self.acknowledged.write(revision))
    }

    /// Waits for room on a full disk.
    pub(super) fn patience(&self) -> Arc<Patience> {
        Arc::clone(&self.patience)
    }

    /// Makes the database under another name and renames it, so that a crash leaves it whole or not
    /// at all, and never a file of length zero.
    pub(super) fn create_database(
        &mut self,
        create: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let path = self.database_path();
        let unfinished = path.with_extension("redb.new");
        match fs::remove_file(&unfinished) {
            Ok(()) => {
                tracing::info!(path = %unfinished.display(), "removed a database that a crash left unfinished")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(OpenError::io(&unfinished, "remove", source)),
        }
        create(&unfinished)?;
        fs::rename(&unfinished, &path).map_err(|source| OpenError::io(&path, "rename into", source))?;
        sync_dir(&self.dir)
    }

    /// Opens the database file, refusing what is no file, or none of redb's.
    pub(super) fn open_database(&self) -> Result<File, OpenError> {
        let path = self.database_path();
        let mut file = open_file(&path, false)?;
        let mut magic = [0; MAGIC.len()];
        let outcome = file.read_exact(&mut magic).and_then(|()| file.rewind());
        match outcome {
            Ok(()) if magic == MAGIC => Ok(file),
            Ok(()) => Err(OpenError::NotADatabase { path, detail: "it begins with other bytes".to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let length = file.metadata().map_or(0, |metadata| metadata.len());
                Err(OpenError::NotADatabase { path, detail: format!("it is {length} bytes long") })
            }
            Err(source) => Err(OpenError::io(&path, "read", source)),
        }
    }
}

/// What every redb file begins with. Source: redb's file format notes.
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";

fn make_dir(dir: &Path) -> Result<(), OpenError> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(OpenError::NotADirectory { path: dir.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OpenError::io(dir, "look at", source)),
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| OpenError::io(dir, "make", source))?;
    // The folder's own name must survive, or its content does not.
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| OpenError::io(dir, "sync", source))
}

fn take_lock(dir: &Path) -> Result<Lock, OpenError> {
    let path = dir.join("LOCK");
    let file = open_file(&path, true)?;
    let mut lock = match file.try_lock() {
        Ok(()) => Lock(file),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // A lock file is a few bytes; more is not ours, and the pid is only a courtesy.
            let read = file.take(32).read_to_string(&mut holder);
            let holder = read.ok().and_then(|_| holder.trim().parse().ok());
            return Err(OpenError::Locked { dir: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(OpenError::io(&path, "lock", source)),
    };
    let noted = lock.0.set_len(0).and_then(|()| writeln!(lock.0, "{}", std::process::id()));
    match noted {
        // The pid is a courtesy, and a full disk no reason to stay away.
        Err(error) if is_full(&error) => Ok(lock),
        Err(source) => Err(OpenError::io(&path, "write", source)),
        Ok(()) => Ok(lock),
    }
}

fn refuse_other_kinds(dir: &Path, identity: StoreIdentity) -> Result<(), OpenError> {
    let list = || -> io::Result<Option<PathBuf>> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let ours = path.file_stem().is_some_and(|stem| stem == identity.kind);
            if path.extension().is_some_and(|extension| extension == "redb") && !ours {
                return Ok(Some(path));
            }
        }
        Ok(None)
    };
    match list().map_err(|source| OpenError::io(dir, "list", source))? {
        Some(path) => {
            let found = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            Err(OpenError::OtherKind { path, found, wanted: identity.kind })
        }
        None => Ok(()),
    }
}

pub(super) fn open_file(path: &Path, create: bool) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).mode(0o600);
    // Neither follow a link nor wait for the other end of a pipe.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::IsADirectory => {
            OpenError::NotADatabase { path: path.to_owned(), detail: "it is a directory".to_owned() }
        }
        _ => OpenError::io(path, "open", source),
    })?;
    let metadata = file.metadata().map_err(|source| OpenError::io(path, "look at", source))?;
    if !metadata.is_file() {
        let detail = "it is not a regular file".to_owned();
        return Err(OpenError::NotADatabase { path: path.to_owned(), detail });
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: StoreIdentity = StoreIdentity { kind: "test", format: 1 };

    #[test]
    fn a_child_that_was_just_forked_does_not_keep_the_data_dir_locked() {
        let place = tempfile::tempdir().unwrap();
        let held = DataDir::lock(place.path(), OURS).unwrap();
        // A second descriptor of the same open file, which is what a fork leaves in the child.
        let in_child = held._lock.0.try_clone().unwrap();

        drop(held);

        DataDir::lock(place.path(), OURS).unwrap();
        drop(in_child);
    }
}
