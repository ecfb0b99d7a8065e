//! Counts the words of a directory on a cluster: a batch framework in one file, on the SDK alone.
//!
//! ```sh
//! cargo run --release --example batch -- ~/.cargo/registry/src
//! ```
//!
//! The directory is cut into shards. Each shard is a task that counts with ordinary Unix tools; a shard that
//! fails is tried again; the results are merged. What to look at, in reading order:
//!
//! - [`SCRIPT`]: what a task does. It may run twice, on two agents at once, and nothing goes wrong: its
//!   result has the same bytes whoever makes it, and appears whole or not at all.
//! - [`Batch`]: the framework. It decides and does nothing itself, so its tests need no cluster.
//! - [`drive`]: runs it against a master until it is done or Ctrl-C is pressed.
//!
//! The agents must find the directory and the one for results at the same paths as this program does: with
//! `lonja dev` they do, on a fleet both would be on shared storage.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use lonja_sdk::model::resources::Quantities;
use lonja_sdk::model::task::Reason;
use lonja_sdk::model::unplaced::MAX_UNPLACED;
use lonja_sdk::placement;
use lonja_sdk::prelude::*;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

#[cfg(test)]
#[path = "batch/tests.rs"]
mod tests;

/// How long a master may take to be there at the start.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How long a master may take to confirm the end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a task runs, in a folder of its own. `input` and `output` are its volumes.
///
/// Every step goes through a file, because a shell only notices if the last program of a pipe fails. The
/// result is renamed into place, so that nobody ever reads half of one.
const SCRIPT: &str = r#"
set -eu
export LC_ALL=C TMPDIR=.
xargs -0 cat <"output/$SHARD.files" >data
tr A-Z a-z <data >lower
tr -cs a-z '\n' <lower >words
sort -S "$SORT_MIB"M words >sorted
uniq -c sorted >counted
wc -lwc <data >total
cat total counted >"output/$SHARD.result.$ATTEMPT"
mv "output/$SHARD.result.$ATTEMPT" "output/$SHARD.result"
rm data lower words sorted counted total
"#;

/// Count lines, words and bytes of all files below a directory, and its most frequent words, on a Lonja cluster.
///
/// Lines, words and bytes are what `wc` says of each file, added up; the frequent words are runs of the letters
/// a to z, in lower case; both in the C locale (LC_ALL=C), where a byte is a character. Symbolic links are not
/// followed.
#[derive(Parser)]
struct Args {
    /// The directory to count. Agents see it under the same path.
    dir: PathBuf,
    /// The master, as http://host:port.
    #[arg(long, env = "LONJA_MASTER", default_value = "http://127.0.0.1:5050")]
    master: String,
    /// How much one task counts, in MiB; a larger file is a shard of its own.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    shard_mib: u64,
    /// CPUs of one task.
    #[arg(long, default_value_t = 0.5)]
    cpus: f64,
    /// Memory of one task, in MiB.
    #[arg(long, default_value_t = 128.0)]
    mem: f64,
    /// How often a shard that has failed is tried again.
    #[arg(long, default_value_t = 3)]
    retries: u32,
    /// Where the directory for results is made, and removed at the end; on a fleet, shared storage.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    output: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("batch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let input = args.dir.canonicalize().with_context(|| format!("cannot find {}", args.dir.display()))?;
    let Cut { shards, skipped } = cut(&input, args.shard_mib << 20)?;
    if shards.is_empty() {
        println!("no files to count in {}", input.display());
        return Ok(ExitCode::SUCCESS);
    }

    // From here on Ctrl-C no longer ends the process by itself: what is made has to be removed.
    let interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let output = Results::create(&args.output)?;
    output.write_lists(&shards)?;
    let task = TaskBuilder::shell(SCRIPT)
        .needs(cpus(args.cpus) + mem(args.mem.mib()))
        .env("SORT_MIB", format!("{:.0}", (args.mem / 2.0).max(1.0)))
        .read_only_volume(utf8(&input)?, "input")
        .volume(utf8(&output.0)?, "output")
        .build()?;
    // Tasks run as whoever may write there.
    let options = FrameworkOptions::named("batch").user(fs::metadata(&output.0)?.uid().to_string());

