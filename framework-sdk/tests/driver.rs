//! The driver against a master made of a few lines, over real sockets on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::time::Duration;

use lonja_proto::convert::call::request_from_wire;
use lonja_proto::convert::event::{event_response, result_response};
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::schedulers_server::{Schedulers, SchedulersServer};
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse};
use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::scheduler::{Call, Event, MasterInfo};
use lonja_sdk::model::task::Source;
use lonja_sdk::model::{Role, UpdateId};
use lonja_sdk::prelude::*;
use lonja_sdk::{DriverError, FrameworkOptions};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Nothing here takes long; what takes this long has failed.
const TOO_LONG: Duration = Duration::from_secs(20);

/// One connection, seen from the master.
struct Conversation {
    calls: Streaming<SchedulerRequest>,
    events: mpsc::Sender<Result<SchedulerResponse, Status>>,
}

impl Conversation {
    /// The next call, with its number.
    async fn call(&mut self) -> (u64, Call) {
        let request = tokio::time::timeout(TOO_LONG, self.calls.message()).await.expect("no call came");
        let request = request.expect("the stream is whole").expect("the stream goes on");
        let (id, call) = request_from_wire(request);
        let (framework, call) = call.expect("a well-formed call");
        let subscribes = matches!(call, Call::Subscribe { framework: None, .. });
        assert_eq!(framework.is_none(), subscribes, "{call:?} names {framework:?}");
        (id, call)
    }

    /// The next call that is none of the library's housekeeping.
    async fn next(&mut self) -> (u64, Call) {
        loop {
            match self.call().await {
                (_, Call::Decline { .. } | Call::Suppress { .. } | Call::Revive { .. }) => {}
                other => return other,
            }
        }
    }

    async fn says(&self, event: Event) {
        let response = event_response(&event, Shape::FULL);
        self.events.send(Ok(response)).await.expect("the framework listens");
    }

    async fn answers(&self, id: u64) {
        self.events.send(Ok(result_response(id, &Ok(())))).await.expect("the framework listens");
    }

    /// Takes the subscription in; returns the id it came with.
    async fn subscribes(&mut self) -> Option<FrameworkId> {
        let (id, call) = self.call().await;
        let Call::Subscribe { framework: named, .. } = call else { panic!("{call:?}") };
        let framework = FrameworkId::new("f-0001").unwrap();
        let heartbeat = Duration::from_secs(15);
        let master = MasterInfo { id: "m".into(), ..MasterInfo::default() };
        self.says(Event::Subscribed { framework, heartbeat, master }).await;
        self.answers(id).await;
        named
    }
}

struct Door(mpsc::Sender<Conversation>);

#[tonic::async_trait]
impl Schedulers for Door {
    type ConnectStream = ReceiverStream<Result<SchedulerResponse, Status>>;
    async fn connect(
        &self,
        request: Request<Streaming<SchedulerRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (events, queue) = mpsc::channel(64);
        let conversation = Conversation { calls: request.into_inner(), events };
        self.0.send(conversation).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

/// A master that does what the test does.
struct Master {
    address: SocketAddr,
    conversations: mpsc::Receiver<Conversation>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Master {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (door, conversations) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let server = tonic::transport::Server::builder()
            .add_service(SchedulersServer::new(Door(door)))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _either = stopped.await;
            });
        let server = tokio::spawn(async { server.await.unwrap() });
        Self { address, conversations, stop, server }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn accepts(&mut self) -> Conversation {
        let next = tokio::time::timeout(TOO_LONG, self.conversations.recv()).await;
        next.expect("nobody connects").expect("the server runs")
    }

    /// Stops, with all its connections, and frees its port.
    async fn dies(self, conversation: Conversation) -> SocketAddr {
        drop(conversation);
        drop(self.stop);
        drop(self.conversations);
        tokio::time::timeout(TOO_LONG, self.server).await.expect("the server stops").unwrap();
        self.address
    }
}

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

fn offer() -> Offer {
    Offer {
        id: OfferId::new("o1").unwrap(),
        framework: FrameworkId::new("f-0001").unwrap(),
        agent: AgentId::new("a1").unwrap(),
        role: Role::default_role(),
        hostname: "localhost".to_owned(),
        port: 5051,
        resources: "cpus:2;mem:256".parse().unwrap(),
        attributes: Attributes::default(),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    }
}

fn update(state: TaskState, number: u8) -> Event {
    let now = Timestamp::ZERO + Duration::from_secs(1);
    let mut status = TaskStatus::new(TaskId::new("t1").unwrap(), state, Source::Executor, now);
    status.agent = Some(AgentId::new("a1").unwrap());
    status.update = Some(UpdateId([number; 16]));
    Event::Update(Box::new(status))
}

fn driver(url: impl Into<String>) -> Driver {
    Driver::new(url, FrameworkOptions::named("test"))
}

async fn ends<T>(run: JoinHandle<T>) -> T {
    tokio::time::timeout(TOO_LONG, run).await.expect("the run goes on").unwrap()
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
