//! What an ACCEPT does.
//!
//! All offers of the call end here. Its operations run in order on what they held; what is left over goes
//! back with the call's filter. One bad task harms no other.
//!
//! Source: Mesos v1 scheduler API, ACCEPT; `docs/invariants.md` INV-2, 3, 15, 16.

use std::sync::Arc;

use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::task::Reason;
use lonja_model::{AgentId, FrameworkId, OfferId, Resources, Role, TaskId, TaskInfo, TaskState, Timestamp};

use crate::effects::{ClusterEvent, Effects};
use crate::tasks::Task;
use crate::{State, offers, updates, validate};

/// What the offers of one ACCEPT hold together.
struct Pool {
    agent: AgentId,
    role: Role,
    left: Resources,
}

/// ACCEPT.
pub(crate) fn accept(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    ids: &[OfferId],
    operations: Vec<Operation>,
    filters: Filters,
) -> CallResult {
    let pool = match check_offers(state, framework, ids) {
        Ok(pool) => pool,
        Err(refusal) => {
            refuse(state, effects, now, framework, ids, operations, &refusal);
            return Err(refusal);
        }
    };
    for id in ids {
        let _ended = state.offers.take(id);
        state.deadlines.cancel(crate::deadlines::Timer::OfferExpiry(id.clone()));
        state.counters.offers_accepted += 1;
    }
    let mut pool = pool;
    let mut launched = Vec::new();
    let mut unsupported = None;
    for operation in operations {
        match operation {
            Operation::Launch(tasks) => {
                for task in tasks {
                    launched.extend(launch(state, effects, now, framework, &mut pool, task));
                }
            }
            Operation::Convert { conversion, .. } => unsupported = Some(conversion.name().to_owned()),
            Operation::Invalid { name, .. } => unsupported = Some(name),
            Operation::Unsupported(name) => unsupported = Some(name),
        }
    }
    send_off(state, effects, framework, &pool, launched);
    if !pool.left.is_empty() {
        let refuse = Some(filters.refuse).filter(|refuse| !refuse.is_zero());
        offers::recover(state, now, &pool.agent, framework, &pool.role, &pool.left, refuse);
    }
    match unsupported {
        None => Ok(()),
        Some(name) => {
            let message = format!("this master does not serve operation {name} yet; the others were done");
            Err(Refusal {
                field: Some("accept.operations".into()),
                ..Refusal::new(RefusalCode::Unsupported, message)
            })
        }
    }
}

/// All offers must be outstanding, the framework's, and of one agent and one role.
fn check_offers(state: &State, framework: &FrameworkId, ids: &[OfferId]) -> Result<Pool, Refusal> {
    let refuse = |index: usize, code, message: String| {
        Err(Refusal { field: Some(format!("accept.offer_ids[{index}]")), ..Refusal::new(code, message) })
    };
    let mut pool: Option<Pool> = None;
    for (index, id) in ids.iter().enumerate() {
        if ids[..index].contains(id) {
            return refuse(
                index,
                RefusalCode::InvalidArgument,
                format!("offer {id} stands twice in one ACCEPT"),
            );
        }
        // Another's offer is answered like none at all: its existence is not this framework's business.
        let Some(offer) = state.offers.get(id).filter(|offer| offer.framework == *framework) else {
            let message = format!(
                "offer {id} is not outstanding for this framework: it was answered, rescinded or has expired; \
                 wait for the next offer"
            );
            return refuse(index, RefusalCode::NotFound, message);
        };
        match &mut pool {
            None => {
                let (agent, role) = (offer.agent.clone(), offer.role.clone());
                pool = Some(Pool { agent, role, left: offer.resources.clone() });
            }
            Some(pool) if pool.agent != offer.agent || pool.role != offer.role => {
                let message = format!("offer {id} is of another agent or role than {}", ids[0]);
                return refuse(index, RefusalCode::InvalidArgument, message);
            }
            Some(pool) => {
                let sum = pool.left.checked_add(&offer.resources);
                pool.left = sum.expect("two offers on one agent do not overlap");
            }
        }
    }
    pool.ok_or_else(|| {
        let message = "ACCEPT needs at least one offer";
        Refusal {
            field: Some("accept.offer_ids".into()),
            ..Refusal::new(RefusalCode::InvalidArgument, message)
        }
    })
}

