//! Who speaks with a scheduler from outside, as an API or a person would: commands go in, and what it tells comes out.
//!
//! What holds here is what the driver promises: a command is an event like any other, one dies with the process that it was
//! given to, and nobody is told what a crash could undo.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use lonja_model::Timestamp;
use lonja_sdk_core::Plan;

type Command<S> = Box<dyn FnOnce(Timestamp, &mut S) -> Plan>;
type Ear<S> = Box<dyn FnMut(&mut S) -> PassOn>;

/// Tells what was taken out of a scheduler to whoever listens.
pub type PassOn = Box<dyn FnOnce()>;

/// The outside of one member, for all lives of its process.
pub struct Outside<S>(Rc<RefCell<Desk<S>>>);

struct Desk<S> {
    commands: VecDeque<Command<S>>,
    ear: Option<Ear<S>>,
}

impl<S> Outside<S> {
    /// Something for it to decide; see [`Cluster::command`](super::Cluster::command), which makes it look.
    pub fn give(&self, command: impl FnOnce(Timestamp, &mut S) -> Plan + 'static) {
        self.0.borrow_mut().commands.push_back(Box::new(command));
    }

    /// From now on `take` takes out after every event what the scheduler has to tell. What it returns is called once that
    /// event's changes are durable, or never.
    pub fn listen(&self, take: impl FnMut(&mut S) -> PassOn + 'static) {
        self.0.borrow_mut().ear = Some(Box::new(take));
    }

    /// The first command that waits.
    pub(super) fn next(&self) -> Option<Command<S>> {
        self.0.borrow_mut().commands.pop_front()
    }

    /// The process that they were given to is no more.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().commands.clear();
    }

    pub(super) fn hear(&self, scheduler: &mut S) -> Option<PassOn> {
        self.0.borrow_mut().ear.as_mut().map(|take| take(scheduler))
    }
}

impl<S> Default for Outside<S> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Desk { commands: VecDeque::new(), ear: None })))
    }
}

impl<S> Clone for Outside<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
