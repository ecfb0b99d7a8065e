//! The library as a state machine: one framework and the scheduler it speaks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{Call, CallResult, Event as MasterEvent, MasterInfo};
use lonja_model::time::earliest;
use lonja_model::{
    AgentId, FrameworkId, FrameworkInfo, Offer, TaskId, TaskInfo, TaskState, TaskStatus, Timestamp,
};

use crate::acknowledgements::Seen;
use crate::offers::Offers;
use crate::plan::{Action, Plan, PlanError, Stop, check_launch};
use crate::reconciliation::{PER_CALL, Reconciliation};
use crate::subscription::{Link, Subscription};
use crate::{Problem, Scheduler};

/// What a framework is told at birth.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it says of itself.
    pub info: FrameworkInfo,
    /// Its id, if it has subscribed before.
    pub id: Option<FrameworkId>,
    /// Randomness: back-off is drawn from it.
    pub seed: u64,
}

/// What happens to a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection stands, asked for by [`Effects::connect`].
    Connected,
    /// The connection is lost, or could not be made.
    Disconnected {
        /// Why, for people.
        why: String,
    },
    /// The master says something.
    Received(MasterEvent),
    /// The master answers the call of this number.
    Answered {
        /// The call's number.
        id: u64,
        /// Done, or refused.
        result: CallResult,
    },
    /// Somebody outside wants something.
    Command(Command),
    /// A deadline may have come; see [`Framework::next_deadline`].
    Tick,
}

/// What somebody outside can want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// End a task.
    Kill {
        /// Which.
        task: TaskId,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// End the framework: kill its tasks and have the master forget it.
    TearDown,
    /// End the framework's run and leave its tasks.
    Leave,
}

/// What the shell must do, in field order.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Make a connection; answered by [`Event::Connected`] or [`Event::Disconnected`].
    pub connect: bool,
    /// Calls with their numbers, in order.
    pub send: Vec<(u64, Call)>,
    /// Close the connection after that; [`Event::Disconnected`] need not be reported.
    pub disconnect: bool,
    /// It is over.
    pub finished: Option<Outcome>,
}

/// How a framework's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The scheduler or somebody outside had it torn down.
    TornDown,
    /// It left; its tasks run on.
    Left {
        /// To come back with.
        framework: Option<FrameworkId>,
    },
    /// The master ended it: it was removed, another instance has taken over, or its description was refused.
    EndedByMaster {
        /// In the master's words.
        why: String,
    },
}

/// A task as the library knows it: alive, or its end not yet seen.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) agent: AgentId,
    pub(crate) state: TaskState,
}

/// One framework and its scheduler. See the crate.
pub struct Framework<S> {
    scheduler: S,
    info: FrameworkInfo,
    id: Option<FrameworkId>,
    pub(crate) subscription: Subscription,
    pub(crate) offers: Offers,
    pub(crate) tasks: BTreeMap<TaskId, Known>,
    seen: Seen,
    reconciliation: Reconciliation,
    /// Whether the master has been told that offers are wanted.
    wanting: bool,
    calls: u64,
    /// Numbers and names of calls not answered yet; only what needs an answer is numbered.
    unanswered: BTreeMap<u64, &'static str>,
    stopping: Option<Stop>,
    finished: bool,
}

impl<S: Scheduler> Framework<S> {
    /// A framework that will connect at its first [`Event::Tick`].
    pub fn new(now: Timestamp, options: Options, scheduler: S) -> Self {
        Self {
            scheduler,
            info: options.info,
            id: options.id,
            subscription: Subscription::new(now, options.seed),
            offers: Offers::default(),
            tasks: BTreeMap::new(),
            seen: Seen::default(),
            reconciliation: Reconciliation::default(),
            wanting: true,
            calls: 0,
            unanswered: BTreeMap::new(),
            stopping: None,
            finished: false,
        }
    }

