//! What the calendar means for a job and its runs.
//!
//! The job, its runs and the time up to which it was seen to are values that are kept; the rest of what is known here follows
//! from them, so that a daemon that begins anew goes on where it was. All methods take the runs as they are kept and change them; what they return says which.
//!
//! Invariants
//! - A run ends once, and is told apart from all others of its job by its name.
//! - However long nobody looked, at most one run makes up for the times that passed. Times before the job's last change, and
//!   those that were left out, are not made up for.
//! - With [`Concurrency::Forbid`] and [`Concurrency::Replace`] no two runs have a task at the same time.
//! - No more than [`MAX_UNDER_WAY`] runs are under way, and no more than [`Job::history`] that ended are remembered.
//!
//! Source: the fields are those of Kubernetes' CronJob and Job, with the same meaning.

use std::collections::BTreeMap;

use lonja_model::Timestamp;
use lonja_model::time::earliest;

use super::calendar::Calendar;
use crate::civil::Date;
use crate::command::Refused;
use crate::job::{Concurrency, Job, JobRun, JobRunId, RunState};
use crate::validate::Fault;

/// The most runs of a job that are under way.
pub const MAX_UNDER_WAY: usize = 100;

/// The runs of a job that are remembered, by name.
pub type Runs = BTreeMap<JobRunId, JobRun>;

/// When a job's runs begin and end. One for each job, beside the job and its runs.
#[derive(Clone, Debug)]
pub struct Rules {
    calendar: Option<Calendar>,
    // Times up to here were seen to; none: nobody has looked as yet, and none was missed.
    seen_to: Option<Timestamp>,
    // Of the times that were left out the last.
    left_out: Option<LeftOut>,
    // What was remembered of it may be forgotten, and its name is not given twice.
    last_begun: Option<JobRunId>,
}

/// How a task of a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With 0.
    Succeeded,
    /// Otherwise; why.
    Failed(String),
    /// It never began, through no fault of its own: the try does not count.
    NotLaunched,
}

/// What has come of something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct News {
    /// These are new, or changed: to be kept.
    pub changed: Vec<JobRunId>,
    /// These are remembered no longer.
    pub forgotten: Vec<JobRunId>,
    /// The tasks of these are to be killed; of those that have none, none is to be launched any more.
    pub kill: Vec<JobRunId>,
    /// A time of the calendar came: how far was seen to is to be kept.
    pub time_came: bool,
}

/// A time that came and that nothing is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub due: Timestamp,
    /// Why.
    pub reason: &'static str,
}

impl Rules {
    /// The rules of a job that is put now, in place of nothing or of another: times before are none of its own. Errors: its
    /// schedule is none.
    pub fn new(job: &Job, now: Timestamp) -> Result<Self, Fault> {
        Ok(Self { seen_to: Some(now), ..Self::restore(job, &Runs::new(), None)? })
    }

    /// The rules of a job that was kept, with its runs and how far it was seen to: times since were missed. Where that was not
    /// kept they are those since the last run; without any, none was. Errors: its schedule is none.
    pub fn restore(job: &Job, runs: &Runs, seen_to: Option<Timestamp>) -> Result<Self, Fault> {
        let seen_to = seen_to.or_else(|| runs.values().map(|run| run.due).max());
        Ok(Self { calendar: calendar(job)?, seen_to, left_out: None, last_begun: None })
    }

    /// The daemon begins anew, and knows the time. Nothing was seen to beyond it, whatever a clock said before; and where it
    /// was not kept when a run was launched, its time counts from now.
    pub fn resume(&mut self, runs: &mut Runs, now: Timestamp) {
        self.seen_to = self.seen_to.map(|seen_to| seen_to.min(now));
        for run in runs.values_mut().filter(|run| run.tries > 0) {
            run.launched_at.get_or_insert(now);
        }
    }

    /// Up to when times were seen to.
    pub fn seen_to(&self) -> Option<Timestamp> {
        self.seen_to
    }

    /// Of the times that nothing was run for the last, as far as this daemon knows.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }

    /// Goes by another definition of the job from now on; its runs go on. Errors: its schedule is none, and nothing is changed.
    pub fn replace(&mut self, job: &Job, now: Timestamp) -> Result<(), Fault> {
        self.calendar = calendar(job)?;
        self.seen_to = Some(now);
        Ok(())
    }

    /// Sees to all that it is time for. Call it at [`Rules::next_deadline`], and after each change of the job.
    pub fn due(&mut self, job: &Job, runs: &mut Runs, now: Timestamp) -> News {
        let mut news = News::default();
        end_overdue(job, runs, now, &mut news);
        self.begin_due(job, runs, now, &mut news);
        kill_replaced(job, runs, now, &mut news);
        forget(job, runs, &mut news);
        news
    }

