//! The rules every backend keeps, as tests.
//!
//! A backend's tests implement [`Fresh`] for the way its stores are made and invoke
//! [`conformance_suite!`]; each rule becomes a test of its own. Backends that outlive their process
//! also implement [`Durable`] and invoke [`durable_suite!`](crate::conformance::durable_suite).
//!
//! Rules hold for any sequence of batches: [`follows_a_model`] drives random ones against an ordinary
//! map, the simplest thing that could be right.

// A suite of tests, whose way to fail is to panic.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{
    Batch, Change, CommitError, Conflict, Key, LimitExceeded, MAX_BATCH_BYTES, MAX_KEY_BYTES,
    MAX_VALUE_BYTES, ReadError, Revision, Snapshot, Store, Value, Versioned, Watched, Watcher,
};

/// How a backend makes an empty store. Dropping the value removes what the store left behind.
pub trait Fresh: Sized {
    /// The backend.
    type Store: Store + 'static;

    /// A new place and the empty store in it.
    fn open() -> (Self, Self::Store);
}

/// A backend whose stores outlive their process.
pub trait Durable: Fresh {
    /// The store again, after an orderly close.
    fn reopen(&mut self, store: Self::Store) -> Self::Store;

    /// The store as it is found after its process was killed at this moment.
    fn crash(&mut self, store: Self::Store) -> Self::Store;
}

fn bytes(text: &str) -> Value {
    text.as_bytes().into()
}

