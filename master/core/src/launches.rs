//! The tasks of an ACCEPT: each takes what it needs out of the pool, or is answered by TASK_ERROR.
//!
//! - Several tasks may use one shared volume of the pool: each after the first is charged a copy of its own.
//!   Any other volume has one user.
//! - A task may ask for GPUs by number, as Mesos does; it gets whole devices by name (`docs/design.md`, D5).
//!
//! Source: Mesos v1 scheduler API, ACCEPT, validation of tasks; `docs/invariants.md` INV-2, 16.

use std::sync::Arc;

use lonja_model::agent::AgentCapability;
use lonja_model::operation::LaunchTask;
use lonja_model::resources::{Devices, Resource, Scalar, Value};
use lonja_model::task::Reason;
use lonja_model::{Resources, TaskId, TaskInfo, TaskState, Timestamp};

use crate::accept::Pool;
use crate::conversions::or_nothing;
use crate::effects::{ClusterEvent, Effects};
use crate::executors::Need;
use crate::tasks::Task;
use crate::{State, executors, updates, validate, volumes};

/// The name of what is counted in whole devices.
const GPUS: &str = "gpus";

/// A task that goes to its agent.
pub(crate) struct Launched {
    pub(crate) task: TaskInfo,
    /// Its executor is started with it.
    pub(crate) starts_executor: bool,
}

/// Takes one task's resources out of the pool and makes its record, or answers TASK_ERROR.
pub(crate) fn launch(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    pool: &mut Pool,
    task: LaunchTask,
) -> Option<Launched> {
    let info = match task {
        LaunchTask::Valid(info) => *info,
        LaunchTask::Invalid { task, reason } => {
            error(state, effects, now, pool, task, reason);
            return None;
        }
    };
    let id = info.id.clone();
    let before = pool.left.clone();
    let taken = check(state, pool, info).and_then(|info| {
        executors::check_alone(&info)?;
        let executor = info.executor.as_deref();
        let need = executor.map(|executor| executors::set_aside(state, pool, executor)).transpose()?;
        Ok((take(pool, info)?, need.unwrap_or(Need::Nothing)))
    });
    let (taken, need) = match taken {
        Ok(taken) => taken,
        Err(message) => {
            pool.left = before;
            error(state, effects, now, pool, id, message);
            return None;
        }
    };
    let starts_executor = need.starts();
    executors::begin(state, need);
    Some(Launched { task: begin(state, effects, now, pool, taken), starts_executor })
}

/// The launch of a task goes ahead: makes its record.
pub(crate) fn begin(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    pool: &Pool,
    Taken { info, copies }: Taken,
) -> TaskInfo {
    if !copies.is_empty() {
        let charged = state.allocator.charge(&pool.agent, &pool.framework, &pool.role, &copies);
        charged.expect("an agent with offers is known to the allocator");
    }
    let record = Arc::new(Task {
        framework: pool.framework.clone(),
        role: pool.role.clone(),
        info: Arc::new(info.clone()),
        state: TaskState::Staging,
        statuses: Vec::new(),
        awaiting: None,
        killing: None,
        drained: false,
        container: None,
        since: now,
    });
    state.tasks.insert(record.clone());
    state.counters.tasks_launched += 1;
    effects.publish.push(ClusterEvent::TaskAdded(record));
    info
}

fn error(state: &mut State, effects: &mut Effects, now: Timestamp, pool: &Pool, id: TaskId, message: String) {
    let end = (TaskState::Error, Reason::TaskInvalid);
    state.counters.count_update(TaskState::Error);
    let task = (id, Some(pool.agent.clone()));
    updates::answer(state, effects, now, &pool.framework, task, end, message);
}

/// May the task be launched as far as it can be said without looking at what the offers hold? Errors: why not.
pub(crate) fn check(state: &State, pool: &Pool, info: TaskInfo) -> Result<TaskInfo, String> {
    if state.tasks.get(&pool.framework, &info.id).is_some() {
        return Err(format!("task id {} is in use by a task that has not ended; choose another", info.id));
    }
    validate::task(&info, &pool.agent)?;
    let agent = state.agents.get(&pool.agent);
    if !info.limits.is_empty()
        && !agent.is_some_and(|agent| agent.capabilities.contains(&AgentCapability::TaskResourceLimits))
    {
        return Err(format!(
            "task {} has limits apart from what it asks for, and agent {} cannot hold it to them (capability \
             TASK_RESOURCE_LIMITS); leave them out, or bring the agent up to date",
            info.id, pool.agent
        ));
    }
    let mixed = info.resources.iter().find(|one| {
        let other = |other: &&Resource| other.name() == one.name() && !other.metadata().revocable;
        one.metadata().revocable && info.resources.iter().any(|resource| other(&resource))
    });
    if let Some(mixed) = mixed {
        return Err(format!(
            "task {} asks for {} both revocable and not; ask for one kind of it",
            info.id,
            mixed.name()
        ));
    }
    Ok(info)
}

