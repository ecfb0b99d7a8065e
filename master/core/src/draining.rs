//! Agents that are to be left: deactivated, draining, drained.
//!
//! Every agent has a [`Duty`] in the registry, whatever its standing. An agent that is not active is not offered and
//! has no outstanding offers; while it is draining its tasks are killed, those too that come back with it later; it
//! is drained once nothing is left to settle: no task that has not ended, and no end that its framework has not
//! acknowledged. Then nothing is lost by switching the host off. A drained agent with `mark_gone` is
//! [gone](crate::departures) at once.
//!
//! Invariants
//! - The duty is durable before anything is said of it or done for it; restarts and absences do not end a drain.
//! - An agent that is there and drained has no tasks; if it comes back with some it is draining again.
//! - An unreachable agent is drained at once, for nobody knows what it runs.
//!
//! Where this differs from Mesos: maintenance and draining are one model (see [`maintenance`]);
//! and a drain can be called off while it goes on. What was asked to end before that ends all the same, for a kill
//! cannot be called back; what is spared is the agent, and with it all that is launched from then on.
//!
//! Source: Mesos v1 operator API, DRAIN_AGENT, DEACTIVATE_AGENT, REACTIVATE_AGENT; `docs/invariants.md` INV-10, 23.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::maintenance::{Drain, Duty};
use lonja_model::registry::RegistryOp;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::task::Reason;
use lonja_model::{AgentId, FrameworkId, TaskState, TaskStatus, Timestamp};

use crate::agents::Presence;
use crate::effects::{ClusterEvent, Effects};
use crate::tasks::Task;
use crate::{State, departures, inverse_offers, maintenance, offers, registry, snapshot};

/// What is remembered of drains beside the registry.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    /// When each drain began; after a restart of the master, when the master did.
    started: BTreeMap<AgentId, Timestamp>,
    /// Agents that may have become drained by what just happened.
    look: BTreeSet<AgentId>,
}

impl Drains {
    /// When this agent's drain began, as far as this master knows.
    pub(crate) fn started(&self, agent: &AgentId) -> Option<Timestamp> {
        self.started.get(agent).copied()
    }
}

/// Takes up the drains that the registry remembers.
pub(crate) fn recover(state: &mut State, now: Timestamp) {
    let drained = state.registry.agents.iter().filter(|(_, record)| record.duty.drain().is_some());
    state.drains.started = drained.map(|(id, _)| (id.clone(), now)).collect();
}

/// DRAIN_AGENT. Said again it replaces how.
pub(crate) fn drain(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
    drain: Drain,
) -> CallResult {
    known(state, agent)?;
    if let Some((machine, _)) = maintenance::machine_of(state, agent) {
        let message = format!(
            "agent {agent} is on machine {machine}, which is in the maintenance schedule: take the machine out of the \
             schedule, or start its maintenance, which drains its agents"
        );
        return Err(Refusal::new(RefusalCode::InvalidArgument, message));
    }
    begin(state, effects, now, agent, drain);
    Ok(())
}

/// DEACTIVATE_AGENT. Said again it changes nothing.
pub(crate) fn deactivate(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
) -> CallResult {
    known(state, agent)?;
    if registry::duty(state, agent).drain().is_some() {
        let message =
            format!("agent {agent} is drained, which is more than deactivated; reactivate it first");
        return Err(Refusal::new(RefusalCode::Conflict, message));
    }
    set_duty(state, effects, now, agent, Duty::Deactivated);
    Ok(())
}

/// REACTIVATE_AGENT: the way back from all of them.
pub(crate) fn reactivate(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
) -> CallResult {
    known(state, agent)?;
    let conflict = |message: String| Err(Refusal::new(RefusalCode::Conflict, message));
    if registry::duty(state, agent).is_active() {
        return conflict(format!("agent {agent} is active; there is nothing to undo"));
    }
    if let Some(machine) = maintenance::down(state, agent) {
        return conflict(format!(
            "agent {agent} is on machine {machine}, which is down; `lonja maintenance stop {machine}` takes both back"
        ));
    }
    set_duty(state, effects, now, agent, Duty::Active);
    Ok(())
}