/// The call as a whole is refused: the framework's own offers in it go back unfiltered, its tasks will not run.
fn refuse(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    ids: &[OfferId],
    operations: Vec<Operation>,
    refusal: &Refusal,
) {
    for id in ids {
        if state.offers.get(id).is_some_and(|offer| offer.framework == *framework) {
            offers::give_back(state, now, id, None);
        }
    }
    let end = (not_run(state, framework), Reason::InvalidOffers);
    for operation in operations {
        let Operation::Launch(tasks) = operation else { continue };
        for task in tasks {
            let id = match task {
                LaunchTask::Valid(info) => info.id,
                LaunchTask::Invalid { task, .. } => task,
            };
            // A task that runs under this id is another, and is left alone.
            if state.tasks.get(framework, &id).is_none() {
                updates::answer(state, effects, now, framework, id, end, refusal.message.clone());
            }
        }
    }
}

/// How a framework is told that a task never reached an agent.
fn not_run(state: &State, framework: &FrameworkId) -> TaskState {
    let aware =
        state.frameworks.get(framework).is_some_and(|known| known.info.can(Capability::PartitionAware));
    if aware { TaskState::Dropped } else { TaskState::Lost }
}

/// Takes one task's resources out of the pool and makes its record, or answers TASK_ERROR.
fn launch(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    pool: &mut Pool,
    task: LaunchTask,
) -> Option<TaskInfo> {
    let mut error = |state: &mut State, id: TaskId, message: String| {
        let end = (TaskState::Error, Reason::TaskInvalid);
        state.counters.count_update(TaskState::Error);
        updates::answer(state, effects, now, framework, id, end, message);
    };
    let info = match task {
        LaunchTask::Valid(info) => *info,
        LaunchTask::Invalid { task, reason } => {
            error(state, task, reason);
            return None;
        }
    };
    if state.tasks.get(framework, &info.id).is_some() {
        let message = format!("task id {} is in use by a task that has not ended; choose another", info.id);
        error(state, info.id, message);
        return None;
    }
    if let Err(message) = validate::task(&info, &pool.agent) {
        error(state, info.id, message);
        return None;
    }
    let Some(left) = pool.left.checked_sub(&info.resources) else {
        let message = format!(
            "task {} needs {}, and the offers hold {} for it; ask for less or accept more offers",
            info.id, info.resources, pool.left
        );
        error(state, info.id, message);
        return None;
    };
    pool.left = left;
    let record = Arc::new(Task {
        framework: framework.clone(),
        role: pool.role.clone(),
        info: Arc::new(info.clone()),
        state: TaskState::Staging,
        statuses: Vec::new(),
        awaiting: None,
        killing: None,
        container: None,
        since: now,
    });
    state.tasks.insert(record.clone());
    state.counters.tasks_launched += 1;
    effects.publish.push(ClusterEvent::TaskAdded(record));
    Some(info)
}

/// Sends the launched tasks to their agent.
fn send_off(
    state: &State,
    effects: &mut Effects,
    framework: &FrameworkId,
    pool: &Pool,
    tasks: Vec<TaskInfo>,
) {
    if tasks.is_empty() {
        return;
    }
    let link = state.agents.get(&pool.agent).and_then(|agent| agent.link());
    let link = link.expect("an agent without a link has no outstanding offers");
    let known = state.frameworks.get(framework).expect("only a known framework accepts");
    let (info, role) = (Box::new((*known.info).clone()), pool.role.clone());
    effects.agent(link, ToAgent::Run { framework: framework.clone(), info, role, tasks });
}
