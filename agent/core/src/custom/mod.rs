//! Custom executors: programs of frameworks' own that run tasks in one container.
//!
//! Such an executor is launched with its first tasks, subscribes, is handed tasks, and says what becomes of them. The
//! agent makes its container, with room for what it and its tasks need together; passes on what is said either way; and
//! speaks for tasks only where their executor does not have them or is no more.
//!
//! - A task is handed over durably: from then on it counts as the executor's, though it waits here until the executor
//!   has subscribed. Whatever a subscription does not list, and no update was ever taken of, is sent again: the
//!   executor never had it (INV-15).
//! - An update is confirmed once it is durable (INV-20), and again whenever it comes again.
//! - A task that its executor does not have, for it was never sent or a subscription shows so, ends at once when it is to
//!   be killed, and with it what the executor does not have of its group. The kill of another is its executor's to carry
//!   out; it is told again with every subscription (INV-23).
//! - An executor that was never given a task is ended; any other stays until it ends itself, its framework is no more,
//!   or it does not subscribe in time.
//!
//! Source: Mesos agent, `Slave::run`, `registerExecutor`, `subscribe`, `statusUpdate`, `executorTerminated`.

mod admission;
mod endings;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use lonja_model::execution;
use lonja_model::executor::ExecutorInfo;
use lonja_model::resources::Resources;
use lonja_model::task::Limit;
use lonja_model::{TaskId, TaskInfo};

use crate::book::{Handed, Key, Place, Task};
use crate::company::{Executor, ExecutorKey, ExecutorPlace};
use crate::deadlines::Deadline;
use crate::effects::{ExecutorOrder, KillContainer, LaunchContainer, Note, ResizeContainer, Runs, Together};
use crate::event::LaunchFailure;
use crate::turn::Turn;

pub use admission::{Admitted, CallRefusal, Caller};
pub(crate) use endings::{
    executor_in, exited, found, kill, late, launch_failed, out_of_grace, shut_down_all_of, shut_down_one,
    task_ended,
};
pub(crate) use talk::{MOST_UPDATES, called, left, message};

/// Limits that a task may have beside its needs.
const LIMITED: [&str; 2] = ["cpus", "mem"];

/// Has the container of an executor made, which has its first tasks by now.
pub(crate) fn launch(turn: &mut Turn<'_>, key: &ExecutorKey) {
    let framework_user = turn.book.frameworks().get(&key.0).map(|info| info.user.clone());
    let Some(executor) = turn.book.company.get(key) else { return };
    let info = &executor.record.info;
    let framework_user = framework_user.filter(|user| !user.is_empty());
    let own_user = info.command().and_then(|command| command.user.clone());
    let Some(task) = as_task(turn, key, executor) else {
        let why = "this agent is not registered, or the executor has no command";
        endings::launch_failed(turn, key, LaunchFailure::Container, why);
        return;
    };
    turn.effects.launch.push(LaunchContainer {
        container: executor.record.container.clone(),
        framework: key.0.clone(),
        role: executor.record.role.clone(),
        task,
        user: own_user.or(framework_user).or_else(|| turn.config.default_user.clone()),
        runs: Runs::Executor(Box::new(ExecutorInfo::clone(info))),
    });
}

