//! Jobs that run at given times, and at those that were missed: cron on a cluster, in one file on the SDK alone.
//!
//! ```sh
//! lonja dev &
//! cargo run --example cron -- '@every 10s beat date' '*/5 * * * * clean rm -rf /tmp/cache/*'
//! ```
//!
//! What to look at, in reading order:
//!
//! - [`Schedule`]: when a job is due, by five fields as crontab(5) has them (in UTC), or by an interval.
//! - [`CatchUp`] and [`Overlap`]: what becomes of times that passed while the scheduler was down, and of a run that is due
//!   while the one before has not ended.
//! - [`Cron`]: the scheduler. What is kept is, for each job, up to when its times were turned into runs, and each run that
//!   has not ended. Both are written together, so no time is turned into two runs and none is passed over, whenever the
//!   scheduler is killed.
//!
//! A run is started again only if the cluster lost it (an agent that is gone for good, a launch that never arrived) or
//! killed it to drain its agent; how its command ends is its own affair. While its agent is silent a run is waited for, since it may go on there: `lonja
//! agents gone` says that it does not.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use lonja_sdk::model::task::Reason;
use lonja_sdk::model::unplaced::{MAX_UNPLACED, Unplaced};
use lonja_sdk::placement::first_fit;
use lonja_sdk::prelude::*;

/// Runs of one job that wait, at most; of more the oldest are left out.
const MOST_WAITING: usize = 1_000;

/// How long tasks go on without their scheduler: so long may it be away and come back to them.
const OUTLIVES: Duration = Duration::from_hours(7 * 24);

const DAY: u64 = 86_400;

/// Run jobs at given times on a Lonja cluster.
#[derive(Parser)]
struct Args {
    /// Jobs: MINUTE HOUR DAY MONTH WEEKDAY NAME COMMAND, or @every TIME NAME COMMAND with a TIME such as 30s, 5m, 2h.
    #[arg(required = true)]
    jobs: Vec<String>,
    /// The master, as http://host:port.
    #[arg(long, env = "LONJA_MASTER", default_value = "http://127.0.0.1:5050")]
    master: String,
    /// Where it keeps what it must not forget: another start goes on from there.
    #[arg(long, value_name = "DIR", default_value = "cron.state")]
    store: PathBuf,
    /// Which of the times that were missed are made up for.
    #[arg(long, value_enum, default_value_t = CatchUp::Latest)]
    catch_up: CatchUp,
    /// What to do when a run is due and the one before has not ended.
    #[arg(long, value_enum, default_value_t = Overlap::Wait)]
    overlap: Overlap,
}

/// Which of the times that passed while the scheduler was down are made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CatchUp {
    /// None: only the future counts.
    None,
    /// One run stands for all of them.
    Latest,
    /// Each of them.
    All,
}

/// What becomes of a run that is due while the one before has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Overlap {
    /// It starts beside it.
    Allow,
    /// It waits for its turn.
    Wait,
    /// It is left out.
    Skip,
    /// The one before is killed.
    Replace,
}

/// When a job is due. All in whole seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Schedule {
    Every(u64),
    /// For each field a bit for each value that will do; `either`: day of month or of week suffices, as in crontab(5).
    Fields {
        minute: u64,
        hour: u64,
        day: u64,
        month: u64,
        weekday: u64,
        either: bool,
    },
}

