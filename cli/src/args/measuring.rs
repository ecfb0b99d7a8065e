//! Simulation and figures.

use clap::{Args, Subcommand};

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