/// The executor's container, described as if it were a task's.
fn as_task(turn: &Turn<'_>, key: &ExecutorKey, executor: &Executor) -> Option<TaskInfo> {
    let info: &ExecutorInfo = &executor.record.info;
    let together = together(turn, key, executor);
    Some(TaskInfo {
        name: info.name.clone().unwrap_or_else(|| info.id.to_string()),
        id: TaskId::new(info.id.as_str()).ok()?,
        agent: turn.agent()?.clone(),
        resources: together.resources,
        limits: together.limits,
        command: info.command()?.clone(),
        container: info.container.clone(),
        kill_grace: Some(grace_of(turn, executor)),
        max_completion_time: None,
        labels: info.labels.clone(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    })
}

/// How long the executor may take to end when it is asked to.
fn grace_of(turn: &Turn<'_>, executor: &Executor) -> std::time::Duration {
    executor.record.info.shutdown_grace.unwrap_or(turn.config.executor_shutdown_grace)
}

/// What the executor and the tasks that are its own need together.
fn together(turn: &Turn<'_>, key: &ExecutorKey, executor: &Executor) -> Together {
    let own = &executor.record.info.resources;
    let sum = own.checked_add(&executor.share.resources);
    let resources = sum.expect("what is held has one holder, or the ledger had refused it");
    if executor.share.limited == 0 {
        return Together { resources, limits: BTreeMap::new() };
    }
    let tasks = living(turn, key).into_iter();
    let infos: Vec<&TaskInfo> = tasks
        .filter_map(|task| turn.book.get(&task))
        .filter(|task| task.is_holding())
        .map(|task| &*task.record.info)
        .collect();
    let limits = LIMITED.iter().filter_map(|name| Some(((*name).to_owned(), limit(own, &infos, name)?)));
    Together { limits: limits.collect(), resources }
}

/// The limits of all, if one has any: who has none is held to its need.
fn limit(own: &Resources, tasks: &[&TaskInfo], name: &str) -> Option<Limit> {
    tasks.iter().find(|task| task.limits.contains_key(name))?;
    let mut sum = own.scalar(name);
    for task in tasks {
        match task.limits.get(name) {
            Some(Limit::Infinite) => return Some(Limit::Infinite),
            Some(Limit::Amount(amount)) => sum = sum.checked_add(*amount)?,
            None => sum = sum.checked_add(task.resources.scalar(name))?,
        }
    }
    Some(Limit::Amount(sum))
}

/// The executor's tasks that have not ended.
fn living(turn: &Turn<'_>, key: &ExecutorKey) -> Vec<Key> {
    let mut tasks = turn.book.company.tasks_of(key);
    tasks.retain(|task| turn.book.get(task).is_some_and(|task| task.is_custom() && !task.has_ended()));
    tasks
}

/// More or fewer tasks are the executor's: a running container is to have room for them.
pub(crate) fn resize(turn: &mut Turn<'_>, key: &ExecutorKey) {
    let Some(executor) = turn.book.company.get(key) else { return };
    if executor.place.pid().is_none() {
        return;
    }
    let container = executor.record.container.clone();
    let together = together(turn, key, executor);
    turn.effects.resize.retain(|order| order.container != container);
    turn.effects.resize.push(ResizeContainer { container, together });
}

/// These tasks are the executor's from now on: sends them, if it is there to take them.
pub(crate) fn hand_over(turn: &mut Turn<'_>, key: &ExecutorKey, tasks: &[Key]) {
    resize(turn, key);
    let Some(executor) = turn.book.company.get(key) else { return };
    if let Some(connection) = executor.place.connection().filter(|_| executor.is_open()) {
        send(turn, key, connection, tasks);
    }
}

/// Sends tasks over the executor's connection, those of one group together. While the start of its program is not known they
/// wait for that, so that whatever it says of a task comes with its process.
fn send(turn: &mut Turn<'_>, key: &ExecutorKey, connection: u64, tasks: &[Key]) {
    if turn.book.company.get(key).is_none_or(|executor| executor.place.pid().is_none()) {
        return;
    }
    let mut alone = Vec::new();
    let mut groups: BTreeMap<lonja_model::ContainerId, Vec<TaskInfo>> = BTreeMap::new();
    for task_key in tasks {
        let Some(task) = turn.book.get(task_key) else { continue };
        let info = TaskInfo::clone(&task.record.info);
        match &task.record.group {
            Some(group) => groups.entry(group.name.clone()).or_default().push(info),
            None => alone.push(info),
        }
        turn.book.put_in(task_key, Place::InExecutor(Handed::Over));
    }
    for task in alone {
        say_to(turn, key, connection, execution::Event::Launch(Box::new(task)));
    }
    for tasks in groups.into_values() {
        say_to(turn, key, connection, execution::Event::LaunchGroup(tasks));
    }
}

/// Tells the executor something over its connection.
fn say_to(turn: &mut Turn<'_>, key: &ExecutorKey, connection: u64, event: execution::Event) {
    let Some(executor) = turn.book.company.get(key) else { return };
    let container = executor.record.container.clone();
    turn.effects.executors.push(ExecutorOrder::Say { container, connection, event: Box::new(event) });
}

/// The executor's program runs.
pub(crate) fn started(turn: &mut Turn<'_>, key: &ExecutorKey, pid: u32) {
    let Some(executor) = turn.book.company.get(key) else { return };
    let container = executor.record.container.clone();
    let ExecutorPlace::Launching { connection } = executor.place else {
        turn.note(Note::UnexpectedNews { container, news: "started" });
        return;
    };
    let (shutting_down, has_subscribed) = (executor.record.shutting_down, executor.has_subscribed);
    turn.book.put_executor_in(key, ExecutorPlace::Running { pid, connection });
    resize(turn, key);
    match shutting_down {
        Some(grace) => turn.effects.kill.push(KillContainer { container, grace }),
        None if has_subscribed => {
            let mut waiting = living(turn, key);
            waiting.retain(|task| turn.book.get(task).is_some_and(is_untouched));
            if let Some(connection) = connection {
                send(turn, key, connection, &waiting);
            }
        }
        None => {
            let patience = turn.config.executor_registration_timeout;
            turn.deadlines.set(Deadline::Subscription(key.clone()), turn.now + patience);
        }
    }
}

/// Was the task never sent?
fn is_untouched(task: &Task) -> bool {
    task.place == Place::InExecutor(Handed::NotYet)
}
