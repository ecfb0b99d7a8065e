//! How custom executors and their tasks come to an end, otherwise than by the executor's own word.
//!
//! - An executor that ends leaves each task that has not ended TASK_FAILED with REASON_EXECUTOR_TERMINATED, or with what
//!   ended the executor: a limit that was passed, a subscription that did not come. A task that was to be killed is
//!   TASK_KILLED.
//! - One that is to end is told so over its connection, and forced after its grace period; without a connection its
//!   program gets SIGTERM in place of the word.
//!
//! Source: Mesos agent, `Slave::killTask`, `shutdownExecutor`, `executorTerminated`, `registerExecutorTimeout`.

use std::time::Duration;

use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, FrameworkId, TaskState, TaskStatus};

use super::{grace_of, is_untouched, living, resize, say_to, talk};
use crate::book::{Handed, Key, Place};
use crate::company::{ExecutorKey, ExecutorPlace};
use crate::deadlines::Deadline;
use crate::effects::{HangUp, KillContainer, Note};
use crate::event::{ContainerExit, LaunchFailure, Recovery, WaitStatus};
use crate::status_updates::say;
use crate::turn::Turn;
use crate::{endings, executors, kills, launches};

/// A task that an executor has, or is to have, is to be killed; that is durable already.
pub(crate) fn kill(turn: &mut Turn<'_>, task_key: &Key) {
    let Some(task) = turn.book.get(task_key) else { return };
    let (place, killing) = (task.place, task.record.killing);
    let Some(executor) = task.record.info.executor_id() else { return };
    let key = (task_key.0.clone(), executor.clone());
    match place {
        Place::InExecutor(Handed::NotYet) => end_untouched(turn, task_key),
        Place::InExecutor(Handed::Over) => {
            let Some(executor) = turn.book.company.get(&key).filter(|executor| executor.is_open()) else {
                return;
            };
            if let Some(connection) = executor.place.connection() {
                let event = lonja_model::execution::Event::Kill { task: task_key.1.clone(), grace: killing };
                say_to(turn, &key, connection, event);
            }
        }
        Place::Waiting(_) | Place::Launching | Place::Running { .. } | Place::Ended => {}
    }
}

/// Ends a task that its executor does not have, and with it those of its group that the executor does not have either: a
/// group is never sent without one of its tasks.
pub(super) fn end_untouched(turn: &mut Turn<'_>, task_key: &Key) {
    let Some(task) = turn.book.get(task_key) else { return };
    let group = task.record.group.as_ref().map(|group| turn.book.company.group(&group.name));
    for other in group.unwrap_or_else(|| vec![task_key.clone()]) {
        if turn.book.get(&other).is_some_and(is_untouched) {
            kills::killed_before_launch(turn, &other);
        }
    }
}

/// A task of the executor has ended: what it needed goes, and so does an executor that never had a task.
pub(crate) fn task_ended(turn: &mut Turn<'_>, key: &ExecutorKey) {
    let Some(executor) = turn.book.company.get(key) else { return };
    let is_new = !executor.has_subscribed && !executor.was_recovered && executor.share.tasks == 0;
    let place = executor.place;
    match place {
        ExecutorPlace::Ended | ExecutorPlace::Open => {}
        ExecutorPlace::Waiting => {
            if living(turn, key).is_empty() {
                executors::end(turn, key, None);
            }
        }
        ExecutorPlace::Launching { .. } | ExecutorPlace::Running { .. } => {
            resize(turn, key);
            if is_new && living(turn, key).is_empty() {
                shut_down(turn, key);
            }
        }
    }
}

/// The executor is to end.
pub(super) fn shut_down(turn: &mut Turn<'_>, key: &ExecutorKey) {
    let Some(executor) = turn.book.company.get(key).filter(|executor| executor.is_open()) else { return };
    let grace = grace_of(turn, executor);
    let (container, place) = (executor.record.container.clone(), executor.place);
    turn.book.change_executor(key, |executor| executor.record.shutting_down = Some(grace));
    turn.deadlines.clear(&Deadline::Subscription(key.clone()));
    if let Some(connection) = place.connection() {
        say_to(turn, key, connection, lonja_model::execution::Event::Shutdown);
        turn.deadlines.set(Deadline::Shutdown(key.clone()), turn.now + grace);
        return;
    }
    match place {
        ExecutorPlace::Launching { .. } => turn.effects.cancel.push(container),
        ExecutorPlace::Running { .. } => turn.effects.kill.push(KillContainer { container, grace }),
        // Its tasks are about to be killed, and it ends with the last of them.
        ExecutorPlace::Waiting | ExecutorPlace::Open | ExecutorPlace::Ended => {}
    }
}

