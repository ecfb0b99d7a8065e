//! Servers that keep data: each has a volume of its own and comes back to it after a failure. One file, on the SDK alone.
//!
//! ```sh
//! lonja dev --agents 2 &
//! cargo run --example stateful -- --replicas 2
//! ```
//!
//! The first time, a replica's place is made in one step: reserve disk, make a volume of it, start the task there
//! ([`Stateful::make`]). Later the replica is started only where its volume is ([`Stateful::replace`]). What to look at, in
//! reading order:
//!
//! - [`Replica`]: what is kept of each. Written before the launch is sent; made certain by news of the volume's making.
//! - [`Stateful::operation`]: the making failed, so its place is nobody's; or it was done, and from then on there is data.
//! - [`Stateful::update`]: a replica that has ended waits for an offer from its home. One that is unreachable is waited
//!   for: its data are there and nowhere else. Only when the operator says that the agent is gone for good, or its volume
//!   was not offered for `--give-up`, the replica begins anew elsewhere, without its data. A server that matters copies
//!   them from its peers then. A home that offers the volume without room beside it is alive, and waited for.
//! - A volume that nobody calls home any more is destroyed when it is offered ([`Stateful::clear`]).
//!
//! Two replicas are never on one agent: with more replicas than agents the rest wait, and `lonja explain replica-1.1` says for
//! what, as does a line on the terminal. To end it all: Ctrl-C, `lonja kill`, then `lonja volumes destroy`.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use lonja_sdk::model::OperationId;
use lonja_sdk::model::operation::{Conversion, OperationState, OperationStatus};
use lonja_sdk::model::resources::{
    Disk, Metadata, Persistence, Reservation, ReservationKind, Resource, Scalar, Value,
};
use lonja_sdk::model::unplaced::MAX_UNPLACED;
use lonja_sdk::placement::fit;
use lonja_sdk::prelude::*;

/// How long a replica that has ended waits before it is started again.
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// How long tasks go on without their scheduler: so long may it be away and come back to them.
const OUTLIVES: Duration = Duration::from_hours(7 * 24);

/// What a replica runs unless told otherwise: it counts its starts in its volume.
const COUNTER: &str =
    "n=$(($(cat data/starts 2>/dev/null || echo 0) + 1)); echo $n >data/starts; echo start $n; sleep 3600";

/// Keep servers with volumes running on a Lonja cluster.
#[derive(Parser)]
struct Args {
    /// The master, as http://host:port.
    #[arg(long, env = "LONJA_MASTER", default_value = "http://127.0.0.1:5050")]
    master: String,
    /// Where it keeps what it must not forget: another start goes on from there.
    #[arg(long, value_name = "DIR", default_value = "stateful.state")]
    store: PathBuf,
    /// For whom disk is reserved.
    #[arg(long, default_value = "stateful")]
    role: String,
    /// How many servers.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// The size of each volume, in MiB.
    #[arg(long, default_value_t = 64)]
    disk_mib: u64,
    /// After how many seconds in which its volume was not offered a replica begins anew elsewhere, without its data.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    give_up: u64,
    /// What each runs; its volume is the folder `data`, its number is in REPLICA.
    #[arg(default_value = COUNTER)]
    command: String,
}

/// One server, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Replica {
    /// How often it was launched. Ids are never used twice.
    attempts: u32,
    /// Where its volume is, or is being made.
    home: Option<AgentId>,
    /// The volume is there for certain.
    made: bool,
    /// Where it was launched and has not ended.
    on: Option<AgentId>,
    /// Not kept: when it may start again.
    not_before: Timestamp,
    /// Not kept: since when its volume was not offered while it is waited for.
    waits_since: Option<Timestamp>,
}

impl Replica {
    fn write(&self) -> String {
        let agent = |agent: &Option<AgentId>| agent.as_ref().map_or("-".to_owned(), ToString::to_string);
        format!("{} {} {} {}", self.attempts, self.made, agent(&self.home), agent(&self.on))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = str::from_utf8(bytes).ok()?.split(' ');
        let (attempts, made) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut agent = || words.next().filter(|word| *word != "-").map(str::parse).transpose().ok();
        Some(Self { attempts, made, home: agent()?, on: agent()?, ..Self::default() })
    }
}

/// The scheduler.
struct Stateful {
    task: Task,
    /// Of each volume, in whole MiB.
    disk_mib: u64,
    give_up: Duration,
    replicas: Vec<Replica>,
    changes: Vec<Change>,
    /// Takes lines for people. It decides nothing.
    tell: fn(String),
    /// Lines on why something waits that were told, so that each is once.
    told: BTreeSet<String>,
}