fn conflict(outcome: Result<Revision, CommitError>) -> Conflict {
    match outcome {
        Err(CommitError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

async fn change(watcher: &mut Watcher) -> Change {
    match watcher.next().await {
        Some(Watched::Change(change)) => change,
        other => panic!("expected a change, got {other:?}"),
    }
}

/// Whatever is read was committed, and says by which batch.
pub async fn reads_return_the_last_write_and_its_revision<S: Fresh>() {
    let (_place, store) = S::open();
    assert_eq!(store.scan(&Key::empty()).await.unwrap().revision, Revision::ZERO);

    let first = store.commit(Batch::new().put("a/1", *b"one").put("b", *b"")).await.unwrap();
    let second = store.commit(Batch::new().put("a/2", *b"two")).await.unwrap();
    let third = store.commit(Batch::new().put("a/1", *b"uno").delete("none")).await.unwrap();

    assert_eq!([first, second, third], [Revision(1), Revision(2), Revision(3)]);
    let found = store.get(&"a/1".into()).await.unwrap();
    assert_eq!(found, Some(Versioned { value: bytes("uno"), revision: third }));
    assert_eq!(store.get(&"a".into()).await.unwrap(), None);
    let empty = store.get(&"b".into()).await.unwrap();
    assert_eq!(empty, Some(Versioned { value: bytes(""), revision: first }));
}

/// A scan returns what lies below the prefix, in key order, and nothing else.
pub async fn a_scan_is_ordered_and_keeps_to_its_prefix<S: Fresh>() {
    let (_place, store) = S::open();
    let batch = ["a", "a/2", "a/10", "a0", "b/1"].iter().fold(Batch::new(), |b, key| b.put(*key, *b"v"));
    let high = Key::from(&[0xFF, 0xFF][..]);
    store.commit(batch.put(high.clone(), *b"v")).await.unwrap();
    store.commit(Batch::new().delete("b/1")).await.unwrap();

    let keys = async |prefix: Key| -> Vec<Key> {
        store.scan(&prefix).await.unwrap().entries.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys("a/".into()).await, ["a/10".into(), "a/2".into()]);
    assert_eq!(keys("b".into()).await, []);
    assert_eq!(keys(Key::from(&[0xFF][..])).await, vec![high.clone()]);
    let all: [Key; 5] = ["a".into(), "a/10".into(), "a/2".into(), "a0".into(), high];
    assert_eq!(keys(Key::empty()).await, all);
    assert_eq!(store.scan(&"a/".into()).await.unwrap().revision, Revision(2));
}

/// A condition that fails names key, wanted and found, and nothing of its batch happens.
pub async fn a_batch_whose_condition_fails_changes_nothing<S: Fresh>() {
    let (_place, store) = S::open();
    let born = store.commit(Batch::new().expect("a", None).put("a", *b"1")).await.unwrap();
    let before = store.scan(&Key::empty()).await.unwrap();

    let again = store.commit(Batch::new().put("b", *b"x").expect("a", None).put("a", *b"2")).await;
    let missing = store.commit(Batch::new().expect("c", Some(born)).delete("a")).await;
    let stale = store.commit(Batch::new().expect("a", Some(Revision(9))).delete("a")).await;

    assert_eq!(conflict(again), Conflict { key: "a".into(), wanted: None, found: Some(born) });
    assert_eq!(conflict(missing), Conflict { key: "c".into(), wanted: Some(born), found: None });
    assert_eq!(conflict(stale).to_string(), "key \"a\" is at revision 1, the batch expects it at revision 9");
    assert_eq!(store.scan(&Key::empty()).await.unwrap(), before);
    let next = store.commit(Batch::new().expect("a", Some(born)).put("a", *b"2")).await.unwrap();
    assert_eq!(next, born.next());
}

/// Only a batch that writes costs a revision; one with conditions alone still checks them.
pub async fn a_batch_without_writes_keeps_the_revision<S: Fresh>() {
    let (_place, store) = S::open();
    let born = store.commit(Batch::new().put("a", *b"1")).await.unwrap();

    assert_eq!(store.commit(Batch::new()).await.unwrap(), born);
    assert_eq!(store.commit(Batch::new().expect("a", Some(born))).await.unwrap(), born);
    assert_eq!(conflict(store.commit(Batch::new().expect("a", None)).await).found, Some(born));
}

/// What is too large is refused with the limit, and disturbs nothing.
pub async fn limits_are_refused_by_name<S: Fresh>() {
    let (_place, store) = S::open();
    let long = Key::from(vec![b'k'; MAX_KEY_BYTES + 1]);
    let longest = Key::from(vec![b'k'; MAX_KEY_BYTES]);

    let read = store.get(&long).await;
    assert!(matches!(read, Err(ReadError::Limit(LimitExceeded::Key { size })) if size == MAX_KEY_BYTES + 1));
    let outcomes = [
        store.commit(Batch::new().put(long.clone(), *b"v")).await,
        store.commit(Batch::new().delete(long.clone())).await,
        store.commit(Batch::new().expect(long, None)).await,
        store.commit(Batch::new().put("big", vec![0; MAX_VALUE_BYTES + 1])).await,
        store.commit(too_large_a_batch()).await,
    ];
    for outcome in outcomes {
        let Err(CommitError::Limit(limit)) = outcome else { panic!("expected a limit, got {outcome:?}") };
        assert!(limit.to_string().contains("over the limit of"), "{limit}");
    }

    assert_eq!(store.commit(Batch::new().put(longest.clone(), *b"v")).await.unwrap(), Revision(1));
    let largest: Value = vec![7; MAX_VALUE_BYTES].into();
    store.commit(Batch::new().put(longest.clone(), largest.clone())).await.unwrap();
    assert!(store.get(&longest).await.unwrap().unwrap().value == largest);
}

fn too_large_a_batch() -> Batch {
    let value: Value = vec![0; MAX_VALUE_BYTES].into();
    let parts = MAX_BATCH_BYTES / MAX_VALUE_BYTES;
    (0..parts).fold(Batch::new(), |batch, part| batch.put(part.to_string(), value.clone())).delete("k")
}

/// A watch tells each change once, in order, whether it came before or after the watch began.
pub async fn a_watch_tells_every_change_in_order<S: Fresh>() {
    let (_place, store) = S::open();
    let mut all = store.watch(&Key::empty(), Revision::ZERO);
    store.commit(Batch::new().put("x/2", *b"1").put("x/1", *b"1").put("y", *b"1")).await.unwrap();
    let seen = store.commit(Batch::new().put("x/1", *b"2")).await.unwrap();
    store.commit(Batch::new().delete("x/1").delete("x/9").put("x/2", *b"3")).await.unwrap();
    let mut later = store.watch(&"x/".into(), seen);

    let mut told = Vec::new();
    for _ in 0..6 {
        let change = change(&mut all).await;
        told.push((change.revision.0, change.key.to_string(), change.value.is_some()));
    }
    let expected = [(1, "x/1", true), (1, "x/2", true), (1, "y", true), (2, "x/1", true), (3, "x/1", false)];
    assert_eq!(told[..5], expected.map(|(revision, key, put)| (revision, key.to_owned(), put)));
    assert_eq!(told[5], (3, "x/2".to_owned(), true));
    assert_eq!(change(&mut later).await.value, None);
    assert_eq!(change(&mut later).await.value, Some(bytes("3")));

    // A waiting watcher is woken by the next change below its prefix, and by the store's end.
    let woken = tokio::spawn(async move { (change(&mut later).await, later.next().await.is_none()) });
    tokio::task::yield_now().await;
    store.commit(Batch::new().put("y", *b"4")).await.unwrap();
    store.commit(Batch::new().put("x/5", *b"5")).await.unwrap();
    drop(store);
    let (change, ended) = woken.await.unwrap();
    assert_eq!((change.key, change.revision, ended), ("x/5".into(), Revision(5), true));
}

/// A watcher that is overtaken is told so once, never silently skipped ahead.
pub async fn a_watcher_that_falls_behind_ends_with_lagged<S: Fresh>() {
    let (_place, store) = S::open();
    let mut slow = store.watch(&Key::empty(), Revision::ZERO);
    store.commit(Batch::new().put("first", *b"1")).await.unwrap();
    assert_eq!(change(&mut slow).await.key, "first".into());
    for round in 0..3_u8 {
        let many = (0..2000).fold(Batch::new(), |batch, key| batch.put(format!("{key}"), [round]));
        store.commit(many).await.unwrap();
    }

    match slow.next().await {
        Some(Watched::Lagged { complete_through, lost_through }) => {
            assert!(complete_through <= Revision(1) && lost_through >= Revision(2));
        }
        other => panic!("expected Lagged, got {other:?}"),
    }
    assert!(slow.next().await.is_none());
    let mut late = store.watch(&Key::empty(), Revision(1));
    assert!(matches!(late.next().await, Some(Watched::Lagged { .. })));

    let Snapshot { revision, .. } = store.scan(&Key::empty()).await.unwrap();
    let mut recovered = store.watch(&Key::empty(), revision);
    store.commit(Batch::new().put("last", *b"1")).await.unwrap();
    assert_eq!(change(&mut recovered).await.key, "last".into());
}

/// Batches committed together each stand or fall alone; conditions see the neighbours before them.
pub async fn neighbours_in_a_group_stand_alone<S: Fresh>() {
    let (_place, store) = S::open();
    let store = Arc::new(store);
    let mut tasks = Vec::new();
    // Ten callers each for ten keys want to be the first there: exactly one of each ten may be.
    for caller in 0..100_u32 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let key = format!("key/{}", caller % 10);
            let batch = Batch::new().expect(key.as_str(), None).put(key.as_str(), caller.to_le_bytes());
            let batch = batch.put(format!("by/{caller}"), *b"");
            (caller, store.commit(batch).await)
        }));
    }
    let mut winners = BTreeMap::new();
    for task in tasks {
        match task.await.unwrap() {
            (caller, Ok(revision)) => assert!(winners.insert(revision, caller).is_none()),
            (_, outcome) => assert!(conflict(outcome).found.is_some()),
        }
    }

    assert_eq!(winners.keys().copied().collect::<Vec<_>>(), (1..=10).map(Revision).collect::<Vec<_>>());
    assert_eq!(store.scan(&"by/".into()).await.unwrap().entries.len(), 10);
    for (revision, caller) in winners {
        let found = store.get(&format!("key/{}", caller % 10).into()).await.unwrap().unwrap();
        assert_eq!((found.revision, &*found.value), (revision, &caller.to_le_bytes()[..]));
    }
}

