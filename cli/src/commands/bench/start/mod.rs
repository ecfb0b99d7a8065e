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
    /// Containers that two workers start and end as fast as they can; 0: none.
    #[arg(long, default_value_t = 1000)]
    sustained: usize,
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
        sustained(&ours, options.sustained).await?;
    }
    if options.sleepers > 0 {
        sleepers(&ours, options.sleepers, launcher).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn turns(options: StartOptions, ours: &Ours, folder: &Path) -> anyhow::Result<Vec<Line>> {
    let mut started = Line::new("lonja, launch to exec");
    let mut whole = Line::new("lonja, launch to gone");
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
    for _ in 0..options.rounds {
        for _ in 0..options.batch {
            let life = ours.once(Network::Host).await?;
            started.times.push(life.started);
            whole.times.push(life.whole);
        }
        for (line, asked) in &mut others {
            line.times.extend(tokio::task::block_in_place(|| asked.batch(options.batch))?);
        }
    }
    let mut lines = vec![started, whole];
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

/// How many containers a second two workers start, end and clean up.
async fn sustained(ours: &Ours, count: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    let worker = async |count: usize| {
        for _ in 0..count {
            ours.once(Network::Host).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(worker(count / 2), worker(count - count / 2))?;
    let rate = count as f64 / began.elapsed().as_secs_f64();
    output::print_lines(&[format!(
        "sustained, 2 workers, start + exit + clean-up: {rate:.0}/s (n={count}; goal 400/s)"
    )]);
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
