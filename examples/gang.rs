//! A distributed job: its members start together or not at all, and when one fails all start again. One file, on the SDK
//! alone.
//!
//! ```sh
//! lonja dev --agents 3 &
//! cargo run --example gang -- --members 3 'echo I am $RANK of $SIZE in epoch $EPOCH; sleep 2'
//! ```
//!
//! What to look at, in reading order:
//!
//! - [`Gang::gather`]: offers are held until all members fit, and then all are launched in one plan. Who holds and waits
//!   can wait for ever, for instance for what another gang holds that waits, too: so all is given back after a time, which
//!   is drawn and grows with each try. Of two that are in each other's way the younger yields.
//! - [`Gang::ended`]: each start of the job is an epoch. One member fails, the others are killed; when the last has ended
//!   the next epoch begins. Members know their epoch, so one that is back from a silent agent disturbs nobody; it is killed.
//! - What is kept: the epoch, and where each of its members stands. It is written with the launch, all or nothing.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Parser;
use lonja_sdk::PlanError;
use lonja_sdk::model::time::earliest;
use lonja_sdk::model::unplaced::{MAX_UNPLACED, Unplaced};
use lonja_sdk::placement::first_fit;
use lonja_sdk::prelude::*;

/// How long the first try gathers, about; each further one longer by as much, up to six times.
const GATHERS: Duration = Duration::from_secs(10);

/// How long it rests after a try, at least; up to twice that is drawn.
const RESTS: Duration = Duration::from_secs(5);

/// Offers that are held at most.
const MOST_HELD: usize = 1_000;

/// How long tasks go on without their scheduler: so long may it be away and come back to them.
const OUTLIVES: Duration = Duration::from_hours(7 * 24);

/// Run a distributed job on a Lonja cluster.
#[derive(Parser)]
struct Args {
    /// What each member runs; RANK, SIZE and EPOCH are in its environment.
    command: String,
    /// The master, as http://host:port.
    #[arg(long, env = "LONJA_MASTER", default_value = "http://127.0.0.1:5050")]
    master: String,
    /// Where it keeps what it must not forget: another start goes on from there.
    #[arg(long, value_name = "DIR", default_value = "gang.state")]
    store: PathBuf,
    /// How many members it has.
    #[arg(long, default_value_t = 2)]
    members: usize,
    /// CPUs of each.
    #[arg(long, default_value_t = 0.5)]
    cpus: f64,
    /// How often it starts again when a member has failed.
    #[arg(long, default_value_t = 2)]
    retries: u32,
}

/// Where a member of this epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Live,
    Finished,
    Failed,
}

/// The scheduler of one job.
struct Gang {
    task: Task,
    size: usize,
    retries: u32,
    /// How often it was begun.
    epoch: u32,
    /// How often a member failed by itself. What the cluster did to it does not count.
    failures: u32,
    /// Those of this epoch by their ranks: none of them, or all.
    members: BTreeMap<usize, Standing>,
    /// Why there will be no result.
    failure: Option<String>,
    held: BTreeMap<OfferId, Offer>,
    gathers_until: Option<Timestamp>,
    rests_until: Option<Timestamp>,
    /// How often it has gathered in vain.
    tries: u32,
    draw: u64,
    /// Which members went on which offer, by the last plan.
    placed: Vec<(OfferId, usize)>,
    changes: Vec<Change>,
}

