//! A whole cluster in one process tree: `lonja dev` and `lonja run --dev`.
//!
//! A `kill -9` of this process leaves nothing behind: its launcher notices, ends every container, and
//! removes control groups and temporary folders.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use lonja_agent::fetcher::{Addresses, Fetching};
use lonja_agent::launcher::{Launcher, LauncherOptions};
use lonja_agent::{Config as AgentConfig, HostPaths, Separation, detect};
use lonja_master::{Config as MasterConfig, StoreKind};
use lonja_model::attributes::Attributes;
use lonja_model::profile::Profile;
use lonja_model::{AgentInfo, Resources};
use tokio::task::JoinSet;

use crate::args::{BenchCommand, Command, Lonja};

/// How long the agents of a new cluster may take to register.
const READY: Duration = Duration::from_secs(15);

/// What was made before the runtime started.
pub(crate) struct Prepared {
    /// Forks supervisors; `None` for commands that run no container.
    pub(crate) launcher: Option<Launcher>,
    /// A folder of this run alone, removed at its end.
    pub(crate) temporary: Option<PathBuf>,
}

/// Forks the launcher for commands that run containers.
pub(crate) fn prepare(lonja: &Lonja) -> anyhow::Result<Prepared> {
    let (ephemeral, temporary) = match &lonja.command {
        Command::Agent(agent) if agent.check => (true, true),
        Command::Agent(_) => (false, false),
        Command::Dev(_) => (true, false),
        Command::Run(run) if run.dev => (true, true),
        Command::Bench(bench) if !matches!(bench.command, BenchCommand::StartPeer { .. }) => (true, true),
        _ => return Ok(Prepared { launcher: None, temporary: None }),
    };
    let temporary = if temporary {
        let folder =
            tempfile::Builder::new().prefix("lonja-").tempdir().context("cannot make a temporary folder")?;
        Some(folder.keep())
    } else {
        None
    };
    let remove_on_exit = temporary.iter().cloned().collect();
    let launcher =
        Launcher::fork(LauncherOptions { ephemeral, remove_on_exit }).context("cannot fork the launcher")?;
    Ok(Prepared { launcher: Some(launcher), temporary })
}

impl Prepared {
    /// Ends the launcher, and with it whatever was only for this run.
    pub(crate) fn clean_up(self) -> anyhow::Result<()> {
        if let Some(launcher) = self.launcher {
            launcher.stop().context("the launcher did not end well")?;
        }
        if let Some(folder) = self.temporary
            && let Err(error) = std::fs::remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
        }
        Ok(())
    }
}

/// The shape of a dev cluster.
pub(crate) struct Shape<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) agents: u16,
    pub(crate) agent_resources: Option<&'a str>,
    pub(crate) work_dir: &'a Path,
    /// Keep the registry in the work dir, not only in memory.
    pub(crate) durable: bool,
    /// How strictly tasks are kept apart from this host, unless they ask for more.
    pub(crate) profile: Profile,
    /// Where the services listen; none: without them.
    pub(crate) services: Option<SocketAddr>,
}

/// A master and its agents in this process.
pub(crate) struct Cluster {
    url: String,
    agents: Vec<SocketAddr>,
    stop_agents: Vec<lonja_agent::Stopper>,
    stop_master: lonja_master::Stopper,
    services: Option<(SocketAddr, lonja_services::Stopper)>,
    /// The daemons, each until it has stopped.
    running: JoinSet<anyhow::Result<()>>,
}

