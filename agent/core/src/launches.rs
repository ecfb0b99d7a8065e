//! From the master's word to a running program.
//!
//! A task is taken on durably, as STARTING, before its container is made. A task that comes twice is
//! launched once, for as long as it is known here, and that is until its end is acknowledged (INV-15); no
//! copy comes later than that, for the link keeps order.
//!
//! What does not fit is answered by TASK_DROPPED with REASON_RESOURCES_UNKNOWN, as Mesos answers a task
//! on resources that its agent does not have: nothing is wrong with the task itself, so not TASK_ERROR. So is
//! what rests on a reservation or volume that was not made, or is another role's.
//! What fits but for tasks of frameworks that were shut down waits until those have ended.

use std::collections::BTreeSet;

use lonja_model::check::Watched;
use lonja_model::checkpoint::{Delivery, ExecutorRecord, GroupRecord, TaskRecord};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::link::FromAgent;
use lonja_model::resources::{Resource, Resources};
use lonja_model::role::Role;
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, FrameworkId, TaskInfo, TaskState, TaskStatus, Timestamp};

use crate::book::{Handed, Key, Place, Task};
use crate::checks;
use crate::company::{Executor, ExecutorKey, ExecutorPlace};
use crate::custom;
use crate::deadlines::Deadline;
use crate::effects::{KillContainer, LaunchContainer, Note, Runs};
use crate::executors;
use crate::kills;
use crate::ledger::{Ledger, Sum};
use crate::orders::{Manner, Run};
use crate::room;
use crate::status_updates::{queue, say};
use crate::turn::Turn;

/// The master gives tasks to this agent.
pub(crate) fn run(turn: &mut Turn<'_>, run: Run) {
    let starts = run.starts();
    let executor = run.executor();
    let is_group = run.is_group();
    let Run { framework, info, role, tasks, manner } = run;
    // An id that stands twice in one order is one task as well.
    let mut seen = BTreeSet::new();
    let (known, new): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| {
        !seen.insert(task.id.clone()) || turn.book.get(&(framework.clone(), task.id.clone())).is_some()
    });
    let is_torn = is_group && !known.is_empty();
    for task in known {
        turn.note(Note::DuplicateTask { framework: framework.clone(), task: task.id });
    }
    let starts_executor = starts.is_some();
    let lost = match &executor {
        Some(key) if manner != Manner::Alone => {
            let may_start = starts_executor && turn.book.company.get(key).is_none();
            !may_start && !executors::is_open(turn, key)
        }
        Some(_) | None => false,
    };
    let refuse = if is_torn {
        Some((
            Reason::TaskGroupInvalid,
            "a task of its group is known here already, or stands in it twice".to_owned(),
        ))
    } else {
        let executor = executor.as_ref().map(|(_, executor)| executor.to_string()).unwrap_or_default();
        lost.then(|| (Reason::ExecutorTerminated, format!("its executor {executor} has ended")))
    };
    let units: Vec<Vec<TaskInfo>> =
        if is_group { vec![new] } else { new.into_iter().map(|task| vec![task]).collect() };
    for unit in units.into_iter().filter(|unit| !unit.is_empty()) {
        match &refuse {
            Some((why, reason)) => turn_all_away(turn, &framework, unit, *why, reason),
            None => take_on(turn, &framework, &info, &role, unit, is_group),
        }
    }
    executors::not_started(turn, starts);
    if turn.book.frameworks().contains_key(&framework) && room::for_framework(turn, &framework, &info) {
        turn.book.put_framework(&framework, *info);
    }
}

fn turn_all_away(
    turn: &mut Turn<'_>,
    framework: &FrameworkId,
    unit: Vec<TaskInfo>,
    why: Reason,
    reason: &str,
) {
    for task in unit {
        turn_away(turn, (framework.clone(), task.id), TaskState::Dropped, why, reason.to_owned());
    }
}

