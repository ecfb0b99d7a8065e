//! What the daemon is told at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lonja_agent_core::Policy;
use lonja_model::AgentInfo;

use crate::disk::DiskSettings;
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
}

/// Which paths of the host tasks may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPaths {
    /// Any: for a cluster of one's own.
    Any,
    /// These and what is below them; an empty list allows none.
    Below(Vec<PathBuf>),
}

impl HostPaths {
    /// The path itself, links resolved, if tasks may mount it. Errors: why not, and what to do.
    pub fn admit(&self, path: &Path) -> Result<PathBuf, String> {
        let real = path.canonicalize().map_err(|error| format!("volume {}: {error}", path.display()))?;
        match self {
            Self::Any => Ok(real),
            Self::Below(roots) if roots.iter().any(|root| real.starts_with(root)) => Ok(real),
            Self::Below(_) => Err(format!(
                "volume {}: this agent does not let tasks mount it; start the agent with --allow-host-path",
                path.display()
            )),
        }
    }
}
