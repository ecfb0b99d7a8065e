//! Files that were cut short or whose bits rotted: the right values or a typed error, never another
//! value and never a panic (INV-30).
//!
//! Each image is opened, read whole, read key by key, and written to, as a daemon would.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use tempfile::{TempDir, tempdir};

use ::redb::ReadableTable;

use super::{OURS, as_killed_now, open};
use crate::redb::database::{ENTRIES, decode, encode};
use crate::redb::{OpenError, RedbStore};
use crate::{Batch, CommitError, Key, ReadError, Revision, Snapshot, Store};

/// A store with some history: large and small values, deletions, and pages that became free.
async fn a_store_with_history(dir: &Path, older: &mut Vec<Vec<u8>>) -> (RedbStore, Snapshot) {
    let store = open(dir);
    for round in 0..6_u8 {
        let mut batch = Batch::new();
        for number in 0..12_u8 {
            let length = usize::from(number) * 150 + usize::from(round);
            batch = batch.put(format!("agents/{number:02}"), vec![number ^ round; length]);
        }
        batch = batch.put(format!("offers/{round}"), vec![round; 20_000]);
        batch = batch.delete(format!("offers/{}", round.saturating_sub(2)));
        older.push(fs::read(dir.join("test.redb")).unwrap());
        store.commit(batch).await.unwrap();
    }
    let snapshot = store.scan(&Key::empty()).await.unwrap();
    (store, snapshot)
}

/// redb panics over what is damaged, as [`crate::redb::database`] expects: hundreds of backtraces of those
/// would hide the one that matters.
fn silence_the_expected() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_none_or(|place| !place.file().contains("/redb-")) {
                usual(panic);
            }
        }));
    });
}

/// A folder and its one database, from which damaged copies are made.
struct Original {
    place: TempDir,
    bytes: Vec<u8>,
    /// The same file as it was before each batch.
    older: Vec<Vec<u8>>,
    truth: Snapshot,
}

impl Original {
    fn closed() -> Original {
        let place = tempdir().unwrap();
        let mut older = Vec::new();
        let (store, truth) = runtime().block_on(a_store_with_history(place.path(), &mut older));
        drop(store);
        Original::of(place, older, truth)
    }

    fn killed() -> Original {
        let place = tempdir().unwrap();
        let mut older = Vec::new();
        let (store, truth) = runtime().block_on(a_store_with_history(place.path(), &mut older));
        let copy = as_killed_now(place.path());
        drop(store);
        Original::of(copy, older, truth)
    }

    fn of(place: TempDir, older: Vec<Vec<u8>>, truth: Snapshot) -> Original {
        silence_the_expected();
        let bytes = fs::read(place.path().join("test.redb")).unwrap();
        Original { place, bytes, older, truth }
    }

    /// Whether the store opens and reads right with `bytes` as its database; anything but that or
    /// a typed error fails the test.
    fn survives(&self, bytes: &[u8], what: &str) -> bool {
        let copy = as_killed_now(self.place.path());
        fs::write(copy.path().join("test.redb"), bytes).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.reads_right(copy.path(), what)));
        outcome.unwrap_or_else(|_| panic!("{what}: it panicked"))
    }

    fn reads_right(&self, dir: &Path, what: &str) -> bool {
        let store = match RedbStore::open(dir, OURS) {
            Ok(store) => store,
            Err(
                OpenError::Corrupt { .. } | OpenError::NotADatabase { .. } | OpenError::LostRevisions { .. },
            ) => return false,
            Err(other) => panic!("{what}: refused by the wrong name: {other:?}"),
        };
        runtime().block_on(async {
            match store.scan(&Key::empty()).await {
                Ok(found) => assert!(found == self.truth, "{what}: a scan reads other values"),
                Err(ReadError::Failed(_)) => return false,
                Err(other) => panic!("{what}: {other:?}"),
            }
            for (key, truth) in &self.truth.entries {
                match store.get(key).await {
                    Ok(found) => assert!(found.as_ref() == Some(truth), "{what}: {key} reads another value"),
                    Err(ReadError::Failed(_)) => return false,
                    Err(other) => panic!("{what}: {other:?}"),
                }
            }
            match store.commit(Batch::new().put("new", *b"1")).await {
                Ok(revision) => assert_eq!(revision.0, self.truth.revision.0 + 1, "{what}"),
                Err(CommitError::Failed(_)) => return false,
                Err(other) => panic!("{what}: {other:?}"),
            }
            true
        })
    }

    fn flipped(&self, bit: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Spread over the file by a fixed pseudo-random sequence, so that a failure repeats.
fn spread(count: usize, end: usize) -> impl Iterator<Item = usize> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    })
    .take(count)
}

