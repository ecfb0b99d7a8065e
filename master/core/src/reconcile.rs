//! RECONCILE: where do these tasks stand?
//!
//! Silence is an answer too: while an agent that is known from the registry has not come back, nobody
//! can say what it runs, and the framework asks again (INV-22). So it is while a task's end is known and its
//! agent's update of it is on the way.
//!
//! Source: Mesos v1 scheduler API, RECONCILE.

use lonja_model::task::{Reason, Source};
use lonja_model::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus, Timestamp};

use crate::State;
use crate::agents::Presence;
use crate::effects::Effects;
use crate::updates;

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

fn any_recovering(state: &State) -> bool {
    state.agents.iter().any(|(_, agent)| agent.presence == Presence::Recovered)
}