/// The framework wants one of its executors ended: what waits for it goes with it.
pub(crate) fn shut_down_one(turn: &mut Turn<'_>, key: ExecutorKey) {
    let known = turn.book.company.get(&key).filter(|executor| executor.record.info.is_custom());
    let Some(place) = known.map(|executor| executor.place) else {
        turn.note(Note::NoExecutor { framework: key.0, executor: key.1 });
        return;
    };
    shut_down(turn, &key);
    if place == ExecutorPlace::Waiting {
        for task in living(turn, &key) {
            kills::killed_before_launch(turn, &task);
        }
    }
    launches::launch_waiting(turn);
}

/// The framework is no more, and its executors are to end.
pub(crate) fn shut_down_all_of(turn: &mut Turn<'_>, framework: &FrameworkId) {
    let keys: Vec<ExecutorKey> = turn.book.company.of_framework(framework).cloned().collect();
    for key in keys {
        let is_custom = turn.book.company.get(&key).is_some_and(|executor| executor.record.info.is_custom());
        if is_custom {
            shut_down(turn, &key);
        }
    }
}

/// The executor's time to end is up.
pub(crate) fn out_of_grace(turn: &mut Turn<'_>, key: &ExecutorKey) {
    force(turn, key);
}

/// The executor did not subscribe in time.
pub(crate) fn late(turn: &mut Turn<'_>, key: &ExecutorKey) {
    let Some(executor) = turn.book.company.volatile(key) else { return };
    let (reason, why) = if executor.was_recovered {
        let patience = turn.config.executor_reregistration_timeout;
        let why = format!("executor {} did not subscribe within {patience:?} of the agent's restart", key.1);
        (Reason::ExecutorReregistrationTimeout, why)
    } else {
        let patience = turn.config.executor_registration_timeout;
        let why = format!("executor {} did not subscribe within {patience:?} of its start", key.1);
        (Reason::ExecutorRegistrationTimeout, why)
    };
    executor.given_up = Some((reason, why.clone()));
    turn.note(Note::ExecutorGivenUp { framework: key.0.clone(), executor: key.1.clone(), why });
    force(turn, key);
}

/// Ends the container, at once.
fn force(turn: &mut Turn<'_>, key: &ExecutorKey) {
    if let Some(executor) = turn.book.company.get(key).filter(|executor| executor.place.pid().is_some()) {
        let container = executor.record.container.clone();
        turn.effects.kill.push(KillContainer { container, grace: Duration::ZERO });
    }
}

/// The executor's container could not be made.
pub(crate) fn launch_failed(turn: &mut Turn<'_>, key: &ExecutorKey, reason: LaunchFailure, message: &str) {
    let Some(executor) = turn.book.company.get(key) else { return };
    if !matches!(executor.place, ExecutorPlace::Launching { .. }) {
        let container = executor.record.container.clone();
        turn.note(Note::UnexpectedNews { container, news: "could not be launched" });
        return;
    }
    // One that is given up because the executor is to end is no failure.
    let is_failure = executor.record.shutting_down.is_none();
    turn.book.tally.failed_launches += u64::from(is_failure);
    let (state, reason) = match reason {
        LaunchFailure::Container => (TaskState::Failed, Reason::ContainerLaunchFailed),
        LaunchFailure::Command => (TaskState::Failed, Reason::CommandExecutorFailed),
        LaunchFailure::NoRoom => (TaskState::Dropped, Reason::ContainerLaunchFailed),
    };
    let why = format!("executor {} could not be launched: {}", key.1, endings::cut(message));
    over(turn, key, None, |task_key, now| {
        TaskStatus::new(task_key.1.clone(), state, Source::Agent, now).because(reason).saying(why.clone())
    });
}

