//! `lonja run`.

use std::time::Duration;

use clap::Args;

use super::watching::Watching;
use super::{MasterUrl, TaskFiles, duration, mebibytes};

/// A command on the cluster.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with the command's own status; 128+N when signal N ended it; 125 when it could not \
                        be run: refused, unreachable, or larger than every agent."
)]
pub(crate) struct Run {
    /// Bring up a cluster for this one command, and leave nothing behind.
    #[arg(long)]
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
    #[command(flatten)]
    pub(crate) limits: super::limits::RunLimits,
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
    /// Give it this pipe's, or this terminal's, input; with -t, type into its terminal.
    #[arg(short, long, conflicts_with = "instances")]
    pub(crate) interactive: bool,
    /// Give it a terminal of its own; with -i, Ctrl-C is a key of its.
    #[arg(short, long, conflicts_with = "instances")]
    pub(crate) tty: bool,
    #[command(flatten)]
    pub(crate) separation: super::RunSeparation,
    #[command(flatten)]
    pub(crate) privileges: super::privileges::RunPrivileges,
    /// How many of it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) instances: u32,
    /// What to call it.
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) watching: Watching,
    #[command(flatten)]
    pub(crate) files: TaskFiles,
    /// Run another command beside it, on the same agent: NAME=COMMAND, a line for sh. May be given more than once. They
    /// start together and fall together, share a network with --network none, see one folder, ./shared, and end when
    /// the command itself has ended. Each has the resources, volumes, variables and separation of the command.
    #[arg(long, value_name = "NAME=COMMAND", conflicts_with = "instances")]
    pub(crate) with: Vec<String>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}
