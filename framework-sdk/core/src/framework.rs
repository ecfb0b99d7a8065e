//! The library as a state machine: one framework and the scheduler it speaks for.
//!
//! This file holds the state, what goes in and out, the connection and the clock; what the master says is in
//! `received`, what the scheduler wants in `carry_out`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::constraints::OfferConstraints;
use lonja_model::offer::ResourceRequest;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::{Call, CallResult, Event as MasterEvent};
use lonja_model::time::earliest;
use lonja_model::{AgentId, FrameworkId, FrameworkInfo, OperationId, TaskId, TaskState, Timestamp};

use crate::acknowledgements::Seen;
use crate::calls::Calls;
use crate::counts::{Counts, as_count};
use crate::offers::{MAX_HOLD, Offers};
use crate::plan::{Plan, Stop};
use crate::reconciliation::{PER_CALL, Reconciliation};
use crate::subscription::{Link, Subscription};
use crate::unplaced::Waiting;
use crate::{Problem, Record, Scheduler, State};

/// A scheduler whose deadline stays in the past is called no more often than this.
const LEAST_BETWEEN_TICKS: Duration = Duration::from_millis(1);

/// Alternatives of what offers are of use, at most; what a scheduler says beyond is not told.
const MAX_NEEDS: usize = 16;

/// What a framework is told at birth.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it says of itself.
    pub info: FrameworkInfo,
    /// Its id, if it has subscribed before.
    pub id: Option<FrameworkId>,
    /// Of which agents it wants offers; the master makes it no others.
    pub constraints: OfferConstraints,
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
    /// To be made durable before anything else is done, in order and all at once.
    pub persist: Vec<Record>,
    /// Make a connection; answered by [`Event::Connected`] or [`Event::Disconnected`].
    pub connect: bool,
    /// Calls with their numbers, in order.
    pub send: Vec<(u64, Call)>,
    /// Close the connection after that; [`Event::Disconnected`] need not be reported.
    pub disconnect: bool,
    /// It is over.
    pub finished: Option<Outcome>,
    /// What was not done, for the log; the scheduler has been told.
    pub problems: Vec<Problem>,
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
        /// In the master's words, and what to do about it.
        why: String,
    },
}

/// A task as the library knows it: alive, or its end not yet seen.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) agent: AgentId,
    pub(crate) state: TaskState,
    /// It is to be killed, with this grace period; said again to each master until it has ended, by later runs
    /// too (INV-23).
    pub(crate) kill: Option<Option<Duration>>,
}

impl Known {
    pub(crate) fn new(agent: AgentId, state: TaskState) -> Self {
        Self { agent, state, kill: None }
    }
}

/// One framework and its scheduler. See the crate.
pub struct Framework<S> {
    pub(crate) scheduler: S,
    pub(crate) info: FrameworkInfo,
    pub(crate) id: Option<FrameworkId>,
    pub(crate) subscription: Subscription,
    pub(crate) calls: Calls,
    pub(crate) offers: Offers,
    /// The longest that an offer can be held.
    pub(crate) max_hold: Duration,
    pub(crate) tasks: BTreeMap<TaskId, Known>,
    /// Named operations whose end is not yet seen, each with the agent that it concerns.
    pub(crate) operations: BTreeMap<OperationId, AgentId>,
    pub(crate) seen: Seen,
    pub(crate) reconciliation: Reconciliation,
    /// Tasks of an earlier run may be there, and have not been asked for.
    pub(crate) earlier_run: bool,
    /// Whether the master has been told that offers are wanted.
    wanting: bool,
    /// What the master has been told of the offers that are of use.
    pub(crate) requested: Vec<Quantities>,
    /// What the master is told of tasks without a place.
    pub(crate) waiting: Waiting,
    constraints: OfferConstraints,
    /// When the scheduler's deadline was last served.
    ticked: Option<Timestamp>,
    pub(crate) stopping: Option<Stop>,
    pub(crate) finished: bool,
    /// The master has said that the framework of our id is no more.
    pub(crate) removed: bool,
    pub(crate) counts: Counts,
    /// When the last event was handled.
    pub(crate) now: Timestamp,
}

impl<S: Scheduler> Framework<S> {
    /// A framework that will connect at its first [`Event::Tick`].
    pub fn new(now: Timestamp, options: Options, scheduler: S) -> Self {
        Self {
            scheduler,
            info: options.info,
            earlier_run: options.id.is_some(),
            id: options.id,
            subscription: Subscription::new(now, options.seed),
            calls: Calls::new(options.seed),
            offers: Offers::default(),
            max_hold: MAX_HOLD,
            tasks: BTreeMap::new(),
            operations: BTreeMap::new(),
            seen: Seen::default(),
            reconciliation: Reconciliation::default(),
            wanting: true,
            requested: Vec::new(),
            waiting: Waiting::default(),
            constraints: options.constraints,
            ticked: None,
            stopping: None,
            finished: false,
            removed: false,
            counts: Counts::default(),
            now,
        }
    }

