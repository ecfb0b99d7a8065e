//! What the daemon is told at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lonja_agent_core::Policy;
use lonja_model::AgentInfo;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::fetcher::Fetching;
use crate::secrets::SecretResolver;
use crate::supervisor::{Identity, VolumeSource};

use crate::disk::DiskSettings;
use crate::executors::ExecutorSettings;
use crate::privileges::Grants;
use crate::separation::Separation;
pub use crate::supervisor::LogLimits;
use crate::task_limits::LimitSettings;

/// How long open requests may take when the agent stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of one agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0: a free one.
    pub listen: SocketAddr,
    /// The name that others reach it by; `None`: its address.
    pub hostname: Option<String>,
    /// The master, as `http://host:port`.
    pub master: String,
    /// Where checkpoints, run directories and sandboxes are kept.
    pub work_dir: PathBuf,
    /// What the agent is: its resources, attributes and domain. Hostname and port are taken from above.
    pub info: AgentInfo,
    /// What may change over a restart.
    pub reconfiguration: Policy,
    /// How long a kill waits between asking and forcing, unless the task says otherwise.
    pub kill_grace: Duration,
    /// Processes and threads that one task may have.
    pub pids_limit: u64,
    /// Which paths of the host tasks may mount.
    pub host_paths: HostPaths,
    /// Refuse to start where tasks cannot be held to their limits.
    pub require_isolation: bool,
    /// Where secrets are looked up that tasks name; `None`: nowhere.
    pub secrets: Option<Arc<dyn SecretResolver>>,
    /// From where files are fetched for tasks, and how much.
    pub fetching: Fetching,
    /// How much of a task's output is kept; `None`: all of it.
    pub logs: Option<LogLimits>,
    /// Rules for the limits of all tasks.
    pub limits: LimitSettings,
    /// How tasks are held to their disk, and how long their files stay.
    pub disk: DiskSettings,
    /// What tasks may ask of the kernel.
    pub grants: Grants,
    /// How strictly tasks are kept apart from the host.
    pub separation: Separation,
    /// How custom executors are treated.
    pub executors: ExecutorSettings,
}

/// Which paths of the host tasks may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPaths {
    /// Any that whoever started this process may read: for a cluster of one's own.
    Any,
    /// These and what is below them; an empty list allows none.
    Below(Vec<PathBuf>),
}

/// A path of the host that tasks may use, bound to what was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Absolute, links resolved: to be opened without following any.
    pub path: PathBuf,
    /// What was there.
    pub identity: Identity,
}

impl From<Admitted> for VolumeSource {
    fn from(admitted: Admitted) -> Self {
        let Admitted { path, identity } = admitted;
        Self::Host { path, identity: Some(identity) }
    }
}

impl HostPaths {
    /// What is at `path`, links resolved, if tasks may use it. Errors: why not, and what to do.
    ///
    /// A path below an allowed one stays there: between this look and the mount no link on the way is followed, and
    /// nothing else is taken in its place.
    pub fn admit(&self, path: &Path) -> Result<Admitted, String> {
        let refuse = |error: &dyn std::fmt::Display| format!("volume {}: {error}", path.display());
        let real = path.canonicalize().map_err(|error| refuse(&error))?;
        match self {
            Self::Any => {
                // By the real user id: what whoever started the cluster may read, and nothing more.
                let access = rustix::fs::Access::READ_OK;
                rustix::fs::access(&real, access)
                    .map_err(|error| refuse(&format!("you may not read it: {error}")))?;
            }
            Self::Below(roots) if roots.iter().any(|root| real.starts_with(root)) => {}
            Self::Below(_) => {
                return Err(refuse(
                    &"this agent does not let tasks mount it; start the agent with --allow-host-path",
                ));
            }
        }
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let identity = rustix::fs::openat2(CWD, &real, flags, Mode::empty(), resolve)
            .map_err(Into::into)
            .and_then(Identity::of)
            .map_err(|error: std::io::Error| refuse(&error))?;
        Ok(Admitted { path: real, identity })
    }
}
