//! `lonja bench master`: one master, a process of its own with its registry on the disk, under a load of agents and
//! frameworks over real connections.
//!
//! The load is one thread of this process: every agent has a connection of its own and speaks the link's protocol, and
//! frameworks speak as any client does. What the load costs is told beside what the master does, for both share
//! the machine. Beside them stand the figures of the last Mesos, taken on another machine of the same kind: they
//! are for orientation, and not measured here.

mod agent;
mod cost;
mod door;
mod figures;
mod framework;
mod generator;
mod http1;
mod http2;
mod measures;
mod socket;

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::Format;
use crate::dev::Prepared;
use crate::output;
use door::DoorKind;
use measures::Bench;

/// Descriptors of this process and of the master beside the agents' and frameworks' connections.
const OTHER_DESCRIPTORS: usize = 256;

/// Tasks that an agent has room for, with some to spare.
const TASKS_PER_AGENT: u64 = 300;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// Agents register; the master's memory with them, and its processor time while they rest.
    Agents,
    /// Tasks launched, running and acknowledged.
    Launch,
    /// Tasks launched, run, finished and acknowledged, again and again.
    Churn,
    /// SUBSCRIBE until all agents are offered; all declined until they are offered again.
    Offers,
    /// GET /state, and how long offers take meanwhile.
    State,
    /// Very many calls of one client at once.
    Pipelined,
}

/// With how much.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MasterOptions {
    /// What to measure; may be given more than once, or with commas. Without this: everything.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MEASURE")]
    only: Vec<Measure>,
    /// Agents, each on a connection of its own.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = positive)]
    agents: usize,
    /// Tasks to launch, and there while /state is read; at most 300 for an agent.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    tasks: u64,
    /// Frameworks to launch with, one number after another.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50], value_name = "N", value_parser = positive)]
    frameworks: Vec<usize>,
    /// By which door frameworks come in, one after another.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [DoorKind::Grpc, DoorKind::HttpProtobuf, DoorKind::HttpJson])]
    door: Vec<DoorKind>,
    /// Tasks that are there at once while tasks come and go.
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    in_flight: u64,
    /// Calls that one client makes at once.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    calls: u64,
    /// How long agents rest, in seconds: they are asked every 15 whether they are there.
    #[arg(long, default_value_t = 15.0, value_name = "S", value_parser = seconds)]
    rest: f64,
    /// How long tasks come and go, in seconds.
    #[arg(long, default_value_t = 5.0, value_name = "S", value_parser = seconds)]
    seconds: f64,
    /// How often each is measured; the medians are told. What is pipelined, and `/state` calm and under load, is measured once.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// How to print the figures.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| "write a whole number from 1 to 100000".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    number.ok_or_else(|| "write a number of seconds from 0.01 to 600".to_owned())
}

impl MasterOptions {
    /// What cannot be. A task that finds no room would be waited for in vain.
    fn check(&self) -> anyhow::Result<()> {
        let room = self.agents as u64 * TASKS_PER_AGENT;
        let launched = self.wants(Measure::Launch) || self.wants(Measure::State);
        let most = [self.tasks * u64::from(launched), self.in_flight * u64::from(self.wants(Measure::Churn))];
        if most.into_iter().any(|tasks| tasks > room) {
            bail!("{} agents have room for {room} tasks; take more agents or fewer tasks", self.agents);
        }
        let most = self.frameworks.iter().max().copied().unwrap_or_default() * 2;
        let needed = (self.agents + most + OTHER_DESCRIPTORS) as u64;
        let (soft, hard) =
            getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of descriptors")?;
        if hard < needed {
            bail!(
                "{} agents need {needed} descriptors, in this process and in the master; this process may have {hard}: \
                 raise the limit (ulimit -Hn) or take fewer agents",
                self.agents
            );
        }
        if soft < needed {
            // The master inherits it.
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
                .context("cannot raise the limit of descriptors")?;
        }
        Ok(())
    }

    fn wants(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }
}

/// Measures.
pub(crate) fn run(options: &MasterOptions, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    options.check()?;
    let work_dir = prepared.temporary.clone().context("a bench needs a folder")?;
    if cfg!(debug_assertions) {
        output::warn("this is a debug build: the figures mean nothing");
    }
    let mut bench = Bench { options, work_dir, masters: 0 };
    let mut figures = Vec::new();
    let progress = |what: &str| output::note(&format!("measuring {what} ..."));
    if options.wants(Measure::Agents) {
        progress("agents");
        figures.extend(bench.agents()?);
    }
    for door in &options.door {
        for count in &options.frameworks {
            if options.wants(Measure::Launch) {
                progress(&format!("launches, {}, {count} frameworks", door.name()));
                figures.push(bench.launch(*door, *count)?);
            }
        }
        for count in &options.frameworks {
            if options.wants(Measure::Churn) {
                progress(&format!("churn, {}, {count} frameworks", door.name()));
                figures.push(bench.churn(*door, *count)?);
            }
        }
        if options.wants(Measure::Offers) {
            progress(&format!("offers, {}", door.name()));
            figures.extend(bench.offers(*door)?);
        }
        if options.wants(Measure::Pipelined) {
            progress(&format!("pipelined calls, {}", door.name()));
            figures.extend(bench.pipelined(*door)?);
        }
    }
    if options.wants(Measure::State) {
        progress("/state");
        figures.extend(bench.state()?);
    }
    figures::print(&figures, options.output);
    Ok(ExitCode::SUCCESS)
}