/// The executor's container is no more.
pub(crate) fn exited(turn: &mut Turn<'_>, key: &ExecutorKey, exit: &ContainerExit) {
    let Some(executor) = turn.book.company.get(key) else { return };
    if !matches!(executor.place, ExecutorPlace::Launching { .. } | ExecutorPlace::Running { .. }) {
        let container = executor.record.container.clone();
        turn.note(Note::UnexpectedNews { container, news: "exited" });
        return;
    }
    let given_up = executor.given_up.clone();
    let id = key.1.clone();
    let said = endings::describe(exit);
    over(turn, key, wait_status(&exit.status), |task_key, now| {
        let failed = TaskStatus::new(task_key.1.clone(), TaskState::Failed, Source::Agent, now);
        if let Some((reason, why)) = &given_up {
            return failed.because(*reason).saying(why.clone());
        }
        if let Some(breach) = endings::breach(exit) {
            let said = format!("executor {id}: {}", breach.said);
            return endings::Breach { said, ..breach }.told_in(failed);
        }
        failed.because(Reason::ExecutorTerminated).saying(format!("executor {id} has ended: {said}"))
    });
}

/// The executor is no more: its tasks end as `fate` says, or were killed if that was asked for.
fn over(
    turn: &mut Turn<'_>,
    key: &ExecutorKey,
    status: Option<i32>,
    fate: impl Fn(&Key, lonja_model::Timestamp) -> TaskStatus,
) {
    talk::disconnect(turn, key, HangUp::Over);
    turn.deadlines.clear(&Deadline::Subscription(key.clone()));
    turn.deadlines.clear(&Deadline::Shutdown(key.clone()));
    turn.book.put_executor_in(key, ExecutorPlace::Ended);
    for task_key in living(turn, key) {
        let Some(task) = turn.book.get(&task_key) else { continue };
        let ended = fate(&task_key, turn.now);
        let status = if task.record.killing.is_some() {
            let message = ended.message.unwrap_or_default();
            TaskStatus::new(task_key.1.clone(), TaskState::Killed, Source::Agent, turn.now)
                .because(Reason::ExecutorTerminated)
                .saying(format!("killed on request: {message}"))
        } else {
            ended
        };
        say(turn, &task_key, status);
    }
    executors::end(turn, key, status);
    launches::launch_waiting(turn);
}

/// How a process ended, as `wait` says it.
fn wait_status(status: &WaitStatus) -> Option<i32> {
    match status {
        WaitStatus::Exited(code) => Some((code & 0xff) << 8),
        WaitStatus::Signaled(signal) => Some(*signal),
        WaitStatus::Unknown { .. } => None,
    }
}

/// What was found, after a restart of the agent, of an executor whose container was launched.
pub(crate) fn found(turn: &mut Turn<'_>, key: &ExecutorKey, fate: Recovery) {
    let Some(executor) = turn.book.company.volatile(key) else { return };
    executor.was_recovered = true;
    let (container, shutting_down) = (executor.record.container.clone(), executor.record.shutting_down);
    match fate {
        Recovery::Running { pid, since: _ } => {
            turn.book.put_executor_in(key, ExecutorPlace::Running { pid, connection: None });
            resize(turn, key);
            match shutting_down {
                Some(grace) => turn.effects.kill.push(KillContainer { container, grace }),
                None => {
                    let patience = turn.config.executor_reregistration_timeout;
                    turn.deadlines.set(Deadline::Subscription(key.clone()), turn.now + patience);
                }
            }
        }
        Recovery::Exited(exit) => exited(turn, key, &exit),
        Recovery::NeverStarted => cut_off(turn, key),
    }
}

/// The executor has no container: what it never began is dropped, what it had begun has failed.
fn cut_off(turn: &mut Turn<'_>, key: &ExecutorKey) {
    let begun: Vec<Key> = living(turn, key)
        .into_iter()
        .filter(|task| turn.book.get(task).is_some_and(|task| task.state() != TaskState::Staging))
        .collect();
    let id = key.1.clone();
    over(turn, key, None, |task_key, now| {
        let status = |state| TaskStatus::new(task_key.1.clone(), state, Source::Agent, now);
        if begun.contains(task_key) {
            let why = format!("nothing of executor {id} was found when the agent came back");
            return status(TaskState::Failed).because(Reason::ExecutorTerminated).saying(why);
        }
        let why = format!("the agent was restarted before executor {id} was started");
        status(TaskState::Dropped).because(Reason::AgentRestarted).saying(why)
    });
}

/// The container of the executor, if it is one of a custom executor.
pub(crate) fn executor_in(turn: &Turn<'_>, container: &ContainerId) -> Option<ExecutorKey> {
    let key = turn.book.company.in_container(container)?;
    let executor = turn.book.company.get(key)?;
    executor.record.info.is_custom().then(|| key.clone())
}
