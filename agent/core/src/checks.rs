//! Looking at running tasks: when, what the results mean, and who is ended for them.
//!
//! A task may have a health check and a check. Each is a look at the task, again and again: the first its delay after
//! the start of the program, the next its interval after the end of the one before, one at a time. Times count from the
//! start of the program also over a restart of the agent, which takes up the rhythm where it would have been.
//!
//! - A check only reports: its status goes out with TASK_RUNNING whenever it has changed.
//! - A health check says healthy or not, and goes out when that has changed. A failure does not count that comes no later
//!   than the grace period after the start, unless there was a success before. The last of so many counted failures in
//!   a row that the task allows ends it, with its own kill policy: TASK_KILLED, not healthy.
//! - A look that could not be brought to its end, for it took too long or found nothing to talk to, is a failure; one
//!   that the agent itself could not begin says nothing at all.
//! - Nobody looks at a task that is being ended.
//!
//! What was said last is durable, the count of failures is not: after a restart of the agent it begins at none.
//!
//! Source: Mesos `HealthChecker` and `Checker`; in Mesos each failure goes out, here only the change.

use std::time::Duration;

use lonja_model::check::{CheckKind, CheckStatus, Pace, Probe};
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, TaskState, TaskStatus, Timestamp};

use crate::book::{Key, Place, Task};
use crate::deadlines::Deadline;
use crate::effects::{CheckOrder, RunCheck};
use crate::event::CheckResult;
use crate::kills;
use crate::status_updates::say;
use crate::turn::Turn;

/// The least time between two looks, whatever the task asks for: no task keeps its agent busy with itself alone.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The most time for one look, also where the task sets no limit.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest text of a result that goes into a status, in characters.
const MAX_REASON: usize = 300;

const KINDS: [CheckKind; 2] = [CheckKind::Health, CheckKind::General];

/// What is under way for one task. Not durable.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// The number of the last look.
    number: u64,
    /// The numbers of those that have no result yet.
    health: Option<u64>,
    general: Option<u64>,
    /// Counted failures of the health check in a row.
    failures: u32,
}

impl Looks {
    /// The look of that kind that has no result yet.
    pub(crate) fn under_way(&self, kind: CheckKind) -> Option<u64> {
        match kind {
            CheckKind::Health => self.health,
            CheckKind::General => self.general,
        }
    }

    fn set(&mut self, kind: CheckKind, number: Option<u64>) {
        match kind {
            CheckKind::Health => self.health = number,
            CheckKind::General => self.general = number,
        }
    }
}

/// How and when the task is to be looked at, if it is. A custom executor looks at its tasks itself.
pub(crate) fn wanted(task: &Task, kind: CheckKind) -> Option<(&Probe, Pace)> {
    if task.is_custom() {
        return None;
    }
    let info = &task.record.info;
    match kind {
        CheckKind::Health => info.health_check.as_ref().map(|check| (&check.probe, check.pace)),
        CheckKind::General => info.check.as_ref().map(|check| (&check.probe, check.pace)),
    }
}

/// Is this a task that is looked at, as far as it asks to be?
pub(crate) fn is_watched(task: &Task) -> bool {
    let is_running = matches!(task.place, Place::Running { .. });
    is_running && task.record.killing.is_none() && !task.out_of_time
}

/// The program of `key` runs: sets the times of the first looks, or of the next ones after a restart of the agent.
pub(crate) fn begin(turn: &mut Turn<'_>, key: &Key) {
    let Some(task) = turn.book.get(key).filter(|task| is_watched(task)) else { return };
    let Place::Running { since, .. } = task.place else { return };
    for kind in KINDS {
        let Some((_, pace)) = turn.book.get(key).and_then(|task| wanted(task, kind)) else { continue };
        let at = next_beat(since + pace.delay, interval(pace), turn.now);
        turn.deadlines.set(Deadline::Check(key.clone(), kind), at);
    }
}

/// The first of `from`, `from + interval` and so on that is not past.
fn next_beat(from: Timestamp, interval: Duration, now: Timestamp) -> Timestamp {
    let late = now.since(from).as_nanos();
    let beats = late.div_ceil(interval.as_nanos().max(1));
    let passed = beats.saturating_mul(interval.as_nanos());
    from + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
}

fn interval(pace: Pace) -> Duration {
    pace.interval.max(SHORTEST_INTERVAL)
}

/// How long a look may take.
fn timeout(pace: Pace) -> Duration {
    if pace.timeout.is_zero() { LONGEST_TIMEOUT } else { pace.timeout.min(LONGEST_TIMEOUT) }
}

/// It is time to look.
pub(crate) fn due(turn: &mut Turn<'_>, key: &Key, kind: CheckKind) {
    let Some(task) = turn.book.volatile(key) else { return };
    let Some(pid) = task.place.pid() else { return };
    let Some((probe, pace)) = wanted(task, kind) else { return };
    let (probe, container) = (probe.clone(), task.record.container.clone());
    task.looks.number += 1;
    let number = task.looks.number;
    task.looks.set(kind, Some(number));
    let framework = key.0.clone();
    let order = RunCheck { container, framework, kind, number, pid, probe, timeout: timeout(pace) };
    turn.effects.checks.push(CheckOrder::Run(Box::new(order)));
}

