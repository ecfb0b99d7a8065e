//! An agent that does what the test does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use lonja_proto::convert::execution::{execution_call_from_wire, execution_event_to_wire};
use lonja_proto::lonja::executors_server::{Executors, ExecutorsServer};
use lonja_proto::mesos::executor as wire;
use lonja_sdk::executor::{Address, Environment, Subscribed, Token};
use lonja_sdk::model::agent::AgentInfo;
use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::executor::ExecutorInfo;
use lonja_sdk::model::{
    AgentId, ContainerId, ExecutorId, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskStatus,
};
use lonja_sdk::wire::execution::{Call, Event};
use lonja_sdk::{ExecutorTask, Task};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Nothing here takes long; what takes this long has failed.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(20);

const TOKEN: &str = "t0ken";

pub(crate) fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

fn executor_info() -> ExecutorInfo {
    let program = Task::argv(["./executor"]).unwrap();
    program.as_executor(ExecutorId::new("e1").unwrap()).unwrap()
}

pub(crate) fn task(id: &str) -> TaskInfo {
    let task = ExecutorTask::new(executor_info()).unwrap();
    task.with_resources(&AgentId::new("a1").unwrap(), task_id(id), "cpus:0.1".parse().unwrap())
}

/// What the agent at `address` would have told its executor.
pub(crate) fn environment_of(address: Address) -> Environment {
    Environment {
        framework: FrameworkId::new("f1").unwrap(),
        executor: ExecutorId::new("e1").unwrap(),
        address,
        token: Token::new(TOKEN).unwrap(),
        sandbox: PathBuf::from("."),
        checkpoint: true,
        recovery_timeout: Duration::from_secs(900),
        longest_pause: Duration::from_millis(100),
        shutdown_grace: TOO_LONG,
    }
}

pub(crate) async fn ends<T>(run: JoinHandle<T>) -> T {
    tokio::time::timeout(TOO_LONG, run).await.expect("it goes on").unwrap()
}

/// One connection, seen from the agent.
pub(crate) struct Conversation {
    calls: Streaming<wire::Call>,
    events: mpsc::Sender<Result<wire::Event, Status>>,
    first: Option<wire::Call>,
}

impl Conversation {
    /// The next call that is no sign of life.
    pub(crate) async fn call(&mut self) -> Call {
        loop {
            let wire = match self.first.take() {
                Some(call) => call,
                None => {
                    let next = tokio::time::timeout(TOO_LONG, self.calls.message()).await;
                    next.expect("no call came").expect("the stream is whole").expect("the stream goes on")
                }
            };
            let (framework, executor, call) = execution_call_from_wire(wire).expect("a well-formed call");
            assert_eq!((framework.as_str(), executor.as_str()), ("f1", "e1"));
            if call != Call::Heartbeat {
                return call;
            }
        }
    }