impl Cluster {
    /// Brings the cluster up. When this returns, the master serves and every agent is registered.
    pub(crate) async fn start(shape: Shape<'_>, launcher: &Launcher) -> anyhow::Result<Self> {
        let store =
            if shape.durable { StoreKind::WorkDir(shape.work_dir.join("master")) } else { StoreKind::Memory };
        let config = MasterConfig { listen: shape.listen, hostname: None, store, core: Default::default() };
        let master = lonja_master::start(config).await.context("the master cannot start")?;
        let handle = master.handle().clone();
        let address = master.address();
        let mut cluster = Self {
            url: format!("http://{address}"),
            agents: Vec::new(),
            stop_agents: Vec::new(),
            stop_master: master.stopper(),
            services: None,
            running: JoinSet::new(),
        };
        cluster.running.spawn(async move { master.stopped().await.context("the master stopped") });
        for index in 0..shape.agents {
            let config = agent_config(&shape, index, address)?;
            let agent = lonja_agent::start(config, launcher).await;
            let agent = agent.with_context(|| format!("agent {} cannot start", index + 1))?;
            cluster.agents.push(agent.address());
            cluster.stop_agents.push(agent.stopper());
            let name = index + 1;
            cluster
                .running
                .spawn(async move { agent.stopped().await.with_context(|| format!("agent {name} stopped")) });
        }
        let registered = registered(&handle, cluster.agents.len());
        tokio::time::timeout(READY, registered).await.context("the agents do not register")??;
        if let Some(listen) = shape.services {
            let mut config =
                lonja_services::ServicesConfig::new(&cluster.url, listen, shape.work_dir.join("services"));
            config.user = Some(crate::commands::run::current_user());
            let services = lonja_services::start(config).await.context("the services cannot start")?;
            cluster.services = Some((services.address(), services.stopper()));
            cluster.running.spawn(async move { services.stopped().await.context("the services stopped") });
        }
        Ok(cluster)
    }

    /// The master's address as a URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The agents' addresses.
    pub(crate) fn agents(&self) -> &[SocketAddr] {
        &self.agents
    }

    /// The services' address, if there are any.
    pub(crate) fn services(&self) -> Option<SocketAddr> {
        self.services.as_ref().map(|(address, _)| *address)
    }

    /// Resolves when one of the daemons has stopped by itself, with why.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.running.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow::Error::new(error).context("a daemon ended unexpectedly"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a daemon of the cluster stopped"),
        }
    }

    /// Stops services, agents and master, and waits for all of them.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some((_, services)) = &self.services {
            services.stop();
        }
        self.stop_agents.iter().for_each(lonja_agent::Stopper::stop);
        self.stop_master.stop();
        while let Some(stopped) = self.running.join_next().await {
            stopped.context("a daemon ended unexpectedly")??;
        }
        Ok(())
    }
}

/// Resolves when so many agents are connected.
async fn registered(master: &lonja_master::Handle, agents: usize) -> anyhow::Result<()> {
    let (mut snapshot, mut changes) = master.watch().await?;
    while snapshot.agents.iter().filter(|agent| agent.is_connected()).count() < agents {
        changes.recv().await?;
        snapshot = master.snapshot().await?;
    }
    Ok(())
}

fn agent_config(shape: &Shape<'_>, index: u16, master: SocketAddr) -> anyhow::Result<AgentConfig> {
    let number = u64::from(index);
    let resources = match shape.agent_resources {
        Some(text) => Resources::parse(text).context("--agent-resources")?,
        None => detect::share(detect::host(shape.work_dir), number, u64::from(shape.agents))?,
    };
    // With a free port for the master, the agents take free ones too.
    let port = match shape.listen.port() {
        0 => 0,
        port => port
            .checked_add(1 + index)
            .context("--listen: no port is left for the agents; choose a lower one")?,
    };
    Ok(AgentConfig {
        listen: SocketAddr::new(shape.listen.ip(), port),
        hostname: None,
        master: format!("http://{master}"),
        work_dir: shape.work_dir.join(format!("agent-{}", index + 1)),
        info: AgentInfo {
            hostname: String::new(),
            port: 0,
            resources,
            attributes: Attributes::parse(&format!("rack:r{}", index + 1))?,
            domain: None,
            id: None,
        },
        // A laptop's disk fills and empties between two runs of the same cluster.
        reconfiguration: lonja_agent::Policy::Any,
        kill_grace: Duration::from_secs(3),
        logs: crate::args::log_limits(10.0, 5),
        pids_limit: 4_096,
        // What the kernel lets this very user read, which the agent runs as.
        host_paths: HostPaths::Any,
        separation: Separation { profile: shape.profile, ..Separation::default() },
        require_isolation: false,
        secrets: None,
        // Its tasks are the invoking user's own, and share the host's network with that user.
        fetching: Fetching { addresses: Addresses::Any, ..Fetching::default() },
        limits: lonja_agent::LimitSettings::default(),
        disk: lonja_agent::disk::DiskSettings::default(),
        grants: Default::default(),
        executors: Default::default(),
    })
}
