//! The daemon: the services, the driver that speaks for them, and the interface, in one process.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lonja_model::clock::Clock;
use lonja_sdk::model::framework::Capability;
use lonja_sdk::model::role::InvalidRole;
use lonja_sdk::store::FileStore;
use lonja_sdk::{Driver, DriverError, FrameworkOptions, InteractiveDriver, Link, Outcome};
use lonja_services_core::{Config, Services};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{About, Api, Door, serve};
use crate::discovery::{Discovery, NetConfig, NetError};
use crate::events::Hub;
use crate::metrics::Counters;
use crate::wire::JsonCodec;

/// How long tasks outlive the daemon: a week, as Marathon's.
pub const FAILOVER_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How long the parts of the daemon may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What the daemon is told.
#[derive(Clone, Debug)]
pub struct ServicesConfig {
    /// Masters, as `http://HOST:PORT`, several with commas between.
    pub master: String,
    /// Where the interface listens; port 0: a free one.
    pub listen: SocketAddr,
    /// The name that others reach it by; none: its address.
    pub hostname: Option<String>,
    /// Where what was promised is kept.
    pub work_dir: PathBuf,
    /// The framework's name.
    pub framework_name: String,
    /// Whom tasks run as that name nobody.
    pub user: Option<String>,
    /// Roles beside the default one of `core` that services may have.
    pub roles: BTreeSet<String>,
    /// How long tasks outlive the daemon.
    pub failover_timeout: Duration,
    /// Checks, names and the balancer.
    pub net: NetConfig,
    /// What holds for all services.
    pub core: Config,
}

impl ServicesConfig {
    /// With defaults for all else.
    pub fn new(master: impl Into<String>, listen: SocketAddr, work_dir: impl Into<PathBuf>) -> Self {
        Self {
            master: master.into(),
            listen,
            hostname: None,
            work_dir: work_dir.into(),
            framework_name: "lonja-services".to_owned(),
            user: None,
            roles: BTreeSet::new(),
            failover_timeout: FAILOVER_TIMEOUT,
            net: NetConfig::default(),
            core: Config::default(),
        }
    }

    fn options(&self) -> Result<FrameworkOptions, ServicesError> {
        let options = FrameworkOptions::named(&self.framework_name)
            .failover_timeout(self.failover_timeout)
            .capability(Capability::GpuResources)
            // Who names no region stays in the master's: the core sees to that.
            .capability(Capability::RegionAware);
        let options = match &self.user {
            Some(user) => options.user(user),
            None => options,
        };
        let first = options.role(&self.core.default_role)?;
        self.roles.iter().try_fold(first, |options, role| Ok(options.also_role(role)?))
    }
}

/// Why the daemon cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// The address is taken, or is not this machine's.
    #[error("cannot listen on {address}: {source}; choose another with --listen, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A role is none.
    #[error("{0}")]
    Role(#[from] InvalidRole),
    /// What is kept cannot be read.
    #[error("what is kept in {} cannot be read: {why}", path.display())]
    Kept {
        /// The work dir.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Names cannot be answered.
    #[error("services cannot be made reachable")]
    Net(#[from] NetError),
    /// The framework's run has failed.
    #[error("the services' run has ended")]
    Driver(#[from] DriverError),
    /// The master ended the framework.
    #[error("the master has ended the framework: {0}")]
    Ended(String),
    /// A task of this process panicked.
    #[error("a part of the services ended unexpectedly")]
    Panicked(#[from] tokio::task::JoinError),
}

/// The daemon as it runs in this process.
pub struct Running {
    address: SocketAddr,
    link: Link<Services>,
    discovery: Discovery,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), ServicesError>>,
    parts: Vec<JoinHandle<()>>,
}

/// Asks a daemon to stop.
#[derive(Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Asks it to stop. Its tasks run on.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Starts the daemon. When this returns, the interface answers; the master may be yet to be reached.
pub async fn start(config: ServicesConfig) -> Result<Running, ServicesError> {
    let options = config.options()?;
    let address = config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServicesError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| ServicesError::Listen { address, source })?;
    let driver = Driver::new(&config.master, options).store(FileStore::at(&config.work_dir));
    let (driver, link) = driver.interactive::<Services>();
    let (stop, stopped) = watch::channel(false);
    let clock = Clock::start();
    let about = About {
        listen: address,
        hostname: config.hostname.clone().unwrap_or_else(|| address.ip().to_string()),
        framework_name: config.framework_name.clone(),
        master: config.master.clone(),
        failover_timeout: config.failover_timeout,
        started: clock.now(),
    };
    let discovery = Discovery::start(link.clone(), config.net.clone()).await?;
    let hub = Hub::new(clock);
    let counters = Arc::new(Counters::new(Arc::clone(discovery.counters())));
    let api = Api::new(Door::new(link.clone()), hub.clone(), about, config.core.clone(), counters);
    // What listens does so before anything can be told.
    let parts = vec![
        tokio::spawn(hub.clone().pass_on(link.clone())),
        tokio::spawn(serve::serve(listener, api.router(), hub, stopped.clone())),
    ];
    let driver = tokio::spawn(drive(config, driver, link.clone(), stopped));
    tracing::info!(%address, "services started");
    Ok(Running { address, link, discovery, stop, driver, parts })
}

/// Runs the services until they are asked to stop, or end by themselves.
async fn drive(
    config: ServicesConfig,
    driver: InteractiveDriver<Services>,
    link: Link<Services>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServicesError> {
    let unreadable = Arc::new(Mutex::new(None::<String>));
    let core = config.core.clone();
    let noted = Arc::clone(&unreadable);
    let run = driver.run_from(move |state| {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        match Services::restore(core.clone(), Arc::new(JsonCodec), seed, state) {
            Ok(services) => services,
            Err(why) => {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                // Beginning anew would end all that runs. The driver takes this for the end of the run.
                std::panic::panic_any(why)
            }
        }
    });
    let mut run = std::pin::pin!(run);
    let ended = tokio::select! {
        ended = run.as_mut() => ended,
        () = serve::asked(&mut stop) => {
            link.handle().leave().await;
            run.await
        }
    };
    match ended {
        Ok((_, Outcome::Left { .. })) => Ok(()),
        Ok((_, Outcome::TornDown)) => Err(ServicesError::Ended("it was torn down".to_owned())),
        Ok((_, Outcome::EndedByMaster { why })) => Err(ServicesError::Ended(why)),
        Err(error) => match unreadable.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(why) => Err(ServicesError::Kept { path: config.work_dir, why }),
            None => Err(error.into()),
        },
    }
}

impl Running {
    /// Where the interface listens; the port is a real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A way to the services themselves for who runs them in-process.
    pub fn link(&self) -> &Link<Services> {
        &self.link
    }

    /// Its checks, names and balancer.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// What asks it to stop, while somebody else waits for that.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits until it has stopped, by request or by failure. Its tasks run on.
    pub async fn stopped(self) -> Result<(), ServicesError> {
        let ended = self.driver.await;
        self.stop.send_replace(true);
        self.discovery.stop().await;
        for mut part in self.parts {
            if tokio::time::timeout(STOP_WITHIN, &mut part).await.is_err() {
                part.abort();
            }
        }
        ended?
    }
}
