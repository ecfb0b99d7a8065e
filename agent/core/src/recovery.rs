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
//! - A container without a record is destroyed, by kill or by forget.

use std::collections::BTreeMap;

use lonja_model::checkpoint::Checkpoint;
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, TaskState, TaskStatus};

use crate::book::{Key, Place};
use crate::effects::Note;
use crate::endings;
use crate::event::{ContainerExit, Recovery, WaitStatus};
use crate::kills;
use crate::launches;
use crate::ledger::Sum;
use crate::status_updates;
use crate::turn::Turn;

/// Takes in what the agent remembers and what the shell found.
pub(crate) fn recover(turn: &mut Turn<'_>, checkpoint: Checkpoint, containers: Vec<(ContainerId, Recovery)>) {
    let Checkpoint { identity, frameworks, tasks } = checkpoint;
    *turn.identity = identity;
    let mut found: BTreeMap<ContainerId, Recovery> = containers.into_iter().collect();
    let mut fates = Vec::with_capacity(tasks.len());
    for (key, record) in tasks {
        let place = if record.state == TaskState::Staging {
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
    for (key, fate) in fates {
        settle_task(turn, &key, fate);
    }
    launches::launch_waiting(turn);
    for (container, fate) in found {
        match fate {
            Recovery::Running { .. } => launches::destroy_stranger(turn, &container),
            Recovery::Exited(_) | Recovery::NeverStarted => turn.effects.forget.push(container),
        }
    }
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
