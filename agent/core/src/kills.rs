//! Ending tasks before they end themselves.
//!
//! A kill is durable before it is carried out, and carried out again after a restart (INV-23). A container
//! is asked to end once it is known to run: before that, its launch may be called off, and is waited for in any
//! case. A task that still waits
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

use crate::book::{Key, Place, Task};
use crate::checks;
use crate::custom;
use crate::effects::{KillContainer, Note};
use crate::endings;
use crate::executors;
use crate::launches;
use crate::orders;
use crate::status_updates::{self, say};
use crate::turn::Turn;

/// The master wants a task ended; `grace` overrides the task's own and the agent's.
pub(crate) fn kill(turn: &mut Turn<'_>, key: Key, grace: Option<Duration>) {
    let Some(task) = turn.book.get(&key) else {
        if orders::kill(turn, &key) {
            return;
        }
        turn.note(Note::KillOfUnknownTask { framework: key.0, task: key.1 });
        return;
    };
    if task.has_ended() {
        status_updates::send(turn, &key);
        return;
    }
    let grace = grace.or(task.record.info.kill_grace).unwrap_or(turn.config.kill_grace);
    end(turn, &key, grace);
    launches::launch_waiting(turn);
}

/// Somebody has decided that a task is to end.
pub(crate) fn end(turn: &mut Turn<'_>, key: &Key, grace: Duration) {
    ask(turn, key, grace);
    // A custom executor says so itself.
    let is_custom = turn.book.get(key).is_some_and(Task::is_custom);
    if turn.book.can(&key.0, Capability::TaskKillingState) && !is_custom {
        tell_killing(turn, key);
    }
}

/// Notes the wish durably and carries it out as far as it can be.
pub(crate) fn ask(turn: &mut Turn<'_>, key: &Key, grace: Duration) {
    let Some(task) = turn.book.get(key) else { return };
    if task.record.killing.is_some_and(|known| known <= grace) {
        return;
    }
    let place = task.place;
    turn.book.change(key, |task| task.record.killing = Some(grace));
    checks::stop(turn, key);
    match place {
        Place::Waiting(_) => killed_before_launch(turn, key),
        Place::Launching => {
            let container = turn.book.get(key).map(|task| task.record.container.clone());
            turn.effects.cancel.extend(container);
        }
        Place::InExecutor(_) => custom::kill(turn, key),
        Place::Running { .. } | Place::Ended => kill_if_asked(turn, key),
    }
}

pub(crate) fn tell_killing(turn: &mut Turn<'_>, key: &Key) {
    let state = turn.book.get(key).map(|task| task.state());
    if matches!(state, Some(TaskState::Starting | TaskState::Running)) {
        say(turn, key, TaskStatus::new(key.1.clone(), TaskState::Killing, Source::Executor, turn.now));
    }
}

/// Ends a task that has no container and will have none. The caller sees to those who wait.
pub(crate) fn killed_before_launch(turn: &mut Turn<'_>, key: &Key) {
    let status = TaskStatus::new(key.1.clone(), TaskState::Killed, Source::Agent, turn.now)
        .because(Reason::TaskKilledDuringLaunch)
        .saying(endings::with_group(turn.book.get(key), "killed before it was started"));
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
    checks::stop(turn, key);
}

