//! How others reach the driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lonja_agent_core::{CallRefusal, Caller, CheckResult, ContainerExit};
use lonja_model::check::CheckKind;
use lonja_model::execution::Call;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::operation::OperationRecord;
use lonja_model::{AgentId, AgentInfo, ContainerId, ExecutorId, FrameworkId, Resources, TaskId, TaskState};
use tokio::sync::{mpsc, oneshot, watch};

use crate::containers::Launched;
use crate::counts::Counts;
use crate::picture::Picture;

/// What waits for the driver, at most.
pub(crate) const INBOX: usize = 4_096;

/// What reaches the driver.
pub(crate) enum Input {
    /// A link to the master stands; its number, and where messages for the master go.
    LinkUp(u64, mpsc::Sender<FromAgent>),
    /// The link of this number is gone.
    LinkDown(u64),
    /// The master says something on the link of this number.
    Received(u64, ToAgent),
    /// Order number so-and-so about the folders of volumes is done, or why it is not.
    VolumesMade(u64, Result<(), String>),
    /// A launch has come to its end.
    Launched(ContainerId, Launched),
    /// A container has ended.
    Exited(ContainerId, ContainerExit),
    /// A look at a task has come to its end.
    CheckEnded {
        /// Whose container.
        container: ContainerId,
        /// Which of its checks.
        kind: CheckKind,
        /// The number of the look.
        number: u64,
        /// What it saw.
        result: CheckResult,
    },
    /// A custom executor says something over one of its connections.
    ExecutorCalled {
        /// Its container.
        container: ContainerId,
        /// The number of the connection.
        connection: u64,
        /// What it says.
        call: Box<Call>,
    },
    /// A custom executor says something by itself, over no connection.
    ExecutorSays {
        /// Who.
        caller: Caller,
        /// What it says.
        call: Box<Call>,
        /// Told whether it may.
        answer: oneshot::Sender<Result<Heard, CallRefusal>>,
    },
    /// A connection of a custom executor is gone.
    ExecutorLeft {
        /// Its container.
        container: ContainerId,
        /// The number of the connection.
        connection: u64,
    },
    /// Somebody wants to know something.
    Asked(Question),
}

/// What is asked of the driver, with where the answer goes.
pub(crate) enum Question {
    /// Whose executor is in a container.
    Executor(ContainerId, oneshot::Sender<Option<(FrameworkId, ExecutorId)>>),
    /// A task's files.
    Find(FrameworkId, TaskId, oneshot::Sender<Option<TaskFiles>>),
    /// What runs in a container of that name.
    InContainer(ContainerId, oneshot::Sender<Option<TaskFiles>>),
    /// All that runs.
    Picture(oneshot::Sender<Picture>),
    /// How much runs.
    Counts(oneshot::Sender<Counts>),
    /// What the agent is.
    Describe(oneshot::Sender<Description>),
}

/// What became of a call that a custom executor may say.
pub(crate) enum Heard {
    /// It was taken in, for the executor in this container.
    Taken(ContainerId),
    /// It asks for a connection, which is the door's to make. Its container, and the call.
    Subscribes(ContainerId, Box<Call>),
}

/// A task's files, and when they are complete.
pub struct TaskFiles {
    /// The sandbox.
    pub sandbox: PathBuf,
    /// Its container, if the agent still knows it.
    pub container: Option<ContainerId>,
    /// Becomes true when nothing of the container is alive.
    pub ended: watch::Receiver<bool>,
}

/// An agent at one moment.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its id, once a master has given one.
    pub id: Option<AgentId>,
    /// What it is.
    pub info: AgentInfo,
    /// All it has as it stands: its resources with the reservations and volumes made since.
    pub total: Resources,
    /// Operations whose outcome is not acknowledged yet.
    pub operations: Vec<OperationRecord>,
    /// Whether a master knows it over the present link.
    pub registered: bool,
    /// Its tasks that are not yet forgotten.
    pub tasks: Vec<TaskLine>,
    /// Programs of frameworks' own that run tasks; as if each were a task of its name.
    pub executors: Vec<TaskLine>,
    /// Names its control groups on the host.
    pub instance: String,
}

/// One task in a [`Description`].
#[derive(Clone, Debug)]
pub struct TaskLine {
    /// Whose.
    pub framework: FrameworkId,
    /// Which.
    pub task: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// Its container.
    pub container: ContainerId,
    /// The process id of its program on the host.
    pub pid: Option<u32>,
    /// What it is called.
    pub name: String,
    /// What it was given.
    pub resources: Resources,
    /// Its files.
    pub sandbox: PathBuf,
}

/// The way into an agent. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Input>,
    has_recovered: Arc<AtomicBool>,
}

/// The agent has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the agent has stopped")]
pub struct Stopped;

impl Handle {
    pub(crate) fn new(inbox: mpsc::Sender<Input>) -> Self {
        Self { inbox, has_recovered: Arc::default() }
    }

    /// The agent has found its containers again, and answers from now on.
    pub(crate) fn recovered(&self) {
        self.has_recovered.store(true, Ordering::Release);
    }

    /// Has it found its containers again? Until then what is asked of it waits.
    pub fn has_recovered(&self) -> bool {
        self.has_recovered.load(Ordering::Acquire)
    }

    pub(crate) async fn put(&self, input: Input) -> Result<(), Stopped> {
        self.inbox.send(input).await.map_err(|_| Stopped)
    }

    /// The files of a task, of its newest run; `None` if there are none.
    pub async fn find(&self, framework: FrameworkId, task: TaskId) -> Result<Option<TaskFiles>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Asked(Question::Find(framework, task, sender))).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// The custom executor in that container; `None`: there is none.
    pub(crate) async fn executor(
        &self,
        container: ContainerId,
    ) -> Result<Option<(FrameworkId, ExecutorId)>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Asked(Question::Executor(container, sender))).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// A custom executor says something over no connection. `Err` within: it may not.
    pub(crate) async fn executor_says(
        &self,
        caller: Caller,
        call: Box<Call>,
    ) -> Result<Result<Heard, CallRefusal>, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.put(Input::ExecutorSays { caller, call, answer }).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// The files of the task, or the custom executor, in that container; `None`: there is none.
    pub(crate) async fn in_container(&self, container: ContainerId) -> Result<Option<TaskFiles>, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Asked(Question::InContainer(container, sender))).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// All that runs at this moment.
    pub(crate) async fn picture(&self) -> Result<Picture, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Asked(Question::Picture(sender))).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// How much runs at this moment.
    pub(crate) async fn counts(&self) -> Result<Counts, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Asked(Question::Counts(sender))).await?;
        receiver.await.map_err(|_| Stopped)
    }

    /// The agent at this moment.
    pub async fn describe(&self) -> Result<Description, Stopped> {
        let (sender, receiver) = oneshot::channel();
        self.put(Input::Asked(Question::Describe(sender))).await?;
        receiver.await.map_err(|_| Stopped)
    }
}
