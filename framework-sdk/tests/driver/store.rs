//! What must not be forgotten is durable before anybody is told.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use lonja_sdk::model::UpdateId;
use lonja_sdk::prelude::*;
use lonja_sdk::store::StoreError;
use lonja_sdk::wire::scheduler::{Call, Event};
use lonja_sdk::{DriverError, FrameworkOptions};

use crate::master::{Conversation, Master, TOO_LONG, ends, offer, update};

/// Launches one task, and writes down what it has done and seen.
struct Notes {
    launched: bool,
    changes: Vec<Change>,
}

impl Notes {
    fn restore(state: &State) -> Self {
        Self { launched: state.get("launched").is_some(), changes: Vec::new() }
    }
}

impl Scheduler for Notes {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let task = Task::shell("true").unwrap().cpus(1.0).unwrap();
        if std::mem::replace(&mut self.launched, true) {
            return Plan::new();
        }
        self.changes.push(Change::put("launched", "t1"));
        let task = task.on(&offers[0], TaskId::new("t1").unwrap()).unwrap();
        Plan::new().launch(&offers[0], [task])
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.changes.push(Change::put(format!("state/{}", status.task), status.state.to_string()));
        if status.state.is_terminal() { Plan::new().tear_down() } else { Plan::new() }
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// A store whose commits wait until the test lets them, or fails them.
struct Slow {
    kept: MemoryStore,
    begun: mpsc::Sender<Vec<Record>>,
    go_on: mpsc::Receiver<Result<(), StoreError>>,
}

impl Store for Slow {
    fn load(&mut self) -> Result<State, StoreError> {
        self.kept.load()
    }

    fn commit(&mut self, changes: &[Record]) -> Result<(), StoreError> {
        self.begun.send(changes.to_vec()).unwrap();
        self.go_on.recv().unwrap_or_else(|_| Err(StoreError::failed("the test is over")))?;
        self.kept.commit(changes)
    }
}

/// The test's side of a [`Slow`] store.
struct Disk {
    begun: mpsc::Receiver<Vec<Record>>,
    go_on: mpsc::Sender<Result<(), StoreError>>,
}

impl Disk {
    fn new() -> (Slow, Self) {
        let ((begin, begun), (go, go_on)) = (mpsc::channel(), mpsc::channel());
        (Slow { kept: MemoryStore::new(), begun: begin, go_on }, Self { begun, go_on: go })
    }

    /// Waits for a commit to begin.
    fn begins(&self) -> Vec<Record> {
        tokio::task::block_in_place(|| self.begun.recv_timeout(TOO_LONG).expect("nothing is committed"))
    }

    fn commits(&self) -> Vec<Record> {
        let changes = self.begins();
        self.go_on.send(Ok(())).unwrap();
        changes
    }
}

fn driver(master: &Master) -> Driver {
    Driver::new(master.url(), FrameworkOptions::named("test"))
}

/// Nothing was said by now, though everything that goes before was.
async fn is_silent(talk: &mut Conversation) {
    let call = tokio::time::timeout(Duration::from_millis(50), talk.calls.message()).await;
    assert!(call.is_err(), "{call:?} was sent before it was durable");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_what_it_rests_on_is_durable() {
    let (store, disk) = Disk::new();
    let mut master = Master::start("127.0.0.1:0").await;
    let run = tokio::spawn(driver(&master).store(store).run_from(Notes::restore));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    let id = FrameworkId::new("f-0001").unwrap();
    assert_eq!(disk.commits(), [Record::Framework(Some(id))]);

    talk.says(Event::Offers(vec![offer()])).await;
    let (task, agent) = (TaskId::new("t1").unwrap(), offer().agent);
    assert_eq!(disk.begins(), [Change::put("launched", "t1").into(), Record::Launched { task, agent }]);
    is_silent(&mut talk).await;
    disk.go_on.send(Ok(())).unwrap();
    assert!(matches!(talk.next().await.1, Call::Accept { .. }));

    talk.says(update(TaskState::Running, 1)).await;
    disk.begins();
    is_silent(&mut talk).await;
    disk.go_on.send(Ok(())).unwrap();
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Acknowledge { update: UpdateId([1, ..]), .. }), "{call:?}");
    run.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_ends_the_run_and_nothing_is_acknowledged() {
    let (store, disk) = Disk::new();
    let mut master = Master::start("127.0.0.1:0").await;
    let run = tokio::spawn(driver(&master).store(store).run_from(Notes::restore));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    disk.commits();

    talk.says(update(TaskState::Running, 1)).await;
    disk.begins();
    disk.go_on.send(Err(StoreError::failed("the disk is on fire"))).unwrap();

    let Err(error) = ends(run).await else { panic!("it goes on") };
    assert!(matches!(&error, DriverError::Store { source, .. } if source.to_string().contains("on fire")));
    let call = tokio::time::timeout(TOO_LONG, talk.calls.message()).await.expect("the connection goes on");
    assert!(!matches!(call, Ok(Some(_))), "{call:?}");
}

#[tokio::test]
async fn what_no_store_takes_ends_the_run_and_names_the_key() {
    struct TooMuch;
    impl Scheduler for TooMuch {
        fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
            Plan::new()
        }
        fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
            Plan::new()
        }
        fn changes(&mut self) -> Vec<Change> {
            vec![Change::put("everything", vec![0; (1 << 20) + 1])]
        }
    }
    let mut master = Master::start("127.0.0.1:0").await;
    let run = tokio::spawn(driver(&master).run(TooMuch));
    let _talk = tokio::time::timeout(Duration::from_secs(1), master.accepts()).await;
    let Err(DriverError::Store { source, .. }) = ends(run).await else { panic!("it was kept") };
    assert!(source.to_string().contains("\"everything\""), "{source}");
}

