//! The laboratory: placement policies side by side.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The laboratory.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0, 1 for input of no use and for policies that were stopped, 2 for flags of no use."
)]
pub(crate) struct SimRun {
    /// A trace: its folder, or the name of one in $LONJA_TRACES, which also stands in if this is left out.
    /// Or a generator, such as `poisson:rate=10`: docs/traces.md has them all.
    #[arg(value_name = "TRACE|GENERATOR")]
    pub(crate) workload: Option<String>,
    /// Where traces lie.
    #[arg(long, env = "LONJA_TRACES", value_name = "DIR")]
    pub(crate) traces: Option<PathBuf>,
    /// The policies, separated by commas; `all` for all there are.
    #[arg(long, value_name = "P[,Q...]", value_delimiter = ',', required = true)]
    pub(crate) policy: Vec<String>,
    /// How many machines: those of the trace in their order, over and over if there are fewer. Generators have 100
    /// unless told otherwise.
    #[arg(long, value_name = "N")]
    pub(crate) agents: Option<String>,
    /// What each machine of a generator has; without this, cpus:32;mem:262144.
    #[arg(long, value_name = "RESOURCES")]
    pub(crate) machine: Option<String>,
    /// How many seeds.
    #[arg(long, value_name = "K", default_value = "1")]
    pub(crate) seeds: String,
    /// The first seed; the others follow.
    #[arg(long, value_name = "S", default_value = "1")]
    pub(crate) seed: String,
    /// Deal the tasks out to frameworks: NAME=WEIGHT or NAME=WEIGHT:PART, parted by commas; PART is the part of the tasks that it wants.
    #[arg(long, value_name = "MIX")]
    pub(crate) framework_mix: Option<String>,
    /// Which list of tasks, of a trace that has several, such as `gpuspec33` of openb.
    #[arg(long, value_name = "NAME")]
    pub(crate) list: Option<String>,
    /// How many runs at once; without this, as many as there are cores. Each holds its whole fleet in memory.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
    /// Write to a file, which appears when it is whole.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Add to the JSON what the runs took on this host; without it the same command makes the same bytes.
    #[arg(long)]
    pub(crate) host: bool,
}

/// How a comparison of policies is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people: a line for each policy.
    Table,
    /// For programs: everything but the course over time.
    Json,
    /// A line for each policy and seed.
    Csv,
    /// A line for each sampled moment of each policy and seed.
    CsvOverTime,
    /// Plots to look at.
    Svg,
}

/// The openb experiment.
#[derive(Debug, Args)]
pub(crate) struct SimOpenb {
    /// The folder of the trace, or one that holds it as openb-2023.
    #[arg(env = "LONJA_TRACES", value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// Which list of tasks.
    #[arg(long, value_enum, default_value_t = OpenbList::Both)]
    pub(crate) list: OpenbList,
    /// How many runs of each policy, each with a seed of its own.
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) seeds: u64,
    /// The first seed; the others follow.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The policies, separated by commas; `all` for all there are.
    #[arg(long, value_name = "P[,Q...]", value_delimiter = ',', default_value = "all")]
    pub(crate) policy: Vec<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = OpenbFormat::Table)]
    pub(crate) output: OpenbFormat,
}

/// Lists of tasks of the openb trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OpenbList {
    /// Any task may use any GPU.
    Default,
    /// A third of the GPU tasks are tied to models.
    Gpuspec33,
    /// One after the other.
    Both,
}

/// How the openb experiment is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OpenbFormat {
    /// For people: a line for each list and policy.
    Table,
    /// For programs.
    Json,
    /// A line for each run, with what is allocated at each percent asked for.
    Csv,
}
