//! The library as a state machine: one executor, from its first subscription to its end.
//!
//! This file holds the state, what goes in and out, the clock and the end; what the agent says is in `received`, what
//! waits to be stored in `ledger`, the connection in `link`.

use std::time::Duration;

use lonja_model::execution::{Call, Event as AgentEvent};
use lonja_model::framework::Capability;
use lonja_model::task::Source;
use lonja_model::time::earliest;
use lonja_model::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use lonja_model::{TaskState, TaskStatus, Timestamp, UpdateId};

use super::ledger::{Ledger, MAX_UPDATES_PER_TASK, size_of_labels};
use super::link::{Link, State};
use super::plan::Action;
use super::{Executor, MAX_DATA_BYTES, MAX_LABEL_BYTES, MAX_LABELS, MAX_TEXT_BYTES, Plan, Problem, Update};
use crate::draws::Draws;

/// An executor whose deadline stays in the past is called no more often than this.
const LEAST_BETWEEN_TICKS: Duration = Duration::from_millis(1);

/// What an executor is told at birth, by its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whose it is.
    pub framework: FrameworkId,
    /// Its own id.
    pub executor: ExecutorId,
    /// May the agent restart under it? Without this it ends as soon as the agent is away.
    pub checkpoint: bool,
    /// How long it waits for an agent that is away.
    pub recovery_timeout: Duration,
    /// The longest pause between two attempts to reach the agent; agents wait for their executors no longer than this.
    pub longest_pause: Duration,
    /// How long it may take to end. A tenth of it is kept for the last words.
    pub shutdown_grace: Duration,
    /// Randomness: pauses and the ids of updates are drawn from it, so it has to differ from run to run.
    pub seed: u64,
}

/// What happens to an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection stands, asked for by [`Effects::connect`].
    Connected,
    /// The connection is lost, or could not be made.
    Disconnected {
        /// Why, for people.
        why: String,
    },
    /// The agent does not let it in, and will not if asked again.
    Refused {
        /// In the agent's words.
        why: String,
    },
    /// The agent says something.
    Received(AgentEvent),
    /// Somebody outside wants something.
    Command(Command),
    /// A deadline may have come; see [`Execution::next_deadline`].
    Tick,
}

/// What somebody outside can want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say what has become of a task.
    Update(Update),
    /// Send bytes to the framework, at most once.
    Message(Vec<u8>),
    /// End: [`Plan::end`].
    End,
}

/// What the shell must do, in field order.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Make a connection; answered by [`Event::Connected`], [`Event::Disconnected`] or [`Event::Refused`].
    pub connect: bool,
    /// Calls, in order.
    pub send: Vec<Call>,
    /// Close the connection after that; [`Event::Disconnected`] need not be reported.
    pub disconnect: bool,
    /// It is over.
    pub finished: Option<Outcome>,
    /// What was not done, for the log; the executor has been told.
    pub problems: Vec<Problem>,
}

/// How an executor's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its agent asked for it.
    ShutDown,
    /// It ended by itself, or somebody outside wanted it.
    Ended,
    /// Its agent stayed away.
    AgentLost {
        /// For how long.
        away: Duration,
    },
    /// Its agent did not let it in.
    Refused {
        /// In the agent's words.
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    /// Tasks end and last words are said; over by then at the latest.
    Ending {
        until: Timestamp,
        why: Outcome,
    },
    Finished,
}

/// One executor. See [`crate::executor`].
pub struct Execution<E> {
    pub(super) executor: E,
    pub(super) options: Options,
    pub(super) link: Link,
    pub(super) ledger: Ledger,
    pub(super) stage: Stage,
    /// Where it runs, once its agent has said so.
    pub(super) place: Option<(AgentId, ContainerId)>,
    /// Whether its framework knows TASK_KILLING.
    pub(super) says_killing: bool,
    /// When the executor's deadline was last served.
    ticked: Option<Timestamp>,
    draws: Draws,
}

impl<E: Executor> Execution<E> {
    /// An executor that will connect at its first [`Event::Tick`].
    pub fn new(now: Timestamp, options: Options, executor: E) -> Self {
        let link = Link::new(now, options.recovery_timeout, options.longest_pause, options.seed);
        Self {
            executor,
            // Other draws than those of the pauses.
            draws: Draws::new(options.seed.rotate_left(32) ^ 0x6c6f_6e6a_615f_6578),
            options,
            link,
            ledger: Ledger::default(),
            stage: Stage::Running,
            place: None,
            says_killing: false,
            ticked: None,
        }
    }