/// A task for which resources were taken out of the pool.
pub(crate) struct Taken {
    pub(crate) info: TaskInfo,
    /// Further copies of shared volumes, to be charged when the launch goes ahead.
    copies: Resources,
}

/// Takes what the task needs out of the pool. Errors: what is missing; nothing is taken.
pub(crate) fn take(pool: &mut Pool, mut info: TaskInfo) -> Result<Taken, String> {
    if let Some(resources) = with_devices(&info, &pool.left)? {
        info.resources = resources;
    }
    let copies = further_copies(&info, pool)?;
    if copies.is_empty() {
        pool.left = rest(&pool.left, &info)?;
        return Ok(Taken { info, copies });
    }
    let held = pool.left.checked_add(&copies).map_err(|error| error.to_string())?;
    pool.left = rest(&held, &info)?;
    Ok(Taken { info, copies })
}

/// What the task leaves of what is held. Errors: what is missing.
fn rest(held: &Resources, info: &TaskInfo) -> Result<Resources, String> {
    held.checked_sub(&info.resources).ok_or_else(|| {
        let missing = info.resources.iter().find(|one| volumes::is_volume(one) && !holds(held, one));
        match missing {
            Some(volume) => format!(
                "task {} uses volume {}, and the offers hold no such volume for it: {volume}",
                info.id,
                volumes::name_of(volume)
            ),
            None => format!(
                "task {} needs {}, and the offers hold {} for it; ask for less or accept more offers",
                info.id,
                info.resources,
                or_nothing(held)
            ),
        }
    })
}

fn holds(resources: &Resources, one: &Resource) -> bool {
    Resources::of([one.clone()]).is_ok_and(|one| resources.contains(&one))
}

/// The shared volumes that the task uses and of which the pool's copy is in use already.
fn further_copies(info: &TaskInfo, pool: &Pool) -> Result<Resources, String> {
    let mut copies = Resources::new();
    for volume in info.resources.iter().filter(|resource| resource.metadata().shared) {
        if volume.copies() > 1 {
            let name = volumes::name_of(volume);
            return Err(format!(
                "task {} names volume {name} {} times; once is enough",
                info.id,
                volume.copies()
            ));
        }
        if holds(&pool.shared, volume) && !holds(&pool.left, volume) {
            let one = Resources::of([volume.clone()]).map_err(|error| error.to_string())?;
            copies = copies.checked_add(&one).map_err(|error| error.to_string())?;
        }
    }
    Ok(copies)
}

/// What the task needs, with whole devices of the pool in the place of a number of GPUs; `None`: as it is.
fn with_devices(info: &TaskInfo, pool: &Resources) -> Result<Option<Resources>, String> {
    let is_number = |one: &Resource| one.name() == GPUS && matches!(one.value(), Value::Scalar(_));
    if !info.resources.iter().any(is_number) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for resource in info.resources.iter() {
        let devices = devices_like(pool, resource);
        match (resource.value(), devices) {
            (Value::Scalar(amount), Some(devices)) if resource.name() == GPUS => {
                let taken = whole_devices(info, *amount, devices)?;
                let metadata = resource.metadata().clone();
                let one = Resource::with_metadata(GPUS, Value::Devices(taken), metadata);
                all.push(one.map_err(|error| error.to_string())?);
            }
            (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_), _) => {
                all.push(resource.clone());
            }
        }
    }
    Resources::of(all).map(Some).map_err(|error| error.to_string())
}

/// The pool's devices of the same kind as `resource`, reservations and all.
fn devices_like<'a>(pool: &'a Resources, resource: &Resource) -> Option<&'a Devices> {
    let like = |one: &&Resource| one.name() == resource.name() && one.metadata() == resource.metadata();
    match pool.iter().find(like)?.value() {
        Value::Devices(devices) => Some(devices),
        Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) => None,
    }
}

fn whole_devices(info: &TaskInfo, amount: Scalar, devices: &Devices) -> Result<Devices, String> {
    let whole = u64::from(Devices::WHOLE);
    if !amount.thousandths().is_multiple_of(whole) {
        return Err(format!(
            "task {} asks for {amount} gpus; ask for a whole number, or for a share of one as gpus:{{ID:THOUSANDTHS}}",
            info.id
        ));
    }
    let count = usize::try_from(amount.thousandths() / whole).unwrap_or(usize::MAX);
    devices.take_whole(count).ok_or_else(|| {
        format!(
            "task {} needs {count} whole gpus, and the offers hold {} of them: {devices}",
            info.id,
            devices.whole()
        )
    })
}
