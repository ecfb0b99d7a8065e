//! The master daemon: doors, registrar and the loop around `lonja-master-core`.
//!
//! [`start`] brings a master up in the calling process; the binary, tests and `lonja dev` all use it.
//!
//! ```text
//!   api/grpc ─┐                      ┌─ registrar ─► storage
//!   api/http ─┼─► handle ─► driver ──┤
//!             └◄────────────────────┴─ connections (bounded; a slow peer is dropped)
//! ```
//!
//! Reading order: [`config`], `driver`, `registrar`, then the doors in [`api`].

pub mod api;
pub mod config;
mod connections;
mod driver;
mod handle;
mod metrics;
mod registrar;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use lonja_master_core::Master;
use lonja_model::clock::Clock;
use lonja_storage::{OpenError, RedbStore, Store};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use config::{Config, StoreKind};
pub use handle::Handle;
pub use lonja_master_core::{AllocatorOptions, Config as CoreConfig, Sorter};
pub use registrar::RegistryError;

/// Why a master cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The address is taken, or is not this machine's.
    #[error("cannot listen on {address}: {source}; choose another with --listen, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The work dir cannot be used.
    #[error("cannot use the work dir {}", path.display())]
    Open {
        /// The work dir.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The registry cannot be read or written. What is not durable is not said: this master steps down.
    #[error("the registry failed; this master steps down")]
    Registry(#[from] RegistryError),
    /// A task of this process panicked.
    #[error("a part of the master ended unexpectedly")]
    Ended(#[from] tokio::task::JoinError),
}

/// A master that runs in this process.
pub struct Running {
    address: SocketAddr,
    handle: Handle,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), MasterError>>,
    server: JoinHandle<()>,
}

/// Starts a master: opens the registry, recovers, listens. When this returns, the master serves.
pub async fn start(config: Config) -> Result<Running, MasterError> {
    let store = open_store(&config)?;
    let address = config.listen;
    let listener = listen(address).map_err(|source| MasterError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| MasterError::Listen { address, source })?;
    let registrar = registrar::Registrar::new(store);
    let registry = registrar.load().await?;
    let clock = Clock::start();
    let core = lonja_master_core::Config {
        port: address.port(),
        hostname: config.hostname.clone().unwrap_or_else(|| address.ip().to_string()),
        ..config.core.clone()
    };
    let (master, effects) = Master::start(clock.now(), core, registry, &uuid::Uuid::new_v4().to_string());
    let (stop, stopped) = watch::channel(false);
    let (handle, driver) = driver::Driver::new(clock, master, effects, registrar);
    tracing::info!(%address, master = driver.master_id(), "master started");
    let driver = tokio::spawn(driver.run(stopped.clone()));
    let server = tokio::spawn(api::serve(listener, handle.clone(), clock, stopped));
    Ok(Running { address, handle, stop, driver, server })
}

/// Connections that may wait to be accepted: thousands of agents come at once when a master has started, and each that
/// finds no place tries again only after a second.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the listeners of the library have it: a master that comes back finds its port, whatever connections still end.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn open_store(config: &Config) -> Result<Arc<dyn Store>, MasterError> {
    match &config.store {
        StoreKind::Memory => Ok(Arc::new(lonja_storage::MemoryStore::new())),
        StoreKind::WorkDir(path) => {
            let store = RedbStore::open(path, registrar::IDENTITY);
            Ok(Arc::new(store.map_err(|source| MasterError::Open { path: path.clone(), source })?))
        }
    }
}

impl Running {
    /// Where it listens; the port is a real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A door of its own for who runs the master in-process.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks it to stop: streams are closed, what was begun is committed. Frameworks and agents take it for a
    /// lost connection, and their tasks run on.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What asks it to stop, while somebody else waits for that.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits until it has stopped, by request or by failure.
    pub async fn stopped(mut self) -> Result<(), MasterError> {
        let result = tokio::select! {
            result = &mut self.driver => result.map_err(Into::into).flatten(),
            result = &mut self.server => {
                result?;
                match tokio::time::timeout(config::STOP_TIMEOUT, &mut self.driver).await {
                    Ok(driver) => driver?,
                    Err(_) => Ok(()),
                }
            }
        };
        self.stop.send_replace(true);
        if !self.server.is_finished() {
            let _within = tokio::time::timeout(config::STOP_TIMEOUT, &mut self.server).await;
            self.server.abort();
        }
        result
    }
}

/// Asks a running master to stop.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Asks it to stop; see [`Running::stop`].
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