    /// Takes in one event and says what the shell must do about it. Once finished, nothing.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        let mut effects = Effects::default();
        if self.stage == Stage::Finished {
            return effects;
        }
        match event {
            Event::Connected => self.connected(now, &mut effects),
            Event::Disconnected { .. } => self.lost(now, &mut effects),
            Event::Refused { why } => {
                self.link.close();
                self.ledger.disconnected();
                self.ends(now, &mut effects, Outcome::Refused { why });
            }
            Event::Received(event) => self.received(now, &mut effects, event),
            Event::Command(command) => self.command(now, &mut effects, command),
            Event::Tick => self.tick(now, &mut effects),
        }
        self.settle(now, &mut effects);
        effects
    }

    /// When to send [`Event::Tick`], should nothing happen before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = match &self.stage {
            Stage::Finished => return None,
            Stage::Ending { until, .. } => earliest(Some(*until), self.link.next_deadline()),
            Stage::Running => self.link.next_deadline_with_patience(),
        };
        [own, self.ledger.next_deadline(), self.executor_deadline()].into_iter().fold(None, earliest)
    }

    /// Has the agent so much to store that no more commands should be brought until it has?
    pub fn is_full(&self) -> bool {
        self.ledger.is_full()
    }

    /// Does the subscription stand?
    pub fn is_subscribed(&self) -> bool {
        self.link.is_subscribed()
    }

    /// Tasks whose end has not been said.
    pub fn live_tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.ledger.live()
    }

    /// The executor.
    pub fn executor(&self) -> &E {
        &self.executor
    }

    /// The executor, taken out.
    pub fn into_executor(self) -> E {
        self.executor
    }

    fn connected(&mut self, now: Timestamp, effects: &mut Effects) {
        self.link.connected(now);
        let (unacknowledged_tasks, unacknowledged_updates) = self.ledger.opening(now);
        effects.send.push(Call::Subscribe { unacknowledged_tasks, unacknowledged_updates });
    }

    fn lost(&mut self, now: Timestamp, effects: &mut Effects) {
        let stood = self.link.is_subscribed();
        self.ledger.disconnected();
        if self.link.is_closed() {
            return;
        }
        self.link.lost(now);
        if stood {
            self.executor.disconnected(now);
            if !self.options.checkpoint && self.stage == Stage::Running {
                // Its agent takes such an executor for dead, and would not know it again.
                self.ends(now, effects, Outcome::AgentLost { away: Duration::ZERO });
            }
        }
    }

    /// Gives the connection up and makes another: what was lost on this one goes out by the next.
    pub(super) fn reconnect(&mut self, now: Timestamp, effects: &mut Effects) {
        effects.disconnect = true;
        self.lost(now, effects);
    }

    fn command(&mut self, now: Timestamp, effects: &mut Effects, command: Command) {
        let plan = match command {
            Command::Update(update) => Plan::new().update(update),
            Command::Message(data) => Plan::new().message(data),
            Command::End => Plan::new().end(),
        };
        self.carry_out(now, effects, plan);
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Effects) {
        match self.link.state {
            State::Waiting(at) if at <= now => {
                self.link.state = State::Connecting;
                effects.connect = true;
            }
            State::Subscribing(at) if at <= now => self.reconnect(now, effects),
            State::Waiting(_)
            | State::Subscribing(_)
            | State::Subscribed(_)
            | State::Connecting
            | State::Closed => {}
        }
        if self.link.beats(now) {
            effects.send.push(Call::Heartbeat);
        }
        if self.is_subscribed() {
            let overdue = self.ledger.overdue(now).into_iter();
            effects.send.extend(overdue.map(|status| Call::Update(Box::new(status))));
        }
        if self.stage == Stage::Running && self.link.gives_up_at().is_some_and(|at| at <= now) {
            let away = self.link.away_for(now);
            self.ends(now, effects, Outcome::AgentLost { away });
        }
        if self.executor_deadline().is_some_and(|at| at <= now) {
            self.ticked = Some(now);
            let plan = self.executor.tick(now);
            self.carry_out(now, effects, plan);
        }
    }

    fn executor_deadline(&self) -> Option<Timestamp> {
        let again = self.ticked.map_or(Timestamp::ZERO, |ticked| ticked + LEAST_BETWEEN_TICKS);
        self.executor.next_deadline().map(|at| at.max(again))
    }

    /// Begins to end, and has the executor end its tasks. The first reason stays, and time only gets shorter.
    pub(super) fn ends(&mut self, now: Timestamp, effects: &mut Effects, why: Outcome) {
        let latest = now + self.options.shutdown_grace / 10 * 9;
        let (until, why) = match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Ending { until, why } => (until.min(latest), why),
            Stage::Running | Stage::Finished => (latest, why),
        };
        self.stage = Stage::Ending { until, why };
        let plan = self.executor.shutdown(now, until);
        self.carry_out(now, effects, plan);
    }

    /// Ends the run if all is said, or its time is up.
    fn settle(&mut self, now: Timestamp, effects: &mut Effects) {
        let Stage::Ending { until, why } = &self.stage else { return };
        let (is_late, why) = (*until <= now, why.clone());
        let nobody_hears = self.link.is_closed();
        let is_done = self.ledger.live().next().is_none() && (self.ledger.updates.is_empty() || nobody_hears);
        if !is_done && !is_late {
            return;
        }
        self.end_the_living(now, effects);
        self.stage = Stage::Finished;
        self.link.close();
        effects.disconnect = true;
        effects.finished = Some(why);
    }

    /// Says of all that runs that it is killed: it ends with this process.
    fn end_the_living(&mut self, now: Timestamp, effects: &mut Effects) {
        for task in self.ledger.live().cloned().collect::<Vec<_>>() {
            self.say(now, effects, Update::killed(task).saying("its executor has ended"));
        }
    }

    /// Takes the plan's steps in order. A step that cannot be taken is left out and the executor told.
    pub(super) fn carry_out(&mut self, now: Timestamp, effects: &mut Effects, plan: Plan) {
        for problem in self.try_out(now, effects, plan) {
            let plan = self.executor.refused(now, &problem);
            effects.problems.push(problem);
            for problem in self.try_out(now, effects, plan) {
                let _repeated = self.executor.refused(now, &problem);
                effects.problems.push(problem);
            }
        }
    }

    fn try_out(&mut self, now: Timestamp, effects: &mut Effects, plan: Plan) -> Vec<Problem> {
        let mut problems = Vec::new();
        for action in plan.actions {
            problems.extend(self.act(now, effects, action).err());
        }
        if plan.end {
            let until = now + self.options.shutdown_grace / 10 * 9;
            if self.stage == Stage::Running {
                self.stage = Stage::Ending { until, why: Outcome::Ended };
            }
            self.end_the_living(now, effects);
        }
        problems
    }

    fn act(&mut self, now: Timestamp, effects: &mut Effects, action: Action) -> Result<(), Problem> {
        match action {
            Action::Message(data) => {
                let bytes = data.len();
                if bytes > MAX_DATA_BYTES {
                    return Err(Problem::TooLarge { bytes });
                }
                if !self.is_subscribed() {
                    return Err(Problem::MessageLost);
                }
                effects.send.push(Call::Message(data));
            }
            Action::Update(update) => {
                self.check(&update)?;
                self.say(now, effects, update);
            }
        }
        Ok(())
    }

    /// May this be said now?
    fn check(&self, update: &Update) -> Result<(), Problem> {
        use TaskState::{Error, Failed, Finished, Killed, Killing, Running, Starting};
        let (task, state) = (update.task.clone(), update.state);
        if !matches!(state, Starting | Running | Killing | Finished | Failed | Killed | Error) {
            return Err(Problem::NotForExecutors { task, state });
        }
        let Some(known) = self.ledger.tasks.get(&task) else { return Err(Problem::UnknownTask(task)) };
        if !known.state.may_become(state) {
            return Err(Problem::Impossible { task, from: known.state, to: state });
        }
        if update.data.len() > MAX_DATA_BYTES {
            return Err(Problem::TooLarge { bytes: update.data.len() });
        }
        if update.labels.0.len() > MAX_LABELS || size_of_labels(&update.labels) > MAX_LABEL_BYTES {
            return Err(Problem::TooManyLabels(task));
        }
        if known.waiting >= MAX_UPDATES_PER_TASK && !state.is_terminal() {
            return Err(Problem::TooManyUpdates(task));
        }
        Ok(())
    }

    /// Keeps an update that may be said, and sends it if the subscription stands.
    pub(super) fn say(&mut self, now: Timestamp, effects: &mut Effects, update: Update) {
        let Update { task, state, reason, message, data, healthy, labels } = update;
        if state == TaskState::Killing && !self.says_killing {
            if let Some(known) = self.ledger.tasks.get_mut(&task) {
                known.state = state;
            }
            return;
        }
        let mut status = TaskStatus::new(task, state, Source::Executor, now);
        (status.reason, status.data) = (reason, data);
        status.message = message.map(|mut text| {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            text
        });
        (status.healthy, status.labels) = (healthy, labels);
        status.executor = Some(self.options.executor.clone());
        if let Some((agent, container)) = self.place.clone() {
            (status.agent, status.container) = (Some(agent), Some(container));
        }
        status.update = Some(self.new_update_id());
        self.ledger.put(status);
        self.send_unsent(now, effects);
    }

    /// A random UUID, as the wire has it.
    fn new_update_id(&mut self) -> UpdateId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.draws.bits().to_le_bytes());
        bytes[8..].copy_from_slice(&self.draws.bits().to_le_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        UpdateId(bytes)
    }

    pub(super) fn send_unsent(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.is_subscribed() {
            let unsent = self.ledger.unsent(now).into_iter();
            effects.send.extend(unsent.map(|status| Call::Update(Box::new(status))));
        }
    }

    pub(super) fn learn(&mut self, subscribed: &lonja_model::execution::Subscribed) {
        self.place = Some((subscribed.agent.clone(), subscribed.container.clone()));
        self.says_killing = subscribed.framework_info.can(Capability::TaskKillingState);
    }
}
