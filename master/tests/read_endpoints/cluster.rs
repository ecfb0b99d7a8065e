//! A real master in this process, with agents and frameworks that are played by the test.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lonja_master::{Config, Handle, Running, StoreKind};
use lonja_master_core::{LinkId, StreamId};
use lonja_model::agent::AgentCapability;
use lonja_model::attributes::Attributes;
use lonja_model::constraints::OfferConstraints;
use lonja_model::container::{Command, ContainerInfo, Program};
use lonja_model::labels::Labels;
use lonja_model::link::FromAgent;
use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::Call;
use lonja_model::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Offer, Resources, TaskId, TaskInfo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// What a test has of it.
pub(crate) struct Cluster {
    running: Running,
    /// The streams and links, open as long as the cluster is.
    held: Mutex<Vec<Box<dyn Any + Send>>>,
}

/// An agent that is played.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) link: LinkId,
}

/// A framework that is played.
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    pub(crate) stream: StreamId,
    /// Everything that was offered to it once it was offered so much.
    pub(crate) offers: Vec<Offer>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, hostname: None, store: StoreKind::Memory, core: Default::default() };
        let running = lonja_master::start(config).await.expect("a master starts");
        Self { running, held: Mutex::default() }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.running.handle()
    }

    /// An agent that has registered and is offered.
    pub(crate) async fn agent(&self, info: AgentInfo) -> Agent {
        let hostname = info.hostname.clone();
        let link = self.register(info).await;
        let snapshot = self.handle().snapshot().await.expect("the master runs");
        let view = snapshot.agents.iter().find(|view| view.info.hostname == hostname).expect("registered");
        Agent { id: view.id.clone(), link }
    }

    /// The same, where nobody asks for its name.
    pub(crate) async fn register(&self, info: AgentInfo) -> LinkId {
        let mut link = self.handle().open_link().await.expect("the master runs");
        let (id, capabilities) = (link.id, AgentCapability::all());
        let message = FromAgent::Register { info: Box::new(info), version: "0.1.0".into(), capabilities };
        self.says(id, message).await;
        assert!(link.queue.recv().await.is_some(), "it is admitted");
        self.says(id, FromAgent::Pong { sequence: 0 }).await;
        self.held.lock().await.push(Box::new(link));
        id
    }

    pub(crate) async fn says(&self, link: LinkId, message: FromAgent) {
        self.handle().agent_says(link, message).await.expect("the master runs");
    }

    /// A framework that has subscribed and has been offered something of so many agents.
    pub(crate) async fn framework(&self, info: FrameworkInfo, agents: usize) -> Framework {
        let name = info.name.clone();
        let mut stream = self.handle().open_stream().await.expect("the master runs");
        let id = stream.id;
        let (suppressed, constraints) = (BTreeSet::new(), OfferConstraints::default());
        let call = Call::Subscribe { framework: None, info: Box::new(info), suppressed, constraints };
        self.handle().call(id, 0, None, call).await.expect("the master runs");
        loop {
            assert!(stream.queue.recv().await.is_some(), "the stream stays");
            let snapshot = self.handle().snapshot().await.expect("the master runs");
            let view = snapshot.frameworks.iter().find(|view| view.info.name == name).expect("subscribed");
            let offers = snapshot.offers.iter().filter(|offer| offer.framework == view.id);
            let offers: Vec<Offer> = offers.map(|offer| Offer::clone(offer)).collect();
            if offers.len() >= agents {
                let framework = Framework { id: view.id.clone(), stream: id, offers };
                self.held.lock().await.push(Box::new(stream));
                return framework;
            }
        }
    }

    pub(crate) async fn call(&self, framework: &Framework, call: Call) {
        self.handle().call(framework.stream, 0, None, call).await.expect("the master runs");
    }

    /// Launches tasks with one of the framework's offers, and declines the rest of it for long.
    pub(crate) async fn launch(&self, framework: &Framework, offer: &Offer, tasks: Vec<TaskInfo>) {
        let tasks = tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect();
        let filters = Filters { refuse: Duration::from_secs(3_600) };
        let (offers, operations) = (vec![offer.id.clone()], vec![Operation::Launch(tasks)]);
        self.call(framework, Call::Accept { offers, operations, filters }).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    /// One request, on a connection of its own. `headers` end with a line break each.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.send(&request).await
    }

    /// Sends bytes, and reads what comes until the end.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        let mut socket = TcpStream::connect(self.running.address()).await.expect("it listens");
        socket.write_all(request.as_bytes()).await.expect("it reads");
        let mut raw = Vec::new();
        socket.read_to_end(&mut raw).await.expect("it answers");
        answer(&raw)
    }

    /// Asks, and leaves once an answer has begun.
    pub(crate) async fn leave(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.running.address()).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("it reads");
        let mut begun = [0; 1_024];
        let length = socket.read(&mut begun).await.expect("it answers");
        beginning(&begun[..length])
    }
}

/// The first of `bytes`, as text.
fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).into_owned()
}

fn answer(raw: &[u8]) -> Answer {
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&raw[..end]).expect("text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_lowercase(), value.trim().to_owned())
    };
    let headers: BTreeMap<String, String> = lines.map(header).collect();
    let body = &raw[end + 4..];
    let chunked = headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
    Answer { status, headers, body: if chunked { whole(body) } else { body.to_vec() } }
}

/// What the chunks make together. Panics if there is no last one: the answer was cut short.
fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(chunks.len());
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").expect("the length of a chunk");
        let length = std::str::from_utf8(&chunks[..end]).expect("text");
        let length = usize::from_str_radix(length, 16).expect("a number");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[end + 2..end + 2 + length]);
        chunks = &chunks[end + 2 + length + 2..];
    }
}

pub(crate) fn agent_info(hostname: &str, resources: &str) -> AgentInfo {
    AgentInfo {
        hostname: hostname.to_owned(),
        port: 5051,
        resources: Resources::parse(resources).expect("well written"),
        attributes: Attributes::parse("rack:r1;slots:4;open:[80-90]").expect("well written"),
        domain: None,
        id: None,
    }
}

pub(crate) fn task(id: &str, agent: &AgentId, resources: &str) -> TaskInfo {
    TaskInfo {
        name: format!("task {id}"),
        id: TaskId::new(id).expect("well written"),
        agent: agent.clone(),
        resources: Resources::parse(resources).expect("well written"),
        limits: BTreeMap::new(),
        command: Command::new(Program::Shell("sleep 60".to_owned())),
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels(vec![("tier".to_owned(), Some("front".to_owned())), ("spare".to_owned(), None)]),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    }
}
