//! The scheduler's thread: it owns the framework and the store.
//!
//! It takes a batch of inputs, hands each to the framework, makes durable what all of them have changed by one commit,
//! and only then reports what is to be sent. A scheduler that blocks or a disk that is slow so delays nobody else: the
//! connection is kept alive by the runtime meanwhile.
//!
//! Invariants
//! - No step is reported before the changes of its batch are durable.
//! - What an input led to at which the scheduler panicked is neither kept nor sent; but an id that the master gave is kept,
//!   and a command is given to the scheduler that is made next.
//! - A word of a connection that was given up never reaches the framework.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lonja_model::clock::Clock;
use lonja_model::{FrameworkId, Timestamp};
use lonja_proto::convert::call::request_to_wire;
use lonja_proto::lonja::SchedulerRequest;
use lonja_sdk_core::{
    Command, Counts, Effects, Event, Framework, Options, Outcome, Plan, Record, Scheduler, State,
};
use tokio::sync::mpsc;

use super::contained::{Contained, Panicked, caught};
use super::error::DriverError;
use super::fresh_seed;
use super::kept::Kept;
use super::notice::Notice;
use super::shared::Shared;
use crate::FrameworkOptions;
use crate::store::{StoreError, check_event, check_size};

/// Within this time a scheduler is made anew so many times at most.
const REBUILDS_WITHIN: Duration = Duration::from_secs(60);

/// The changes of several events are committed together up to so many bytes, well below what a [`FileStore`] takes at
/// once. Those of one event always go together.
///
/// [`FileStore`]: crate::store::FileStore
const COMMIT_BYTES: usize = 16 << 20;

/// A decision to be made by the scheduler, from outside.
pub(crate) type Decision<S> = Box<dyn FnOnce(&mut S, Timestamp) -> Plan + Send>;

/// What the framework is told.
pub(crate) enum Input<S> {
    /// By the connection of this number.
    Connection(u64, Event),
    /// By whoever has a handle.
    Command(Command),
    /// By whoever has a handle for this scheduler's own commands.
    Decide(Decision<S>),
    /// A deadline has come.
    Tick,
}

/// What the driver must do, in order.
pub(crate) enum Step {
    /// Make a connection, the next by number.
    Connect,
    /// Send these.
    Send(Vec<SchedulerRequest>),
    /// Close the connection; after what was sent has left if it is the end.
    Close { last: bool },
}

/// How things stand after a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) subscribed: bool,
    pub(crate) stopping: bool,
    pub(crate) framework: Option<FrameworkId>,
    pub(crate) deadline: Option<Timestamp>,
}

/// What a batch has come to.
pub(crate) struct Report<S> {
    pub(crate) steps: Vec<Step>,
    pub(crate) standing: Standing,
    /// The run is over, and the store let go.
    pub(crate) end: Option<Result<(S, Outcome), DriverError>>,
}

/// Where schedulers come from.
pub(crate) enum Make<S> {
    /// There is one.
    Once(Option<S>),
    /// As many as are needed, from what is kept.
    From(Box<dyn FnMut(&State) -> S + Send>),
}

/// Takes out what the scheduler says to the outside, and passes it on once its changes are durable.
pub(crate) trait Outside<S>: Send {
    /// Takes out what it says now.
    fn take(&mut self, scheduler: &mut S);
    /// Forgets what has been said and not been taken out: the scheduler has panicked.
    fn forget(&mut self);
    /// Passes on what was taken.
    fn pass_on(&mut self);
}

/// Nobody listens.
pub(crate) struct Nobody;

impl<S> Outside<S> for Nobody {
    fn take(&mut self, _scheduler: &mut S) {}
    fn forget(&mut self) {}
    fn pass_on(&mut self) {}
}

/// What the thread is started with.
pub(crate) struct Worker<S> {
    pub(crate) options: FrameworkOptions,
    pub(crate) masters: u32,
    pub(crate) make: Make<S>,
    pub(crate) store: Kept,
    pub(crate) outside: Box<dyn Outside<S>>,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rebuilds: usize,
}

