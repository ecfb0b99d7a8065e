//! The daemons' flags. Each is a key of a config file and a variable of the environment as well.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use lonja_model::agent::Domain;
use lonja_model::privileges::{Capability, Rlimit};
use lonja_model::profile::Profile;
use lonja_model::resources::Quantities;

use super::disk::DiskFlags;
use super::{AgentFiles, DEFAULT_MASTER, Format, duration, mebibytes};

/// A whole cluster in one process.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// How many agents.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), env = "LONJA_DEV_AGENTS")]
    pub(crate) agents: u16,
    /// What each agent has, such as 'cpus:4;mem:8192;ports:[31000-32000]'; without this, agents share this machine.
    #[arg(long, value_name = "RESOURCES", env = "LONJA_DEV_AGENT_RESOURCES")]
    pub(crate) agent_resources: Option<String>,
    /// Where the master listens; port 0: a free one, also for the agents.
    #[arg(long, default_value = "127.0.0.1:5050", value_name = "ADDRESS", env = "LONJA_DEV_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Where the services listen; port 0: a free one. Without this 8080, or a free one with a free one for the master.
    #[arg(long, value_name = "ADDRESS", env = "LONJA_DEV_SERVICES_LISTEN")]
    pub(crate) services_listen: Option<SocketAddr>,
    /// Leave the services out.
    #[arg(long, conflicts_with = "services_listen", env = "LONJA_DEV_NO_SERVICES")]
    pub(crate) no_services: bool,
    /// How strictly tasks are kept apart from this host, unless they ask for more: host, default or hardened.
    #[arg(long, default_value_t = Profile::Default, value_name = "PROFILE", env = "LONJA_DEV_PROFILE")]
    pub(crate) profile: Profile,
    /// Where the cluster keeps its files.
    #[arg(long, default_value = "./lonja-data", value_name = "DIR", env = "LONJA_DEV_WORK_DIR")]
    pub(crate) work_dir: PathBuf,
    /// Read settings from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// A master.
