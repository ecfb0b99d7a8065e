//! One node's disk, as the store on it shows it: what survives a kill, what survives a power loss, and what a commit
//! comes to on a disk that is full, slow, or fails.
//!
//! A commit is written, then synced, then acknowledged. A process that dies before the end of its commit, or whose
//! commit fails, finds all of the batch or none of it when it starts again: the stores of the daemons are copy-on-write
//! trees, a commit writes new pages beside the old ones and then one checksummed header that names them, and the
//! store's recovery takes the newest header whose tree verifies (`storage/src/redb`; shown with cut, flipped and
//! reordered writes in `storage/src/redb/tests`). So batches tear on the medium and never for those who read.
//!
//! A kill leaves to the kernel what was written: the batch under way holds or is lost. A power loss forgets what was
//! not synced: the same two outcomes, for an acknowledged batch was synced. Only the disk of a mutant tells them apart.
//!
//! A failed commit is the end of its daemon: it stops with its memory and says nothing more (`docs/design.md`, D3),
//! and whoever started it starts it again after a while. It reads what there is, and stops again at the next commit for
//! as long as the disk is not well. What a disk that is full wrote is lost; after an I/O error nobody knows.
//!
//! Rot is found by checksums when the store is opened, and its daemon refuses to start. An operator wipes the machine:
//! see [`faults::disks`](crate::faults::disks). The registry of the only master is out of scope: its loss is the
//! cluster's, until there are several.
//!
//! Invariants
//! - INV-11, INV-30: see [`Disk::found_is_sound`].

use std::time::Duration;

use lonja_model::Timestamp;
use lonja_model::checkpoint::{Checkpoint, CheckpointOp};
use lonja_model::registry::{Registry, RegistryOp};

use crate::invariants::Broken;
use crate::random::Random;

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

/// How a disk behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    #[default]
    Sound,
    /// No space is left: nothing new is written; what is there is read.
    Full,
    /// The next commit fails, and only that.
    FailsOnce,
    /// Nothing is written and nothing read.
    Fails,
    /// Each commit takes 0.5 to 3 s.
    Slow,
    /// The next commit takes 5 to 30 s, and only that.
    Stalls,
}

/// What a commit is going to come to, unless its process dies before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is durable and acknowledged after so long.
    Holds { takes: Duration },
    /// An error comes back after so long; `durable`: the batch is there nevertheless.
    Fails { takes: Duration, durable: bool },
}

/// How the disk of a mutant betrays the store on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Betrayal {
    None,
    /// It says that the batch is durable and keeps nothing.
    Forgets,
    /// It says so and keeps the batch in its own memory until the next but three.
    Unsynced,
    /// It keeps the first half of it.
    Tears,
}

/// One node's disk.
#[derive(Debug)]
pub(crate) struct Disk<T: Durable> {
    committed: T,
    commits: u64,
    health: Health,
    well_again: Timestamp,
    /// Changes that are in `committed`.
    written: u64,
    /// Changes in batches that were acknowledged, or found at a start.
    acknowledged: u64,
    /// Changes in the batch whose process did not live to see its end.
    in_doubt: u64,
    /// What only the memory of a mutant's disk holds, oldest first.
    unsynced: Vec<Vec<T::Op>>,
}

impl<T: Durable + Default> Default for Disk<T> {
    fn default() -> Self {
        Self {
            committed: T::default(),
            commits: 0,
            health: Health::Sound,
            well_again: Timestamp::ZERO,
            written: 0,
            acknowledged: 0,
            in_doubt: 0,
            unsynced: Vec::new(),
        }
    }
}

/// The number of things in a batch.
fn count<E>(batch: &[E]) -> u64 {
    u64::try_from(batch.len()).unwrap_or(u64::MAX)
}

impl<T: Durable + Clone> Disk<T> {
    /// What is durable.
    pub(crate) fn committed(&self) -> &T {
        &self.committed
    }

    /// How many commits have been asked for.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// What a process finds when it starts. A mutant's disk still shows what it has in its own memory.
    pub(crate) fn found(&mut self) -> T
    where
        T::Op: Clone,
    {
        self.acknowledged = self.written + self.unsynced.iter().map(|batch| count(batch)).sum::<u64>();
        self.in_doubt = 0;
        let mut found = self.committed.clone();
        self.unsynced.iter().flatten().for_each(|op| found.take(op.clone()));
        found
    }

    /// INV-11, INV-30: what is found is the history up to the end of a batch, and has every acknowledged one in it. To be
    /// asked before [`Self::found`].
    pub(crate) fn found_is_sound(&self) -> Result<(), Broken> {
        let there = self.written + self.unsynced.iter().map(|batch| count(batch)).sum::<u64>();
        sound_history(there, self.acknowledged, self.in_doubt)
    }

    /// Makes a batch durable and says so.
    pub(crate) fn commit(&mut self, batch: Vec<T::Op>, betrayal: Betrayal) {
        self.commits += 1;
        self.acknowledged += count(&batch);
        match betrayal {
            Betrayal::Forgets => {}
            Betrayal::Unsynced => {
                self.unsynced.push(batch);
                if self.unsynced.len() > 3 {
                    let oldest = self.unsynced.remove(0);
                    self.write(oldest);
                }
            }
            Betrayal::None | Betrayal::Tears => {
                for earlier in std::mem::take(&mut self.unsynced) {
                    self.write(earlier);
                }
                self.write(batch);
            }
        }
    }

