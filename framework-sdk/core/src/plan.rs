//! What a scheduler wants done, as data.

use std::time::Duration;

use lonja_model::executor::ExecutorInfo;
use lonja_model::offer::{Filters, InverseOffer};
use lonja_model::operation::Conversion;
use lonja_model::unplaced::Unplaced;
use lonja_model::{AgentId, ExecutorId, Offer, OfferId, OperationId, Resources, TaskId, TaskInfo};

/// What a scheduler wants done. Built step by step; the steps are taken in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) refuse: Option<Duration>,
    pub(crate) refuse_leftovers: Option<Duration>,
    pub(crate) stop: Option<Stop>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept { offers: Vec<OfferId>, steps: Vec<Step> },
    Decline { offer: OfferId, refuse: Duration },
    Kill { task: TaskId, grace: Option<Duration> },
    Hold { offer: OfferId, time: Duration },
    AnswerInverse { offer: OfferId, accept: bool, filters: Filters },
    Message { agent: AgentId, executor: ExecutorId, data: Vec<u8> },
    Reconcile,
    Revive,
    Remember { tasks: Vec<(TaskId, AgentId)> },
    Unplaced { words: Vec<Unplaced> },
    NoLongerWaits { tasks: Vec<String> },
}

/// One thing to do with offers, on what the steps before have made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start tasks, each for itself.
    Launch(Vec<TaskInfo>),
    /// Start tasks together in one executor: all of them or none, and one that fails or is killed takes the others
    /// along. What the executor needs for itself is taken from the offers, unless it runs on the agent already
    /// ([`Offer::executors`]).
    LaunchGroup {
        /// Who runs them: for most, [`ExecutorInfo::builtin`] under an id of the group's own.
        executor: Box<ExecutorInfo>,
        /// The tasks; [`TaskInfo::executor`] is filled in.
        tasks: Vec<TaskInfo>,
    },
    /// Reserve, unreserve, make, remove or resize volumes.
    Convert {
        /// Your name for it, if you want news of it ([`Scheduler::operation`](crate::Scheduler::operation)); not
        /// in use by another that has not ended.
        id: Option<OperationId>,
        /// What is to be done.
        conversion: Conversion,
    },
}

impl Step {
    /// The tasks that it starts.
    pub fn tasks(&self) -> &[TaskInfo] {
        match self {
            Self::Launch(tasks) | Self::LaunchGroup { tasks, .. } => tasks,
            Self::Convert { .. } => &[],
        }
    }
}

/// How a framework ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its tasks are killed and the master forgets it.
    TearDown,
    /// It goes, and may come back with its id while its failover timeout lasts. Its tasks run on.
    Leave,
}

impl Plan {
    /// Nothing to do; all offers of the occasion are declined.
    pub fn new() -> Self {
        Self::default()
    }

    /// Launch `tasks` on `offer`.
    #[must_use]
    pub fn launch(self, offer: &Offer, tasks: impl IntoIterator<Item = TaskInfo>) -> Self {
        self.launch_on([offer], tasks)
    }

