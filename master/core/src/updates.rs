//! Status updates: from agents to frameworks, and acknowledgements back.
//!
//! The master holds no queue. An agent sends the oldest unacknowledged update of each task until its
//! framework has acknowledged it; the master passes both on and keeps the latest state (INV-19).
//!
//! Invariants
//! - A task's resources are given back when its state first becomes terminal, once (INV-4).
//! - A task is forgotten only when its terminal update is acknowledged.

use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::scheduler::{CallResult, Event, Refusal, RefusalCode};
use lonja_model::task::{Reason, Source};
use lonja_model::{AgentId, FrameworkId, FrameworkInfo, TaskId, TaskState, TaskStatus, Timestamp, UpdateId};

use crate::effects::{ClusterEvent, Effects, LinkId};
use crate::{State, draining, offers, totals, validate};

/// An agent tells of a task.
#[expect(clippy::too_many_arguments, reason = "the message, taken apart, and where it came from")]
pub(crate) fn from_agent(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    agent: &AgentId,
    framework: &FrameworkId,
    mut status: TaskStatus,
    mut latest: TaskState,
) {
    if !validate::an_agent_may_say(status.state) || !validate::an_agent_may_say(latest) {
        // The master's own words for silence are not an agent's to say; it is not followed into nonsense.
        return;
    }
    draining::retell(state, agent, framework, &mut status, &mut latest);
    status.agent = Some(agent.clone());
    let task = status.task.clone();
    if state.tasks.get(framework, &task).is_none_or(|known| known.agent() != agent) {
        // Nobody waits for it: its framework is removed, or has acknowledged all there was. Let the agent forget.
        if let Some(update) = status.update {
            acknowledge_to(effects, link, framework, &task, update);
        }
        return;
    }
    state.counters.count_valid(Some("status_update"));
    learn_state(state, now, framework, &task, latest);
    let Some(known) = state.tasks.get_mut(framework, &task) else { return };
    let unacknowledged = status.update.is_none() && latest.is_terminal();
    let is_new = known.awaiting.map(|(update, _)| update) != status.update;
    known.awaiting = status.update.map(|update| (update, status.state));
    known.container = status.container.clone().or(known.container.take());
    known.remember(status.clone());
    if is_new {
        count(state, framework, &status);
        let status = Box::new(status.clone());
        effects.publish.push(ClusterEvent::TaskUpdated {
            framework: framework.clone(),
            state: latest,
            status,
        });
    }
    deliver(state, effects, framework, status);
    if unacknowledged {
        // The agent kept no record of the task, so nothing will be acknowledged.
        forget(state, framework, &task);
    }
}

/// The master itself tells of a task that it knows.
pub(crate) fn from_master(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    status: TaskStatus,
) {
    let (task, new) = (status.task.clone(), status.state);
    note(state, effects, now, framework, &status);
    deliver(state, effects, framework, status);
    if new.is_terminal() {
        // Nothing will be acknowledged: the master's own word carries no id.
        forget(state, framework, &task);
    }
}

/// Keeps what the master itself knows of a task, and tells those who watch the cluster; the framework hears nothing.
pub(crate) fn note(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    status: &TaskStatus,
) {
    learn_state(state, now, framework, &status.task, status.state);
    if let Some(known) = state.tasks.get_mut(framework, &status.task) {
        known.remember(status.clone());
    }
    count(state, framework, status);
    effects.publish.push(ClusterEvent::TaskUpdated {
        framework: framework.clone(),
        state: status.state,
        status: Box::new(status.clone()),
    });
}

fn count(state: &mut State, framework: &FrameworkId, status: &TaskStatus) {
    state.counters.count_status(status);
    if let Some(known) = state.frameworks.get_mut(framework).filter(|_| status.state.is_terminal()) {
        *known.counters.endings.entry(status.state).or_default() += 1;
    }
}

/// A task's agent is back from silence: what it reports holds, also over a state that was called final.
pub(crate) fn returned(
    state: &mut State,
    effects: &mut Effects,
    framework: &FrameworkId,
    status: TaskStatus,
) {
    if let Some(known) = state.tasks.get_mut(framework, &status.task) {
        known.state = status.state;
        known.remember(status.clone());
    }
    let told = Box::new(status.clone());
    effects.publish.push(ClusterEvent::TaskUpdated {
        framework: framework.clone(),
        state: status.state,
        status: told,
    });
    // A terminal state comes again from the agent, with an id to acknowledge.
    if !status.state.is_terminal() {
        deliver(state, effects, framework, status);
    }
}