/// The bits of one field: `*`, `*/STEP`, `A`, `A-B`, `A-B/STEP`, and lists of those.
fn field(text: &str, range: Range<u64>) -> anyhow::Result<u64> {
    let mut bits = 0;
    for part in text.split(',') {
        let wrong =
            || format!("{text:?} is none of *, */5, 3, 1-5 and lists of them, from {} on", range.start);
        let (span, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match span {
            "*" => (range.start, range.end - 1),
            _ => {
                let (first, last) = span.split_once('-').unwrap_or((span, span));
                (first.parse().with_context(wrong)?, last.parse().with_context(wrong)?)
            }
        };
        let step: usize = step.parse().with_context(wrong)?;
        ensure!(range.contains(&first) && range.contains(&last) && first <= last && step > 0, wrong());
        (first..=last).step_by(step).for_each(|value| bits |= 1 << value);
    }
    Ok(bits)
}

impl Schedule {
    /// Takes the schedule off the front of a job. Errors: it is none, or never comes.
    fn parse(text: &str) -> anyhow::Result<(Self, &str)> {
        let mut words = text.trim_start().splitn(2, char::is_whitespace);
        if let (Some("@every"), Some(rest)) = (words.next(), words.next()) {
            let (time, rest) =
                rest.trim_start().split_once(char::is_whitespace).context("no job after the time")?;
            let split = time.len().saturating_sub(1);
            let unit = match time.get(split..) {
                Some("s") => 1,
                Some("m") => 60,
                Some("h") => 3600,
                Some("d") => DAY,
                _ => bail!("{time:?} is no time; write 30s, 5m, 2h or 1d"),
            };
            let count: u64 = time[..split].parse().with_context(|| format!("{time:?} is no time"))?;
            let every = count.checked_mul(unit).filter(|every| (1..=366 * DAY).contains(every));
            return Ok((
                Self::Every(every.with_context(|| format!("{time} is not between 1s and 366d"))?),
                rest,
            ));
        }
        let mut fields = [0; 5];
        let mut rest = text.trim_start();
        let mut either = true;
        for (index, range) in [0..60, 0..24, 1..32, 1..13, 0..8].into_iter().enumerate() {
            let (word, after) =
                rest.split_once(char::is_whitespace).context("five fields, a name, a command")?;
            fields[index] = field(word, range)?;
            either &= !(matches!(index, 2 | 4) && word.starts_with('*'));
            rest = after.trim_start();
        }
        let [minute, hour, day, month, weekday] = fields;
        // 7 is Sunday, too.
        let schedule = Self::Fields { minute, hour, day, month, weekday: weekday | weekday >> 7, either };
        // Leap days come every eight years at the least.
        ensure!(schedule.next(0, 9 * 366 * DAY).is_some(), "a day that never comes");
        Ok((schedule, rest))
    }

    /// The first time after `after` and before `until`.
    fn next(&self, after: u64, until: u64) -> Option<u64> {
        match self {
            Self::Every(every) => Some((after / every + 1) * every),
            Self::Fields { .. } => {
                let mut minute = after / 60 + 1;
                while minute * 60 < until {
                    if !self.is_on_day(minute * 60 / DAY) {
                        minute = (minute * 60 / DAY + 1) * DAY / 60;
                    } else if self.is_at(minute) {
                        return Some(minute * 60);
                    } else {
                        minute += 1;
                    }
                }
                None
            }
        }
    }

    /// The latest times after `after` and not after `now`, at most so many, the earliest first.
    fn passed(&self, after: u64, now: u64, most: usize) -> Vec<u64> {
        let mut times: Vec<u64> = match self {
            Self::Every(every) => {
                let last = now / every;
                (after / every + 1..=last).rev().take(most).map(|number| number * every).collect()
            }
            Self::Fields { .. } => {
                let minutes = (after / 60 + 1..=now / 60).rev();
                let due = minutes.filter(|minute| self.is_at(*minute) && self.is_on_day(minute * 60 / DAY));
                due.take(most).map(|minute| minute * 60).collect()
            }
        };
        times.reverse();
        times
    }

    fn is_at(&self, minute_of_all: u64) -> bool {
        let Self::Fields { minute, hour, .. } = self else { return false };
        minute >> (minute_of_all % 60) & 1 == 1 && hour >> (minute_of_all / 60 % 24) & 1 == 1
    }

    /// Whether it is due on this day, counted from the epoch, which was a Thursday.
    fn is_on_day(&self, number: u64) -> bool {
        let Self::Fields { day, month, weekday, either, .. } = self else { return false };
        let (month_of, day_of) = month_and_day(number);
        let (on_day, on_weekday) = (day >> day_of & 1 == 1, weekday >> ((number + 4) % 7) & 1 == 1);
        month >> month_of & 1 == 1 && if *either { on_day || on_weekday } else { on_day && on_weekday }
    }
}

/// Month and day of the month in the Gregorian calendar, in years that begin with March, so that a leap day ends one.
fn month_and_day(days: u64) -> (u64, u64) {
    // Day 0 is then the first of March of the year 0; 146,097 days are four centuries.
    let of_era = (days + 719_468) % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    ((month + 2) % 12 + 1, of_year - (153 * month + 2) / 5 + 1)
}

/// What is to be run, and when.
#[derive(Clone, Debug)]
struct Job {
    name: String,
    schedule: Schedule,
    task: Task,
}

impl Job {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (schedule, rest) = Schedule::parse(text).with_context(|| format!("job {text:?}"))?;
        let (name, command) =
            rest.trim().split_once(char::is_whitespace).context("a job needs a name and a command")?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        ensure!(name.chars().all(plain), "{name:?} is no name for a job: write letters, digits, - and _");
        Ok(Self { name: name.to_owned(), schedule, task: Task::shell(command)?.name(name) })
    }
}

