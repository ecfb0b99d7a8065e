//! A disk that fails, and a disk that loses power, under the whole store.
//!
//! [`Disk`] keeps what was synced and what was only written apart. It can fail from any operation on,
//! and yields the image a power loss would leave: what was synced, and of the later writes any part,
//! in sectors of 512 bytes, in any order.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ::redb::StorageBackend;
use tempfile::tempdir;

use super::{OURS, open};
use crate::redb::RedbStore;
use crate::{Batch, CommitError, Key, ReadError, Revision, Snapshot, Store, Watched};

#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// What was done since the last sync, in order.
    pending: Vec<Pending>,
    /// Writes, resizes and syncs done so far.
    operations: usize,
    /// From this operation on everything that changes the disk fails.
    fails_from: Option<usize>,
    /// It is full: whatever takes room is refused, and counted.
    is_full: bool,
    refused: usize,
    syncs: usize,
}

#[derive(Debug, Clone)]
enum Pending {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Pending {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Pending::Resize(length) => image.resize(*length, 0),
            Pending::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fails_from {
            Some(from) if self.operations > from => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Pending) -> io::Result<()> {
        if self.is_full {
            self.refused += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.step()?;
        change.apply(&mut self.current);
        self.pending.push(change);
        Ok(())
    }

    /// The disk after a power loss now; `seed` decides which sectors made it.
    fn after_power_loss(&self, seed: &mut u64) -> Vec<u8> {
        let mut image = self.synced.clone();
        for change in &self.pending {
            match change {
                Pending::Resize(_) => {
                    if coin(seed) {
                        change.apply(&mut image);
                    }
                }
                Pending::Write { offset, bytes } => {
                    for (number, sector) in bytes.chunks(512).enumerate() {
                        if coin(seed) {
                            let write =
                                Pending::Write { offset: offset + number * 512, bytes: sector.to_vec() };
                            write.apply(&mut image);
                        }
                    }
                }
            }
        }
        image
    }
}

fn coin(seed: &mut u64) -> bool {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed >> 63 == 1
}

impl Disk {
    fn load(&self, file: &File) -> io::Result<Disk> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &*file, &mut bytes)?;
        *self.state() = State { synced: bytes.clone(), current: bytes, ..State::default() };
        Ok(self.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn fail_after(&self, operations: usize) {
        let mut state = self.state();
        state.fails_from = Some(state.operations + operations);
    }

    fn open_store(&self, dir: &Path) -> RedbStore {
        RedbStore::open_with(dir, OURS, |file| Ok(self.load(&file).map_err(::redb::StorageError::from)?))
            .unwrap()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let start = offset as usize;
        let found = state.current.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().change(Pending::Resize(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.syncs += 1;
        state.pending.clear();
        state.synced = state.current.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state().change(Pending::Write { offset: offset as usize, bytes: data.to_vec() })
    }
}

fn batch(number: u32) -> Batch {
    (0..6_u32).fold(Batch::new(), |batch, part| {
        batch.put(format!("{}/{part}", (number * 7 + part) % 40), vec![number as u8; 200 * part as usize])
    })
}

#[tokio::test]
async fn a_failed_sync_or_write_stops_the_store_for_good() {
    let mut outcomes = [0, 0];
    for operations in 0..12 {
        let dir = tempdir().unwrap();
        let disk = Disk::default();
        let store = disk.open_store(dir.path());
        let kept = store.commit(batch(1)).await.unwrap();
        let mut watcher = store.watch(&Key::empty(), kept);
        disk.fail_after(operations);

        let failed = store.commit(batch(2)).await;
        let Err(failed) = failed else {
            outcomes[0] += 1;
            continue;
        };
        outcomes[1] += 1;
        assert!(matches!(&failed, CommitError::Failed(_)), "{failed:?}");
        assert!(failed.to_string().contains("test.redb"), "{failed}");
        // The disk is well again, but what is in the kernel's cache is not what is on it.
        disk.state().fails_from = None;
        assert!(matches!(store.commit(batch(3)).await, Err(CommitError::Failed(_))));
        assert!(matches!(store.commit(Batch::new()).await, Err(CommitError::Failed(_))));
        assert!(matches!(store.get(&"1/0".into()).await, Err(ReadError::Failed(_))));
        assert!(matches!(store.scan(&Key::empty()).await, Err(ReadError::Failed(_))));
        assert!(matches!(watcher.next().await, Some(Watched::Failed(_))));
    }
    assert!(outcomes.iter().all(|count| *count > 0), "both ends of a commit must be tried: {outcomes:?}");
}

/// Waits until a full disk has refused something.
async fn refuses(disk: &Disk) {
    while disk.state().refused == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_waits_for_a_full_disk_and_loses_nothing() {
    let dir = tempdir().unwrap();
    let disk = Disk::default();
    let store = Arc::new(disk.open_store(dir.path()));
    let before = store.commit(batch(1)).await.unwrap();
    disk.state().is_full = true;
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(batch(2)).await }
    });
    refuses(&disk).await;
    assert!(!waiting.is_finished());
    assert_eq!(store.scan(&Key::empty()).await.unwrap().revision, before, "reads go on");

    disk.state().is_full = false;

    assert_eq!(waiting.await.unwrap().unwrap(), before.next());
    store.commit(batch(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_closes_a_store_does_not_wait_for_a_full_disk() {
    let dir = tempdir().unwrap();
    let disk = Disk::default();
    let store = disk.open_store(dir.path());
    let before = store.commit(batch(1)).await.unwrap();
    disk.state().is_full = true;
    {
        let waiting = store.commit(batch(2));
        tokio::select! {
            outcome = waiting => panic!("there is no room: {outcome:?}"),
            () = refuses(&disk) => {}
        }
    }

    drop(store);

    let after = Disk::default();
    fs::write(dir.path().join("test.redb"), &disk.state().current).unwrap();
    let found = after.open_store(dir.path()).scan(&Key::empty()).await.unwrap();
    assert_eq!(found.revision, before);
}

#[tokio::test]
async fn a_database_has_room_set_aside_beyond_its_end() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    store.commit(batch(1)).await.unwrap();
    let file = fs::metadata(store.path()).unwrap();
    let probe = File::create(dir.path().join("probe")).unwrap();
    let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
    if rustix::fs::fallocate(&probe, flags, 0, 4096).is_err() {
        return eprintln!("skipped: this file system sets no room aside");
    }
    assert!(file.blocks() * 512 >= file.len() + (1 << 20), "{} of {}", file.blocks() * 512, file.len());
}

/// What a store holds after each of some batches, and the disk on which they were made.
async fn histories(disk: &Disk, dir: &Path, seed: &mut u64) -> (Vec<Snapshot>, Vec<(Revision, Vec<u8>)>) {
    let store = disk.open_store(dir);
    let mut snapshots = vec![store.scan(&Key::empty()).await.unwrap()];
    let mut images = Vec::new();
    for number in 1..=4 {
        let acknowledged = snapshots.last().unwrap().revision;
        // Every moment within this commit: the disk stops there, as seen from outside.
        for moment in 0..16 {
            let replica_dir = tempdir().unwrap();
            let replica = Disk::default();
            fs::create_dir_all(replica_dir.path()).unwrap();
            fs::write(replica_dir.path().join("test.redb"), &disk.state().current).unwrap();
            let replica_store = replica.open_store(replica_dir.path());
            replica.fail_after(moment);
            let finished = replica_store.commit(batch(number)).await.is_ok();
            let acknowledged = if finished { acknowledged.next() } else { acknowledged };
            for _ in 0..4 {
                images.push((acknowledged, replica.state().after_power_loss(seed)));
            }
            if finished {
                break;
            }
        }
        store.commit(batch(number)).await.unwrap();
        snapshots.push(store.scan(&Key::empty()).await.unwrap());
    }
    (snapshots, images)
}

#[tokio::test]
async fn a_power_loss_at_any_moment_loses_nothing_acknowledged() {
    let mut seed = 0x5EED_u64;
    let dir = tempdir().unwrap();
    let (snapshots, images) = histories(&Disk::default(), dir.path(), &mut seed).await;
    assert!(images.len() > 80, "only {} images", images.len());

    for (number, (acknowledged, image)) in images.into_iter().enumerate() {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("test.redb"), image).unwrap();
        let found = open(dir.path()).scan(&Key::empty()).await.unwrap();

        assert!(found.revision >= acknowledged, "image {number} lost revision {acknowledged}");
        assert!(snapshots.contains(&found), "image {number} holds what no batch left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_wait_share_one_sync_and_an_empty_batch_needs_none() {
    let dir = tempdir().unwrap();
    let disk = Disk::default();
    let store = Arc::new(disk.open_store(dir.path()));
    let before = disk.state().syncs;

    let tasks: Vec<_> = (0..200_u32)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(
                async move { store.commit(Batch::new().put(number.to_string(), *b"v")).await.unwrap() },
            )
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let shared = disk.state().syncs - before;
    assert!(shared < 150, "200 batches took {shared} syncs");

    let before = disk.state().syncs;
    store.commit(Batch::new()).await.unwrap();
    store.commit(Batch::new().expect("none", None)).await.unwrap();
    assert_eq!(disk.state().syncs, before);
}
