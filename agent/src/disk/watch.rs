//! Looks at the sandboxes of running containers, one after the other, each once in a while.
//!
//! Invariants
//! - At most one sandbox is measured at a time, and no more than a tenth of the time is spent on it.
//! - A breach is told once for each container.
//!
//! Source: Mesos, `--container_disk_watch_interval`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lonja_agent_core::DiskBreach;
use lonja_model::ContainerId;
use tokio::sync::Notify;

use super::Disks;
use super::measure::Unseen;

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
        self.watched().insert(container, Watched { sandbox, limit, due, last: None, breached: false });
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
                    let used_bytes = match (found.unseen, limit) {
                        // Nobody but who hides from the limit puts files where they cannot be measured.
                        (Some(Unseen::TooDeep), Some(limit)) => found.bytes.max(limit.saturating_add(1)),
                        _ => found.bytes,
                    };
                    if let Some(breach) = self.note(&container, used_bytes) {
                        return (container, breach);
                    }
                }
                // It is gone, or about to be.
                Ok(Err(error)) => tracing::debug!(%container, %error, "a sandbox cannot be measured"),
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
    fn note(&self, container: &ContainerId, used_bytes: u64) -> Option<DiskBreach> {
        let mut watched = self.watched();
        let one = watched.get_mut(container)?;
        one.last = Some(Look { used_bytes, at: SystemTime::now() });
        let limit_bytes = one.limit.filter(|limit| used_bytes > *limit)?;
        if one.breached {
            return None;
        }
        one.breached = true;
        if !self.disks.settings().enforce {
            tracing::warn!(%container, limit_bytes, used_bytes, "a task is above its disk limit, which is not enforced");
            return None;
        }
        Some(DiskBreach { limit_bytes, used_bytes })
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
