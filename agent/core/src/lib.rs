//! The agent's decisions as a deterministic state machine.
//!
//! An [`Agent`] registers with the master, takes tasks on, says which containers to launch and to kill,
//! and reports what became of each task until its framework has acknowledged it. It does no I/O: events
//! go in, [`Effects`] come out (`docs/design.md`, D2). The same code runs in the daemon and the simulator.
//!
//! Invariants (each a function in [`invariants`])
//! - A task is launched at most once, and only after its record is in the checkpoint (INV-15, INV-20).
//! - The tasks that have not ended need no more than the agent has (INV-2, the agent's own view).
//! - Of each task one update is under way at a time, the oldest; the next follows its acknowledgement (INV-19).
//! - A kill that was accepted stays accepted over restarts (INV-23).
//! - Reservations and volumes are made whole or not at all, durably before they are told (INV-8, INV-10).
//! - A custom executor that runs is subscribed, or will be given up in time, or was left by its connection.
//! - A task that is to be looked at is, one look at a time, until it is being ended.
//! - After recovery each record has a container or a terminal state, and each container a record (INV-26).
//!
//! Reading order: [`event`], [`effects`], then the modules in the order below.

pub mod compatibility;
pub mod config;
pub mod effects;
pub mod event;

mod book;
mod company;
mod deadlines;
mod draws;
mod ledger;
mod room;
mod total;
mod turn;

mod checks;
mod custom;
mod endings;
mod executors;
mod groups;
mod history;
mod kills;
mod launches;
mod operations;
mod orders;
mod recovery;
mod registration;
mod status_updates;

mod view;

pub mod invariants;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;

use lonja_model::agent::AgentInfo;
use lonja_model::checkpoint::Identity;
use lonja_model::link::ToAgent;
use lonja_model::{AgentId, Timestamp};

pub use checks::{LONGEST_TIMEOUT, SHORTEST_INTERVAL};
pub use compatibility::{Incompatible, Policy, compatible, keeps_ground};
pub use config::{Config, Entropy, MAX_RECORD_BYTES, MAX_RECORD_BYTES_OVER};
pub use custom::{Admitted, CallRefusal, Caller};
pub use effects::{
    CheckOrder, Effects, ExecutorOrder, HangUp, KillContainer, LaunchContainer, Note, ResizeContainer,
    RunCheck, Runs, Together, VolumeOrder,
};
pub use event::{
    CheckResult, ContainerExit, DiskBreach, Event, HiddenUse, LaunchFailure, MemoryBreach, Recovery,
    WaitStatus,
};
pub use history::{CompletedExecutor, CompletedTask};
pub use view::{ExecutorView, Stage, Tally, TaskView};

use book::Book;
use deadlines::{Deadline, Deadlines};
use draws::Draws;
use operations::Operations;
use orders::Manner;
use registration::Registration;
use turn::Turn;

/// One agent. See the crate.
///
/// The shell gives it one event at a time and carries the effects out; one task owns it.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    phase: Phase,
    identity: Option<Identity>,
    registration: Registration,
    book: Book,
    operations: Operations,
    deadlines: Deadlines,
    draws: Draws,
}

/// Where an agent's own life stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It waits to be told what it remembers.
    Born,
    /// It works.
    Working,
    /// It asked to be shut down and does nothing more.
    Stopped,
}

impl Agent {
    /// An agent that remembers nothing yet: its first event must be [`Event::Recovered`].
    ///
    /// `entropy` is fresh for every start of the process: names of containers and updates are drawn from it.
    pub fn new(config: Config, entropy: Entropy) -> Self {
        let draws = Draws::new(entropy, &config.instance);
        let mut book = Book::new(config.info.resources.clone());
        book.history = history::History::new(config.max_completed);
        Self {
            config,
            phase: Phase::Born,
            identity: None,
            registration: Registration::default(),
            book,
            operations: Operations::default(),
            deadlines: Deadlines::default(),
            draws,
        }
    }