/// Moves a task to `new` if it may become that, and gives its resources back if it has ended.
pub(crate) fn learn_state(
    state: &mut State,
    now: Timestamp,
    framework: &FrameworkId,
    task: &TaskId,
    new: TaskState,
) {
    let Some(known) = state.tasks.get_mut(framework, task) else { return };
    if !known.state.may_become(new) {
        return;
    }
    let held = !known.state.is_terminal() && known.state != TaskState::Unreachable;
    known.state = new;
    if new.is_terminal() && held {
        let (agent, role, resources) =
            (known.agent().clone(), known.role.clone(), known.info.resources.clone());
        offers::recover(state, now, &agent, framework, &role, &resources, None);
        // It may have ended before the volume that it was to use was made.
        totals::hold_what_is_being_made(state, &agent);
    }
}

/// ACKNOWLEDGE.
pub(crate) fn acknowledge(
    state: &mut State,
    effects: &mut Effects,
    framework: &FrameworkId,
    agent: &AgentId,
    task: &TaskId,
    update: UpdateId,
) -> CallResult {
    let nothing = |why: String| Err(Refusal::new(RefusalCode::NotFound, why));
    let Some(known) = state.tasks.get_mut(framework, task) else {
        return nothing(format!("task {task} has no update that waits for an acknowledgement"));
    };
    let Some((awaited, about)) = known.awaiting.filter(|(awaited, _)| *awaited == update) else {
        return nothing(format!("task {task} does not wait for update {update} to be acknowledged"));
    };
    if known.agent() != agent {
        return nothing(format!("task {task} is on agent {}, not on {agent}", known.agent()));
    }
    let Some(link) = state.agents.get(agent).and_then(|agent| agent.link()) else {
        return nothing(format!("agent {agent} is not connected; it will send the update again"));
    };
    known.awaiting = None;
    acknowledge_to(effects, link, framework, task, awaited);
    if about.is_terminal() {
        forget(state, framework, task);
    }
    Ok(())
}

/// Lets a task go into history.
pub(crate) fn forget(state: &mut State, framework: &FrameworkId, task: &TaskId) {
    if let Some(ended) = state.tasks.remove(framework, task) {
        assert!(ended.state.is_terminal(), "only an ended task is forgotten");
        draining::look(state, ended.agent());
        state.history.task_ended(ended);
    }
}

fn acknowledge_to(
    effects: &mut Effects,
    link: LinkId,
    framework: &FrameworkId,
    task: &TaskId,
    update: UpdateId,
) {
    let (framework, task) = (framework.clone(), task.clone());
    effects.agent(link, ToAgent::Acknowledge { framework, task, update });
}

/// Sends a status to a framework that is connected, in words that it knows.
pub(crate) fn deliver(state: &State, effects: &mut Effects, framework: &FrameworkId, status: TaskStatus) {
    let Some(framework) = state.frameworks.get(framework) else { return };
    let Some(stream) = framework.stream else { return };
    effects.framework(stream, Event::Update(Box::new(shape(&framework.info, status))));
}

/// A status in words that the framework knows: without PARTITION_AWARE, LOST stands for all that came later.
fn shape(framework: &FrameworkInfo, mut status: TaskStatus) -> TaskStatus {
    if !framework.can(Capability::PartitionAware) {
        status.state = match status.state {
            TaskState::Unreachable
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => TaskState::Lost,
            known @ (TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost) => known,
        };
    }
    status
}

/// Answers for a task that was never launched on the agent that it was meant for, as far as that is known.
pub(crate) fn answer(
    state: &State,
    effects: &mut Effects,
    now: Timestamp,
    framework: &FrameworkId,
    (task, agent): (TaskId, Option<AgentId>),
    end: (TaskState, Reason),
    message: impl Into<String>,
) {
    let mut status = TaskStatus::new(task, end.0, Source::Master, now).because(end.1).saying(message);
    status.agent = agent;
    deliver(state, effects, framework, status);
}

/// The last word on a known task, as an answer to a question. `None` while its end is known and not yet told: the
/// agent's own update is the answer then, in its place after those before it and with all it has to say (INV-19).
pub(crate) fn last_word(task: &crate::tasks::Task, now: Timestamp) -> Option<TaskStatus> {
    let told = task.last_status().is_some_and(|last| last.state == task.state);
    if task.state.is_terminal() && !told {
        return None;
    }
    let mut status = TaskStatus::new(task.id().clone(), task.state, Source::Master, now)
        .because(Reason::Reconciliation)
        .on(task.agent().clone());
    if let Some(last) = task.last_status() {
        status.message = last.message.clone();
        status.healthy = last.healthy;
        status.container = last.container.clone();
        status.pid = last.pid;
        status.unreachable_since = last.unreachable_since;
        status.limitation.clone_from(&last.limitation);
        status.labels = last.labels.clone();
        status.check = last.check;
    }
    Some(status)
}