/// Takes on tasks that start together, and their executor if it is not there yet.
fn take_on(
    turn: &mut Turn<'_>,
    framework: &FrameworkId,
    info: &FrameworkInfo,
    role: &Role,
    unit: Vec<TaskInfo>,
    is_group: bool,
) {
    if turn.book.len() + unit.len() > turn.config.max_tasks {
        let most = turn.config.max_tasks;
        let reason = format!("this agent holds {most} task records already, the most it may");
        turn_all_away(turn, framework, unit, Reason::ResourcesUnknown, &reason);
        return;
    }
    if let Some(reason) = room::for_launch(turn, framework, info, &unit) {
        turn_all_away(turn, framework, unit, Reason::ResourcesUnknown, &reason);
        return;
    }
    let executor = unit.first().and_then(|task| task.executor.clone());
    let known = |executor: &ExecutorInfo| {
        turn.book.company.get(&(framework.clone(), executor.id.clone())).map(|executor| executor.place)
    };
    let place = executor.as_deref().and_then(known);
    let executor = executor.filter(|_| place.is_none());
    let needed = sum(executor.as_deref(), &unit);
    let ledger = turn.book.ledger();
    let shortage = match &needed {
        Ok(needed) => shortage(ledger, needed, role),
        Err(reason) => Some(reason.clone()),
    };
    // Behind the tasks with which its executor waits already.
    let is_behind = place == Some(ExecutorPlace::Waiting);
    let fits_now = !is_behind && needed.is_ok_and(|needed| ledger.fits(Sum::Held, &needed));
    if shortage.is_none()
        && let Some(executor) = executor
    {
        let place = match (fits_now, executor.is_custom()) {
            (false, _) => ExecutorPlace::Waiting,
            (true, false) => ExecutorPlace::Open,
            (true, true) => ExecutorPlace::Launching { connection: None },
        };
        let container = fresh_container(turn);
        let record = ExecutorRecord {
            info: executor.into(),
            role: role.clone(),
            container,
            shutting_down: None,
            orphaned: false,
            launched: matches!(place, ExecutorPlace::Launching { .. }),
        };
        let key = (framework.clone(), record.info.id.clone());
        let admitted = turn.book.insert_executor(key.clone(), Executor::new(record, place));
        admitted.expect("what fits has no other holder");
        turn.book.put_framework(framework, info.clone());
    }
    // The tasks of a custom executor have its container.
    let custom = unit.first().filter(|task| task.is_in_custom_executor()).and_then(TaskInfo::executor_id);
    let custom = custom.map(|executor| (framework.clone(), executor.clone()));
    let of_executor = custom.as_ref().and_then(|key| turn.book.company.get(key));
    let of_executor = of_executor.map(|executor| executor.record.container.clone());
    let group = is_group.then(|| fresh_container(turn));
    let mut keys = Vec::with_capacity(unit.len());
    for task in unit {
        let key = (framework.clone(), task.id.clone());
        let place = match (shortage.is_none(), fits_now) {
            (false, _) => Place::Ended,
            (true, false) => Place::Waiting(turn.book.next_arrival()),
            (true, true) if custom.is_some() => Place::InExecutor(Handed::NotYet),
            (true, true) => Place::Launching,
        };
        // A refused task is born ended: it is promised nothing.
        let state = if shortage.is_none() { TaskState::Staging } else { TaskState::Dropped };
        let record = TaskRecord {
            info: task.into(),
            role: role.clone(),
            container: of_executor.clone().unwrap_or_else(|| fresh_container(turn)),
            state,
            killing: None,
            orphaned: false,
            updates: Vec::new(),
            group: group.clone().map(|name| GroupRecord { name, fell_with: None }),
            watched: Watched::default(),
            delivery: Delivery { handed_over: place.is_in_executor(), heard: Vec::new() },
        };
        let admitted = turn.book.insert(key.clone(), record, place);
        admitted.expect("what fits has no other holder, and what was refused holds nothing");
        turn.book.put_framework(&key.0, info.clone());
        keys.push(key);
    }
    match (&shortage, custom) {
        (Some(reason), _) => keys.iter().for_each(|key| drop_at_the_door(turn, key, reason.clone())),
        (None, Some(executor)) if fits_now => hand_over(turn, &executor, &keys, place.is_none()),
        (None, None) if fits_now => keys.iter().for_each(|key| launch(turn, key)),
        (None, _) => {}
    }
}

/// Tasks are a custom executor's from now on; `starts`: it is launched with them.
fn hand_over(turn: &mut Turn<'_>, executor: &ExecutorKey, tasks: &[Key], starts: bool) {
    if starts {
        custom::launch(turn, executor);
    } else {
        custom::hand_over(turn, executor, tasks);
    }
}

