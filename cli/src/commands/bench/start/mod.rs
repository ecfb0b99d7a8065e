//! `lonja bench start`: what it takes to start a container, beside other programs that start containers.
//!
//! All are measured in turns, a small batch each, in one run: machines differ, and the same machine differs from one
//! minute to the next, so that only ratios taken side by side mean anything. Ours is a launch as an agent makes it:
//! a durable record, the container in the default profile with its logs, and its exec; then its end, its exit record, and
//! the removal of every trace. A peer's time is that of its whole `run`, its own exec included, since that is
//! what its users wait for.

mod noop;
mod ours;
mod peers;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use comfy_table::{CellAlignment, Table};
use lonja_agent::containerizer::Network;
use lonja_agent::launcher::Launcher;

use ours::Ours;
use peers::Asked;
pub(crate) use peers::{Peer, serve};

use crate::dev::Prepared;
use crate::output;

/// How much is measured.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct StartOptions {
    /// How often everyone has a turn.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Containers in one turn.
    #[arg(long, default_value_t = 5)]
    batch: usize,
    /// Containers that are started and ended as fast as can be; 0: none.
    #[arg(long, default_value_t = 3000)]
    sustained: usize,
    /// Containers under way at once meanwhile.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Containers that run at once while memory is looked at; 0: none.
    #[arg(long, default_value_t = 100)]
    sleepers: usize,
}

/// One line of the table.
struct Line {
    name: String,
    times: Vec<Duration>,
}

impl Line {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), times: Vec::new() }
    }

    fn at(&self, hundredths: usize) -> Option<Duration> {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get((times.len() * hundredths / 100).min(times.len().saturating_sub(1))).copied()
    }
}

