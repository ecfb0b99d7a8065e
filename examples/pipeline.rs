//! A pipeline: stages that need each other's data, each a task, in one file on the SDK alone.
//!
//! ```sh
//! lonja dev &
//! cargo run --example pipeline                     # a small pipeline of its own
//! cargo run --example pipeline -- --file stages    # yours
//! ```
//!
//! A file has a line for each stage: `NAME < INPUT INPUT = COMMAND`. What the command prints is the stage's output; its
//! inputs lie in `data/`, each under the name of the stage it comes from. What to look at, in reading order:
//!
//! - [`SCRIPT`]: what a task does. It may run twice and nothing goes wrong: its output appears whole or not at all.
//! - [`parse`]: stages that could never run are refused before anything starts.
//! - [`Pipeline`]: the scheduler. Each stage's standing is one entry of what is kept ([`Standing`]), written with the
//!   launch or the news it comes from, so a scheduler that is killed at any moment goes on where it was.
//!
//! All agents must find the folder for data at the same path: with `lonja dev` they do, on a fleet it is shared storage.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use lonja_sdk::model::resources::Quantities;
use lonja_sdk::placement::first_fit;
use lonja_sdk::prelude::*;

/// What a task runs. `data` is its volume; the command stands in the environment, so no quoting can go wrong.
const SCRIPT: &str = r#"
set -eu
sh -euc "$COMMAND" >"data/.$STAGE.$ATTEMPT"
mv "data/.$STAGE.$ATTEMPT" "data/$STAGE"
"#;

/// The pipeline that runs without `--file`: the multiples of three, those of five, and those of both.
const EXAMPLE: &str = "
numbers = seq 1 1000
threes < numbers = awk '$1 % 3 == 0' data/numbers
fives < numbers = awk '$1 % 5 == 0' data/numbers
both < threes fives = sort data/threes data/fives | uniq -d | sort -n
";

/// How long tasks go on without their scheduler: so long may it be away and come back to them.
const OUTLIVES: Duration = Duration::from_hours(7 * 24);

/// Run a pipeline of stages on a Lonja cluster.
#[derive(Parser)]
struct Args {
    /// The master, as http://host:port.
    #[arg(long, env = "LONJA_MASTER", default_value = "http://127.0.0.1:5050")]
    master: String,
    /// Where it keeps what it must not forget: another start goes on from there.
    #[arg(long, value_name = "DIR", default_value = "pipeline.state")]
    store: PathBuf,
    /// The stages, one on each line: NAME < INPUT INPUT = COMMAND.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Where data lie; the outputs stay there.
    #[arg(long, value_name = "DIR", default_value = "pipeline-data")]
    data: PathBuf,
    /// How often a stage that has failed is tried again.
    #[arg(long, default_value_t = 2)]
    retries: u32,
}

/// One stage: what it runs, and on whose data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    name: String,
    inputs: Vec<String>,
    command: String,
}

/// The stages of a file. Errors: a line that is none, a name twice, an input that no stage makes, a circle.
fn parse(text: &str) -> anyhow::Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (head, command) =
            line.split_once('=').with_context(|| format!("line {number}: write NAME < INPUTS = COMMAND"))?;
        let (name, inputs) = head.split_once('<').unwrap_or((head, ""));
        let (name, command) = (name.trim(), command.trim());
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        ensure!(
            !name.is_empty() && name.chars().all(plain),
            "line {number}: {name:?} is no name for a stage"
        );
        ensure!(!command.is_empty(), "line {number}: stage {name} has no command");
        ensure!(stages.iter().all(|stage| stage.name != name), "line {number}: stage {name} is there twice");
        let inputs = inputs.split_whitespace().map(str::to_owned).collect();
        stages.push(Stage { name: name.to_owned(), inputs, command: command.to_owned() });
    }
    ensure!(!stages.is_empty(), "there is no stage");
    // Takes out what could run, until nothing is left or nothing could.
    let mut left: Vec<&Stage> = stages.iter().collect();
    loop {
        let ready =
            |stage: &&Stage| stage.inputs.iter().all(|input| !left.iter().any(|one| one.name == *input));
        let (now, later): (Vec<_>, Vec<_>) = left.clone().into_iter().partition(ready);
        if now.is_empty() {
            break;
        }
        left = later;
    }
    for stage in &stages {
        for input in &stage.inputs {
            let known = stages.iter().any(|other| other.name == *input);
            ensure!(known, "stage {}: no stage makes its input {input}", stage.name);
        }
    }
    if let Some(stage) = left.first() {
        bail!("stage {} waits for itself, by way of {}", stage.name, stage.inputs.join(", "));
    }
    Ok(stages)
}

