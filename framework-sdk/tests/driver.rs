//! The driver against a master made of a few lines, over real sockets on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "driver/master.rs"]
mod master;
#[path = "driver/store.rs"]
mod store;
#[path = "driver/talking.rs"]
mod talking;
#[path = "driver/trouble.rs"]
mod trouble;

use std::time::Duration;

use lonja_sdk::model::UpdateId;
use lonja_sdk::prelude::*;
use lonja_sdk::wire::scheduler::Call;
use lonja_sdk::wire::scheduler::Event;
use lonja_sdk::{DriverError, FrameworkOptions};
use master::{Master, ends, offer, update};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

/// Launches one task and waits for its end.
struct Once {
    launched: bool,
    states: Vec<TaskState>,
}

impl Once {
    fn new() -> Self {
        Self { launched: false, states: Vec::new() }
    }
}

impl Scheduler for Once {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let task = Task::shell("true").unwrap().cpus(1.0).unwrap();
        let Some(task) = task.on(&offers[0], TaskId::new("t1").unwrap()) else { return Plan::new() };
        self.launched = true;
        Plan::new().launch(&offers[0], [task])
    }
    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.states.push(status.state);
        if status.state.is_terminal() { Plan::new().tear_down() } else { Plan::new() }
    }
    fn wants_offers(&self) -> bool {
        !self.launched
    }
}

fn driver(url: impl Into<String>) -> Driver {
    Driver::new(url, FrameworkOptions::named("test"))
}

#[tokio::test]
async fn a_task_goes_from_its_offer_to_its_end() {
    let mut master = Master::start("127.0.0.1:0").await;
    let run = tokio::spawn(driver(master.url()).run(Once::new()));
    let mut talk = master.accepts().await;
    assert_eq!(talk.subscribes().await, None);

    talk.says(Event::Offers(vec![offer()])).await;
    let (_, call) = talk.call().await;
    assert!(matches!(&call, Call::Accept { offers, .. } if *offers == [offer().id]), "{call:?}");
    talk.says(update(TaskState::Running, 1)).await;
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Acknowledge { update: UpdateId([1, ..]), .. }), "{call:?}");
    talk.says(update(TaskState::Finished, 2)).await;
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Acknowledge { update: UpdateId([2, ..]), .. }), "{call:?}");
    let (id, call) = talk.next().await;
    assert_eq!(call, Call::Teardown);
    talk.answers(id).await;

    let (once, outcome) = ends(run).await.unwrap();
    assert_eq!(outcome, Outcome::TornDown);
    assert_eq!(once.states, [TaskState::Running, TaskState::Finished]);
}

#[tokio::test]
async fn a_master_that_dies_and_returns_gets_the_same_framework_its_tasks_and_its_kills() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(master.url());
    let handle = driver.handle();
    let run = tokio::spawn(driver.run(Once::new()));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    talk.says(Event::Offers(vec![offer()])).await;
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Accept { .. }), "{call:?}");
    talk.says(update(TaskState::Running, 1)).await;
    talk.next().await;

    let address = master.dies(talk).await;
    handle.kill(TaskId::new("t1").unwrap(), None).await;
    let mut master = Master::start(&address.to_string()).await;
    let mut talk = master.accepts().await;

    assert_eq!(talk.subscribes().await.unwrap().as_str(), "f-0001");
    let (_, call) = talk.next().await;
    assert!(matches!(&call, Call::Reconcile { tasks } if tasks.len() == 1), "{call:?}");
    let (_, call) = talk.next().await;
    assert!(matches!(&call, Call::Kill { .. }), "{call:?}");
    // Its acknowledgement was lost with the first master: it comes again, and is shown once.
    talk.says(update(TaskState::Running, 1)).await;
    let (_, call) = talk.next().await;
    assert!(matches!(call, Call::Acknowledge { .. }), "{call:?}");

    handle.leave().await;
    let (once, outcome) = ends(run).await.unwrap();
    assert_eq!(once.states, [TaskState::Running]);
    assert_eq!(outcome, Outcome::Left { framework: FrameworkId::new("f-0001").ok() });
}

#[tokio::test]
async fn a_tear_down_that_no_master_confirms_ends_in_time_and_says_so() {
    let mut master = Master::start("127.0.0.1:0").await;
    let driver = driver(master.url()).stop_within(Duration::from_millis(200));
    let handle = driver.handle();
    let run = tokio::spawn(driver.run(Once::new()));
    let mut talk = master.accepts().await;
    talk.subscribes().await;
    master.dies(talk).await;

    handle.tear_down().await;

    let Err(error) = ends(run).await else { panic!("it was torn down") };
    assert!(matches!(error, DriverError::NotTornDown { .. } | DriverError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_given_up_with_a_hint() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let driver = driver(free.to_string()).wait_for_master(Duration::from_millis(300));
    let Err(error) = driver.run(Once::new()).await else { panic!("there is no master") };
    let text = error.to_string();
    assert!(matches!(error, DriverError::Unreachable { .. }), "{text}");
    assert!(text.contains(&free.to_string()) && text.contains("lonja dev"), "{text}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    let Err(error) = driver("http://not an address").run(Once::new()).await else { panic!("it is none") };
    assert!(matches!(error, DriverError::Address { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_no_master_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_routes(tonic::service::Routes::default())
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = tokio::spawn(server);

    let Err(error) = driver(url).run(Once::new()).await else { panic!("there is no master") };

    assert!(matches!(error, DriverError::NoMaster { .. }), "{error}");
    server.abort();
}
