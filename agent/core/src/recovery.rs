//! From a checkpoint, and what is left of the containers, to a working agent.
//!
//! Afterwards each record has a running container or a terminal state, and each container a record
//! (INV-25 to INV-29):
//! - A running container keeps its task's state; one that was STARTING is RUNNING now. A kill that was
//!   asked for is asked for again.
//! - A container that ended meanwhile ends its task, with its true status.
//! - A record without a container was cut off in its launch: TASK_DROPPED with REASON_AGENT_RESTARTED
//!   (the master shapes it for frameworks that know only LOST), or TASK_KILLED if that was asked for. It is
//!   not launched again (INV-15).
//! - A task that waited for what orphans hold waits on: its launch was never begun.
//! - A custom executor that runs may subscribe anew; one that has ended ends its tasks.
//! - A container without a record is destroyed, by kill or by forget.
//! - Reservations and volumes are as they were, on what the agent has now; folders of volumes that are no more, or
//!   never came to be, go (INV-8).

use std::collections::BTreeMap;

use lonja_model::checkpoint::Checkpoint;
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, Resources, TaskState, TaskStatus};

use crate::book::{Handed, Key, Place};
use crate::company::{Executor, ExecutorPlace};
use crate::compatibility::{Policy, keeps_ground};
use crate::custom;
use crate::effects::{Note, VolumeOrder};
use crate::endings;
use crate::event::{ContainerExit, Recovery, WaitStatus};
use crate::executors;
use crate::kills;
use crate::launches;
use crate::ledger::Sum;
use crate::operations::Operations;
use crate::status_updates;
use crate::total;
use crate::turn::Turn;

/// Takes in what the agent remembers and what the shell found.
pub(crate) fn recover(turn: &mut Turn<'_>, checkpoint: Checkpoint, containers: Vec<(ContainerId, Recovery)>) {
    let Checkpoint { identity, frameworks, tasks, total, operations, executors } = checkpoint;
    *turn.identity = identity;
    if let Err(reason) = recover_total(turn, total) {
        turn.effects.shutdown = Some(reason);
        return;
    }
    *turn.operations = Operations::recovered(operations);
    let mut found: BTreeMap<ContainerId, Recovery> = containers.into_iter().collect();
    let mut fates = Vec::with_capacity(tasks.len());
    let mut customs = Vec::new();
    for (key, record) in executors {
        let place = executors::recovered_place(&key, &record, &tasks);
        if let ExecutorPlace::Launching { .. } = place {
            let fate = found.remove(&record.container).unwrap_or(Recovery::NeverStarted);
            customs.push((key.clone(), fate));
        }
        if let Err(error) = turn.book.insert_executor(key.clone(), Executor::new(record, place)) {
            turn.effects.shutdown = Some(format!(
                "the checkpoint is damaged: executor {} of {} and another hold the same: {error}",
                key.1, key.0
            ));
            return;
        }
    }
    for (key, record) in tasks {
        let place = if record.info.is_in_custom_executor() && record.state.is_terminal() {
            Place::Ended
        } else if record.delivery.handed_over {
            Place::InExecutor(Handed::Over)
        } else if record.state == TaskState::Staging {
            Place::Waiting(turn.book.next_arrival())
        } else {
            let fate = found.remove(&record.container).unwrap_or(Recovery::NeverStarted);
            fates.push((key.clone(), fate));
            if record.state.is_terminal() { Place::Ended } else { Place::Launching }
        };
        if let Err(error) = turn.book.insert(key.clone(), record, place) {
            turn.effects.shutdown = Some(format!(
                "the checkpoint is damaged: task {} of {} and another hold the same: {error}",
                key.1, key.0
            ));
            return;
        }
    }
    turn.book.settle();
    for (framework, info) in frameworks {
        turn.book.recover_framework(framework, info);
    }
    note_overcommitment(turn);
    for (key, fate) in customs {
        custom::found(turn, &key, fate);
    }
    for (key, fate) in fates {
        settle_task(turn, &key, fate);
    }
    executors::settle(turn);
    launches::launch_waiting(turn);
    for (container, fate) in found {
        match fate {
            Recovery::Running { .. } => launches::destroy_stranger(turn, &container),
            Recovery::Exited(_) | Recovery::NeverStarted => turn.effects.forget.push(container),
        }
    }
}

/// Puts what was reserved and stored on the settings as they are now. Errors: what would lose its ground.
fn recover_total(turn: &mut Turn<'_>, checkpointed: Option<Resources>) -> Result<(), String> {
    let kept = keeps_ground(&turn.config.info, checkpointed.as_ref(), Policy::Any);
    let total = kept.map_err(|error| error.to_string())?;
    let keep = total::volumes(&total);
    turn.effects.volumes.push(VolumeOrder::Sweep { keep });
    let is_news = checkpointed.is_some_and(|before| before != total);
    turn.book.recover_total(total, is_news);
    Ok(())
}

