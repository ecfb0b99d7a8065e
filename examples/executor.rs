//! Counts primes with an executor of its own: many small tasks in one process on each agent, in one file, on the SDK
//! alone.
//!
//! ```sh
//! cargo run --release --example executor -- --below 10000000 --tasks 100
//! ```
//!
//! The numbers are cut into slices. Each slice is a task whose data says where it begins and ends; its result comes back
//! as data of its last status. No task has a program: all on one agent run in one process, which is this very file,
//! started by the agent as an executor. What to look at, in reading order:
//!
//! - [`main`]: one program, two parts; the environment says which.
//! - [`Counter`]: the executor. It starts work and returns; the work reports by a [`Handle`].
//! - [`Primes`]: the framework, which hands slices out and adds results up.
//!
//! Agents fetch the program from where it lies: with `lonja dev` they may, on a fleet it would be on a web server.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use lonja_sdk::executor::{self, Environment, Executor, Handle, Update};
use lonja_sdk::model::files::Uri;
use lonja_sdk::model::resources::Quantities;
use lonja_sdk::prelude::*;
use lonja_sdk::{MAX_TASKS, placement};

#[cfg(test)]
#[path = "executor/tests.rs"]
mod tests;

/// How long a master may take to be there at the start.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How often a slice that has failed is tried again.
const RETRIES: u32 = 3;

