//! Looks at the sandboxes of running containers, one after the other, each once in a while.
//!
//! Invariants
//! - At most one sandbox is measured at a time, and no more than a tenth of the time is spent on it.
//! - A breach is told once for each container.
//! - A sandbox whose use cannot be told, because its task keeps us from looking, counts as above its limit.
//!
//! Source: Mesos, `--container_disk_watch_interval`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lonja_agent_core::{DiskBreach, HiddenUse};
use lonja_model::ContainerId;
use tokio::sync::Notify;

use super::Disks;
use super::measure::{Measured, Unseen};

/// The pause after a look, as a multiple of how long it took.
const REST: u32 = 9;

/// What a sandbox was last found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// In bytes; perhaps more.
    pub(crate) used_bytes: u64,
    /// When.
    pub(crate) at: SystemTime,
}

#[derive(Debug)]
struct Watched {
    sandbox: PathBuf,
    limit: Option<u64>,
    due: Instant,
    last: Option<Look>,
    breached: bool,
    /// Looks in a row that came to nothing.
    failed: u32,
}

/// Which containers are looked at, and what was seen.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    disks: Arc<Disks>,
    watched: Mutex<BTreeMap<ContainerId, Watched>>,
    changed: Notify,
}

impl DiskWatch {
    pub(crate) fn new(disks: Arc<Disks>) -> Self {
        Self { disks, watched: Mutex::new(BTreeMap::new()), changed: Notify::new() }
    }

    /// A container runs, and its sandbox may hold so many bytes.
    pub(crate) fn add(&self, container: ContainerId, sandbox: PathBuf, limit: Option<u64>) {
        let due = Instant::now() + self.first_look();
        let one = Watched { sandbox, limit, due, last: None, breached: false, failed: 0 };
        self.watched().insert(container, one);
        self.changed.notify_one();
    }

    /// The container's sandbox may hold so many bytes from now on.
    pub(crate) fn relimit(&self, container: &ContainerId, limit: Option<u64>) {
        if let Some(one) = self.watched().get_mut(container) {
            one.limit = limit;
        }
    }

    /// Soon, so that statistics have a figure; not at once, for a short task is over before it matters.
    fn first_look(&self) -> Duration {
        self.disks.settings().watch_interval.min(Duration::from_secs(1))
    }

    /// The container has ended.
    pub(crate) fn remove(&self, container: &ContainerId) {
        self.watched().remove(container);
    }

    /// Those that run.
    pub(crate) fn containers(&self) -> Vec<ContainerId> {
        self.watched().keys().cloned().collect()
    }

    /// What the sandbox may hold, and what it was last found to hold.
    pub(crate) fn last(&self, container: &ContainerId) -> (Option<u64>, Option<Look>) {
        let watched = self.watched();
        let Some(one) = watched.get(container) else { return (None, None) };
        let (limit, last, sandbox) = (one.limit, one.last, one.sandbox.clone());
        drop(watched);
        match self.disks.used_at_once(&sandbox) {
            Some(used_bytes) => (limit, Some(Look { used_bytes, at: SystemTime::now() })),
            None => (limit, last),
        }
    }

    /// Looks until somebody is found above a limit that is enforced. To be called again and again, by one at a time.
    pub(crate) async fn next_breach(&self) -> (ContainerId, DiskBreach) {
        if !self.disks.measures() {
            return std::future::pending().await;
        }
        loop {
            let Some((container, sandbox, limit)) = self.next().await else { continue };
            let (disks, enough) = (self.disks.clone(), limit.unwrap_or(u64::MAX));
            let started = Instant::now();
            let looked = tokio::task::spawn_blocking(move || disks.measure(&sandbox, enough)).await;
            let spent = started.elapsed();
            match looked {
                Ok(Ok(found)) => {
                    if let Some(breach) = self.note(&container, found) {
                        return (container, breach);
                    }
                }
                Ok(Err(error)) => {
                    self.note_failure(&container, &error);
                }
                Err(error) => tracing::error!(%container, %error, "measuring a sandbox failed"),
            }
            tokio::time::sleep(spent * REST).await;
        }
    }