    /// A run that somebody asked for. Errors: one is under way and no other may be, or too many are.
    pub fn run_now(
        &mut self,
        job: &Job,
        runs: &mut Runs,
        now: Timestamp,
    ) -> Result<(JobRunId, News), Refused> {
        let under_way = under_way(runs).count();
        if job.concurrency == Concurrency::Forbid && under_way > 0 {
            return Err(Refused::NotNow(format!(
                "a run of {} is under way, and it allows no other beside it",
                job.id
            )));
        }
        if under_way >= MAX_UNDER_WAY {
            return Err(Refused::NotNow(format!(
                "{under_way} runs of {} are under way; wait for them or stop some",
                job.id
            )));
        }
        let mut news = News::default();
        let id = self.begin(runs, now, &mut news);
        kill_replaced(job, runs, now, &mut news);
        forget(job, runs, &mut news);
        Ok((id, news))
    }

    /// Ends a run that is under way. Errors: there is none of this name, or it has ended.
    pub fn stop(job: &Job, runs: &mut Runs, run: &JobRunId, now: Timestamp) -> Result<News, Refused> {
        match runs.get_mut(run) {
            None => Err(Refused::Unknown { kind: "Job run", id: format!("{}/{run}", job.id), version: None }),
            Some(found) if !is_under_way(found) => {
                Err(Refused::NotNow(format!("run {run} of {} has ended", job.id)))
            }
            Some(found) => {
                let mut news = News::default();
                end(found, "it was stopped", now, &mut news);
                forget(job, runs, &mut news);
                Ok(news)
            }
        }
    }

    /// The runs that are to be launched, each with the number of its try, from 1.
    pub fn wanted<'a>(
        job: &Job,
        runs: &'a Runs,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a JobRunId, u32)> + use<'a> {
        let is_alone = job.concurrency != Concurrency::Allow;
        let has_task = is_alone && runs.values().any(|run| run.state == RunState::Running);
        let is_time = move |run: &JobRun| run.retry_at.is_none_or(|at| at <= now);
        let waiting = runs.values().filter(|run| run.state == RunState::Waiting);
        waiting
            .filter(move |run| !has_task && is_time(run))
            .take(if is_alone { 1 } else { MAX_UNDER_WAY })
            .map(|run| (&run.id, run.tries.saturating_add(1)))
    }

    /// A task of this run was launched.
    pub fn launched(runs: &mut Runs, run: &JobRunId, now: Timestamp) -> News {
        let mut news = News::default();
        if let Some(found) = runs.get_mut(run).filter(|run| run.state == RunState::Waiting) {
            found.state = RunState::Running;
            found.tries = found.tries.saturating_add(1);
            found.retry_at = None;
            found.launched_at.get_or_insert(now);
            news.changed.push(run.clone());
        }
        news
    }

    /// The task of this run ended. Of a run that has none nothing comes, so that it may be told twice.
    pub fn ended(job: &Job, runs: &mut Runs, run: &JobRunId, outcome: Outcome, now: Timestamp) -> News {
        let mut news = News::default();
        let Some(found) = runs.get_mut(run).filter(|run| run.state == RunState::Running) else { return news };
        found.state = match (outcome, found.ending.take()) {
            (Outcome::Succeeded, _) => RunState::Succeeded { at: now },
            (Outcome::Failed(_) | Outcome::NotLaunched, Some(reason)) => RunState::Failed { at: now, reason },
            (Outcome::NotLaunched, None) => {
                found.tries = found.tries.saturating_sub(1);
                found.launched_at = found.launched_at.filter(|_| found.tries > 0);
                RunState::Waiting
            }
            (Outcome::Failed(_), None) if found.tries <= job.retries => {
                found.retry_at = Some(now + job.retry_delay);
                RunState::Waiting
            }
            (Outcome::Failed(reason), None) => RunState::Failed { at: now, reason },
        };
        news.changed.push(run.clone());
        forget(job, runs, &mut news);
        news
    }

    /// When [`Rules::due`] is to be called, should nothing happen before, or something may be launched that waits.
    pub fn next_deadline(&self, job: &Job, runs: &Runs) -> Option<Timestamp> {
        let schedule = job.schedule.as_ref().filter(|schedule| !schedule.suspended);
        let calendar = schedule.and(self.calendar.as_ref());
        let next = calendar.zip(self.seen_to).and_then(|(calendar, seen_to)| calendar.next_after(seen_to));
        let of_runs = under_way(runs).filter(|run| run.ending.is_none()).flat_map(|run| {
            // A try whose time has come needs offers, and no deadline.
            let retry = run.retry_at.filter(|at| Some(*at) > self.seen_to);
            [retry, end_of(job, run)].into_iter().flatten()
        });
        earliest(next, of_runs.min())
    }

