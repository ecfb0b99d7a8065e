//! The agent daemon: it owns one machine's resources and runs tasks on them.
//!
//! [`start`] brings an agent up in the calling process, with a [`launcher::Launcher`] that was forked before
//! any thread existed; the binary, tests and `lonja dev` all use it.
//!
//! Control side: [`config`], [`configured`] and [`detect`] say what the agent is, `driver` owns `lonja-agent-core`,
//! `checkpoints` keeps what survives a restart, `master_link` speaks to the master, [`api`] serves logs.
//! Container side, from the outside in: [`containerizer`] is what the driver calls, `containers` speaks to it
//! in the core's words, [`check`] says what a host enforces, `checks` looks at tasks from inside, `executors` lets frameworks' own executors in, `sandbox` keeps each task's files, [`volumes`] what outlives tasks, [`launcher`] forks, [`supervisor`] is the parent of
//! one container, [`isolation`] sets its limits, [`privileges`] says what tasks may ask of the kernel,
//! [`separation`] how strictly they are kept apart from the host. At each step of a container's life a [`failpoint`] lets
//! tests have somebody die.

pub mod api;
mod breaches;
pub mod check;
mod checkpoints;
mod checks;
pub mod config;
pub mod configured;
pub mod containerizer;
mod containers;
mod counts;
mod descriptors;
pub mod detect;
pub mod disk;
mod driver;
mod executors;
pub mod failpoint;
pub mod fetcher;
mod gpu_names;
mod groups;
mod handle;
mod host_memory;
pub mod isolation;
pub mod launcher;
mod master_link;
mod output_limits;
mod picture;
mod places;
pub mod privileges;
mod sandbox;
pub mod secrets;
pub mod separation;
mod statistics;
pub mod supervisor;
mod task_limits;
mod upkeep;
pub mod volumes;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lonja_agent_core::{Agent, Entropy, Incompatible};
use lonja_model::clock::Clock;
use lonja_storage::{OpenError, RedbStore};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use checkpoints::CheckpointError;
pub use config::{Config, HostPaths};
pub use executors::ExecutorSettings;
pub use handle::Handle;
pub use lonja_agent_core::Policy;
pub use privileges::Grants;
pub use separation::Separation;
pub use supervisor::{Isolation, IsolationListError};
pub use task_limits::LimitSettings;

use containerizer::{ContainerizerError, InstanceId, LinuxContainerizer, Settings};
use isolation::{Enforcement, Layout, LimitKind};
use launcher::Launcher;

/// Tasks and executors that have ended and are still shown, at most.
const MOST_COMPLETED: usize = 1_000;

/// How long it may take to look the master's name up.
const NAME_PATIENCE: Duration = Duration::from_secs(2);

