//! `lonja services`: the flags of the daemon that keeps services up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DEFAULT_MASTER, duration};

/// The services.
#[derive(Debug, Args)]
pub(crate) struct ServicesDaemon {
    /// The master; several of one cluster with commas between.
    #[arg(long, default_value = DEFAULT_MASTER, value_name = "URL", env = "LONJA_MASTER")]
    pub(crate) master: String,
    /// Where the REST interface listens; port 0: a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS", env = "LONJA_SERVICES_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// The name that others reach it by; without this, its address.
    #[arg(long, env = "LONJA_SERVICES_HOSTNAME")]
    pub(crate) hostname: Option<String>,
    /// Where definitions and all else that was promised are kept.
    #[arg(long, value_name = "DIR", env = "LONJA_SERVICES_WORK_DIR")]
    pub(crate) work_dir: PathBuf,
    /// The framework's name.
    #[arg(
        long,
        default_value = "lonja-services",
        value_name = "NAME",
        env = "LONJA_SERVICES_FRAMEWORK_NAME"
    )]
    pub(crate) framework_name: String,
    /// Whom tasks run as that name nobody; without this, the user of this process.
    #[arg(long, env = "LONJA_SERVICES_USER")]
    pub(crate) user: Option<String>,
    /// The role of services that name none.
    #[arg(long, default_value = "*", env = "LONJA_SERVICES_ROLE")]
    pub(crate) role: String,
    /// Another role that services may have, such as the name of a top-level group; may be given more than once.
    #[arg(long, value_name = "ROLE", value_delimiter = ',', env = "LONJA_SERVICES_ALSO_ROLE")]
    pub(crate) also_role: Vec<String>,
    /// How long tasks outlive this daemon: as long as a weekend or a repair may take.
    #[arg(long, default_value = "7d", value_parser = duration, env = "LONJA_SERVICES_FAILOVER_TIMEOUT")]
    pub(crate) failover_timeout: Duration,
    /// Service ports are given from here ...
    #[arg(long, default_value_t = 10_000, value_name = "PORT", env = "LONJA_SERVICES_LOCAL_PORT_MIN")]
    pub(crate) local_port_min: u16,
    /// ... to here.
    #[arg(long, default_value_t = 20_000, value_name = "PORT", env = "LONJA_SERVICES_LOCAL_PORT_MAX")]
    pub(crate) local_port_max: u16,
    /// Deployments that may run at once.
    #[arg(long, default_value_t = 100, env = "LONJA_SERVICES_MAX_RUNNING_DEPLOYMENTS")]
    pub(crate) max_running_deployments: usize,
    /// Apps and pods that there may be; without this, any number.
    #[arg(long, env = "LONJA_SERVICES_MAX_APPS")]
    pub(crate) max_apps: Option<usize>,
    /// Instances of all apps and pods together that there may be, those that wait included.
    #[arg(long, default_value_t = 100_000, env = "LONJA_SERVICES_MAX_INSTANCES")]
    pub(crate) max_instances: u64,
    /// Versions of an app or pod that are kept beside those in use.
    #[arg(long, default_value_t = 50, env = "LONJA_SERVICES_MAX_VERSIONS")]
    pub(crate) max_versions: usize,
    /// Instances launched on one offer at most.
    #[arg(long, default_value_t = 100, env = "LONJA_SERVICES_MAX_INSTANCES_PER_OFFER")]
    pub(crate) max_instances_per_offer: usize,
    /// Kills under way at once.
    #[arg(long, default_value_t = 100, env = "LONJA_SERVICES_KILL_CHUNK_SIZE")]
    pub(crate) kill_chunk_size: usize,
    /// A deployment fails when nothing has got better for so long, unless its app says otherwise.
    #[arg(long, default_value = "10m", value_parser = duration, env = "LONJA_SERVICES_PROGRESS_DEADLINE")]
    pub(crate) progress_deadline: Duration,
    /// A task that was launched and is not heard of for so long is given up.
    #[arg(long, default_value = "5m", value_parser = duration, env = "LONJA_SERVICES_LAUNCH_TIMEOUT")]
    pub(crate) launch_timeout: Duration,
    /// An instance gets no new requests for so long before it is killed.
    #[arg(long, default_value = "0s", value_parser = duration, env = "LONJA_SERVICES_DRAIN")]
    pub(crate) drain: Duration,
    /// Put services without GPUs on agents with GPUs too.
    #[arg(long, env = "LONJA_SERVICES_SHARE_GPU_AGENTS")]
    pub(crate) share_gpu_agents: bool,
    /// Stands before the names HOST and PORT... in the environment of tasks.
    #[arg(long, default_value = "", value_name = "PREFIX", env = "LONJA_SERVICES_ENV_VARS_PREFIX")]
    pub(crate) env_vars_prefix: String,
    /// Services in new top-level groups must have the group's name for a role.
    #[arg(long, env = "LONJA_SERVICES_NEW_GROUPS_ENFORCE_ROLE")]
    pub(crate) new_groups_enforce_role: bool,
    /// Answer names, such as web.prod.lonja, over UDP and TCP at this address.
    #[arg(long, value_name = "ADDRESS", env = "LONJA_SERVICES_DNS_LISTEN")]
    pub(crate) dns_listen: Option<SocketAddr>,
    /// The zone of these names.
    #[arg(long, default_value = "lonja", value_name = "ZONE", env = "LONJA_SERVICES_DNS_ZONE")]
    pub(crate) dns_zone: String,
    /// How long answers with names may be kept.
    #[arg(long, default_value = "5s", value_parser = duration, env = "LONJA_SERVICES_DNS_TTL")]
    pub(crate) dns_ttl: Duration,
    /// Listen on the service ports of all apps, and pass on what comes to their healthy instances.
    #[arg(long, env = "LONJA_SERVICES_PROXY")]
    pub(crate) proxy: bool,
    /// The address of the service ports; without this, that of --listen.
    #[arg(long, value_name = "IP", requires = "proxy", env = "LONJA_SERVICES_PROXY_BIND")]
    pub(crate) proxy_bind: Option<IpAddr>,
    /// Read settings from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}
