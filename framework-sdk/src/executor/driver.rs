//! The driver: runs an executor against its agent over gRPC.
//!
//! One task owns the executor; what it decides, `Connection` carries. News of work comes in by a [`Handle`].

use lonja_model::Timestamp;
use lonja_model::clock::Clock;
use lonja_sdk_core::executor::{Command, Effects, Event, Execution, Executor, Options, Outcome, Update};
use tokio::sync::mpsc;

use super::connection::{Connection, Door, News};
use super::environment::{Address, Environment, EnvironmentError};
use crate::driver::{fresh_seed, sleep_until};

/// News of work that may wait for the driver.
const COMMANDS: usize = 256;

/// Why a run ended before its executor or its agent said so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The agent's address is none.
    #[error("{address} is not the address of an agent: {why}")]
    Address {
        /// As it was given.
        address: Address,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody answers at the address, and it is no Lonja agent.
    #[error("what answers at {address} is no Lonja agent of this version ({why})")]
    NoAgent {
        /// The address.
        address: Address,
        /// What it said.
        why: String,
    },
}

/// Runs one executor against its agent.
pub struct Driver {
    environment: Environment,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
}

/// A way to a running executor, for the work that it has started. Cheap to clone; what it brings is forgotten if the
/// run has ended.
///
/// It waits while the agent has much to store: work that is faster than its agent is slowed down, and memory stays
/// bounded.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Says what has become of a task. What cannot be said, the executor is told by
    /// [`Executor::refused`](super::Executor::refused).
    pub async fn update(&self, update: Update) {
        self.put(Command::Update(update)).await;
    }

    /// Sends bytes to the framework, at most once.
    pub async fn message(&self, data: impl Into<Vec<u8>>) {
        self.put(Command::Message(data.into())).await;
    }

    /// Ends the run, as [`Plan::end`](super::Plan::end) does.
    pub async fn end(&self) {
        self.put(Command::End).await;
    }

    async fn put(&self, command: Command) {
        // The run has ended: nothing is left to be said.
        let _ended = self.commands.send(command).await;
    }
}

impl Driver {
    /// A driver for an executor that was started with this environment.
    pub fn new(environment: Environment) -> Self {
        Self { environment, commands: mpsc::channel(COMMANDS) }
    }

    /// A driver for the executor that this process is. Errors: those of [`Environment::of_process`].
    pub fn from_environment() -> Result<Self, EnvironmentError> {
        Environment::of_process().map(Self::new)
    }

    /// What the agent has told.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A way to this driver while it runs.
    pub fn handle(&self) -> Handle {
        Handle { commands: self.commands.0.clone() }
    }

    /// Runs until the agent, the executor or a [`Handle`] ends it, or the agent stays away. Returns the executor and
    /// how it ended; the process should end soon after, with whatever work it still does.
    pub async fn run<E: Executor>(self, executor: E) -> Result<(E, Outcome), DriverError> {
        let Environment { framework, executor: id, address, token, .. } = self.environment;
        let door = Door::new(&address, &token);
        let door = door.map_err(|why| DriverError::Address { address: address.clone(), why })?;
        let clock = Clock::start();
        let options = Options {
            framework,
            executor: id,
            checkpoint: self.environment.checkpoint,
            recovery_timeout: self.environment.recovery_timeout,
            longest_pause: self.environment.longest_pause,
            shutdown_grace: self.environment.shutdown_grace,
            seed: fresh_seed(),
        };
        let run = Run {
            execution: Execution::new(clock.now(), options.clone(), executor),
            options,
            clock,
            door,
            connection: Connection::None,
            commands: self.commands,
            address,
        };
        run.drive().await
    }
}

struct Run<E> {
    execution: Execution<E>,
    options: Options,
    clock: Clock,
    door: Door,
    connection: Connection,
    /// The sender is kept so that the receiver never ends.
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    address: Address,
}

impl<E: Executor> Run<E> {
    async fn drive(mut self) -> Result<(E, Outcome), DriverError> {
        loop {
            let event = match self.next_news().await {
                News::Event(event) => event,
                News::NoAgent(why) => return Err(DriverError::NoAgent { address: self.address, why }),
            };
            match &event {
                Event::Disconnected { why } => {
                    tracing::info!(address = %self.address, why, "connection to the agent lost");
                }
                Event::Refused { why } => {
                    tracing::error!(address = %self.address, why, "the agent does not let this executor in");
                }
                Event::Received(lonja_model::execution::Event::Error(why)) => {
                    tracing::warn!(address = %self.address, why, "the agent ended the subscription");
                }
                Event::Connected | Event::Received(_) | Event::Command(_) | Event::Tick => {}
            }
            let effects = self.execution.handle(self.clock.now(), event);
            if let Some(outcome) = self.perform(effects).await {
                return Ok((self.execution.into_executor(), outcome));
            }
        }
    }

    async fn next_news(&mut self) -> News {
        let deadline = self.execution.next_deadline();
        let deadline = deadline.map(|deadline: Timestamp| self.clock.instant(deadline).into());
        let takes_more = !self.execution.is_full();
        tokio::select! {
            news = self.connection.next() => news,
            Some(command) = self.commands.1.recv(), if takes_more => News::Event(Event::Command(command)),
            () = sleep_until(deadline) => News::Event(Event::Tick),
        }
    }

    async fn perform(&mut self, effects: Effects) -> Option<Outcome> {
        let Effects { connect, send, disconnect, finished, problems } = effects;
        for problem in problems {
            tracing::warn!(executor = %self.options.executor, %problem, "not done");
        }
        if connect {
            self.connection = Connection::make(&self.door);
        }
        for call in &send {
            self.connection.send(&self.options.framework, &self.options.executor, call).await;
        }
        if disconnect && finished.is_some() {
            self.connection.flush_and_close().await;
        } else if disconnect {
            self.connection.close();
        }
        finished
    }
}