    eprintln!("{} shards", shards.len());
    let (progress, watched) = watch::channel(Progress::default());
    // Its results go with the process, so there is nothing to go on from.
    let batch = Batch::restore(shards.len(), task, args.retries, progress, &State::default());
    let driver = Driver::new(&args.master, options).wait_for_master(START_WITHIN).stop_within(STOP_WITHIN);
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let shown = tokio::spawn(show(watched, shards.len()));
    let Some((batch, outcome)) = drive(driver, batch, interrupt).await? else {
        return Ok(ExitCode::from(130));
    };
    let Batch { failure, watched, .. } = batch;
    drop(watched);
    shown.await?;
    if let Some(Failure { shard, why }) = failure {
        let tries = args.retries.saturating_add(1);
        bail!("shard {shard} failed {tries} times, at last with: {why}; {}", shards[shard]);
    }
    if let Outcome::EndedByMaster { why } = outcome {
        bail!("the master ended the framework: {why}");
    }

    let counted = Count::merge(&output, &shards)?;
    report(&input, &shards, skipped, &counted, started.elapsed());
    Ok(ExitCode::SUCCESS)
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8, and a volume's path has to be", path.display()))
}

/// What one task counts.
#[derive(Default)]
struct Shard {
    /// Below the directory.
    files: Vec<PathBuf>,
    bytes: u64,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<_> = self.files.iter().take(3).map(|file| format!("{file:?}")).collect();
        let more = if self.files.len() > first.len() { ", ..." } else { "" };
        write!(f, "its {} files: {}{more}", self.files.len(), first.join(", "))
    }
}

/// A directory, cut into shards.
#[derive(Default)]
struct Cut {
    shards: Vec<Shard>,
    /// Links, special files, and what cannot be read.
    skipped: u64,
}

/// Cuts the files below `root` into shards of about `limit` bytes. Errors: `root` cannot be read.
fn cut(root: &Path, limit: u64) -> anyhow::Result<Cut> {
    fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
    let (mut cut, mut shard) = (Cut::default(), Shard::default());
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            cut.skipped += 1;
            continue;
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Some(bytes) = readable(&entry) {
                if shard.bytes + bytes > limit && !shard.files.is_empty() {
                    cut.shards.push(std::mem::take(&mut shard));
                }
                shard.bytes += bytes;
                shard.files.push(path);
            } else {
                cut.skipped += 1;
            }
        }
    }
    cut.shards.extend((!shard.files.is_empty()).then_some(shard));
    Ok(cut)
}

/// The size in bytes of a regular file that can be read.
fn readable(entry: &fs::DirEntry) -> Option<u64> {
    // Asked before it is opened: to open a named pipe waits for somebody to write to it.
    let regular = entry.file_type().ok()?.is_file();
    regular.then(|| File::open(entry.path()).ok()?.metadata().ok()).flatten().map(|metadata| metadata.len())
}

/// The directory for lists and results, and no longer there when this ends.
struct Results(PathBuf);

impl Results {
    fn create(parent: &Path) -> anyhow::Result<Self> {
        let made = tempfile::Builder::new().prefix("lonja-batch-").tempdir_in(parent);
        let made = made.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        Ok(Self(made.keep().canonicalize()?))
    }

    /// Writes down which files are whose, as tasks see them; a NUL ends each, since no path can hold one.
    ///
    /// After each file comes one with a newline, or its last word could run into the first of the next.
    fn write_lists(&self, shards: &[Shard]) -> anyhow::Result<()> {
        let write = |name: &str, bytes: &[u8]| {
            let path = self.0.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        };
        write("newline", b"\n")?;
        for (shard, Shard { files, .. }) in shards.iter().enumerate() {
            let paths =
                files.iter().map(|file| [b"input/", file.as_os_str().as_bytes(), b"\0output/newline\0"]);
            write(&format!("{shard}.files"), &paths.flatten().collect::<Vec<_>>().concat())?;
        }
        Ok(())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        // A task that is being killed may still add a file, and each at most one.
        let gone = || fs::remove_dir_all(&self.0).is_ok() || !self.0.exists();
        if !(0..100).any(|_| gone()) {
            eprintln!("batch: cannot remove {}; please do", self.0.display());
        }
    }
}

