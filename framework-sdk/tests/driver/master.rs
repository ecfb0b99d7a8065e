//! A master that does what the test does, over real sockets on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use lonja_proto::convert::call::request_from_wire;
use lonja_proto::convert::event::{event_response, result_response};
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::schedulers_server::{Schedulers, SchedulersServer};
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse};
use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::task::Source;
use lonja_sdk::model::{Role, UpdateId};
use lonja_sdk::prelude::*;
use lonja_sdk::wire::scheduler::{Call, CallResult, Event, MasterInfo};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Nothing here takes long; what takes this long has failed.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(20);

/// One connection, seen from the master.
pub(crate) struct Conversation {
    pub(crate) calls: Streaming<SchedulerRequest>,
    pub(crate) events: mpsc::Sender<Result<SchedulerResponse, Status>>,
}

impl Conversation {
    /// The next call, with its number.
    pub(crate) async fn call(&mut self) -> (u64, Call) {
        let request = tokio::time::timeout(TOO_LONG, self.calls.message()).await.expect("no call came");
        let request = request.expect("the stream is whole").expect("the stream goes on");
        let (id, call) = request_from_wire(request);
        let (framework, call) = call.expect("a well-formed call");
        let subscribes = matches!(call, Call::Subscribe { framework: None, .. });
        assert_eq!(framework.is_none(), subscribes, "{call:?} names {framework:?}");
        (id, call)
    }

    /// The next call that is none of the library's housekeeping.
    pub(crate) async fn next(&mut self) -> (u64, Call) {
        loop {
            match self.call().await {
                (_, Call::Decline { .. } | Call::Suppress { .. } | Call::Revive { .. }) => {}
                other => return other,
            }
        }
    }

    pub(crate) async fn says(&self, event: Event) {
        let response = event_response(&event, Shape::FULL);
        self.events.send(Ok(response)).await.expect("the framework listens");
    }

    pub(crate) async fn answers(&self, id: u64) {
        self.answers_with(id, Ok(())).await;
    }

    pub(crate) async fn answers_with(&self, id: u64, result: CallResult) {
        self.events.send(Ok(result_response(id, &result))).await.expect("the framework listens");
    }

    /// Takes the subscription in; returns the id it came with.
    pub(crate) async fn subscribes(&mut self) -> Option<FrameworkId> {
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

pub(crate) struct Door(mpsc::Sender<Conversation>);

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
pub(crate) struct Master {
    address: SocketAddr,
    conversations: mpsc::Receiver<Conversation>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Master {
    pub(crate) async fn start(address: &str) -> Self {
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn accepts(&mut self) -> Conversation {
        let next = tokio::time::timeout(TOO_LONG, self.conversations.recv()).await;
        next.expect("nobody connects").expect("the server runs")
    }

    /// Stops, with all its connections, and frees its port.
    pub(crate) async fn dies(self, conversation: Conversation) -> SocketAddr {
        drop(conversation);
        drop(self.stop);
        drop(self.conversations);
        tokio::time::timeout(TOO_LONG, self.server).await.expect("the server stops").unwrap();
        self.address
    }
}

pub(crate) fn offer() -> Offer {
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

pub(crate) fn update(state: TaskState, number: u8) -> Event {
    let now = Timestamp::ZERO + Duration::from_secs(1);
    let mut status = TaskStatus::new(TaskId::new("t1").unwrap(), state, Source::Executor, now);
    status.agent = Some(AgentId::new("a1").unwrap());
    status.update = Some(UpdateId([number; 16]));
    Event::Update(Box::new(status))
}

pub(crate) async fn ends<T>(run: JoinHandle<T>) -> T {
    tokio::time::timeout(TOO_LONG, run).await.expect("the run goes on").unwrap()
}
