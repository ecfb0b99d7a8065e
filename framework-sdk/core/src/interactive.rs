//! Typed words between a scheduler and the world outside it.
//!
//! A scheduler does no I/O. What comes from a database, an API or a person enters as a command, and what others should
//! know leaves as events; both are types of the scheduler's own, so they cost no encoding and cannot be mistaken.

use lonja_model::Timestamp;

use crate::{Plan, Scheduler};

/// A scheduler that takes commands and gives events.
pub trait Interactive: Scheduler {
    /// What it can be told.
    type Command: Send + 'static;
    /// What it tells. Each reader gets a clone.
    type Event: Clone + Send + 'static;

    /// Somebody outside wants something. As for any other event, [`Scheduler::changes`] is asked afterwards.
    fn command(&mut self, now: Timestamp, command: Self::Command) -> Plan;

    /// What it has to tell since it was last asked, in order. Asked after every event; passed on once what that event
    /// has changed is durable, so that nobody is told what a crash could undo.
    fn take_events(&mut self) -> Vec<Self::Event> {
        Vec::new()
    }
}