fn note_overcommitment(turn: &mut Turn<'_>) {
    let ledger = turn.book.ledger();
    if !ledger.total().contains(ledger.sum(Sum::Promised)) {
        let (needed, total) = (ledger.sum(Sum::Promised).to_string(), ledger.total().to_string());
        turn.note(Note::Overcommitted { needed, total });
    }
    turn.book.admit_debt();
}

/// Brings one task and what was found of its container together.
fn settle_task(turn: &mut Turn<'_>, key: &Key, fate: Recovery) {
    let Some(task) = turn.book.get(key) else { return };
    let container = task.record.container.clone();
    if task.has_ended() {
        if let Recovery::Running { .. } = fate {
            launches::destroy_stranger(turn, &container);
        }
        if task_is_done(turn, key) {
            status_updates::forget(turn, key);
        }
        return;
    }
    match fate {
        Recovery::Running { pid, since } => launches::running(turn, key, pid, since),
        Recovery::Exited(exit) => endings::exited(turn, &container, &exit),
        Recovery::NeverStarted => cut_off(turn, key),
    }
}

/// Does nobody ask about this ended task any more?
fn task_is_done(turn: &Turn<'_>, key: &Key) -> bool {
    turn.book.get(key).is_some_and(|task| task.record.orphaned || task.record.updates.is_empty())
}

