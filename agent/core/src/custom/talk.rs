//! What an executor and its agent say to each other.
//!
//! An executor has one connection at a time; a newer one takes the older one's place. Its updates are taken as they come,
//! and each is confirmed once: what a task may hold of them is bounded, and an executor that says more is sent away to
//! say it again later, after it was told all that it is to do.
//!
//! Source: Mesos v1 executor API.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::agent::AgentInfo;
use lonja_model::execution::{Call, Event, Subscribed};
use lonja_model::framework::Capability;
use lonja_model::link::FromAgent;
use lonja_model::task::Source;
use lonja_model::{ContainerId, ExecutorId, FrameworkId, TaskId, TaskState, TaskStatus, Timestamp, UpdateId};

use super::{endings, living, resize, say_to, send};
use crate::book::{Handed, Key, Place, Task};
use crate::company::{ExecutorKey, ExecutorPlace};
use crate::deadlines::Deadline;
use crate::effects::{ExecutorOrder, HangUp, Note};
use crate::room;
use crate::status_updates::say;
use crate::turn::Turn;

/// Updates of one task that wait for their framework, at most; its end is taken on in any case.
pub(crate) const MOST_UPDATES: usize = 32;

/// Updates of one task that are known again when they are repeated. More than wait, for what the framework has
/// acknowledged may not have been confirmed to the executor yet.
const MOST_HEARD: usize = 64;

/// What became of an update.
enum Taken {
    /// It may be forgotten by the executor.
    Confirmed,
    /// It is to be said again, for this reason.
    Later(String),
    /// The connection was ended.
    HungUp,
}

/// An executor says something over a connection.
pub(crate) fn called(turn: &mut Turn<'_>, container: ContainerId, connection: u64, call: Call) {
    let Some(key) = turn.book.company.in_container(&container).cloned() else {
        hang_up(turn, container, connection, HangUp::Over);
        return;
    };
    let place = turn.book.company.get(&key).map(|executor| executor.place);
    let current = place.and_then(ExecutorPlace::connection);
    match call {
        Call::Subscribe { unacknowledged_tasks, unacknowledged_updates } => {
            let listed = unacknowledged_tasks.into_iter().map(|task| task.id).collect();
            subscribe(turn, &key, (container, connection), listed, unacknowledged_updates);
        }
        // What comes over a connection that was given up is said again over the next.
        Call::Update(_) | Call::Message(_) | Call::Heartbeat if current != Some(connection) => {}
        Call::Update(status) => {
            if let Taken::Later(reason) = update(turn, &key, connection, *status) {
                disconnect(turn, &key, HangUp::Busy(reason));
            }
        }
        Call::Message(data) => {
            if turn.registration.is_registered() {
                let (framework, executor) = key;
                turn.effects.send.push(FromAgent::Message { framework, executor, data });
            }
        }
        Call::Heartbeat => {}
    }
}

/// A connection is gone.
pub(crate) fn left(turn: &mut Turn<'_>, container: &ContainerId, connection: u64) {
    let Some(key) = turn.book.company.in_container(container).cloned() else { return };
    let Some(executor) = turn.book.company.get(&key) else { return };
    if executor.place.connection() == Some(connection) {
        let place = executor.place.over(None);
        turn.book.put_executor_in(&key, place);
    }
}

/// The framework sends bytes, which arrive at most once.
pub(crate) fn message(turn: &mut Turn<'_>, framework: FrameworkId, executor: ExecutorId, data: Vec<u8>) {
    let key = (framework, executor);
    let known = turn.book.company.get(&key);
    match known.and_then(|executor| executor.place.connection()) {
        Some(connection) => say_to(turn, &key, connection, Event::Message(data)),
        None => turn.note(Note::NoExecutor { framework: key.0, executor: key.1 }),
    }
}

fn hang_up(turn: &mut Turn<'_>, container: ContainerId, connection: u64, why: HangUp) {
    turn.effects.executors.push(ExecutorOrder::HangUp { container, connection, why });
}

/// The executor's present connection is ended, if there is one.
pub(super) fn disconnect(turn: &mut Turn<'_>, key: &ExecutorKey, why: HangUp) {
    let Some(executor) = turn.book.company.get(key) else { return };
    let container = executor.record.container.clone();
    if let Some(connection) = executor.place.connection() {
        let place = executor.place.over(None);
        turn.book.put_executor_in(key, place);
        hang_up(turn, container, connection, why);
    }
}