/// A run that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    /// How often it was launched. Ids are never used twice.
    attempts: u32,
    /// It was launched; else it waits.
    launched: bool,
}

/// The scheduler: its jobs, up to when their times were looked at, and the runs that have not ended.
struct Cron {
    jobs: Vec<Job>,
    catch_up: CatchUp,
    overlap: Overlap,
    /// By job: its times up to this one have become runs, or were left out.
    looked_at: Vec<Option<u64>>,
    /// By job and time.
    runs: BTreeMap<(usize, u64), Run>,
    next: Option<u64>,
    started: bool,
    changes: Vec<Change>,
    /// Takes lines for people. It decides nothing.
    tell: fn(String),
}

impl Cron {
    /// As an earlier run left it; from an empty state, the beginning. Jobs that are no longer there are forgotten, so that
    /// one that is there again later begins anew; a task of theirs that still runs is nobody's.
    fn restore(jobs: &[Job], catch_up: CatchUp, overlap: Overlap, state: &State) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let looked_at = jobs.iter().map(|job| text(state.get(&format!("job/{}", job.name))?)?.parse().ok());
        let run = |(key, value): (&str, &[u8])| {
            let (name, time) = key.split_once('@')?;
            let job = jobs.iter().position(|job| job.name == name)?;
            let value = text(value)?;
            let (attempts, launched) = value.split_once(' ')?;
            let run = Run { attempts: attempts.parse().ok()?, launched: launched.parse().ok()? };
            Some(((job, time.parse().ok()?), run))
        };
        let mut cron = Self {
            looked_at: looked_at.collect(),
            runs: state.below("run/").filter_map(run).collect(),
            jobs: jobs.to_vec(),
            catch_up,
            overlap,
            // At once: what was missed is due.
            next: Some(0),
            started: false,
            changes: Vec::new(),
            tell: |_line| (),
        };
        // A launched one that is not among the tasks has ended while nobody here knew it.
        let tasks: BTreeSet<&TaskId> = state.tasks().map(|(task, _)| task).collect();
        let mut runs = std::mem::take(&mut cron.runs);
        runs.retain(|at, run| {
            !run.launched || cron.id(*at, run.attempts).is_some_and(|id| tasks.contains(&id))
        });
        cron.runs = runs;
        let mut known: BTreeSet<String> = cron.runs.keys().map(|at| cron.key(*at)).collect();
        known.extend(jobs.iter().map(|job| format!("job/{}", job.name)));
        let unknown = state.entries().filter(|(key, _)| !known.contains(*key));
        cron.changes = unknown.map(|(key, _)| Change::remove(key)).collect();
        cron
    }

    fn key(&self, (job, time): (usize, u64)) -> String {
        format!("run/{}@{time}", self.jobs[job].name)
    }

    fn put(&mut self, at: (usize, u64), run: Run) {
        self.changes.push(Change::put(self.key(at), format!("{} {}", run.attempts, run.launched)));
        self.runs.insert(at, run);
    }

    fn remove(&mut self, at: (usize, u64)) {
        self.changes.push(Change::remove(self.key(at)));
        self.runs.remove(&at);
    }

    fn id(&self, (job, time): (usize, u64), attempt: u32) -> Option<TaskId> {
        TaskId::new(format!("{}.{time}.{attempt}", self.jobs[job].name)).ok()
    }

    /// The run whose present attempt this is.
    fn run_of(&self, task: &TaskId) -> Option<(usize, u64)> {
        let mut parts = task.as_str().rsplitn(3, '.');
        let (attempt, time, name) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let at = (self.jobs.iter().position(|job| job.name == name)?, time);
        let run = self.runs.get(&at)?;
        (run.launched && run.attempts.to_string() == attempt).then_some(at)
    }

    fn runs_of(&self, job: usize) -> impl Iterator<Item = (&(usize, u64), &Run)> {
        self.runs.range((job, 0)..=(job, u64::MAX))
    }

    /// Is it to be killed for a later one?
    fn is_replaced(&self, at: (usize, u64)) -> bool {
        self.overlap == Overlap::Replace && self.runs_of(at.0).any(|(other, _)| *other > at)
    }

    /// Turns the times that have passed into runs.
    fn look(&mut self, job: usize, now: u64) -> Plan {
        let Some(after) = self.looked_at[job] else {
            // Times before it was there are nobody's.
            self.looked_at[job] = Some(now);
            self.changes.push(Change::put(format!("job/{}", self.jobs[job].name), now.to_string()));
            return Plan::new();
        };
        let most = match self.catch_up {
            CatchUp::None | CatchUp::Latest => 1,
            CatchUp::All => MOST_WAITING,
        };
        let mut due = self.jobs[job].schedule.passed(after, now, most);
        if due.is_empty() {
            return Plan::new();
        }
        if self.catch_up == CatchUp::None && !self.started {
            due.clear();
        }
        self.looked_at[job] = Some(now);
        self.changes.push(Change::put(format!("job/{}", self.jobs[job].name), now.to_string()));
        let mut plan = Plan::new();
        for time in due {
            plan = plan.and(self.is_due(job, time));
        }
        plan
    }

    fn is_due(&mut self, job: usize, time: u64) -> Plan {
        let mut plan = Plan::new();
        let waiting: Vec<_> = self.runs_of(job).filter(|(_, run)| !run.launched).map(|(at, _)| *at).collect();
        match self.overlap {
            Overlap::Skip if self.runs_of(job).next().is_some() => return plan,
            Overlap::Replace => {
                plan = waiting.into_iter().fold(plan, |plan, at| plan.and(self.leave_out(at)));
                let running = self.runs_of(job).filter_map(|(at, run)| self.id(*at, run.attempts));
                plan = running.fold(plan, |plan, task| plan.kill(task, None));
            }
            Overlap::Allow | Overlap::Wait | Overlap::Skip => {
                let too_many = (waiting.len() + 1).saturating_sub(MOST_WAITING);
                plan = waiting.into_iter().take(too_many).fold(plan, |plan, at| plan.and(self.leave_out(at)));
            }
        }
        self.put((job, time), Run::default());
        plan
    }

    /// Runs that wait for nothing but room: with [`Overlap::Allow`] all that wait, else the first of each job.
    fn ready(&self) -> Vec<(usize, u64)> {
        let is_first = |at: &(usize, u64)| self.runs_of(at.0).next().is_some_and(|(first, _)| first == at);
        let ready = self
            .runs
            .iter()
            .filter(|(at, run)| !run.launched && (self.overlap == Overlap::Allow || is_first(at)));
        ready.map(|(at, _)| *at).collect()
    }

    /// For `lonja explain`: why these have no place.
    fn why_not(&self, runs: &[(usize, u64)], offers: &[Offer]) -> Vec<Unplaced> {
        let word = |at: &(usize, u64)| {
            let id = self.id(*at, self.runs.get(at)?.attempts + 1)?;
            Some(self.jobs[at.0].task.need().why_not_on(id.as_str(), offers))
        };
        runs.iter().take(MAX_UNPLACED).filter_map(word).collect()
    }

    /// A run that waits is left out.
    fn leave_out(&mut self, at: (usize, u64)) -> Plan {
        let attempts = self.runs.get(&at).map_or(0, |run| run.attempts) + 1;
        let id = self.id(at, attempts);
        self.remove(at);
        Plan::new().no_longer_waits(id.map(|id| id.to_string()))
    }
}

