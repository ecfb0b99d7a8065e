//! Groups of tasks: all of them are launched, or none.
//!
//! One task that cannot be launched spoils the group: each task of it is answered by TASK_ERROR, and nothing is taken
//! out of the pool. Lonja's built-in executor is no process, so that it may need nothing; Mesos asks for some cpus and
//! mem for it, and whatever is asked for is set aside.
//!
//! Source: Mesos v1 scheduler API, ACCEPT, LAUNCH_GROUP and the validation of task groups.

use std::collections::BTreeSet;

use lonja_model::operation::{LaunchGroup, LaunchTask};
use lonja_model::task::Reason;
use lonja_model::{Resources, TaskId, TaskInfo, TaskState, Timestamp};

use crate::accept::{Order, Pool};
use crate::effects::Effects;
use crate::executors::Need;
use crate::launches::Taken;
use crate::{State, executors, launches, updates};

/// Why a group cannot be launched.
struct Spoiled {
    /// The task at fault, if one is.
    task: Option<TaskId>,
    reason: String,
}

/// Takes what the group needs out of the pool and makes the records of its tasks, or answers each by TASK_ERROR.
pub(crate) fn launch(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    pool: &mut Pool,
    group: LaunchGroup,
) -> Option<Order> {
    let ids: BTreeSet<TaskId> = group.tasks.iter().map(|task| task.id().clone()).collect();
    if ids.is_empty() {
        // Nobody is there to be told of.
        return None;
    }
    let before: Resources = pool.left.clone();
    let (need, taken) = match plan(state, pool, group) {
        Ok(plan) => plan,
        Err(spoiled) => {
            pool.left = before;
            error(state, effects, now, pool, ids, &spoiled);
            return None;
        }
    };
    let starts_executor = need.starts();
    executors::begin(state, need);
    let begin = |taken: Taken| launches::begin(state, effects, now, pool, taken);
    let tasks = taken.into_iter().map(begin).collect();
    Some(Order::InExecutor { tasks, starts_executor, as_group: true })
}

/// Takes what executor and tasks need out of the pool, which the caller puts back if that fails.
fn plan(state: &State, pool: &mut Pool, group: LaunchGroup) -> Result<(Need, Vec<Taken>), Spoiled> {
    let of_all = |reason: String| Spoiled { task: None, reason };
    let executor = group.executor.map_err(of_all)?;
    let need = executors::set_aside(state, pool, &executor).map_err(of_all)?;
    let mut seen = BTreeSet::new();
    let mut taken = Vec::with_capacity(group.tasks.len());
    for task in group.tasks {
        let id = task.id().clone();
        let spoiled = |reason: String| Spoiled { task: Some(id.clone()), reason };
        if !seen.insert(id.clone()) {
            return Err(spoiled(format!("task id {id} stands twice in the group; choose another")));
        }
        let info = match task {
            LaunchTask::Valid(info) => TaskInfo { executor: Some(executor.clone()), ..*info },
            LaunchTask::Invalid { reason, .. } => return Err(spoiled(reason)),
        };
        let info = launches::check(state, pool, info).map_err(spoiled)?;
        taken.push(launches::take(pool, info).map_err(spoiled)?);
    }
    Ok((need, taken))
}

/// Tells that none of the tasks will run, and which of them is why.
fn error(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    pool: &Pool,
    ids: BTreeSet<TaskId>,
    spoiled: &Spoiled,
) {
    let end = (TaskState::Error, Reason::TaskGroupInvalid);
    for id in ids {
        let message = match &spoiled.task {
            Some(other) if *other != id => {
                format!("the group is not launched, because of its task {other}: {}", spoiled.reason)
            }
            Some(_) | None => spoiled.reason.clone(),
        };
        state.counters.count_update(TaskState::Error);
        let task = (id, Some(pool.agent.clone()));
        updates::answer(state, effects, now, &pool.framework, task, end, message);
    }
}