/// How far it is.
#[derive(Clone, Default)]
struct Progress {
    done: usize,
    running: usize,
    retried: u32,
    /// Why one was tried again, of late.
    trouble: String,
    /// Offers came, and none was large enough even for one task.
    starved: bool,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} running", self.running)?;
        if self.retried > 0 {
            write!(f, ", {} tried again ({})", self.retried, self.trouble)?;
        }
        f.write_str(if self.starved { "; no offer is large enough: lower --cpus or --mem" } else { "" })
    }
}

/// Why there will be no result.
struct Failure {
    shard: usize,
    why: String,
}

/// What is kept of a shard.
#[derive(Clone, Copy, Default)]
struct Standing {
    /// How often it was launched.
    attempts: u32,
    /// How often its program failed.
    failures: u32,
    done: bool,
}

impl Standing {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (attempts, failures, done) = (number()?, number()?, number()?);
        Some(Self { attempts, failures, done: done == 1 })
    }

    fn write(self) -> String {
        format!("{} {} {}", self.attempts, self.failures, u32::from(self.done))
    }
}

/// The framework: which shards wait, and which run under what name.
struct Batch {
    /// What every task is; each is told its shard by its environment.
    task: Task,
    retries: u32,
    pending: VecDeque<usize>,
    in_flight: BTreeMap<TaskId, usize>,
    shards: Vec<Standing>,
    progress: Progress,
    watched: watch::Sender<Progress>,
    failure: Option<Failure>,
    changes: Vec<Change>,
}

impl Batch {
    /// As an earlier run left it; from an empty state, the beginning.
    fn restore(
        shards: usize,
        task: Task,
        retries: u32,
        watched: watch::Sender<Progress>,
        state: &State,
    ) -> Self {
        let kept = |shard| Standing::read(state.get(&format!("shard/{shard}"))?);
        let shards: Vec<_> = (0..shards).map(|shard| kept(shard).unwrap_or_default()).collect();
        let alive: BTreeSet<&TaskId> = state.tasks().map(|(task, _agent)| task).collect();
        let (mut pending, mut in_flight) = (VecDeque::new(), BTreeMap::new());
        for (shard, standing) in shards.iter().enumerate().filter(|(_, standing)| !standing.done) {
            // Of each shard the latest attempt alone counts, as long as its end was not seen.
            let latest = id(shard, standing.attempts);
            if alive.contains(&latest) {
                in_flight.insert(latest, shard);
            } else {
                pending.push_back(shard);
            }
        }
        let over = shards.iter().position(|standing| standing.failures > retries);
        let failure = over.map(|shard| Failure { shard, why: "as an earlier run has seen".to_owned() });
        let done = shards.iter().filter(|standing| standing.done).count();
        let progress = Progress { done, ..Progress::default() };
        let changes = Vec::new();
        Self { task, retries, pending, in_flight, shards, progress, watched, failure, changes }
    }

    /// Changes a shard's standing, and writes that down.
    fn change(&mut self, shard: usize, change: impl FnOnce(&mut Standing)) {
        change(&mut self.shards[shard]);
        self.changes.push(Change::put(format!("shard/{shard}"), self.shards[shard].write()));
    }

    /// All is done, or given up.
    fn is_over(&self) -> bool {
        self.failure.is_some() || self.progress.done == self.shards.len()
    }

    /// The next attempt at `shard`. Ids are never used twice, so that news of an old attempt is known for it.
    fn attempt(&mut self, shard: usize, agent: &AgentId, resources: Resources) -> TaskInfo {
        self.change(shard, |standing| standing.attempts += 1);
        let attempt = self.shards[shard].attempts;
        let id = id(shard, attempt);
        self.in_flight.insert(id.clone(), shard);
        let task = self.task.clone().env("SHARD", shard.to_string()).env("ATTEMPT", attempt.to_string());
        task.with_resources(agent, id, resources)
    }