    /// Launch `tasks` on several offers of one agent and one role together.
    #[must_use]
    pub fn launch_on<'a>(
        mut self,
        offers: impl IntoIterator<Item = &'a Offer>,
        tasks: impl IntoIterator<Item = TaskInfo>,
    ) -> Self {
        self.actions.push(Action::Accept {
            offers: offers.into_iter().map(|offer| offer.id.clone()).collect(),
            steps: vec![Step::Launch(tasks.into_iter().collect())],
        });
        self
    }

    /// Launch `tasks` together on `offer`, in `executor`: all of them or none.
    #[must_use]
    pub fn launch_group(
        self,
        offer: &Offer,
        executor: ExecutorInfo,
        tasks: impl IntoIterator<Item = TaskInfo>,
    ) -> Self {
        let tasks = tasks.into_iter().collect();
        self.accept([offer], [Step::LaunchGroup { executor: Box::new(executor), tasks }])
    }

    /// Take `steps` in order on several offers of one agent and one role together: reserve, make a volume of what
    /// is reserved, launch on the volume. What no step uses goes back; what a conversion has made is offered again
    /// once the agent has made it durable.
    #[must_use]
    pub fn accept<'a>(
        mut self,
        offers: impl IntoIterator<Item = &'a Offer>,
        steps: impl IntoIterator<Item = Step>,
    ) -> Self {
        let offers = offers.into_iter().map(|offer| offer.id.clone()).collect();
        self.actions.push(Action::Accept { offers, steps: steps.into_iter().collect() });
        self
    }

    /// Promise to leave the agent that the master asks back, by its time. The tasks there are yours to move.
    #[must_use]
    pub fn accept_inverse(mut self, offer: &InverseOffer) -> Self {
        let (offer, filters) = (offer.id.clone(), Filters::DEFAULT);
        self.actions.push(Action::AnswerInverse { offer, accept: true, filters });
        self
    }

    /// Say that you will not leave the agent in time; the master asks again after `refuse`.
    #[must_use]
    pub fn decline_inverse(mut self, offer: &InverseOffer, refuse: Duration) -> Self {
        let (offer, filters) = (offer.id.clone(), Filters { refuse });
        self.actions.push(Action::AnswerInverse { offer, accept: false, filters });
        self
    }

    /// Give `offer` back, and keep what it holds away for `refuse`.
    #[must_use]
    pub fn decline(mut self, offer: &Offer, refuse: Duration) -> Self {
        self.actions.push(Action::Decline { offer: offer.id.clone(), refuse });
        self
    }

    /// Keep `offer` in hand for `time`, to be used by a later plan; at most [`MAX_HOLD`](crate::MAX_HOLD).
    /// What is not used by then is declined. A held offer keeps its resources from everybody else, and the
    /// master may take it back at any time ([`Scheduler::rescinded`](crate::Scheduler::rescinded)).
    #[must_use]
    pub fn hold(mut self, offer: &Offer, time: Duration) -> Self {
        self.actions.push(Action::Hold { offer: offer.id.clone(), time });
        self
    }

    /// Forget all refusals, so that what was declined is offered again at once: for work that has just come
    /// in. Not needed when [`Scheduler::wants_offers`](crate::Scheduler::wants_offers) changes to yes.
    #[must_use]
    pub fn revive(mut self) -> Self {
        self.actions.push(Action::Revive);
        self
    }

    /// Keep all that this plan does not use away for `refuse`; without this, 5 seconds.
    #[must_use]
    pub fn refuse_rest(mut self, refuse: Duration) -> Self {
        self.refuse = Some(refuse);
        self
    }

    /// Keep what is left of the offers that this plan uses away for `refuse`; without this, as long as the rest
    /// ([`Plan::refuse_rest`]). Zero: it may be offered again at once, for who places one task after another.
    #[must_use]
    pub fn refuse_leftovers(mut self, refuse: Duration) -> Self {
        self.refuse_leftovers = Some(refuse);
        self
    }

    /// End a task; `grace` overrides the task's own. Said to each master anew until the task has ended.
    #[must_use]
    pub fn kill(mut self, task: TaskId, grace: Option<Duration>) -> Self {
        self.actions.push(Action::Kill { task, grace });
        self
    }

    /// Send bytes to an executor of this framework, at most 1 MiB. They come at most once, and not at all if the executor
    /// or its agent is away, or the connection to the master is lost.
    #[must_use]
    pub fn message(mut self, agent: AgentId, executor: ExecutorId, data: impl Into<Vec<u8>>) -> Self {
        self.actions.push(Action::Message { agent, executor, data: data.into() });
        self
    }

    /// Ask where all tasks stand.
    #[must_use]
    pub fn reconcile(mut self) -> Self {
        self.actions.push(Action::Reconcile);
        self
    }

    /// Take these tasks of an earlier run for alive, each where it was to run, and ask where they stand.
    /// Only for a scheduler that keeps its notes where the library does not see them, and says this in
    /// [`Scheduler::subscribed`](crate::Scheduler::subscribed): of a task whose launch never reached the master it hears in
    /// no other way. What a store has kept ([`State::tasks`](crate::State::tasks)) is taken for alive without that. Those
    /// that are known already stay as they are.
    #[must_use]
    pub fn remember(mut self, tasks: impl IntoIterator<Item = (TaskId, AgentId)>) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        if !tasks.is_empty() {
            self.actions.push(Action::Remember { tasks });
        }
        self
    }

    /// Say why tasks have no place as yet, so that `lonja explain TASK` can tell people. The newest word on a task counts,
    /// until it is launched or [no longer waits](Plan::no_longer_waits). The master is told at most every 5 seconds, of
    /// at most [`MAX_UNPLACED`](lonja_model::unplaced::MAX_UNPLACED) tasks: of more, those that were named first; long
    /// texts are cut. Nothing is decided by it.
    ///
    /// ```
    /// use lonja_model::unplaced::Unplaced;
    /// use lonja_sdk_core::Plan;
    /// let reasons = vec![("mem: wants 2048 MiB".to_owned(), 3), ("cpus: wants 4".to_owned(), 1)];
    /// let plan = Plan::new().unplaced([Unplaced { offers: 4, reasons, ..Unplaced::new("web-1") }]);
    /// # assert!(!plan.is_empty());
    /// ```
    #[must_use]
    pub fn unplaced(mut self, words: impl IntoIterator<Item = Unplaced>) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        if !words.is_empty() {
            self.actions.push(Action::Unplaced { words });
        }
        self
    }

    /// These tasks of which [`Plan::unplaced`] has told are no longer wanted, or have been launched under another id and
    /// name. Not needed for those that are launched under the id, or with the name, that was told.
    #[must_use]
    pub fn no_longer_waits<T: Into<String>>(mut self, tasks: impl IntoIterator<Item = T>) -> Self {
        let tasks: Vec<_> = tasks.into_iter().map(Into::into).collect();
        if !tasks.is_empty() {
            self.actions.push(Action::NoLongerWaits { tasks });
        }
        self
    }

    /// All is done: kill what still runs and have the master forget this framework.
    #[must_use]
    pub fn tear_down(mut self) -> Self {
        self.stop = Some(Stop::TearDown);
        self
    }

    /// Go and leave the tasks running. The framework can come back with its id while its failover timeout
    /// lasts.
    #[must_use]
    pub fn leave(mut self) -> Self {
        self.stop = Some(Stop::Leave);
        self
    }

    /// Does what `later` wants after what `self` wants.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.actions.extend(later.actions);
        self.refuse = later.refuse.or(self.refuse);
        self.refuse_leftovers = later.refuse_leftovers.or(self.refuse_leftovers);
        self.stop = later.stop.or(self.stop);
        self
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.stop.is_none()
    }

    pub(crate) fn filters(&self) -> Filters {
        self.refuse.map_or(Filters::DEFAULT, |refuse| Filters { refuse })
    }

    pub(crate) fn leftover_filters(&self) -> Filters {
        self.refuse_leftovers.map_or(self.filters(), |refuse| Filters { refuse })
    }
}