/// A connection becomes the executor's own, with what was not confirmed over the one before.
fn subscribe(
    turn: &mut Turn<'_>,
    key: &ExecutorKey,
    (container, connection): (ContainerId, u64),
    listed: BTreeSet<TaskId>,
    updates: Vec<TaskStatus>,
) {
    disconnect(turn, key, HangUp::Replaced);
    let Some(executor) = turn.book.company.get(key) else { return };
    // It may be faster than the word that its program runs.
    let is_there = matches!(executor.place, ExecutorPlace::Launching { .. } | ExecutorPlace::Running { .. });
    let place = executor.place.over(Some(connection));
    let subscribed = subscribed(turn, key).filter(|_| is_there && executor.given_up.is_none());
    let Some(subscribed) = subscribed else {
        hang_up(turn, container, connection, HangUp::Over);
        return;
    };
    turn.book.put_executor_in(key, place);
    turn.deadlines.clear(&Deadline::Subscription(key.clone()));
    let is_first = turn.book.company.volatile(key).is_some_and(|executor| {
        !std::mem::replace(&mut executor.has_subscribed, true) && !executor.was_recovered
    });
    say_to(turn, key, connection, Event::Subscribed(Box::new(subscribed)));
    let mut later = BTreeMap::new();
    for status in updates {
        let task = status.task.clone();
        // One task that says much keeps back what it says itself, for that is in order, and nothing of the others.
        if later.contains_key(&task) {
            continue;
        }
        match update(turn, key, connection, status) {
            Taken::Confirmed => {}
            Taken::Later(reason) => {
                later.insert(task, reason);
            }
            Taken::HungUp => return,
        }
    }
    meet(turn, key, connection, &listed, is_first);
    // Last: what it is to do does not wait for what it has to say.
    if let Some((_, reason)) = later.pop_first() {
        disconnect(turn, key, HangUp::Busy(reason));
    }
}

/// Tells an executor that has subscribed what it is to do.
fn meet(turn: &mut Turn<'_>, key: &ExecutorKey, connection: u64, listed: &BTreeSet<TaskId>, is_first: bool) {
    let shutting_down = turn.book.company.get(key).and_then(|executor| executor.record.shutting_down);
    if let Some(grace) = shutting_down {
        say_to(turn, key, connection, Event::Shutdown);
        let deadline = Deadline::Shutdown(key.clone());
        if turn.deadlines.get(&deadline).is_none() {
            turn.deadlines.set(deadline, turn.now + grace);
        }
        return;
    }
    reconcile(turn, key, connection, listed);
    if is_first && living(turn, key).is_empty() {
        endings::shut_down(turn, key);
    }
}

/// Who the executor is and where.
fn subscribed(turn: &Turn<'_>, key: &ExecutorKey) -> Option<Subscribed> {
    let executor = turn.book.company.get(key)?;
    let agent = turn.agent()?.clone();
    Some(Subscribed {
        executor: (*executor.record.info).clone(),
        framework: key.0.clone(),
        framework_info: turn.book.frameworks().get(&key.0)?.clone(),
        agent_info: AgentInfo { id: Some(agent.clone()), ..turn.config.info.clone() },
        agent,
        container: executor.record.container.clone(),
    })
}

/// Brings together the tasks that the executor says it has and those it is to have. What it has not, and is not to have,
/// ends here, and the rest of its group that the executor has not either with it.
fn reconcile(turn: &mut Turn<'_>, key: &ExecutorKey, connection: u64, listed: &BTreeSet<TaskId>) {
    let (mut unsent, mut unwanted, mut kills) = (Vec::new(), Vec::new(), Vec::new());
    let tasks = living(turn, key);
    for task_key in &tasks {
        let Some(task) = turn.book.get(task_key) else { continue };
        if matches!(task.place, Place::Waiting(_)) {
            continue;
        }
        // A task of which an update was confirmed, of interest or not, is not listed any more.
        let has_it = !task.record.delivery.heard.is_empty() || listed.contains(&task_key.1);
        match (has_it, task.record.killing) {
            (true, killing) => {
                turn.book.put_in(task_key, Place::InExecutor(Handed::Over));
                kills.extend(killing.map(|grace| (task_key.1.clone(), grace)));
            }
            (false, killing) => {
                turn.book.put_in(task_key, Place::InExecutor(Handed::NotYet));
                let list = if killing.is_some() { &mut unwanted } else { &mut unsent };
                list.push(task_key.clone());
            }
        }
    }
    // Only now, for of each task of a group it is known whether the executor has it.
    for task_key in &unwanted {
        endings::end_untouched(turn, task_key);
    }
    // What it has and is not to have; with no time to lose, for nobody waits for it.
    let known: BTreeSet<&TaskId> = tasks.iter().map(|known| &known.1).collect();
    let unknown = listed.iter().filter(|task| !known.contains(task));
    kills.extend(unknown.map(|task| (task.clone(), std::time::Duration::ZERO)));
    // One of a group may have taken others along.
    unsent.retain(|task| turn.book.get(task).is_some_and(|task| !task.has_ended()));
    send(turn, key, connection, &unsent);
    for (task, grace) in kills {
        say_to(turn, key, connection, Event::Kill { task, grace: Some(grace) });
    }
    resize(turn, key);
}

