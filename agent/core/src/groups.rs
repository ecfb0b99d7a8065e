//! Tasks that were launched together: started all or none, and fallen together.
//!
//! A group runs in a built-in executor, which is a place rather than a process: the tasks share its sandbox, and what
//! else its container shares. It is there from its first group until its last task has ended.
//!
//! When one task of a group ends in any way but TASK_FINISHED, the others are killed: durably, as by a kill of the
//! framework, and each is told which task took it along.
//!
//! Source: Mesos default executor.

use lonja_model::framework::Capability;
use lonja_model::task::TaskState;

use crate::book::{Key, Task};
use crate::kills;
use crate::turn::Turn;

/// A task has come to its end: takes the others of its group along, unless it has finished.
pub(crate) fn fell(turn: &mut Turn<'_>, key: &Key, end: TaskState) {
    // A custom executor has rules of its own for its groups.
    if end == TaskState::Finished || turn.book.get(key).is_some_and(Task::is_custom) {
        return;
    }
    for other in companions(turn, key) {
        let Some(task) = turn.book.get(&other) else { continue };
        if task.has_ended() || task.record.killing.is_some() {
            continue;
        }
        let grace = task.record.info.kill_grace.unwrap_or(turn.config.kill_grace);
        turn.book.change(&other, |task| {
            if let Some(group) = &mut task.record.group {
                group.fell_with = Some(key.1.clone());
            }
        });
        kills::ask(turn, &other, grace);
        if turn.book.can(&other.0, Capability::TaskKillingState) {
            kills::tell_killing(turn, &other);
        }
    }
}