    /// Takes in one event and says what the shell must do about it.
    ///
    /// # Panics
    /// If the first event is not [`Event::Recovered`], or a later one is: the shell's mistake.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        let mut effects = Effects::default();
        match (self.phase, matches!(event, Event::Recovered { .. })) {
            (Phase::Born, first) => assert!(first, "an agent's first event is Recovered"),
            (Phase::Working, again) => assert!(!again, "an agent recovers once"),
            (Phase::Stopped, _) => return effects,
        }
        self.phase = Phase::Working;
        let mut turn = Turn {
            now,
            config: &self.config,
            identity: &mut self.identity,
            registration: &mut self.registration,
            book: &mut self.book,
            operations: &mut self.operations,
            deadlines: &mut self.deadlines,
            draws: &mut self.draws,
            effects: &mut effects,
        };
        match event {
            Event::Recovered { checkpoint, containers } => {
                recovery::recover(&mut turn, checkpoint, containers)
            }
            Event::LinkUp => registration::link_up(&mut turn),
            Event::LinkDown => registration::link_down(&mut turn),
            Event::Received(message) => receive(&mut turn, message),
            Event::ContainerStarted { container, pid } => launches::started(&mut turn, &container, pid),
            Event::ContainerFailed { container, reason, message } => {
                endings::launch_failed(&mut turn, &container, reason, &message);
            }
            Event::ContainerExited { container, exit } => endings::exited(&mut turn, &container, &exit),
            Event::VolumesMade { number, result } => operations::volumes_made(&mut turn, number, result),
            Event::CheckEnded { container, kind, number, result } => {
                checks::ended(&mut turn, &container, kind, number, &result);
            }
            Event::ExecutorCalled { container, connection, call } => {
                custom::called(&mut turn, container, connection, *call);
            }
            Event::ExecutorLeft { container, connection } => custom::left(&mut turn, &container, connection),
            Event::Tick => {}
        }
        fire_due(&mut turn);
        self.book.flush(&mut effects);
        self.operations.flush(&mut effects);
        if effects.shutdown.is_some() {
            self.phase = Phase::Stopped;
        }
        effects
    }

    /// When to send [`Event::Tick`], should nothing happen before; it may have passed already. O(1).
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Working => self.deadlines.next(),
            Phase::Born | Phase::Stopped => None,
        }
    }

    /// What the agent says of itself; without its id.
    pub fn info(&self) -> &AgentInfo {
        &self.config.info
    }

    /// The agent's id, once a master has given one.
    pub fn id(&self) -> Option<&AgentId> {
        self.identity.as_ref().map(|identity| &identity.agent)
    }

    /// Does a master know the agent over the present link?
    pub fn is_registered(&self) -> bool {
        self.registration.is_registered()
    }
}

/// One message of the master.
fn receive(turn: &mut Turn<'_>, message: ToAgent) {
    if !turn.registration.accepts(&message) {
        turn.effects.notes.push(Note::Unexpected { message: name_of(&message) });
        return;
    }
    match message {
        ToAgent::Registered { agent, ping_interval, max_missed_pings } => {
            registration::registered(turn, agent, ping_interval, max_missed_pings);
        }
        ToAgent::Refused { reason, permanent } => registration::refused(turn, reason, permanent),
        ToAgent::Ping { sequence } => registration::ping(turn, sequence),
        ToAgent::Run { framework, info, role, tasks } => {
            orders::run(turn, orders::Run { framework, info, role, tasks, manner: Manner::Alone });
        }
        ToAgent::RunInExecutor { framework, info, role, tasks, starts_executor, as_group } => {
            let manner = Manner::InExecutor { starts_executor, as_group };
            orders::run(turn, orders::Run { framework, info, role, tasks, manner });
        }
        ToAgent::Kill { framework, task, grace } => kills::kill(turn, (framework, task), grace),
        ToAgent::ShutdownFramework { framework } => kills::shutdown_framework(turn, &framework),
        ToAgent::Acknowledge { framework, task, update } => {
            status_updates::acknowledge(turn, (framework, task), update);
        }
        ToAgent::Apply { operation } => orders::apply(turn, operation),
        ToAgent::AcknowledgeOperation { operation } => operations::acknowledge(turn, operation),
        ToAgent::ResendUpdates { framework } => status_updates::resend_all_of(turn, &framework),
        ToAgent::Message { framework, executor, data } => custom::message(turn, framework, executor, data),
        ToAgent::ShutdownExecutor { framework, executor } => {
            custom::shut_down_one(turn, (framework, executor))
        }
    }
}

/// Deals with every deadline that has come, whatever the event was.
fn fire_due(turn: &mut Turn<'_>) {
    while let Some(deadline) = turn.deadlines.pop_due(turn.now) {
        match deadline {
            Deadline::Register => registration::register_again(turn),
            Deadline::Silence => registration::silence(turn),
            Deadline::Resend(key) => status_updates::resend(turn, &key),
            Deadline::ResendOperation(uuid) => operations::tell_again(turn, uuid),
            Deadline::Completion(key) => kills::out_of_time(turn, &key),
            Deadline::Check(key, kind) => checks::due(turn, &key, kind),
            Deadline::Subscription(key) => custom::late(turn, &key),
            Deadline::Shutdown(key) => custom::out_of_grace(turn, &key),
        }
    }
}

/// The name of a message, for notes.
fn name_of(message: &ToAgent) -> &'static str {
    match message {
        ToAgent::Registered { .. } => "Registered",
        ToAgent::Refused { .. } => "Refused",
        ToAgent::Run { .. } => "Run",
        ToAgent::RunInExecutor { .. } => "RunInExecutor",
        ToAgent::Kill { .. } => "Kill",
        ToAgent::Acknowledge { .. } => "Acknowledge",
        ToAgent::ResendUpdates { .. } => "ResendUpdates",
        ToAgent::ShutdownFramework { .. } => "ShutdownFramework",
        ToAgent::Message { .. } => "Message",
        ToAgent::ShutdownExecutor { .. } => "ShutdownExecutor",
        ToAgent::Ping { .. } => "Ping",
        ToAgent::Apply { .. } => "Apply",
        ToAgent::AcknowledgeOperation { .. } => "AcknowledgeOperation",
    }
}