    pub(crate) async fn update(&mut self) -> TaskStatus {
        match self.call().await {
            Call::Update(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn says(&self, event: Event) {
        self.events.send(Ok(execution_event_to_wire(&event))).await.expect("the executor listens");
    }

    pub(crate) async fn stores(&self, status: &TaskStatus) {
        let (task, update) = (status.task.clone(), status.update.unwrap());
        self.says(Event::Acknowledged { task, update }).await;
    }

    /// Lets the executor in. Returns the tasks and the updates that it came with.
    pub(crate) async fn subscribes(&mut self) -> (Vec<String>, Vec<TaskStatus>) {
        let Call::Subscribe { unacknowledged_tasks, unacknowledged_updates } = self.call().await else {
            panic!("the first call is SUBSCRIBE")
        };
        let agent = AgentId::new("a1").unwrap();
        let subscribed = Subscribed {
            executor: executor_info(),
            framework: FrameworkId::new("f1").unwrap(),
            framework_info: FrameworkInfo::named("test"),
            agent_info: AgentInfo {
                hostname: "localhost".to_owned(),
                port: 5051,
                resources: Default::default(),
                attributes: Attributes::default(),
                domain: None,
                id: Some(agent.clone()),
            },
            agent,
            container: ContainerId::new("c1").unwrap(),
        };
        self.says(Event::Subscribed(Box::new(subscribed))).await;
        (unacknowledged_tasks.iter().map(|task| task.id.to_string()).collect(), unacknowledged_updates)
    }

    /// The executor ends the stream.
    pub(crate) async fn waits_for_its_end(mut self) {
        loop {
            let next = tokio::time::timeout(TOO_LONG, self.calls.message()).await.expect("it stays");
            match next {
                Ok(Some(_sign_of_life)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

struct Door {
    conversations: mpsc::Sender<Conversation>,
    token: &'static str,
    hears_before_it_answers: bool,
}

#[tonic::async_trait]
impl Executors for Door {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;
    async fn connect(
        &self,
        request: Request<Streaming<wire::Call>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if given != Some(&format!("Bearer {}", self.token)) {
            return Err(Status::unauthenticated("no token, or a wrong one"));
        }
        let (events, queue) = mpsc::channel(64);
        let mut calls = request.into_inner();
        let first = if self.hears_before_it_answers { calls.message().await? } else { None };
        let conversation = Conversation { calls, events, first };
        let over = |_| Status::unavailable("the test is over");
        self.conversations.send(conversation).await.map_err(over)?;
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }
}

enum Place {
    /// With the folder that it lies in, which goes with it.
    Socket { path: PathBuf, _folder: tempfile::TempDir },
    /// Bound already: who connects waits until it is served.
    Loopback { address: SocketAddr, bound: Option<std::net::TcpListener> },
}

impl Place {
    fn loopback() -> Self {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self::Loopback { address: bound.local_addr().unwrap(), bound: Some(bound) }
    }

    /// Where this listens, if it is on loopback.
    fn listener(&mut self) -> TcpListener {
        let Self::Loopback { address, bound } = self else { panic!("it is a socket") };
        let bound = bound.take().unwrap_or_else(|| std::net::TcpListener::bind(*address).unwrap());
        bound.set_nonblocking(true).unwrap();
        TcpListener::from_std(bound).unwrap()
    }
}

/// An agent's door, and who comes through it.
pub(crate) struct Agent {
    place: Place,
    serving: Option<Serving>,
    token: &'static str,
    hears_before_it_answers: bool,
}

struct Serving {
    conversations: mpsc::Receiver<Conversation>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Agent {
    pub(crate) async fn on_socket() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::at(Place::Socket { path: folder.path().join("executor.sock"), _folder: folder })
    }

    pub(crate) async fn on_loopback() -> Self {
        Self::at(Place::loopback())
    }

    /// Somebody else, at an agent's address.
    pub(crate) async fn without_the_service() -> Self {
        let mut agent = Self::at(Place::loopback());
        let listener = agent.place.listener();
        let (stop, stopped) = oneshot::channel::<()>();
        let (_nobody, conversations) = mpsc::channel(1);
        let server = Server::builder()
            .add_routes(tonic::service::Routes::default())
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _either = stopped.await;
            });
        let server = tokio::spawn(async { server.await.unwrap() });
        agent.serving = Some(Serving { conversations, stop, server });
        agent
    }

    fn at(place: Place) -> Self {
        Self { place, serving: None, token: TOKEN, hears_before_it_answers: false }
    }

    pub(crate) fn that_hears_before_it_answers(mut self) -> Self {
        self.hears_before_it_answers = true;
        self
    }

    /// Lets nobody in who shows another token.
    pub(crate) fn with_token(mut self, token: &'static str) -> Self {
        self.token = token;
        self.serve();
        self
    }

    pub(crate) fn address(&self) -> Address {
        match &self.place {
            Place::Socket { path, .. } => Address::Socket(path.clone()),
            Place::Loopback { address, .. } => Address::Host(address.to_string()),
        }
    }

    fn serve(&mut self) -> &mut Serving {
        let Self { place, serving, token, hears_before_it_answers } = self;
        serving.get_or_insert_with(|| {
            let (sender, conversations) = mpsc::channel(8);
            let (stop, stopped) = oneshot::channel::<()>();
            let stopped = async {
                let _either = stopped.await;
            };
            let (token, hears_before_it_answers) = (*token, *hears_before_it_answers);
            let door = Door { conversations: sender, token, hears_before_it_answers };
            let router = Server::builder().add_service(ExecutorsServer::new(door));
            let server = match place {
                Place::Socket { path, .. } => {
                    // Whatever an earlier agent has left there.
                    let _none = std::fs::remove_file(&*path);
                    let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
                    tokio::spawn(async {
                        router.serve_with_incoming_shutdown(incoming, stopped).await.unwrap()
                    })
                }
                Place::Loopback { .. } => {
                    let incoming = TcpListenerStream::new(place.listener());
                    tokio::spawn(async {
                        router.serve_with_incoming_shutdown(incoming, stopped).await.unwrap()
                    })
                }
            };
            Serving { conversations, stop, server }
        })
    }

    pub(crate) async fn accepts(&mut self) -> Conversation {
        let next = tokio::time::timeout(TOO_LONG, self.serve().conversations.recv()).await;
        next.expect("nobody connects").expect("the server runs")
    }

    pub(crate) fn nobody_came(&mut self) -> bool {
        self.serve().conversations.try_recv().is_err()
    }

    /// Stops, with all its connections. Its place stays.
    pub(crate) async fn dies(&mut self, conversation: Conversation) {
        drop(conversation);
        if let Some(Serving { conversations, stop, server }) = self.serving.take() {
            drop((stop, conversations));
            tokio::time::timeout(TOO_LONG, server).await.expect("the server stops").unwrap();
        }
    }

    /// Dies, and another takes its place once it is asked to.
    pub(crate) async fn restarts(mut self, conversation: Conversation) -> Self {
        self.dies(conversation).await;
        self
    }
}
