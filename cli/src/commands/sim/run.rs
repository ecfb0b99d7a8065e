//! `lonja sim run`: placement policies side by side on one workload.
//!
//! What is asked is checked before the first run begins, so that nobody waits minutes for a misspelt name. Runs go on
//! at once on all cores; each is reduced to its figures when it ends, so that memory is bounded by the runs in flight.
//!
//! Reading order: `plan`, `workbench`, `pool`, `target`.

mod plan;
mod pool;
mod target;
mod workbench;

use std::process::ExitCode;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use lonja_sim::lab::report::{About, Comparison, Host};

use crate::args::{ReportFormat, SimRun};
use crate::output;
use plan::Plan;
use pool::{Bench, Done};
use target::Target;
use workbench::Workbench;

/// Runs all policies with all seeds and prints the comparison. Exits with 1 if a policy was stopped in any run: the
/// report says which, and why.
pub(super) fn run(arguments: &SimRun) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(arguments)?;
    let target = arguments.out.as_deref().map(Target::open).transpose()?;
    let workbench = Workbench::open(arguments, &plan)?;

    let bar = ProgressBar::new(plan.runs() as u64);
    let form = "{elapsed} {wide_bar} {pos}/{len} runs, {msg}";
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let began = Instant::now();
    let done = pool::run_all(&plan, &workbench, &|done| {
        bar.set_message(format!(
            "{} with seed {} took {:.1} s",
            done.figures.policy, done.figures.seed, done.wall_s
        ));
        bar.inc(1);
    });
    bar.finish_and_clear();
    let done = done?;
    let wall_s = began.elapsed().as_secs_f64();

    let first = workbench.workload(plan.seeds[0])?;
    let about = About::of(
        &first,
        env!("CARGO_PKG_VERSION").to_owned(),
        plan::command_line(std::env::args()),
        plan.seeds.clone(),
    );
    let host = Host { wall_s, jobs: plan.jobs, runs: done.iter().map(Done::took).collect() };
    let comparison = Comparison::new(about, done.into_iter().map(|done| done.figures).collect());
    output::note(&format!("runs: {}, at once: {}, took: {wall_s:.1} s", plan.runs(), plan.jobs));

    let text = render(&comparison, arguments, host);
    match target {
        Some(target) => target.write(&text)?,
        None => output::print_lines(&[text.trim_end_matches('\n').to_owned()]),
    }
    let stopped = comparison.runs().filter(|run| run.stopped.is_some()).count();
    if stopped > 0 {
        output::warn(&format!("{stopped} of {} runs were stopped: the report says why", plan.runs()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn render(comparison: &Comparison, arguments: &SimRun, host: Host) -> String {
    match arguments.output {
        ReportFormat::Table => comparison.table(window(arguments)),
        ReportFormat::Json => comparison.json(arguments.host.then_some(&host)),
        ReportFormat::Csv => comparison.csv(),
        ReportFormat::CsvOverTime => comparison.csv_over_time(),
        ReportFormat::Svg => comparison.svg(),
    }
}

/// How many columns there are to write in: those of the window, or 120 where nobody looks.
fn window(arguments: &SimRun) -> usize {
    const NO_WINDOW: usize = 120;
    if arguments.out.is_some() {
        return NO_WINDOW;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(NO_WINDOW)
}
