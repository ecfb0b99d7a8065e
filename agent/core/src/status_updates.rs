//! News of tasks: at least once, in order, until acknowledged.
//!
//! Each task has a queue of updates, kept in its record. The oldest is outstanding: it is sent, sent again
//! with growing waits, and dropped when its framework has acknowledged it; then the next goes.
//!
//! Invariants
//! - One update of a task is outstanding at a time (INV-19).
//! - A queue holds at most four updates, one for each state a task can pass through here: STARTING,
//!   RUNNING, KILLING and its end.
//! - A task whose end is acknowledged is forgotten.
//!
//! Source: Mesos agent, task status update manager: retry after 10 s, doubling to 10 min.

use lonja_model::link::FromAgent;
use lonja_model::{FrameworkId, TaskStatus, UpdateId};

use crate::book::{Key, Place};
use crate::deadlines::Deadline;
use crate::effects::Note;
use crate::registration::{SHORTEST_WAIT, has_container};
use crate::turn::Turn;

/// `status` is the task's new state: queues it, and sends it if nothing is before it.
///
/// The task's container, id and agent are filled in here. A terminal state also ends the task's place. An
/// orphan is told about to nobody: its end forgets it.
pub(crate) fn say(turn: &mut Turn<'_>, key: &Key, status: TaskStatus) {
    let next = status.state;
    let orphaned = turn.book.change(key, |task| {
        let state = task.record.state;
        assert!(state.may_become(next), "{state} must not become {next}");
        task.record.state = next;
        if next.is_terminal() {
            task.place = Place::Ended;
        }
        task.record.orphaned
    });
    if next.is_terminal() {
        turn.deadlines.clear(&Deadline::Completion(key.clone()));
    }
    match orphaned {
        Some(true) if next.is_terminal() => forget(turn, key),
        Some(false) => queue(turn, key, status),
        Some(true) | None => {}
    }
}

/// Queues the word on a state that the task has already, and sends it if nothing is before it.
pub(crate) fn queue(turn: &mut Turn<'_>, key: &Key, mut status: TaskStatus) {
    status.update = Some(turn.draws.update());
    status.agent = turn.agent().cloned();
    let is_first = turn.book.change(key, |task| {
        status.container = has_container(status.state).then(|| task.record.container.clone());
        task.record.updates.push(status);
        task.record.updates.len() == 1
    });
    if is_first == Some(true) {
        send(turn, key);
    }
}

/// Sends the outstanding update, if there is one and the agent is registered, as if for the first time.
pub(crate) fn send(turn: &mut Turn<'_>, key: &Key) {
    if let Some(task) = turn.book.volatile(key) {
        task.retry_after = None;
    }
    turn.deadlines.clear(&Deadline::Resend(key.clone()));
    resend(turn, key);
}

/// Sends the outstanding update, if there is one and the agent is registered, and doubles the wait.
pub(crate) fn resend(turn: &mut Turn<'_>, key: &Key) {
    if !turn.registration.is_registered() {
        return;
    }
    let config = turn.config;
    let Some(task) = turn.book.volatile(key) else { return };
    let Some(status) = task.record.updates.first().cloned() else { return };
    let wait = match task.retry_after {
        None => config.update_retry,
        Some(last) => last.saturating_mul(2).min(config.update_retry_max),
    };
    let wait = wait.max(SHORTEST_WAIT);
    task.retry_after = Some(wait);
    let latest = task.record.state;
    let framework = key.0.clone();
    turn.effects.send.push(FromAgent::Update { framework, status: Box::new(status), latest });
    turn.deadlines.set(Deadline::Resend(key.clone()), turn.now + wait);
}

/// The framework has dealt with `update`. Anything but the outstanding one of a known task is an echo.
pub(crate) fn acknowledge(turn: &mut Turn<'_>, key: Key, update: UpdateId) {
    let outstanding = turn.book.get(&key).and_then(|task| task.record.updates.first());
    if outstanding.is_none_or(|status| status.update != Some(update)) {
        turn.note(Note::StaleAcknowledgement { framework: key.0, task: key.1 });
        return;
    }
    let over = turn.book.change(&key, |task| {
        task.record.updates.remove(0);
        task.record.updates.is_empty() && task.has_ended()
    });
    if over == Some(true) {
        forget(turn, &key);
    } else {
        send(turn, &key);
    }
}

/// The task is over and nobody asks about it any more.
pub(crate) fn forget(turn: &mut Turn<'_>, key: &Key) {
    turn.deadlines.clear(&Deadline::Resend(key.clone()));
    turn.deadlines.clear(&Deadline::Completion(key.clone()));
    if let Some(task) = turn.book.remove(key) {
        turn.effects.forget.push(task.record.container);
    }
}

/// The task's framework is no more: nobody waits for its updates, and its end will forget it.
pub(crate) fn orphan(turn: &mut Turn<'_>, key: &Key) {
    let ended = turn.book.change(key, |task| {
        task.record.orphaned = true;
        task.record.updates.clear();
        task.retry_after = None;
        task.has_ended()
    });
    turn.deadlines.clear(&Deadline::Resend(key.clone()));
    if ended == Some(true) {
        forget(turn, key);
    }
}

/// The framework is back: sends each of its outstanding updates now.
pub(crate) fn resend_all_of(turn: &mut Turn<'_>, framework: &FrameworkId) {
    for key in turn.book.keys_of(framework) {
        send(turn, &key);
    }
}

/// The link is gone: nothing is sent until [`resume`].
pub(crate) fn pause(turn: &mut Turn<'_>) {
    for key in turn.book.keys() {
        turn.deadlines.clear(&Deadline::Resend(key));
    }
}

/// The agent is registered: sends every outstanding update now.
pub(crate) fn resume(turn: &mut Turn<'_>) {
    for key in turn.book.keys() {
        send(turn, &key);
    }
}