#[derive(Debug, Args)]
pub(crate) struct Master {
    /// Where the registry is kept.
    #[arg(long, value_name = "DIR", env = "LONJA_MASTER_WORK_DIR")]
    pub(crate) work_dir: PathBuf,
    /// Where to listen; port 0: a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:5050", value_name = "ADDRESS", env = "LONJA_MASTER_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// The name that others reach it by; without this, its address.
    #[arg(long, env = "LONJA_MASTER_HOSTNAME")]
    pub(crate) hostname: Option<String>,
    /// How often each agent is asked whether it is there.
    #[arg(long, default_value = "15s", value_parser = duration, env = "LONJA_MASTER_AGENT_PING_TIMEOUT")]
    pub(crate) agent_ping_timeout: Duration,
    /// After so many unanswered pings an agent is unreachable.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), env = "LONJA_MASTER_MAX_AGENT_PING_TIMEOUTS")]
    pub(crate) max_agent_ping_timeouts: u32,
    /// How long the master waits after its start for agents it knows.
    #[arg(long, default_value = "10m", value_parser = duration, env = "LONJA_MASTER_AGENT_REREGISTER_TIMEOUT")]
    pub(crate) agent_reregister_timeout: Duration,
    /// Changes within this time are allocated together.
    #[arg(long, default_value = "5ms", value_parser = duration, env = "LONJA_MASTER_ALLOCATION_WINDOW")]
    pub(crate) allocation_window: Duration,
    /// An offer not answered for so long is rescinded; 0s: never.
    #[arg(long, default_value = "60s", value_parser = duration, env = "LONJA_MASTER_OFFER_TIMEOUT")]
    pub(crate) offer_timeout: Duration,
    /// What an offer must hold at least, such as 'cpus:0.01'; given more than once, or with | between, one of them
    /// will do; none: any offer will do.
    #[arg(long, value_name = "RESOURCES", value_parser = super::sharing::amounts, value_delimiter = '|', default_values = ["cpus:0.01", "mem:32"], env = "LONJA_MASTER_MIN_OFFER")]
    pub(crate) min_offer: Vec<Quantities>,
    /// In which order roles and frameworks are served.
    #[arg(long, value_enum, default_value_t = RoleSorter::Drf, env = "LONJA_MASTER_ROLE_SORTER")]
    pub(crate) role_sorter: RoleSorter,
    /// What does not count for shares, such as gpus; may be given more than once, or with commas.
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        env = "LONJA_MASTER_FAIR_SHARING_EXCLUDED_RESOURCES"
    )]
    pub(crate) fair_sharing_excluded_resources: Vec<String>,
    /// Into how many slices an agent is cut at most when more wait than there are agents; 1: whole agents only.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024), env = "LONJA_MASTER_MOST_SLICES")]
    pub(crate) most_slices: u32,
    /// Offer agents with GPUs also to frameworks that do not say they understand GPUs.
    #[arg(long, env = "LONJA_MASTER_SHARE_GPU_AGENTS")]
    pub(crate) share_gpu_agents: bool,
    /// After a restart with quotas, nothing is offered until so many per cent of the known agents are back ...
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(0..=100), env = "LONJA_MASTER_RECOVERY_QUORUM")]
    pub(crate) recovery_quorum: u32,
    /// ... or so much time has passed; 0s: offers begin at once.
    #[arg(long, default_value = "10m", value_parser = duration, env = "LONJA_MASTER_RECOVERY_PAUSE")]
    pub(crate) recovery_pause: Duration,
    /// When more than this many per cent of the agents are silent together, none is declared unreachable.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100), env = "LONJA_MASTER_REMOVAL_BRAKE")]
    pub(crate) removal_brake: u32,
    /// At most so many agents a minute are declared unreachable.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), env = "LONJA_MASTER_REMOVAL_RATE")]
    pub(crate) removal_rate: u32,
    /// Where the master is, such as eu-west/a. Agents say where they are only if it does; those of other regions are
    /// offered only to frameworks that care for regions.
    #[arg(long, value_name = "REGION/ZONE", env = "LONJA_MASTER_DOMAIN")]
    pub(crate) domain: Option<Domain>,
    /// Refuse agents that do not say where they are.
    #[arg(long, requires = "domain", env = "LONJA_MASTER_REQUIRE_AGENT_DOMAIN")]
    pub(crate) require_agent_domain: bool,
    /// Calls a second that one framework may make in the long run; twice as many at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), env = "LONJA_MASTER_CALLS_PER_SECOND")]
    pub(crate) calls_per_second: u32,
    /// Agents that may be known at once.
    #[arg(long, default_value_t = 200_000, env = "LONJA_MASTER_MAX_AGENTS")]
    pub(crate) max_agents: usize,
    /// Removed frameworks that are remembered with their tasks.
    #[arg(long, default_value_t = 50, env = "LONJA_MASTER_MAX_COMPLETED_FRAMEWORKS")]
    pub(crate) max_completed_frameworks: usize,
    /// Ended tasks that are remembered for each framework.
    #[arg(long, default_value_t = 1_000, env = "LONJA_MASTER_MAX_COMPLETED_TASKS")]
    pub(crate) max_completed_tasks: usize,
    /// Read settings from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// An agent.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// Say what this host can enforce, and exit.
    #[arg(long)]
    pub(crate) check: bool,
    /// The form of what --check says.
    #[arg(short, long, value_enum, default_value_t = Format::Table, requires = "check")]
    pub(crate) output: Format,
    /// Where checkpoints, run directories and sandboxes are kept.
    #[arg(long, value_name = "DIR", env = "LONJA_AGENT_WORK_DIR", required_unless_present = "check")]
    pub(crate) work_dir: Option<PathBuf>,
    /// The master.
    #[arg(long, default_value = DEFAULT_MASTER, value_name = "URL", env = "LONJA_MASTER")]
    pub(crate) master: String,
    /// Where to listen; port 0: a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:5051", value_name = "ADDRESS", env = "LONJA_AGENT_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// The name that others reach it by; without this, its address.
    #[arg(long, env = "LONJA_AGENT_HOSTNAME")]
    pub(crate) hostname: Option<String>,
    /// What it has, such as 'cpus:4;mem:8192;disk:100000;ports:[31000-32000]' (mem and disk in MiB); without
    /// this, what this host has. Or as JSON, or file://PATH with it, which can also name disks of their own.
    #[arg(long, env = "LONJA_AGENT_RESOURCES")]
    pub(crate) resources: Option<String>,
    /// Resources beyond these that can be taken back at any time, such as 'cpus:2;mem:512'; offered to frameworks that
    /// understand that.
    #[arg(long, value_name = "RESOURCES", env = "LONJA_AGENT_OVERSUBSCRIBE")]
    pub(crate) oversubscribe: Option<String>,
    /// What it says of itself, such as 'rack:r1;ssd:true'.
    #[arg(long, default_value = "", env = "LONJA_AGENT_ATTRIBUTES")]
    pub(crate) attributes: String,
    /// Where it is, such as eu-west/a; the master must say where it is, too.
    #[arg(long, value_name = "REGION/ZONE", env = "LONJA_AGENT_DOMAIN")]
    pub(crate) domain: Option<Domain>,
    /// What may change over a restart: nothing, or only more of it.
    #[arg(long, value_enum, default_value_t = Reconfiguration::Equal, env = "LONJA_AGENT_RECONFIGURATION_POLICY")]
    pub(crate) reconfiguration_policy: Reconfiguration,
    /// How long a kill waits between SIGTERM and SIGKILL, unless the task says otherwise.
    #[arg(long, default_value = "3s", value_parser = duration, env = "LONJA_AGENT_KILL_GRACE")]
    pub(crate) kill_grace: Duration,
    /// Processes and threads that one task may have.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..), env = "LONJA_AGENT_PIDS_LIMIT")]
    pub(crate) pids_limit: u64,
    /// How much of each output of a task one file holds, in MiB or with a unit; then the next one is begun. A task
    /// may ask for less. 0: tasks write their files themselves, without a bound.
    #[arg(long, default_value = "10MiB", value_parser = mebibytes, value_name = "SIZE", env = "LONJA_AGENT_LOG_MAX_SIZE")]
    pub(crate) log_max_size: f64,
    /// How many files of each output are kept, the present one included; the oldest go.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=1000), value_name = "COUNT", env = "LONJA_AGENT_LOG_FILES")]
    pub(crate) log_files: u32,
    /// A path of this host that tasks may mount, with all below it; may be given more than once. Without
    /// this, none.
    #[arg(long, value_name = "PATH", env = "LONJA_AGENT_ALLOW_HOST_PATH", value_delimiter = ',')]
    pub(crate) allow_host_path: Vec<PathBuf>,
    /// A capability beyond the usual ones that tasks may ask for, such as NET_RAW; may be given more than once.
    #[arg(long, value_name = "CAPABILITY", env = "LONJA_AGENT_ALLOW_CAPABILITY", value_delimiter = ',')]
    pub(crate) allow_capability: Vec<Capability>,
    /// A limit of each process in place of the usual one, such as NOFILE=1024:4096; may be given more than once.
    #[arg(long, value_name = "NAME=SOFT[:HARD]", env = "LONJA_AGENT_RLIMIT", value_delimiter = ',')]
    pub(crate) rlimit: Vec<Rlimit>,
    #[command(flatten)]
    pub(crate) separation: super::Separation,
    /// Refuse to start where tasks cannot be held to their limits.
    #[arg(long, env = "LONJA_AGENT_REQUIRE_ISOLATION")]
    pub(crate) require_isolation: bool,
    #[command(flatten)]
    pub(crate) files: AgentFiles,
    #[command(flatten)]
    pub(crate) limits: super::limits::AgentLimits,
    #[command(flatten)]
    pub(crate) disk: DiskFlags,
    #[command(flatten)]
    pub(crate) executors: super::executors::ExecutorFlags,
    /// Read settings from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What may change over a restart of an agent.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Reconfiguration {
    /// Nothing.
    Equal,
    /// It may grow.
    Additive,
}

/// In which order roles and frameworks are served.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleSorter {
    /// The smallest weighted dominant share first.
    Drf,
    /// By chance, in proportion to the weights.
    Random,
}