/// What tasks and a new executor need together. Errors: something that has one holder would have two.
fn sum<'a>(
    executor: Option<&ExecutorInfo>,
    tasks: impl IntoIterator<Item = &'a TaskInfo>,
) -> Result<Resources, String> {
    let own = executor.map(|executor| executor.resources.clone()).unwrap_or_default();
    tasks.into_iter().try_fold(own, |sum, task| {
        sum.checked_add(&task.resources).map_err(|error| format!("its group needs the same twice: {error}"))
    })
}

/// Why a task of `role` cannot have `needed`; `None`: it can.
fn shortage(ledger: &Ledger, needed: &Resources, role: &Role) -> Option<String> {
    let reserved_for_others = needed.filter(|resource| {
        resource.reserved_for().is_some_and(|owner| owner != role && !role.is_below(owner))
    });
    if !reserved_for_others.is_empty() {
        return Some(format!("it runs for role {role}, which {reserved_for_others} is not reserved for"));
    }
    if let Some(missing) = needed.iter().find(|resource| is_made_and_missing(ledger.total(), resource)) {
        return Some(format!(
            "it needs {missing}, which this agent does not have: the reservation or volume was not made, or is \
             no more"
        ));
    }
    let free = || ledger.free(Sum::Promised);
    (!ledger.fits(Sum::Promised, needed))
        .then(|| format!("it needs {needed}, this agent has {} free", free()))
}

