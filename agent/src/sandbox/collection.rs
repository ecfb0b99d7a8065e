//! Which files of ended tasks may go, and their removal.
//!
//! While there is room they stay for `--gc-delay`; the fuller the disk, the less long. The oldest go first. What cannot be
//! removed is tried again.
//!
//! Invariants
//! - Removal never leaves the sandbox, whatever its task left in it (`disk::removal`).
//! - At most a thousand are kept, so that looking for those of a task stays quick.
//!
//! Source: Mesos, `--gc_delay`, `--gc_disk_headroom`, `--disk_watch_interval`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::disk::Disks;

/// How many ended tasks' files stay.
const MOST_KEPT: usize = 1_000;

/// Seconds and nanoseconds of Unix time.
type Moment = (i64, i64);

/// The sandboxes of ended tasks.
#[derive(Debug)]
pub(crate) struct Collection {
    disks: Arc<Disks>,
    /// With the time of their end.
    ended: Mutex<BTreeSet<(Moment, PathBuf)>>,
    /// Somebody wants it to be looked at now.
    wanted: Notify,
    removed: AtomicU64,
    failed: AtomicU64,
}

/// What has been done so far, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Sandboxes of ended tasks that are there.
    pub(crate) pending: u64,
    /// Removed since the start.
    pub(crate) removed: u64,
    /// Removals that failed and were or will be tried again.
    pub(crate) failed: u64,
}

impl Collection {
    pub(super) fn new(disks: Arc<Disks>) -> Self {
        Self {
            disks,
            ended: Mutex::default(),
            wanted: Notify::new(),
            removed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn begin_with(&self, ended: BTreeSet<(Moment, PathBuf)>) {
        self.ended().extend(ended);
        self.wanted.notify_one();
    }

    pub(super) fn add(&self, path: PathBuf) {
        let mut ended = self.ended();
        ended.insert((now(), path));
        if ended.len() > MOST_KEPT {
            self.wanted.notify_one();
        }
    }

    /// There is no room for a task: whatever may go should go now.
    pub(crate) fn hurry(&self) {
        self.wanted.notify_one();
    }

    /// What has been done so far.
    pub(crate) fn collected(&self) -> Collected {
        Collected {
            pending: self.ended().len() as u64,
            removed: self.removed.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Removes what may go, now and then, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let this = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || this.collect()).await {
                tracing::error!(%error, "removing old sandboxes failed");
            }
            tokio::select! {
                () = tokio::time::sleep(self.disks.settings().gc_interval) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Removes all that may go. Blocks.
    fn collect(&self) {
        let mut kept = Vec::new();
        loop {
            // Each time anew: what was removed may be enough.
            let used = self.disks.room().map_or(0.0, |room| room.used);
            let allowed = self.disks.settings().age_allowed(used);
            let mut ended = self.ended();
            let is_surplus = ended.len() > MOST_KEPT;
            let may_go = |moment: Moment| is_surplus || age(moment) >= allowed;
            let Some((moment, path)) = ended.pop_first() else { break };
            if !may_go(moment) {
                ended.insert((moment, path));
                break;
            }
            drop(ended);
            if self.remove(&path) {
                self.removed.fetch_add(1, Ordering::Relaxed);
            } else {
                self.failed.fetch_add(1, Ordering::Relaxed);
                kept.push((moment, path));
            }
        }
        self.ended().extend(kept);
    }

    fn remove(&self, path: &Path) -> bool {
        if let Err(error) = self.disks.remove(path) {
            tracing::warn!(path = %path.display(), %error, "an old sandbox cannot be removed; it will be tried again");
            return false;
        }
        tracing::debug!(path = %path.display(), "an old sandbox is removed");
        for folder in path.ancestors().skip(1).take(2) {
            // Not empty: other runs or tasks are still there.
            let _kept = fs::remove_dir(folder);
        }
        true
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Moment, PathBuf)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()))
}

/// How long ago that was; no time at all if the clock was set back since.
fn age(moment: Moment) -> Duration {
    let (now, then) = (now(), moment);
    let nanoseconds =
        (i128::from(now.0) - i128::from(then.0)) * 1_000_000_000 + i128::from(now.1) - i128::from(then.1);
    u64::try_from(nanoseconds.max(0)).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskMeans, DiskSettings};

    fn collection(dir: &Path, gc_delay: Duration) -> Collection {
        let settings =
            DiskSettings { means: DiskMeans::Poll, gc_delay, gc_headroom: 0.0, ..DiskSettings::default() };
        Collection::new(Arc::new(Disks::open(dir, settings).unwrap()))
    }

    fn sandbox(dir: &Path, task: &str) -> PathBuf {
        let path = dir.join("sandboxes/f").join(task).join("c");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
        path
    }

    #[test]
    fn files_go_when_they_are_old_enough_and_their_empty_folders_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let (old, young) = (sandbox(dir.path(), "old"), sandbox(dir.path(), "young"));
        let collection = collection(dir.path(), Duration::from_secs(3600));
        let long_ago = (now().0 - 4_000, 0);
        collection.begin_with([(long_ago, old.clone()), (now(), young.clone())].into());

        collection.collect();

        assert!(!dir.path().join("sandboxes/f/old").exists() && young.exists());
        assert_eq!(collection.collected(), Collected { pending: 1, removed: 1, failed: 0 });
    }

    #[test]
    fn with_no_delay_all_go_and_beyond_a_thousand_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let first = sandbox(dir.path(), "first");
        let collection = collection(dir.path(), Duration::MAX);
        collection.begin_with([((1_000, 0), first.clone())].into());
        for number in 0..MOST_KEPT {
            collection.add(dir.path().join("sandboxes/f/gone").join(number.to_string()));
        }
        // What is not there is removed without an error.
        collection.collect();
        assert!(!first.exists());
        assert_eq!(collection.collected().pending, MOST_KEPT as u64);

        let none = self::collection(dir.path(), Duration::ZERO);
        let last = sandbox(dir.path(), "last");
        none.add(last.clone());
        none.collect();
        assert!(!last.exists() && !dir.path().join("sandboxes/f").exists());
    }
}
