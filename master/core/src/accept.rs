//! What an ACCEPT does.
//!
//! All offers of the call end here. Its operations run in order on what they held; what is left over goes
//! back with the call's filter. One that is wrong is skipped, with its reason, and harms no other; a task that
//! needed what it would have made is then wrong as well.
//!
//! What conversions have made and nobody used is held back until the agent has made it durable, and is
//! offered then without a filter (INV-10).
//!
//! Source: Mesos v1 scheduler API, ACCEPT; `docs/invariants.md` INV-2, 3, 15, 16.

use lonja_allocator::overlap;
use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::offer::Filters;
use lonja_model::operation::{Operation, OperationState};
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::task::Reason;
use lonja_model::{
    AgentId, FrameworkId, OfferId, OperationId, OperationUuid, Resources, Role, TaskInfo, TaskState,
    Timestamp,
};

use crate::effects::Effects;
use crate::{State, conversions, feedback, groups, launches, offers, updates, volumes};

/// What the offers of one ACCEPT hold together.
pub(crate) struct Pool {
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) framework: FrameworkId,
    /// What no operation has used yet.
    pub(crate) left: Resources,
    /// The shared volumes among all that it held: any number of tasks may use each.
    pub(crate) shared: Resources,
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
    let mut pool = match check_offers(state, framework, ids) {
        Ok(pool) => pool,
        Err(refusal) => {
            refuse(state, effects, now, framework, ids, operations, &refusal);
            return Err(refusal);
        }
    };
    for id in ids {
        let _ended = state.offers.take(id);
        offers::forget_expiry(state, id);
        state.counters.offers_accepted += 1;
        if let Some(known) = state.frameworks.get_mut(framework) {
            known.counters.offers_accepted += 1;
        }
    }
    keep_one_copy(state, now, &mut pool);
    let Steps { launched, begun, failures } = run(state, effects, now, &mut pool, operations);
    let made_use = !launched.is_empty() || !begun.is_empty();
    send_off(state, effects, &pool, launched);
    withhold(state, &mut pool, &begun);
    if !pool.left.is_empty() {
        let refuse = Some(filters.refuse);
        offers::recover(state, now, &pool.agent, framework, &pool.role, &pool.left, refuse);
    }
    if made_use {
        state.allocator.made_use(&pool.agent, framework, &pool.role);
    }
    failures.into_answer()
}

/// What one launch has for the agent.
pub(crate) enum Order {
    /// Tasks, each for itself.
    Tasks(Vec<TaskInfo>),
    /// Tasks in one executor.
    InExecutor { tasks: Vec<TaskInfo>, starts_executor: bool, as_group: bool },
}

/// Puts a task behind those that go to the agent before it: with them, where they are of a kind.
fn line_up(orders: &mut Vec<Order>, launches::Launched { task, starts_executor }: launches::Launched) {
    match (orders.last_mut(), &task.executor) {
        (Some(Order::Tasks(tasks)), None) => tasks.push(task),
        (Some(Order::InExecutor { tasks, as_group: false, .. }), Some(executor))
            if !starts_executor
                && tasks.first().and_then(|task| task.executor_id()) == Some(&executor.id) =>
        {
            tasks.push(task);
        }
        (_, None) => orders.push(Order::Tasks(vec![task])),
        (_, Some(_)) => {
            orders.push(Order::InExecutor { tasks: vec![task], starts_executor, as_group: false });
        }
    }
}

/// What came of the operations of one call.
#[derive(Default)]
struct Steps {
    launched: Vec<Order>,
    begun: Vec<OperationUuid>,
    failures: Failures,
}

/// Runs the operations in order on the pool.
fn run(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    pool: &mut Pool,
    operations: Vec<Operation>,
) -> Steps {
    let Steps { launched: mut orders, mut begun, mut failures } = Steps::default();
    for (index, operation) in operations.into_iter().enumerate() {
        match operation {
            Operation::Launch(tasks) => {
                for task in tasks {
                    if let Some(launched) = launches::launch(state, effects, now, pool, task) {
                        line_up(&mut orders, launched);
                    }
                }
            }
            Operation::LaunchGroup(group) => {
                orders.extend(groups::launch(state, effects, now, pool, group));
            }
            Operation::Convert { id, conversion } => {
                let name = conversion.name();
                match conversions::begin(state, effects, now, pool, id.clone(), conversion) {
                    Ok(uuid) => begun.push(uuid),
                    Err(refused) => {
                        let refusal = Refusal::new(refused.code(), refused.to_string());
                        skip(state, effects, pool, id, &refusal.message);
                        failures.note(index, name, refusal);
                    }
                }
            }
            Operation::Invalid { id, name, reason } => {
                skip(state, effects, pool, id, &reason);
                failures.note(index, &name, Refusal::new(RefusalCode::InvalidArgument, reason));
            }
            Operation::Unsupported(name) => {
                let refusal = Refusal::new(RefusalCode::Unsupported, "this master does not serve it yet");
                failures.note(index, &name, refusal);
            }
        }
    }
    Steps { launched: orders, begun, failures }
}