fn every_cut_is_noticed(original: &Original) {
    let length = original.bytes.len();
    let pages = (0..length).step_by(4096);
    let odd = spread(60, length).chain([1, 8, 9, 10, 63, 64, 319, 320, 4095, 4097, length - 1]);
    let mut refused = 0;
    for cut in pages.step_by(7).chain(odd) {
        refused += usize::from(!original.survives(&original.bytes[..cut], &format!("cut to {cut} bytes")));
    }
    assert!(refused > 60, "only {refused} cuts were refused");
    assert!(original.survives(&original.bytes, "whole"));
}

fn every_flip_is_noticed_or_harmless(original: &Original) {
    // Every bit of the words that choose between two states of the whole store, every fifth of the
    // two commit slots, and a sample over the pages that hold something.
    let used = original.bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut refused = 0;
    for bit in (0..32 * 8).chain((32 * 8..320 * 8).step_by(5)).chain(spread(300, used * 8)) {
        let image = original.flipped(bit);
        refused += usize::from(!original.survives(&image, &format!("bit {} of byte {}", bit % 8, bit / 8)));
    }
    assert!(refused > 100, "only {refused} flips were refused");
}

fn torn_pages_are_noticed_or_harmless(original: &Original) {
    // A sector, or a page from some point on, that holds zeros, as after a lost write.
    for start in spread(120, original.bytes.len() / 512).map(|sector| sector * 512) {
        for length in [512, 4096 - start % 4096] {
            let mut image = original.bytes.clone();
            image[start..start + length].fill(0);
            original.survives(&image, &format!("{length} bytes of zeros at {start}"));
        }
    }
}

fn stale_pages_are_noticed_or_harmless(original: &Original) {
    let pages = (0..original.bytes.len()).step_by(4096).map(|start| start..start + 4096);
    let mut refused = 0;
    for (range, (age, older)) in
        pages.flat_map(|page| original.older.iter().enumerate().map(move |older| (page.clone(), older)))
    {
        // Only pages that were written again since: the rest is the same, or was not there yet.
        let Some(stale) = older.get(range.clone()).filter(|stale| **stale != original.bytes[range.clone()])
        else {
            continue;
        };
        let mut image = original.bytes.clone();
        image[range.clone()].copy_from_slice(stale);
        refused += usize::from(!original.survives(&image, &format!("page {} of batch {age}", range.start)));
    }
    assert!(refused > 10, "only {refused} stale pages were refused");
}

#[test]
fn a_page_whose_last_write_was_lost_is_noticed_or_harmless() {
    stale_pages_are_noticed_or_harmless(&Original::closed());
    stale_pages_are_noticed_or_harmless(&Original::killed());
}

/// A sound tree around a record that is not: what rot in a page between opening and reading does.
#[tokio::test]
async fn a_record_that_does_not_verify_fails_the_read_and_stops_the_store() {
    let dir = tempdir().unwrap();
    open(dir.path()).commit(Batch::new().put("a", *b"sound").put("b", *b"sound")).await.unwrap();
    let stranger = ::redb::Database::open(dir.path().join("test.redb")).unwrap();
    let transaction = stranger.begin_write().unwrap();
    {
        let mut table = transaction.open_table(ENTRIES).unwrap();
        let mut record = table.get(&b"b"[..]).unwrap().unwrap().value().to_owned();
        *record.last_mut().unwrap() ^= 1;
        table.insert(&b"b"[..], record.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(stranger);

    let store = open(dir.path());
    assert!(store.get(&"a".into()).await.unwrap().is_some());
    let failed = store.get(&"b".into()).await.unwrap_err();
    assert!(failed.to_string().contains("the record of key \"b\" does not verify"), "{failed}");
    assert!(matches!(store.get(&"a".into()).await, Err(ReadError::Failed(_))));
    assert!(matches!(store.commit(Batch::new()).await, Err(CommitError::Failed(_))));
}

#[test]
fn every_flipped_bit_of_a_record_is_found() {
    let sound = encode(&"key".into(), Revision(7), &(*b"value").into());
    assert!(decode(b"key", &sound).is_some());
    assert!(decode(b"yek", &sound).is_none());
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(b"key", &damaged).is_none(), "bit {bit}");
    }
    assert!((0..sound.len()).all(|cut| decode(b"key", &sound[..cut]).is_none()));
}

#[test]
fn a_closed_database_cut_short_is_noticed() {
    every_cut_is_noticed(&Original::closed());
}

#[test]
fn a_killed_database_cut_short_is_noticed() {
    every_cut_is_noticed(&Original::killed());
}

#[test]
fn a_flipped_bit_in_a_closed_database_is_noticed_or_harmless() {
    every_flip_is_noticed_or_harmless(&Original::closed());
}

#[test]
fn a_flipped_bit_in_a_killed_database_is_noticed_or_harmless() {
    every_flip_is_noticed_or_harmless(&Original::killed());
}

#[test]
fn a_torn_page_is_noticed_or_harmless() {
    torn_pages_are_noticed_or_harmless(&Original::closed());
    torn_pages_are_noticed_or_harmless(&Original::killed());
}