/// The task has no container.
fn cut_off(turn: &mut Turn<'_>, key: &Key) {
    let Some(task) = turn.book.get(key) else { return };
    if task.state() != TaskState::Starting {
        let why = "nothing of its container was found when the agent came back".to_owned();
        let status = endings::verdict(key, task, &ContainerExit::new(WaitStatus::Unknown { why }), turn.now);
        endings::end(turn, key, status);
    } else if task.record.killing.is_some() {
        kills::killed_before_launch(turn, key);
    } else {
        let status = TaskStatus::new(key.1.clone(), TaskState::Dropped, Source::Agent, turn.now)
            .because(Reason::AgentRestarted)
            .saying("the agent was restarted before the task was started");
        endings::end(turn, key, status);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::effects::KillContainer;
    use crate::fixture::*;

    fn running(stage: &Stage) -> Recovery {
        Recovery::Running { pid: 77, since: Some(stage.now) }
    }

    fn last_word(stage: &Stage) -> TaskStatus {
        stage.checkpoint.tasks.values().next().unwrap().updates.last().unwrap().clone()
    }

    #[test]
    fn a_running_task_outlives_its_agent_unnoticed() {
        let mut stage = agent("cpus:4");
        let all = stage.running("f1", "t1", "cpus:1");
        let _ = stage.acknowledge_all("f1", all);
        let fate = running(&stage);
        let effects = stage.restart(&[("t1", fate)]);
        assert!(effects.persist.is_empty() && effects.kill.is_empty() && effects.launch.is_empty());
        assert!(updates(&stage.back_online()).is_empty());
        let task = stage.agent.tasks().next().unwrap();
        assert_eq!((task.state(), task.pid()), (TaskState::Running, Some(77)));
        assert_eq!(stage.agent.free(), resources("cpus:3"));
    }

    #[test]
    fn a_container_that_came_to_run_meanwhile_is_running() {
        let mut stage = agent("cpus:4");
        let _ = stage.run("f1", "t1", "cpus:1");
        let fate = running(&stage);
        let _ = stage.restart(&[("t1", fate)]);
        let effects = stage.back_online();
        assert_eq!(stage.acknowledge_all("f1", effects), [TaskState::Starting, TaskState::Running]);
    }

    #[test]
    fn an_exit_while_away_is_told_with_its_true_status() {
        let mut stage = agent("cpus:4");
        let all = stage.running("f1", "t1", "cpus:1");
        let _ = stage.acknowledge_all("f1", all);
        let _ = stage.restart(&[("t1", Recovery::Exited(exit(7)))]);
        assert_eq!(stage.agent.free(), resources("cpus:4"));
        let status = only_update(&stage.back_online());
        assert_eq!(status.message.as_deref(), Some("exited with status 7"));
    }

    #[test]
    fn a_launch_that_was_cut_off_is_dropped_and_never_repeated() {
        for listed in [true, false] {
            let mut stage = agent("cpus:4");
            let _ = stage.run("f1", "t1", "cpus:1");
            let fates: &[_] = if listed { &[("t1", Recovery::NeverStarted)] } else { &[] };
            let effects = stage.restart(fates);
            assert!(effects.launch.is_empty());
            let status = last_word(&stage);
            assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::AgentRestarted)));
            assert_eq!(stage.agent.free(), resources("cpus:4"));
            let _ = stage.back_online();
            assert!(stage.run("f1", "t1", "cpus:1").launch.is_empty());
        }
    }

    #[test]
    fn a_launch_that_was_cut_off_and_to_be_killed_was_killed() {
        let mut stage = agent("cpus:4");
        let _ = stage.run("f1", "t1", "cpus:1");
        let _ = stage.kill("f1", "t1", None);
        let _ = stage.restart(&[]);
        assert_eq!(last_word(&stage).state, TaskState::Killed);
    }

    #[test]
    fn a_task_that_waited_for_a_launch_that_was_cut_off_goes_ahead() {
        let mut stage = agent("cpus:4");
        let _ = stage.run("f1", "old", "cpus:4");
        let _ = stage.shutdown_framework("f1");
        assert!(stage.run("f2", "new", "cpus:4").launch.is_empty());
        assert_eq!(stage.restart(&[]).launch.len(), 1);
        assert_eq!(stage.agent.tasks().count(), 1);
    }

    #[test]
    fn a_running_container_that_vanished_is_a_failure() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:1");
        let _ = stage.restart(&[]);
        let status = last_word(&stage);
        assert_eq!((status.state, status.reason), (TaskState::Failed, Some(Reason::ExecutorTerminated)));
    }

    #[test]
    fn a_container_without_a_record_is_destroyed_and_forgotten() {
        let mut stage = agent("cpus:4");
        let [a, b, c] = ["a", "b", "c"].map(|name| ContainerId::new(name).unwrap());
        let fate = running(&stage);
        let effects = stage.restart_with(vec![
            (a.clone(), fate),
            (b.clone(), Recovery::Exited(exit(0))),
            (c.clone(), Recovery::NeverStarted),
        ]);
        assert_eq!(effects.kill, [KillContainer { container: a.clone(), grace: Duration::ZERO }]);
        assert_eq!(effects.forget, [b, c]);
        let exited = crate::Event::ContainerExited { container: a.clone(), exit: signaled(9) };
        assert_eq!(stage.handle(exited).forget, [a]);
    }

    #[test]
    fn a_framework_left_without_tasks_by_a_crash_is_forgotten() {
        let mut stage = agent("cpus:4");
        stage.checkpoint.frameworks.insert(framework_id("f1"), framework_info(&[]));
        let effects = stage.restart(&[]);
        assert_eq!(effects.persist.len(), 1);
        assert!(stage.checkpoint.frameworks.is_empty());
    }

    #[test]
    fn an_agent_that_came_back_smaller_takes_nothing_on_until_it_fits_again() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:2");
        let _ = stage.running("f1", "t2", "cpus:2");
        stage.config.info = agent_info("cpus:3");
        let fates = [("t1", running(&stage)), ("t2", running(&stage))];
        let effects = stage.restart(&fates);
        assert!(matches!(effects.notes[..], [Note::Overcommitted { .. }]));
        assert_eq!(stage.agent.free(), lonja_model::Resources::new());
        let _ = stage.back_online();
        assert!(stage.run("f1", "t3", "cpus:0.1").launch.is_empty());
        let _ = stage.exited("t1", exit(0));
        assert_eq!(stage.run("f1", "t4", "cpus:1").launch.len(), 1);
    }

    #[test]
    fn volumes_are_kept_on_new_settings_and_all_other_folders_go() {
        let mut stage = agent("cpus:4;disk:100").with_volume("disk:20", false);
        let volumes = stage.agent.volumes();
        stage.config.info = agent_info("cpus:8;disk:200");
        let effects = stage.restart(&[]);
        assert_eq!(effects.volumes, [VolumeOrder::Sweep { keep: volumes.clone() }]);
        assert_eq!(stage.agent.total().quantities(), resources("cpus:8;disk:200").quantities());
        assert_eq!(stage.agent.volumes(), volumes);
        assert!(stage.restart(&[]).persist.is_empty(), "nothing new to remember");
    }

    #[test]
    fn an_agent_whose_volume_has_no_ground_does_not_start() {
        let mut stage = agent("cpus:4;disk:100").with_volume("disk:20", false);
        stage.config.info = agent_info("cpus:4;disk:10");
        let agent = crate::Agent::new(stage.config.clone(), crate::Entropy(5, 5));
        stage.agent = agent;
        let checkpoint = stage.checkpoint.clone();
        let recovered = crate::Event::Recovered { checkpoint, containers: Vec::new() };
        let effects = stage.agent.handle(stage.now, recovered);
        assert!(effects.shutdown.unwrap().contains("disk(DYNAMIC,eng)[v1]:20 was made here"));
        assert!(effects.volumes.is_empty() && effects.persist.is_empty(), "nothing is swept away");
    }

    #[test]
    fn a_checkpoint_that_gives_one_port_to_two_tasks_is_refused() {
        let mut stage = agent("cpus:4;ports:[31000-31001]");
        let _ = stage.running("f1", "t1", "ports:[31000-31000]");
        let _ = stage.running("f1", "t2", "ports:[31001-31001]");
        for record in stage.checkpoint.tasks.values_mut() {
            Arc::make_mut(&mut record.info).resources = resources("ports:[31000-31000]");
        }
        let effects = stage.restart(&[]);
        assert!(effects.shutdown.unwrap().contains("the checkpoint is damaged"));
    }
}
