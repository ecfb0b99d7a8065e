//! Counts the words of all files below a folder, on a Lonja cluster.
//!
//! ```text
//! lonja dev --agents 3
//! cargo run --release --example batch -- ~/.cargo/registry/src
//! ```
//!
//! The files are cut into shards; each shard is a task that counts with `cat`, `wc`, `tr`, `sort` and `uniq`; the results
//! are merged here. A failed shard is tried again. The totals are those of `wc`, and the last line says how to
//! check them.
//!
//! A task reads its input through a read-only volume, and writes its result into a folder of the host: on one
//! machine that is enough, on a fleet both would lie on shared storage.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use lonja_sdk::prelude::*;

/// What each task runs: the totals of all files of its list, and how often each word occurs in them. Written under
/// another name and then renamed, so that a half-written result is never read.
const COUNT: &str = r#"
    set -e
    list="$PWD/out/$SHARD.list"
    (cd input && wc --files0-from=- < "$list") > "out/$TRY.all"
    tail -n 1 "out/$TRY.all" > "out/$TRY.wc"
    (cd input && xargs -0 cat -- < "$list") |
        tr 'A-Z' 'a-z' | tr -cs 'a-z' '\n' | sort | uniq -c | sed 's/^ *//' > "out/$TRY.words"
    mv "out/$TRY.wc" "out/$SHARD.wc"
    mv "out/$TRY.words" "out/$SHARD.words"
"#;

/// Count the words of all files below a folder, on a Lonja cluster.
///
/// Words are counted as `wc` counts them in the C locale; the list of the most frequent ones takes runs of the
/// letters a to z, in lower case. Symbolic links are not followed.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder.
    dir: PathBuf,
    /// The master.
    #[arg(long, default_value = "http://127.0.0.1:5050", env = "LONJA_MASTER")]
    master: String,
    /// How many MiB of files make a shard.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1024))]
    shard_mib: u64,
    /// CPUs of one task.
    #[arg(long, default_value_t = 0.5)]
    cpus: f64,
    /// Memory of one task, in MiB.
    #[arg(long, default_value_t = 128.0)]
    mem: f64,
    /// How often a shard is tried before the whole is given up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,
}

/// One part of the work.
#[derive(Clone, Debug)]
struct Shard {
    number: usize,
    tries: u32,
}

/// What the scheduler tells those who watch.
#[derive(Debug)]
enum Progress {
    Done,
    Failed { shard: usize, tries: u32, why: String },
    GivenUp,
}

/// Places shards wherever they fit, and again when they fail. Knows no file and no clock: it is tested below
/// without a cluster.
struct Batch {
    task: Task,
    waiting: VecDeque<Shard>,
    running: BTreeMap<TaskId, Shard>,
    most_tries: u32,
    progress: mpsc::Sender<Progress>,
}

impl Batch {
    fn new(task: Task, shards: usize, most_tries: u32, progress: mpsc::Sender<Progress>) -> Self {
        let waiting = (0..shards).map(|number| Shard { number, tries: 0 }).collect();
        Self { task, waiting, running: BTreeMap::new(), most_tries, progress }
    }

    fn tell(&self, progress: Progress) {
        // Nobody watches any more: the program is ending.
        let _ending = self.progress.send(progress);
    }

    /// The next shard as a task on `offer`, if it fits into what is left of it.
    fn place(&mut self, offer: &Offer, left: &mut Resources) -> Option<TaskInfo> {
        let shard = self.waiting.front()?.clone();
        let taken = lonja_sdk::placement::fit(left, self.task.need())?;
        *left = left.checked_sub(&taken)?;
        self.waiting.pop_front();
        let id = TaskId::new(format!("shard-{}.{}", shard.number, shard.tries)).expect("a plain name");
        let task = self.task.clone().env("SHARD", shard.number.to_string()).env("TRY", id.as_str());
        self.running.insert(id.clone(), shard);
        Some(task.with_resources(&offer.agent, id, taken))
    }
}