impl Stateful {
    /// As an earlier run left it; from an empty state, the beginning. `task` is what each replica runs.
    fn restore(replicas: usize, task: &Task, disk_mib: u64, give_up: Duration, state: &State) -> Self {
        let replica = |number| Replica::read(state.get(&format!("replica/{number}"))?);
        let replicas = (0..replicas).map(|number| replica(number).unwrap_or_default()).collect();
        Self {
            task: task.clone(),
            disk_mib,
            give_up,
            replicas,
            changes: Vec::new(),
            tell: |_line| (),
            told: BTreeSet::new(),
        }
    }

    /// Changes a replica, and writes that down.
    fn put(&mut self, number: usize, change: impl FnOnce(&mut Replica)) {
        let Some(replica) = self.replicas.get_mut(number) else { return };
        change(replica);
        self.changes.push(Change::put(format!("replica/{number}"), replica.write()));
    }

    /// The replica whose present attempt this is.
    fn replica_of(&self, task: &TaskId) -> Option<usize> {
        let (number, attempt) = task.as_str().strip_prefix("replica-")?.split_once('.')?;
        let number: usize = number.parse().ok()?;
        let replica = self.replicas.get(number)?;
        (replica.on.is_some() && replica.attempts.to_string() == attempt).then_some(number)
    }

    fn is_waiting(&self, number: usize, now: Timestamp) -> bool {
        self.replicas.get(number).is_some_and(|replica| replica.on.is_none() && replica.not_before <= now)
    }

    /// Space for a replica's volume, reserved; with `volume` as that volume.
    fn disk(&self, number: usize, role: &lonja_sdk::model::Role, volume: bool) -> Option<Resources> {
        let reservation = Reservation {
            kind: ReservationKind::Dynamic,
            role: role.clone(),
            principal: None,
            labels: Default::default(),
        };
        let disk = volume.then(|| Disk {
            persistence: Some(Persistence { id: volume_id(number), principal: None }),
            container_path: Some("data".to_owned()),
            read_only: false,
            source: None,
        });
        let metadata = Metadata { reservations: vec![reservation], disk, ..Metadata::default() };
        let size = Value::Scalar(Scalar::from_units(self.disk_mib)?);
        Resources::of([Resource::with_metadata("disk", size, metadata).ok()?]).ok()
    }

    /// Starts a replica on a volume that is in `left`, and takes what it needs from there.
    fn start(
        &mut self,
        number: usize,
        agent: &AgentId,
        left: &mut Resources,
        volume: &Resources,
    ) -> Option<Step> {
        let needed = fit(left, self.task.need())?.checked_add(volume).ok()?;
        *left = left.checked_sub(&needed)?;
        self.put(number, |replica| {
            replica.attempts += 1;
            (replica.home, replica.on) = (Some(agent.clone()), Some(agent.clone()));
            replica.waits_since = None;
        });
        let id = task_id(number, self.replicas.get(number)?.attempts)?;
        (self.tell)(format!("{id} starts on agent {agent}"));
        let task = self.task.clone().env("REPLICA", number.to_string());
        Some(Step::Launch(vec![task.with_resources(agent, id, needed)]))
    }

    /// Starts those whose volume is in the offer.
    fn replace(&mut self, now: Timestamp, offer: &Offer, left: &mut Resources) -> Vec<Step> {
        let mut steps = Vec::new();
        for number in 0..self.replicas.len() {
            let volume = left.filter(|one| volume_of(one) == Some(number));
            let elsewhere = |replica: &Replica| replica.made && replica.home.as_ref() != Some(&offer.agent);
            if volume.is_empty() || !self.is_waiting(number, now) || elsewhere(&self.replicas[number]) {
                continue;
            }
            self.put(number, |replica| (replica.home, replica.made) = (Some(offer.agent.clone()), true));
            steps.extend(self.start(number, &offer.agent, left, &volume));
        }
        steps
    }

    /// Makes a place for one that has none, on an agent without another.
    fn make(&mut self, now: Timestamp, offer: &Offer, left: &mut Resources) -> Vec<Step> {
        let here = Some(&offer.agent);
        let is_home = |replica: &Replica| replica.home.as_ref() == here || replica.on.as_ref() == here;
        let may = |number: &usize| {
            let replica = &self.replicas[*number];
            // It may be that the last try to make it never arrived: then it is made where that was to be.
            let retried = !replica.made && replica.home.as_ref() == here;
            let fresh = replica.home.is_none() && !self.replicas.iter().any(is_home);
            self.is_waiting(*number, now) && (retried || fresh)
        };
        let Some(number) = (0..self.replicas.len()).find(may) else { return Vec::new() };
        let steps = || -> Option<(Vec<Step>, Resources, Resources)> {
            let volume = self.disk(number, &offer.role, true)?;
            let reserved = self.disk(number, &offer.role, false)?;
            let name = |verb| {
                OperationId::new(format!("{number}.{}.{verb}", self.replicas[number].attempts + 1)).ok()
            };
            let create = Conversion::create(volume.clone()).ok()?;
            let create = Step::Convert { id: Some(name("create")?), conversion: create };
            if let Some(rest) = left.checked_sub(&reserved) {
                // Left over from a try of which only the first half was done.
                return Some((vec![create], rest, volume));
            }
            let reserve = Conversion::reserve(reserved, None).ok()?;
            let rest = left.checked_sub(reserve.before())?;
            Some((
                vec![Step::Convert { id: Some(name("reserve")?), conversion: reserve }, create],
                rest,
                volume,
            ))
        };
        let Some((mut steps, rest, volume)) = steps() else { return Vec::new() };
        let Ok(mut with_volume) = rest.checked_add(&volume) else { return Vec::new() };
        let Some(launch) = self.start(number, &offer.agent, &mut with_volume, &volume) else {
            return Vec::new();
        };
        *left = with_volume;
        steps.push(launch);
        steps
    }

