//! The command line, as `clap` reads it: one file for each family of commands.

mod daemons;
mod disk;
mod executors;
mod files;
mod keeping;
mod laboratory;
mod limits;
mod listings;
mod looking;
mod measuring;
pub(crate) mod privileges;
mod resources;
mod run;
mod separation;
pub(crate) mod services;
mod sessions;
mod sharing;
mod starting;
mod upkeep;
mod watching;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use daemons::{Agent, Dev, Master, Reconfiguration, RoleSorter};
pub(crate) use files::{AgentFiles, TaskFiles};
pub(crate) use keeping::ServicesDaemon;
pub(crate) use laboratory::{OpenbFormat, OpenbList, ReportFormat, SimOpenb, SimRun};
pub(crate) use listings::{Format, Kill, List, ListTasks, Logs};
pub(crate) use looking::{Files, Stats};
pub(crate) use measuring::{Bench, BenchCommand, Fuzz, Sim, SimCommand};
pub(crate) use resources::{Reservations, ReservationsCommand, Reserve, Volume, Volumes, VolumesCommand};
pub(crate) use run::Run;
pub(crate) use separation::{RunSeparation, Separation};
pub(crate) use services::Service;
pub(crate) use sessions::{Attach, Exec};
pub(crate) use sharing::{Explain, Quota, QuotaCommand, Weights, WeightsCommand};
pub(crate) use starting::Init;
pub(crate) use upkeep::{Agents, AgentsCommand, Drain, Maintenance, MaintenanceCommand};

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
    Agent(Box<Agent>),
    /// Run the services: apps that stay up, in the manner of Marathon.
    Services(Box<ServicesDaemon>),
    /// Run a command on the cluster; stream its output; exit with its status.
    Run(Box<Run>),
    /// List agents; deactivate, reactivate or give up one.
    Agents(Agents),
    /// List frameworks.
    Frameworks(List),
    /// List roles.
    Roles(List),
    /// List tasks.
    Tasks(ListTasks),
    /// List outstanding offers.
    Offers(List),
    /// What roles are sure of, and what they may have at most.
    Quota(Quota),
    /// How much of the cluster roles get beside others.
    Weights(Weights),
    /// Resources that are set aside for roles.
    Reservations(Reservations),
    /// Volumes that outlive their tasks.
    Volumes(Volumes),
    /// Empty an agent: no more offers, and its tasks are ended.
    Drain(Drain),
    /// When machines are out of use.
    Maintenance(Maintenance),
    /// Say why a task waits; what a framework or role gets, what it could get, and what stands in the way.
    Explain(Explain),
    /// Print a task's output.
    Logs(Logs),
    /// Run a command in a task's container.
    Exec(Exec),
    /// Show what a task writes, and type into its terminal.
    Attach(Attach),
    /// Say what tasks use: processor, memory, processes, disk, network.
    Stats(Stats),
    /// List, print or download a task's files.
    Files(Files),
    /// Kill a task.
    Kill(Kill),
    /// Services that stay up: apps, pods, groups and jobs.
    Service(Box<Service>),
    /// Drive the production code in virtual time.
    Sim(Sim),
    /// Measure.
    Bench(Bench),
    /// Begin a scheduler of your own: a crate with tests.
    Init(Init),
    /// Print the version.
    Version,
    /// Print a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// What files of so many MiB, and so many of them, mean for tasks' output.
pub(crate) fn log_limits(mebibytes: f64, files: u32) -> Option<lonja_agent::config::LogLimits> {
    // Saturating: more than there are disks for.
    let bytes = (mebibytes * 1_048_576.0) as u64;
    let limits = lonja_agent::config::LogLimits { stdout_bytes: bytes, stderr_bytes: bytes, files };
    (bytes > 0).then_some(limits)
}

/// Which master.
#[derive(Clone, Debug, Args)]
pub(crate) struct MasterUrl {
    /// The master.
    #[arg(long, default_value = DEFAULT_MASTER, value_name = "URL", env = "LONJA_MASTER")]
    pub(crate) master: String,
}

/// What commands of a family with verbs have in common; may stand before the verb or behind it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Family {
    /// The master.
    #[arg(long, global = true, default_value = DEFAULT_MASTER, value_name = "URL", env = "LONJA_MASTER")]
    pub(crate) master: String,
    /// How to print the outcome.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Only the ids.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// How long to wait for the master, where something is to be changed.
    #[arg(long, global = true, default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,
}

/// A length of time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
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

/// A size: a bare number of mebibytes, or one with a unit; in whole bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let bytes = mebibytes(text)? * f64::from(1 << 20);
    // Far above any disk, and exact as a number with a fraction.
    if bytes < 1e15 { Ok(bytes as u64) } else { Err(format!("{text:?} is too large")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_flag_of_the_daemons_is_documented() {
        let page = include_str!("../../../docs/operations.md");
        let lonja = Lonja::command();
        for daemon in ["master", "agent", "services"] {
            let command = lonja.find_subcommand(daemon).unwrap();
            let flags = command.get_arguments().filter_map(|flag| flag.get_long());
            let missing: Vec<&str> =
                flags.filter(|flag| !page.contains(&format!("`--{flag}")) && *flag != "help").collect();
            assert!(
                missing.is_empty(),
                "docs/operations.md does not have these flags of {daemon}: {missing:?}"
            );
        }
    }

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
