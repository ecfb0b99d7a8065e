//! Schedulers and masters that are wrong: each contained, named and, where it can be, recovered from.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use lonja_sdk::prelude::*;
use lonja_sdk::wire::scheduler::{Call, Event, Refusal, RefusalCode};
use lonja_sdk::{DriverError, Events, FrameworkOptions, Notice};

use crate::master::{Conversation, Master, TOO_LONG, ends, offer, update};

type WithOffers = Box<dyn FnMut(&[Offer]) -> Plan + Send>;

/// Does with offers what it was made to do; panics at some states of tasks.
struct Wrong {
    with_offers: WithOffers,
    panics_at: Option<TaskState>,
    problems: Arc<Mutex<Vec<Problem>>>,
}

impl Wrong {
    fn new(with_offers: impl FnMut(&[Offer]) -> Plan + Send + 'static) -> Self {
        Self { with_offers: Box::new(with_offers), panics_at: None, problems: Arc::default() }
    }

    fn panicking_at(state: TaskState) -> Self {
        Self { panics_at: Some(state), ..Self::new(|_| Plan::new()) }
    }
}

impl Scheduler for Wrong {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        (self.with_offers)(offers)
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        assert_ne!(Some(status.state), self.panics_at, "a state I did not expect");
        Plan::new()
    }

    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        self.problems.lock().unwrap().push(problem.clone());
        Plan::new()
    }
}

fn driver(master: &Master) -> Driver {
    Driver::new(master.url(), FrameworkOptions::named("test"))
}

fn task(offer: &Offer, id: &str, cpus: f64) -> TaskInfo {
    let mut task =
        Task::shell("true").unwrap().cpus(1.0).unwrap().on(offer, TaskId::new(id).unwrap()).unwrap();
    task.resources = format!("cpus:{cpus}").parse().unwrap();
    task
}

async fn notice(notices: &mut Events<Notice>, wanted: impl Fn(&Notice) -> bool) -> Notice {
    let find = async {
        loop {
            let notice = notices.next().await.expect("the run goes on").expect("few enough");
            if wanted(&notice) {
                return notice;
            }
        }
    };
    tokio::time::timeout(TOO_LONG, find).await.expect("nothing of the kind was told")
}

#[tokio::test]
async fn a_panic_ends_a_run_that_cannot_be_made_anew_and_names_scheduler_and_method() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let handle = driver.handle();
    let run = tokio::spawn(driver.run(Wrong::panicking_at(TaskState::Running)));
    let mut talk = master.accepts().await;
    talk.subscribes().await;

    talk.says(update(TaskState::Running, 1)).await;

    let Err(error) = ends(run).await else { panic!("it goes on") };
    let text = error.to_string();
    assert!(matches!(error, DriverError::Panicked { method: "update", .. }), "{text}");
    assert!(text.contains("Wrong") && text.contains("a state I did not expect"), "{text}");
    assert_eq!(handle.metrics().panics, 1);
    // What it panicked over is not acknowledged: it comes again.
    while let Ok(Some(request)) = talk.calls.message().await {
        let call = lonja_proto::convert::call::request_from_wire(request).1.unwrap().1;
        assert!(!matches!(call, Call::Acknowledge { .. }), "{call:?}");
    }
}

#[tokio::test]
async fn a_scheduler_that_panics_is_made_anew_from_what_is_kept_and_goes_on() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let mut notices = driver.handle().notices();
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let run = tokio::spawn(driver.run_from(move |state| {
        // The first has the mistake; the second is given what was kept.
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            return Wrong::panicking_at(TaskState::Running);
        }
        assert!(state.framework().is_some());
        Wrong::new(|_| Plan::new())
    }));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    talk.says(update(TaskState::Running, 1)).await;
    notice(&mut notices, |notice| matches!(notice, Notice::Panicked { method: "update", .. })).await;

    let mut talk = master.accepts().await;
    assert_eq!(talk.subscribes().await.unwrap().as_str(), "f-0001");
    talk.says(update(TaskState::Running, 1)).await;
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Reconcile { .. }), "{call:?}");
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Acknowledge { .. }), "{call:?}");
    assert_eq!(made.load(Ordering::Relaxed), 2);
    run.abort();
}

/// Panics in each way there is: over an update with a value that panics as it is dropped, and then as it is itself dropped.
struct Bomb {
    armed: bool,
}