    /// Destroys volumes that are no replica's home any more.
    fn clear(&self, offer: &Offer, left: &mut Resources) -> Vec<Step> {
        let mut steps = Vec::new();
        for volume in left.clone().iter() {
            let Some(number) = volume_of(volume) else { continue };
            let is_orphan = self
                .replicas
                .get(number)
                .is_none_or(|replica| replica.made && replica.home.as_ref() != Some(&offer.agent));
            let destroy = Resources::of([volume.clone()]).ok().and_then(|one| Conversion::destroy(one).ok());
            let Some(destroy) = destroy.filter(|_| is_orphan) else { continue };
            let Ok(unreserve) = Conversion::unreserve(destroy.after().clone()) else { continue };
            let Some(rest) = left.checked_sub(destroy.before()) else { continue };
            *left = rest;
            steps.extend([destroy, unreserve].map(|conversion| Step::Convert { id: None, conversion }));
        }
        steps
    }

    /// Whose volume is offered has a home that is alive, be it too full to start there.
    fn hear_of_homes(&mut self, offers: &[Offer]) {
        for offer in offers {
            for number in offer.resources.iter().filter_map(volume_of) {
                let replica = self.replicas.get_mut(number);
                if let Some(replica) = replica.filter(|one| one.home.as_ref() == Some(&offer.agent)) {
                    replica.waits_since = None;
                }
            }
        }
    }

    /// Those whose home has not been heard of for too long begin anew.
    fn give_up(&mut self, now: Timestamp) {
        for number in 0..self.replicas.len() {
            let replica = &mut self.replicas[number];
            if !(replica.made && replica.on.is_none()) {
                replica.waits_since = None;
            } else if now.since(*replica.waits_since.get_or_insert(now)) >= self.give_up {
                self.put(number, forget_home);
            }
        }
    }
}

fn forget_home(replica: &mut Replica) {
    (replica.home, replica.made, replica.waits_since) = (None, false, None);
}

fn volume_id(number: usize) -> String {
    format!("replica-{number}")
}

fn task_id(number: usize, attempt: u32) -> Option<TaskId> {
    TaskId::new(format!("replica-{number}.{attempt}")).ok()
}

/// The replica whose volume this is.
fn volume_of(resource: &Resource) -> Option<usize> {
    let persistence = resource.metadata().disk.as_ref()?.persistence.as_ref()?;
    persistence.id.strip_prefix("replica-")?.parse().ok()
}

impl Stateful {
    /// Makes places and starts replicas where these offers allow it.
    fn place(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        self.hear_of_homes(offers);
        self.give_up(now);
        let mut plan = Plan::new();
        for offer in offers {
            let mut left = offer.resources.clone();
            let mut steps = self.replace(now, offer, &mut left);
            steps.extend(self.make(now, offer, &mut left));
            steps.extend(self.clear(offer, &mut left));
            if !steps.is_empty() {
                plan = plan.accept([offer], steps);
            }
        }
        plan
    }

    /// For `lonja explain`: why those that wait are not on these offers. Of use to one with a volume is its home alone, to
    /// one without any agent that has no other.
    fn why_not(&self, offers: &[Offer]) -> Vec<Unplaced> {
        let waiting = self.replicas.iter().enumerate().filter(|(_, replica)| replica.on.is_none());
        let word = |(number, replica): (usize, &Replica)| {
            let is_taken = |agent| self.replicas.iter().any(|other| other.home.as_ref() == Some(agent));
            let (of_use, others): (Vec<_>, Vec<_>) = offers.iter().partition(|offer| match &replica.home {
                Some(home) => offer.agent == *home,
                None => !is_taken(&offer.agent),
            });
            let disk = if replica.made { Scalar::ZERO } else { Scalar::from_units(self.disk_mib)? };
            let id = task_id(number, replica.attempts + 1)?;
            let mut word = Need { disk, ..*self.task.need() }.why_not_on(id.as_str(), of_use);
            let why = match &replica.home {
                Some(home) => format!("its volume is on agent {home}"),
                None => "another replica has its volume there".to_owned(),
            };
            let count = others.len() as u64;
            word.offers += count;
            word.reasons.extend((count > 0).then_some((why, count)));
            Some(word)
        };
        waiting.filter_map(word).take(MAX_UNPLACED).collect()
    }