impl<S: Scheduler + 'static> Worker<S> {
    /// Starts the thread; it ends with the run, or once nobody has anything to tell it.
    pub(crate) fn start(
        self,
        inputs: mpsc::Receiver<Vec<Input<S>>>,
        reports: mpsc::Sender<Report<S>>,
    ) -> Result<(), DriverError> {
        let thread = std::thread::Builder::new().name("lonja-scheduler".to_owned());
        let started = thread.spawn(move || {
            // Schedulers and stores are contained where they are called. What is not, such as the drop of a command that
            // nobody took, at least is not silent.
            let (steps, standing, end) = caught("the scheduler's thread", || self.work(inputs, &reports))
                .unwrap_or_else(|panicked| {
                    let why = format!("it panicked: {}", panicked.message);
                    (Vec::new(), Standing::default(), Err(DriverError::Thread { why }))
                });
            // By now the store is closed, so whoever learns of the end can start the next run.
            let _gone = reports.blocking_send(Report { steps, standing, end: Some(end) });
        });
        started.map(drop).map_err(|error| DriverError::Thread { why: error.to_string() })
    }

    fn work(
        mut self,
        mut inputs: mpsc::Receiver<Vec<Input<S>>>,
        reports: &mpsc::Sender<Report<S>>,
    ) -> Last<S> {
        let mut held = match self.begin() {
            Ok(held) => held,
            Err(error) => return (Vec::new(), Standing::default(), Err(error)),
        };
        let mut batch = Vec::new();
        loop {
            let mut turn = Turn::default();
            let handled = self.handle_all(&mut held, batch, &mut turn);
            let committed = self.commit(&turn.persist);
            self.note(&held);
            let standing = held.standing(turn.deadline);
            if let Err(error) = handled.and(committed) {
                return (vec![Step::Close { last: false }], standing, Err(error));
            }
            self.outside.pass_on();
            if let Some(outcome) = turn.outcome {
                return (turn.steps, standing, Ok((held.framework.into_scheduler().into_inner(), outcome)));
            }
            if reports.blocking_send(Report { steps: turn.steps, standing, end: None }).is_err() {
                return (Vec::new(), Standing::default(), Err(abandoned()));
            }
            let Some(next) = inputs.blocking_recv() else {
                return (Vec::new(), Standing::default(), Err(abandoned()));
            };
            batch = next;
        }
    }

    fn begin(&mut self) -> Result<Held<S>, DriverError> {
        let state = self.load()?;
        let id = match (state.framework(), self.options.id.clone()) {
            (Some(kept), Some(given)) if *kept != given => {
                let kept = kept.clone();
                return Err(DriverError::OtherFramework { store: self.store.name().to_owned(), kept, given });
            }
            (Some(kept), _) => Some(kept.clone()),
            (None, Some(given)) => {
                self.commit(&[Record::Framework(Some(given.clone()))])?;
                Some(given)
            }
            (None, None) => None,
        };
        let scheduler = match &mut self.make {
            Make::Once(scheduler) => {
                scheduler.take().ok_or_else(|| DriverError::Thread { why: "no scheduler".to_owned() })?
            }
            Make::From(_) => self.made(&state).map_err(|panicked| self.broken(panicked, 0))?,
        };
        Ok(Held {
            framework: self.framework(id, scheduler).resuming(&state),
            connection: 0,
            open: false,
            rebuilt: VecDeque::new(),
            before: Counts::default(),
        })
    }

    fn framework(&self, id: Option<FrameworkId>, scheduler: S) -> Framework<Contained<S>> {
        let FrameworkOptions { info, constraints, .. } = self.options.clone();
        let options = Options { info, id, constraints, seed: fresh_seed() };
        let contained = Contained::new(scheduler, Arc::clone(&self.shared.watch));
        Framework::new(self.clock.now(), options, contained).with_masters(self.masters)
    }

    fn made(&mut self, state: &State) -> Result<S, Panicked> {
        let Make::From(make) = &mut self.make else {
            return Err(Panicked { method: "run", message: "there is no other scheduler".to_owned() });
        };
        self.shared.watch.over("run_from", || caught("run_from", || make(state)))
    }

    fn handle_all(
        &mut self,
        held: &mut Held<S>,
        batch: Vec<Input<S>>,
        turn: &mut Turn,
    ) -> Result<(), DriverError> {
        let mut waiting = VecDeque::from(batch);
        while let Some(input) = waiting.pop_front() {
            let now = self.clock.now();
            let was_stopping = held.framework.is_stopping();
            let command = match &input {
                Input::Command(command) => Some(command.clone()),
                Input::Connection(..) | Input::Decide(_) | Input::Tick => None,
            };
            let Some(effects) = held.handle(now, input) else { continue };
            let outside = &mut self.outside;
            held.framework.scheduler_mut().call("take_events", |scheduler| outside.take(scheduler));
            if let Some(panicked) = held.framework.scheduler().panicked() {
                turn.persist.extend(effects.persist.into_iter().filter(is_given_by_the_master));
                self.rebuild(held, turn, panicked)?;
                for command in held.still_wanted(command, was_stopping) {
                    waiting.push_front(Input::Command(command));
                }
                continue;
            }
            check_event(&effects.persist).map_err(|source| self.not_kept(source))?;
            self.make_room(turn, &effects.persist)?;
            held.perform(effects, turn, &self.shared);
            if turn.outcome.is_some() {
                return self.check_end(held, turn);
            }
        }
        // Asked here, so that a panic in it is seen before anything of this batch is done.
        turn.deadline = held.framework.next_deadline();
        if let Some(panicked) = held.framework.scheduler().panicked() {
            let was_stopping = held.framework.is_stopping();
            self.rebuild(held, turn, panicked)?;
            let again = held.still_wanted(None, was_stopping);
            if !again.is_empty() {
                return self.handle_all(held, again.into_iter().map(Input::Command).collect(), turn);
            }
            turn.deadline = Some(self.clock.now());
        }
        Ok(())
    }

    /// Commits what the turn has come to if it would be too much together with these changes, of one event.
    fn make_room(&mut self, turn: &mut Turn, changes: &[Record]) -> Result<(), DriverError> {
        let bytes = changes.iter().map(size).sum::<usize>();
        if turn.bytes + bytes > COMMIT_BYTES && !turn.persist.is_empty() {
            turn.bytes = 0;
            self.commit(&std::mem::take(&mut turn.persist))?;
        }
        turn.bytes += bytes;
        Ok(())
    }

    /// An end that is a matter of the store is told as such.
    fn check_end(&self, held: &Held<S>, turn: &mut Turn) -> Result<(), DriverError> {
        let Some(framework) = held.framework.id().cloned() else { return Ok(()) };
        let store = self.store.name().to_owned();
        match &mut turn.outcome {
            Some(Outcome::EndedByMaster { why }) if held.framework.was_removed() => {
                Err(DriverError::Removed { framework, store, why: std::mem::take(why) })
            }
            Some(Outcome::EndedByMaster { why }) if held.framework.counts().subscriptions == 0 => {
                *why = format!("{why} (framework {framework}, whose id is kept in {store})");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes the scheduler anew from what is kept, if it may be. What it wrote down before it panicked counts.
    fn rebuild(
        &mut self,
        held: &mut Held<S>,
        turn: &mut Turn,
        panicked: Panicked,
    ) -> Result<(), DriverError> {
        self.outside.forget();
        self.panicked(&panicked);
        if let Some(panicked) = held.framework.scheduler_mut().drop_scheduler() {
            self.panicked(&panicked);
        }
        held.rebuilt.retain(|at| at.elapsed() < REBUILDS_WITHIN);
        let rebuilt = held.rebuilt.len();
        if rebuilt >= self.rebuilds || matches!(self.make, Make::Once(_)) {
            return Err(self.broken(panicked, rebuilt));
        }
        let scheduler = std::any::type_name::<S>();
        let Panicked { method, message } = &panicked;
        tracing::error!(
            scheduler,
            method,
            message,
            "the scheduler panicked and is made anew from what is kept"
        );
        held.rebuilt.push_back(Instant::now());
        turn.bytes = 0;
        self.commit(&std::mem::take(&mut turn.persist))?;
        let state = self.load()?;
        let id = state.framework().cloned();
        let scheduler = self.made(&state).map_err(|panicked| self.broken(panicked, rebuilt + 1))?;
        held.before = held.before.and_then(&held.framework.counts());
        held.framework = self.framework(id, scheduler).resuming(&state);
        held.open = false;
        turn.steps.push(Step::Close { last: false });
        Ok(())
    }

    fn panicked(&self, panicked: &Panicked) {
        self.shared.change(|metrics| metrics.panics += 1);
        let Panicked { method, message } = panicked.clone();
        self.shared.tell(Notice::Panicked { method, message });
    }

    fn broken(&self, panicked: Panicked, rebuilt: usize) -> DriverError {
        let Panicked { method, message } = panicked;
        DriverError::Panicked { scheduler: std::any::type_name::<S>(), method, message, rebuilt }
    }

    fn load(&mut self) -> Result<State, DriverError> {
        let (store, watch) = (&mut self.store, &self.shared.watch);
        watch.over("Store::load", || store.load()).map_err(|source| self.not_kept(source))
    }

    fn commit(&mut self, changes: &[Record]) -> Result<(), DriverError> {
        if changes.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let (store, watch) = (&mut self.store, &self.shared.watch);
        let committed = changes
            .iter()
            .try_for_each(check_size)
            .and_then(|()| watch.over("Store::commit", || store.commit(changes)));
        committed.map_err(|source| self.not_kept(source))?;
        self.shared.change(|metrics| {
            metrics.commits += 1;
            metrics.changes += changes.len() as u64;
            metrics.time_in_store += began.elapsed();
        });
        Ok(())
    }

    fn not_kept(&self, source: StoreError) -> DriverError {
        DriverError::Store { store: self.store.name().to_owned(), source }
    }

    fn note(&self, held: &Held<S>) {
        let (subscribed, counts) = (held.framework.is_subscribed(), held.framework.counts());
        self.shared.change(|metrics| {
            metrics.subscribed = subscribed;
            metrics.counts = held.before.and_then(&counts);
        });
    }
}

/// Is it something that the master says once, and that counts whatever the scheduler made of it?
fn is_given_by_the_master(change: &Record) -> bool {
    matches!(change, Record::Framework(Some(_)))
}

/// About what a change takes up in a store, in bytes.
fn size(change: &Record) -> usize {
    /// For a change without a value, ids included.
    const SMALL: usize = 1 << 9;
    match change {
        Record::Put { key, value } => key.len() + value.len(),
        Record::Remove { key } => key.len(),
        _ => SMALL,
    }
}

type Last<S> = (Vec<Step>, Standing, Result<(S, Outcome), DriverError>);

/// Nobody is there to read it.
fn abandoned() -> DriverError {
    DriverError::Thread { why: "its driver was dropped".to_owned() }
}

/// What one batch adds up to.
#[derive(Default)]
struct Turn {
    persist: Vec<Record>,
    /// How much that is, as [`size`] has it.
    bytes: usize,
    steps: Vec<Step>,
    outcome: Option<Outcome>,
    deadline: Option<Timestamp>,
}

/// The framework and its connection, as the thread knows them.
struct Held<S> {
    framework: Framework<Contained<S>>,
    /// The number of the last connection that was asked for.
    connection: u64,
    /// Has it not been given up?
    open: bool,
    /// When the scheduler was made anew lately.
    rebuilt: VecDeque<Instant>,
    /// What those before this one have done.
    before: Counts,
}

impl<S: Scheduler + 'static> Held<S> {
    /// What the framework that has just been made anew must be told again, since the one before went with a panic: the
    /// command it was at, and that it was to be torn down, should that not have been kept. A kill of a task that is not
    /// there is done with.
    fn still_wanted(&self, command: Option<Command>, was_stopping: bool) -> Vec<Command> {
        let stop = (was_stopping && !self.framework.is_stopping()).then_some(Command::TearDown);
        let command = command.filter(|command| match command {
            Command::Kill { task, .. } => self.framework.live_tasks().any(|(live, _)| live == task),
            Command::TearDown | Command::Leave => true,
        });
        stop.into_iter().chain(command).collect()
    }

    fn handle(&mut self, now: Timestamp, input: Input<S>) -> Option<Effects> {
        let event = match input {
            Input::Connection(number, event) => {
                if number != self.connection || !self.open {
                    return None;
                }
                self.open = !matches!(event, Event::Disconnected { .. });
                event
            }
            Input::Command(command) => Event::Command(command),
            Input::Decide(decision) => {
                let decide = |contained: &mut Contained<S>| {
                    contained.call("command", |scheduler| decision(scheduler, now))
                };
                return Some(self.framework.decide(now, decide));
            }
            Input::Tick => Event::Tick,
        };
        Some(self.framework.handle(now, event))
    }

    fn perform(&mut self, effects: Effects, turn: &mut Turn, shared: &Shared) {
        let Effects { persist, connect, send, disconnect, finished, problems } = effects;
        turn.persist.extend(persist);
        for problem in problems {
            tracing::warn!(%problem, "not done");
            shared.problem(problem);
        }
        if connect {
            self.connection += 1;
            self.open = true;
            turn.steps.push(Step::Connect);
        }
        if !send.is_empty() {
            let framework = self.framework.id();
            let requests = send.iter().map(|(id, call)| request_to_wire(*id, framework, call));
            match turn.steps.last_mut() {
                Some(Step::Send(before)) => before.extend(requests),
                _ => turn.steps.push(Step::Send(requests.collect())),
            }
        }
        if disconnect {
            self.open = false;
            turn.steps.push(Step::Close { last: finished.is_some() });
        }
        turn.outcome = finished;
    }

    fn standing(&self, deadline: Option<Timestamp>) -> Standing {
        Standing {
            subscribed: self.framework.is_subscribed(),
            stopping: self.framework.is_stopping(),
            framework: self.framework.id().cloned(),
            deadline,
        }
    }
}