/// What it throws.
struct Splinter;

impl Drop for Splinter {
    fn drop(&mut self) {
        panic!("a splinter");
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.armed, "the bomb itself");
    }
}

impl Scheduler for Bomb {
    fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
        Plan::new()
    }
    fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
        if self.armed {
            std::panic::panic_any(Splinter);
        }
        Plan::new()
    }
}

#[tokio::test]
async fn panics_in_what_is_dropped_are_contained_and_named_too() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let handle = driver.handle();
    let mut notices = handle.notices();
    let mut armed = true;
    let run = tokio::spawn(driver.run_from(move |_| Bomb { armed: std::mem::take(&mut armed) }));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    talk.says(update(TaskState::Running, 1)).await;
    notice(&mut notices, |notice| matches!(notice, Notice::Panicked { method: "update", .. })).await;
    let dropped = notice(&mut notices, |notice| matches!(notice, Notice::Panicked { .. })).await;
    assert_eq!(dropped, Notice::Panicked { method: "drop", message: "the bomb itself".to_owned() });

    assert_eq!(master.accepts().await.subscribes().await.unwrap().as_str(), "f-0001");
    assert_eq!(handle.metrics().panics, 2);
    run.abort();
}

#[tokio::test]
async fn one_that_panics_again_and_again_is_given_up() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master).rebuilds_a_minute(2);
    let run = tokio::spawn(driver.run_from(|_| Wrong::panicking_at(TaskState::Running)));
    for _ in 0..3 {
        let mut talk = master.accepts().await;
        talk.subscribes().await;
        talk.says(update(TaskState::Running, 1)).await;
    }
    let Err(DriverError::Panicked { rebuilt, .. }) = ends(run).await else { panic!("it goes on") };
    assert_eq!(rebuilt, 2);
}

#[tokio::test]
async fn a_scheduler_that_cannot_even_be_made_ends_the_run() {
    let make = |_: &State| -> Wrong { panic!("what is kept makes no sense") };
    let run = Driver::new("127.0.0.1:1", FrameworkOptions::named("test")).run_from(make).await;
    let Err(error) = run else { panic!("it was made") };
    assert!(error.to_string().contains("what is kept makes no sense"), "{error}");
}

#[tokio::test]
async fn a_scheduler_that_blocks_is_told_of_by_name_while_the_connection_lives() {
    let (release, released) = mpsc::channel::<()>();
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let handle = driver.handle();
    let mut notices = handle.notices();
    let run = tokio::spawn(driver.run(Wrong::new(move |_| {
        let _released = released.recv();
        Plan::new()
    })));
    let mut talk = master.accepts().await;
    talk.subscribes().await;

    talk.says(Event::Offers(vec![offer()])).await;

    // This runtime has one thread: the notice comes because the scheduler does not block it.
    let blocked = notice(&mut notices, |notice| matches!(notice, Notice::Blocked { .. })).await;
    assert!(matches!(blocked, Notice::Blocked { method: "offers", .. }), "{blocked:?}");
    assert_eq!(handle.metrics().blocked, 1);
    release.send(()).unwrap();
    assert!(matches!(talk.call().await.1, Call::Decline { .. }));
    run.abort();
}

#[tokio::test]
async fn a_run_ends_though_its_scheduler_never_returns() {
    let (_release, released) = mpsc::channel::<()>();
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let mut notices = driver.handle().notices();
    let run = tokio::spawn(driver.run(Wrong::new(move |_| {
        let _never = released.recv();
        Plan::new()
    })));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    talk.says(Event::Offers(vec![offer()])).await;
    notice(&mut notices, |notice| matches!(notice, Notice::Blocked { .. })).await;

    run.abort();

    let end = tokio::time::timeout(TOO_LONG, talk.calls.message()).await.expect("the connection goes on");
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}

/// Runs a scheduler until the master has its answer to one offer, and returns that with what was counted.
async fn answers(
    with_offers: impl FnMut(&[Offer]) -> Plan + Send + 'static,
    calls: usize,
) -> (Vec<Call>, Driven) {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let handle = driver.handle();
    let scheduler = Wrong::new(with_offers);
    let problems = Arc::clone(&scheduler.problems);
    let run = tokio::spawn(driver.run(scheduler));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    talk.says(Event::Offers(vec![offer()])).await;
    let mut answers = Vec::new();
    for _ in 0..calls {
        answers.push(talk.call().await.1);
    }
    run.abort();
    let problems = problems.lock().unwrap().clone();
    (answers, Driven { problems, metrics: handle.metrics(), _talk: talk })
}