    /// A run for the last time that came; those before it are left out.
    fn begin_due(&mut self, job: &Job, runs: &mut Runs, now: Timestamp, news: &mut News) {
        let since = self.seen_to.unwrap_or(now);
        self.seen_to = Some(since.max(now));
        let Some(schedule) = job.schedule.as_ref().filter(|schedule| !schedule.suspended) else { return };
        let last = self.calendar.as_ref().and_then(|calendar| calendar.last_in(since, now));
        let Some(due) = last else { return };
        news.time_came = true;
        let is_late = schedule.starting_deadline.is_some_and(|most| now > due && now.since(due) >= most);
        let reason = match under_way(runs).count() {
            _ if is_late => "nobody looked in time",
            1.. if job.concurrency == Concurrency::Forbid => "another run is under way",
            MAX_UNDER_WAY.. => "too many runs are under way",
            _ => {
                self.begin(runs, due, news);
                return;
            }
        };
        self.left_out = Some(LeftOut { due, reason });
    }

    /// A run that waits to be launched, under a name that none had before it.
    fn begin(&mut self, runs: &mut Runs, due: Timestamp, news: &mut News) -> JobRunId {
        let time = written(due);
        let is_new = |id: &JobRunId| {
            let may_be_known = self.last_begun.as_ref().is_some_and(|last| last.as_str().starts_with(&time));
            !runs.contains_key(id) && (!may_be_known || Some(id) > self.last_begun.as_ref())
        };
        let name = |number| JobRunId::from_text(&format!("{time}-{number:04}"));
        let id = (0_u32..).map(name).find(is_new).unwrap_or_else(|| name(u32::MAX));
        self.last_begun = Some(id.clone());
        runs.insert(id.clone(), JobRun::new(id.clone(), due));
        news.changed.push(id.clone());
        id
    }
}

/// When a run that is under way ends by rule: it did not begin in time, or has run for too long.
fn end_of(job: &Job, run: &JobRun) -> Option<Timestamp> {
    match run.launched_at {
        Some(launched) => job.max_run_time.map(|most| launched + most),
        None if run.tries == 0 => starting_deadline(job).map(|most| run.due + most),
        None => None,
    }
}

fn end_overdue(job: &Job, runs: &mut Runs, now: Timestamp, news: &mut News) {
    for run in runs.values_mut() {
        if is_under_way(run) && end_of(job, run).is_some_and(|end| end <= now) {
            let began = run.launched_at.is_some();
            let reason = if began { "it ran for longer than maxRunTime" } else { "it did not begin in time" };
            end(run, reason, now, news);
        }
    }
}

/// Where the newest run takes the place of others, these end.
fn kill_replaced(job: &Job, runs: &mut Runs, now: Timestamp, news: &mut News) {
    if job.concurrency == Concurrency::Replace {
        for run in runs.values_mut().filter(|run| is_under_way(run)).rev().skip(1) {
            end(run, "a later run took its place", now, news);
        }
    }
}

/// Ends a run that is under way: at once, or when its task has been killed.
fn end(run: &mut JobRun, reason: &str, now: Timestamp, news: &mut News) {
    if run.ending.is_some() {
        return;
    }
    if run.state == RunState::Running {
        run.ending = Some(reason.to_owned());
    } else {
        run.state = RunState::Failed { at: now, reason: reason.to_owned() };
    }
    news.changed.push(run.id.clone());
    news.kill.push(run.id.clone());
}

/// A job's calendar; none: it has no schedule.
fn calendar(job: &Job) -> Result<Option<Calendar>, Fault> {
    let parsed = job.schedule.as_ref().map(|schedule| Calendar::parse(&schedule.cron)).transpose();
    parsed.map_err(|error| Fault::at("/schedule/cron", error.to_string()))
}

fn starting_deadline(job: &Job) -> Option<std::time::Duration> {
    job.schedule.as_ref().and_then(|schedule| schedule.starting_deadline)
}

/// A time as names of runs begin, so that they are in its order: `20240229123000`.
fn written(time: Timestamp) -> String {
    let seconds = time.as_nanos() / 1_000_000_000;
    let Date { year, month, day } = Date::of_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// Runs that have not ended, the oldest first.
fn under_way(runs: &Runs) -> impl Iterator<Item = &JobRun> {
    runs.values().filter(|run| is_under_way(run))
}

fn is_under_way(run: &JobRun) -> bool {
    ended_at(run).is_none()
}

fn ended_at(run: &JobRun) -> Option<Timestamp> {
    match run.state {
        RunState::Waiting | RunState::Running => None,
        RunState::Succeeded { at } | RunState::Failed { at, .. } => Some(at),
    }
}

/// Forgets those that ended first, beyond as many as are remembered.
fn forget(job: &Job, runs: &mut Runs, news: &mut News) {
    let most = usize::try_from(job.history).unwrap_or(usize::MAX);
    let mut ended: Vec<(Timestamp, JobRunId)> =
        runs.values().filter_map(|run| Some((ended_at(run)?, run.id.clone()))).collect();
    ended.sort_unstable();
    let surplus = ended.len().saturating_sub(most);
    for (_, run) in ended.into_iter().take(surplus) {
        runs.remove(&run);
        news.changed.retain(|changed| *changed != run);
        news.forgotten.push(run);
    }
}

#[cfg(test)]
mod tests;
