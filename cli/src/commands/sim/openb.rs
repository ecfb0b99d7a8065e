//! `lonja sim openb`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lonja_sdk::placement::policies::{self, by_name};
use lonja_sim::lab::trace;
use lonja_sim::openb::{self, Cell, Run, Summary, Trace};
use serde_json::{Value, json};

use crate::args::{Format, OpenbFormat, OpenbList, SimOpenb};
use crate::output::{self, Listing, Row};

/// Where the trace is published.
const PUBLISHED: &str = "the trace is published in the repository alibaba/clusterdata on GitHub, folder \
                         cluster-trace-gpu-v2023";
/// The trace's usual folder.
const USUAL: &str = "openb-2023";

/// One list of tasks, ready for runs.
struct List {
    name: &'static str,
    trace: Trace,
}

/// A run to be done: an index into the lists, a policy, a seed.
struct Job<'a> {
    list: usize,
    policy: &'a str,
    seed: u64,
}

/// Runs the experiment on all cores and prints it beside what was published.
pub(crate) fn run(arguments: &SimOpenb) -> anyhow::Result<ExitCode> {
    let policies = policies_of(&arguments.policy)?;
    let folder = folder(arguments.path.as_deref())?;
    let lists = read(&folder, arguments.list)?;
    let seeds = arguments.seed..arguments.seed.saturating_add(arguments.seeds);
    let mut jobs = Vec::new();
    for list in 0..lists.len() {
        for policy in &policies {
            jobs.extend(seeds.clone().map(|seed| Job { list, policy, seed }));
        }
    }
    let done = work(&lists, &jobs)?;
    match arguments.output {
        OpenbFormat::Csv => output::print_lines(&csv(&lists, &jobs, &done)),
        OpenbFormat::Table | OpenbFormat::Json => {
            let rows = done
                .chunks(usize::try_from(arguments.seeds)?)
                .zip(jobs.chunks(usize::try_from(arguments.seeds)?));
            let rows = rows.filter_map(|(done, jobs)| row(lists[jobs.first()?.list].name, done)).collect();
            let columns = vec![
                "list",
                "policy",
                "at 90 %",
                "published",
                "at 100 %",
                "published",
                "at 130 %",
                "published",
                "a run",
            ];
            let listing = Listing { what: "results", wide_from: columns.len(), columns, rows };
            let format = if arguments.output == OpenbFormat::Json { Format::Json } else { Format::Table };
            listing.print(format, false);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The policies that were asked for, each once. Errors: a name that is none.
fn policies_of(asked: &[String]) -> anyhow::Result<Vec<String>> {
    let mut named: Vec<String> = Vec::new();
    for name in asked.iter().map(|name| name.trim()) {
        let all = policies::NAMES.map(str::to_owned);
        let names = if name == "all" { all.to_vec() } else { vec![by_name(name, 0)?.name().to_owned()] };
        for name in names {
            if !named.contains(&name) {
                named.push(name);
            }
        }
    }
    Ok(named)
}

/// The trace's folder: the one named, or in it.
fn folder(path: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(path) = path else {
        bail!("name the folder of the openb trace, or set LONJA_TRACES to it; {PUBLISHED}");
    };
    let inner = path.join(USUAL);
    let folder = if inner.is_dir() { inner } else { path.to_owned() };
    ensure!(folder.is_dir(), "{}: no such folder; {PUBLISHED}", folder.display());
    Ok(folder)
}

fn read(folder: &Path, lists: OpenbList) -> anyhow::Result<Vec<List>> {
    let names: &[&'static str] = match lists {
        OpenbList::Default => &["default"],
        OpenbList::Gpuspec33 => &["gpuspec33"],
        OpenbList::Both => &["default", "gpuspec33"],
    };
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let entries: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let list = |name: &&'static str| {
        let there = entries.iter().map(String::as_str);
        let files = trace::choose(there, Some(*name))
            .with_context(|| format!("{}: {PUBLISHED}", folder.display()))?;
        let open = |file: &str| Ok(BufReader::new(File::open(folder.join(file))?));
        let workload = trace::read(&files, &folder.display().to_string(), open)?;
        Ok(List { name, trace: Trace::new(&workload)? })
    };
    names.iter().map(list).collect()
}

/// Does all jobs, as many at once as there are cores; results in the order of the jobs.
fn work(lists: &[List], jobs: &[Job<'_>]) -> anyhow::Result<Vec<(Run, Duration)>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<(Run, Duration)>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let bar = indicatif::ProgressBar::new(u64::try_from(jobs.len())?);
    let worker = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number) else { return Ok(()) };
            let start = Instant::now();
            let run = openb::run(&lists[job.list].trace, by_name(job.policy, job.seed)?, job.seed);
            let result = Some((run, start.elapsed()));
            done.lock().map_err(|_| anyhow::anyhow!("another run broke down"))?[number] = result;
            bar.inc(1);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(jobs.len())).map(|_| scope.spawn(worker)).collect();
        let mut ends = workers.into_iter().map(|worker| worker.join());
        ends.try_for_each(|end| end.unwrap_or_else(|_| bail!("a run broke down")))
    })?;
    bar.finish_and_clear();
    let done = done.into_inner().map_err(|_| anyhow::anyhow!("a run broke down"))?;
    done.into_iter().collect::<Option<Vec<_>>>().context("a run has no result")
}