struct Driven {
    problems: Vec<Problem>,
    metrics: lonja_sdk::Metrics,
    _talk: Conversation,
}

#[tokio::test]
async fn a_plan_over_its_offers_is_not_sent_and_counted() {
    let plan = |offers: &[Offer]| Plan::new().launch(&offers[0], [task(&offers[0], "t1", 64.0)]);
    let (calls, driven) = answers(plan, 1).await;
    assert!(matches!(calls[..], [Call::Decline { .. }]), "{calls:?}");
    assert_eq!(driven.metrics.problems.get("exceeds"), Some(&1));
    assert!(driven.problems[0].to_string().contains("t1"), "{:?}", driven.problems);
}

#[tokio::test]
async fn an_id_that_is_launched_twice_is_sent_once_and_counted() {
    let plan = |offers: &[Offer]| {
        let (first, second) = (task(&offers[0], "t1", 0.5), task(&offers[0], "t1", 0.5));
        Plan::new().launch(&offers[0], [first, second])
    };
    let (calls, driven) = answers(plan, 1).await;
    assert!(matches!(calls[..], [Call::Decline { .. }]), "{calls:?}");
    assert_eq!(driven.metrics.problems.get("task_id_in_use"), Some(&1));
    assert_eq!(driven.metrics.counts.tasks_launched, 0);
}

#[tokio::test]
async fn an_offer_that_is_held_and_never_answered_expires() {
    let plan = |offers: &[Offer]| Plan::new().hold(&offers[0], Duration::from_millis(100));
    let (calls, driven) = answers(plan, 1).await;
    assert!(matches!(calls[..], [Call::Decline { .. }]), "{calls:?}");
    let counts = driven.metrics.counts;
    assert_eq!((counts.offers_received, counts.offers_expired, counts.offers_in_hand), (1, 1, 0));
}

#[tokio::test]
async fn an_id_that_the_master_has_removed_says_what_to_do() {
    let mut kept = MemoryStore::new();
    kept.commit(&[Record::Framework(FrameworkId::new("f-1").ok())]).unwrap();
    let mut master = Master::start("127.0.0.1:0").await;
    let run = tokio::spawn(driver(&master).store(kept).run_from(|_| Wrong::new(|_| Plan::new())));
    let mut talk = master.accepts().await;
    let (id, _) = talk.call().await;
    let refusal = Refusal::new(RefusalCode::Conflict, "Framework has been removed; subscribe without an id");
    talk.answers_with(id, Err(refusal)).await;

    let Err(error) = ends(run).await else { panic!("it was taken in") };
    let text = error.to_string();
    assert!(matches!(error, DriverError::Removed { .. }), "{text}");
    assert!(text.contains("f-1") && text.contains("empty store"), "{text}");
}

#[tokio::test]
async fn a_framework_that_is_removed_while_it_runs_can_start_anew_with_its_notes() {
    let kept = MemoryStore::new();
    let notes = || kept.state().entries().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
    let mut forgetful = kept.clone();
    forgetful.commit(&[Change::put("note", "1").into()]).unwrap();
    let mut master = Master::start("127.0.0.1:0").await;
    let run = tokio::spawn(driver(&master).store(kept.clone()).run_from(|_| Wrong::new(|_| Plan::new())));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    talk.says(Event::Error("Framework has been removed: an operator tore it down".to_owned())).await;

    let Err(error) = ends(run).await else { panic!("it ended well") };
    let text = error.to_string();
    assert!(matches!(error, DriverError::Removed { .. }), "{text}");
    assert!(text.contains("an operator tore it down") && text.contains("forget_framework"), "{text}");
    assert!(kept.state().framework().is_some(), "nobody has said that it may be forgotten");

    forgetful.forget_framework().unwrap();
    assert_eq!((kept.state().framework(), notes()), (None, vec!["note".to_owned()]));
    let run = tokio::spawn(driver(&master).store(kept.clone()).run_from(|_| Wrong::new(|_| Plan::new())));
    assert_eq!(master.accepts().await.subscribes().await, None, "it is a new framework");
    run.abort();
}

