//! What only the redb store has: a file, a data dir, a process that dies.

mod crashes;
mod damage;
mod faulty_disk;
mod refusals;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{RedbStore, StoreIdentity};
use crate::conformance::{Durable, Fresh, conformance_suite, durable_suite};

pub(super) const OURS: StoreIdentity = StoreIdentity { kind: "test", format: 1 };

pub(super) fn open(dir: &Path) -> RedbStore {
    RedbStore::open(dir, OURS).unwrap()
}

/// What a killed process leaves: its files as the kernel has them at this moment, in another folder.
pub(super) fn as_killed_now(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

struct InFile(TempDir);

impl Fresh for InFile {
    type Store = RedbStore;

    fn open() -> (InFile, RedbStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        (InFile(dir), store)
    }
}

impl Durable for InFile {
    fn reopen(&mut self, store: RedbStore) -> RedbStore {
        drop(store);
        open(self.0.path())
    }

    fn crash(&mut self, store: RedbStore) -> RedbStore {
        let copy = as_killed_now(self.0.path());
        drop(store);
        self.0 = copy;
        open(self.0.path())
    }
}

conformance_suite!(InFile);
durable_suite!(InFile);
