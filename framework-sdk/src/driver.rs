//! The driver: runs a scheduler against a master over gRPC.
//!
//! A thread of its own has the scheduler and the store ([`worker`]); the driver's future carries what it decides
//! ([`run`]), and stays awake whatever the scheduler does. Commands come in by a [`Handle`].

mod address;
mod contained;
mod error;
mod events;
mod handle;
mod kept;
mod link;
mod masters;
mod metrics;
mod notice;
mod run;
mod shared;
mod worker;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::clock::Clock;
use lonja_sdk_core::{Command, Outcome, Scheduler, State};
use tokio::sync::mpsc;

pub use error::DriverError;
pub use events::{Events, Missed};
pub use handle::Handle;
pub use link::{Ended, InteractiveDriver, Link, Reply, Unanswered};
pub use masters::master_url;
pub use metrics::Metrics;
pub use notice::Notice;

use crate::FrameworkOptions;
use crate::store::{MemoryStore, Store};
use kept::Kept;
use masters::Masters;
use run::{Patience, Run};
use shared::Shared;
use worker::{Decision, Make, Nobody, Outside, Worker};

/// How long the master may take to confirm a tear-down, unless the driver is told otherwise.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How often within a minute a scheduler that panics is made anew, unless the driver is told otherwise.
const REBUILDS: usize = 3;

/// Runs one scheduler against the masters of one cluster.
pub struct Driver {
    masters: String,
    options: FrameworkOptions,
    wait: Option<Duration>,
    stop_within: Duration,
    rebuilds: usize,
    store: Box<dyn Store>,
    shared: Arc<Shared>,
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    /// Dropped with the driver, whether it ran or not.
    ending: Ending,
}

impl Driver {
    /// A driver for the master at `masters`, as `http://HOST:PORT` or `HOST:PORT`; several of one cluster with commas
    /// between. They are tried in turn, the one that answered last first.
    pub fn new(masters: impl Into<String>, options: FrameworkOptions) -> Self {
        let shared = Arc::new(Shared::default());
        let (handle, commands) = Handle::new(Arc::clone(&shared));
        Self {
            masters: masters.into(),
            options,
            wait: None,
            stop_within: STOP_WITHIN,
            rebuilds: REBUILDS,
            store: Box::new(MemoryStore::new()),
            ending: Ending(Arc::clone(&shared)),
            shared,
            handle,
            commands,
        }
    }

    /// Keeps the framework's id and what its scheduler says by [`Scheduler::changes`] in `store`, so that the next run
    /// goes on as the same framework. Nothing is sent, and nothing acknowledged, before what it rests on is durable
    /// there. Without this it is kept in memory, and ends with the run.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Box::new(store);
        self
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

    /// Makes a scheduler that panics anew so many times within a minute at most, if it can be ([`Driver::run_from`]);
    /// without this, 3. Zero: its first panic ends the run.
    #[must_use]
    pub fn rebuilds_a_minute(mut self, times: usize) -> Self {
        self.rebuilds = times;
        self
    }

    /// A way to this driver while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until the scheduler, the master or a [`Handle`] ends it. Returns the scheduler and how it ended. A panic of
    /// the scheduler ends the run with an error.
    ///
    /// Dropping the future drops the connection; the master then gives the framework its failover timeout.
    pub async fn run<S: Scheduler + 'static>(self, scheduler: S) -> Result<(S, Outcome), DriverError> {
        self.run_by(Make::Once(Some(scheduler)), Box::new(Nobody), mpsc::channel(1).1).await
    }

    /// As [`Driver::run`], with a scheduler made by `make` of what the store keeps: nothing at first, and later all that
    /// [`Scheduler::changes`] has said. One that panics is made anew and goes on, up to
    /// [`rebuilds_a_minute`](Self::rebuilds_a_minute) times.
    pub async fn run_from<S, F>(self, make: F) -> Result<(S, Outcome), DriverError>
    where
        S: Scheduler + 'static,
        F: FnMut(&State) -> S + Send + 'static,
    {
        self.run_by(Make::From(Box::new(make)), Box::new(Nobody), mpsc::channel(1).1).await
    }

    async fn run_by<S: Scheduler + 'static>(
        self,
        make: Make<S>,
        outside: Box<dyn Outside<S>>,
        decisions: mpsc::Receiver<Decision<S>>,
    ) -> Result<(S, Outcome), DriverError> {
        let masters = Masters::parse(&self.masters)?;
        let clock = Clock::start();
        let patience = Patience {
            wait: self.wait.map(|wait| (clock.now() + wait, wait)),
            stop_within: self.stop_within,
            failover_timeout: self.options.info.failover_timeout,
        };
        let worker = Worker {
            options: self.options,
            masters: u32::try_from(masters.len()).unwrap_or(u32::MAX),
            make,
            store: Kept::new(self.store),
            outside,
            clock,
            shared: Arc::clone(&self.shared),
            rebuilds: self.rebuilds,
        };
        let (batches, inputs) = mpsc::channel(1);
        let (reporter, reports) = mpsc::channel(1);
        worker.start(inputs, reporter)?;
        let run = Run {
            clock,
            masters,
            addresses: self.masters,
            patience,
            shared: Arc::clone(&self.shared),
            commands: self.commands,
            decisions,
            batches,
            reports,
            state: run::State::new(),
        };
        // Kept until the run ends, so that the queue of commands does not.
        let _handle = self.handle;
        let _ending = self.ending;
        run.drive().await
    }
}

/// Says that the run has ended, also when its future is dropped, or when it never began.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Randomness that differs from process to process.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(crate) async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