impl Scheduler for Batch {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let mut plan = Plan::new();
        for offer in offers {
            let mut left = offer.resources.clone();
            let tasks: Vec<TaskInfo> = std::iter::from_fn(|| self.place(offer, &mut left)).collect();
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        plan
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        if !status.state.is_terminal() {
            return Plan::new();
        }
        let Some(mut shard) = self.running.remove(&status.task) else { return Plan::new() };
        if status.state == TaskState::Finished {
            self.tell(Progress::Done);
        } else {
            shard.tries += 1;
            let why = format!("{} {}", status.state, status.message.clone().unwrap_or_default());
            self.tell(Progress::Failed { shard: shard.number, tries: shard.tries, why });
            if shard.tries >= self.most_tries {
                self.tell(Progress::GivenUp);
                return Plan::new().tear_down();
            }
            self.waiting.push_back(shard);
        }
        if self.waiting.is_empty() && self.running.is_empty() { Plan::new().tear_down() } else { Plan::new() }
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let dir = fs::canonicalize(&arguments.dir).with_context(|| arguments.dir.display().to_string())?;
    let found = find_files(&dir)?;
    if found.files.is_empty() {
        println!("no files below {}", dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    let scratch = Scratch::new()?;
    let shards = write_lists(&found.files, arguments.shard_mib << 20, &scratch.0)?;
    let task = Task::shell(COUNT)?
        .name("batch")
        .cpus(arguments.cpus)?
        .mem_mib(arguments.mem)?
        .env("LC_ALL", "C")
        .volume(text(&dir)?, "input", true)?
        .volume(text(&scratch.0)?, "out", false)?;
    let (progress, watched) = mpsc::channel();
    let batch = Batch::new(task, shards, arguments.tries, progress);
    let driver = Driver::new(&arguments.master, FrameworkOptions::named("batch"));
    let driver = driver.wait_for_master(Duration::from_secs(10));
    let handle = driver.handle();
    println!("{} files in {shards} shards on {}", found.files.len(), arguments.master);
    let watching = std::thread::spawn(move || watch(shards, &watched));
    let mut driven = std::pin::pin!(driver.run(batch));
    let outcome = tokio::select! {
        outcome = &mut driven => Some(outcome),
        _ = tokio::signal::ctrl_c() => None,
    };
    let Some(outcome) = outcome else {
        // The tasks are killed with the framework; a moment for the word to arrive.
        handle.tear_down().await;
        let _ended = tokio::time::timeout(Duration::from_secs(5), driven).await;
        eprintln!("interrupted");
        return Ok(ExitCode::from(130));
    };
    let (batch, outcome) = outcome?;
    // The scheduler holds the other end of the channel; without it the watching ends.
    drop(batch);
    let done = watching.join().map_err(|_| anyhow::anyhow!("the progress bar failed"))?;
    if done < shards {
        bail!("{} of {shards} shards were not counted ({outcome:?}); see above", shards - done);
    }
    report(&merge(shards, &scratch.0)?, &found, &dir, started.elapsed());
    Ok(ExitCode::SUCCESS)
}

/// A folder for lists and results, removed with its handle.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("lonja-batch-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// Plain files below a folder, relative to it, with their sizes.
struct Found {
    files: Vec<(PathBuf, u64)>,
    skipped: usize,
}

fn find_files(dir: &Path) -> anyhow::Result<Found> {
    let mut found = Found { files: Vec::new(), skipped: 0 };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(dir.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if folder.as_os_str().is_empty() => {
                return Err(error).context(dir.display().to_string());
            }
            Err(_) => {
                found.skipped += 1;
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() && fs::File::open(dir.join(&path)).is_ok() {
                found.files.push((path, metadata.len()));
            } else {
                found.skipped += 1;
            }
        }
    }
    found.files.sort();
    Ok(found)
}

/// Writes the list of each shard, names ended by a zero byte, and says how many there are.
fn write_lists(files: &[(PathBuf, u64)], shard_bytes: u64, scratch: &Path) -> anyhow::Result<usize> {
    let mut shards = 0;
    let mut rest = files;
    while !rest.is_empty() {
        let mut bytes = 0;
        let full = rest.iter().position(|(_, size)| {
            bytes += size;
            bytes > shard_bytes
        });
        let (shard, later) = rest.split_at(full.unwrap_or(rest.len()).max(1));
        let mut list = std::io::BufWriter::new(fs::File::create(scratch.join(format!("{shards}.list")))?);
        for (path, _) in shard {
            // `./` keeps a name that begins with a dash from being taken for an option.
            list.write_all(&[b"./", path.as_os_str().as_bytes(), b"\0"].concat())?;
        }
        list.flush()?;
        rest = later;
        shards += 1;
    }
    Ok(shards)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not valid UTF-8, which a volume needs", path.display()))
}

/// Shows progress until the scheduler is gone; returns how many shards are done.
fn watch(shards: usize, progress: &mpsc::Receiver<Progress>) -> usize {
    let bar = ProgressBar::new(shards as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} shards, {elapsed}") {
        bar.set_style(style);
    }
    let plain = !std::io::stderr().is_terminal();
    let mut done = 0;
    for news in progress {
        match news {
            Progress::Done => {
                done += 1;
                bar.inc(1);
                if plain && (done * 10 / shards) != ((done - 1) * 10 / shards) {
                    eprintln!("{done} of {shards} shards");
                }
            }
            Progress::Failed { shard, tries, why } => {
                bar.suspend(|| eprintln!("shard {shard}, try {tries}: {why}"))
            }
            Progress::GivenUp => bar.suspend(|| eprintln!("given up")),
        }
    }
    bar.finish_and_clear();
    done
}

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
    frequency: BTreeMap<String, u64>,
}

fn merge(shards: usize, scratch: &Path) -> anyhow::Result<Counts> {
    let mut sum = Counts::default();
    for shard in 0..shards {
        let totals = fs::read_to_string(scratch.join(format!("{shard}.wc")))?;
        // Three numbers, then `total` or the name of the only file.
        let numbers: Vec<u64> =
            totals.split_whitespace().take(3).filter_map(|word| word.parse().ok()).collect();
        let [lines, words, bytes] = numbers[..] else { bail!("shard {shard} counted {totals:?}") };
        sum.lines += lines;
        sum.words += words;
        sum.bytes += bytes;
        let frequency = fs::read(scratch.join(format!("{shard}.words")))?;
        for line in frequency.split(|byte| *byte == b'\n') {
            let line = OsStr::from_bytes(line).to_string_lossy();
            if let Some((count, word)) = line.split_once(' ')
                && !word.is_empty()
            {
                *sum.frequency.entry(word.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
            }
        }
    }
    Ok(sum)
}

fn report(counts: &Counts, found: &Found, dir: &Path, took: Duration) {
    let mut top: Vec<(&String, &u64)> = counts.frequency.iter().collect();
    top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (word, count) in top.into_iter().take(20) {
        println!("{count:>12}  {word}");
    }
    println!(
        "{} files, {} lines, {} words, {} bytes",
        found.files.len(),
        counts.lines,
        counts.words,
        counts.bytes
    );
    if found.skipped > 0 {
        println!("{} others are no plain files, or cannot be read", found.skipped);
    }
    println!("in {:.1} s; check with:", took.as_secs_f64());
    println!("find '{}' -type f -print0 | LC_ALL=C wc --files0-from=- | tail -n 1", dir.display());
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonja_sdk::model::attributes::Attributes;
    use lonja_sdk::model::task::Source;
    use lonja_sdk::model::{Offer, Role};

    fn offer(resources: &str) -> Offer {
        Offer {
            id: OfferId::new("o1").unwrap(),
            framework: FrameworkId::new("f1").unwrap(),
            agent: AgentId::new("a1").unwrap(),
            role: Role::default_role(),
            hostname: "localhost".to_owned(),
            port: 5051,
            resources: resources.parse().unwrap(),
            attributes: Attributes::default(),
            domain: None,
            executors: Vec::new(),
        }
    }

    fn batch(shards: usize) -> (Batch, mpsc::Receiver<Progress>) {
        let (progress, watched) = mpsc::channel();
        let task = Task::shell("true").unwrap().cpus(0.5).unwrap().mem_mib(64.0).unwrap();
        (Batch::new(task, shards, 2, progress), watched)
    }

    fn ended(batch: &mut Batch, task: &str, state: TaskState) -> Plan {
        let status = TaskStatus::new(TaskId::new(task).unwrap(), state, Source::Executor, Timestamp::ZERO);
        batch.update(Timestamp::ZERO, &status)
    }

    #[test]
    fn an_offer_is_filled_with_as_many_shards_as_fit() {
        let (mut batch, _watched) = batch(3);
        batch.offers(Timestamp::ZERO, &[offer("cpus:1.2;mem:1024")]);
        assert_eq!((batch.running.len(), batch.waiting.len(), batch.wants_offers()), (2, 1, true));
    }

    #[test]
    fn when_the_last_shard_is_done_the_framework_ends() {
        let (mut batch, _watched) = batch(2);
        batch.offers(Timestamp::ZERO, &[offer("cpus:4;mem:1024")]);
        assert_eq!(ended(&mut batch, "shard-0.0", TaskState::Finished), Plan::new());
        assert_eq!(ended(&mut batch, "shard-1.0", TaskState::Finished), Plan::new().tear_down());
    }

    #[test]
    fn a_failed_shard_is_tried_again_under_another_id_and_given_up_in_the_end() {
        let (mut batch, watched) = batch(1);
        batch.offers(Timestamp::ZERO, &[offer("cpus:4;mem:1024")]);
        assert_eq!(ended(&mut batch, "shard-0.0", TaskState::Failed), Plan::new());
        assert!(batch.wants_offers());
        batch.offers(Timestamp::ZERO, &[offer("cpus:4;mem:1024")]);
        assert_eq!(ended(&mut batch, "shard-0.1", TaskState::Failed), Plan::new().tear_down());
        drop(batch);
        assert!(matches!(watched.iter().last(), Some(Progress::GivenUp)));
    }

    #[test]
    fn files_are_cut_into_shards_of_about_the_size_asked_for() {
        let scratch = Scratch::new().unwrap();
        let files: Vec<(PathBuf, u64)> = (0..5).map(|n| (PathBuf::from(format!("f {n}\n")), 40)).collect();
        assert_eq!(write_lists(&files, 100, &scratch.0).unwrap(), 3);
        assert_eq!(fs::read(scratch.0.join("2.list")).unwrap(), b"./f 4\n\0");
    }
}