/// How far a stage is: what is kept of it, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// How often it was launched. Ids are never used twice, so that news of an old attempt is known for it.
    attempts: u32,
    /// How often it failed by itself. What the cluster did to it does not count.
    failures: u32,
    now: Now,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Now {
    #[default]
    Waiting,
    Running,
    Done,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.attempts, self.failures)?;
        match &self.now {
            Now::Waiting => f.write_str("waiting"),
            Now::Running => f.write_str("running"),
            Now::Done => f.write_str("done"),
        }
    }
}

impl Standing {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = str::from_utf8(bytes).ok()?.split(' ');
        let (attempts, failures) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let now = match words.next()? {
            "running" => Now::Running,
            "done" => Now::Done,
            _ => Now::Waiting,
        };
        Some(Self { attempts, failures, now })
    }
}

/// The scheduler: its stages, and how far each is.
struct Pipeline {
    task: Task,
    retries: u32,
    stages: BTreeMap<String, (Stage, Standing)>,
    /// Why there will be no result.
    failure: Option<String>,
    changes: Vec<Change>,
}

impl Pipeline {
    /// As an earlier run left it; from an empty state, the beginning. `task` is what every stage is run as.
    fn restore(stages: &[Stage], task: &Task, retries: u32, state: &State) -> Self {
        let standing = |name: &str| Standing::read(state.get(&format!("stage/{name}"))?);
        let all = stages.iter().cloned();
        let all =
            all.map(|stage| (stage.name.clone(), (stage.clone(), standing(&stage.name).unwrap_or_default())));
        let mut pipeline =
            Self { task: task.clone(), retries, stages: all.collect(), failure: None, changes: Vec::new() };
        pipeline.failure = pipeline.has_failed();
        pipeline
    }

    /// The stage that has failed too often, as is known from what is kept.
    fn has_failed(&self) -> Option<String> {
        let mut all = self.stages.values().map(|(stage, standing)| (&stage.name, standing.failures));
        let (name, failures) = all.find(|(_, failures)| *failures > self.retries)?;
        Some(format!("stage {name} failed {failures} times"))
    }

    fn is_done(&self, name: &str) -> bool {
        self.stages.get(name).is_some_and(|(_, standing)| standing.now == Now::Done)
    }

    fn is_complete(&self) -> bool {
        self.stages.keys().all(|name| self.is_done(name))
    }

    fn is_over(&self) -> bool {
        self.failure.is_some() || self.is_complete()
    }

    /// Those that wait for nothing but room; none once it has failed.
    fn ready(&self) -> impl Iterator<Item = &str> {
        let ready = |(stage, standing): &&(Stage, Standing)| {
            self.failure.is_none()
                && standing.now == Now::Waiting
                && stage.inputs.iter().all(|input| self.is_done(input))
        };
        self.stages.values().filter(ready).map(|(stage, _)| stage.name.as_str())
    }

    /// Changes a stage's standing, and writes that down.
    fn put(&mut self, name: &str, change: impl FnOnce(&mut Standing)) {
        let Some((_, standing)) = self.stages.get_mut(name) else { return };
        change(standing);
        self.changes.push(Change::put(format!("stage/{name}"), standing.to_string()));
    }