/// A store that is opened again stands where it was, and remembers no older changes.
pub async fn a_reopened_store_continues_where_it_was<S: Durable>() {
    let (mut place, store) = S::open();
    store.commit(Batch::new().put("a", *b"1").put("b", *b"1")).await.unwrap();
    store.commit(Batch::new().delete("b")).await.unwrap();
    let before = store.scan(&Key::empty()).await.unwrap();

    let store = place.reopen(store);
    assert_eq!(store.scan(&Key::empty()).await.unwrap(), before);
    let store = place.crash(store);
    assert_eq!(store.scan(&Key::empty()).await.unwrap(), before);

    let mut old = store.watch(&Key::empty(), Revision(1));
    assert!(matches!(old.next().await, Some(Watched::Lagged { .. })));
    let mut new = store.watch(&Key::empty(), before.revision);
    assert_eq!(store.commit(Batch::new().put("c", *b"1")).await.unwrap(), Revision(3));
    assert_eq!(change(&mut new).await.key, "c".into());
}

/// One step of a random history.
#[derive(Debug, Clone)]
pub enum Step {
    /// Conditions (key, whether it is to hold) and writes on a handful of keys.
    Commit(Vec<(u8, bool)>, Vec<(u8, Option<Vec<u8>>)>),
    /// An orderly restart, where the backend can.
    Reopen,
    /// A kill, where the backend can.
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = 0..6_u8;
    let value = prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..40));
    let commit = (
        prop::collection::vec((key.clone(), prop::bool::weighted(0.9)), 0..3),
        prop::collection::vec((key, value), 0..4),
    );
    prop_oneof![
        8 => commit.prop_map(|(conditions, writes)| Step::Commit(conditions, writes)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// Random histories leave the store as they leave an ordinary map. `restart` does `Reopen` and
/// `Crash`, and may do nothing.
pub fn follows_a_model<S: Fresh>(cases: u32, restart: impl Fn(&mut S, S::Store, &Step) -> S::Store) {
    // Failing histories are printed; a file of them beside the sources would outlive the test.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = TestRunner::new(config).run(&prop::collection::vec(any_step(), 0..40), |steps| {
        let (mut place, mut store) = S::open();
        let mut model = (Revision::ZERO, BTreeMap::new());
        for step in steps {
            match &step {
                Step::Commit(conditions, writes) => {
                    runtime.block_on(commit_to_both(&store, &mut model, conditions, writes))?;
                }
                Step::Reopen | Step::Crash => store = restart(&mut place, store, &step),
            }
            let snapshot = runtime.block_on(store.scan(&Key::empty())).unwrap();
            prop_assert_eq!(snapshot.revision, model.0);
            prop_assert!(snapshot.entries.into_iter().eq(model.1.clone()));
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn commit_to_both(
    store: &impl Store,
    (revision, model): &mut (Revision, BTreeMap<Key, Versioned>),
    conditions: &[(u8, bool)],
    writes: &[(u8, Option<Vec<u8>>)],
) -> Result<(), TestCaseError> {
    let mut batch = Batch::new();
    let mut refused = None;
    for (key, holds) in conditions {
        let key = Key::from(vec![*key]);
        let found = model.get(&key).map(|versioned| versioned.revision);
        let wanted = if *holds { found } else { Some(revision.next()) };
        batch = batch.expect(key.clone(), wanted);
        if !holds && refused.is_none() {
            refused = Some(Conflict { key, wanted, found });
        }
    }
    for (key, value) in writes {
        let key = Key::from(vec![*key]);
        batch = match value {
            Some(value) => batch.put(key, value.clone()),
            None => batch.delete(key),
        };
    }
    let outcome = store.commit(batch).await;
    if let Some(refused) = refused {
        prop_assert_eq!(conflict(outcome), refused);
        return Ok(());
    }
    if !writes.is_empty() {
        *revision = revision.next();
    }
    for (key, value) in writes {
        let key = Key::from(vec![*key]);
        match value {
            Some(value) => model.insert(key, Versioned { value: value.clone().into(), revision: *revision }),
            None => model.remove(&key),
        };
    }
    prop_assert_eq!(outcome.unwrap(), *revision);
    Ok(())
}

/// The tests of a backend, one for each rule.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite {
    ($fresh:ty: $($rule:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                $crate::conformance::$rule::<$fresh>().await;
            }
        )*
    };
    ($fresh:ty) => {
        $crate::conformance::conformance_suite!(
            $fresh: reads_return_the_last_write_and_its_revision, a_scan_is_ordered_and_keeps_to_its_prefix,
            a_batch_whose_condition_fails_changes_nothing, a_batch_without_writes_keeps_the_revision,
            limits_are_refused_by_name, a_watch_tells_every_change_in_order,
            a_watcher_that_falls_behind_ends_with_lagged, neighbours_in_a_group_stand_alone,
        );

        #[test]
        fn any_history_leaves_the_store_as_it_leaves_a_map() {
            $crate::conformance::follows_a_model::<$fresh>(64, |_, store, _| store);
        }
    };
}

/// The tests of a backend that outlives its process, besides [`conformance_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __durable_suite {
    ($durable:ty) => {
        $crate::conformance::conformance_suite!($durable: a_reopened_store_continues_where_it_was);

        #[test]
        fn any_history_with_crashes_leaves_the_store_as_it_leaves_a_map() {
            use $crate::conformance::{Durable, Step};
            $crate::conformance::follows_a_model::<$durable>(32, |place, store, step| match step {
                Step::Crash => place.crash(store),
                _ => place.reopen(store),
            });
        }
    };
}

pub use crate::{__conformance_suite as conformance_suite, __durable_suite as durable_suite};
