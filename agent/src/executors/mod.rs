//! Custom executors as the agent's doors see them: who may come in, and what is waiting to be said to each.
//!
//! An executor is let in by the token in its environment, over the agent's port or over a socket that is mounted into
//! its container. It has one stream; what it says goes to the driver in order, and what the core has for it is put into
//! a queue that is bounded in messages and bytes. Who does not keep up is cut off, and comes again.
//!
//! Invariants
//! - Of a stranger nothing is looked at beyond the token; but where executors need not show theirs, what comes over HTTP from this
//!   host without one is read to see who it says it is, within far narrower bounds.
//! - Each connection has a number of its own since the agent's start.
//! - What the agent holds for a container is bounded, over all of its connections.
//!
//! Source: `lonja.v1.Executors`; docs/groups.md.

mod door;
mod environment;
mod outbox;
mod pace;
mod socket;
mod stay;
mod token;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lonja_agent_core::{ExecutorOrder, HangUp};
use lonja_model::ContainerId;
use lonja_proto::convert::execution::execution_event_to_wire;
use lonja_proto::mesos::executor as wire;
use tokio::sync::watch;
use tonic::Status;

pub(crate) use door::{Door, NoStream, server};
pub(crate) use environment::{Surroundings, in_words};
pub(crate) use outbox::Outgoing;
pub(crate) use socket::serve;
pub(crate) use stay::Presence;
pub(crate) use token::TokenKey;

use outbox::{Outbox, Rest};
use pace::Paces;
use stay::{Stay, Streams};

/// How custom executors are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// How long one may take from its start until it subscribes. 1 min.
    pub registration_timeout: Duration,
    /// How long one may take to subscribe anew after a restart of the agent. 2 s, at most 15 s.
    pub reregistration_timeout: Duration,
    /// How long one may take to end when it is asked to, unless it says otherwise. 5 s.
    pub shutdown_grace: Duration,
    /// Whether each has to show its token over HTTP too. Without: who knows no token is let in from this host alone. `false`.
    pub authenticate: bool,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            registration_timeout: Duration::from_secs(60),
            reregistration_timeout: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(5),
            authenticate: false,
        }
    }
}

/// The agent's end of one stream.
struct Connection {
    container: ContainerId,
    outbox: Arc<Outbox>,
    /// Dropped when the connection is ended from here.
    _open: watch::Sender<()>,
}

/// The executor's end of one stream.
struct Line {
    number: u64,
    outbox: Arc<Outbox>,
    events: Outgoing,
    open: watch::Receiver<()>,
}

/// All connections of custom executors, and what lets them in.
pub(crate) struct Executors {
    key: TokenKey,
    socket_folder: PathBuf,
    settings: ExecutorSettings,
    /// Where the agent's port is, as seen from this host.
    endpoint: SocketAddr,
    numbers: AtomicU64,
    streams: Arc<Streams>,
    paces: Paces,
    connections: Mutex<BTreeMap<u64, Connection>>,
}

impl Executors {
    /// For the agent of this work dir. Errors: its key, or the folder of its socket, cannot be read or made.
    pub(crate) fn open(
        work_dir: &Path,
        settings: ExecutorSettings,
        endpoint: SocketAddr,
    ) -> io::Result<Self> {
        Ok(Self {
            key: TokenKey::open(work_dir)?,
            socket_folder: socket::folder(work_dir)?,
            settings,
            endpoint,
            numbers: AtomicU64::new(0),
            streams: Arc::default(),
            paces: Paces::default(),
            connections: Mutex::default(),
        })
    }

    /// Where executors reach the agent's port.
    pub(crate) fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// The container that a token was made for; `None`: it is none of ours.
    pub(crate) fn container_of(&self, token: &str) -> Option<ContainerId> {
        self.key.container(token)
    }

    /// Has who comes over HTTP to show a token?
    pub(crate) fn authenticates(&self) -> bool {
        self.settings.authenticate
    }

    /// Waits until one more call of the executor in this container may be taken in.
    pub(crate) async fn pause(&self, container: &ContainerId) {
        self.paces.pause(container).await;
    }

    /// What an executor in this container finds in its surroundings.
    pub(crate) fn surroundings(&self, container: &ContainerId) -> Surroundings<'_> {
        Surroundings::new(&self.settings, self.key.token(container), &self.socket_folder)
    }

    /// Carries out what the core has for executors.
    pub(crate) fn carry_out(&self, orders: Vec<ExecutorOrder>) {
        for order in orders {
            match order {
                ExecutorOrder::Say { container, connection, event } => {
                    self.say(&container, connection, execution_event_to_wire(&event));
                }
                ExecutorOrder::HangUp { container, connection, why } => {
                    tracing::info!(%container, connection, ?why, "executor's connection ended");
                    // Whoever took its place is told all of it again.
                    let rest = if why == HangUp::Replaced { Rest::Dropped } else { Rest::Sent };
                    self.end(connection, Some(status_of(why)), rest);
                }
            }
        }
    }

    fn say(&self, container: &ContainerId, number: u64, event: wire::Event) {
        let connections = self.connections();
        let Some(connection) = connections.get(&number).filter(|known| known.container == *container) else {
            // It has left; the core is about to hear of it.
            return;
        };
        let fits = connection.outbox.put(event);
        drop(connections);
        if !fits {
            tracing::warn!(%container, connection = number, "executor does not keep up, and is cut off");
            let why = Status::resource_exhausted("too much waits for this executor; connect again");
            self.end(number, Some(why), Rest::Dropped);
        }
    }

    /// Ends a connection, and says why if that is given.
    fn end(&self, number: u64, why: Option<Status>, rest: Rest) {
        let ended = self.connections().remove(&number);
        if let Some(connection) = ended {
            connection.outbox.end(why, rest);
        }
    }

    fn connect(&self, container: ContainerId, stay: Arc<Stay>) -> Line {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let (outbox, events) = outbox::stream(stay);
        let (ended, open) = watch::channel(());
        let connection = Connection { container, outbox: outbox.clone(), _open: ended };
        self.connections().insert(number, connection);
        Line { number, outbox, events, open }
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status_of(why: HangUp) -> Status {
    match why {
        HangUp::Over => {
            Status::permission_denied("this executor has ended, as far as its agent is concerned")
        }
        HangUp::Replaced => Status::aborted("this executor has a newer connection"),
        HangUp::Invalid(reason) => Status::invalid_argument(reason),
        HangUp::Busy(reason) => Status::resource_exhausted(format!("{reason}; say it again later")),
    }
}
