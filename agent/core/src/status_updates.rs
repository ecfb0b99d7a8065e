//! News of tasks: at least once, in order, until acknowledged.
//!
//! Each task has a queue of updates, kept in its record. The oldest is outstanding: it is sent, sent again
//! with growing waits, and dropped when its framework has acknowledged it; then the next goes.
//!
//! Invariants
//! - One update of a task is outstanding at a time (INV-19).
//! - A queue holds at most four updates: the outstanding one, RUNNING, KILLING and the end. News of a task that runs
//!   already takes the place of earlier such news that was never sent, so a task whose health changes all the time fills
//!   nothing. What a custom executor says is never overtaken, and bounded where it is taken on.
//! - A task whose end is acknowledged is forgotten.
//!
//! Source: Mesos agent, task status update manager: retry after 10 s, doubling to 10 min.

use std::sync::Arc;

use lonja_model::link::FromAgent;
use lonja_model::{FrameworkId, TaskState, TaskStatus, UpdateId};

use crate::book::{Key, Place, without_data};
use crate::checks;
use crate::deadlines::Deadline;
use crate::effects::Note;
use crate::executors;
use crate::groups;
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
    turn.book.tally.updates += 1;
    if next.is_terminal() {
        *turn.book.tally.ended.entry(next).or_default() += 1;
        turn.deadlines.clear(&Deadline::Completion(key.clone()));
        checks::stop(turn, key);
    }
    let executor = turn.book.get(key).and_then(|task| task.record.info.executor_id().cloned());
    if orphaned == Some(false) {
        queue(turn, key, status);
    }
    if next.is_terminal() {
        groups::fell(turn, key, next);
        if orphaned == Some(true) {
            forget(turn, key);
        }
        if let Some(executor) = executor {
            executors::task_ended(turn, &(key.0.clone(), executor));
        }
    }
}

/// Queues the word on a state that the task has already, and sends it if nothing is before it.
pub(crate) fn queue(turn: &mut Turn<'_>, key: &Key, mut status: TaskStatus) {
    // What an executor of its framework's own says has an id already.
    status.update = status.update.or_else(|| Some(turn.draws.update()));
    status.agent = turn.agent().cloned();
    let is_first = turn.book.change(key, |task| {
        status.container = has_container(status.state).then(|| task.record.container.clone());
        status.executor = task.record.info.executor_id().cloned();
        let is_custom = task.is_custom();
        if matches!(status.state, TaskState::Running | TaskState::Killing) && !is_custom {
            status.healthy = task.record.watched.healthy;
            status.check = task.record.watched.check;
            status.pid = task.place.pid();
        }
        let is_news_of =
            |last: &TaskStatus| (last.state, status.state) == (TaskState::Running, TaskState::Running);
        if !is_custom && task.record.updates.len() > 1 && task.record.updates.last().is_some_and(is_news_of) {
            task.record.updates.pop();
        }
        task.latest = Some(Arc::new(without_data(&status)));
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
    if let Some(task) = turn.book.remove(key).filter(|task| !task.is_custom()) {
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

#[cfg(test)]
mod tests {
    use lonja_model::TaskState;
    use lonja_model::link::ToAgent;

    use super::*;
    use crate::fixture::*;

    #[test]
    fn updates_go_one_at_a_time_in_order() {
        let mut stage = agent("cpus:4");
        let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
        assert!(stage.started("t1").send.is_empty());
        assert!(stage.exited("t1", exit(0)).send.is_empty());
        let running = only_update(&stage.acknowledge("f1", &starting));
        assert_eq!(running.state, TaskState::Running);
        let finished = only_update(&stage.acknowledge("f1", &running));
        assert_eq!(finished.state, TaskState::Finished);
        let container = stage.container("t1");
        let effects = stage.acknowledge("f1", &finished);
        assert_eq!(effects.forget, [container]);
        assert_eq!(stage.state("f1", "t1"), None);
    }

    #[test]
    fn an_update_says_how_far_the_task_has_come_since() {
        let mut stage = agent("cpus:4");
        let _ = stage.run("f1", "t1", "cpus:1");
        let _ = stage.started("t1");
        let effects = stage.after(secs(10));
        let [FromAgent::Update { status, latest, .. }] = &effects.send[..] else { panic!("{effects:?}") };
        assert_eq!((status.state, *latest), (TaskState::Starting, TaskState::Running));
    }

    #[test]
    fn an_unacknowledged_update_goes_again_after_10_s_doubling_to_10_min() {
        let mut stage = agent("cpus:4");
        let first = only_update(&stage.run("f1", "t1", "cpus:1"));
        for wait in [10, 20, 40, 80, 160, 320, 600, 600] {
            for _ in 0..10 {
                let _ = stage.receive(ToAgent::Ping { sequence: 0 });
                assert_eq!(updates(&stage.after(secs(wait) / 10 - millis(1))), []);
            }
            assert_eq!(only_update(&stage.after(millis(10))), first);
        }
    }

    #[test]
    fn acknowledgements_that_are_late_doubled_or_strange_do_nothing() {
        let mut stage = agent("cpus:4");
        let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
        let _ = stage.started("t1");
        let running = only_update(&stage.acknowledge("f1", &starting));
        let effects = stage.acknowledge("f1", &starting);
        assert!(effects.send.is_empty() && effects.persist.is_empty());
        let effects = stage.acknowledge("f2", &running);
        assert!(effects.send.is_empty() && effects.persist.is_empty());
        assert_eq!(stage.agent.tasks().next().unwrap().unacknowledged(), 1);
    }

    #[test]
    fn nothing_is_sent_without_a_link_and_all_that_waits_on_registration() {
        let mut stage = agent("cpus:4");
        let first = only_update(&stage.run("f1", "t1", "cpus:1"));
        let _ = stage.link_down();
        assert!(stage.after(secs(1000)).send.is_empty());
        assert!(updates(&stage.link_up()).is_empty());
        assert_eq!(only_update(&stage.registered()), first);
        assert!(updates(&stage.registered()).is_empty(), "once for each link");
        assert_eq!(only_update(&stage.after(secs(10))), first, "and the waits begin anew");
    }

    #[test]
    fn a_framework_that_is_back_hears_its_updates_at_once() {
        let mut stage = agent("cpus:4");
        let first = only_update(&stage.run("f1", "t1", "cpus:1"));
        let _ = stage.run("f2", "t2", "cpus:1");
        let _ = stage.after(secs(10));
        let effects = stage.receive(ToAgent::ResendUpdates { framework: framework_id("f1") });
        assert_eq!(updates(&effects), [first]);
        assert_eq!(stage.next_in(), Some(secs(10)));
    }

    #[test]
    fn an_update_survives_a_restart_with_its_id() {
        let mut stage = agent("cpus:4");
        let _ = stage.run("f1", "t1", "cpus:1");
        let effects = stage.started("t1");
        assert!(effects.send.is_empty());
        let starting = stage.checkpoint.tasks.values().next().unwrap().updates[0].clone();
        let running = crate::Recovery::Running { pid: 77, since: Some(stage.now) };
        let _ = stage.restart(&[("t1", running)]);
        let effects = stage.back_online();
        assert_eq!(stage.acknowledge_all("f1", effects), [TaskState::Starting, TaskState::Running]);
        assert!(starting.update.is_some());
    }
}
