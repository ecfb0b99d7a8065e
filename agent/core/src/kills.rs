//! Ending tasks before they end themselves.
//!
//! A kill is durable before it is carried out, and carried out again after a restart (INV-23). A container
//! is asked to end once it is known to run: before that, its launch is waited for. A task that still waits
//! for its launch ends at once.
//!
//! A kill of a task that is not known is ignored, as Mesos' agent ignores it: the master, who sees the
//! tasks of every agent, answers it. A kill of one that has ended repeats its outstanding update.
//!
//! Source: Mesos `KillPolicy`; a later kill may shorten the grace period and never lengthens it.

use std::time::Duration;

use lonja_model::framework::Capability;
use lonja_model::task::{Reason, Source};
use lonja_model::{FrameworkId, TaskState, TaskStatus};

use crate::book::{Key, Place};
use crate::effects::{KillContainer, Note};
use crate::launches;
use crate::status_updates::{self, say};
use crate::turn::Turn;

/// The master wants a task ended; `grace` overrides the task's own and the agent's.
pub(crate) fn kill(turn: &mut Turn<'_>, key: Key, grace: Option<Duration>) {
    let Some(task) = turn.book.get(&key) else {
        turn.note(Note::KillOfUnknownTask { framework: key.0, task: key.1 });
        return;
    };
    if task.has_ended() {
        status_updates::send(turn, &key);
        return;
    }
    let grace = grace.or(task.record.info.kill_grace).unwrap_or(turn.config.kill_grace);
    ask(turn, &key, grace);
    if turn.book.can(&key.0, Capability::TaskKillingState) {
        tell_killing(turn, &key);
    }
    launches::launch_waiting(turn);
}

/// Notes the wish durably and carries it out as far as it can be.
fn ask(turn: &mut Turn<'_>, key: &Key, grace: Duration) {
    let Some(task) = turn.book.get(key) else { return };
    if task.record.killing.is_some_and(|known| known <= grace) {
        return;
    }
    let place = task.place;
    turn.book.change(key, |task| task.record.killing = Some(grace));
    match place {
        Place::Waiting(_) => killed_before_launch(turn, key),
        Place::Launching | Place::Running { .. } | Place::Ended => kill_if_asked(turn, key),
    }
}

fn tell_killing(turn: &mut Turn<'_>, key: &Key) {
    let state = turn.book.get(key).map(|task| task.state());
    if matches!(state, Some(TaskState::Starting | TaskState::Running)) {
        say(turn, key, TaskStatus::new(key.1.clone(), TaskState::Killing, Source::Executor, turn.now));
    }
}

/// Ends a task that has no container and will have none. The caller sees to those who wait.
pub(crate) fn killed_before_launch(turn: &mut Turn<'_>, key: &Key) {
    let status = TaskStatus::new(key.1.clone(), TaskState::Killed, Source::Agent, turn.now)
        .because(Reason::TaskKilledDuringLaunch)
        .saying("killed before it was started");
    say(turn, key, status);
}

/// Ends a running container whose task is to be killed.
pub(crate) fn kill_if_asked(turn: &mut Turn<'_>, key: &Key) {
    let Some(task) = turn.book.get(key) else { return };
    if let (Place::Running { .. }, Some(grace)) = (task.place, task.record.killing) {
        turn.effects.kill.push(KillContainer { container: task.record.container.clone(), grace });
    }
}

/// The task has run as long as it may. Not made durable: a restarted agent finds it out again, by the same
/// deadline.
pub(crate) fn out_of_time(turn: &mut Turn<'_>, key: &Key) {
    let Some(task) = turn.book.volatile(key) else { return };
    task.out_of_time = true;
    let grace = task.record.info.kill_grace.unwrap_or(turn.config.kill_grace);
    let container = task.record.container.clone();
    // A kill that is under way already needs no second; the framework hears that it was killed.
    if task.record.killing.is_none() {
        turn.effects.kill.push(KillContainer { container, grace });
    }
}

/// The framework is no more: its tasks are killed and forgotten, and nobody hears of it.
pub(crate) fn shutdown_framework(turn: &mut Turn<'_>, framework: &FrameworkId) {
    let keys = turn.book.keys_of(framework);
    for key in &keys {
        status_updates::orphan(turn, key);
    }
    for key in keys {
        let Some(task) = turn.book.get(&key) else { continue };
        let grace = task.record.info.kill_grace.unwrap_or(turn.config.kill_grace);
        ask(turn, &key, grace);
    }
    // Only now, lest a task is launched that is about to be killed.
    launches::launch_waiting(turn);
}