#[tokio::test]
async fn the_next_master_is_tried_when_one_is_away_does_not_lead_or_is_none() {
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let strange = stranger.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_routes(tonic::service::Routes::default())
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(stranger));
    let server = tokio::spawn(server);
    let mut follower = Master::start("127.0.0.1:0").await;
    let mut leader = Master::start("127.0.0.1:0").await;
    let list = format!("{away},{strange},{},{}", follower.url(), leader.url());
    let driver = Driver::new(list, FrameworkOptions::named("test"));
    let handle = driver.handle();
    let run = tokio::spawn(driver.run(Wrong::new(|_| Plan::new())));

    let mut talk = follower.accepts().await;
    let (id, _) = talk.call().await;
    talk.answers_with(id, Err(Refusal::new(RefusalCode::NotLeader, "I follow"))).await;
    let mut talk = leader.accepts().await;
    assert_eq!(talk.subscribes().await, None);
    talk.says(Event::Offers(vec![offer()])).await;
    talk.call().await;

    let metrics = handle.metrics();
    assert_eq!(metrics.master, Some(leader.url()));
    assert_eq!((metrics.connections, metrics.failed_connections), (2, 2));
    // The one that was good is tried first.
    drop(talk);
    assert_eq!(leader.accepts().await.subscribes().await.unwrap().as_str(), "f-0001");
    run.abort();
    server.abort();
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_no_master() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _some = stream.read(&mut [0; 24]).await;
            let _all = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
        }
    });
    let driver = Driver::new(url, FrameworkOptions::named("test")).wait_for_master(Duration::from_secs(2));

    let Err(error) = driver.run(Wrong::new(|_| Plan::new())).await else { panic!("there is no master") };

    assert!(matches!(error, DriverError::NoMaster { .. }), "{error}");
    server.abort();
}

/// Panics once: at its subscription, or when asked what has changed, as soon as it may.
struct Fragile {
    at_subscription: bool,
    at_changes: Arc<std::sync::atomic::AtomicBool>,
}

impl Scheduler for Fragile {
    fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
        Plan::new()
    }
    fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
        Plan::new()
    }
    fn subscribed(
        &mut self,
        _now: Timestamp,
        _framework: &FrameworkId,
        _master: &lonja_sdk::model::MasterInfo,
    ) -> Plan {
        assert!(!self.at_subscription, "not ready");
        Plan::new()
    }
    fn changes(&mut self) -> Vec<Change> {
        assert!(!self.at_changes.swap(false, Ordering::Relaxed), "the notes are lost");
        Vec::new()
    }
}

#[tokio::test]
async fn an_id_given_to_a_scheduler_that_panics_over_it_is_kept() {
    let mut master = Master::start("127.0.0.1:0").await;
    let mut first = true;
    let run = tokio::spawn(driver(&master).run_from(move |_| Fragile {
        at_subscription: std::mem::take(&mut first),
        at_changes: Arc::default(),
    }));
    assert_eq!(master.accepts().await.subscribes().await, None);
    assert_eq!(master.accepts().await.subscribes().await.unwrap().as_str(), "f-0001");
    run.abort();
}

#[tokio::test]
async fn a_command_over_which_a_scheduler_panics_is_given_to_the_next() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let handle = driver.handle();
    let mut notices = handle.notices();
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let at_changes = Arc::clone(&panics);
    let make = move |_: &State| Fragile { at_subscription: false, at_changes: Arc::clone(&at_changes) };
    let run = tokio::spawn(driver.run_from(make));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    notice(&mut notices, |notice| matches!(notice, Notice::Subscribed { .. })).await;

    panics.store(true, Ordering::Relaxed);
    handle.tear_down().await;

    let mut talk = master.accepts().await;
    assert_eq!(talk.subscribes().await.unwrap().as_str(), "f-0001");
    let (id, call) = talk.next().await;
    assert_eq!(call, Call::Teardown);
    talk.answers(id).await;
    assert_eq!(ends(run).await.map(|(_, outcome)| outcome).unwrap(), Outcome::TornDown);
    assert_eq!(handle.metrics().panics, 1);
}

