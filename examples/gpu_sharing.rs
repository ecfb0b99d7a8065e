//! Several tasks on one GPU: what it is worth on a production cluster. One file, on the SDK alone.
//!
//! ```sh
//! LONJA_TRACES=/path/to/traces cargo run --release --example gpu_sharing
//! ```
//!
//! A GPU is offered in thousandths, and a task asks for whole devices or for a share of one. [`Sharing`] is an ordinary
//! scheduler that puts each task where it leaves the least of the GPU over. Here it meets the production master in virtual
//! time, on the openb trace (1,523 machines, 8,152 tasks; published in the repository `alibaba/clusterdata`, folder
//! cluster-trace-gpu-v2023) or, without it, on a generated workload: once with shares as they were asked for, and once with
//! every share rounded up to a whole device, which is what a scheduler does that knows no shares.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use lonja_sdk::placement::{Ask, Gpus, Room, fit_on};
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{Client, Fleet, RunResult, Workload, simulate, trace};

/// Simulate a GPU cluster with and without shares of devices.
#[derive(Parser)]
struct Args {
    /// The folder with the openb trace, or the one that its folder `openb-2023` is in. Without it: a generated workload.
    #[arg(env = "LONJA_TRACES")]
    trace: Option<PathBuf>,
    /// Of the generated workload: how many machines, with 75 tasks for each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    machines: u16,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The scheduler: what waits, in order of arrival, and what runs.
struct Sharing {
    command: Task,
    waiting: BTreeMap<TaskId, Ask>,
    running: BTreeMap<TaskId, Ask>,
    changes: Vec<Change>,
}

impl Sharing {
    /// One whose tasks come in by [`Client::arrive`].
    fn new() -> anyhow::Result<Self> {
        let command = Task::shell("train")?;
        Ok(Self { command, waiting: BTreeMap::new(), running: BTreeMap::new(), changes: Vec::new() })
    }

    /// One with these tasks, of which an earlier run may have launched or ended some.
    #[cfg(test)]
    fn restore(tasks: &BTreeMap<TaskId, Ask>, state: &State) -> Self {
        let mut sharing = Self::new().expect("a command");
        let live: BTreeSet<_> = state.tasks().map(|(id, _)| id.clone()).collect();
        for (id, ask) in tasks.iter().filter(|(id, _)| state.get(&format!("done/{id}")).is_none()) {
            let again =
                state.get(&format!("again/{id}")).and_then(|id| str::from_utf8(id).ok()?.parse().ok());
            let id = again.unwrap_or_else(|| id.clone());
            let list = if live.contains(&id) { &mut sharing.running } else { &mut sharing.waiting };
            list.insert(id, ask.clone());
        }
        sharing
    }

    /// A lost task waits again, under an id of its own: `name`, `name.2`, `name.3`.
    fn again(&mut self, id: &TaskId, ask: Ask) {
        let (name, attempt) = id.as_str().split_once('.').unwrap_or((id.as_str(), "1"));
        let attempt: u32 = attempt.parse().unwrap_or(1);
        let Ok(next) = TaskId::new(format!("{name}.{}", attempt + 1)) else { return };
        self.changes.push(Change::put(format!("again/{name}"), next.as_str()));
        self.waiting.insert(next, ask);
    }

