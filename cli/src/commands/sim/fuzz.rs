//! `lonja sim fuzz`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use lonja_sim::{Entry, Options, Outcome, Report, Shrunk};
use serde_json::json;

use crate::args::{Format, Fuzz};
use crate::output;

/// How long failures may be shrunk, all of them together, and how many at most.
const SHRINK_FOR: Duration = Duration::from_secs(60);
const SHRINK_AT_MOST: usize = 3;
/// So much of what no run reached is listed.
const NEVER_REACHED: usize = 12;

/// Tries the seeds. Exits with 1 if a promise was broken or too little happened; what is printed repeats it.
pub(crate) fn run(wanted: &Fuzz) -> anyhow::Result<ExitCode> {
    let options = options(wanted);
    if let Some(path) = &wanted.trace {
        write_trace(&options, path)?;
    }
    // A core that panics has broken a promise; its words are in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let report = try_all(&options, wanted, began);
    let took = began.elapsed();
    let shrunk = shrink(&report, &options);
    let _default_hook = std::panic::take_hook();
    match wanted.output {
        Format::Json => output::print_lines(&[format!("{:#}", document(&options, &report, &shrunk, took))]),
        Format::Table | Format::Wide => print(&options, wanted, &report, &shrunk, took),
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(wanted: &Fuzz) -> Options {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Options {
        seeds: wanted.seeds.unwrap_or(if wanted.seed.is_some() { 1 } else { 100 }),
        first_seed: wanted.seed.unwrap_or(1),
        agents: wanted.agents.map(number),
        frameworks: wanted.frameworks.map(number),
        duration: Duration::from_secs_f64(wanted.hours * 3600.0),
        faults: wanted.faults,
        keep: wanted.keep.as_ref().map(|keep| keep.iter().copied().collect()),
        ..Options::default()
    }
}

/// Tries all seeds, several at once; the report takes them in the order of their numbers.
fn try_all(options: &Options, wanted: &Fuzz, began: Instant) -> Report {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let threads = wanted.threads.map_or(cores, u64::from).min(options.seeds);
    let bar = progress_bar(options.seeds);
    let next = AtomicU64::new(0);
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let (sender, outcomes) = mpsc::sync_channel(64);
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while wanted.time_limit.is_none_or(|limit| began.elapsed() < limit) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.seeds {
                        break;
                    }
                    let outcome = lonja_sim::try_seed(options.first_seed.wrapping_add(number), options);
                    if sender.send((number, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // At most one seed a thread is ahead of its turn for long; what waits here is small.
        let mut early: BTreeMap<u64, Outcome> = BTreeMap::new();
        for (number, outcome) in outcomes {
            early.insert(number, outcome);
            while let Some(outcome) = early.remove(&report.seeds) {
                report.take(outcome);
                show(&bar, &report);
            }
        }
    });
    bar.finish_and_clear();
    report.judge_activity(options);
    report
}

fn progress_bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {msg}, {elapsed} of about {duration}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, report: &Report) {
    let (hours, failed) = (report.virtual_hours(), report.failed);
    let broken = if failed > 0 { format!(", {failed} BROKEN") } else { String::new() };
    let (events, launches) = (report.events, report.activity.launches);
    bar.set_message(format!("{hours:.0} cluster-hours, {events} events, {launches} launches{broken}"));
    bar.set_position(report.seeds);
}

/// Writes every event of the one seed.
fn write_trace(options: &Options, path: &Path) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let (sender, entries) = mpsc::sync_channel::<Entry>(1024);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> std::io::Result<()> {
            let mut file = BufWriter::new(file);
            for Entry { at_nanos, kind, words } in entries {
                let line = json!({ "at_ns": at_nanos, "kind": kind, "words": words });
                writeln!(file, "{line}")?;
            }
            file.flush()
        });
        // Should the disk fail, the run goes on unheard and the error is told below.
        let reader = move |entry| sender.send(entry).unwrap_or_default();
        lonja_sim::replay(options.first_seed, options, Box::new(reader));
        writer.join()
    });
    match written {
        Ok(written) => written.with_context(|| format!("cannot write {}", path.display())),
        Err(_) => anyhow::bail!("the writer of {} panicked", path.display()),
    }
}

/// Shrinks the first failures.
fn shrink(report: &Report, options: &Options) -> Vec<Shrunk> {
    let began = Instant::now();
    let bar = ProgressBar::new_spinner();
    let shrink = |failed: &Outcome| {
        lonja_sim::shrink(failed, options, |left| {
            bar.set_message(format!("seed {}: shrinking, {left} faults left", failed.seed));
            bar.tick();
            began.elapsed() < SHRINK_FOR
        })
    };
    let shrunk = report.failures.iter().take(SHRINK_AT_MOST).map(shrink).collect();
    bar.finish_and_clear();
    shrunk
}

