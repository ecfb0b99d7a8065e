//! `lonja sim`: one file for each of its commands.

mod fuzz;
mod openb;
mod run;

use std::process::ExitCode;

use crate::args::{Sim, SimCommand};

/// Runs the simulator.
pub(crate) fn run(sim: &Sim) -> anyhow::Result<ExitCode> {
    match &sim.command {
        SimCommand::Fuzz(options) => fuzz::run(options),
        SimCommand::Run(options) => run::run(options),
        SimCommand::Openb(options) => openb::run(options),
    }
}