/// The framework is no more: its tasks are killed and forgotten, and nobody hears of it.
pub(crate) fn shutdown_framework(turn: &mut Turn<'_>, framework: &FrameworkId) {
    orders::shutdown_framework(turn, framework);
    executors::orphan(turn, framework);
    let keys = turn.book.keys_of(framework);
    for key in &keys {
        status_updates::orphan(turn, key);
    }
    custom::shut_down_all_of(turn, framework);
    for key in keys {
        let Some(task) = turn.book.get(&key) else { continue };
        let grace = task.record.info.kill_grace.unwrap_or(turn.config.kill_grace);
        ask(turn, &key, grace);
    }
    // Only now, lest a task is launched that is about to be killed.
    launches::launch_waiting(turn);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;
    use crate::{LaunchFailure, Recovery};

    fn graces(effects: &crate::Effects) -> Vec<Duration> {
        effects.kill.iter().map(|kill| kill.grace).collect()
    }

    #[test]
    fn the_grace_period_is_the_kills_or_the_tasks_or_the_agents() {
        let mut stage = agent("cpus:4");
        let mut patient = task_info("patient", "cpus:1");
        patient.kill_grace = Some(secs(30));
        let _ = stage.run_task("f1", patient);
        let _ = stage.started("patient");
        let _ = stage.running("f1", "plain", "cpus:1");
        assert_eq!(graces(&stage.kill("f1", "plain", None)), [secs(3)]);
        assert_eq!(graces(&stage.kill("f1", "patient", None)), [secs(30)]);
        assert_eq!(graces(&stage.kill("f1", "patient", Some(secs(1)))), [secs(1)]);
    }

    #[test]
    fn a_second_kill_may_shorten_the_grace_and_not_lengthen_it() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        assert_eq!(graces(&stage.kill("f1", "t1", Some(secs(10)))), [secs(10)]);
        let longer = stage.kill("f1", "t1", Some(secs(20)));
        assert!(longer.kill.is_empty() && longer.persist.is_empty());
        assert!(stage.kill("f1", "t1", Some(secs(10))).kill.is_empty(), "nor repeat it");
        assert_eq!(graces(&stage.kill("f1", "t1", Some(secs(0)))), [secs(0)]);
    }

    #[test]
    fn a_kill_is_durable_and_asked_for_again_after_a_restart() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        assert!(!stage.kill("f1", "t1", Some(secs(9))).persist.is_empty());
        let running = Recovery::Running { pid: 77, since: Some(stage.now) };
        assert_eq!(graces(&stage.restart(&[("t1", running)])), [secs(9)]);
    }

    #[test]
    fn killing_is_told_to_those_who_know_the_word() {
        let mut knowing = agent("cpus:4").knowing(Capability::TaskKillingState);
        let all = knowing.running("f1", "t1", "cpus:1");
        let _ = knowing.kill("f1", "t1", None);
        let _ = knowing.kill("f1", "t1", Some(secs(1)));
        let _ = knowing.exited("t1", by_request(signaled(15)));
        use TaskState::*;
        assert_eq!(knowing.acknowledge_all("f1", all), [Starting, Running, Killing, Killed]);

        let mut plain = agent("cpus:4");
        let all = plain.running("f1", "t1", "cpus:1");
        let _ = plain.kill("f1", "t1", None);
        assert_eq!(plain.state("f1", "t1"), Some(Running));
        assert!(plain.agent.tasks().next().unwrap().is_being_killed());
        let _ = plain.exited("t1", by_request(signaled(15)));
        assert_eq!(plain.acknowledge_all("f1", all), [Starting, Running, Killed]);
    }

    #[test]
    fn a_kill_during_launch_waits_for_the_container_and_then_ends_it() {
        for capabilities in [&[][..], &[Capability::TaskKillingState]] {
            let mut stage = agent("cpus:4");
            stage.capabilities = capabilities.to_vec();
            let _ = stage.run("f1", "t1", "cpus:1");
            let effects = stage.kill("f1", "t1", None);
            assert!(effects.kill.is_empty());
            assert_eq!(effects.cancel, [stage.container("t1")]);
            assert!(stage.kill("f1", "t1", None).cancel.is_empty(), "once");
            assert_eq!(graces(&stage.started("t1")), [secs(3)]);
            let _ = stage.exited("t1", by_request(signaled(15)));
            assert_eq!(stage.state("f1", "t1"), Some(TaskState::Killed));
        }
    }

    #[test]
    fn a_kill_during_a_launch_that_fails_has_worked() {
        let mut stage = agent("cpus:4");
        let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
        let _ = stage.kill("f1", "t1", None);
        let _ = stage.failed("t1", LaunchFailure::Container, "no cgroup");
        let status = only_update(&stage.acknowledge("f1", &starting));
        assert_eq!((status.state, status.reason), (TaskState::Killed, Some(Reason::TaskKilledDuringLaunch)));
    }

    #[test]
    fn a_kill_of_an_unknown_task_is_ignored_with_a_note() {
        let mut stage = agent("cpus:4");
        let effects = stage.kill("f1", "t1", None);
        assert!(effects.send.is_empty() && effects.persist.is_empty());
        assert!(matches!(effects.notes[..], [Note::KillOfUnknownTask { .. }]));
    }

    #[test]
    fn a_kill_of_an_ended_task_repeats_what_waits_for_an_acknowledgement() {
        let mut stage = agent("cpus:4");
        let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
        let finished = {
            let _ = stage.exited("t1", exit(0));
            only_update(&stage.acknowledge("f1", &starting))
        };
        assert_eq!(only_update(&stage.kill("f1", "t1", None)), finished);
    }

    #[test]
    fn a_task_that_takes_too_long_is_killed_and_has_failed() {
        let mut stage = agent("cpus:4");
        let mut task = task_info("t1", "cpus:1");
        task.max_completion_time = Some(secs(60));
        let all = stage.run_task("f1", task);
        let _ = stage.started("t1");
        let _ = stage.link_down();
        assert!(stage.after(secs(60) - millis(1)).kill.is_empty());
        assert_eq!(stage.next_in(), Some(millis(1)));
        assert_eq!(graces(&stage.after(millis(1))), [secs(3)]);
        let _ = stage.exited("t1", by_request(signaled(15)));
        let _ = stage.back_online();
        let _ = stage.acknowledge_all("f1", all);
        assert_eq!(stage.state("f1", "t1"), None);
    }

    #[test]
    fn a_restart_does_not_give_a_task_more_time() {
        let mut stage = agent("cpus:4");
        let mut task = task_info("t1", "cpus:1");
        task.max_completion_time = Some(secs(60));
        let _ = stage.run_task("f1", task);
        let _ = stage.started("t1");
        let since = stage.now;
        let _ = stage.after(secs(50));
        let _ = stage.restart(&[("t1", Recovery::Running { pid: 77, since: Some(since) })]);
        assert_eq!(stage.next_in(), Some(secs(10)));
        stage.now = stage.now + secs(20);
        assert_eq!(stage.restart(&[("t1", Recovery::Running { pid: 77, since: Some(since) })]).kill.len(), 1);
        let _ = stage.restart(&[("t1", Recovery::Exited(by_request(signaled(9))))]);
        let last = stage.checkpoint.tasks.values().next().unwrap().updates.last().unwrap().clone();
        assert_eq!((last.state, last.reason), (TaskState::Failed, Some(Reason::MaxCompletionTimeReached)));
    }

    #[test]
    fn a_framework_that_is_no_more_hears_nothing_and_leaves_nothing() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        let _ = stage.run("f1", "t2", "cpus:1");
        let _ = stage.running("f1", "t3", "cpus:1");
        let _ = stage.exited("t3", exit(0));
        let _ = stage.running("f2", "other", "cpus:1");
        let container = stage.container("t3");
        let effects = stage.shutdown_framework("f1");
        assert_eq!(effects.forget, [container], "ended already");
        assert_eq!(graces(&effects), [secs(3)], "the running one; the other once it runs");
        assert_eq!(graces(&stage.started("t2")), [secs(3)]);
        let mut effects = stage.exited("t1", by_request(signaled(15)));
        effects.append(stage.exited("t2", exit(1)));
        assert!(effects.send.is_empty());
        assert_eq!(effects.forget.len(), 2);
        assert_eq!(stage.checkpoint.frameworks.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["f2"]);
    }

    #[test]
    fn an_orphan_is_not_told_of_on_registration() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        let _ = stage.shutdown_framework("f1");
        let effects = stage.link_up();
        let [lonja_model::link::FromAgent::Reregister { tasks, frameworks, .. }] = &effects.send[..] else {
            panic!("{effects:?}")
        };
        assert!(tasks.is_empty() && frameworks.is_empty());
    }
}
