//! Killed in the middle: what was acknowledged is there, and every batch is whole or absent (INV-11).
//!
//! A child process, this test binary again, commits numbered batches from several tasks at once and
//! prints each number when it is acknowledged. The parent kills it with SIGKILL after a random count
//! of lines, opens the store, and compares.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use tempfile::tempdir;

use super::open;
use crate::{Batch, Key, Snapshot, Store};

const DIR_VARIABLE: &str = "LONJA_STORAGE_TEST_CHILD_DIR";
const TASKS: u64 = 8;
const KEYS_PER_BATCH: u64 = 5;

/// Not a test by itself: the child of the one below. Without its variable it does nothing.
#[test]
fn child_that_commits_until_killed() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let store = Arc::new(open(dir.as_ref()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> =
            (0..TASKS).map(|task| tokio::spawn(commit_for_ever(task, Arc::clone(&store)))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn commit_for_ever(task: u64, store: Arc<impl Store>) {
    let mine = store.scan(&format!("count/{task}").as_str().into()).await.unwrap();
    let mut count = mine.entries.first().map_or(0, |(_, found)| number(&found.value));
    loop {
        count += 1;
        let batch = (0..KEYS_PER_BATCH).fold(Batch::new(), |batch, part| {
            batch.put(format!("record/{task}/{count}/{part}"), vec![part as u8; 100])
        });
        let batch = batch.put(format!("count/{task}"), count.to_le_bytes());
        store.commit(batch).await.unwrap();
        let mut out = std::io::stdout().lock();
        // The parent may have closed its end just before it kills us.
        if writeln!(out, "acknowledged {task} {count}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().unwrap())
}

/// Killed when the test ends, however it ends.
struct Victim(Child);

impl Victim {
    fn start(dir: &std::path::Path) -> (Victim, BufReader<ChildStdout>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "redb::tests::crashes::child_that_commits_until_killed", "--nocapture"])
            .env(DIR_VARIABLE, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        (Victim(child), lines)
    }

    fn kill(&mut self) {
        // SIGKILL on Unix. An error means it has ended, which the wait then sees.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn acknowledged(line: &str) -> Option<(u64, u64)> {
    // The first line follows the test harness's own words on the same line.
    let (_, numbers) = line.split_once("acknowledged ")?;
    let (task, count) = numbers.split_once(' ')?;
    Some((task.parse().ok()?, count.parse().ok()?))
}

#[test]
fn a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_batch() {
    let dir = tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut told = BTreeSet::new();
    for lines_to_wait in [1, 2, 40, 7, 300, 3, 111, 64, 1, 500, 23, 5] {
        let (mut victim, lines) = Victim::start(dir.path());
        let mut lines = lines.lines().map_while(Result::ok);
        told.extend(lines.by_ref().filter_map(|line| acknowledged(&line)).take(lines_to_wait));
        victim.kill();
        // What it said before it died counts as well; a line cut short was not said.
        told.extend(lines.filter_map(|line| acknowledged(&line)));

        let store = open(dir.path());
        let snapshot = runtime.block_on(store.scan(&Key::empty())).unwrap();
        check(&snapshot, &told);
    }
    assert!(told.len() > 1000, "only {} batches were acknowledged", told.len());
}

fn check(found: &Snapshot, told: &BTreeSet<(u64, u64)>) {
    let keys: BTreeSet<String> = found.entries.iter().map(|(key, _)| key.to_string()).collect();
    let counts: Vec<u64> = (0..TASKS)
        .map(|task| {
            let key = Key::from(format!("count/{task}"));
            let entry = found.entries.iter().find(|(found, _)| *found == key);
            entry.map_or(0, |(_, versioned)| number(&versioned.value))
        })
        .collect();
    for (task, count) in told {
        assert!(
            *count <= counts[*task as usize],
            "batch {count} of task {task} was acknowledged and is lost"
        );
    }
    // Each task writes one batch after the other, so there are exactly those up to its count, whole.
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for (task, count) in counts.iter().enumerate() {
        for batch in 1..=*count {
            expected.extend((0..KEYS_PER_BATCH).map(|part| format!("record/{task}/{batch}/{part}")));
        }
        expected.extend((*count > 0).then(|| format!("count/{task}")));
    }
    assert!(keys == expected, "a batch is there in part");
    assert_eq!(found.revision.0, counts.iter().sum::<u64>(), "the revision counts the batches");
}