/// News of a task.
fn update(turn: &mut Turn<'_>, key: &ExecutorKey, connection: u64, status: TaskStatus) -> Taken {
    let id = match well_formed(key, &status) {
        Ok(id) => id,
        Err(reason) => {
            disconnect(turn, key, HangUp::Invalid(reason));
            return Taken::HungUp;
        }
    };
    let task_key: Key = (key.0.clone(), status.task.clone());
    let knows_killing = turn.book.can(&key.0, Capability::TaskKillingState);
    let strange = match turn.book.get(&task_key) {
        Some(task) if task.record.delivery.heard.contains(&id) => None,
        Some(task) => match judge(key, task, status.state, knows_killing) {
            Ok(()) if is_full(task, status.state) => {
                return Taken::Later(format!("as many updates of task {} wait as may", status.task));
            }
            Ok(()) => {
                let status = match room::for_update(turn, task, status) {
                    Ok(status) => status,
                    Err(reason) => return Taken::Later(reason),
                };
                take(turn, key, &task_key, id, status);
                confirm(turn, key, connection, (task_key.1, id));
                return Taken::Confirmed;
            }
            Err(why) => Some(why),
        },
        None => Some("no such task is known here; perhaps its end is acknowledged already".to_owned()),
    };
    if let Some(why) = strange {
        let is_own = |task: &Task| {
            let is_handed = task.place == Place::InExecutor(Handed::Over);
            is_handed && task.record.info.executor_id() == Some(&key.1)
        };
        if turn.book.get(&task_key).is_some_and(is_own) {
            remember(turn, &task_key, id);
        }
        let (framework, executor) = key.clone();
        turn.book.tally.strange_updates += 1;
        turn.note(Note::StrangeUpdate { framework, executor, task: task_key.1.clone(), why });
    }
    confirm(turn, key, connection, (task_key.1, id));
    Taken::Confirmed
}

fn confirm(turn: &mut Turn<'_>, key: &ExecutorKey, connection: u64, (task, update): (TaskId, UpdateId)) {
    say_to(turn, key, connection, Event::Acknowledged { task, update });
}

/// The update's id. Errors: an executor may not say this of any task.
pub(super) fn well_formed(key: &ExecutorKey, status: &TaskStatus) -> Result<UpdateId, String> {
    let id = status.update.ok_or("update.status.uuid: is missing; set 16 bytes, new for each update")?;
    if status.source != Source::Executor {
        return Err("update.status.source: must be SOURCE_EXECUTOR".to_owned());
    }
    if status.executor.as_ref().is_some_and(|executor| *executor != key.1) {
        return Err("update.status.executor_id: is another's; leave it out".to_owned());
    }
    match status.state {
        // The master's words for silence, and it would take them from no agent.
        TaskState::Staging
        | TaskState::Unreachable
        | TaskState::GoneByOperator
        | TaskState::Unknown
        | TaskState::Lost => Err(format!(
            "update.status.state: {} is not an executor's to say; say TASK_FAILED of a task that cannot go on",
            status.state
        )),
        TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Dropped
        | TaskState::Gone => Ok(id),
    }
}

/// May the executor say so of this task now? Errors: why it is of no interest.
fn judge(key: &ExecutorKey, task: &Task, next: TaskState, knows_killing: bool) -> Result<(), String> {
    if task.record.info.executor_id() != Some(&key.1) {
        return Err("the task is not its own".to_owned());
    }
    match task.place {
        Place::Ended => return Err(format!("the task is {} already", task.state())),
        Place::InExecutor(Handed::Over) => {}
        Place::InExecutor(Handed::NotYet) | Place::Waiting(_) | Place::Launching | Place::Running { .. } => {
            return Err("it was not given the task".to_owned());
        }
    }
    if next == TaskState::Killing && !knows_killing {
        return Err("the framework does not know TASK_KILLING".to_owned());
    }
    if !task.state().may_become(next) {
        return Err(format!("{} does not follow {}", next, task.state()));
    }
    Ok(())
}

fn is_full(task: &Task, next: TaskState) -> bool {
    !next.is_terminal() && task.record.updates.len() >= MOST_UPDATES
}

/// The update will be known when it comes again.
fn remember(turn: &mut Turn<'_>, task_key: &Key, id: UpdateId) {
    turn.book.change(task_key, |task| {
        let heard = &mut task.record.delivery.heard;
        heard.push(id);
        let surplus = heard.len().saturating_sub(MOST_HEARD);
        heard.drain(..surplus);
    });
}

/// The update is the task's new state.
fn take(turn: &mut Turn<'_>, key: &ExecutorKey, task_key: &Key, id: UpdateId, status: TaskStatus) {
    let Some(executor) = turn.book.company.get(key) else { return };
    // Of one that does not say when: now.
    let timestamp = if status.timestamp == Timestamp::ZERO { turn.now } else { status.timestamp };
    let status = TaskStatus {
        executor: Some(key.1.clone()),
        pid: executor.place.pid(),
        unreachable_since: None,
        timestamp,
        ..status
    };
    remember(turn, task_key, id);
    turn.book.change(task_key, |task| {
        task.record.watched.healthy = status.healthy;
        task.record.watched.check = status.check;
    });
    say(turn, task_key, status);
}
