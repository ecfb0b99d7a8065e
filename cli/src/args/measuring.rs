//! Simulation and figures.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Format, SimOpenb, SimRun};

/// Virtual time.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    #[command(subcommand)]
    pub(crate) command: SimCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run clusters in virtual time through faults drawn from seeds, and check every promise.
    Fuzz(Fuzz),
    /// Run a trace, or a generated workload, under placement policies, and put them beside each other.
    Run(Box<SimRun>),
    /// Fill a recorded GPU cluster by each policy and put the result beside the published one.
    Openb(SimOpenb),
}

/// Faults from seeds.
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// How many seeds; without --seed 100, with it 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: Option<u64>,
    /// The first seed, which the same options repeat exactly; without this, 1.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// How many hours of virtual time the faults of each seed last; after that everything has an hour to settle.
    #[arg(long, value_name = "H", default_value_t = 1.0, value_parser = hours)]
    pub(crate) hours: f64,
    /// Agents in each cluster; without this, each seed draws 5 to 10.
    #[arg(long, value_name = "A", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) agents: Option<u32>,
    /// Frameworks in each cluster; without this, each seed draws 1 to 4.
    #[arg(long, value_name = "F", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) frameworks: Option<u32>,
    /// Which faults: all, none, or some of kills, network, disks, clocks, operators, health, parted by commas.
    #[arg(long, value_name = "PROFILE", default_value = "all")]
    pub(crate) faults: lonja_sim::Profile,
    /// Of the faults that a seed draws only these, by their numbers, parted by commas, as a failure prints them.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "seed")]
    pub(crate) keep: Option<Vec<usize>>,
    /// Begin no seed after so long, such as 5m; the report says how many there were.
    #[arg(long, value_name = "T", value_parser = super::duration)]
    pub(crate) time_limit: Option<Duration>,
    /// Write every event of a single seed into this file, a JSON object a line.
    #[arg(long, value_name = "FILE", requires = "seed", conflicts_with = "seeds")]
    pub(crate) trace: Option<PathBuf>,
    /// How many seeds at once; without this, as many as there are cores.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// What the report looks like.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
}

/// Hours of virtual time. Errors: not a number, not above 0, more than 1,000.
fn hours(text: &str) -> Result<f64, String> {
    let hours = text.parse::<f64>().ok().filter(|hours| *hours > 0.0 && *hours <= 1_000.0);
    hours.ok_or_else(|| "write a number of hours above 0 and at most 1000, such as 1 or 0.25".to_owned())
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
    /// What it takes to start a container, beside runc, crun and bubblewrap where they are installed.
    Start(crate::commands::bench::start::StartOptions),
    /// A master under a load of agents and frameworks over real connections, beside the figures of the last Mesos.
    Master(crate::commands::bench::master::MasterOptions),
    /// Services on a dev cluster, through the REST interface: a killed instance's successor, and 1 scaled to 100.
    Services {
        /// How many instances are killed.
        #[arg(long, default_value_t = 50)]
        kills: u32,
        /// How often one is scaled to a hundred.
        #[arg(long, default_value_t = 5)]
        scales: u32,
    },
    /// An agent with many containers at rest: its memory and processor time, and how fast it is back after `kill -9`.
    Recover {
        /// How many sleep.
        #[arg(long, default_value_t = 1000)]
        containers: u32,
    },
    /// The other side of `start`: runs a peer's containers as it is asked through a pipe.
    #[command(hide = true)]
    StartPeer {
        /// Which.
        #[arg(value_enum)]
        peer: crate::commands::bench::start::Peer,
        /// Where its root and its bundle are.
        folder: PathBuf,
    },
}