impl Scheduler for Cron {
    fn next_deadline(&self) -> Option<Timestamp> {
        self.next.map(|seconds| Timestamp::ZERO + Duration::from_secs(seconds))
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        let now = now.since(Timestamp::ZERO).as_secs();
        let before = self.ready();
        let plan = (0..self.jobs.len()).fold(Plan::new(), |plan, job| plan.and(self.look(job, now)));
        let new: Vec<_> = self.ready().into_iter().filter(|at| before.binary_search(at).is_err()).collect();
        self.started = true;
        self.next = self.jobs.iter().filter_map(|job| job.schedule.next(now, now + 9 * 366 * DAY)).min();
        plan.unplaced(self.why_not(&new, &[]))
    }

    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let ready = self.ready();
        let needs: Vec<Need> = ready.iter().map(|at| *self.jobs[at.0].task.need()).collect();
        let mut plan = Plan::new();
        for (offer, placed) in offers.iter().zip(first_fit(offers, &needs)) {
            let mut tasks = Vec::new();
            for (index, with) in placed {
                let at = ready[index];
                let attempts = self.runs.get(&at).map_or(0, |run| run.attempts) + 1;
                let Some(id) = self.id(at, attempts) else { continue };
                self.put(at, Run { attempts, launched: true });
                (self.tell)(format!("{id} starts on agent {}", offer.agent));
                let task = self.jobs[at.0].task.clone().env("SCHEDULED_AT", at.1.to_string());
                tasks.push(task.with_resources(&offer.agent, id, with));
            }
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        plan.unplaced(self.why_not(&self.ready(), offers))
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        // Unknown: the master has lost its data, and with them the agent.
        if !status.state.is_terminal() && status.state != TaskState::Unknown {
            return Plan::new();
        }
        let Some(at) = self.run_of(&status.task) else { return Plan::new() };
        (self.tell)(format!("{} has ended: {}", status.task, status.state));
        // An answer to RECONCILE says that it was killed, not why. Rather once more than never: a person can kill it again.
        let is_drained = matches!(status.reason, Some(Reason::AgentDraining | Reason::Reconciliation));
        match status.state {
            _ if self.is_replaced(at) => self.remove(at),
            TaskState::Finished | TaskState::Failed | TaskState::Error => self.remove(at),
            TaskState::Killed if !is_drained => self.remove(at),
            // The cluster lost it, or an operator wanted its agent empty.
            _ => {
                let attempts = self.runs.get(&at).map_or(0, |run| run.attempts);
                self.put(at, Run { attempts, launched: false });
            }
        }
        Plan::new()
    }