/// Why a plan cannot be carried out. The step is left out, and the rest is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No such offer is in hand: it was answered, rescinded, or is of an earlier subscription.
    #[error("offer {0} is not in hand")]
    OfferGone(OfferId),
    /// Offers that are used together must be of one agent and one role.
    #[error("offers {0} and {1} are of different agents or roles")]
    OffersDiffer(OfferId, OfferId),
    /// To use offers takes at least one.
    #[error("no offer is named to be used")]
    NoOffer,
    /// The offers do not hold what a conversion takes away.
    #[error("{conversion} needs {needed}, the offers hold {left}")]
    NothingToConvert {
        /// Such as `RESERVE`.
        conversion: &'static str,
        /// What it takes away.
        needed: Resources,
        /// What there is.
        left: Resources,
    },
    /// An operation of this id has not ended, or stands twice in the plan.
    #[error("operation id {0} is in use")]
    OperationIdInUse(OperationId),
    /// A task says it is to run elsewhere.
    #[error("task {task} is for agent {agent}, the offers are of agent {offered}")]
    WrongAgent {
        /// Which task.
        task: TaskId,
        /// Where it says it is to run.
        agent: AgentId,
        /// Whose resources these are.
        offered: AgentId,
    },
    /// A task that needs nothing cannot be launched.
    #[error("task {0} asks for no resources")]
    NoResources(TaskId),
    /// One launch starts at most [`MAX_TASKS`](crate::MAX_TASKS) tasks; spread them over several offers.
    #[error("{0} tasks in one launch, of which there can be {max}", max = crate::MAX_TASKS)]
    TooManyTasks(usize),
    /// An executor needs more than the offers hold.
    #[error("executor {executor} needs {needed}, the offers hold {left} for it")]
    ExecutorExceeds {
        /// Which.
        executor: ExecutorId,
        /// What it needs.
        needed: Resources,
        /// What is left for it.
        left: Resources,
    },
    /// The tasks need more than the offers hold.
    #[error("task {task} needs {needed}, the offers hold {left} for it")]
    Exceeds {
        /// The first that does not fit.
        task: TaskId,
        /// What it needs.
        needed: Resources,
        /// What is left for it.
        left: Resources,
    },
    /// A task of this id is alive, or stands twice in the plan.
    #[error("task id {0} is in use")]
    TaskIdInUse(TaskId),
    /// More bytes than one message takes.
    #[error("{0} bytes, at most {max} go in one message", max = crate::executor::MAX_DATA_BYTES)]
    MessageTooLarge(usize),
    /// A message while there is no subscription: those are not kept.
    #[error(
        "the message to executor {0} was not sent: there is no connection to a master, and messages are not kept"
    )]
    MessageLost(ExecutorId),
    /// Nothing is known of this task.
    #[error("task {0} is not known")]
    UnknownTask(TaskId),
}

impl PlanError {
    /// What kind it is, in a word that stays, such as `offer_gone`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OfferGone(..) => "offer_gone",
            Self::OffersDiffer(..) => "offers_differ",
            Self::NoOffer => "no_offer",
            Self::NothingToConvert { .. } => "nothing_to_convert",
            Self::OperationIdInUse(..) => "operation_id_in_use",
            Self::WrongAgent { .. } => "wrong_agent",
            Self::NoResources(..) => "no_resources",
            Self::TooManyTasks(..) => "too_many_tasks",
            Self::ExecutorExceeds { .. } => "executor_exceeds",
            Self::Exceeds { .. } => "exceeds",
            Self::TaskIdInUse(..) => "task_id_in_use",
            Self::MessageTooLarge(..) => "message_too_large",
            Self::MessageLost(..) => "message_lost",
            Self::UnknownTask(..) => "unknown_task",
        }
    }
}