impl Gang {
    /// As an earlier run left it; from an empty state, the beginning. `seed`: different for each gang of a cluster.
    fn restore(task: &Task, size: usize, retries: u32, seed: u64, state: &State) -> Self {
        let text = |key: &str| state.get(key).and_then(|bytes| str::from_utf8(bytes).ok());
        let number = |key: &str| text(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        let member = |rank: usize| {
            Some((
                rank,
                match text(&format!("member/{rank}"))? {
                    "live" => Standing::Live,
                    "finished" => Standing::Finished,
                    _ => Standing::Failed,
                },
            ))
        };
        let failures = number("failures");
        Self {
            task: task.clone(),
            size,
            retries,
            epoch: number("epoch"),
            failures,
            members: (0..size).filter_map(member).collect(),
            failure: (failures > retries).then(|| format!("members failed {failures} times")),
            held: BTreeMap::new(),
            gathers_until: None,
            rests_until: None,
            tries: 0,
            draw: seed,
            placed: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn id(&self, rank: usize) -> TaskId {
        TaskId::new(format!("member-{rank}.{}", self.epoch)).expect("letters and digits")
    }

    /// The rank of a live member of this epoch.
    fn rank_of(&self, task: &TaskId) -> Option<usize> {
        let live = self.members.iter().filter(|(_, standing)| **standing == Standing::Live);
        live.map(|(rank, _)| *rank).find(|rank| self.id(*rank) == *task)
    }

    fn is_over(&self) -> bool {
        let finished = self.members.values().filter(|standing| **standing == Standing::Finished);
        self.failure.is_some() || finished.count() == self.size
    }

    fn is_gathering(&self) -> bool {
        self.members.is_empty() && self.failure.is_none()
    }

    fn put(&mut self, rank: usize, standing: Standing) {
        self.members.insert(rank, standing);
        let word = format!("{standing:?}").to_lowercase();
        self.changes.push(Change::put(format!("member/{rank}"), word));
    }

    /// Up to this long, drawn.
    fn up_to(&mut self, longest: Duration) -> Duration {
        self.draw = self.draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        longest * u32::try_from(self.draw >> 48).unwrap_or(0) / (1 << 16)
    }

    /// Launches all members if they fit on what is in hand, and holds what helps if not.
    fn gather(&mut self, now: Timestamp, new: &[Offer]) -> Plan {
        self.held.extend(new.iter().map(|offer| (offer.id.clone(), offer.clone())));
        let offers: Vec<Offer> = self.held.values().take(MOST_HELD).cloned().collect();
        let placed = first_fit(&offers, &vec![*self.task.need(); self.size]);
        if placed.iter().map(Vec::len).sum::<usize>() == self.size {
            return self.launch(&offers, placed);
        }
        let of_use: Vec<_> = offers.iter().zip(&placed).filter(|(_, placed)| !placed.is_empty()).collect();
        self.held = of_use.into_iter().map(|(offer, _)| (offer.id.clone(), offer.clone())).collect();
        let plan = Plan::new().unplaced(self.why_not(&offers));
        if self.held.is_empty() {
            return plan;
        }
        let until = match self.gathers_until {
            Some(until) => until,
            None => now + GATHERS * (1 + self.tries.min(5)) + self.up_to(GATHERS),
        };
        self.gathers_until = Some(until);
        let held = self.held.values().filter(|held| new.iter().any(|offer| offer.id == held.id));
        held.fold(plan, |plan, offer| plan.hold(offer, until.since(now)))
    }

    /// For `lonja explain`: why those of the next epoch have no place. Where one has none, all wait.
    fn why_not(&self, offers: &[Offer]) -> Vec<Unplaced> {
        let id = |rank: usize| format!("member-{rank}.{}", self.epoch + 1);
        let word = self.task.need().why_not_on(id(0), offers);
        (0..self.size.min(MAX_UNPLACED)).map(|rank| Unplaced { task: id(rank), ..word.clone() }).collect()
    }

    fn launch(&mut self, offers: &[Offer], placed: Vec<Vec<(usize, Resources)>>) -> Plan {
        self.epoch += 1;
        self.changes.push(Change::put("epoch", self.epoch.to_string()));
        (self.gathers_until, self.tries) = (None, 0);
        self.held.clear();
        self.placed.clear();
        let mut plan = Plan::new();
        for (offer, placed) in offers.iter().zip(placed) {
            let mut tasks = Vec::new();
            for (rank, with) in placed {
                self.put(rank, Standing::Live);
                self.placed.push((offer.id.clone(), rank));
                let task = self.task.clone().env("RANK", rank.to_string()).env("SIZE", self.size.to_string());
                let task = task.env("EPOCH", self.epoch.to_string());
                tasks.push(task.with_resources(&offer.agent, self.id(rank), with));
            }
            plan = match tasks.is_empty() {
                true => plan.decline(offer, RESTS),
                false => plan.launch(offer, tasks),
            };
        }
        plan
    }

    /// A member has ended. With one that failed all end; with the last of those the epoch does.
    fn ended(&mut self, rank: usize, standing: Standing) -> Plan {
        self.put(rank, standing);
        if self.is_over() {
            return Plan::new().tear_down();
        }
        if self.members.values().all(|standing| *standing != Standing::Failed) {
            return Plan::new();
        }
        let live = self.members.iter().filter(|(_, standing)| **standing == Standing::Live);
        let live: Vec<TaskId> = live.map(|(rank, _)| self.id(*rank)).collect();
        if live.is_empty() {
            let ranks = std::mem::take(&mut self.members).into_keys();
            self.changes.extend(ranks.map(|rank| Change::remove(format!("member/{rank}"))));
        }
        live.into_iter().fold(Plan::new(), |plan, task| plan.kill(task, None))
    }
}

impl Scheduler for Gang {
    fn wants_offers(&self) -> bool {
        self.is_gathering() && self.rests_until.is_none()
    }

    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        if self.wants_offers() { self.gather(now, offers) } else { Plan::new() }
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        let is_silent = matches!(status.state, TaskState::Unreachable | TaskState::Unknown);
        let Some(rank) = self.rank_of(&status.task) else {
            // Of an earlier epoch, and back.
            let kill = !status.state.is_terminal() && !is_silent;
            return if kill { Plan::new().kill(status.task.clone(), None) } else { Plan::new() };
        };
        match status.state {
            TaskState::Finished => self.ended(rank, Standing::Finished),
            TaskState::Failed | TaskState::Error => {
                self.failures += 1;
                self.changes.push(Change::put("failures", self.failures.to_string()));
                if self.failures > self.retries {
                    let why = status.message.clone().unwrap_or_else(|| status.state.to_string());
                    self.failure =
                        Some(format!("members failed {} times, at last {rank}: {why}", self.failures));
                }
                self.ended(rank, Standing::Failed)
            }
            state if state.is_terminal() || is_silent => self.ended(rank, Standing::Failed),
            _ => Plan::new(),
        }
    }

    /// Perhaps kills that were decided were not sent, or that it is over was not said. That no offer has come may take an
    /// explanation as well.
    fn subscribed(&mut self, _now: Timestamp, _id: &FrameworkId, _master: &MasterInfo) -> Plan {
        if self.is_over() {
            return Plan::new().tear_down();
        }
        if self.is_gathering() {
            return Plan::new().unplaced(self.why_not(&[]));
        }
        let failed = self.members.iter().find(|(_, standing)| **standing == Standing::Failed);
        let failed = failed.map(|(rank, _)| *rank);
        failed.map_or_else(Plan::new, |rank| self.ended(rank, Standing::Failed))
    }

    fn rescinded(&mut self, _now: Timestamp, offer: &OfferId) {
        self.held.remove(offer);
    }

    fn disconnected(&mut self, _now: Timestamp) {
        self.held.clear();
        self.gathers_until = None;
    }

    /// An offer was gone before it could be used: who was to go there was never launched.
    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        let Problem::Plan(PlanError::OfferGone(offer)) = problem else { return Plan::new() };
        let placed = std::mem::take(&mut self.placed);
        let (lost, rest): (Vec<_>, Vec<_>) = placed.into_iter().partition(|(on, _)| on == offer);
        self.placed = rest;
        lost.into_iter().fold(Plan::new(), |plan, (_, rank)| plan.and(self.ended(rank, Standing::Failed)))
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        earliest(self.gathers_until, self.rests_until)
    }

    /// Gives all back, or begins anew.
    fn tick(&mut self, now: Timestamp) -> Plan {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
        }
        if self.gathers_until.is_none_or(|until| until > now) {
            return Plan::new();
        }
        self.gathers_until = None;
        self.tries += 1;
        let rest = RESTS + self.up_to(RESTS);
        self.rests_until = Some(now + rest);
        let held = std::mem::take(&mut self.held);
        held.values().fold(Plan::new(), |plan, offer| plan.decline(offer, rest))
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!((1..=MOST_HELD).contains(&args.members), "--members: from 1 to {MOST_HELD}");
    let task = Task::shell(args.command.as_str())?.cpus(args.cpus)?.mem_mib(32.0)?;
    let seed = u64::from(std::process::id());
    let options = FrameworkOptions::named("gang").failover_timeout(OUTLIVES);
    let driver = Driver::new(&args.master, options).store(FileStore::at(&args.store));
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let make = move |state: &State| Gang::restore(&task, args.members, args.retries, seed, state);
    let (gang, outcome) = driver.run_from(make).await?;
    if let Some(why) = gang.failure {
        bail!("{why}");
    }
    ensure!(outcome == Outcome::TornDown && gang.is_over(), "ended too early: {outcome:?}");
    println!("all {} members have finished, in epoch {}", args.members, gang.epoch);
    Ok(())
}

#[cfg(test)]
#[path = "gang/tests.rs"]
mod tests;
