//! What a scheduler wants done, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::{AgentId, Offer, OfferId, Resources, TaskId, TaskInfo};

/// What a scheduler wants done. Built step by step; the steps are taken in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) refuse: Option<Duration>,
    pub(crate) stop: Option<Stop>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Launch { offers: Vec<OfferId>, tasks: Vec<TaskInfo> },
    Decline { offer: OfferId, refuse: Duration },
    Kill { task: TaskId, grace: Option<Duration> },
    Reconcile,
    Remember { tasks: Vec<(TaskId, AgentId)> },
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
        let offers = offers.into_iter().map(|offer| offer.id.clone()).collect();
        self.actions.push(Action::Launch { offers, tasks: tasks.into_iter().collect() });
        self
    }

    /// Give `offer` back, and keep what it holds away for `refuse`.
    #[must_use]
    pub fn decline(mut self, offer: &Offer, refuse: Duration) -> Self {
        self.actions.push(Action::Decline { offer: offer.id.clone(), refuse });
        self
    }

    /// Keep all that this plan does not use away for `refuse`; without this, 5 seconds.
    #[must_use]
    pub fn refuse_rest(mut self, refuse: Duration) -> Self {
        self.refuse = Some(refuse);
        self
    }

    /// End a task; `grace` overrides the task's own.
    #[must_use]
    pub fn kill(mut self, task: TaskId, grace: Option<Duration>) -> Self {
        self.actions.push(Action::Kill { task, grace });
        self
    }

    /// Ask where all tasks stand.
    #[must_use]
    pub fn reconcile(mut self) -> Self {
        self.actions.push(Action::Reconcile);
        self
    }

    /// Take these tasks of an earlier run for alive, each where it was to run, and ask where they stand.
    /// A scheduler that keeps notes says this in [`Scheduler::subscribed`](crate::Scheduler::subscribed):
    /// of a task whose launch never reached the master it hears in no other way. Those that are known
    /// already stay as they are.
    #[must_use]
    pub fn remember(mut self, tasks: impl IntoIterator<Item = (TaskId, AgentId)>) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        if !tasks.is_empty() {
            self.actions.push(Action::Remember { tasks });
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
}

/// Why a plan cannot be carried out. The step is left out, and the rest is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No such offer is in hand: it was answered, rescinded, or is of an earlier subscription.
    #[error("offer {0} is not in hand")]
    OfferGone(OfferId),
    /// Offers of one launch must be of one agent and one role.
    #[error("offers {0} and {1} are of different agents or roles")]
    OffersDiffer(OfferId, OfferId),
    /// A launch needs at least one offer.
    #[error("a launch names no offer")]
    NoOffer,
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
    /// Nothing is known of this task.
    #[error("task {0} is not known")]
    UnknownTask(TaskId),
}

/// Checks one launch against the offers in hand: all of one agent and role, and enough for the tasks.
pub(crate) fn check_launch<'a>(
    in_hand: &'a BTreeMap<OfferId, Offer>,
    offers: &[OfferId],
    tasks: &[TaskInfo],
    in_use: impl Fn(&TaskId) -> bool,
) -> Result<Vec<&'a Offer>, PlanError> {
    let first = offers.first().ok_or(PlanError::NoOffer)?;
    let mut held: Vec<&Offer> = Vec::with_capacity(offers.len());
    let mut pool = Resources::new();
    for id in offers {
        let offer = in_hand.get(id).ok_or_else(|| PlanError::OfferGone(id.clone()))?;
        if held.iter().any(|other| other.id == *id) {
            return Err(PlanError::OfferGone(id.clone()));
        }
        if held.first().is_some_and(|other| (&other.agent, &other.role) != (&offer.agent, &offer.role)) {
            return Err(PlanError::OffersDiffer(first.clone(), id.clone()));
        }
        pool = pool
            .checked_add(&offer.resources)
            .map_err(|_| PlanError::OffersDiffer(first.clone(), id.clone()))?;
        held.push(offer);
    }
    for (index, task) in tasks.iter().enumerate() {
        if in_use(&task.id) || tasks[..index].iter().any(|other| other.id == task.id) {
            return Err(PlanError::TaskIdInUse(task.id.clone()));
        }
        pool = pool.checked_sub(&task.resources).ok_or_else(|| PlanError::Exceeds {
            task: task.id.clone(),
            needed: task.resources.clone(),
            left: pool.clone(),
        })?;
    }
    Ok(held)
}