    /// An attempt came to nothing: the shard waits for another, or all is given up.
    fn failed(&mut self, shard: usize, status: &TaskStatus) {
        let why = status.message.clone().unwrap_or_else(|| status.state.to_string());
        if !is_lost(status) {
            self.change(shard, |standing| standing.failures += 1);
        }
        if self.shards[shard].failures > self.retries {
            self.failure.get_or_insert(Failure { shard, why });
            return;
        }
        self.progress.retried += 1;
        self.progress.trouble = format!("shard {shard}: {why}");
        self.pending.push_back(shard);
    }

    /// For people who ask by `lonja explain TASK`: why the next attempts at what waits are not on these offers.
    fn why_not(&self, offers: &[Offer]) -> Vec<Unplaced> {
        let id = |shard: &usize| id(*shard, self.shards[*shard].attempts + 1).to_string();
        let Some(first) = self.pending.front() else { return Vec::new() };
        let word = self.task.need().why_not_on(id(first), offers);
        self.pending
            .iter()
            .take(MAX_UNPLACED)
            .map(|shard| Unplaced { task: id(shard), ..word.clone() })
            .collect()
    }

    fn tell(&mut self) {
        self.progress.running = self.in_flight.len();
        self.watched.send_replace(self.progress.clone());
    }
}

impl Scheduler for Batch {
    /// Fills each offer with as many tasks as fit.
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let mut plan = Plan::new();
        for offer in offers {
            let mut left = offer.resources.clone();
            let mut tasks = Vec::new();
            while let Some(&shard) = self.pending.front() {
                let Some(needed) = placement::fit(&left, self.task.need()) else { break };
                let Some(rest) = left.checked_sub(&needed) else { break };
                left = rest;
                self.pending.pop_front();
                tasks.push(self.attempt(shard, &offer.agent, needed));
            }
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        self.progress.starved = self.in_flight.is_empty();
        self.tell();
        plan.unplaced(self.why_not(offers))
    }

    /// Offers smaller than one task are of no use.
    fn needs(&self) -> Vec<Quantities> {
        if self.pending.is_empty() { Vec::new() } else { vec![self.task.need().quantities()] }
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        // An agent that is silent, or does not know the task: it may run on, and does no harm if it does.
        let lost = matches!(status.state, TaskState::Unreachable | TaskState::Unknown);
        if !status.state.is_terminal() && !lost {
            return Plan::new();
        }
        // News of an attempt that was given up before.
        let Some(shard) = self.in_flight.remove(&status.task) else { return Plan::new() };
        if status.state == TaskState::Finished {
            self.change(shard, |standing| standing.done = true);
            self.progress.done += 1;
        } else {
            self.failed(shard, status);
        }
        self.tell();
        if self.is_over() { Plan::new().tear_down() } else { Plan::new() }
    }

    /// That no offer has come may take an explanation as well.
    fn subscribed(&mut self, _now: Timestamp, _framework: &FrameworkId, _master: &MasterInfo) -> Plan {
        let plan = Plan::new().unplaced(self.why_not(&[]));
        // It was killed before the master knew.
        if self.is_over() { plan.tear_down() } else { plan }
    }