/// An agent that is known and not gone.
fn known(state: &State, agent: &AgentId) -> CallResult {
    match state.agents.get(agent).map(|agent| agent.presence) {
        Some(Presence::Gone { .. }) => {
            let message = format!("agent {agent} was declared gone, and that is for ever");
            Err(Refusal::new(RefusalCode::Conflict, message))
        }
        Some(
            Presence::Connected(_)
            | Presence::Disconnected
            | Presence::Recovered
            | Presence::Unreachable { .. },
        ) => Ok(()),
        None => departures::not_known(agent),
    }
}

/// The agent is to be emptied from now on.
pub(crate) fn begin(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId, drain: Drain) {
    set_duty(state, effects, now, agent, Duty::Draining(drain));
    kill_all(state, effects, agent, drain.max_grace);
    look(state, agent);
}

/// Gives an agent another duty, durably, and does at once what follows from it for offers.
pub(crate) fn set_duty(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
    duty: Duty,
) {
    let Some(record) = state.registry.agents.get(agent).filter(|record| record.duty != duty) else { return };
    let mut record = Box::new(record.clone());
    record.duty = duty;
    match &record.duty {
        Duty::Active | Duty::Deactivated => {
            state.drains.started.remove(agent);
        }
        Duty::Draining(_) | Duty::Drained(_) => {
            state.drains.started.entry(agent.clone()).or_insert(now);
        }
    }
    registry::change(state, effects, RegistryOp::Agent(agent.clone(), Some(record)));
    allow_offers(state, agent);
    if !registry::duty(state, agent).is_active() {
        offers::rescind_on(state, effects, now, agent);
    }
    inverse_offers::touch(state, agent);
    publish(state, effects, agent);
}

/// Lets the allocator offer the agent, or not: it must be there, know its id for good, and be on duty.
pub(crate) fn allow_offers(state: &mut State, agent: &AgentId) {
    let on_duty = registry::duty(state, agent).is_active();
    if state.agents.get(agent).is_some_and(|agent| agent.link().is_some() && agent.confirmed && on_duty) {
        state.allocator.activate_agent(agent);
    } else {
        state.allocator.deactivate_agent(agent);
    }
}

/// Asks for every task on the agent to be ended that has not ended.
fn kill_all(state: &mut State, effects: &mut Effects, agent: &AgentId, max_grace: Option<Duration>) {
    let link = state.agents.get(agent).and_then(|agent| agent.link());
    for (framework, task) in state.tasks.on_agent(agent) {
        let Some(known) = state.tasks.get_mut(&framework, &task) else { continue };
        if known.state.is_terminal() {
            continue;
        }
        let grace = capped(known, max_grace);
        known.killing = Some(grace);
        known.drained = true;
        if let Some(link) = link {
            effects.agent(link, ToAgent::Kill { framework, task, grace });
        }
    }
}

/// The grace period of a task, at most `longest`; `None`: as the task and its agent have it.
fn capped(task: &Task, longest: Option<Duration>) -> Option<Duration> {
    let asked = task.killing.flatten();
    match (asked.or(task.info.kill_grace), longest) {
        (Some(own), Some(longest)) => Some(own.min(longest)),
        (None, Some(longest)) => Some(longest),
        (_, None) => asked,
    }
}

/// An agent is back, and its tasks are known: what its duty and its machine want of it goes on.
pub(crate) fn returned(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId) {
    let is_down = maintenance::down(state, agent).is_some();
    match registry::duty(state, agent).clone() {
        Duty::Active | Duty::Deactivated if is_down => begin(state, effects, now, agent, Drain::default()),
        Duty::Draining(drain) => begin(state, effects, now, agent, drain),
        Duty::Drained(drain) if state.tasks.is_any_on(agent) => begin(state, effects, now, agent, drain),
        Duty::Active | Duty::Deactivated | Duty::Drained(_) => {}
    }
    allow_offers(state, agent);
    inverse_offers::touch(state, agent);
}

