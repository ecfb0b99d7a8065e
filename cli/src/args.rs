//! The command line, as `clap` reads it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lonja_model::agent::Domain;

/// The master that is asked unless told otherwise.
pub(crate) const DEFAULT_MASTER: &str = "http://127.0.0.1:5050";

/// A two-level cluster manager: a master offers the resources of many agents to frameworks.
#[derive(Debug, Parser)]
#[command(name = "lonja", version, about, args_override_self = true, propagate_version = true)]
pub(crate) struct Lonja {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What is logged: error, warn, info, debug, trace, or a filter such as lonja_master=debug.
    #[arg(long, global = true, env = "LONJA_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up a whole cluster in one process: a master and some agents.
    Dev(Dev),
    /// Run a master.
    Master(Master),
    /// Run an agent.
    Agent(Agent),
    /// Run a command on the cluster; stream its output; exit with its status.
    Run(Run),
    /// List agents.
    Agents(List),
    /// List frameworks.
    Frameworks(List),
    /// List roles.
    Roles(List),
    /// List tasks.
    Tasks(ListTasks),
    /// List outstanding offers.
    Offers(List),
    /// Print a task's output.
    Logs(Logs),
    /// Kill a task.
    Kill(Kill),
    /// Drive the production code in virtual time.
    Sim(Sim),
    /// Measure.
    Bench(Bench),
    /// Print the version.
    Version,
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

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
    /// this, what this host has.
    #[arg(long, env = "LONJA_AGENT_RESOURCES")]
    pub(crate) resources: Option<String>,
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
    /// A path of this host that tasks may mount, with all below it; may be given more than once. Without
    /// this, none.
    #[arg(long, value_name = "PATH", env = "LONJA_AGENT_ALLOW_HOST_PATH", value_delimiter = ',')]
    pub(crate) allow_host_path: Vec<PathBuf>,
    /// Refuse to start where tasks cannot be held to their limits.
    #[arg(long, env = "LONJA_AGENT_REQUIRE_ISOLATION")]
    pub(crate) require_isolation: bool,
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

/// A command on the cluster.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with the command's own status; 128+N when signal N ended it; 125 when it could not \
                        be run: refused, unreachable, or larger than every agent."
)]
pub(crate) struct Run {
    /// Bring up a cluster for this one command, and leave nothing behind.
    #[arg(long, conflicts_with = "master")]
    pub(crate) dev: bool,
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// How long to wait for the master.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,
    /// CPUs it needs.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    pub(crate) cpus: f64,
    /// Memory it needs, in MiB or with a unit, such as 512MiB; more ends it.
    #[arg(long, default_value = "64", value_parser = mebibytes, allow_negative_numbers = true)]
    pub(crate) mem: f64,
    /// Disk it needs, in MiB or with a unit.
    #[arg(long, default_value = "0", value_parser = mebibytes, allow_negative_numbers = true)]
    pub(crate) disk: f64,
    /// How many ports it needs; it finds them in PORT0, PORT1 and so on.
    #[arg(long, default_value_t = 0)]
    pub(crate) ports: usize,
    /// The role whose share it uses.
    #[arg(long, default_value = "*")]
    pub(crate) role: String,
    /// A path of the agent's host to mount: HOST:PATH, or HOST:PATH:ro. May be given more than once.
    #[arg(short = 'v', long = "volume", value_name = "HOST:PATH[:ro]")]
    pub(crate) volumes: Vec<String>,
    /// A variable of its environment: K=V. May be given more than once.
    #[arg(short = 'e', long = "env", value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// The user it runs as on the agent; without this, yours.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// How many of it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) instances: u32,
    /// What to call it.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// Which master.
#[derive(Clone, Debug, Args)]
pub(crate) struct MasterUrl {
    /// The master.
    #[arg(long, default_value = DEFAULT_MASTER, value_name = "URL", env = "LONJA_MASTER")]
    pub(crate) master: String,
}

/// How a listing is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide windows.
    Wide,
    /// For programs.
    Json,
}

/// A listing.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Only the ids.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A listing of tasks.
#[derive(Debug, Args)]
pub(crate) struct ListTasks {
    #[command(flatten)]
    pub(crate) list: List,
    /// Also those that have ended.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only those of this framework.
    #[arg(long)]
    pub(crate) framework: Option<String>,
}

/// A task's output.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// The task.
    pub(crate) task: String,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// Go on until the task has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// What it wrote to stderr in place of stdout.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Begin so many lines before the end.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
}

/// The end of a task.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// The task.
    pub(crate) task: String,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// How long to wait for the master.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,
}

/// Virtual time.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    #[command(subcommand)]
    pub(crate) command: SimCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run a small cluster through drawn kills and restarts, seed by seed, and check every promise.
    Fuzz {
        /// How many seeds.
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// The first seed; the others follow.
        #[arg(long)]
        seed: Option<u64>,
    },
}

/// Figures.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Cold start, launch latency, offer latency and memory of a dev cluster.
    First {
        /// Tasks launched one after another.
        #[arg(long, default_value_t = 500)]
        tasks: u32,
        /// Cold starts.
        #[arg(long, default_value_t = 11)]
        starts: u32,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write, for example, 15s, 5ms or 10m"))
}

/// An amount of mebibytes: a bare number, or one with a unit.
pub(crate) fn mebibytes(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    let number = &text[..text.len() - unit.len()];
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mi" | "mib" => 1.0,
        "mb" => 1e6 / (1 << 20) as f64,
        "k" | "ki" | "kib" => 1.0 / 1024.0,
        "g" | "gi" | "gib" => 1024.0,
        "gb" => 1e9 / (1 << 20) as f64,
        "t" | "ti" | "tib" => 1024.0 * 1024.0,
        other => {
            return Err(format!("{other:?} is no unit of memory; write, for example, 64, 512MiB or 2GiB"));
        }
    };
    let amount: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no amount; write, for example, 64, 512MiB or 2GiB"))?;
    if amount < 0.0 {
        return Err(format!("{text:?} is below zero"));
    }
    Ok(amount * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_makes_sense() {
        Lonja::command().debug_assert();
    }

    #[test]
    fn amounts_of_memory_take_units() {
        assert_eq!(mebibytes("64"), Ok(64.0));
        assert_eq!(mebibytes("2GiB"), Ok(2048.0));
        assert_eq!(mebibytes("512k"), Ok(0.5));
        assert!(mebibytes("-1").is_err() && mebibytes("x").is_err() && mebibytes("1 parsec").is_err());
    }
}