/// Count the primes below a number on a Lonja cluster.
#[derive(Parser)]
struct Args {
    /// The master, as http://host:port.
    #[arg(long, env = "LONJA_MASTER", default_value = "http://127.0.0.1:5050")]
    master: String,
    /// Primes below this are counted.
    #[arg(long, default_value_t = 10_000_000)]
    below: u64,
    /// Into how many tasks that is cut.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    tasks: u64,
    /// CPUs of one task.
    #[arg(long, default_value_t = 0.1)]
    cpus: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = if Environment::is_here() { execute().await } else { schedule(&Args::parse()).await };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("executor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The part that an agent starts: runs tasks until there are no more.
async fn execute() -> anyhow::Result<()> {
    let driver = executor::Driver::from_environment()?;
    let counter = Counter { handle: driver.handle(), running: BTreeMap::new() };
    let (_counter, outcome) = driver.run(counter).await?;
    eprintln!("ended: {outcome:?}");
    Ok(())
}

/// Counts slices, each in a thread of its own.
struct Counter {
    handle: Handle,
    /// What stops each.
    running: BTreeMap<TaskId, Arc<AtomicBool>>,
}

impl Executor for Counter {
    fn launched(&mut self, _now: Timestamp, task: &TaskInfo) -> executor::Plan {
        let id = task.id.clone();
        let Some(slice) = parse(&task.data) else {
            return executor::Plan::new().update(Update::failed(id, "its data is no slice, such as 0-1000"));
        };
        // Whoever has ended holds its flag no longer.
        self.running.retain(|_, stop| Arc::strong_count(stop) > 1);
        let stop = Arc::new(AtomicBool::new(false));
        self.running.insert(id.clone(), stop.clone());
        let (handle, reported) = (self.handle.clone(), id.clone());
        tokio::spawn(async move {
            let counted = tokio::task::spawn_blocking(move || count(slice, &stop)).await;
            let update = match counted {
                Ok(Some(primes)) => Update::finished(reported).with_data(primes.to_string()),
                Ok(None) => Update::killed(reported),
                Err(error) => Update::failed(reported, error.to_string()),
            };
            handle.update(update).await;
        });
        executor::Plan::new().running(id)
    }

    /// It says itself that it has stopped.
    fn kill(&mut self, _now: Timestamp, task: &TaskId, _grace: Option<Duration>) -> executor::Plan {
        if let Some(stop) = self.running.get(task) {
            stop.store(true, Ordering::Relaxed);
        }
        executor::Plan::new()
    }

    fn shutdown(&mut self, _now: Timestamp, _until: Timestamp) -> executor::Plan {
        self.running.values().for_each(|stop| stop.store(true, Ordering::Relaxed));
        executor::Plan::new()
    }
}

/// How many primes there are in `slice`; `None` if it was stopped.
fn count(slice: Range<u64>, stop: &AtomicBool) -> Option<u64> {
    let is_prime = |n: u64| n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    let mut primes = 0;
    for n in slice {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        primes += u64::from(is_prime(n));
    }
    Some(primes)
}

/// The slice that a task's data says.
fn parse(data: &[u8]) -> Option<Range<u64>> {
    let (from, to) = std::str::from_utf8(data).ok()?.split_once('-')?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// The part that people start: hands slices out until all are counted.
async fn schedule(args: &Args) -> anyhow::Result<()> {
    let itself = std::env::current_exe().context("cannot find this program's own file")?;
    let itself = itself.to_str().context("the path of this program is not UTF-8")?;
    let mut program = Uri::saved_as(format!("file://{itself}"), "counter")?;
    (program.executable, program.cache) = (true, true);
    let executor = Task::argv(["./counter"])?.cpus(0.1)?.mem_mib(64.0)?.fetch(program);
    let executor = executor.as_executor(ExecutorId::new("counter")?)?;
    let task = ExecutorTask::new(executor)?.cpus(args.cpus)?.mem_mib(4.0)?;

    let step = args.below.div_ceil(args.tasks).max(1);
    let slices = (0..args.tasks).map(|n| (n * step).min(args.below)..((n + 1) * step).min(args.below));
    let primes = Primes::new(task, slices.filter(|slice| !slice.is_empty()));
    // Whoever interrupts this wants its tasks to end.
    let options = FrameworkOptions::named("primes").failover_timeout(Duration::ZERO);
    let driver = Driver::new(&args.master, options).wait_for_master(START_WITHIN);
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let (primes, outcome) = driver.run(primes).await?;
    if let Some(why) = primes.failure {
        bail!(why);
    }
    if let Outcome::EndedByMaster { why } = outcome {
        bail!("the master ended the framework: {why}");
    }
    println!("{} primes below {}, counted by {} tasks", primes.found, args.below, primes.done);
    for (agent, tasks) in primes.agents {
        println!("{tasks:>8} tasks in one process on agent {agent}");
    }
    Ok(())
}

/// The framework: which slices wait, and which are counted under what name.
struct Primes {
    task: ExecutorTask,
    /// Each with how often it was tried.
    waiting: VecDeque<(Range<u64>, u32)>,
    in_flight: BTreeMap<TaskId, (Range<u64>, u32)>,
    found: u64,
    done: usize,
    /// How many tasks each agent has counted.
    agents: BTreeMap<AgentId, usize>,
    failure: Option<String>,
}

impl Primes {
    fn new(task: ExecutorTask, slices: impl Iterator<Item = Range<u64>>) -> Self {
        Self {
            task,
            waiting: slices.map(|slice| (slice, 0)).collect(),
            in_flight: BTreeMap::new(),
            found: 0,
            done: 0,
            agents: BTreeMap::new(),
            failure: None,
        }
    }

    /// Adds a result up. Errors: it is none, in words.
    fn add(&mut self, status: &TaskStatus) -> Result<(), String> {
        let result = std::str::from_utf8(&status.data).ok().and_then(|text| text.parse::<u64>().ok());
        self.found += result.ok_or("its result is no number")?;
        self.done += 1;
        if let Some(agent) = status.agent.clone() {
            *self.agents.entry(agent).or_default() += 1;
        }
        Ok(())
    }
}

impl Scheduler for Primes {
    /// Fills each offer; an executor that is not there yet takes its part of it first.
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let mut plan = Plan::new();
        for offer in offers {
            let Some(mut left) = self.task.room(offer) else { continue };
            let mut tasks = Vec::new();
            while tasks.len() < MAX_TASKS {
                let Some(taken) = placement::fit(&left, self.task.need()) else { break };
                let Some(rest) = left.checked_sub(&taken) else { break };
                let Some((slice, tries)) = self.waiting.pop_front() else { break };
                left = rest;
                let id = TaskId::new(format!("{}-{}.{tries}", slice.start, slice.end)).expect("digits");
                let task = self.task.clone().data(format!("{}-{}", slice.start, slice.end));
                tasks.push(task.expect("a few bytes").with_resources(&offer.agent, id.clone(), taken));
                self.in_flight.insert(id, (slice, tries));
            }
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        // What is left of them is of use at once: one plan launches only so many.
        plan.refuse_leftovers(Duration::ZERO)
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        // An agent that is silent, or does not know the task: counted twice it is still added up once.
        let lost = matches!(status.state, TaskState::Unreachable | TaskState::Unknown);
        if !status.state.is_terminal() && !lost {
            return Plan::new();
        }
        let Some((slice, tries)) = self.in_flight.remove(&status.task) else { return Plan::new() };
        let why = match status.state {
            TaskState::Finished => self.add(status).err(),
            other => Some(status.message.clone().unwrap_or_else(|| other.to_string())),
        };
        match why {
            Some(why) if tries >= RETRIES => {
                self.failure.get_or_insert(format!("task {} failed: {why}", status.task));
                return Plan::new().tear_down();
            }
            Some(_) => self.waiting.push_back((slice, tries + 1)),
            None => {}
        }
        let is_done = self.waiting.is_empty() && self.in_flight.is_empty();
        if is_done { Plan::new().tear_down() } else { Plan::new() }
    }

    fn executor_lost(
        &mut self,
        _now: Timestamp,
        agent: &AgentId,
        executor: &ExecutorId,
        status: Option<i32>,
    ) -> Plan {
        eprintln!("executor {executor} on agent {agent} has ended: {status:?}");
        Plan::new()
    }

    /// A plan that cannot be carried out is a mistake in this file.
    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        if !matches!(problem, Problem::Plan(_)) {
            return Plan::new();
        }
        self.failure.get_or_insert(problem.to_string());
        Plan::new().tear_down()
    }

    fn needs(&self) -> Vec<Quantities> {
        if self.waiting.is_empty() { Vec::new() } else { vec![self.task.need().quantities()] }
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }
}