/// Is it something reserved or stored of which the agent has nothing at all?
fn is_made_and_missing(total: &Resources, resource: &Resource) -> bool {
    let mut held = total.iter();
    resource.reserved_for().is_some()
        && !held.any(|held| held.name() == resource.name() && held.metadata() == resource.metadata())
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
pub(crate) fn turn_away(turn: &mut Turn<'_>, key: Key, state: TaskState, why: Reason, reason: String) {
    let status =
        TaskStatus::new(key.1.clone(), state, Source::Agent, turn.now).because(why).saying(reason.clone());
    let status = match turn.agent() {
        Some(agent) => status.on(agent.clone()),
        None => status,
    };
    let framework = key.0.clone();
    turn.effects.send.push(FromAgent::Update { framework, status: Box::new(status), latest: state });
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
    let runs = match &info.executor {
        None => Runs::Task,
        Some(executor) => {
            let company = turn.book.company.get(&(key.0.clone(), executor.id.clone()));
            let Some(company) = company else { return };
            Runs::InGroup { parent: company.record.container.clone(), executor: executor.clone() }
        }
    };
    turn.effects.launch.push(LaunchContainer {
        container: task.record.container.clone(),
        framework: key.0.clone(),
        role: task.record.role.clone(),
        task: TaskInfo::clone(&info),
        user,
        runs,
    });
}

/// Launches tasks that waited for what orphans held, in order of arrival, while they fit: a group as a whole.
pub(crate) fn launch_waiting(turn: &mut Turn<'_>) {
    while let Some((first, task)) = turn.book.first_waiting() {
        let group = task.record.group.as_ref().map(|group| turn.book.company.group(&group.name));
        let mut unit = group.unwrap_or_else(|| vec![first.clone()]);
        unit.retain(|key| turn.book.get(key).is_some_and(|task| matches!(task.place, Place::Waiting(_))));
        let executor = task.record.info.executor_id().map(|executor| (first.0.clone(), executor.clone()));
        let waiting = |key: &ExecutorKey| {
            turn.book.company.get(key).filter(|executor| executor.place == ExecutorPlace::Waiting)
        };
        let starts = executor.clone().filter(|key| waiting(key).is_some());
        let own = starts.as_ref().and_then(waiting).map(|executor| &*executor.record.info);
        let infos = unit.iter().filter_map(|key| turn.book.get(key)).map(|task| &*task.record.info);
        if !sum(own, infos).is_ok_and(|needed| turn.book.ledger().fits(Sum::Held, &needed)) {
            return;
        }
        let is_custom = task_is_custom(turn, &first);
        if let Some(key) = &starts {
            turn.book.change_executor(key, |executor| {
                executor.record.launched = is_custom;
                executor.place = if is_custom {
                    ExecutorPlace::Launching { connection: None }
                } else {
                    ExecutorPlace::Open
                };
            });
        }
        match executor.filter(|_| is_custom) {
            Some(executor) => {
                for key in &unit {
                    turn.book.change(key, |task| {
                        task.record.delivery.handed_over = true;
                        task.place = Place::InExecutor(Handed::NotYet);
                    });
                }
                hand_over(turn, &executor, &unit, starts.is_some());
            }
            None => {
                unit.iter().for_each(|key| turn.book.put_in(key, Place::Launching));
                unit.iter().for_each(|key| launch(turn, key));
            }
        }
    }
}

fn task_is_custom(turn: &Turn<'_>, key: &Key) -> bool {
    turn.book.get(key).is_some_and(Task::is_custom)
}

/// A container's program runs.
pub(crate) fn started(turn: &mut Turn<'_>, container: &ContainerId, pid: u32) {
    if let Some(key) = custom::executor_in(turn, container) {
        custom::started(turn, &key, pid);
        return;
    }
    let Some((key, task)) = turn.book.in_container(container) else {
        destroy_stranger(turn, container);
        return;
    };
    if task.place != Place::Launching {
        turn.note(Note::UnexpectedNews { container: container.clone(), news: "started" });
        return;
    }
    running(turn, &key, pid, Some(turn.now));
}

/// The program of `key`'s container runs, since `since`: now, or before the agent's restart. `None`: nobody knows, and
/// what is remembered counts.
pub(crate) fn running(turn: &mut Turn<'_>, key: &Key, pid: u32, since: Option<Timestamp>) {
    let Some(task) = turn.book.get(key) else { return };
    let since = since.or(task.record.watched.started).unwrap_or(turn.now).min(turn.now);
    let (is_news, state) = (task.record.watched.started.is_none(), task.state());
    turn.book.put_in(key, Place::Running { pid, since });
    if is_news {
        turn.book.change(key, |task| {
            let no_result = task.record.info.check.as_ref().map(|check| check.probe.no_result());
            task.record.watched.started = Some(since);
            task.record.watched.check = no_result;
        });
    }
    if state == TaskState::Starting {
        say(turn, key, TaskStatus::new(key.1.clone(), TaskState::Running, Source::Executor, turn.now));
    }
    let Some(task) = turn.book.get(key) else { return };
    if let Some(longest) = task.record.info.max_completion_time {
        turn.deadlines.set(Deadline::Completion(key.clone()), since + longest);
    }
    checks::begin(turn, key);
    kills::kill_if_asked(turn, key);
}

/// A container that no record knows is ended and forgotten (INV-26).
pub(crate) fn destroy_stranger(turn: &mut Turn<'_>, container: &ContainerId) {
    turn.note(Note::Stranger { container: container.clone() });
    let grace = std::time::Duration::ZERO;
    turn.effects.kill.push(KillContainer { container: container.clone(), grace });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lonja_model::checkpoint::CheckpointOp;
    use lonja_model::link::ToAgent;

    use super::*;
    use crate::Recovery;
    use crate::fixture::*;

    #[test]
    fn a_task_is_durable_as_starting_before_it_is_launched() {
        let mut stage = agent("cpus:4");
        let effects = stage.run("f1", "t1", "cpus:1;mem:0.5");
        assert_eq!(effects.launch.len(), 0, "there is no memory");
        let effects = stage.run("f1", "t2", "cpus:1");
        let [CheckpointOp::Task(_, id, Some(record))] = &effects.persist[..] else { panic!("{effects:?}") };
        assert_eq!((id.as_str(), record.state), ("t2", TaskState::Starting));
        assert_eq!(record.updates.len(), 1);
        assert_eq!(effects.launch[0].container, record.container);
        assert_eq!(states(&effects), [TaskState::Starting]);
    }

    #[test]
    fn a_framework_is_remembered_as_long_as_it_has_tasks() {
        let mut stage = agent("cpus:4");
        let effects = stage.run("f1", "t1", "cpus:1");
        assert!(matches!(effects.persist[0], CheckpointOp::Framework(_, Some(_))), "before its task");
        let _ = stage.started("t1");
        let mut all = effects;
        all.append(stage.exited("t1", exit(0)));
        stage.acknowledge_all("f1", all);
        assert!(stage.checkpoint.tasks.is_empty() && stage.checkpoint.frameworks.is_empty());
    }

    #[test]
    fn a_task_that_stands_twice_in_one_order_is_launched_once() {
        let order = |stage: &Stage| ToAgent::Run {
            framework: framework_id("f1"),
            info: Box::new(framework_info(&stage.capabilities)),
            role: Role::default_role(),
            tasks: vec![task_info("t1", "cpus:1"), task_info("t1", "cpus:1"), task_info("t2", "cpus:1")],
        };
        let mut stage = agent("cpus:4");
        let message = order(&stage);
        let effects = stage.receive(message);
        assert_eq!(effects.launch.len(), 2);
        assert_eq!(stage.agent.free(), resources("cpus:2"));

        let mut stage = agent("cpus:4");
        let effects = stage.run_group("f1", "pod", "", &[("a", "cpus:1"), ("a", "cpus:1"), ("b", "cpus:1")]);
        assert!(effects.launch.is_empty());
        assert_eq!(states(&effects), [TaskState::Dropped, TaskState::Dropped], "each is answered once");
        assert_eq!(stage.agent.free(), resources("cpus:4"));
    }

    #[test]
    fn a_task_that_comes_twice_is_launched_once() {
        let mut stage = agent("cpus:4");
        assert_eq!(stage.run("f1", "t1", "cpus:1").launch.len(), 1);
        let again = stage.run("f1", "t1", "cpus:1");
        assert!(again.launch.is_empty() && again.persist.is_empty() && again.send.is_empty());
        let _ = stage.started("t1");
        let _ = stage.exited("t1", exit(0));
        assert!(stage.run("f1", "t1", "cpus:1").launch.is_empty(), "nor after it ended, unacknowledged");
        assert_eq!(stage.run("f2", "t1", "cpus:1").launch.len(), 1, "another framework's is another task");
    }

    #[test]
    fn a_task_that_does_not_fit_is_dropped_with_both_figures() {
        let mut stage = agent("cpus:4;mem:100");
        let _ = stage.run("f1", "t1", "cpus:3;mem:10");
        let effects = stage.run("f1", "t2", "cpus:2;mem:10");
        let status = only_update(&effects);
        assert!(effects.launch.is_empty());
        assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::ResourcesUnknown)));
        assert_eq!(
            status.message.as_deref(),
            Some("it needs cpus:2;mem:10, this agent has cpus:1;mem:90 free")
        );
        assert_eq!(status.container, None);
        let _ = stage.acknowledge("f1", &status);
        assert_eq!(stage.state("f1", "t2"), None);
    }

    #[test]
    fn two_tasks_never_hold_one_port() {
        let mut stage = agent("cpus:4;ports:[31000-31001]");
        assert_eq!(stage.run("f1", "t1", "ports:[31000-31000]").launch.len(), 1);
        assert_eq!(states(&stage.run("f1", "t2", "ports:[31000-31000]")), [TaskState::Dropped]);
        assert_eq!(stage.run("f1", "t3", "ports:[31001-31001]").launch.len(), 1);
    }

    #[test]
    fn resources_are_free_when_the_container_has_ended_acknowledged_or_not() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "t1", "cpus:4");
        assert_eq!(stage.agent.free(), Resources::new());
        let _ = stage.exited("t1", exit(0));
        assert_eq!(stage.agent.free(), resources("cpus:4"));
        assert_eq!(stage.run("f1", "t2", "cpus:4").launch.len(), 1);
    }

    #[test]
    fn records_are_bounded_and_a_task_too_many_is_turned_away_without_one() {
        let mut stage = newborn("cpus:4");
        stage.config.max_tasks = 2;
        let _ = stage.restart(&[]);
        let _ = stage.back_online();
        let _ = stage.run("f1", "t1", "cpus:1");
        let _ = stage.run("f1", "t2", "cpus:1");
        let effects = stage.run("f1", "t3", "cpus:1");
        let status = only_update(&effects);
        assert_eq!((status.state, status.update), (TaskState::Dropped, None));
        assert!(effects.persist.is_empty() && effects.launch.is_empty());
    }

    #[test]
    fn a_task_runs_as_its_own_user_or_its_frameworks_or_the_agents_default() {
        let mut stage = agent("cpus:4");
        let mut own = task_info("own", "cpus:1");
        own.command.user = Some("me".to_owned());
        assert_eq!(stage.run_task("f1", own).launch[0].user.as_deref(), Some("me"));
        assert_eq!(stage.run("f1", "theirs", "cpus:1").launch[0].user.as_deref(), Some("web"));
        let info = Box::new(FrameworkInfo { user: String::new(), ..framework_info(&[]) });
        let effects = stage.receive(lonja_model::link::ToAgent::Run {
            framework: framework_id("f2"),
            info,
            role: Role::default_role(),
            tasks: vec![task_info("default", "cpus:1")],
        });
        assert_eq!(effects.launch[0].user.as_deref(), Some("nobody"));
    }

    #[test]
    fn a_started_container_means_running_with_its_process_id() {
        let mut stage = agent("cpus:4");
        let starting = only_update(&stage.run("f1", "t1", "cpus:1"));
        let _ = stage.acknowledge("f1", &starting);
        let status = only_update(&stage.started("t1"));
        assert_eq!((status.state, status.pid), (TaskState::Running, Some(77)));
        assert_eq!(status.container, Some(stage.container("t1")));
        assert_eq!(status.agent.as_ref(), stage.agent.id());
        assert_eq!(stage.agent.tasks().next().unwrap().pid(), Some(77));
        assert!(updates(&stage.started("t1")).is_empty(), "news that comes twice says nothing");
    }

    #[test]
    fn a_task_waits_for_what_a_dead_frameworks_containers_still_hold() {
        let mut stage = agent("cpus:4;ports:[31000-31000]");
        let _ = stage.running("f1", "old", "cpus:3;ports:[31000-31000]");
        let _ = stage.shutdown_framework("f1");
        assert_eq!(stage.agent.free(), resources("cpus:4;ports:[31000-31000]"), "the master counts it free");

        let effects = stage.run("f2", "new", "cpus:3;ports:[31000-31000]");
        assert!(effects.launch.is_empty() && effects.send.is_empty());
        assert_eq!(stage.state("f2", "new"), Some(TaskState::Staging));
        assert_eq!(states(&stage.run("f2", "more", "cpus:3")), [TaskState::Dropped], "it is promised");

        let effects = stage.exited("old", by_request(signaled(15)));
        assert_eq!(effects.launch.len(), 1);
        assert_eq!(states(&effects), [TaskState::Starting]);
    }

    #[test]
    fn a_waiting_task_that_is_killed_ends_at_once() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "old", "cpus:4");
        let _ = stage.shutdown_framework("f1");
        let _ = stage.run("f2", "new", "cpus:2");
        let _ = stage.run("f2", "newer", "cpus:2");
        let status = only_update(&stage.kill("f2", "new", None));
        assert_eq!((status.state, status.reason), (TaskState::Killed, Some(Reason::TaskKilledDuringLaunch)));
        let _ = stage.shutdown_framework("f2");
        assert_eq!(stage.agent.tasks().count(), 1, "only the orphan is left");
        assert!(stage.exited("old", exit(0)).launch.is_empty());
        assert!(stage.checkpoint.tasks.is_empty());
    }

    #[test]
    fn a_waiting_task_waits_on_after_a_restart() {
        let mut stage = agent("cpus:4");
        let _ = stage.running("f1", "old", "cpus:4");
        let _ = stage.shutdown_framework("f1");
        let _ = stage.run("f2", "new", "cpus:2");
        let running = Recovery::Running { pid: 77, since: Some(stage.now) };
        let effects = stage.restart(&[("old", running)]);
        assert_eq!(effects.kill.len(), 1, "the orphan is killed again");
        assert_eq!(stage.restart(&[("old", Recovery::Exited(signaled(9)))]).launch.len(), 1);
    }

    #[test]
    fn a_started_container_without_a_record_is_destroyed() {
        let mut stage = agent("cpus:4");
        let container = ContainerId::new("stranger").unwrap();
        let effects = stage.handle(crate::Event::ContainerStarted { container: container.clone(), pid: 1 });
        assert_eq!(effects.kill, [KillContainer { container: container.clone(), grace: Duration::ZERO }]);
        let effects =
            stage.handle(crate::Event::ContainerExited { container: container.clone(), exit: exit(0) });
        assert_eq!(effects.forget, [container]);
    }
}
