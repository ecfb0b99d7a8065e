//! The driver: runs a scheduler against a master over gRPC.
//!
//! One task owns the framework; what it decides, `Connection` carries. Commands come in by a [`Handle`].

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use lonja_model::clock::Clock;
use lonja_model::time::earliest;
use lonja_model::{FrameworkId, TaskId, Timestamp};
use lonja_sdk_core::{Command, Effects, Event, Framework, Options, Outcome, Scheduler};
use tokio::sync::mpsc;
use tonic::transport::Endpoint;

use crate::FrameworkOptions;
use crate::connection::{Connection, News, endpoint};

/// Commands that may wait for the driver.
const COMMANDS: usize = 256;

/// How long the master may take to confirm a tear-down, unless the driver is told otherwise.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Why a run ended before its scheduler said so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The address is none.
    #[error("{master:?} is not the address of a master; write http://host:port")]
    Address {
        /// As it was given.
        master: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// No master was reached in the time given.
    #[error(
        "no master answers at {master} after {waited:?}: {why}; is it running? see `lonja master` or `lonja dev`"
    )]
    Unreachable {
        /// The address.
        master: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last try came to.
        why: String,
    },
    /// Somebody answers at the address, and it is no Lonja master.
    #[error(
        "what answers at {master} is no Lonja master of this version ({why}); check the address and the port"
    )]
    NoMaster {
        /// The address.
        master: String,
        /// What it said.
        why: String,
    },
    /// The framework was to be torn down, and no master has confirmed it in time.
    #[error(
        "framework {framework} may not be torn down: no master confirmed it at {master} within {waited:?}; \
         its tasks end once its failover timeout of {failover_timeout:?} has passed"
    )]
    NotTornDown {
        /// Which.
        framework: FrameworkId,
        /// The address.
        master: String,
        /// How long it was tried.
        waited: Duration,
        /// How long the master keeps it.
        failover_timeout: Duration,
    },
}

/// Runs one scheduler against one master.
pub struct Driver {
    master: String,
    options: FrameworkOptions,
    wait: Option<Duration>,
    stop_within: Duration,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
}

/// A way to a running driver. Cheap to clone; what it asks for is forgotten if the run has ended.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Ends a task; `grace` overrides the task's own.
    pub async fn kill(&self, task: TaskId, grace: Option<Duration>) {
        self.put(Command::Kill { task, grace }).await;
    }

    /// Ends the framework and its tasks.
    pub async fn tear_down(&self) {
        self.put(Command::TearDown).await;
    }

    /// Ends the run and leaves the tasks.
    pub async fn leave(&self) {
        self.put(Command::Leave).await;
    }

    async fn put(&self, command: Command) {
        // The run has ended: nothing is left to be done.
        let _ended = self.commands.send(command).await;
    }
}

impl Driver {
    /// A driver for the master at `master`, as `http://host:port` or `host:port`.
    pub fn new(master: impl Into<String>, options: FrameworkOptions) -> Self {
        let commands = mpsc::channel(COMMANDS);
        Self { master: master.into(), options, wait: None, stop_within: STOP_WITHIN, commands }
    }

    /// Gives up if no master has answered the first subscription within `wait`; without this, never.
    #[must_use]
    pub fn wait_for_master(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Gives up if no master has confirmed a tear-down within `time`; without this, 10 seconds.
    #[must_use]
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.stop_within = time;
        self
    }

    /// A way to this driver while it runs.
    pub fn handle(&self) -> Handle {
        Handle { commands: self.commands.0.clone() }
    }

