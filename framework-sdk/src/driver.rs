//! The driver: runs a scheduler against a master over gRPC.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use futures::StreamExt;
use lonja_model::clock::Clock;
use lonja_model::{TaskId, Timestamp};
use lonja_proto::convert::call::request_to_wire;
use lonja_proto::convert::event::{Response, response_from_wire};
use lonja_proto::lonja::schedulers_client::SchedulersClient;
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse};
use lonja_sdk_core::{Command, Effects, Event, Framework, Options, Outcome, Scheduler};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::FrameworkOptions;

/// Calls that may wait for the master.
const QUEUE: usize = 16_384;

/// The largest message of the master, in bytes: all offers of a large cluster at once.
const MAX_MESSAGE_BYTES: usize = 256 << 20;

/// How long one try to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A half-open connection is noticed after this long without a word, and given as long to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Why a run ended before its scheduler said so.
#[derive(Debug, thiserror::Error)]
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
}

/// Runs one scheduler against one master.
pub struct Driver {
    master: String,
    options: FrameworkOptions,
    wait: Option<Duration>,
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
    /// A driver for the master at `master`, as `http://host:port`.
    pub fn new(master: impl Into<String>, options: FrameworkOptions) -> Self {
        Self { master: master.into(), options, wait: None, commands: mpsc::channel(256) }
    }

    /// Gives up if no master has answered the first subscription within `wait`; without this, never.
    #[must_use]
    pub fn wait_for_master(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// A way to this driver while it runs.
    pub fn handle(&self) -> Handle {
        Handle { commands: self.commands.0.clone() }
    }

    /// Runs until the scheduler, the master or a [`Handle`] ends it. Returns the scheduler and how it ended.
    pub async fn run<S: Scheduler>(self, scheduler: S) -> Result<(S, Outcome), DriverError> {
        let address = |source| DriverError::Address { master: self.master.clone(), source };
        let endpoint = Endpoint::from_shared(self.master.clone()).map_err(address)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        let clock = Clock::start();
        let options = Options { info: self.options.info, id: self.options.id, seed: fresh_seed() };
        let now = clock.now();
        let run = Run {
            framework: Framework::new(now, options, scheduler),
            clock,
            endpoint,
            connection: Connection::None,
            commands: self.commands.1,
            give_up: self.wait.map(|wait| (now + wait, wait)),
            last_failure: "no try has ended yet".to_owned(),
            master: self.master,
        };
        run.drive().await
    }
}

/// Randomness that differs from process to process.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// What comes of trying to connect.
type Connected = Result<(Streaming<SchedulerResponse>, mpsc::Sender<SchedulerRequest>), String>;

/// The connection, such as it is.
enum Connection {
    None,
    Making(tokio::task::JoinHandle<Connected>),
    Open { incoming: Box<Streaming<SchedulerResponse>>, outgoing: mpsc::Sender<SchedulerRequest> },
}

struct Run<S> {
    framework: Framework<S>,
    clock: Clock,
    endpoint: Endpoint,
    connection: Connection,
    commands: mpsc::Receiver<Command>,
    give_up: Option<(Timestamp, Duration)>,
    last_failure: String,
    master: String,
}

impl<S: Scheduler> Run<S> {
    async fn drive(mut self) -> Result<(S, Outcome), DriverError> {
        loop {
            let event = self.next_event().await;
            if self.framework.is_subscribed() {
                self.give_up = None;
            }
            if let Some((_, waited)) = self.give_up.filter(|(at, _)| *at <= self.clock.now()) {
                return Err(DriverError::Unreachable { master: self.master, waited, why: self.last_failure });
            }
            if let Event::Disconnected { why } = &event {
                tracing::info!(master = self.master, why, "connection to the master lost");
                self.last_failure.clone_from(why);
            }
            let effects = self.framework.handle(self.clock.now(), event);
            if let Some(outcome) = self.perform(effects).await {
                return Ok((self.framework.into_scheduler(), outcome));
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let deadline =
            lonja_model::time::earliest(self.framework.next_deadline(), self.give_up.map(|(at, _)| at));
        let deadline = deadline.map(|deadline| self.clock.instant(deadline).into());
        tokio::select! {
            event = next_of(&mut self.connection) => event,
            command = self.commands.recv() => match command {
                Some(command) => Event::Command(command),
                None => Event::Tick,
            },
            () = sleep_until(deadline) => Event::Tick,
        }
    }

    async fn perform(&mut self, effects: Effects) -> Option<Outcome> {
        let Effects { connect, send, disconnect, finished } = effects;
        if connect {
            self.connection = Connection::Making(tokio::spawn(make(self.endpoint.clone())));
        }
        let framework = self.framework.id().cloned();
        for (id, call) in send {
            if let Connection::Open { outgoing, .. } = &self.connection {
                // Broken: the incoming half says so.
                let _broken = outgoing.send(request_to_wire(id, framework.as_ref(), &call)).await;
            }
        }
        if disconnect {
            if finished.is_some() {
                self.flush().await;
            }
            self.connection = Connection::None;
        }
        finished
    }

    /// Lets what was sent last reach the master before the connection is dropped.
    async fn flush(&mut self) {
        let Connection::Open { incoming, outgoing } =
            std::mem::replace(&mut self.connection, Connection::None)
        else {
            return;
        };
        drop(outgoing);
        // The master closes its half once it has read all of ours.
        let drained = incoming.for_each(|_| std::future::ready(()));
        let _in_time = tokio::time::timeout(Duration::from_millis(200), drained).await;
    }
}

async fn make(endpoint: Endpoint) -> Connected {
    let channel: Channel = endpoint.connect().await.map_err(|error| chain(&error))?;
    let mut client = SchedulersClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (outgoing, queue) = mpsc::channel(QUEUE);
    let response = client.connect(ReceiverStream::new(queue)).await.map_err(|status| status.to_string())?;
    Ok((response.into_inner(), outgoing))
}

/// The next event of the connection; none while there is none.
async fn next_of(connection: &mut Connection) -> Event {
    match connection {
        Connection::None => std::future::pending().await,
        Connection::Making(making) => {
            let made = making.await.unwrap_or_else(|error| Err(error.to_string()));
            match made {
                Ok((incoming, outgoing)) => {
                    *connection = Connection::Open { incoming: Box::new(incoming), outgoing };
                    Event::Connected
                }
                Err(why) => {
                    *connection = Connection::None;
                    Event::Disconnected { why }
                }
            }
        }
        Connection::Open { incoming, .. } => {
            let why = match incoming.message().await {
                Ok(Some(response)) => match response_from_wire(response) {
                    Ok(Response::Event(event)) => return Event::Received(event),
                    Ok(Response::Result { id, result }) => return Event::Answered { id, result },
                    Err(refusal) => format!("a message of the master cannot be read: {refusal}"),
                },
                Ok(None) => "the master closed it".to_owned(),
                Err(status) => status.to_string(),
            };
            *connection = Connection::None;
            Event::Disconnected { why }
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
