//! Room on the disk that is the store's before it needs it.
//!
//! The database's file is allocated to its end and beyond, so that what is committed finds its blocks there when nobody
//! else finds any: pages are written in place, and a file that grows, grows into what is its own already. Nothing has to be
//! released first, and so nobody can be faster. Only when that room is used up as well, on a disk that is still full, a commit waits, with
//! nothing acknowledged and nothing lost, and goes on when there is room.
//!
//! Invariants
//! - A full disk fails no commit; whatever else goes wrong does, as before.
//! - Whoever closes the store does not wait for the disk.
//!
//! Where blocks cannot be set aside (file systems that write each change to a new place, or know no `fallocate`), commits wait.
//!
//! Source: fallocate(2), FALLOC_FL_KEEP_SIZE; docs/invariants.md, INV-10.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redb::{BackendError, StorageBackend};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// What is set aside beyond the end: as much as the file has, within these bounds, in bytes. A small database grows
/// by doubling.
const LEAST_BEYOND: u64 = 8 << 20;
const MOST_BEYOND: u64 = 64 << 20;

/// The longest pause before a full disk is tried again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How often it is said that commits wait.
const REMINDER: Duration = Duration::from_secs(60);

/// Waits for room on a full disk; shared by all who write below one data dir.
#[derive(Debug, Default)]
pub(super) struct Patience {
    dir: PathBuf,
    closing: AtomicBool,
    pause: Mutex<()>,
    closed: Condvar,
}

impl Patience {
    pub(super) fn new(dir: &Path) -> Arc<Self> {
        Arc::new(Self { dir: dir.to_owned(), ..Self::default() })
    }

    /// From now on nobody waits: a full disk is an error like others.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let _held = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.notify_all();
    }

    /// Tries until the disk has room, or something else is wrong.
    pub(super) fn wait_for<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut pause = Duration::from_millis(5);
        let mut said: Option<Instant> = None;
        loop {
            let outcome = attempt();
            let full = outcome.as_ref().is_err_and(is_full);
            if !full || self.closing.load(Ordering::Acquire) {
                if said.is_some() && !full {
                    tracing::info!(dir = %self.dir.display(), "there is room on the disk again: commits go on");
                }
                return outcome;
            }
            if said.is_none_or(|at| at.elapsed() >= REMINDER) {
                said = Some(Instant::now());
                tracing::error!(dir = %self.dir.display(), "the disk is full: commits wait until there is room; free some");
            }
            self.sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn sleep(&self, pause: Duration) {
        let held = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.closing.load(Ordering::Acquire) {
            let _woken = self.closed.wait_timeout(held, pause);
        }
    }
}

/// Whether the disk, or the owner's quota of it, is used up.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A disk under redb that has room set aside.
#[derive(Debug)]
pub(super) struct RoomyDisk<Disk> {
    disk: Disk,
    /// The same file, to set room aside in; redb's own handle is not lent.
    file: File,
    patience: Arc<Patience>,
}

impl<Disk: StorageBackend> RoomyDisk<Disk> {
    pub(super) fn new(disk: Disk, file: File, patience: Arc<Patience>) -> io::Result<Self> {
        let roomy = Self { disk, file, patience };
        let length = roomy.disk.len()?;
        // The blocks of a file that has holes, from before room was set aside or after a copy.
        roomy.set_aside(length);
        Ok(roomy)
    }

    /// Allocates the file to `length` and beyond, as far as there is room; what is not had now is tried for when it is needed.
    fn set_aside(&self, length: u64) {
        let beyond = length.clamp(LEAST_BEYOND, MOST_BEYOND);
        if let Err(error) = allocate(&self.file, length.saturating_add(beyond)) {
            tracing::debug!(%error, length, "no room can be set aside for the database beyond what it has");
        }
    }
}

/// Gives the file its blocks up to `length`, and leaves its length as it is.
fn allocate(file: &File, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    loop {
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, length) {
            Err(Errno::INTR) => {}
            // This file system cannot; writes find out for themselves.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            outcome => return Ok(outcome?),
        }
    }
}

impl<Disk: StorageBackend> StorageBackend for RoomyDisk<Disk> {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if length > self.disk.len()? {
            // Blocks first: a file that is longer than its blocks would fail when a page is written or synced.
            self.patience.wait_for(|| allocate(&self.file, length))?;
        }
        self.patience.wait_for(|| self.disk.set_len(length))?;
        self.set_aside(length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Never a second time: after a sync that failed nobody knows what is on the disk.
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.patience.wait_for(|| self.disk.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.disk.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.query_lock_range(start, end)
    }
}