#[tokio::test]
async fn a_stranger_at_the_masters_address_is_passing_once_the_framework_was_subscribed() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let mut notices = driver.handle().notices();
    let run = tokio::spawn(driver.run(Wrong::new(|_| Plan::new())));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    notice(&mut notices, |notice| matches!(notice, Notice::Subscribed { .. })).await;
    let address = master.dies(talk).await;

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let stranger = tonic::transport::Server::builder()
        .add_routes(tonic::service::Routes::default())
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let stranger = tokio::spawn(stranger);
    let unknown = |notice: &Notice| matches!(notice, Notice::Disconnected { why, .. } if why.to_lowercase().contains("not implemented"));
    let told = tokio::time::timeout(TOO_LONG, notice(&mut notices, unknown)).await;
    assert!(told.is_ok() && !run.is_finished());
    stranger.abort();
    let _aborted = stranger.await;

    let mut master = Master::start(&address.to_string()).await;
    assert_eq!(master.accepts().await.subscribes().await.unwrap().as_str(), "f-0001");
    run.abort();
}

/// Waits, the second time that it is asked whether it wants offers: as it is connected.
struct Waits {
    asked: AtomicUsize,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Scheduler for Waits {
    fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
        Plan::new()
    }
    fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
        Plan::new()
    }
    fn wants_offers(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed) == 1 {
            let _over = self.go_on.lock().unwrap().recv();
        }
        true
    }
}

#[tokio::test]
async fn a_stranger_is_passing_also_if_the_subscription_was_lost_as_soon_as_it_stood() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(&master);
    let mut notices = driver.handle().notices();
    let (go, go_on) = mpsc::channel();
    let waits = Waits { asked: AtomicUsize::new(0), go_on: Mutex::new(go_on) };
    let run = tokio::spawn(driver.run(waits));
    let talk = master.accepts().await;
    let framework = FrameworkId::new("f-0001").unwrap();
    let master_info = lonja_sdk::model::MasterInfo { id: "m".into(), ..Default::default() };
    let heartbeat = Duration::from_secs(15);
    talk.says(Event::Subscribed { framework, heartbeat, master: master_info }).await;
    let address = master.dies(talk).await;
    notice(&mut notices, |notice| matches!(notice, Notice::Disconnected { .. })).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let stranger = tonic::transport::Server::builder()
        .add_routes(tonic::service::Routes::default())
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let stranger = tokio::spawn(stranger);

    // Now the thread is given both at once, the subscription and its loss.
    go.send(()).unwrap();

    let unknown = |notice: &Notice| matches!(notice, Notice::Disconnected { why, .. } if why.to_lowercase().contains("not implemented"));
    notice(&mut notices, unknown).await;
    assert!(!run.is_finished());
    stranger.abort();
    let _aborted = stranger.await;
    let mut master = Master::start(&address.to_string()).await;
    assert_eq!(master.accepts().await.subscribes().await.unwrap().as_str(), "f-0001");
    run.abort();
}

#[tokio::test]
async fn of_several_addresses_without_a_master_each_is_named_with_its_reason() {
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let strange = stranger.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_routes(tonic::service::Routes::default())
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(stranger));
    let server = tokio::spawn(server);
    let list = format!("{strange},{away}");
    let driver =
        Driver::new(list, FrameworkOptions::named("test")).wait_for_master(Duration::from_millis(500));

    let Err(error) = driver.run(Wrong::new(|_| Plan::new())).await else { panic!("there is no master") };

    let text = error.to_string();
    assert!(matches!(error, DriverError::Unreachable { .. }), "{text}");
    assert!(text.contains(&format!("{strange}: no Lonja master")), "{text}");
    assert!(text.contains(&format!("{away}: ")) && text.to_lowercase().contains("refused"), "{text}");
    server.abort();
}

#[tokio::test]
async fn notices_end_with_a_driver_that_never_ran() {
    let unrun = Driver::new("127.0.0.1:1", FrameworkOptions::named("test"));
    let mut notices = unrun.handle().notices();
    drop(unrun);
    assert!(notices.next().await.is_none());

    let not_started = Driver::new("no address at all", FrameworkOptions::named("test"));
    let mut notices = not_started.handle().notices();
    assert!(not_started.run(Wrong::new(|_| Plan::new())).await.is_err());
    assert!(notices.next().await.is_none());
}
