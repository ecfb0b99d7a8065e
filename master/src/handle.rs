//! How doors reach the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lonja_master_core::explain::{Explanation, Subject};
use lonja_master_core::{ClusterEvent, Event, LinkId, OperatorCommand, RequestId, Snapshot, StreamId};
use lonja_model::FrameworkId;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::scheduler::{Call, CallResult, Refusal, RefusalCode};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::api::Room;
use crate::connections::{AGENT_QUEUE, Aside, FRAMEWORK_QUEUE, Peer, ToFramework, Waiting};
use crate::registrar::Times;

/// What waits for the driver, at most.
pub(crate) const INBOX: usize = 16_384;

/// What a door hands to the driver.
pub(crate) enum Input {
    /// For the core.
    Core(Event),
    /// A framework's stream opens.
    StreamOpened(StreamId, Peer<ToFramework>),
    /// An agent's link opens.
    LinkOpened(LinkId, Peer<ToAgent>),
    /// A call on behalf of a stream that came by another connection, and where its answer goes.
    CallAside(StreamId, Option<FrameworkId>, Box<Call>, oneshot::Sender<CallResult>),
    /// An operator's command, and where its answer goes.
    Command(RequestId, OperatorCommand, oneshot::Sender<CallResult>),
    /// Is anybody there?
    Alive(oneshot::Sender<()>),
    /// A picture is wanted.
    Snapshot(oneshot::Sender<Arc<Snapshot>>),
    /// Somebody wants to know why.
    Explain(Subject, oneshot::Sender<Option<Explanation>>),
    /// A picture is wanted, and every change after it.
    Watch(oneshot::Sender<(Arc<Snapshot>, broadcast::Receiver<ClusterEvent>)>),
}

/// An input as it waits, with the room that it takes until the driver has it.
pub(crate) struct Filed {
    pub(crate) input: Input,
    pub(crate) _room: Option<Room>,
}

/// The way into a master. Cheap to clone; every method waits while the master is busy, none for long.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Filed>,
    named: Arc<AtomicU64>,
    watchers: broadcast::WeakSender<ClusterEvent>,
    registrar: Arc<Times>,
}

/// A framework's stream as its door has it.
pub struct FrameworkStream {
    /// Its name.
    pub id: StreamId,
    /// What goes out on it.
    pub queue: mpsc::Receiver<Waiting<ToFramework>>,
    /// For answers that the door itself gives, to calls that cannot be read; it does not keep the stream open.
    pub answers: Aside<ToFramework>,
    /// Resolves when the master has closed it.
    pub closed: oneshot::Receiver<()>,
}

/// An agent's link as its door has it.
pub struct AgentLink {
    /// Its name.
    pub id: LinkId,
    /// What goes out on it.
    pub queue: mpsc::Receiver<Waiting<ToAgent>>,
    /// Resolves when the master has closed it.
    pub closed: oneshot::Receiver<()>,
}

/// The master has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the master has stopped")]
pub struct Stopped;

impl Handle {
    pub(crate) fn new(
        inbox: mpsc::Sender<Filed>,
        watchers: broadcast::WeakSender<ClusterEvent>,
        registrar: Arc<Times>,
    ) -> Self {
        Self { inbox, named: Arc::new(AtomicU64::new(1)), watchers, registrar }
    }