/// Something has ended on the agent, or the agent itself: it may have become drained. Cheap for agents that are not
/// draining.
pub(crate) fn look(state: &mut State, agent: &AgentId) {
    if matches!(registry::duty(state, agent), Duty::Draining(_)) {
        state.drains.look.insert(agent.clone());
    }
}

/// Calls those agents drained that have become so.
pub(crate) fn settle(state: &mut State, effects: &mut Effects, now: Timestamp) {
    while let Some(agent) = state.drains.look.pop_first() {
        let Duty::Draining(drain) = *registry::duty(state, &agent) else { continue };
        if !has_settled(state, &agent) {
            continue;
        }
        set_duty(state, effects, now, &agent, Duty::Drained(drain));
        state.counters.agents_drained += 1;
        if drain.mark_gone {
            departures::gone(state, effects, now, &agent);
        }
    }
}

/// Is nothing left to settle with the agent? While it is awaited after a restart nobody knows.
pub(crate) fn has_settled(state: &State, agent: &AgentId) -> bool {
    match state.agents.get(agent).map(|agent| agent.presence) {
        Some(Presence::Connected(_) | Presence::Disconnected) => {
            let converting = state.operations.on_agent(agent).any(|known| known.is_pending());
            !state.tasks.is_any_on(agent) && !converting
        }
        Some(Presence::Recovered) => false,
        Some(Presence::Unreachable { .. } | Presence::Gone { .. }) | None => true,
    }
}

/// Puts what an agent says of a task's end into the words of its drain: the task was killed because its agent is
/// drained, or, for a framework that knows the word, is gone with it. What was told before is told again in the same
/// words, also if the drain was called off since: an end is final (INV-17). So is why a task was killed: once a drain has
/// asked for its end, that end is the drain's, however early it is called off.
pub(crate) fn retell(
    state: &State,
    agent: &AgentId,
    framework: &FrameworkId,
    status: &mut TaskStatus,
    latest: &mut TaskState,
) {
    let known = state.tasks.get(framework, &status.task);
    let told = known.and_then(|task| {
        task.statuses.iter().find(|told| told.update.is_some() && told.update == status.update)
    });
    if let Some(told) = told {
        if *latest == status.state {
            *latest = told.state;
        }
        (status.state, status.reason) = (told.state, told.reason);
    }
    let drain = match registry::duty(state, agent) {
        Duty::Draining(drain) => Some(drain),
        Duty::Active | Duty::Deactivated | Duty::Drained(_) => None,
    };
    if (drain.is_some() || known.is_some_and(|task| task.drained))
        && matches!(status.state, TaskState::Killing | TaskState::Killed)
        && matches!(status.reason, None | Some(Reason::TaskKilledDuringLaunch))
    {
        status.reason = Some(Reason::AgentDraining);
    }
    let Some(drain) = drain else { return };
    let aware =
        state.frameworks.get(framework).is_some_and(|known| known.info.can(Capability::PartitionAware));
    // Told once as killed it stays killed, though the drain may have another aim by now.
    if drain.mark_gone && aware && told.is_none_or(|told| told.state != TaskState::Killed) {
        for told in [&mut status.state, latest] {
            if *told == TaskState::Killed {
                *told = TaskState::GoneByOperator;
            }
        }
    }
}

fn publish(state: &State, effects: &mut Effects, agent: &AgentId) {
    if let Some(view) = snapshot::agent(state, agent) {
        effects.publish.push(ClusterEvent::AgentUpdated(Arc::new(view)));
    }
}

/// The agent is forgotten.
pub(crate) fn forget(state: &mut State, agent: &AgentId) {
    state.drains.started.remove(agent);
}