/// Nobody looks at the task any more.
pub(crate) fn stop(turn: &mut Turn<'_>, key: &Key) {
    for kind in KINDS {
        turn.deadlines.clear(&Deadline::Check(key.clone(), kind));
        let Some(task) = turn.book.volatile(key) else { continue };
        if task.looks.under_way(kind).is_some() {
            task.looks.set(kind, None);
            let container = task.record.container.clone();
            turn.effects.checks.push(CheckOrder::Stop { container, kind });
        }
    }
}

/// A look has come to its end. The result of one that nobody waits for is dropped.
pub(crate) fn ended(
    turn: &mut Turn<'_>,
    container: &ContainerId,
    kind: CheckKind,
    number: u64,
    result: &CheckResult,
) {
    let Some((key, _)) = turn.book.in_container(container) else { return };
    let Some(task) = turn.book.volatile(&key) else { return };
    if task.looks.under_way(kind) != Some(number) {
        return;
    }
    task.looks.set(kind, None);
    let Some((_, pace)) = wanted(task, kind) else { return };
    turn.deadlines.set(Deadline::Check(key.clone(), kind), turn.now + interval(pace));
    match kind {
        CheckKind::Health => judge(turn, &key, result),
        CheckKind::General => report(turn, &key, result),
    }
}

/// Says what a check saw, if it has changed.
fn report(turn: &mut Turn<'_>, key: &Key, result: &CheckResult) {
    let Some(task) = turn.book.get(key) else { return };
    let Some(check) = &task.record.info.check else { return };
    let seen = match result {
        CheckResult::Exited(status) => CheckStatus::Command(Some(*status)),
        CheckResult::Answered(status) => CheckStatus::Http(Some(*status)),
        CheckResult::Connected(opened) => CheckStatus::Tcp(Some(*opened)),
        CheckResult::Failed(_) => check.probe.no_result(),
        CheckResult::NotBegun(_) => return,
    };
    if task.record.watched.check == Some(seen) {
        return;
    }
    turn.book.change(key, |task| task.record.watched.check = Some(seen));
    tell(turn, key, Reason::TaskCheckStatusUpdated, None);
}

/// Takes a result of the health check into account.
fn judge(turn: &mut Turn<'_>, key: &Key, result: &CheckResult) {
    let now = turn.now;
    let Some(task) = turn.book.volatile(key) else { return };
    let Some(check) = &task.record.info.health_check else { return };
    let failure = match failure_of(&check.probe, result) {
        Verdict::Nothing => return,
        Verdict::Good => {
            task.looks.failures = 0;
            if task.record.watched.healthy != Some(true) {
                turn.book.change(key, |task| task.record.watched.healthy = Some(true));
                tell(turn, key, Reason::TaskHealthCheckStatusUpdated, None);
            }
            return;
        }
        Verdict::Bad(failure) => failure,
    };
    if task.record.watched.healthy.is_none() && is_in_grace(task.place, check.grace, now) {
        return;
    }
    task.looks.failures = task.looks.failures.saturating_add(1);
    let (failures, allowed) = (task.looks.failures, check.consecutive_failures.max(1));
    let grace = task.record.info.kill_grace.unwrap_or(turn.config.kill_grace);
    if task.record.watched.healthy != Some(false) {
        turn.book.change(key, |task| task.record.watched.healthy = Some(false));
        let message = format!("health check failed: {failure}");
        tell(turn, key, Reason::TaskHealthCheckStatusUpdated, Some(message));
    }
    if failures >= allowed {
        turn.book.change(key, |task| task.record.watched.given_up = true);
        kills::end(turn, key, grace);
    }
}

/// Do failures not count yet?
fn is_in_grace(place: Place, grace: Duration, now: Timestamp) -> bool {
    match place {
        Place::Running { since, .. } => !grace.is_zero() && now.since(since) <= grace,
        Place::Waiting(_) | Place::Launching | Place::InExecutor(_) | Place::Ended => false,
    }
}

fn tell(turn: &mut Turn<'_>, key: &Key, reason: Reason, message: Option<String>) {
    let mut status =
        TaskStatus::new(key.1.clone(), TaskState::Running, Source::Executor, turn.now).because(reason);
    status.message = message;
    say(turn, key, status);
}

enum Verdict {
    Good,
    Bad(String),
    Nothing,
}

/// What a result means for a task's health.
fn failure_of(probe: &Probe, result: &CheckResult) -> Verdict {
    match result {
        CheckResult::Exited(0) | CheckResult::Connected(true) => Verdict::Good,
        CheckResult::Answered(status) if expects(probe, *status) => Verdict::Good,
        CheckResult::Exited(status) => Verdict::Bad(format!("exited with status {status}")),
        CheckResult::Connected(false) => Verdict::Bad("the connection was refused".to_owned()),
        CheckResult::Answered(status) => Verdict::Bad(format!("answered with status {status}")),
        CheckResult::Failed(why) => Verdict::Bad(why.chars().take(MAX_REASON).collect()),
        CheckResult::NotBegun(_) => Verdict::Nothing,
    }
}

fn expects(probe: &Probe, status: u16) -> bool {
    match probe {
        Probe::Http(http) if !http.statuses.is_empty() => http.statuses.contains(&status),
        Probe::Http(_) | Probe::Command(_) | Probe::Tcp { .. } => (200..400).contains(&status),
    }
}

#[cfg(test)]
mod tests;