    /// What waits for the driver.
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.max_capacity() - self.inbox.capacity()
    }

    /// How many watch the cluster.
    pub(crate) fn watchers(&self) -> usize {
        self.watchers.upgrade().map_or(0, |watchers| watchers.receiver_count())
    }

    /// How long the registrar takes.
    pub(crate) fn registrar(&self) -> &Times {
        &self.registrar
    }

    fn next(&self) -> u64 {
        self.named.fetch_add(1, Ordering::Relaxed)
    }

    async fn put(&self, input: Input) -> Result<(), Stopped> {
        self.put_with(input, None).await
    }

    async fn put_with(&self, input: Input, room: Option<Room>) -> Result<(), Stopped> {
        self.inbox.send(Filed { input, _room: room }).await.map_err(|_| Stopped)
    }

    /// Opens a framework's stream. When its queue ends, the master has closed it.
    pub async fn open_stream(&self) -> Result<FrameworkStream, Stopped> {
        let id = StreamId(self.next());
        let (sender, queue) = mpsc::channel(FRAMEWORK_QUEUE);
        let (open, closed) = oneshot::channel();
        let peer = Peer::new(sender, open);
        let answers = peer.aside();
        self.put(Input::StreamOpened(id, peer)).await?;
        Ok(FrameworkStream { id, queue, answers, closed })
    }

    /// Makes a call on a stream. Its answer comes on the stream.
    pub async fn call(
        &self,
        stream: StreamId,
        id: u64,
        framework: Option<FrameworkId>,
        call: Call,
    ) -> Result<(), Stopped> {
        self.put(Input::Core(Event::Call { stream, id, framework, call })).await
    }

    /// Makes a call on a stream that came by another connection; `room`: what it takes until it is carried out.
    pub(crate) async fn call_with(
        &self,
        stream: StreamId,
        framework: Option<FrameworkId>,
        call: Call,
        room: Room,
    ) -> Result<(), Stopped> {
        self.put_with(Input::Core(Event::Call { stream, id: 0, framework, call }), Some(room)).await
    }

    /// As [`Handle::call_with`], and waits for its answer, which does not go by the stream. `None`: by no stream.
    pub(crate) async fn call_aside(
        &self,
        stream: Option<StreamId>,
        framework: Option<FrameworkId>,
        call: Call,
        room: Room,
    ) -> CallResult {
        let (sender, receiver) = oneshot::channel();
        let gone = |_| Refusal::new(RefusalCode::NotLeader, "the master has stopped");
        let stream = stream.unwrap_or(StreamId(0));
        let input = Input::CallAside(stream, framework, Box::new(call), sender);
        self.put_with(input, Some(room)).await.map_err(gone)?;
        receiver.await.map_err(|_| gone(Stopped))?
    }

    /// Says that a framework's stream is no more.
    pub async fn close_stream(&self, stream: StreamId) -> Result<(), Stopped> {
        self.put(Input::Core(Event::StreamClosed { stream })).await
    }

    /// Opens an agent's link. When its queue ends, the master has closed it.
    pub async fn open_link(&self) -> Result<AgentLink, Stopped> {
        let id = LinkId(self.next());
        let (sender, queue) = mpsc::channel(AGENT_QUEUE);
        let (open, closed) = oneshot::channel();
        self.put(Input::LinkOpened(id, Peer::new(sender, open))).await?;
        Ok(AgentLink { id, queue, closed })
    }

    /// Hands on what an agent says.
    pub async fn agent_says(&self, link: LinkId, message: FromAgent) -> Result<(), Stopped> {
        self.put(Input::Core(Event::Agent { link, message })).await
    }

    /// Says that an agent's link is no more.
    pub async fn close_link(&self, link: LinkId) -> Result<(), Stopped> {
        self.put(Input::Core(Event::LinkClosed { link })).await
    }

    /// Carries out an operator's command; `room`: what it takes until then.
    pub(crate) async fn command(&self, command: OperatorCommand, room: Option<Room>) -> CallResult {
        let (sender, receiver) = oneshot::channel();
        let gone = |_| Refusal::new(RefusalCode::NotLeader, "the master has stopped");
        self.put_with(Input::Command(RequestId(self.next()), command, sender), room).await.map_err(gone)?;
        receiver.await.map_err(|_| gone(Stopped))?
    }

    /// Resolves when the loop that owns the core has answered: the master is alive.
    pub async fn alive(&self) -> Result<(), Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Alive(sender)).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// The read-only picture. All who ask at once share one.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Snapshot(sender)).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// How a framework or role stands, and why; `None`: nobody has heard of it.
    pub async fn explain(&self, subject: Subject) -> Result<Option<Explanation>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Explain(subject, sender)).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// The read-only picture and every change after it, in order and without a gap; the receiver reports
    /// lag when it has fallen behind, and its owner must start anew (INV-47).
    pub async fn watch(&self) -> Result<(Arc<Snapshot>, broadcast::Receiver<ClusterEvent>), Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Watch(sender)).await?;
        receiver.await.map_err(|_| Stopped)
    }
}