    /// The process is no more, or was told of an error, while it committed `batch`. `holds`: it is there all the same.
    pub(crate) fn leave(&mut self, mut batch: Vec<T::Op>, holds: bool, betrayal: Betrayal) {
        self.commits += 1;
        self.in_doubt = count(&batch);
        if betrayal == Betrayal::Tears && batch.len() > 1 {
            batch.truncate(batch.len() / 2);
            self.write(batch);
        } else if holds {
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Vec<T::Op>) {
        self.written += count(&batch);
        batch.into_iter().for_each(|op| self.committed.take(op));
    }

    /// The machine loses power.
    pub(crate) fn lose_power(&mut self) {
        self.unsynced.clear();
    }

    /// From now on, and until then, the disk is like this.
    pub(crate) fn ail(&mut self, health: Health, until: Timestamp) {
        (self.health, self.well_again) = (health, until);
    }

    /// How the disk behaves now.
    pub(crate) fn health(&self, now: Timestamp) -> Health {
        if now < self.well_again { self.health } else { Health::Sound }
    }

    /// What a commit that begins now comes to.
    pub(crate) fn fate(&mut self, random: &mut Random, now: Timestamp) -> Fate {
        let usual = random.between(Duration::from_micros(20), Duration::from_millis(3));
        match self.health(now) {
            Health::Sound => Fate::Holds { takes: usual },
            Health::Full => Fate::Fails { takes: usual, durable: false },
            Health::FailsOnce => {
                self.health = Health::Sound;
                Fate::Fails { takes: usual, durable: random.chance(50) }
            }
            Health::Fails => Fate::Fails { takes: usual, durable: random.chance(50) },
            Health::Slow => Fate::Holds { takes: random.millis(500, 3_000) },
            Health::Stalls => {
                self.health = Health::Sound;
                Fate::Holds { takes: random.millis(5_000, 30_000) }
            }
        }
    }
}

/// INV-11, INV-30: of `there` changes that are found, `acknowledged` were promised, and `in_doubt` are of a batch whose
/// process did not live to see its end: that is there whole or not at all.
pub(crate) fn sound_history(there: u64, acknowledged: u64, in_doubt: u64) -> Result<(), Broken> {
    if there < acknowledged {
        let what = format!("{there} changes are found, {acknowledged} were acknowledged");
        return Err(Broken::new("INV-11", what));
    }
    if there == acknowledged || there == acknowledged + in_doubt {
        return Ok(());
    }
    let what = format!("{} of a batch of {in_doubt} changes are found", there - acknowledged);
    Err(Broken::new("INV-30", what))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Durable for Vec<u32> {
        type Op = u32;
        fn take(&mut self, op: u32) {
            self.push(op);
        }
    }

    fn disk() -> Disk<Vec<u32>> {
        let mut disk = Disk::default();
        disk.commit(vec![1, 2], Betrayal::None);
        disk
    }

    #[test]
    fn what_was_acknowledged_survives_a_power_loss_and_the_rest_does_or_does_not() {
        for holds in [false, true] {
            let mut disk = disk();
            disk.leave(vec![3, 4], holds, Betrayal::None);
            disk.lose_power();
            assert_eq!(disk.found_is_sound(), Ok(()));
            assert_eq!(disk.found(), if holds { vec![1, 2, 3, 4] } else { vec![1, 2] });
        }
    }

    #[test]
    fn a_disk_that_does_not_sync_outlives_a_kill_and_not_a_power_loss() {
        let mut disk = disk();
        disk.commit(vec![3], Betrayal::Unsynced);
        assert_eq!(disk.found_is_sound(), Ok(()));
        assert_eq!(disk.found(), [1, 2, 3]);
        disk.lose_power();
        assert_eq!(disk.found_is_sound().unwrap_err().invariant, "INV-11");
        assert_eq!(disk.found(), [1, 2]);
    }

    #[test]
    fn half_a_batch_is_noticed() {
        let mut disk = disk();
        disk.leave(vec![3, 4], false, Betrayal::Tears);
        assert_eq!(disk.found_is_sound().unwrap_err().invariant, "INV-30");
    }

    #[test]
    fn a_commit_comes_to_what_the_disk_is_like() {
        let (mut disk, mut random) = (disk(), Random::new(1));
        let (now, later) = (Timestamp::from_nanos(5), Timestamp::from_nanos(9));
        let fails = |fate| matches!(fate, Fate::Fails { .. });
        disk.ail(Health::FailsOnce, later);
        assert!(fails(disk.fate(&mut random, now)));
        assert!(!fails(disk.fate(&mut random, now)), "once");
        disk.ail(Health::Full, later);
        assert!(matches!(disk.fate(&mut random, now), Fate::Fails { durable: false, .. }));
        assert!(!fails(disk.fate(&mut random, later)), "it is well again");
        disk.ail(Health::Stalls, later);
        assert!(matches!(disk.fate(&mut random, now), Fate::Holds { takes } if takes.as_secs() >= 5));
    }
}