    /// Tells people of what waits, each reason once.
    fn tell_of(&mut self, words: &[Unplaced]) {
        if words.is_empty() {
            self.told.clear();
        }
        for word in words {
            let why: Vec<&str> = word.reasons.iter().map(|(why, _)| why.as_str()).collect();
            let why = if why.is_empty() { "no offer has come as yet".to_owned() } else { why.join(", or ") };
            let line = format!("{} waits: {why}", word.task);
            if self.told.insert(line.clone()) {
                (self.tell)(line);
            }
        }
    }
}

impl Scheduler for Stateful {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        let plan = self.place(now, offers);
        let words = self.why_not(offers);
        self.tell_of(&words);
        plan.unplaced(words)
    }

    /// While there was no connection nothing could be offered: the time that counts begins anew. That no offer has come may
    /// take an explanation as well.
    fn subscribed(&mut self, _now: Timestamp, _id: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.replicas.iter_mut().for_each(|replica| replica.waits_since = None);
        let words = self.why_not(&[]);
        self.tell_of(&words);
        Plan::new().unplaced(words)
    }

    fn operation(&mut self, _now: Timestamp, status: &OperationStatus) -> Plan {
        let parse = |id: &OperationId| {
            let mut parts = id.as_str().split('.');
            let (number, attempt): (usize, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some((number, attempt, parts.next()? == "create"))
        };
        let Some((number, attempt, is_create)) = status.operation.as_ref().and_then(parse) else {
            return Plan::new();
        };
        let Some(replica) = self.replicas.get(number).filter(|replica| !replica.made) else {
            return Plan::new();
        };
        match status.state {
            OperationState::Finished if is_create => {
                let home = status.agent.clone().or_else(|| replica.home.clone());
                self.put(number, |replica| (replica.home, replica.made) = (home, true));
            }
            OperationState::Failed
            | OperationState::Error
            | OperationState::Dropped
            | OperationState::GoneByOperator
                if attempt == replica.attempts =>
            {
                self.put(number, forget_home);
            }
            _ => {}
        }
        Plan::new()
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        let Some(number) = self.replica_of(&status.task) else {
            // Begun anew elsewhere in the meantime.
            let kill = !status.state.is_terminal()
                && !matches!(status.state, TaskState::Unreachable | TaskState::Unknown);
            return if kill { Plan::new().kill(status.task.clone(), None) } else { Plan::new() };
        };
        if status.state.is_terminal() {
            (self.tell)(format!("{} has ended: {}", status.task, status.state));
            self.put(number, |replica| {
                (replica.on, replica.not_before) = (None, now + RESTART_AFTER);
                if status.state == TaskState::GoneByOperator {
                    forget_home(replica);
                }
            });
        }
        Plan::new()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let waiting = self.replicas.iter().filter(|replica| replica.on.is_none());
        waiting.map(|replica| replica.not_before).filter(|at| *at > Timestamp::ZERO).min()
    }

    /// Declined offers may be of use now.
    fn tick(&mut self, now: Timestamp) -> Plan {
        for replica in self.replicas.iter_mut().filter(|replica| replica.not_before <= now) {
            replica.not_before = Timestamp::ZERO;
        }
        Plan::new().revive()
    }

    fn wants_offers(&self) -> bool {
        self.replicas.iter().any(|replica| replica.on.is_none())
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let task = Task::shell(args.command.as_str())?.cpus(0.1)?.mem_mib(32.0)?;
    let give_up = Duration::from_secs(args.give_up);
    let options =
        FrameworkOptions::named("stateful").role(&args.role)?.failover_timeout(OUTLIVES.max(give_up));
    let driver = Driver::new(&args.master, options).store(FileStore::at(&args.store));
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let count =
        if args.replicas == 1 { "1 replica".to_owned() } else { format!("{} replicas", args.replicas) };
    println!("{count}; Ctrl-C ends the scheduler and leaves them, another start takes them over");
    let make = move |state: &State| Stateful {
        tell: |line| println!("{line}"),
        ..Stateful::restore(args.replicas, &task, args.disk_mib, give_up, state)
    };
    let (_, outcome) = driver.run_from(make).await?;
    bail!("the run ended: {outcome:?}")
}

#[cfg(test)]
#[path = "stateful/tests.rs"]
mod tests;