    /// While all shards are placed, offers go to those who need them.
    fn wants_offers(&self) -> bool {
        !self.pending.is_empty() && !self.is_over()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// Did the cluster lose it, or a drain want it elsewhere? That says nothing about the shard.
fn is_lost(status: &TaskStatus) -> bool {
    match status.state {
        TaskState::Failed | TaskState::Error => false,
        // Who killed it is not said where the end itself was not seen: it may have been a drain.
        TaskState::Killed => {
            matches!(status.reason, Some(Reason::AgentDraining | Reason::Reconciliation))
        }
        _ => true,
    }
}

/// Such an attempt at a shard.
fn id(shard: usize, attempt: u32) -> TaskId {
    TaskId::new(format!("shard-{shard}.{attempt}")).expect("letters, digits and dots")
}

/// Runs the framework to its end; `None` if Ctrl-C was pressed. Its tasks have then been killed.
async fn drive(
    driver: Driver,
    batch: Batch,
    mut interrupt: Signal,
) -> anyhow::Result<Option<(Batch, Outcome)>> {
    let handle = driver.handle();
    let mut run = pin!(driver.run(batch));
    tokio::select! {
        ended = &mut run => return Ok(Some(ended?)),
        _ = interrupt.recv() => eprintln!("interrupted: killing the tasks"),
    }
    handle.tear_down().await;
    // If no master confirms it in time, this says when the tasks will end by themselves.
    if let Err(error) = run.await {
        eprintln!("{error}");
    }
    Ok(None)
}

/// Shows progress until the framework ends: a bar on a terminal, elsewhere a line for each tenth.
async fn show(mut watched: watch::Receiver<Progress>, shards: usize) {
    let style = "{bar:40} {pos} of {len} shards, {msg} [{elapsed}]";
    let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(shards as u64).with_style(style);
    let plain = !io::stderr().is_terminal();
    let mut said = (0, false);
    while watched.changed().await.is_ok() {
        let progress = watched.borrow_and_update().clone();
        bar.set_message(progress.to_string());
        bar.set_position(progress.done as u64);
        let worth_saying = (progress.done * 10 / shards, progress.starved);
        if plain && worth_saying != said {
            said = worth_saying;
            eprintln!("{} of {shards} shards, {progress}", progress.done);
        }
    }
    bar.finish_and_clear();
}

/// What was counted.
#[derive(Default)]
struct Count {
    lines: u64,
    words: u64,
    bytes: u64,
    frequent: HashMap<String, u64>,
}

impl Count {
    /// Adds up the results of all shards.
    fn merge(results: &Results, shards: &[Shard]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for (shard, Shard { files, .. }) in shards.iter().enumerate() {
            let path = results.0.join(format!("{shard}.result"));
            let file = File::open(&path).with_context(|| {
                format!("shard {shard} is done, and {} is not here: do agents share it?", path.display())
            })?;
            all.add(files.len() as u64, BufReader::new(file))
                .with_context(|| format!("cannot use {}", path.display()))?;
        }
        Ok(all)
    }

    /// Adds one result: what `wc` printed, then what `uniq -c` did. Each file had a newline added.
    fn add(&mut self, files: u64, result: impl BufRead) -> anyhow::Result<()> {
        let mut lines = result.lines();
        let total = lines.next().context("it is empty")??;
        let total: Vec<u64> = total.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let &[newlines, words, bytes] = total.as_slice() else { bail!("{total:?} are no totals") };
        self.lines += newlines.checked_sub(files).context("fewer lines than files")?;
        self.words += words;
        self.bytes += bytes.checked_sub(files).context("fewer bytes than files")?;
        for line in lines {
            let line = line?;
            // What is no word before the first word is an empty one.
            if let Some((times, word)) = line.trim().split_once(' ') {
                *self.frequent.entry(word.to_owned()).or_default() += times.parse::<u64>()?;
            }
        }
        Ok(())
    }

    /// The `count` most frequent words, those of equal frequency in their order.
    fn top(&self, count: usize) -> Vec<(&str, u64)> {
        let mut words: Vec<_> = self.frequent.iter().map(|(word, times)| (word.as_str(), *times)).collect();
        words.sort_by(|(word, times), (other, others)| others.cmp(times).then(word.cmp(other)));
        words.truncate(count);
        words
    }
}

fn report(input: &Path, shards: &[Shard], skipped: u64, counted: &Count, elapsed: Duration) {
    let files: usize = shards.iter().map(|shard| shard.files.len()).sum();
    println!("{files} files in {} shards, counted in {:.1} s", shards.len(), elapsed.as_secs_f64());
    if skipped > 0 {
        println!("{skipped} skipped: links, special files, and what cannot be read");
    }
    println!("{:>14} lines\n{:>14} words\n{:>14} bytes", counted.lines, counted.words, counted.bytes);
    let quoted = input.display().to_string().replace('\'', r"'\''");
    println!("to check: find '{quoted}' -type f -print0 | LC_ALL=C wc --files0-from=- | tail -n 1\n");
    for (place, (word, times)) in counted.top(20).into_iter().enumerate() {
        println!("{:>4}  {word:<24} {times:>12}", place + 1);
    }
}
