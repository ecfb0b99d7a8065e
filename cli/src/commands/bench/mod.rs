//! `lonja bench`: figures, measured here and now.
//!
//! Medians and 99th percentiles; the machine is named, since no figure means anything without it.

mod latency;
pub(crate) mod master;
mod memory;
mod recover;
mod services;
pub(crate) mod start;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::args::{Bench, BenchCommand};
use crate::dev::{Cluster, Prepared, Shape};
use crate::output;

/// Measures.
pub(crate) async fn run(bench: &Bench, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    let (tasks, starts) = match &bench.command {
        BenchCommand::First { tasks, starts } => (*tasks, *starts),
        BenchCommand::Start(options) => {
            output::print_lines(&[machine()]);
            return start::run(*options, prepared).await;
        }
        BenchCommand::Recover { containers } => {
            output::print_lines(&[machine()]);
            let work_dir = prepared.temporary.as_deref().context("a bench needs a folder")?;
            recover::run(*containers, work_dir).await?;
            return Ok(ExitCode::SUCCESS);
        }
        BenchCommand::Services { kills, scales } => {
            output::print_lines(&[machine()]);
            serve(*kills, *scales, prepared).await?;
            return Ok(ExitCode::SUCCESS);
        }
        BenchCommand::Master(options) => {
            // Programs read nothing but the figures.
            output::note(&machine());
            return tokio::task::block_in_place(|| master::run(options, prepared));
        }
        BenchCommand::StartPeer { peer, folder } => {
            let (peer, folder) = (*peer, folder.clone());
            tokio::task::block_in_place(|| start::serve(peer, &folder))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    output::print_lines(&[machine()]);
    let launcher = prepared.launcher.as_ref().context("a bench needs a launcher")?;
    let work_dir = prepared.temporary.as_deref().context("a bench needs a folder")?;

    report("lonja run --dev -- true, cold, whole process", "400 ms", &mut cold_starts(starts)?);

    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let profile = lonja_model::profile::Profile::default();
    let shape =
        Shape { listen, agents: 1, agent_resources: None, work_dir, durable: true, profile, services: None };
    let cluster = Cluster::start(shape, launcher).await?;
    let mut measured = latency::measure(cluster.url(), tasks).await?;
    cluster.stop().await?;
    report("ACCEPT sent -> TASK_RUNNING received", "p50 6 ms, p99 40 ms", &mut measured.running);
    report("resources freed -> next OFFERS received", "p50 10 ms", &mut measured.offers);

    let lines = memory::measure(work_dir)?;
    output::print_lines(&lines);
    Ok(ExitCode::SUCCESS)
}

/// Services on real daemons.
async fn serve(kills: u32, scales: u32, prepared: &Prepared) -> anyhow::Result<()> {
    let launcher = prepared.launcher.as_ref().context("a bench needs a launcher")?;
    let work_dir = prepared.temporary.as_deref().context("a bench needs a folder")?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let profile = lonja_model::profile::Profile::default();
    let agent_resources = Some("cpus:8;mem:16384;disk:10000;ports:[31000-32000]");
    let services = Some(listen);
    let shape = Shape { listen, agents: 1, agent_resources, work_dir, durable: true, profile, services };
    let cluster = Cluster::start(shape, launcher).await?;
    let url = format!("http://{}", cluster.services().context("the services have no address")?);
    let measured = tokio::task::spawn_blocking(move || services::measure(&url, kills, scales)).await?;
    cluster.stop().await?;
    let mut measured = measured?;
    report("an instance is killed -> its successor runs", "p50 100 ms", &mut measured.replaced);
    report("scaled from 1 -> 100 run", "3000 ms", &mut measured.scaled);
    report("GET /v2/apps/bench/tasks meanwhile", "p99 50 ms", &mut measured.answers);
    Ok(())
}

/// What these figures were measured on.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!("machine: {cpus} x {model}, Linux {}, load {load}, {build} build", kernel.trim())
}

/// The sum of these fields of a process, a pid or `self`, as proc(5) numbers them: processor time in hundredths of a
/// second, as all of Linux's programs see it.
fn processor_ticks(process: &str, fields: std::ops::Range<usize>) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold anything, brackets too; what follows it is numbered from 3.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let numbers = rest.split_whitespace().skip(fields.start - 3).take(fields.len());
    Ok(numbers.filter_map(|number| number.parse::<u64>().ok()).sum())
}

/// Times whole processes, one after another.
fn cold_starts(count: u32) -> anyhow::Result<Vec<Duration>> {
    let lonja = std::env::current_exe()?;
    let mut times = Vec::new();
    // The first is not counted: it reads the binary from disk.
    for counted in std::iter::once(false).chain((0..count).map(|_| true)) {
        let started = Instant::now();
        let status = Command::new(&lonja)
            .args(["run", "--dev", "--", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("lonja run --dev -- true ended with {status}");
        }
        if counted {
            times.push(started.elapsed());
        }
    }
    Ok(times)
}

/// One line: median, 99th percentile, extremes, and what was wanted.
fn report(what: &str, goal: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    let (Some(median), Some(high)) = (at(50), at(99)) else {
        return output::print_lines(&[format!("{what}: nothing was measured")]);
    };
    let (least, most) = (times[0], times[times.len() - 1]);
    output::print_lines(&[format!(
        "{what}: p50 {} ms, p99 {} ms, min {}, max {} (n={}; goal {goal})",
        ms(*median),
        ms(*high),
        ms(least),
        ms(most),
        times.len()
    )]);
}