    fn launch(&mut self, name: &str, agent: &AgentId, resources: Resources) -> Option<TaskInfo> {
        self.put(name, |standing| {
            standing.attempts += 1;
            standing.now = Now::Running;
        });
        let (stage, standing) = self.stages.get(name)?;
        let attempt = standing.attempts;
        let task = self.task.clone().name(name).env("STAGE", name).env("COMMAND", stage.command.as_str());
        let task = task.env("ATTEMPT", attempt.to_string());
        Some(task.with_resources(agent, TaskId::new(format!("{name}.{attempt}")).ok()?, resources))
    }

    /// The stage of which this is the present attempt.
    fn stage_of(&self, task: &TaskId) -> Option<String> {
        let (name, attempt) = task.as_str().rsplit_once('.')?;
        let (_, standing) = self.stages.get(name)?;
        let is_present = standing.now == Now::Running && attempt == standing.attempts.to_string();
        is_present.then(|| name.to_owned())
    }
}

impl Scheduler for Pipeline {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let ready: Vec<String> = self.ready().map(str::to_owned).collect();
        let needs = vec![*self.task.need(); ready.len()];
        let mut plan = Plan::new();
        for (offer, placed) in offers.iter().zip(first_fit(offers, &needs)) {
            let tasks = placed.into_iter();
            let tasks = tasks.filter_map(|(index, with)| self.launch(&ready[index], &offer.agent, with));
            let tasks: Vec<_> = tasks.collect();
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        plan
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        // An agent that is silent, or does not know the task: it may run on, and does no harm if it does.
        let is_silent = matches!(status.state, TaskState::Unreachable | TaskState::Unknown);
        let has_ended = status.state.is_terminal();
        let Some(name) = self.stage_of(&status.task) else {
            // Given up while its agent was silent, and back.
            let kill = !has_ended && !is_silent;
            return if kill { Plan::new().kill(status.task.clone(), None) } else { Plan::new() };
        };
        match status.state {
            TaskState::Finished => self.put(&name, |standing| standing.now = Now::Done),
            TaskState::Failed | TaskState::Error => {
                self.put(&name, |standing| {
                    (standing.failures, standing.now) = (standing.failures + 1, Now::Waiting)
                });
                let why = status.message.clone().unwrap_or_else(|| status.state.to_string());
                if self.failure.is_none() {
                    self.failure = self.has_failed().map(|failed| format!("{failed}, at last with: {why}"));
                }
            }
            _ if has_ended || is_silent => self.put(&name, |standing| standing.now = Now::Waiting),
            _ => {}
        }
        if self.is_over() { Plan::new().tear_down() } else { Plan::new() }
    }

    /// An earlier run may have written down how it ends, and not come to say it.
    fn subscribed(&mut self, _now: Timestamp, _id: &FrameworkId, _master: &MasterInfo) -> Plan {
        if self.is_over() { Plan::new().tear_down() } else { Plan::new() }
    }

    fn wants_offers(&self) -> bool {
        self.ready().next().is_some()
    }

    fn needs(&self) -> Vec<Quantities> {
        vec![self.task.need().quantities()]
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let text = match &args.file {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => EXAMPLE.to_owned(),
    };
    let stages = parse(&text)?;
    std::fs::create_dir_all(&args.data).with_context(|| format!("cannot make {}", args.data.display()))?;
    let data = args.data.canonicalize()?;
    let data = data.to_str().context("the folder's path is not UTF-8, and a volume's has to be")?;
    let task = Task::shell(SCRIPT)?.cpus(0.5)?.mem_mib(64.0)?.volume(data, "data", false)?;
    let options = FrameworkOptions::named("pipeline").failover_timeout(OUTLIVES);
    let driver = Driver::new(&args.master, options).store(FileStore::at(&args.store));
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let make = move |state: &State| Pipeline::restore(&stages, &task, args.retries, state);
    let (pipeline, outcome) = driver.run_from(make).await?;
    if let Some(why) = pipeline.failure {
        bail!("{why}");
    }
    ensure!(outcome == Outcome::TornDown && pipeline.is_complete(), "ended too early: {outcome:?}");
    println!("{} stages are done; their outputs are in {data}", pipeline.stages.len());
    Ok(())
}

#[cfg(test)]
#[path = "pipeline/tests.rs"]
mod tests;