/// Why an agent cannot start, or had to stop. Its tasks run on in any case.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
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
    WorkDir {
        /// The work dir.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The checkpoints cannot be opened.
    #[error("cannot use the work dir {}", path.display())]
    Open {
        /// The work dir.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The checkpoints cannot be read or written. What is not durable is not said: the agent stops.
    #[error("the checkpoints failed; this agent stops, its tasks run on")]
    Checkpoint(#[from] CheckpointError),
    /// It was started with less than it registered with.
    #[error("this agent registered as something else, and its tasks may rest on that")]
    Incompatible(#[from] Incompatible),
    /// This host cannot hold tasks to their limits, and `--require-isolation` was given.
    #[error("--require-isolation: this host does not enforce {0}")]
    Isolation(String),
    /// Containers cannot be found again.
    #[error("cannot recover the containers of this agent")]
    Recover(#[from] ContainerizerError),
    /// The agent cannot go on with this master.
    #[error("{0}")]
    Refused(String),
    /// The process that forks for the agent has ended.
    #[error(
        "the launcher is gone, without which nothing can be launched; this agent stops, its tasks run on: start it again"
    )]
    LauncherGone,
    /// A task of this process panicked.
    #[error("a part of the agent ended unexpectedly")]
    Ended(#[from] tokio::task::JoinError),
}

/// An agent that runs in this process.
pub struct Running {
    address: SocketAddr,
    handle: Handle,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), AgentError>>,
    server: JoinHandle<Result<(), AgentError>>,
    upkeep: JoinHandle<()>,
}

/// Starts an agent: opens its checkpoints and listens. When this returns, the agent serves its own API; it
/// finds its containers again and connects to the master in the background.
///
/// `launcher` is borrowed: dropping it does not end tasks unless it is ephemeral.
pub async fn start(config: Config, launcher: &Launcher) -> Result<Running, AgentError> {
    let work_dir = |source| AgentError::WorkDir { path: config.work_dir.clone(), source };
    descriptors::take_all();
    let layout = Layout::detect();
    let (path, instance) = prepare_work_dir(&config).map_err(work_dir)?;
    let disks = Arc::new(disk::Disks::open(&path, config.disk.clone()).map_err(work_dir)?);
    let mut enforced = layout.what_is_enforced();
    enforced.extend(config.separation.what_is_enforced());
    enforced.push(disks.enforcement());
    require_isolation(&config, &enforced)?;
    let opened = path.clone();
    let store = tokio::task::spawn_blocking(move || RedbStore::open(&opened, checkpoints::IDENTITY)).await?;
    let store = store.map_err(|source| AgentError::Open { path: path.clone(), source })?;
    let checkpoints = checkpoints::Checkpoints::new(Arc::new(store));
    let checkpoint = checkpoints.load().await?;

    let address = config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| AgentError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| AgentError::Listen { address, source })?;
    let hostname = config.hostname.clone().unwrap_or_else(|| own_name(address));
    let info = lonja_model::AgentInfo { hostname, port: address.port(), ..config.info.clone() };
    if let Some(identity) = &checkpoint.identity {
        lonja_agent_core::compatible(&identity.info, &info, config.reconfiguration)?;
    }
    lonja_agent_core::keeps_ground(&info, checkpoint.total.as_ref(), config.reconfiguration)?;

    let settings = Settings {
        work_dir: path.clone(),
        instance: instance.clone(),
        layout,
        mould: config.separation.mould(),
    };
    let containerizer = LinuxContainerizer::new(settings, launcher).map_err(work_dir)?;
    let sandboxes = sandbox::Sandboxes::open(&path, disks.clone()).map_err(work_dir)?;
    let volumes = volumes::Volumes::new(&path, instance.clone(), &info.resources);
    let containerizer = Arc::new(containerizer);
    let sessions = api::Sessions::new(containerizer.clone());
    let fetcher = fetcher::Fetcher::new(config.fetching.clone(), config.host_paths.clone(), &path);
    let fetcher = fetcher.map_err(work_dir)?;
    let endpoint = SocketAddr::new(own_ip(address, &config.master).await, address.port());
    let executors =
        executors::Executors::open(&path, config.executors.clone(), endpoint).map_err(work_dir)?;
    let executors = Arc::new(executors);
    let containers = containers::Containers::new(
        containerizer.clone(),
        sandboxes,
        volumes.clone(),
        fetcher,
        &config,
        instance.clone(),
        executors,
    );
    let containers = Arc::new(containers);
    let clock = Clock::start();
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    let agent = Agent::new(core_config(&config, info, &instance), Entropy(high, low));
    let (stop, stopped) = watch::channel(false);
    let (handle, driver) =
        driver::Driver::new(clock, agent, checkpoints, containers.clone(), volumes, config.master.clone());
    tracing::info!(%address, work_dir = %path.display(), instance = instance.as_str(), disk_limit = disks.how(), "agent started");
    let upkeep = tokio::spawn(upkeep::run(containers.clone(), stopped.clone()));
    let driver = tokio::spawn(driver.run(checkpoint, stopped.clone()));
    let constant = api::v0::Constant {
        flags: Arc::new(api::v0::flags::flags(&Config { listen: address, work_dir: path, ..config.clone() })),
        master: config.master.as_str().into(),
    };
    let serving = Serving { listener, containers, enforced, sessions, constant };
    let serving = serving.run(handle.clone(), stopped.clone());
    let launching = needs_launcher(containerizer, stopped);
    let server = tokio::spawn(async move { tokio::try_join!(serving, launching).map(|_| ()) });
    Ok(Running { address, handle, stop, driver, server, upkeep })
}

fn core_config(
    config: &Config,
    info: lonja_model::AgentInfo,
    instance: &InstanceId,
) -> lonja_agent_core::Config {
    lonja_agent_core::Config {
        kill_grace: config.kill_grace,
        executor_registration_timeout: config.executors.registration_timeout,
        executor_reregistration_timeout: config.executors.reregistration_timeout,
        executor_shutdown_grace: config.executors.shutdown_grace,
        max_completed: MOST_COMPLETED,
        ..lonja_agent_core::Config::new(info, env!("CARGO_PKG_VERSION"), instance.as_str())
    }
}

/// What is served at the agent's port and at the executors' socket.
struct Serving {
    listener: TcpListener,
    containers: Arc<containers::Containers>,
    enforced: Vec<Enforcement>,
    sessions: api::Sessions,
    constant: api::v0::Constant,
}

impl Serving {
    /// Until asked to stop.
    async fn run(self, handle: Handle, stopped: watch::Receiver<bool>) -> Result<(), AgentError> {
        let Self { listener, containers, enforced, sessions, constant } = self;
        let executors = containers.executors().clone();
        let door = executors::Door::new(executors.clone(), handle.clone(), stopped.clone());
        let over_http = api::v1::executor::router(door.clone());
        let socket = executors::serve(executors, door.clone(), over_http.clone(), stopped.clone());
        let furniture = api::Furniture { enforced, sessions, executors: door, over_http, constant };
        let api = async {
            api::serve(listener, handle, containers, furniture, stopped).await;
            Ok(())
        };
        tokio::try_join!(api, socket).map(|_| ())
    }
}

/// Ends when the agent stops. Errors: its launcher has ended, and it can do its work no more.
async fn needs_launcher(
    containerizer: Arc<LinuxContainerizer>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => Ok(()),
        gone = containerizer.launcher_gone() => {
            if let Err(error) = gone {
                tracing::error!(%error, "the launcher cannot be watched");
            }
            Err(AgentError::LauncherGone)
        }
    }
}