    /// Takes in one event and says what the shell must do about it.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        let mut effects = Effects::default();
        if self.finished {
            return effects;
        }
        match event {
            Event::Connected => self.connected(now, &mut effects),
            Event::Disconnected { .. } => self.disconnected(now, &mut effects),
            Event::Received(event) => {
                self.subscription.heard(now);
                self.received(now, &mut effects, event);
            }
            Event::Answered { id, result } => self.answered(now, &mut effects, id, result),
            Event::Command(command) => self.command(now, &mut effects, command),
            Event::Tick => self.tick(now, &mut effects),
        }
        self.adjust(&mut effects);
        effects
    }

    /// When to send [`Event::Tick`], should nothing happen before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.finished {
            return None;
        }
        let own = earliest(self.subscription.next_deadline(), self.reconciliation.next_deadline());
        earliest(own, self.scheduler.next_deadline())
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &S {
        &self.scheduler
    }

    /// The scheduler, taken out.
    pub fn into_scheduler(self) -> S {
        self.scheduler
    }

    /// The framework's id, once a master has given one.
    pub fn id(&self) -> Option<&FrameworkId> {
        self.id.as_ref()
    }

    /// Does the subscription stand?
    pub fn is_subscribed(&self) -> bool {
        self.subscription.is_subscribed()
    }

    /// Tasks that are alive as far as the library knows.
    pub fn live_tasks(&self) -> impl Iterator<Item = (&TaskId, TaskState)> {
        self.tasks.iter().map(|(id, known)| (id, known.state))
    }

    fn call(&mut self, effects: &mut Effects, name: &'static str, call: Call) -> u64 {
        self.calls += 1;
        self.unanswered.insert(self.calls, name);
        effects.send.push((self.calls, call));
        self.calls
    }

    fn connected(&mut self, now: Timestamp, effects: &mut Effects) {
        self.subscription.connected(now);
        self.wanting = self.scheduler.wants_offers();
        let suppressed = if self.wanting { BTreeSet::new() } else { self.info.roles.clone() };
        let info = Box::new(self.info.clone());
        let framework = self.id.clone();
        self.call(effects, "SUBSCRIBE", Call::Subscribe { framework, info, suppressed });
    }

    fn disconnected(&mut self, now: Timestamp, effects: &mut Effects) {
        let stood = self.subscription.is_subscribed();
        self.offers.drop_all();
        self.unanswered.clear();
        self.reconciliation.stop();
        if self.stopping == Some(Stop::Leave) {
            return self.finish(effects, Outcome::Left { framework: self.id.clone() });
        }
        self.subscription.lost(now);
        if stood {
            self.scheduler.disconnected(now);
        }
    }

    fn received(&mut self, now: Timestamp, effects: &mut Effects, event: MasterEvent) {
        match event {
            MasterEvent::Subscribed { framework, heartbeat, master } => {
                self.subscribed(now, effects, framework, heartbeat, &master);
            }
            MasterEvent::Heartbeat | MasterEvent::Message { .. } => {}
            MasterEvent::Offers(offers) => self.offered(now, effects, &offers),
            MasterEvent::Rescind(offer) => {
                if self.offers.take(&offer) {
                    self.scheduler.rescinded(now, &offer);
                }
            }
            MasterEvent::Update(status) => self.updated(now, effects, &status),
            MasterEvent::Failure { agent, executor, .. } => {
                if executor.is_none() {
                    let plan = self.scheduler.agent_lost(now, &agent);
                    self.carry_out(now, effects, plan);
                }
            }
            MasterEvent::Error(why) => {
                let torn_down = self.stopping == Some(Stop::TearDown);
                let outcome = if torn_down { Outcome::TornDown } else { Outcome::EndedByMaster { why } };
                self.finish(effects, outcome);
            }
        }
    }

    fn subscribed(
        &mut self,
        now: Timestamp,
        effects: &mut Effects,
        framework: FrameworkId,
        heartbeat: Duration,
        master: &MasterInfo,
    ) {
        self.id = Some(framework.clone());
        self.subscription.subscribed(now, heartbeat);
        self.offers.drop_all();
        let tasks = self.reconciliation.begin(now, self.tasks.keys().cloned());
        self.ask(effects, tasks);
        let plan = self.scheduler.subscribed(now, &framework, master);
        self.carry_out(now, effects, plan);
        if let Some(stop) = self.stopping {
            self.stop(effects, stop);
        }
    }

    fn offered(&mut self, now: Timestamp, effects: &mut Effects, offers: &[Offer]) {
        self.offers.put(offers);
        let plan = self.scheduler.offers(now, offers);
        let filters = plan.filters();
        self.carry_out(now, effects, plan);
        let offers = self.offers.take_rest();
        if !offers.is_empty() && !self.finished {
            self.call(effects, "DECLINE", Call::Decline { offers, filters });
        }
    }

    fn updated(&mut self, now: Timestamp, effects: &mut Effects, status: &TaskStatus) {
        // UNREACHABLE settles nothing: a master that never saw the task says so of any task on a silent agent,
        // and has nothing to tell when that agent returns without it.
        if status.state != TaskState::Unreachable {
            self.reconciliation.answered(&status.task);
        }
        let new = status.update.is_none_or(|update| self.seen.note(update));
        if new {
            self.note_state(status);
            let plan = self.scheduler.update(now, status);
            self.carry_out(now, effects, plan);
        }
        if let (Some(update), Some(agent), false) = (status.update, status.agent.clone(), self.finished) {
            self.call(effects, "ACKNOWLEDGE", Call::Acknowledge { agent, task: status.task.clone(), update });
        }
    }

    fn note_state(&mut self, status: &TaskStatus) {
        if status.state.is_terminal() {
            self.tasks.remove(&status.task);
        } else if let Some(known) = self.tasks.get_mut(&status.task) {
            known.state = status.state;
        } else if let Some(agent) = status.agent.clone() {
            // Launched by an earlier run of this framework.
            self.tasks.insert(status.task.clone(), Known { agent, state: status.state });
        }
    }

    fn answered(&mut self, now: Timestamp, effects: &mut Effects, id: u64, result: CallResult) {
        let Some(call) = self.unanswered.remove(&id) else { return };
        if call == "TEARDOWN" {
            return self.finish(effects, Outcome::TornDown);
        }
        let Err(refusal) = result else { return };
        if call == "SUBSCRIBE" {
            // The master also says so in an ERROR event, which ends the run.
            return;
        }
        if call == "ACKNOWLEDGE" {
            // Acknowledged before; the first time was enough.
            return;
        }
        let plan = self.scheduler.refused(now, &Problem::Refused { call, refusal });
        self.carry_out(now, effects, plan);
    }

    fn command(&mut self, now: Timestamp, effects: &mut Effects, command: Command) {
        let plan = match command {
            Command::Kill { task, grace } => Plan::new().kill(task, grace),
            Command::TearDown => Plan::new().tear_down(),
            Command::Leave => Plan::new().leave(),
        };
        self.carry_out(now, effects, plan);
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Effects) {
        match self.subscription.link {
            Link::Waiting(at) if at <= now => {
                self.subscription.link = Link::Connecting;
                effects.connect = true;
            }
            Link::Subscribing(at) | Link::Subscribed { silent_at: at, .. } if at <= now => {
                effects.disconnect = true;
                self.disconnected(now, effects);
            }
            Link::Waiting(_)
            | Link::Subscribing(_)
            | Link::Subscribed { .. }
            | Link::Connecting
            | Link::Closed => {}
        }
        if self.subscription.is_subscribed() {
            let tasks = self.reconciliation.due(now);
            self.ask(effects, tasks);
        }
        if self.scheduler.next_deadline().is_some_and(|at| at <= now) {
            let plan = self.scheduler.tick(now);
            self.carry_out(now, effects, plan);
        }
    }

    /// Asks where these tasks stand.
    fn ask(&mut self, effects: &mut Effects, tasks: Vec<TaskId>) {
        for tasks in tasks.chunks(PER_CALL) {
            let agent = |task: &TaskId| self.tasks.get(task).map(|known| known.agent.clone());
            let tasks = tasks.iter().map(|task| (task.clone(), agent(task))).collect();
            self.call(effects, "RECONCILE", Call::Reconcile { tasks });
        }
    }

    fn carry_out(&mut self, now: Timestamp, effects: &mut Effects, plan: Plan) {
        let filters = plan.filters();
        let stop = plan.stop;
        for action in plan.actions {
            if let Err(problem) = self.act(now, effects, action, filters) {
                // A scheduler that answers a problem with the same plan would never end.
                let _ignored = self.scheduler.refused(now, &Problem::Plan(problem));
            }
        }
        if let Some(stop) = stop {
            self.stopping = Some(stop);
            self.stop(effects, stop);
        }
    }

    fn act(
        &mut self,
        now: Timestamp,
        effects: &mut Effects,
        action: Action,
        filters: Filters,
    ) -> Result<(), PlanError> {
        match action {
            Action::Launch { offers, tasks } => {
                let in_use = |id: &TaskId| self.tasks.contains_key(id);
                check_launch(&self.offers.in_hand, &offers, &tasks, in_use)?;
                self.launch(effects, offers, tasks, filters);
            }
            Action::Decline { offer, refuse } => {
                if !self.offers.take(&offer) {
                    return Err(PlanError::OfferGone(offer));
                }
                self.call(
                    effects,
                    "DECLINE",
                    Call::Decline { offers: vec![offer], filters: Filters { refuse } },
                );
            }
            Action::Kill { task, grace } => {
                let known = self.tasks.get(&task).ok_or_else(|| PlanError::UnknownTask(task.clone()))?;
                let agent = Some(known.agent.clone());
                if self.subscription.is_subscribed() {
                    self.call(effects, "KILL", Call::Kill { task, agent, grace });
                }
            }
            Action::Remember { tasks } => {
                let mut new = Vec::new();
                for (task, agent) in tasks {
                    if !self.tasks.contains_key(&task) {
                        self.tasks.insert(task.clone(), Known { agent, state: TaskState::Staging });
                        new.push(task);
                    }
                }
                if !new.is_empty() {
                    self.reconciliation.begin(now, self.tasks.keys().cloned());
                    self.ask(effects, new);
                }
            }
            Action::Reconcile => {
                let tasks = self.reconciliation.begin(now, self.tasks.keys().cloned());
                self.ask(effects, tasks);
            }
        }
        Ok(())
    }

    fn launch(
        &mut self,
        effects: &mut Effects,
        offers: Vec<lonja_model::OfferId>,
        tasks: Vec<TaskInfo>,
        filters: Filters,
    ) {
        for offer in &offers {
            self.offers.take(offer);
        }
        for task in &tasks {
            let known = Known { agent: task.agent.clone(), state: TaskState::Staging };
            self.tasks.insert(task.id.clone(), known);
        }
        let tasks = tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect();
        let operations = vec![Operation::Launch(tasks)];
        self.call(effects, "ACCEPT", Call::Accept { offers, operations, filters });
    }

    /// Carries a stop out: now if the subscription stands, else as soon as it does.
    fn stop(&mut self, effects: &mut Effects, stop: Stop) {
        match stop {
            Stop::TearDown if self.subscription.is_subscribed() => {
                self.call(effects, "TEARDOWN", Call::Teardown);
            }
            // Never subscribed: there is nothing to tear down.
            Stop::TearDown if self.id.is_none() => self.finish(effects, Outcome::TornDown),
            Stop::TearDown => {}
            Stop::Leave => self.finish(effects, Outcome::Left { framework: self.id.clone() }),
        }
    }

    fn finish(&mut self, effects: &mut Effects, outcome: Outcome) {
        self.finished = true;
        self.subscription.link = Link::Closed;
        self.offers.drop_all();
        effects.disconnect = true;
        effects.finished = Some(outcome);
    }

    /// Tells the master whether offers are wanted, when that has changed.
    fn adjust(&mut self, effects: &mut Effects) {
        let wants = self.scheduler.wants_offers() && self.stopping.is_none();
        if self.finished || !self.subscription.is_subscribed() || wants == self.wanting {
            return;
        }
        self.wanting = wants;
        let roles = BTreeSet::new();
        if wants {
            self.call(effects, "REVIVE", Call::Revive { roles });
        } else {
            self.call(effects, "SUPPRESS", Call::Suppress { roles });
        }
    }
}
