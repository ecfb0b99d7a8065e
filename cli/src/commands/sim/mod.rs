//! `lonja sim`.

mod run;

use std::process::ExitCode;

use lonja_sim::{Options, fuzz_with};

use crate::args::{Sim, SimCommand};
use crate::output;

/// Runs the simulator.
pub(crate) fn run(sim: &Sim) -> anyhow::Result<ExitCode> {
    match &sim.command {
        SimCommand::Fuzz { seeds, seed } => fuzz(*seeds, *seed),
        SimCommand::Run(arguments) => run::run(arguments),
    }
}

/// Hunts for broken promises. Exits with 1 if one was broken; the seed is printed, and repeats it exactly.
fn fuzz(seeds: u64, seed: Option<u64>) -> anyhow::Result<ExitCode> {
    let options = Options { seeds, first_seed: seed.unwrap_or(1), ..Options::default() };
    // A core that panics has broken a promise; its words are in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let bar = indicatif::ProgressBar::new(seeds);
    let report = fuzz_with(&options, |_| {
        bar.inc(1);
        true
    });
    bar.finish_and_clear();
    let _default_hook = std::panic::take_hook();
    output::print_lines(&[format!(
        "seeds {} to {}",
        options.first_seed,
        options.first_seed + seeds.saturating_sub(1)
    )]);
    output::print_lines(&[report.to_string()]);
    for failure in &report.failures {
        output::print_lines(&failure.last_events);
        let broken = failure.broken.as_deref().unwrap_or("nothing");
        output::print_lines(&[
            format!("seed {} broke {broken}", failure.seed),
            format!("repeat with: lonja sim fuzz --seeds 1 --seed {}", failure.seed),
        ]);
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