    /// Lets the scheduler hold offers for as long as `time` rather than [`MAX_HOLD`]. For a framework that has the
    /// cluster to itself: what it holds nobody else can use.
    #[must_use]
    pub fn with_max_hold(mut self, time: Duration) -> Self {
        self.max_hold = time;
        self
    }

    /// Waits longer before another try to connect only once each of so many masters has failed.
    #[must_use]
    pub fn with_masters(mut self, number: u32) -> Self {
        self.subscription.masters = number.max(1);
        self
    }

    /// Goes on where an earlier run has ended: its tasks are taken for alive, each where it was to run, and asked about as
    /// soon as the subscription stands; kills and a tear-down that it had begun are gone through with. Its id is for
    /// [`Options::id`].
    #[must_use]
    pub fn resuming(mut self, state: &State) -> Self {
        let known = |(task, agent): (&TaskId, &AgentId)| {
            (task.clone(), Known::new(agent.clone(), TaskState::Staging))
        };
        self.tasks.extend(state.tasks().map(known));
        for (task, grace) in state.kills() {
            if let Some(known) = self.tasks.get_mut(task) {
                known.kill = Some(grace);
            }
        }
        self.stopping = state.is_tearing_down().then_some(Stop::TearDown).or(self.stopping);
        self
    }

