//! Which containers were ended because their sandbox held too much: durable before the end is brought about, so that
//! the status says why whoever lives to tell it.
//!
//! `<work dir>/run/<container>/disk-breach.json`, and goes with the run directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use lonja_agent_core::{DiskBreach, HiddenUse};
use lonja_model::ContainerId;
use serde::{Deserialize, Serialize};

const FILE: &str = "disk-breach.json";

/// The largest such file that is read, in bytes.
const LARGEST: usize = 4_096;

#[derive(Serialize, Deserialize)]
struct Record {
    limit_bytes: u64,
    used_bytes: u64,
    #[serde(default)]
    hidden: Option<Hidden>,
}

/// [`HiddenUse`] as it is written.
#[derive(Serialize, Deserialize)]
enum Hidden {
    TooDeep,
    Forbidden,
}

impl Record {
    fn of(breach: DiskBreach) -> Self {
        let hidden = breach.hidden.map(|hidden| match hidden {
            HiddenUse::TooDeep => Hidden::TooDeep,
            HiddenUse::Forbidden => Hidden::Forbidden,
        });
        Self { limit_bytes: breach.limit_bytes, used_bytes: breach.used_bytes, hidden }
    }

    fn breach(self) -> DiskBreach {
        let hidden = self.hidden.map(|hidden| match hidden {
            Hidden::TooDeep => HiddenUse::TooDeep,
            Hidden::Forbidden => HiddenUse::Forbidden,
        });
        DiskBreach { limit_bytes: self.limit_bytes, used_bytes: self.used_bytes, hidden }
    }
}

/// The disk breaches of one agent's containers.
#[derive(Debug)]
pub(crate) struct DiskBreaches {
    run_root: PathBuf,
    known: Mutex<BTreeMap<ContainerId, DiskBreach>>,
}

impl DiskBreaches {
    pub(crate) fn new(run_root: PathBuf) -> Self {
        Self { run_root, known: Mutex::default() }
    }

    /// Remembers a breach. Blocks until it is durable; where it cannot be, it is remembered until the agent stops.
    pub(crate) fn note(&self, container: &ContainerId, breach: DiskBreach) {
        self.known().insert(container.clone(), breach);
        if let Err(error) = self.store(container, breach) {
            tracing::warn!(%container, %error, "a disk breach cannot be made durable");
        }
    }

    fn store(&self, container: &ContainerId, breach: DiskBreach) -> io::Result<()> {
        let run_dir = self.run_root.join(container.as_str());
        let temporary = run_dir.join("disk-breach.json.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&Record::of(breach))?)?;
        file.sync_all()?;
        fs::rename(&temporary, run_dir.join(FILE))?;
        File::open(run_dir)?.sync_all()
    }

    /// The container's breach, if it was ended for one.
    pub(crate) fn of(&self, container: &ContainerId) -> Option<DiskBreach> {
        if let Some(breach) = self.known().get(container) {
            return Some(*breach);
        }
        let text = fs::read(self.run_root.join(container.as_str()).join(FILE)).ok()?;
        let record: Record = serde_json::from_slice(text.get(..text.len().min(LARGEST))?).ok()?;
        Some(record.breach())
    }

    /// Nobody asks about the container any more.
    pub(crate) fn forget(&self, container: &ContainerId) {
        self.known().remove(container);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, DiskBreach>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_is_known_after_a_restart_and_a_damaged_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let container = ContainerId::new("c1").unwrap();
        fs::create_dir(dir.path().join("c1")).unwrap();
        let breach = DiskBreach { limit_bytes: 10, used_bytes: 12, hidden: Some(HiddenUse::Forbidden) };
        DiskBreaches::new(dir.path().to_owned()).note(&container, breach);

        let restarted = DiskBreaches::new(dir.path().to_owned());
        assert_eq!(restarted.of(&container), Some(breach));
        fs::write(dir.path().join("c1").join(FILE), "{").unwrap();
        assert_eq!(restarted.of(&container), None);
        assert_eq!(restarted.of(&ContainerId::new("c2").unwrap()), None);
    }
}
