//! From the master's word to a running program.
//!
//! A task is taken on durably, as STARTING, before its container is made. A task that comes twice is
//! launched once, for as long as it is known here, and that is until its end is acknowledged (INV-15).
//!
//! What does not fit is answered by TASK_DROPPED with REASON_RESOURCES_UNKNOWN, as Mesos answers a task
//! on resources that its agent does not have: nothing is wrong with the task itself, so not TASK_ERROR.
//! What fits but for tasks of frameworks that were shut down waits until those have ended.

use lonja_model::checkpoint::TaskRecord;
use lonja_model::framework::FrameworkInfo;
use lonja_model::link::FromAgent;
use lonja_model::resources::Resources;
use lonja_model::role::Role;
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, FrameworkId, TaskInfo, TaskState, TaskStatus, Timestamp};

use crate::book::{Key, Place};
use crate::deadlines::Deadline;
use crate::effects::{KillContainer, LaunchContainer, Note};
use crate::kills;
use crate::ledger::Sum;
use crate::status_updates::{queue, say};
use crate::turn::Turn;

/// The master gives tasks to this agent.
pub(crate) fn run(
    turn: &mut Turn<'_>,
    framework: &FrameworkId,
    info: FrameworkInfo,
    role: &Role,
    tasks: Vec<TaskInfo>,
) {
    for task in tasks {
        let key = (framework.clone(), task.id.clone());
        if turn.book.get(&key).is_some() {
            turn.note(Note::DuplicateTask { framework: key.0, task: key.1 });
        } else {
            take_on(turn, key, &info, role, task);
        }
    }
    if turn.book.frameworks().contains_key(framework) {
        turn.book.put_framework(framework, info);
    }
}

fn take_on(turn: &mut Turn<'_>, key: Key, framework: &FrameworkInfo, role: &Role, info: TaskInfo) {
    if turn.book.len() >= turn.config.max_tasks {
        let most = turn.config.max_tasks;
        let reason = format!("this agent holds {most} task records already, the most it may");
        turn_away(turn, key, reason);
        return;
    }
    let ledger = turn.book.ledger();
    let fits = ledger.fits(Sum::Promised, &info.resources);
    let fits_now = ledger.fits(Sum::Held, &info.resources);
    let shortage = (!fits).then(|| shortage(&info.resources, &ledger.free(Sum::Promised)));
    let place = match (fits, fits_now) {
        (false, _) => Place::Ended,
        (true, false) => Place::Waiting(turn.book.next_arrival()),
        (true, true) => Place::Launching,
    };
    // A refused task is born ended: it is promised nothing.
    let state = if fits { TaskState::Staging } else { TaskState::Dropped };
    let record = TaskRecord {
        info,
        role: role.clone(),
        container: fresh_container(turn),
        state,
        killing: None,
        orphaned: false,
        updates: Vec::new(),
    };
    let admitted = turn.book.insert(key.clone(), record, place);
    admitted.expect("what fits has no other holder, and what was refused holds nothing");
    turn.book.put_framework(&key.0, framework.clone());
    match shortage {
        Some(reason) => drop_at_the_door(turn, &key, reason),
        None if fits_now => launch(turn, &key),
        None => {}
    }
}

fn shortage(needed: &Resources, free: &Resources) -> String {
    format!("it needs {needed}, this agent has {free} free")
}

fn fresh_container(turn: &mut Turn<'_>) -> ContainerId {
    loop {
        let container = turn.draws.container();
        if !turn.book.knows_container(&container) {
            return container;
        }
    }
}

/// Answers a task that leaves no record. If the answer is lost, the next registration tells as much.
fn turn_away(turn: &mut Turn<'_>, key: Key, reason: String) {
    let status = TaskStatus::new(key.1.clone(), TaskState::Dropped, Source::Agent, turn.now)
        .because(Reason::ResourcesUnknown)
        .saying(reason.clone());
    let status = match turn.agent() {
        Some(agent) => status.on(agent.clone()),
        None => status,
    };
    let framework = key.0.clone();
    turn.effects.send.push(FromAgent::Update {
        framework,
        status: Box::new(status),
        latest: TaskState::Dropped,
    });
    turn.note(Note::TaskRefused { framework: key.0, task: key.1, reason });
}

fn drop_at_the_door(turn: &mut Turn<'_>, key: &Key, reason: String) {
    let status = TaskStatus::new(key.1.clone(), TaskState::Dropped, Source::Agent, turn.now)
        .because(Reason::ResourcesUnknown)
        .saying(reason.clone());
    queue(turn, key, status);
    turn.note(Note::TaskRefused { framework: key.0.clone(), task: key.1.clone(), reason });
}

/// Has the container of a task made that is in place to be launched.
fn launch(turn: &mut Turn<'_>, key: &Key) {
    say(turn, key, TaskStatus::new(key.1.clone(), TaskState::Starting, Source::Executor, turn.now));
    let framework_user = turn.book.frameworks().get(&key.0).map(|info| info.user.clone());
    let Some(task) = turn.book.get(key) else { return };
    let info = task.record.info.clone();
    let framework_user = framework_user.filter(|user| !user.is_empty());
    let user = info.command.user.clone().or(framework_user).or_else(|| turn.config.default_user.clone());
    turn.effects.launch.push(LaunchContainer {
        container: task.record.container.clone(),
        framework: key.0.clone(),
        role: task.record.role.clone(),
        task: info,
        user,
    });
}

/// Launches tasks that waited for what orphans held, in order of arrival, while they fit.
pub(crate) fn launch_waiting(turn: &mut Turn<'_>) {
    while let Some((key, task)) = turn.book.first_waiting() {
        if !turn.book.ledger().fits(Sum::Held, &task.record.info.resources) {
            return;
        }
        turn.book.change(&key, |task| task.place = Place::Launching);
        launch(turn, &key);
    }
}

/// A container's program runs.
pub(crate) fn started(turn: &mut Turn<'_>, container: &ContainerId, pid: u32) {
    let Some((key, task)) = turn.book.in_container(container) else {
        destroy_stranger(turn, container);
        return;
    };
    if task.place != Place::Launching {
        turn.note(Note::UnexpectedNews { container: container.clone(), news: "started" });
        return;
    }
    running(turn, &key, pid, turn.now);
}

/// The program of `key`'s container runs, since `since`: now, or before the agent's restart.
pub(crate) fn running(turn: &mut Turn<'_>, key: &Key, pid: u32, since: Timestamp) {
    let Some(state) = turn.book.change(key, |task| {
        task.place = Place::Running { pid, since };
        task.state()
    }) else {
        return;
    };
    if state == TaskState::Starting {
        let mut status = TaskStatus::new(key.1.clone(), TaskState::Running, Source::Executor, turn.now);
        status.pid = Some(pid);
        say(turn, key, status);
    }
    let Some(task) = turn.book.get(key) else { return };
    if let Some(longest) = task.record.info.max_completion_time {
        turn.deadlines.set(Deadline::Completion(key.clone()), since + longest);
    }
    kills::kill_if_asked(turn, key);
}

/// A container that no record knows is ended and forgotten (INV-26).
pub(crate) fn destroy_stranger(turn: &mut Turn<'_>, container: &ContainerId) {
    turn.note(Note::Stranger { container: container.clone() });
    let grace = std::time::Duration::ZERO;
    turn.effects.kill.push(KillContainer { container: container.clone(), grace });
}