/// What others may reach an address by: itself, or this host's name if it stands for all of the host's addresses.
fn own_name(address: SocketAddr) -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    match name {
        Some(name) if address.ip().is_unspecified() => name,
        _ => address.ip().to_string(),
    }
}

/// The address by which this host is reached: the one that is listened on, or that of the way to the master if it stands
/// for all.
async fn own_ip(address: SocketAddr, master: &str) -> IpAddr {
    if !address.ip().is_unspecified() {
        return address.ip();
    }
    let way = async {
        let place = master.split_once("://").map_or(master, |(_, place)| place);
        let place = place.split('/').next().unwrap_or_default();
        let socket = UdpSocket::bind((address.ip(), 0)).await.ok()?;
        // Nothing is sent: the kernel only looks up the way.
        socket.connect(place).await.ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let found = tokio::time::timeout(NAME_PATIENCE, way).await.ok().flatten();
    let loopback = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    found.unwrap_or(loopback)
}

/// Says once what this host does not enforce, or refuses to start.
fn require_isolation(config: &Config, enforced: &[Enforcement]) -> Result<(), AgentError> {
    let mut missing: Vec<String> = enforced
        .iter()
        // A task that wants its rates limited where that cannot be is refused.
        .filter(|one| one.limit != LimitKind::Io)
        .filter_map(|one| one.not_enforced.as_ref().map(|why| format!("{:?} ({why})", one.limit)))
        .collect();
    let left_out = config.separation.left_out();
    if !left_out.is_empty() {
        missing.push(format!("left out of --isolation: {}", left_out.join(", ")));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join("; ");
    if config.require_isolation {
        return Err(AgentError::Isolation(missing));
    }
    tracing::warn!(missing, "not enforced: tasks on this host are not held to everything");
    Ok(())
}

/// Makes the work dir, and the id that names this agent's control groups on the host for as long as the
/// work dir exists.
fn prepare_work_dir(config: &Config) -> std::io::Result<(PathBuf, InstanceId)> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&config.work_dir)?;
    let path = config.work_dir.canonicalize()?;
    let file = path.join("instance");
    let instance = match std::fs::read_to_string(&file) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let fresh = uuid::Uuid::new_v4().simple().to_string();
            let temporary = path.join("instance.new");
            std::fs::write(&temporary, &fresh)?;
            std::fs::File::open(&temporary)?.sync_all()?;
            std::fs::rename(&temporary, &file)?;
            std::fs::File::open(&path)?.sync_all()?;
            fresh
        }
        Err(error) => return Err(error),
    };
    let instance = InstanceId::new(instance)
        .map_err(|error| std::io::Error::other(format!("{}: {error}", file.display())))?;
    Ok((path, instance))
}

impl Running {
    /// Where it listens; the port is a real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way into the agent for who runs it in-process.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks it to stop. Its tasks run on and are found again by the next start on the same work dir.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What asks it to stop, while somebody else waits for that.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits until it has stopped, by request or by failure.
    pub async fn stopped(mut self) -> Result<(), AgentError> {
        let result = first_end(&mut self.driver, &mut self.server, &mut self.upkeep).await;
        self.stop.send_replace(true);
        for part in [&mut self.driver, &mut self.server] {
            if !part.is_finished() {
                let _within = tokio::time::timeout(config::STOP_TIMEOUT, &mut *part).await;
                part.abort();
            }
        }
        self.upkeep.abort();
        result
    }
}

/// Waits until a part of the agent ends, by request or by failure.
async fn first_end(
    driver: &mut JoinHandle<Result<(), AgentError>>,
    server: &mut JoinHandle<Result<(), AgentError>>,
    upkeep: &mut JoinHandle<()>,
) -> Result<(), AgentError> {
    tokio::select! {
        result = driver => result.map_err(Into::into).flatten(),
        result = server => result.map_err(Into::into).flatten(),
        // By request it ends at once, and has nothing to say. An agent that does not look after its disk is to be
        // started anew.
        Err(error) = upkeep => Err(error.into()),
    }
}

/// Asks a running agent to stop.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Asks it to stop; see [`Running::stop`].
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_ends_with_the_part_of_it_that_ended_unexpectedly() {
        let endless = || tokio::spawn(std::future::pending::<Result<(), AgentError>>());
        let (mut driver, mut server) = (endless(), endless());
        let mut upkeep = tokio::spawn(async { panic!("for the test") });

        let ended = first_end(&mut driver, &mut server, &mut upkeep).await;

        assert!(matches!(ended, Err(AgentError::Ended(_))), "{ended:?}");
        driver.abort();
        server.abort();
    }
}