    /// Perhaps a kill was not sent: one of a run that is to be replaced. That no offer has come may take an explanation.
    fn subscribed(&mut self, _now: Timestamp, _id: &FrameworkId, _master: &MasterInfo) -> Plan {
        let replaced = self.runs.iter().filter(|(at, run)| run.launched && self.is_replaced(**at));
        let tasks = replaced.filter_map(|(at, run)| self.id(*at, run.attempts));
        let plan = Plan::new().unplaced(self.why_not(&self.ready(), &[]));
        tasks.fold(plan, |plan, task| plan.kill(task, None))
    }

    fn wants_offers(&self) -> bool {
        !self.ready().is_empty()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let jobs: Vec<Job> = args.jobs.iter().map(|job| Job::parse(job)).collect::<Result<_, _>>()?;
    for (index, job) in jobs.iter().enumerate() {
        ensure!(jobs[..index].iter().all(|other| other.name != job.name), "two jobs are called {}", job.name);
    }
    let options = FrameworkOptions::named("cron").failover_timeout(OUTLIVES);
    let driver = Driver::new(&args.master, options).store(FileStore::at(&args.store));
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let count = if jobs.len() == 1 { "1 job".to_owned() } else { format!("{} jobs", jobs.len()) };
    println!("{count}; Ctrl-C ends the scheduler, and another start goes on where it was");
    let make = move |state: &State| Cron {
        tell: |line| println!("{line}"),
        ..Cron::restore(&jobs, args.catch_up, args.overlap, state)
    };
    let (_, outcome) = driver.run_from(make).await?;
    bail!("the run ended: {outcome:?}")
}

#[cfg(test)]
#[path = "cron/tests.rs"]
mod tests;