/// One policy on one list.
fn row(list: &str, done: &[(Run, Duration)]) -> Option<Row> {
    let runs: Vec<Run> = done.iter().map(|(run, _)| run.clone()).collect();
    let took: Duration = done.iter().map(|(_, took)| *took).sum();
    let took = took.as_secs_f64() / runs.len() as f64;
    let summary = Summary::of(list, &runs)?;
    let mut cells = vec![summary.list.clone(), summary.policy.clone()];
    for cell in &summary.cells {
        cells.push(format!("{:.2} ± {:.2}", cell.mean, cell.deviation));
        cells.push(published(cell));
    }
    cells.push(format!("{took:.2} s"));
    let at: Vec<Value> = summary.cells.iter().map(object).collect();
    let object = json!({
        "list": summary.list, "policy": summary.policy, "runs": summary.runs,
        "allocated": at, "seconds_per_run": took,
    });
    Some(Row { id: format!("{}/{}", summary.list, summary.policy), cells, object })
}

fn published(cell: &Cell) -> String {
    let Some((published, difference)) = cell.published.zip(cell.difference()) else { return "-".to_owned() };
    format!("{:.2} ± {:.2} ({difference:+.2})", published.mean, published.deviation)
}

fn object(cell: &Cell) -> Value {
    let published = cell.published.map(|published| {
        json!({
            "mean": published.mean, "deviation": published.deviation, "difference": cell.difference(),
        })
    });
    json!({
        "asked_percent": cell.asked, "mean": cell.mean, "deviation": cell.deviation, "published": published,
    })
}

/// A line for each run.
fn csv(lists: &[List], jobs: &[Job<'_>], done: &[(Run, Duration)]) -> Vec<String> {
    let percents: Vec<String> = (0..=openb::ASKED_PERCENT).map(|percent| percent.to_string()).collect();
    let mut lines = vec![format!("list,policy,seed,placed,failed,seconds,{}", percents.join(","))];
    for (job, (run, took)) in jobs.iter().zip(done) {
        let allocated: Vec<String> =
            run.allocated.iter().map(|allocated| format!("{allocated:.2}")).collect();
        let (list, took) = (lists[job.list].name, took.as_secs_f64());
        let Run { policy, seed, placed, failed, .. } = run;
        lines.push(format!("{list},{policy},{seed},{placed},{failed},{took:.3},{}", allocated.join(",")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_policies_are_named_once_and_unknown_ones_refused() {
        let asked =
            |names: &[&str]| policies_of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(asked(&["fgd", "all"]).unwrap().len(), policies::NAMES.len());
        assert_eq!(asked(&["fgd", " dot", "fgd"]).unwrap(), ["fgd", "dot"]);
        assert!(asked(&["fdg"]).unwrap_err().to_string().contains("no placement policy \"fdg\""));
    }

    #[test]
    fn a_folder_without_the_trace_is_refused_with_where_to_find_it() {
        let empty = tempfile::tempdir().unwrap();
        let missing = empty.path().join("missing");
        for path in [None, Some(missing.as_path())] {
            assert!(folder(path).unwrap_err().to_string().contains("alibaba/clusterdata"));
        }
        let found = folder(Some(empty.path())).unwrap();
        assert!(read(&found, OpenbList::Both).err().unwrap().to_string().contains("alibaba/clusterdata"));

        std::fs::create_dir(empty.path().join(USUAL)).unwrap();
        assert_eq!(folder(Some(empty.path())).unwrap(), empty.path().join(USUAL));
    }
}
