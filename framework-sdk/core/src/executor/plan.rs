//! What an executor wants to be said, as data.

use lonja_model::labels::Labels;
use lonja_model::task::Reason;
use lonja_model::{TaskId, TaskState};

/// What an executor wants to be said. Built step by step; the steps are taken in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) end: bool,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Update(Update),
    Message(Vec<u8>),
}

impl Plan {
    /// Nothing to say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Say what has become of a task.
    #[must_use]
    pub fn update(mut self, update: Update) -> Self {
        self.actions.push(Action::Update(update));
        self
    }

    /// Say that a task runs.
    #[must_use]
    pub fn running(self, task: TaskId) -> Self {
        self.update(Update::running(task))
    }

    /// Send bytes to the framework, at most [`MAX_DATA_BYTES`](super::MAX_DATA_BYTES). They come at most once, and not
    /// at all while the agent is away.
    #[must_use]
    pub fn message(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.actions.push(Action::Message(data.into()));
        self
    }

    /// All is done: what still runs is said to be killed, and the run ends when all updates are stored, or the grace
    /// period is over.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.end = true;
        self
    }

    /// Says what `later` wants after what `self` wants.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.actions.extend(later.actions);
        self.end |= later.end;
        self
    }

    /// Is there nothing to say or do?
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && !self.end
    }
}

/// News of one task. Stored by the agent and shown to the framework at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub(super) task: TaskId,
    pub(super) state: TaskState,
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
    pub(super) data: Vec<u8>,
    pub(super) healthy: Option<bool>,
    pub(super) labels: Labels,
}

impl Update {
    /// The task is in this state. Of use to an executor: STARTING, RUNNING, KILLING, FINISHED, FAILED, KILLED and
    /// ERROR. RUNNING and KILLING may be repeated with other words. KILLING goes to frameworks that know it only.
    pub fn new(task: TaskId, state: TaskState) -> Self {
        Self {
            task,
            state,
            reason: None,
            message: None,
            data: Vec::new(),
            healthy: None,
            labels: Labels::default(),
        }
    }

    /// It runs.
    pub fn running(task: TaskId) -> Self {
        Self::new(task, TaskState::Running)
    }

    /// It is done.
    pub fn finished(task: TaskId) -> Self {
        Self::new(task, TaskState::Finished)
    }

    /// It came to nothing, and why.
    pub fn failed(task: TaskId, why: impl Into<String>) -> Self {
        Self::new(task, TaskState::Failed).saying(why)
    }

    /// It was ended because somebody asked.
    pub fn killed(task: TaskId) -> Self {
        Self::new(task, TaskState::Killed)
    }

    /// With words for people; of at most 16 KiB, what is beyond is cut.
    #[must_use]
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// With bytes for the framework, such as a result; at most [`MAX_DATA_BYTES`](super::MAX_DATA_BYTES).
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// With its health.
    #[must_use]
    pub fn healthy(mut self, healthy: bool) -> Self {
        self.healthy = Some(healthy);
        self
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.0.push((key.into(), Some(value.into())));
        self
    }

    /// Which task.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Where it stands.
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// The bytes for the framework.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}
