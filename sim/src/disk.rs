//! What survives a kill: committed changes, and nothing else.
//!
//! A commit is atomic: a process killed in the middle of one finds, on its return, all of the batch or
//! none of it. Disks that tear, fill up or fail are not modelled yet.

use lonja_model::checkpoint::{Checkpoint, CheckpointOp};
use lonja_model::registry::{Registry, RegistryOp};

/// Something that is stored as a base and changes of it.
pub(crate) trait Durable {
    /// One change.
    type Op;
    /// Takes in one change.
    fn take(&mut self, op: Self::Op);
}

impl Durable for Registry {
    type Op = RegistryOp;
    fn take(&mut self, op: RegistryOp) {
        self.apply(op);
    }
}

impl Durable for Checkpoint {
    type Op = CheckpointOp;
    fn take(&mut self, op: CheckpointOp) {
        self.apply(op);
    }
}

/// One node's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk<T> {
    committed: T,
    commits: u64,
}

impl<T: Durable> Disk<T> {
    /// What a process finds when it starts.
    pub(crate) fn committed(&self) -> &T {
        &self.committed
    }

    /// How many commits have been asked for.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Makes a batch durable; a `forgetful` disk only says so.
    pub(crate) fn commit(&mut self, batch: Vec<T::Op>, forgetful: bool) {
        self.commits += 1;
        if !forgetful {
            batch.into_iter().for_each(|op| self.committed.take(op));
        }
    }
}