    /// Where a task leaves the least GPU over on its machine: the index of the offer, and the devices there.
    fn best(rooms: &[Room], ask: &Ask) -> Option<(usize, Vec<usize>)> {
        let fitting = rooms.iter().enumerate().filter(|(_, room)| room.fits(ask));
        let devices = fitting.filter_map(|(index, room)| Some((room.free_gpus(), index, room.fullest(ask)?)));
        devices.min().map(|(_, index, devices)| (index, devices))
    }
}

impl Scheduler for Sharing {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let mut rooms: Vec<Room> = offers.iter().map(Room::of).collect();
        let mut left: Vec<Resources> = offers.iter().map(|offer| offer.resources.clone()).collect();
        let mut launches: Vec<Vec<TaskInfo>> = vec![Vec::new(); offers.len()];
        // What has found no place now finds none however often it is asked for.
        let mut hopeless: BTreeSet<Ask> = BTreeSet::new();
        for (id, ask) in std::mem::take(&mut self.waiting) {
            let place = if hopeless.contains(&ask) { None } else { Self::best(&rooms, &ask) };
            let placed = place.and_then(|(index, devices)| {
                let ids: Vec<_> = devices
                    .iter()
                    .filter_map(|device| Some(rooms[index].devices.get(*device)?.0.clone()))
                    .collect();
                let taken = fit_on(&left[index], &ask.need, &ids)?;
                left[index] = left[index].checked_sub(&taken)?;
                rooms[index].take(&ask, &devices);
                launches[index].push(self.command.with_resources(&offers[index].agent, id.clone(), taken));
                Some(())
            });
            if placed.is_some() {
                self.running.insert(id, ask);
            } else {
                hopeless.insert(ask.clone());
                self.waiting.insert(id, ask);
            }
        }
        let launches = offers.iter().zip(launches).filter(|(_, tasks)| !tasks.is_empty());
        let plan = launches.fold(Plan::new(), |plan, (offer, tasks)| plan.launch(offer, tasks));
        plan.refuse_rest(Duration::from_secs(1))
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        if !status.state.is_terminal() {
            return Plan::new();
        }
        let Some(ask) = self.running.remove(&status.task) else { return Plan::new() };
        match status.state {
            TaskState::Finished | TaskState::Failed | TaskState::Error => {
                let name = status.task.as_str().split('.').next().unwrap_or_default();
                self.changes.push(Change::put(format!("done/{name}"), status.state.to_string()));
            }
            // The cluster lost it.
            _ => self.again(&status.task, ask),
        }
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

impl Client for Sharing {
    fn arrive(&mut self, _now: Timestamp, id: TaskId, ask: &Ask) {
        self.waiting.insert(id, ask.clone());
    }
}

/// The trace in a folder, or in `openb-2023` within it. Errors: there is none, or it cannot be read.
fn read(folder: &Path) -> anyhow::Result<Workload> {
    let inner = folder.join("openb-2023");
    let folder = if inner.is_dir() { inner } else { folder.to_owned() };
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let files = trace::choose(names.iter().map(String::as_str), None)?;
    let open = |file: &str| Ok(BufReader::new(File::open(folder.join(file))?));
    Ok(trace::read(&files, &folder.display().to_string(), open)?)
}

/// Machines with eight GPUs each, and in three hours more than they can do: mostly shares, as production has it.
fn generated(machines: usize) -> anyhow::Result<Workload> {
    let devices: Vec<String> = (0..8).map(|device| format!("{device}:1000")).collect();
    let machine = format!("cpus:96;mem:393216;gpus:{{{}}}", devices.join(","));
    let mut fleet = Fleet::of(machines, &machine)?.lasts(Duration::from_secs(3 * 3600));
    let every = Duration::from_secs(3 * 3600) / u32::try_from(machines * 75)?;
    for number in 0..u64::try_from(machines * 75)? {
        let gpus = match number * 7_919 % 10 {
            0..6 => Gpus::Share(u16::try_from(100 + number * 104_729 % 5 * 100)?),
            6..9 => Gpus::Whole(1),
            _ => Gpus::Whole(u16::try_from(2 + number % 3)?),
        };
        let task = Task::shell("train")?.cpus(2.0)?.mem_mib(8192.0)?.gpus(gpus);
        let runs = Duration::from_secs(1_800 + number * 7_907 % 3_600);
        fleet = fleet.task(every * u32::try_from(number)?, *task.need(), Some(runs));
    }
    Ok(fleet.into())
}

/// The same workload for whom there are only whole devices.
fn without_shares(mut workload: Workload) -> Workload {
    for arrival in &mut workload.arrivals {
        if let Gpus::Share(_) = arrival.ask.need.gpus {
            arrival.ask.need.gpus = Gpus::Whole(1);
        }
    }
    workload
}

fn report(name: &str, result: &RunResult) {
    let RunResult { placed, arrived, .. } = result;
    let used =
        |sample: &lonja_sdk::testing::Sample| sample.used.get("gpus").copied().unwrap_or_default() * 100.0;
    let most = result.samples.iter().map(used).fold(0.0, f64::max);
    let mut waits = result.waits.clone();
    waits.sort_by(f64::total_cmp);
    let median = waits.get(waits.len() / 2).copied().unwrap_or_default();
    println!(
        "{name:<14} placed {placed} of {arrived}, waited {median:.1} s (p50), at most {most:.1} % of all GPUs given out"
    );
    if let Some(why) = &result.stopped {
        println!("{name:<14} was stopped: {why}");
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let workload = match &args.trace {
        Some(folder) => read(folder)?,
        None => generated(args.machines.into())?,
    };
    if cfg!(debug_assertions) {
        eprintln!("this is a debug build, some ten times slower: cargo run --release --example gpu_sharing");
    }
    println!("{}: {} machines, {} tasks", workload.source, workload.machines.len(), workload.arrivals.len());
    let scheduler = |_: &_| Sharing::new().expect("a command");
    eprintln!("1 of 2: every share rounded up to a whole device ...");
    report("whole devices", &simulate(&without_shares(workload.clone()), args.seed, scheduler)?);
    eprintln!("2 of 2: shares as they are asked for ...");
    report("shares", &simulate(&workload, args.seed, scheduler)?);
    Ok(())
}

#[cfg(test)]
#[path = "gpu_sharing/tests.rs"]
mod tests;
