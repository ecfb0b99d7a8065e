//! Typed commands in, events and answers out.

use std::sync::mpsc;

use lonja_sdk::prelude::*;
use lonja_sdk::store::StoreError;
use lonja_sdk::wire::scheduler::{Call, Event};
use lonja_sdk::{Ended, FrameworkOptions, Interactive, Link, Missed, Reply, Unanswered};

use crate::master::{Master, TOO_LONG, ends, offer};

/// Counts what it is told to add, and writes it down.
#[derive(Default)]
struct Counter {
    sum: u64,
    changes: Vec<Change>,
    events: Vec<u64>,
}

enum Word {
    Add(u64),
    Sum(Reply<u64>),
    AddMany(u64),
    Forget(Reply<u64>),
    Panic(Reply<u64>),
    Leave,
}

impl Scheduler for Counter {
    fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
        Plan::new()
    }
    fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
        Plan::new()
    }
    fn wants_offers(&self) -> bool {
        self.sum > 0
    }
    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

impl Interactive for Counter {
    type Command = Word;
    type Event = u64;

    fn command(&mut self, _now: Timestamp, command: Word) -> Plan {
        match command {
            Word::Add(number) => {
                self.sum += number;
                self.changes.push(Change::put("sum", self.sum.to_string()));
                self.events.push(self.sum);
            }
            Word::Sum(reply) => reply.answer(self.sum),
            Word::AddMany(times) => self.events.extend(0..times),
            Word::Forget(reply) => drop(reply),
            Word::Panic(reply) => {
                reply.answer(self.sum);
                panic!("as I was told");
            }
            Word::Leave => return Plan::new().leave(),
        }
        Plan::new()
    }

    fn take_events(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.events)
    }
}

fn driver(master: &Master) -> Driver {
    Driver::new(master.url(), FrameworkOptions::named("test"))
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TOO_LONG, work).await.expect("it takes too long")
}

#[tokio::test]
async fn commands_reach_the_scheduler_in_order_and_its_events_and_answers_come_back() {
    let mut master = Master::start("127.0.0.1:0").await;
    let (driver, link) = driver(&master).interactive();
    let mut events = link.events();
    let run = tokio::spawn(driver.run(Counter::default()));
    let mut talk = master.accepts().await;
    talk.subscribes().await;

    for number in [1, 2, 3] {
        link.send(Word::Add(number)).await.unwrap();
    }
    assert_eq!(soon(link.ask(Word::Sum)).await, Ok(6));
    for sum in [1, 3, 6] {
        assert_eq!(soon(events.next()).await, Some(Ok(sum)));
    }
    // What it wants has changed by a command, and the master is told.
    assert!(matches!(talk.call().await.1, Call::Revive { .. }));
    talk.says(Event::Offers(vec![offer()])).await;
    assert!(matches!(talk.call().await.1, Call::Decline { .. }));

    link.send(Word::Leave).await.unwrap();
    let (counter, _) = ends(run).await.unwrap();
    assert_eq!(counter.sum, 6);
    assert_eq!(soon(events.next()).await, None);
    assert_eq!(link.send(Word::Add(1)).await, Err(Ended));
    assert_eq!(link.ask(Word::Sum).await, Err(Unanswered::Ended));
}

#[tokio::test]
async fn a_question_that_is_not_answered_says_so() {
    let master = Master::start("127.0.0.1:0").await;
    let (driver, link) = driver(&master).interactive();
    let run = tokio::spawn(driver.run(Counter::default()));
    assert_eq!(soon(link.ask(Word::Forget)).await, Err(Unanswered::Dropped));
    run.abort();
}

/// A store whose commits wait for the test.
struct Slow(mpsc::Receiver<()>, MemoryStore);

impl Store for Slow {
    fn load(&mut self) -> Result<State, StoreError> {
        self.1.load()
    }
    fn commit(&mut self, changes: &[Record]) -> Result<(), StoreError> {
        self.0.recv().map_err(|_| StoreError::failed("the test is over"))?;
        self.1.commit(changes)
    }
}

#[tokio::test]
async fn events_and_answers_leave_once_what_they_rest_on_is_durable() {
    let (go_on, wait) = mpsc::channel();
    let kept = MemoryStore::new();
    let master = Master::start("127.0.0.1:0").await;
    let (driver, link) = driver(&master).store(Slow(wait, kept.clone())).interactive();
    let link: Link<Counter> = link;
    let mut events = link.events();
    let run = tokio::spawn(driver.run(Counter::default()));

    link.send(Word::Add(5)).await.unwrap();
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), events.next()).await;
    assert!(early.is_err(), "{early:?}");
    go_on.send(()).unwrap();
    assert_eq!(soon(events.next()).await, Some(Ok(5)));
    assert_eq!(kept.state().get("sum"), Some(b"5".as_slice()));
    run.abort();
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_how_much_it_lost() {
    let master = Master::start("127.0.0.1:0").await;
    let (driver, link) = driver(&master).interactive();
    let mut events = link.events();
    let run = tokio::spawn(driver.run(Counter::default()));
    link.send(Word::AddMany(1_500)).await.unwrap();
    soon(link.ask(Word::Sum)).await.unwrap();

    let Some(Err(Missed(lost))) = soon(events.next()).await else { panic!("nothing was lost") };
    assert_eq!(soon(events.next()).await, Some(Ok(lost)));
    assert_eq!(link.handle().metrics().events_lost, lost);
    run.abort();
}

#[tokio::test]
async fn what_a_scheduler_says_before_it_panics_never_leaves() {
    let master = Master::start("127.0.0.1:0").await;
    let (driver, link) = driver(&master).interactive();
    let mut events = link.events();
    let run = tokio::spawn(driver.run_from(|state| {
        let sum = state.get("sum").map_or(0, |sum| std::str::from_utf8(sum).unwrap().parse().unwrap());
        Counter { sum, ..Counter::default() }
    }));
    link.send(Word::Add(7)).await.unwrap();
    assert_eq!(soon(link.ask(Word::Panic)).await, Err(Unanswered::Dropped));
    // Made anew from what was kept.
    assert_eq!(soon(link.ask(Word::Sum)).await, Ok(7));
    assert_eq!(soon(events.next()).await, Some(Ok(7)));
    run.abort();
}