fn print(options: &Options, wanted: &Fuzz, report: &Report, shrunk: &[Shrunk], took: Duration) {
    let last = options.first_seed.wrapping_add(report.seeds.saturating_sub(1));
    let cores = report.virtual_hours() / took.as_secs_f64().max(1e-9);
    let mut lines = vec![
        format!("seeds {} to {last}, faults: {}", options.first_seed, options.faults),
        report.to_string(),
        format!("trace hash {:016x}", report.trace_hash),
        format!("{:.1} s, {cores:.0} cluster-hours a second", took.as_secs_f64()),
    ];
    lines.extend(never_reached(report));
    if report.seeds < options.seeds {
        lines.push(format!(
            "the time limit ended it before {} seeds were begun",
            options.seeds - report.seeds
        ));
    }
    for (index, failure) in report.failures.iter().enumerate() {
        let (told, complete) = match shrunk.get(index) {
            Some(shrunk) => (&shrunk.outcome, shrunk.complete),
            None => (failure, true),
        };
        lines.push(String::new());
        lines.extend(told.last_events.iter().cloned());
        let broken = failure.broken.as_deref().unwrap_or("nothing");
        lines.push(format!("seed {} broke {broken}", failure.seed));
        if let Some(shrunk) = shrunk.get(index) {
            let how = if complete { "" } else { ", broken off" };
            let (left, all, runs) = (told.faults.len(), failure.faults.len(), shrunk.runs);
            lines.push(format!(
                "{left} of its {all} faults suffice ({runs} runs{how}); above are its last events with these:"
            ));
            let fault = |fault: &lonja_sim::Fault| {
                let seconds = Duration::from_nanos(fault.at_nanos).as_secs_f64();
                format!("{seconds:>13.6} s  fault {}: {}", fault.number, fault.words)
            };
            lines.extend(told.faults.iter().map(fault));
        }
        lines.push(format!("repeat with: {}", command(wanted, failure.seed, None)));
        if shrunk.get(index).is_some() {
            let keep = told.faults.iter().map(|fault| fault.number.to_string()).collect::<Vec<_>>().join(",");
            lines.push(format!("shrunk:      {}", command(wanted, failure.seed, Some(&keep))));
        }
    }
    output::print_lines(&lines);
}

/// What no run reached, the first of it by name: over a few seeds that is much.
fn never_reached(report: &Report) -> Vec<String> {
    let coverage = report.coverage();
    let never: Vec<&str> = coverage.never().collect();
    let mut lines: Vec<String> =
        never.iter().take(NEVER_REACHED).map(|what| format!("never reached: {what}")).collect();
    if let Some(more) = never.len().checked_sub(NEVER_REACHED).filter(|more| *more > 0) {
        lines.push(format!("never reached: {more} more of {}; -o json lists all", coverage.counts().len()));
    }
    lines
}

/// The command that runs one seed again.
fn command(wanted: &Fuzz, seed: u64, keep: Option<&str>) -> String {
    let mut command =
        format!("lonja sim fuzz --seed {seed} --hours {} --faults {}", wanted.hours, wanted.faults);
    for (name, value) in [("agents", wanted.agents), ("frameworks", wanted.frameworks)] {
        if let Some(value) = value {
            command.push_str(&format!(" --{name} {value}"));
        }
    }
    let before = wanted.keep.as_ref();
    let before = before.map(|keep| keep.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
    if let Some(keep) = keep.or(before.as_deref()).filter(|keep| !keep.is_empty()) {
        command.push_str(&format!(" --keep {keep}"));
    }
    command
}

fn document(options: &Options, report: &Report, shrunk: &[Shrunk], took: Duration) -> serde_json::Value {
    let faults = |outcome: &Outcome| -> Vec<_> {
        let faults = outcome.faults.iter();
        faults
            .map(|fault| json!({ "number": fault.number, "at_ns": fault.at_nanos, "words": fault.words }))
            .collect()
    };
    let failures: Vec<_> = report
        .failures
        .iter()
        .enumerate()
        .map(|(index, failure)| {
            let shrunk = shrunk.get(index).map(|shrunk| {
                json!({
                    "faults": faults(&shrunk.outcome),
                    "last_events": shrunk.outcome.last_events,
                    "runs": shrunk.runs,
                    "complete": shrunk.complete,
                })
            });
            json!({
                "seed": failure.seed,
                "broken": failure.broken,
                "last_events": failure.last_events,
                "faults": failure.faults.len(),
                "shrunk": shrunk,
            })
        })
        .collect();
    json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "first_seed": options.first_seed,
        "seeds": report.seeds,
        "seeds_wanted": options.seeds,
        "faults": options.faults.to_string(),
        "trace_hash": format!("{:016x}", report.trace_hash),
        "cluster_hours": report.virtual_hours(),
        "events": report.events,
        "jobs": report.jobs,
        "offers": report.activity.offers,
        "launches": report.activity.launches,
        "updates": report.activity.updates,
        "kills": report.activity.kills.total(),
        "coverage": report.coverage().counts(),
        "never_reached": report.coverage().never().collect::<Vec<_>>(),
        "failed": report.failed,
        "too_quiet": report.too_quiet,
        "failures": failures,
        "host": { "seconds": took.as_secs_f64() },
    })
}