    /// Runs until the scheduler, the master or a [`Handle`] ends it. Returns the scheduler and how it ended.
    /// Dropping the future drops the connection; the master then gives the framework its failover timeout.
    pub async fn run<S: Scheduler>(self, scheduler: S) -> Result<(S, Outcome), DriverError> {
        let address = |source| DriverError::Address { master: self.master.clone(), source };
        let endpoint = endpoint(&self.master).map_err(address)?;
        let clock = Clock::start();
        let now = clock.now();
        let failover_timeout = self.options.info.failover_timeout;
        let FrameworkOptions { info, id, constraints } = self.options;
        let options = Options { info, id, constraints, seed: fresh_seed() };
        let run = Run {
            framework: Framework::new(now, options, scheduler),
            clock,
            endpoint,
            connection: Connection::None,
            commands: self.commands,
            wait: self.wait.map(|wait| (now + wait, wait)),
            stop_within: self.stop_within,
            stop: None,
            failover_timeout,
            last_failure: "no try has ended yet".to_owned(),
            master: self.master,
        };
        run.drive().await
    }
}

/// Randomness that differs from process to process.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

struct Run<S> {
    framework: Framework<S>,
    clock: Clock,
    endpoint: Endpoint,
    connection: Connection,
    /// The sender is kept so that the receiver never ends.
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    /// Until when the first subscription is waited for, and how long that is.
    wait: Option<(Timestamp, Duration)>,
    stop_within: Duration,
    /// Until when the confirmation of a tear-down is waited for.
    stop: Option<Timestamp>,
    failover_timeout: Duration,
    last_failure: String,
    master: String,
}

impl<S: Scheduler> Run<S> {
    async fn drive(mut self) -> Result<(S, Outcome), DriverError> {
        loop {
            let event = match self.next_news().await {
                News::Event(event) => event,
                News::NoMaster(why) => return Err(DriverError::NoMaster { master: self.master, why }),
            };
            let now = self.clock.now();
            if let Event::Disconnected { why } = &event {
                tracing::info!(master = self.master, why, "connection to the master lost");
                self.last_failure.clone_from(why);
            }
            let effects = self.framework.handle(now, event);
            if let Some(outcome) = self.perform(effects).await {
                return Ok((self.framework.into_scheduler(), outcome));
            }
            self.give_up(now)?;
        }
    }

    async fn next_news(&mut self) -> News {
        let own = earliest(self.stop, self.wait.map(|(at, _)| at));
        let deadline = earliest(self.framework.next_deadline(), own);
        let deadline = deadline.map(|deadline| self.clock.instant(deadline).into());
        tokio::select! {
            news = self.connection.next() => news,
            Some(command) = self.commands.1.recv() => News::Event(Event::Command(command)),
            () = sleep_until(deadline) => News::Event(Event::Tick),
        }
    }

    /// Ends the run if what it waits for has not come in time.
    fn give_up(&mut self, now: Timestamp) -> Result<(), DriverError> {
        if self.framework.is_subscribed() {
            self.wait = None;
        }
        if let Some((_, waited)) = self.wait.filter(|(at, _)| *at <= now) {
            let (master, why) = (self.master.clone(), self.last_failure.clone());
            return Err(DriverError::Unreachable { master, waited, why });
        }
        if !self.framework.is_stopping() {
            return Ok(());
        }
        let until = *self.stop.get_or_insert(now + self.stop_within);
        if until > now {
            return Ok(());
        }
        let (master, waited) = (self.master.clone(), self.stop_within);
        let failover_timeout = self.failover_timeout;
        Err(match self.framework.id().cloned() {
            Some(framework) => DriverError::NotTornDown { framework, master, waited, failover_timeout },
            None => DriverError::Unreachable { master, waited, why: self.last_failure.clone() },
        })
    }

    async fn perform(&mut self, effects: Effects) -> Option<Outcome> {
        let Effects { persist: _, connect, send, disconnect, finished, problems } = effects;
        for problem in problems {
            tracing::warn!(master = self.master, %problem, "not done");
        }
        if connect {
            self.connection = Connection::make(self.endpoint.clone());
        }
        let framework = self.framework.id();
        for (id, call) in &send {
            self.connection.send(*id, framework, call).await;
        }
        if disconnect && finished.is_some() {
            self.connection.flush_and_close().await;
        } else if disconnect {
            self.connection.close();
        }
        finished
    }
}

pub(crate) async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