/// The operations of one call that were skipped, for its answer.
#[derive(Default)]
struct Failures {
    first: Option<(usize, RefusalCode)>,
    told: Vec<String>,
    more: usize,
}

impl Failures {
    /// As many as are told of one by one.
    const TOLD: usize = 4;

    fn note(&mut self, index: usize, name: &str, refusal: Refusal) {
        self.first.get_or_insert((index, refusal.code));
        if self.told.len() < Self::TOLD {
            self.told.push(format!("operation {index} ({name}): {}", refusal.message));
        } else {
            self.more += 1;
        }
    }

    fn into_answer(self) -> CallResult {
        let Some((index, code)) = self.first else { return Ok(()) };
        let mut message = self.told.join("; ");
        if self.more > 0 {
            message += &format!("; and {} more", self.more);
        }
        message += "; the others were done";
        Err(Refusal { field: Some(format!("accept.operations[{index}]")), ..Refusal::new(code, message) })
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
                pool = Some(Pool {
                    agent: offer.agent.clone(),
                    role: offer.role.clone(),
                    framework: framework.clone(),
                    left: offer.resources.clone(),
                    shared: Resources::new(),
                });
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

/// Several offers may each hold a copy of one shared volume. One is enough: a task that needs a further copy
/// gets it from the allocator.
fn keep_one_copy(state: &mut State, now: Timestamp, pool: &mut Pool) {
    pool.shared = volumes::shared_once(&pool.left);
    if pool.shared.is_empty() {
        return;
    }
    let kept = volumes::each_once(&pool.left);
    let surplus = pool.left.checked_sub(&kept).expect("one copy of each was held");
    if !surplus.is_empty() {
        offers::recover(state, now, &pool.agent, &pool.framework, &pool.role, &surplus, None);
        pool.left = kept;
    }
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
    let agent = ids.iter().find_map(|id| state.offers.get(id)).map(|offer| offer.agent.clone());
    for id in ids {
        if state.offers.get(id).is_some_and(|offer| offer.framework == *framework) {
            offers::give_back(state, now, id, None);
        }
    }
    let end = (not_run(state, framework), Reason::InvalidOffers);
    for operation in operations {
        for task in operation.tasks() {
            // A task that runs under this id is another, and is left alone.
            if state.tasks.get(framework, task.id()).is_none() {
                let meant_for = task.agent().or(agent.as_ref());
                let task = (task.id().clone(), meant_for.cloned());
                updates::answer(state, effects, now, framework, task, end, refusal.message.clone());
            }
        }
        if let Operation::Convert { id, .. } | Operation::Invalid { id, .. } = operation {
            let error = OperationState::Error;
            feedback::answer(state, effects, framework, id, error, agent.as_ref(), &refusal.message);
        }
    }
}

/// How a framework is told that a task never reached an agent.
fn not_run(state: &State, framework: &FrameworkId) -> TaskState {
    let aware =
        state.frameworks.get(framework).is_some_and(|known| known.info.can(Capability::PartitionAware));
    if aware { TaskState::Dropped } else { TaskState::Lost }
}

/// One operation is wrong: its framework is told, if it asked for news of it.
fn skip(state: &mut State, effects: &mut Effects, pool: &Pool, id: Option<OperationId>, message: &str) {
    let (error, agent) = (OperationState::Error, Some(&pool.agent));
    state.counters.count_operation(error);
    feedback::answer(state, effects, &pool.framework, id, error, agent, message);
}

/// Sends the launched tasks to their agent, behind the conversions that they may rest on.
fn send_off(state: &State, effects: &mut Effects, pool: &Pool, orders: Vec<Order>) {
    if orders.is_empty() {
        return;
    }
    let link = state.agents.get(&pool.agent).and_then(|agent| agent.link());
    let link = link.expect("an agent without a link has no outstanding offers");
    let framework = pool.framework.clone();
    let known = state.frameworks.get(&framework).expect("only a known framework accepts");
    for order in orders {
        let (framework, role) = (framework.clone(), pool.role.clone());
        let info = Box::new((*known.info).clone());
        effects.agent(
            link,
            match order {
                Order::Tasks(tasks) => ToAgent::Run { framework, info, role, tasks },
                Order::InExecutor { tasks, starts_executor, as_group } => {
                    ToAgent::RunInExecutor { framework, info, role, tasks, starts_executor, as_group }
                }
            },
        );
    }
}

/// What these operations have made and nobody used stays with them until the agent has answered. Where the
/// offers held some of the same kind already, it cannot be told apart, and no more than was made is kept.
fn withhold(state: &mut State, pool: &mut Pool, begun: &[OperationUuid]) {
    for uuid in begun.iter().rev() {
        let Some(known) = state.operations.get_mut(uuid) else { continue };
        let made = overlap(&pool.left, known.operation.conversion.after());
        pool.left = pool.left.checked_sub(&made).expect("the overlap is a part of both");
        if let Some(hold) = &mut known.hold {
            hold.resources = made;
        }
    }
}