/// Measures.
pub(crate) async fn run(options: StartOptions, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    let launcher = prepared.launcher.as_ref().context("a bench needs a launcher")?;
    let folder = prepared.temporary.as_deref().context("a bench needs a folder")?;
    let ours = Ours::start(launcher, folder)?;
    let lines = turns(options, &ours, folder).await?;
    print(&lines);
    if options.sustained > 0 {
        sustained(&ours, &options, folder, launcher).await?;
    }
    if options.sleepers > 0 {
        sleepers(&ours, options.sleepers, launcher).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn turns(options: StartOptions, ours: &Ours, folder: &Path) -> anyhow::Result<Vec<Line>> {
    let mut started = Line::new("lonja, launch to exec");
    let mut whole = Line::new("lonja, launch to gone");
    let mut network = Line::new("lonja, network namespace, launch to exec");
    let mut others = Vec::new();
    for peer in Peer::ALL {
        if !peer.is_there() {
            output::warn(&format!("skipped: {} is not installed", peer.program()));
            continue;
        }
        match Asked::start(peer, folder) {
            Ok(asked) => others.push((Line::new(peer.name()), asked)),
            Err(error) => output::warn(&format!("skipped: {}: {error:#}", peer.name())),
        }
    }
    ours.once(Network::Host).await?;
    ours.once(Network::None).await?;
    for _ in 0..options.rounds {
        for _ in 0..options.batch {
            let life = ours.once(Network::Host).await?;
            started.times.push(life.started);
            whole.times.push(life.whole);
        }
        for _ in 0..options.batch {
            network.times.push(ours.once(Network::None).await?.started);
        }
        for (line, asked) in &mut others {
            line.times.extend(tokio::task::block_in_place(|| asked.batch(options.batch))?);
        }
    }
    let mut lines = vec![started, whole, network];
    lines.extend(others.into_iter().map(|(line, _)| line));
    Ok(lines)
}

fn print(lines: &[Line]) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "",
        "P50 ms",
        "P99 ms",
        "MIN ms",
        "N",
        "LAUNCH TO EXEC / THIS",
        "LAUNCH TO GONE / THIS",
    ]);
    let ms = |time: Option<Duration>| {
        time.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64() * 1e3))
    };
    let ratio = |ours: &Line, this: &Line| match (ours.at(50), this.at(50)) {
        (Some(ours), Some(this)) if !this.is_zero() => {
            format!("{:.2}", ours.as_secs_f64() / this.as_secs_f64())
        }
        _ => String::new(),
    };
    for line in lines {
        table.add_row([
            line.name.clone(),
            ms(line.at(50)),
            ms(line.at(99)),
            ms(line.at(0)),
            line.times.len().to_string(),
            ratio(&lines[0], line),
            ratio(&lines[1], line),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    output::print_lines(&[table.to_string()]);
}

/// How many containers a second are started, ended and cleaned up; and how many by crun, two at a time: more do not
/// help it, for it only computes.
async fn sustained(
    ours: &Ours,
    options: &StartOptions,
    folder: &Path,
    launcher: &Launcher,
) -> anyhow::Result<()> {
    let left = AtomicUsize::new(options.sustained);
    let spent = processor_ms(launcher)?;
    let began = Instant::now();
    let worker = async || {
        while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            ours.once(Network::Host).await?;
        }
        anyhow::Ok(())
    };
    futures::future::try_join_all((0..options.workers).map(|_| worker())).await?;
    let rate = options.sustained as f64 / began.elapsed().as_secs_f64();
    let spent = (processor_ms(launcher)? - spent) / options.sustained as f64;
    let workers = options.workers;
    output::print_lines(&[format!(
        "sustained, {workers} at once, start + exit + clean-up: {rate:.0}/s, {spent:.2} ms of processor time each \
         (n={}; goal 400/s)",
        options.sustained
    )]);
    if Peer::Crun.is_there() {
        let count = (options.sustained / 10).max(1);
        let theirs = tokio::task::block_in_place(|| peers::two_at_once(Peer::Crun, folder, count))?;
        let ratio = rate / theirs;
        output::print_lines(&[format!(
            "sustained, crun run, 2 at once: {theirs:.0}/s (n={}); ours {ratio:.1} times that (goal 2)",
            2 * count
        )]);
    }
    Ok(())
}

/// What containers cost while they sleep.
async fn sleepers(ours: &Ours, count: usize, launcher: &Launcher) -> anyhow::Result<()> {
    ours.sleepers(count).await?;
    let (mut supervisors, mut inits, mut kib) = (0_u64, 0_u64, [0_u64; 2]);
    for process in descendants(launcher.pid())? {
        let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        let pss = pss_kib(process).unwrap_or_default();
        match name.trim() {
            "lonja-superviso" => (supervisors, kib[0]) = (supervisors + 1, kib[0] + pss),
            "lonja-init" => (inits, kib[1]) = (inits + 1, kib[1] + pss),
            _ => {}
        }
    }
    let mean = |kib: u64, count: u64| kib as f64 / 1024.0 / count.max(1) as f64;
    let rss = std::fs::read_to_string("/proc/self/status")?;
    let rss = rss.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    output::print_lines(&[format!(
        "{count} sleeping containers: supervisor {:.2} MiB (goal 1), init {:.2} MiB proportional; this process {} resident",
        mean(kib[0], supervisors),
        mean(kib[1], inits),
        rss.trim(),
    )]);
    Ok(())
}

/// Processor time of this process, the launcher, and all of the launcher's that have ended, in milliseconds. The
/// kernel's own workers are not in it.
fn processor_ms(launcher: &Launcher) -> anyhow::Result<f64> {
    let launcher = launcher.pid().to_string();
    let ticks = super::processor_ticks("self", 14..16)? + super::processor_ticks(&launcher, 14..18)?;
    Ok(ticks as f64 * 10.0)
}

/// Every process below this one.
fn descendants(root: i32) -> anyhow::Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name may hold anything, brackets too; the parent is the second word behind it.
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(found.split_off(1))
}

/// Its proportional set size.
fn pss_kib(pid: i32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