/// The other tasks of a task's group.
fn companions(turn: &Turn<'_>, key: &Key) -> Vec<Key> {
    let Some(task) = turn.book.get(key) else { return Vec::new() };
    let group = task.record.group.as_ref();
    let all = group.map(|group| turn.book.company.group(&group.name)).unwrap_or_default();
    all.into_iter().filter(|other| other != key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;
    use crate::{LaunchFailure, Recovery};
    use lonja_model::Resources;
    use lonja_model::task::Reason;

    #[test]
    fn a_group_is_launched_as_one_in_one_sandbox() {
        let mut stage = agent("cpus:4");
        let effects = stage.run_group("f1", "pod", "cpus:1", &[("a", "cpus:1"), ("b", "cpus:2")]);
        assert_eq!(effects.launch.len(), 2);
        let parent = |index: usize| effects.launch[index].runs.parent().unwrap().clone();
        assert_eq!(parent(0), parent(1));
        assert_ne!(effects.launch[0].container, effects.launch[1].container);
        assert_eq!(stage.agent.free(), Resources::new(), "the executor's own part is taken as well");
        assert_eq!(stage.checkpoint.executors.len(), 1);
        let status = &updates(&effects)[0];
        assert_eq!(status.executor.as_ref().unwrap().as_str(), "pod");
    }

    #[test]
    fn a_group_that_does_not_fit_as_a_whole_is_dropped_as_a_whole() {
        let mut stage = agent("cpus:4");
        let effects = stage.run_group("f1", "pod", "cpus:1", &[("a", "cpus:1"), ("b", "cpus:3")]);
        assert!(effects.launch.is_empty());
        assert_eq!(states(&effects), [TaskState::Dropped, TaskState::Dropped]);
        assert_eq!(executors_ended(&effects), ["pod"], "the master need not set anything aside");
        assert!(stage.checkpoint.executors.is_empty());
        assert_eq!(stage.agent.free(), resources("cpus:4"));
    }

    #[test]
    fn one_that_fails_takes_the_others_along() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b", "c"]);
        let effects = stage.exited("a", exit(7));
        let killed: Vec<_> = effects.kill.iter().map(|kill| kill.container.clone()).collect();
        assert_eq!(killed, [stage.container("b"), stage.container("c")]);
        let _ = stage.exited("b", by_request(signaled(15)));
        let effects = stage.exited("c", by_request(signaled(15)));
        assert_eq!(executors_ended(&effects), ["pod"]);
        let states = ["a", "b", "c"].map(|task| stage.state("f1", task).unwrap());
        assert_eq!(states, [TaskState::Failed, TaskState::Killed, TaskState::Killed]);
        let last = stage.last_update("f1", "b");
        let message = last.message.unwrap();
        assert!(message.starts_with("killed with its group, because task a had ended"), "{message}");
        assert_eq!(stage.agent.free(), resources("cpus:4"));
    }

    #[test]
    fn one_that_finishes_leaves_the_others_running() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b"]);
        assert!(stage.exited("a", exit(0)).kill.is_empty());
        let effects = stage.exited("b", exit(0));
        assert_eq!(executors_ended(&effects), ["pod"]);
        assert_eq!(stage.state("f1", "b"), Some(TaskState::Finished));
    }

    #[test]
    fn one_that_is_killed_takes_the_others_along() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b"]);
        assert_eq!(stage.kill("f1", "b", None).kill.len(), 1);
        assert_eq!(stage.exited("b", by_request(signaled(15))).kill.len(), 1);
        let _ = stage.exited("a", by_request(signaled(15)));
        assert_eq!(stage.state("f1", "a"), Some(TaskState::Killed));
    }

    #[test]
    fn one_that_cannot_be_started_takes_those_along_that_start_later() {
        let mut stage = agent("cpus:4");
        let _ = stage.run_group("f1", "pod", "", &[("a", "cpus:1"), ("b", "cpus:1")]);
        let _ = stage.failed("a", LaunchFailure::Command, "no such program");
        assert_eq!(stage.started("b").kill.len(), 1);
    }

    #[test]
    fn groups_of_one_executor_fall_apart() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b"]);
        let effects = stage.more_in_group("f1", "pod", &[("c", "cpus:1")]);
        assert_eq!(effects.launch.len(), 1);
        assert_eq!(stage.exited("a", exit(1)).kill.len(), 1, "the other of its group");
        let effects = stage.exited("b", by_request(signaled(15)));
        assert!(executors_ended(&effects).is_empty(), "the executor still has a task");
    }

    #[test]
    fn tasks_for_an_executor_that_has_ended_meanwhile_are_dropped() {
        let mut stage = agent("cpus:4");
        let effects = stage.more_in_group("f1", "pod", &[("a", "cpus:1"), ("b", "cpus:1")]);
        let all = updates(&effects);
        assert!(all.iter().all(|status| status.state == TaskState::Dropped));
        assert!(all.iter().all(|status| status.reason == Some(Reason::ExecutorTerminated)));
        assert!(effects.launch.is_empty() && executors_ended(&effects).is_empty());
    }

    #[test]
    fn a_group_waits_as_a_whole_for_what_a_dead_framework_holds() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "old1", "cpus:2");
        let _ = stage.running("f1", "old2", "cpus:2");
        let _ = stage.shutdown_framework("f1");
        let effects = stage.run_group("f2", "pod", "cpus:1", &[("a", "cpus:1"), ("b", "cpus:1")]);
        assert!(effects.launch.is_empty());
        assert!(stage.exited("old1", exit(0)).launch.is_empty(), "one would fit, the group does not");
        assert_eq!(stage.exited("old2", exit(0)).launch.len(), 2);
    }

    #[test]
    fn a_waiting_group_that_loses_one_ends_as_a_whole() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "old", "cpus:4");
        let _ = stage.shutdown_framework("f1");
        let _ = stage.run_group("f2", "pod", "cpus:1", &[("a", "cpus:1"), ("b", "cpus:1")]);
        let effects = stage.kill("f2", "a", None);
        assert_eq!(states(&effects), [TaskState::Killed, TaskState::Killed]);
        assert_eq!(executors_ended(&effects), ["pod"]);
        assert!(stage.exited("old", exit(0)).launch.is_empty());
    }

    #[test]
    fn a_group_outlives_its_agent_and_falls_after_it() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b"]);
        let running = Recovery::Running { pid: 77, since: Some(stage.now) };
        let effects = stage.restart(&[("a", running), ("b", Recovery::Exited(exit(3)))]);
        assert_eq!(effects.kill.len(), 1);
        assert_eq!(stage.checkpoint.executors.len(), 1);
        let effects = stage.back_online();
        let _ = effects;
        let effects = stage.exited("a", by_request(signaled(15)));
        assert_eq!(executors_ended(&effects), ["pod"]);
    }

    #[test]
    fn an_executor_that_ended_without_a_link_is_told_of_over_the_next() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a"]);
        let _ = stage.link_down();
        let up = stage.link_up();
        assert_eq!(executors_reported(&up), ["pod"]);
        assert!(executors_ended(&stage.exited("a", exit(0))).is_empty());
        assert_eq!(executors_ended(&stage.registered()), ["pod"]);
    }

    #[test]
    fn a_group_whose_framework_is_no_more_leaves_nothing() {
        let mut stage = agent("cpus:4");
        let _ = stage.running_group("f1", "pod", &["a", "b"]);
        assert_eq!(stage.shutdown_framework("f1").kill.len(), 2);
        assert_eq!(stage.agent.free(), resources("cpus:4"));
        let _ = stage.exited("a", signaled(15));
        let effects = stage.exited("b", signaled(15));
        assert!(executors_ended(&effects).is_empty());
        assert!(stage.checkpoint.executors.is_empty() && stage.checkpoint.frameworks.is_empty());
    }

    #[test]
    fn a_group_that_comes_twice_is_launched_once() {
        let mut stage = agent("cpus:4");
        let _ = stage.run_group("f1", "pod", "cpus:1", &[("a", "cpus:1")]);
        let again = stage.run_group("f1", "pod", "cpus:1", &[("a", "cpus:1")]);
        assert!(again.launch.is_empty() && again.send.is_empty() && again.persist.is_empty());
    }
}
