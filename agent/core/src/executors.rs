//! Executors: from their first task to their end.
//!
//! The built-in one is there as long as a task of it has not ended; [`crate::custom`] has the life of the others. Whenever an executor ends the master is told, so
//! that it may give away what the executor needed; what happens without a registration is told after the next, for
//! the list that began it may have named the executor.

use std::collections::BTreeMap;

use lonja_model::checkpoint::{ExecutorRecord, TaskRecord};
use lonja_model::link::{AgentExecutor, FromAgent};
use lonja_model::{FrameworkId, TaskState};

use crate::book::Key;
use crate::company::{ExecutorKey, ExecutorPlace};
use crate::custom;
use crate::turn::Turn;

/// A task of it has ended: the built-in executor ends with its last.
pub(crate) fn task_ended(turn: &mut Turn<'_>, key: &ExecutorKey) {
    if turn.book.company.get(key).is_some_and(|executor| executor.record.info.is_custom()) {
        custom::task_ended(turn, key);
        return;
    }
    if turn.book.company.get(key).is_some() && !has_tasks(turn, key) {
        end(turn, key, None);
    }
}

/// Is it there, and does it take tasks?
pub(crate) fn is_open(turn: &Turn<'_>, key: &ExecutorKey) -> bool {
    turn.book.company.get(key).is_some_and(|executor| executor.is_open())
}

/// Has a task of it not ended?
pub(crate) fn has_tasks(turn: &Turn<'_>, key: &ExecutorKey) -> bool {
    let tasks = turn.book.company.tasks_of(key);
    tasks.iter().any(|task| turn.book.get(task).is_some_and(|task| !task.has_ended()))
}

/// The executor is no more.
pub(crate) fn end(turn: &mut Turn<'_>, key: &ExecutorKey, status: Option<i32>) {
    let Some(executor) = turn.book.remove_executor(key) else { return };
    turn.book.tally.executors_ended += 1;
    turn.effects.forget.push(executor.record.container);
    if !executor.record.orphaned {
        tell_end(turn, key.clone(), status);
    }
}

/// The master need not set anything aside for this executor.
pub(crate) fn tell_end(turn: &mut Turn<'_>, key: ExecutorKey, status: Option<i32>) {
    if turn.registration.is_registered() {
        let (framework, executor) = key;
        turn.effects.send.push(FromAgent::ExecutorEnded { framework, executor, status });
    } else {
        turn.book.untold.insert(key, status);
    }
}

/// Executors that an order was to start did not start, unless another did it.
pub(crate) fn not_started(turn: &mut Turn<'_>, executors: impl IntoIterator<Item = ExecutorKey>) {
    for key in executors {
        if turn.book.company.get(&key).is_none() {
            tell_end(turn, key, None);
        }
    }
}

/// The agent is registered: tells what it could not tell before.
pub(crate) fn resume(turn: &mut Turn<'_>) {
    for (key, status) in std::mem::take(&mut turn.book.untold) {
        if turn.book.company.get(&key).is_none() {
            tell_end(turn, key, status);
        }
    }
}

/// Every executor, for a registration, but those of frameworks that were shut down.
pub(crate) fn report(turn: &Turn<'_>) -> Vec<AgentExecutor> {
    let known = turn.book.company.iter().filter(|(_, executor)| !executor.record.orphaned);
    let report = known.map(|(key, executor)| AgentExecutor {
        framework: key.0.clone(),
        role: executor.record.role.clone(),
        info: (*executor.record.info).clone(),
        container: executor.record.container.clone(),
    });
    report.collect()
}

/// The framework is no more: nobody is promised what its executors need.
pub(crate) fn orphan(turn: &mut Turn<'_>, framework: &FrameworkId) {
    let keys: Vec<ExecutorKey> = turn.book.company.of_framework(framework).cloned().collect();
    for key in keys {
        turn.book.change_executor(&key, |executor| executor.record.orphaned = true);
    }
}

/// Where a remembered executor stands: with none of its tasks begun, it waits as they do.
pub(crate) fn recovered_place(
    key: &ExecutorKey,
    record: &ExecutorRecord,
    tasks: &BTreeMap<Key, TaskRecord>,
) -> ExecutorPlace {
    if record.info.is_custom() {
        let launching = ExecutorPlace::Launching { connection: None };
        return if record.launched { launching } else { ExecutorPlace::Waiting };
    }
    let own =
        |(task, record): &(&Key, &TaskRecord)| task.0 == key.0 && record.info.executor_id() == Some(&key.1);
    let begun =
        |(_, task): (&Key, &TaskRecord)| !task.state.is_terminal() && task.state != TaskState::Staging;
    let begun = tasks.iter().filter(own).any(begun);
    if begun { ExecutorPlace::Open } else { ExecutorPlace::Waiting }
}

/// After recovery: executors whose tasks have all ended meanwhile end.
pub(crate) fn settle(turn: &mut Turn<'_>) {
    let keys: Vec<ExecutorKey> = turn.book.company.iter().map(|(key, _)| key.clone()).collect();
    keys.iter().for_each(|key| task_ended(turn, key));
}