#[tokio::test]
async fn more_than_is_taken_for_one_event_ends_the_run_and_says_how_much_it_was() {
    struct Talkative;
    impl Scheduler for Talkative {
        fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
            Plan::new()
        }
        fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
            Plan::new()
        }
        fn changes(&mut self) -> Vec<Change> {
            (0..=1 << 18).map(|number| Change::remove(format!("word/{number}"))).collect()
        }
    }
    let master = Master::start("127.0.0.1:0").await;
    let Err(DriverError::Store { source, .. }) = driver(&master).run(Talkative).await else {
        panic!("it was kept")
    };
    assert!(matches!(source, StoreError::TooMuch { .. }), "{source}");
    assert!(source.to_string().contains("262145 changes") && source.to_string().contains("\"word/262144\""));
}

/// Panics where it is told to.
struct Panicking(&'static str);

impl Panicking {
    fn at(&self, method: &str) {
        assert_ne!(self.0, method, "my mistake");
    }
}

impl Store for Panicking {
    fn load(&mut self) -> Result<State, StoreError> {
        self.at("Store::load");
        Ok(State::default())
    }

    fn commit(&mut self, _changes: &[Record]) -> Result<(), StoreError> {
        self.at("Store::commit");
        Ok(())
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        panic!("and another");
    }
}

#[tokio::test]
async fn a_store_that_panics_ends_the_run_and_names_its_method() {
    for method in ["Store::load", "Store::commit"] {
        let mut master = Master::start("127.0.0.1:0").await;
        let run = tokio::spawn(driver(&master).store(Panicking(method)).run_from(Notes::restore));
        if method == "Store::commit" {
            master.accepts().await.subscribes().await;
        }
        let Err(error) = ends(run).await else { panic!("it goes on") };
        let DriverError::Store { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(source, StoreError::Panicked { method: named, .. } if *named == method), "{source}");
        assert!(source.to_string().contains("my mistake"), "{source}");
    }
}

#[tokio::test]
async fn a_run_after_a_crash_is_the_same_framework_with_its_notes() {
    let folder = tempfile::tempdir().unwrap();
    let mut master = Master::start("127.0.0.1:0").await;
    let store = || FileStore::at(folder.path().join("state"));
    let run = tokio::spawn(driver(&master).store(store()).run_from(Notes::restore));
    let mut talk = master.accepts().await;
    assert_eq!(talk.subscribes().await, None);
    talk.says(Event::Offers(vec![offer()])).await;
    assert!(matches!(talk.next().await.1, Call::Accept { .. }));
    // As a kill would: nothing is said to anybody.
    run.abort();
    drop(talk);

    let run = tokio::spawn(driver(&master).store(store()).run_from(Notes::restore));
    let mut talk = master.accepts().await;
    assert_eq!(talk.subscribes().await.unwrap().as_str(), "f-0001");
    let (_, call) = talk.next().await;
    assert!(matches!(&call, Call::Reconcile { tasks } if tasks.is_empty()), "{call:?}");
    // A task that the master may never have heard of is asked for by its name.
    let (_, call) = talk.next().await;
    assert!(matches!(&call, Call::Reconcile { tasks } if tasks[0].0.as_str() == "t1"), "{call:?}");
    // It remembers its launch, so it uses no offer.
    talk.says(Event::Offers(vec![offer()])).await;
    assert!(matches!(talk.call().await.1, Call::Decline { .. }));
    talk.says(update(TaskState::Finished, 2)).await;
    assert!(matches!(talk.next().await.1, Call::Acknowledge { .. }));
    let (id, call) = talk.next().await;
    assert_eq!(call, Call::Teardown);
    talk.answers(id).await;
    let (_, outcome) = ends(run).await.unwrap();
    assert_eq!(outcome, Outcome::TornDown);

    // What was torn down leaves nothing behind: the next run begins anew.
    assert!(store().load().unwrap().is_empty());
}

#[tokio::test]
async fn two_drivers_on_one_store_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = FileStore::at(folder.path());
    first.load().unwrap();
    let mut second = FileStore::at(folder.path());

    let refused = second.load().unwrap_err();

    assert!(matches!(&refused, StoreError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("another driver of this process"), "{refused}");
    drop(first);
    second.load().unwrap();
}

#[tokio::test]
async fn a_store_that_is_removed_while_it_is_open_takes_nothing_more() {
    let away = |store: &Path| std::fs::remove_dir_all(store).unwrap();
    let file_away = |store: &Path| std::fs::remove_file(store.join("framework.redb")).unwrap();
    let lock_away = |store: &Path| std::fs::remove_file(store.join("LOCK")).unwrap();
    let replaced = |store: &Path| {
        std::fs::copy(store.join("framework.redb"), store.join("copy")).unwrap();
        std::fs::rename(store.join("copy"), store.join("framework.redb")).unwrap();
    };
    let removals: [&dyn Fn(&Path); 4] = [&away, &file_away, &lock_away, &replaced];
    for remove in removals {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let mut store = FileStore::at(&path);
        store.commit(&[Change::put("a", "1").into()]).unwrap();
        remove(&path);

        let refused = store.commit(&[Change::put("a", "2").into()]).unwrap_err();

        assert!(matches!(&refused, StoreError::Moved { .. }), "{refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_store_ends_the_run_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("framework.redb");
    std::fs::write(&file, "a letter to nobody").unwrap();
    let master = Master::start("127.0.0.1:0").await;

    let run = driver(&master).store(FileStore::at(folder.path())).run_from(Notes::restore).await;

    let Err(DriverError::Store { source, .. }) = run else { panic!("it was opened") };
    assert!(matches!(&source, StoreError::Foreign { .. } | StoreError::Damaged { .. }), "{source}");
    assert!(source.to_string().contains(file.to_str().unwrap()), "{source}");
}

#[tokio::test]
async fn an_id_that_is_not_the_stores_is_refused() {
    let mut kept = MemoryStore::new();
    kept.commit(&[Record::Framework(FrameworkId::new("f-1").ok())]).unwrap();
    let options = FrameworkOptions::named("test").id(FrameworkId::new("f-2").unwrap());

    let run = Driver::new("127.0.0.1:1", options).store(kept).run_from(Notes::restore).await;

    assert!(matches!(run, Err(DriverError::OtherFramework { .. })));
}

/// Any change, from some bits.
fn change(bits: u64) -> Record {
    let (kind, which) = (bits % 64, (bits >> 8) % 5);
    let task = TaskId::new(format!("t{which}")).unwrap();
    match kind {
        0 => Record::Framework(None),
        1 => Record::TearingDown,
        2..10 => Record::Framework(FrameworkId::new(format!("f{which}")).ok()),
        10..20 => Record::Launched { task, agent: AgentId::new(format!("a{}", bits >> 61)).unwrap() },
        20..30 => Record::Ended { task },
        30..35 => {
            Record::Killing { task, grace: (bits & (1 << 40) != 0).then(|| Duration::from_nanos(bits >> 12)) }
        }
        35..40 => Change::remove(format!("key{which}")).into(),
        40 => Record::Removed,
        _ => Change::put(format!("key{which}"), bits.to_le_bytes()).into(),
    }
}

#[tokio::test]
async fn what_is_read_back_is_what_the_changes_came_to_however_they_were_batched() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bits, mut expected) = (0x9e37_79b9_7f4a_7c15_u64, State::default());
    for _run in 0..12 {
        let mut store = FileStore::at(folder.path());
        assert_eq!(store.load().unwrap(), expected);
        for _batch in 0..10 {
            let mut changes = Vec::new();
            for _ in 0..bits % 12 {
                // Xorshift.
                bits ^= bits << 13;
                bits ^= bits >> 7;
                bits ^= bits << 17;
                changes.push(change(bits));
            }
            bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1;
            changes.iter().for_each(|change| expected.apply(change.clone()));
            store.commit(&changes).unwrap();
        }
    }
    assert_ne!(expected, State::default());
}
