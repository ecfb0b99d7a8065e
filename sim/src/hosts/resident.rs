//! Who lives on a framework's machine: the simulator's own batch scheduler, or a guest.
//!
//! A [`Resident`] lasts as long as the world; each life of its process is a [`Speaker`]. A guest is any scheduler of the
//! SDK. It keeps what it must not forget as [`State`], and may do wrong: that is a [`Fall`] and not a broken promise of the
//! cluster.

use std::any::Any;
use std::time::Duration;

use lonja_model::scheduler;
use lonja_model::{FrameworkInfo, Role, TaskId, TaskState, Timestamp};
use lonja_sdk_core::{Effects, Event, State};

use crate::batch::Client;
use crate::cluster::PassOn;
use crate::hosts::Core;
use crate::notes::{Note, Notebook};
use crate::workload::Plan;

/// Who lives on a framework's machine, over all lives of its process.
pub(crate) enum Resident {
    /// The simulator's own, with what it wants.
    Batch(Plan),
    /// Somebody else's scheduler.
    Guest(Box<dyn Guest>),
}

/// Somebody else's scheduler.
pub(crate) trait Guest {
    /// The type of the scheduler.
    fn name(&self) -> &str;
    /// What it says of itself.
    fn info(&self) -> &FrameworkInfo;
    /// A process of it starts on what is durable. Errors: it cannot.
    fn start(&mut self, now: Timestamp, state: &State, seed: u64) -> Result<Box<dyn Life>, Fall>;
}

/// One life of a guest.
pub(crate) trait Life {
    fn handle(&mut self, now: Timestamp, event: Event) -> Wishes;
    fn next_deadline(&self) -> Option<Timestamp>;
    /// The library's own promises.
    fn check(&self) -> Result<(), String>;
    /// Tasks that are alive as far as the library knows.
    fn live_tasks(&self) -> Vec<(TaskId, TaskState)>;
    /// The scheduler itself.
    fn scheduler(&self) -> &dyn Any;
}

/// What a guest did wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fall {
    /// It panicked.
    Panicked(String),
    /// Its plan could not be carried out.
    Impossible(String),
    /// It broke a promise of its own.
    Broke(String),
}

/// What a framework wants done, in field order.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) persist: Vec<Note>,
    pub(crate) effects: Effects,
    pub(crate) fall: Option<Fall>,
    /// What it tells whoever listens, once that rests on nothing that a crash could undo.
    pub(crate) told: Option<PassOn>,
}

impl Resident {
    /// Its name, to tell it from others.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Batch(plan) => &plan.name,
            Self::Guest(guest) => guest.name(),
        }
    }

    /// For which roles it wants offers.
    pub(crate) fn roles(&self) -> Vec<Role> {
        match self {
            Self::Batch(plan) => vec![plan.role()],
            Self::Guest(guest) => guest.info().roles.iter().cloned().collect(),
        }
    }

    /// How many jobs it must bring to an end.
    pub(crate) fn jobs(&self) -> u64 {
        match self {
            Self::Batch(plan) => u64::try_from(plan.jobs.len()).unwrap_or(u64::MAX),
            Self::Guest(_) => 0,
        }
    }

    /// A process of it starts on what is durable, so long after its first ever start.
    pub(crate) fn start(
        &mut self,
        now: Timestamp,
        age: Duration,
        notes: Notebook,
        seed: u64,
    ) -> Result<Speaker, Fall> {
        match self {
            Self::Batch(plan) => {
                let client = Client::new(now, now - age, plan.clone(), notes, seed);
                Ok(Speaker::Batch(Box::new(client)))
            }
            Self::Guest(guest) => guest.start(now, &notes.state, seed).map(Speaker::Guest),
        }
    }
}

/// One life of a framework's process.
pub(crate) enum Speaker {
    Batch(Box<Client>),
    Guest(Box<dyn Life>),
}

impl Speaker {
    /// The library's own promises.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Batch(client) => client.check(),
            Self::Guest(life) => life.check(),
        }
    }
}

impl Core for Speaker {
    type Event = Event;
    type Effects = Wishes;
    const BATCHES: bool = false;

    fn handle(&mut self, now: Timestamp, event: Event) -> Wishes {
        match self {
            Self::Batch(client) => client.handle(now, event),
            Self::Guest(life) => life.handle(now, event),
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Batch(client) => client.next_deadline(),
            Self::Guest(life) => life.next_deadline(),
        }
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn append(all: &mut Wishes, later: Wishes) {
        *all = later;
    }

    fn must_commit(wishes: &Wishes) -> bool {
        !wishes.persist.is_empty() && wishes.fall.is_none()
    }

    fn is_keep_alive(event: &Event) -> bool {
        matches!(event, Event::Tick | Event::Received(scheduler::Event::Heartbeat))
    }

    fn only_keeps_alive(wishes: &Wishes) -> bool {
        let Effects { connect, send, disconnect, .. } = &wishes.effects;
        send.is_empty() && !connect && !disconnect && wishes.fall.is_none()
    }
}
