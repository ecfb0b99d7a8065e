//! Any scheduler of the SDK as a guest of the simulator.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use lonja_model::constraints::OfferConstraints;
use lonja_model::{FrameworkInfo, TaskId, TaskState, Timestamp};
use lonja_sdk_core::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use lonja_sdk_core::{
    Event, Framework, Options, Outcome, PlanError, Problem, Record, Scheduler, State, invariants,
};

use super::Outside;
use crate::hosts::resident::{Fall, Guest, Life, Wishes};
use crate::notes::Note;

/// What a scheduler must never break, looked at after everything that happens to it.
pub struct Promises<S>(Rc<RefCell<Vec<Promise<S>>>>);

type Promise<S> = Box<dyn Fn(&S) -> Result<(), String>>;

impl<S> Promises<S> {
    /// One more.
    pub fn add(&self, promise: impl Fn(&S) -> Result<(), String> + 'static) {
        self.0.borrow_mut().push(Box::new(promise));
    }

    fn check(&self, scheduler: &S) -> Result<(), String> {
        self.0.borrow().iter().try_for_each(|promise| promise(scheduler))
    }
}

impl<S> Default for Promises<S> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<S> Clone for Promises<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A framework of the cluster: what it says of itself, and how its scheduler is made of what it kept.
pub struct Member(pub(crate) Box<dyn Guest>);

impl Member {
    /// A framework whose scheduler is made by `make`, anew for each life of its process. `impossible_plans`: it may make
    /// plans that cannot be carried out, and goes on as in production.
    pub fn new<S: Scheduler + 'static>(
        info: FrameworkInfo,
        constraints: OfferConstraints,
        make: impl FnMut(&State) -> S + 'static,
        promises: Promises<S>,
        outside: Outside<S>,
        impossible_plans: Rc<Cell<bool>>,
    ) -> Self {
        let name = short_name(std::any::type_name::<S>());
        let make = Box::new(make);
        Self(Box::new(Visitor { name, info, constraints, make, promises, outside, impossible_plans }))
    }
}

/// A type's name without the paths of its modules.
fn short_name(path: &str) -> String {
    let plain = path.split('<').next().unwrap_or(path);
    plain.rsplit("::").next().unwrap_or(plain).to_owned()
}

struct Visitor<S> {
    name: String,
    info: FrameworkInfo,
    constraints: OfferConstraints,
    make: Box<dyn FnMut(&State) -> S>,
    promises: Promises<S>,
    outside: Outside<S>,
    impossible_plans: Rc<Cell<bool>>,
}

impl<S: Scheduler + 'static> Guest for Visitor<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn info(&self) -> &FrameworkInfo {
        &self.info
    }

    fn start(&mut self, now: Timestamp, state: &State, seed: u64) -> Result<Box<dyn Life>, Fall> {
        self.outside.forget();
        let scheduler = catch_unwind(AssertUnwindSafe(|| (self.make)(state)));
        let scheduler =
            scheduler.map_err(|panic| Fall::Panicked(format!("{}, at its start", words(&*panic))))?;
        let options = Options {
            info: self.info.clone(),
            id: state.framework().cloned(),
            constraints: self.constraints.clone(),
            seed,
        };
        Ok(Box::new(Stay {
            framework: Framework::new(now, options, scheduler).resuming(state),
            promises: self.promises.clone(),
            outside: self.outside.clone(),
            impossible_plans: self.impossible_plans.clone(),
            fallen: RefCell::default(),
        }))
    }
}

struct Stay<S> {
    framework: Framework<S>,
    promises: Promises<S>,
    outside: Outside<S>,
    impossible_plans: Rc<Cell<bool>>,
    /// It panicked when it was asked for its deadline.
    fallen: RefCell<Option<Fall>>,
}

impl<S: Scheduler + 'static> Life for Stay<S> {
    fn handle(&mut self, now: Timestamp, event: Event) -> Wishes {
        if let Some(fall) = self.fallen.take() {
            return Wishes { fall: Some(fall), ..Wishes::default() };
        }
        // Whoever gives a command wakes the process; what else it is woken for comes right after.
        let command = matches!(event, Event::Tick).then(|| self.outside.next()).flatten();
        let about = if command.is_some() { ("when it was commanded", "") } else { about(&event) };
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let effects = match command {
                Some(command) => self.framework.decide(now, |scheduler| command(now, scheduler)),
                None => self.framework.handle(now, event),
            };
            (effects, self.outside.hear(self.framework.scheduler_mut()))
        }));
        let (mut effects, told) = match handled {
            Ok(handled) => handled,
            Err(panic) => {
                let fall = Fall::Panicked(format!("{}, {}{}", words(&*panic), about.0, about.1));
                return Wishes { fall: Some(fall), ..Wishes::default() };
            }
        };
        let changes = std::mem::take(&mut effects.persist);
        let fall = too_large(&changes).or_else(|| self.judge(&effects.problems));
        let mut persist: Vec<Note> = changes.into_iter().map(Note::Change).collect();
        if effects.finished == Some(Outcome::TornDown) {
            persist.push(Note::Gone);
        }
        Wishes { persist, effects, fall, told }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let deadline = catch_unwind(AssertUnwindSafe(|| self.framework.next_deadline()));
        deadline.unwrap_or_else(|panic| {
            let why = format!("{}, asked for its next deadline", words(&*panic));
            self.fallen.replace(Some(Fall::Panicked(why)));
            Some(Timestamp::ZERO)
        })
    }

    fn check(&self) -> Result<(), String> {
        invariants::check(&self.framework)
    }

    fn live_tasks(&self) -> Vec<(TaskId, TaskState)> {
        self.framework.live_tasks().map(|(task, state)| (task.clone(), state)).collect()
    }

    fn scheduler(&self) -> &dyn Any {
        self.framework.scheduler()
    }
}

impl<S: Scheduler> Stay<S> {
    fn judge(&self, problems: &[Problem]) -> Option<Fall> {
        let impossible = problems.iter().find_map(|problem| match problem {
            Problem::Plan(error) if is_its_own_fault(error) => Some(error.to_string()),
            _ => None,
        });
        let impossible = impossible.filter(|_| !self.impossible_plans.get()).map(Fall::Impossible);
        impossible.or_else(|| {
            let promises = AssertUnwindSafe(|| self.promises.check(self.framework.scheduler()));
            match catch_unwind(promises) {
                Ok(kept) => kept.err().map(Fall::Broke),
                Err(panic) => Some(Fall::Broke(words(&*panic))),
            }
        })
    }
}

/// Could the scheduler have known? That an offer or a task has ended meanwhile it may learn from the refusal.
fn is_its_own_fault(error: &PlanError) -> bool {
    !matches!(error, PlanError::OfferGone(_) | PlanError::UnknownTask(_) | PlanError::MessageLost(_))
}

fn too_large(changes: &[Record]) -> Option<Fall> {
    let large = |change: &Record| match change {
        Record::Put { key, value } => (key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES)
            .then(|| format!("a change of {} bytes under a key of {}", value.len(), key.len())),
        _ => None,
    };
    changes.iter().find_map(large).map(Fall::Impossible)
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}

/// Which event a scheduler was at.
fn about(event: &Event) -> (&'static str, &'static str) {
    match event {
        Event::Connected => ("when it was connected", ""),
        Event::Disconnected { .. } => ("when it was disconnected", ""),
        Event::Received(event) => ("when it was told of ", crate::words::event_name(event)),
        Event::Answered { .. } => ("when the master answered a call", ""),
        Event::Command(_) => ("when it was commanded", ""),
        Event::Tick => ("at its deadline", ""),
    }
}