    /// Takes in one event and says what the shell must do about it. Once finished, nothing.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        let mut effects = Effects::default();
        if self.finished {
            return effects;
        }
        self.now = now;
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
        self.conclude(&mut effects);
        effects
    }

    /// Lets the scheduler decide something that somebody outside wants, and says what the shell must do about it, as
    /// [`Framework::handle`] does. Once finished, nothing.
    pub fn decide(&mut self, now: Timestamp, decide: impl FnOnce(&mut S) -> Plan) -> Effects {
        let mut effects = Effects::default();
        if self.finished {
            return effects;
        }
        self.now = now;
        let plan = decide(&mut self.scheduler);
        self.carry_out(now, &mut effects, plan);
        self.conclude(&mut effects);
        effects
    }

    /// What every event ends with: what has changed in what the scheduler wants, and must not forget.
    fn conclude(&mut self, effects: &mut Effects) {
        self.adjust(effects);
        self.request(effects);
        self.report(self.now, effects);
        // Before what the library keeps: should the framework be torn down by this, what it kept goes with it.
        effects.persist.splice(0..0, self.scheduler.changes().into_iter().map(Record::from));
    }

    /// When to send [`Event::Tick`], should nothing happen before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.finished {
            return None;
        }
        let parts = [
            self.subscription.next_deadline(),
            self.reconciliation.next_deadline(),
            self.calls.next_deadline(),
            self.offers.next_deadline(),
            self.scheduler_deadline(),
            self.waiting.next_deadline().filter(|_| self.may_report()),
        ];
        parts.into_iter().fold(None, earliest)
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &S {
        &self.scheduler
    }

    /// The scheduler, for its owner to take out what it has written down. What it wants is asked after events only, so
    /// whoever changes that here says so by an event.
    pub fn scheduler_mut(&mut self) -> &mut S {
        &mut self.scheduler
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

    /// Has somebody asked for its end, which the master has yet to confirm?
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Was its end that the framework is no more, by the master's word: somebody tore it down, or it was away for too long?
    pub fn was_removed(&self) -> bool {
        self.removed
    }

    /// What this framework has done so far.
    pub fn counts(&self) -> Counts {
        Counts {
            offers_in_hand: as_count(self.offers.iter().len()),
            live_tasks: as_count(self.tasks.len()),
            ..self.counts
        }
    }

    /// Tasks that are alive as far as the library knows.
    pub fn live_tasks(&self) -> impl Iterator<Item = (&TaskId, TaskState)> {
        self.tasks.iter().map(|(id, known)| (id, known.state))
    }

    /// Sends a call. Only SUBSCRIBE goes out before the subscription stands.
    pub(crate) fn call(&mut self, effects: &mut Effects, call: Call) {
        debug_assert!(self.is_subscribed() || matches!(call, Call::Subscribe { .. }), "{call:?}");
        self.counts.call(&call);
        effects.send.push((self.calls.number(&call), call));
    }

    fn connected(&mut self, now: Timestamp, effects: &mut Effects) {
        self.subscription.connected(now);
        self.wanting = self.wants_offers();
        let suppressed = if self.wanting { BTreeSet::new() } else { self.info.roles.clone() };
        let info = Box::new(self.info.clone());
        let framework = self.id.clone();
        self.call(
            effects,
            Call::Subscribe { framework, info, suppressed, constraints: self.constraints.clone() },
        );
    }

    fn disconnected(&mut self, now: Timestamp, effects: &mut Effects) {
        let stood = self.subscription.is_subscribed();
        self.drop_offers();
        self.calls.forget();
        self.reconciliation.stop();
        if self.stopping == Some(Stop::TearDown) && self.id.is_none() {
            // No master ever gave it an id, so there is nothing that could be torn down.
            return self.finish(effects, Outcome::TornDown);
        }
        self.subscription.lost(now);
        if stood {
            self.scheduler.disconnected(now);
        }
    }

    /// Gives the connection up and makes another: what was lost on this one is settled by the next.
    pub(crate) fn reconnect(&mut self, now: Timestamp, effects: &mut Effects) {
        effects.disconnect = true;
        self.disconnected(now, effects);
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
                self.reconnect(now, effects);
            }
            Link::Waiting(_)
            | Link::Subscribing(_)
            | Link::Subscribed { .. }
            | Link::Connecting
            | Link::Closed => {}
        }
        if self.is_subscribed() {
            for call in self.calls.due(now) {
                self.call(effects, call);
            }
            for (offer, filters) in self.offers.take_expired(now) {
                self.counts.offers_expired += 1;
                self.call(effects, Call::Decline { offers: vec![offer], filters });
            }
            let tasks = if self.reconciliation.all_due(now) {
                self.reconciliation.ask(now, self.tasks.keys().cloned())
            } else {
                self.reconciliation.due(now)
            };
            self.ask(effects, tasks);
        }
        if !self.finished && self.scheduler_deadline().is_some_and(|at| at <= now) {
            self.ticked = Some(now);
            let plan = self.scheduler.tick(now);
            self.carry_out(now, effects, plan);
        }
    }

    fn scheduler_deadline(&self) -> Option<Timestamp> {
        let again = self.ticked.map_or(Timestamp::ZERO, |ticked| ticked + LEAST_BETWEEN_TICKS);
        self.scheduler.next_deadline().map(|at| at.max(again))
    }

    /// Asks where these tasks stand.
    pub(crate) fn ask(&mut self, effects: &mut Effects, tasks: Vec<TaskId>) {
        for tasks in tasks.chunks(PER_CALL) {
            let agent = |task: &TaskId| self.tasks.get(task).map(|known| known.agent.clone());
            let tasks = tasks.iter().map(|task| (task.clone(), agent(task))).collect();
            self.call(effects, Call::Reconcile { tasks });
        }
    }

    /// All offers end with their subscription.
    pub(crate) fn drop_offers(&mut self) {
        self.counts.offers_void += as_count(self.offers.iter().len());
        self.offers.drop_all();
    }

    pub(crate) fn finish(&mut self, effects: &mut Effects, outcome: Outcome) {
        if outcome == Outcome::TornDown && self.id.is_some() {
            effects.persist.push(Record::Framework(None));
        }
        self.finished = true;
        self.subscription.link = Link::Closed;
        self.drop_offers();
        effects.disconnect = true;
        effects.finished = Some(outcome);
    }

    fn wants_offers(&self) -> bool {
        self.stopping.is_none() && self.scheduler.wants_offers()
    }

    /// Tells the master whether offers are wanted, when that has changed.
    fn adjust(&mut self, effects: &mut Effects) {
        let wants = self.wants_offers();
        // The end is on its way: nothing more is said.
        if self.finished || self.is_stopping() || !self.is_subscribed() || wants == self.wanting {
            return;
        }
        self.wanting = wants;
        let roles = BTreeSet::new();
        self.call(effects, if wants { Call::Revive { roles } } else { Call::Suppress { roles } });
    }

    /// Tells the master what offers are of use, when that has changed.
    fn request(&mut self, effects: &mut Effects) {
        if self.finished || self.is_stopping() || !self.is_subscribed() {
            return;
        }
        let mut needs = self.scheduler.needs();
        needs.truncate(MAX_NEEDS);
        if needs == self.requested {
            return;
        }
        let request = |needs: &Quantities| ResourceRequest { agent: None, role: None, needs: needs.clone() };
        let requests = needs.iter().map(request).collect();
        self.requested = needs;
        self.call(effects, Call::Request { requests });
    }

    /// Tells the master what tasks wait for, when that has changed and not too often.
    fn report(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.may_report()
            && let Some(tasks) = self.waiting.take_due(now)
        {
            self.call(effects, Call::Unplaced { tasks });
        }
    }

    fn may_report(&self) -> bool {
        !self.finished && !self.is_stopping() && self.is_subscribed()
    }
}
