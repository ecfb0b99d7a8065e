//! RECONCILE: where do these tasks stand?
//!
//! Silence is an answer too: while an agent that is known from the registry has not come back, nobody
//! can say what it runs, and the framework asks again (INV-22). So it is while a task's end is known and its
//! agent's update of it is on the way.
//!
//! Source: Mesos v1 scheduler API, RECONCILE.

use lonja_model::operation::{OperationState, OperationStatus};
use lonja_model::task::{Reason, Source};
use lonja_model::{AgentId, FrameworkId, OperationId, TaskId, TaskState, TaskStatus, Timestamp};

use crate::State;
use crate::agents::Presence;
use crate::effects::Effects;
use crate::{feedback, updates};

/// RECONCILE: of the named tasks, or of all that are known and have not ended.
pub(crate) fn reconcile(
    state: &State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    tasks: Vec<(TaskId, Option<AgentId>)>,
) {
    if tasks.is_empty() {
        let live = |task: &&_| -> bool {
            let task: &std::sync::Arc<crate::tasks::Task> = task;
            !task.state.is_terminal() && task.state != TaskState::Unreachable
        };
        for task in state.tasks.of_framework(framework).filter(live) {
            if let Some(status) = updates::last_word(task, now) {
                updates::deliver(state, effects, framework, status);
            }
        }
    }
    for (task, agent) in tasks {
        explicit(state, effects, now, framework, &task, agent.as_ref());
    }
}

/// Says where one task stands, or keeps silent if that cannot be known yet.
pub(crate) fn explicit(
    state: &State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    task: &TaskId,
    agent: Option<&AgentId>,
) {
    if let Some(known) = state.tasks.get(framework, task) {
        if let Some(status) = updates::last_word(known, now) {
            updates::deliver(state, effects, framework, status);
        }
        return;
    }
    let presence = agent.map(|agent| state.agents.get(agent).map(|agent| agent.presence));
    let (unknown, since) = match presence {
        Some(Some(Presence::Recovered)) => return,
        Some(Some(Presence::Connected(_) | Presence::Disconnected)) => (TaskState::Gone, None),
        Some(Some(Presence::Unreachable { since })) => (TaskState::Unreachable, Some(since)),
        Some(Some(Presence::Gone { .. })) => (TaskState::GoneByOperator, None),
        Some(None) => (TaskState::Unknown, None),
        None if any_recovering(state) => return,
        None => (TaskState::Unknown, None),
    };
    let mut status = TaskStatus::new(task.clone(), unknown, Source::Master, now)
        .because(Reason::Reconciliation)
        .saying("the master does not know this task");
    status.agent = agent.cloned();
    status.unreachable_since = since;
    updates::deliver(state, effects, framework, status);
}

/// RECONCILE_OPERATIONS: of the named operations, or of all that are known and have an id.
///
/// Source: Mesos v1 scheduler API, RECONCILE_OPERATIONS.
pub(crate) fn operations(
    state: &State,
    effects: &mut Effects,
    framework: &FrameworkId,
    operations: Vec<(OperationId, Option<AgentId>)>,
) {
    if operations.is_empty() {
        for known in state.operations.of_framework(framework).filter(|known| known.operation.id.is_some()) {
            let status = OperationStatus { update: None, ..known.status.clone() };
            feedback::deliver(state, effects, framework, status);
        }
    }
    for (id, agent) in operations {
        let known: Vec<_> =
            state.operations.named(framework, &id).map(|known| known.status.clone()).collect();
        if known.is_empty() {
            let (stands, message) = unknown_operation(state, agent.as_ref());
            feedback::answer(state, effects, framework, Some(id), stands, agent.as_ref(), message);
        }
        for status in known {
            feedback::deliver(state, effects, framework, OperationStatus { update: None, ..status });
        }
    }
}

/// What can be said of an operation that the master has no record of.
fn unknown_operation(state: &State, agent: Option<&AgentId>) -> (OperationState, &'static str) {
    let recovering =
        (OperationState::Recovering, "an agent that may know of it is not back yet; ask again later");
    let unknown = (OperationState::Unknown, "the master does not know this operation");
    let Some(agent) = agent else {
        return if any_recovering(state) { recovering } else { unknown };
    };
    match state.agents.get(agent).map(|agent| agent.presence) {
        Some(Presence::Recovered) => recovering,
        Some(Presence::Unreachable { .. }) => (OperationState::Unreachable, "its agent is silent"),
        Some(Presence::Gone { .. }) => {
            (OperationState::GoneByOperator, "an operator declared its agent gone")
        }
        Some(Presence::Connected(_) | Presence::Disconnected) | None => unknown,
    }
}

fn any_recovering(state: &State) -> bool {
    state.agents.iter().any(|(_, agent)| agent.presence == Presence::Recovered)
}