    /// The next container to look at, when its time has come; `None`: look again who is next.
    async fn next(&self) -> Option<(ContainerId, PathBuf, Option<u64>)> {
        let first = {
            let watched = self.watched();
            let first = watched.iter().min_by_key(|(_, one)| one.due);
            first.map(|(container, one)| (one.due, container.clone()))
        };
        let Some((due, container)) = first else {
            self.changed.notified().await;
            return None;
        };
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = self.changed.notified() => return None,
        }
        let mut watched = self.watched();
        let one = watched.get_mut(&container)?;
        one.due = Instant::now() + self.disks.settings().watch_interval;
        Some((container, one.sandbox.clone(), one.limit))
    }

    /// Remembers a look; tells a breach the first time there is one.
    fn note(&self, container: &ContainerId, found: Measured) -> Option<DiskBreach> {
        let mut watched = self.watched();
        let one = watched.get_mut(container)?;
        let used_bytes = found.bytes;
        one.failed = 0;
        one.last = Some(Look { used_bytes, at: SystemTime::now() });
        let limit_bytes = one.limit?;
        let hidden = hidden_use(found.unseen).filter(|_| used_bytes <= limit_bytes);
        if one.breached || (used_bytes <= limit_bytes && hidden.is_none()) {
            return None;
        }
        one.breached = true;
        if !self.disks.settings().enforce {
            let message = "a task is above its disk limit, or hides what it uses; that is not enforced";
            tracing::warn!(%container, limit_bytes, used_bytes, ?hidden, "{message}");
            return None;
        }
        Some(DiskBreach { limit_bytes, used_bytes, hidden })
    }

    /// Remembers a look that came to nothing. Once is a sandbox that is just going; more is somebody's to mend, and
    /// is said less and less often.
    fn note_failure(&self, container: &ContainerId, error: &io::Error) -> bool {
        let mut watched = self.watched();
        let Some(one) = watched.get_mut(container) else { return false };
        one.failed = one.failed.saturating_add(1);
        let times = one.failed;
        let is_said = times > 1 && times.is_power_of_two();
        if is_said {
            let message = "a sandbox cannot be measured, so its task is not held to its disk limit";
            tracing::warn!(%container, %error, times, "{message}");
        } else {
            tracing::debug!(%container, %error, times, "a sandbox cannot be measured");
        }
        is_said
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What keeps us from telling the use. Nobody but who hides from the limit puts files where they cannot be measured.
fn hidden_use(unseen: Option<Unseen>) -> Option<HiddenUse> {
    match unseen? {
        Unseen::TooDeep => Some(HiddenUse::TooDeep),
        Unseen::Forbidden => Some(HiddenUse::Forbidden),
        Unseen::Enough | Unseen::TooLong => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskMeans, DiskSettings};

    fn watching(limit: Option<u64>) -> (tempfile::TempDir, DiskWatch, ContainerId) {
        let dir = tempfile::tempdir().unwrap();
        let settings = DiskSettings { means: DiskMeans::Poll, ..DiskSettings::default() };
        let watch = DiskWatch::new(Arc::new(Disks::open(dir.path(), settings).unwrap()));
        let container = ContainerId::new("c1").unwrap();
        watch.add(container.clone(), dir.path().to_owned(), limit);
        (dir, watch, container)
    }

    #[test]
    fn a_sandbox_that_may_not_be_looked_into_is_above_its_limit_if_it_has_one() {
        let found = Measured { bytes: 10, entries: 1, unseen: Some(Unseen::Forbidden) };
        let (_dir, watch, container) = watching(Some(100));
        let hidden = Some(HiddenUse::Forbidden);
        let breach = Some(DiskBreach { limit_bytes: 100, used_bytes: 10, hidden });
        assert_eq!(watch.note(&container, found), breach);
        assert_eq!(watch.note(&container, found), None, "told once");
        let (_dir, watch, container) = watching(None);
        assert_eq!(watch.note(&container, found), None);
    }

    #[test]
    fn looks_that_fail_again_are_said_and_a_good_one_ends_the_row() {
        let (_dir, watch, container) = watching(Some(100));
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let said = || watch.note_failure(&container, &error);
        assert_eq!([said(), said(), said(), said(), said()], [false, true, false, true, false]);
        watch.note(&container, Measured::default());
        assert!(!watch.note_failure(&container, &error));
    }
}
