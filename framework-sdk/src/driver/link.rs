//! Typed commands to a running scheduler, its events, and its answers.
//!
//! Invariants
//! - Events and answers leave once the changes of their occasion are durable; those of an occasion at which the
//!   scheduler panicked never leave.
//! - Commands wait in a bounded queue; once the run has ended they are refused.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use lonja_sdk_core::{Interactive, Outcome, State};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::error::DriverError;
use super::events::{BEHIND, Events};
use super::handle::Handle;
use super::worker::{Decision, Make, Outside};
use super::{Driver, Shared};

/// Commands that may wait for the scheduler.
const COMMANDS: usize = 256;

/// The run has ended, or ends before the scheduler has looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scheduler's run has ended")]
pub struct Ended;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The run has ended.
    #[error("the scheduler's run has ended")]
    Ended,
    /// The scheduler let the [`Reply`] go without an answer, or panicked over it. Whether what was asked for is done is not
    /// known.
    #[error("the scheduler did not answer")]
    Dropped,
}

/// Runs one scheduler that takes commands. Made by [`Driver::interactive`].
pub struct InteractiveDriver<S: Interactive> {
    driver: Driver,
    decisions: mpsc::Receiver<Decision<S>>,
    outside: Speaker<S>,
    /// Kept so that the queue of commands does not end.
    link: Link<S>,
}

/// A way to a running scheduler. Cheap to clone.
pub struct Link<S: Interactive> {
    decisions: mpsc::Sender<Decision<S>>,
    events: Arc<Mutex<Option<broadcast::Sender<S::Event>>>>,
    outbox: Arc<Outbox>,
    shared: Arc<Shared>,
    handle: Handle,
}

impl<S: Interactive> Clone for Link<S> {
    fn clone(&self) -> Self {
        Self {
            decisions: self.decisions.clone(),
            events: Arc::clone(&self.events),
            outbox: Arc::clone(&self.outbox),
            shared: Arc::clone(&self.shared),
            handle: self.handle.clone(),
        }
    }
}

impl Driver {
    /// The same driver for a scheduler that takes commands, and a way to it.
    pub fn interactive<S: Interactive + 'static>(self) -> (InteractiveDriver<S>, Link<S>) {
        let (sender, decisions) = mpsc::channel(COMMANDS);
        let events = Arc::new(Mutex::new(Some(broadcast::Sender::new(BEHIND))));
        let outbox = Arc::new(Outbox::default());
        let outside = Speaker {
            events: Arc::clone(&events),
            waiting: Vec::new(),
            outbox: Arc::clone(&outbox),
            answers: Vec::new(),
        };
        let shared = Arc::clone(&self.shared);
        let link = Link { decisions: sender, events, outbox, shared, handle: self.handle() };
        (InteractiveDriver { driver: self, decisions, outside, link: link.clone() }, link)
    }
}

impl<S: Interactive + 'static> InteractiveDriver<S> {
    /// As [`Driver::run`].
    pub async fn run(self, scheduler: S) -> Result<(S, Outcome), DriverError> {
        self.run_by(Make::Once(Some(scheduler))).await
    }

    /// As [`Driver::run_from`].
    pub async fn run_from<F>(self, make: F) -> Result<(S, Outcome), DriverError>
    where
        F: FnMut(&State) -> S + Send + 'static,
    {
        self.run_by(Make::From(Box::new(make))).await
    }

    async fn run_by(self, make: Make<S>) -> Result<(S, Outcome), DriverError> {
        let end = self.driver.run_by(make, Box::new(self.outside), self.decisions).await;
        drop(self.link);
        end
    }
}

impl<S: Interactive + 'static> Link<S> {
    /// Tells the scheduler something. Waits while too much waits for it. Errors: the run has ended.
    pub async fn send(&self, command: S::Command) -> Result<(), Ended> {
        let decision: Decision<S> = Box::new(move |scheduler, now| scheduler.command(now, command));
        self.decisions.send(decision).await.map_err(|_| Ended)
    }

    /// Asks the scheduler something: `command` makes a command that carries the [`Reply`]. Returns once the scheduler has
    /// answered and what it changed until then is durable.
    pub async fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(Reply<T>) -> S::Command,
    ) -> Result<T, Unanswered> {
        let (sender, answer) = oneshot::channel();
        let reply = Reply { sender, outbox: Some(Arc::clone(&self.outbox)) };
        self.send(command(reply)).await.map_err(|Ended| Unanswered::Ended)?;
        answer
            .await
            .map_err(|_| if self.decisions.is_closed() { Unanswered::Ended } else { Unanswered::Dropped })
    }

    /// What the scheduler tells from now on.
    pub fn events(&self) -> Events<S::Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // Once it has ended there is nothing to hear.
        let queue = events.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
        Events::new(queue, Arc::clone(&self.shared))
    }

    /// A way to its driver.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// A scheduler's answer to one question; see [`Link::ask`]. It may be kept and answered at a later event.
pub struct Reply<T> {
    sender: oneshot::Sender<T>,
    outbox: Option<Arc<Outbox>>,
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reply")
    }
}

impl<T: Send + 'static> Reply<T> {
    /// Answers. The answer leaves once what this event changes is durable.
    pub fn answer(self, answer: T) {
        let sender = self.sender;
        // Whoever asked may have gone.
        let deliver = move || drop(sender.send(answer));
        match self.outbox {
            Some(outbox) => outbox.lock().push(Box::new(deliver)),
            None => deliver(),
        }
    }

    /// One without a driver, for a scheduler's own tests: what is answered is returned by the closure, if anything was.
    pub fn detached() -> (Self, impl FnOnce() -> Option<T>) {
        let (sender, mut answer) = oneshot::channel();
        (Self { sender, outbox: None }, move || answer.try_recv().ok())
    }
}

type Answer = Box<dyn FnOnce() + Send>;

/// Answers that the scheduler has given at the present event.
#[derive(Default)]
struct Outbox(Mutex<Vec<Answer>>);

impl Outbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what the scheduler says.
struct Speaker<S: Interactive> {
    events: Arc<Mutex<Option<broadcast::Sender<S::Event>>>>,
    waiting: Vec<S::Event>,
    outbox: Arc<Outbox>,
    answers: Vec<Answer>,
}

impl<S: Interactive> Outside<S> for Speaker<S> {
    fn take(&mut self, scheduler: &mut S) {
        self.waiting.extend(scheduler.take_events());
        self.answers.append(&mut self.outbox.lock());
    }

    fn forget(&mut self) {
        self.outbox.lock().clear();
    }

    fn pass_on(&mut self) {
        if let Some(events) = &*self.events.lock().unwrap_or_else(PoisonError::into_inner) {
            for event in self.waiting.drain(..) {
                // Nobody may be listening.
                let _heard = events.send(event);
            }
        }
        for answer in self.answers.drain(..) {
            answer();
        }
    }
}

impl<S: Interactive> Drop for Speaker<S> {
    fn drop(&mut self) {
        // Readers hear that there will be no more, though links live on.
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
