//! How operations went: from agents to frameworks and operators, and acknowledgements back.
//!
//! An agent sends each outcome until it is acknowledged. Where nobody asked for news the master acknowledges at
//! once; else the framework does, by the update's id. The master keeps no queue: a framework that is away finds
//! its outcomes when it is back.
//!
//! Invariants
//! - What was held for an operation comes back when it is no longer pending, once (INV-4).
//! - The agent's record decides: what it has none of when it comes back was never done.
//!
//! Source: Mesos v1 scheduler API, UPDATE_OPERATION_STATUS; `docs/invariants.md` INV-10, 19, 21.

use std::collections::BTreeSet;
use std::sync::Arc;

use lonja_model::link::ToAgent;
use lonja_model::operation::{OperationRecord, OperationState, OperationStatus};
use lonja_model::scheduler::{CallResult, Event, Refusal, RefusalCode};
use lonja_model::{AgentId, FrameworkId, OperationId, OperationUuid, Resources, Timestamp, UpdateId};

use crate::effects::{ClusterEvent, Effects, LinkId, Outbound, RequestId};
use crate::operations::KnownOperation;
use crate::{State, draining, offers, registration, snapshot, totals};

/// An agent tells how an operation went.
pub(crate) fn from_agent(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    agent: &AgentId,
    record: OperationRecord,
    total: Resources,
) {
    let Some(known) = state.agents.get_mut(agent) else { return };
    if let Err(reason) = totals::check(&known.info.resources, &total) {
        return registration::refuse(effects, link, reason, false);
    }
    if !an_agent_may_say(record.status.state) {
        // The master's own words are not an agent's to say; it is not followed into nonsense.
        return;
    }
    let before = std::mem::replace(&mut known.total, total);
    let changed = before != known.total;
    let as_expected = went_as_expected(state, agent, &record, &before);
    learn(state, effects, now, link, agent, record);
    if !as_expected {
        totals::settle(state, effects, now, agent);
    }
    if changed && let Some(view) = snapshot::agent(state, agent) {
        effects.publish.push(ClusterEvent::AgentUpdated(Arc::new(view)));
    }
}

/// Is this the outcome that the allocator counts with already? Then its total need not be looked at.
fn went_as_expected(state: &State, agent: &AgentId, record: &OperationRecord, before: &Resources) -> bool {
    let next = state.operations.on_agent(agent).find(|known| known.is_pending());
    let (Some(next), Some(agent)) = (next, state.agents.get(agent)) else { return false };
    next.uuid() == record.operation.uuid
        && record.status.state == OperationState::Finished
        && totals::done(before, &next.operation.conversion).is_some_and(|after| after == agent.total)
}

/// The outcomes that an agent can know.
pub(crate) fn an_agent_may_say(state: OperationState) -> bool {
    match state {
        OperationState::Finished
        | OperationState::Failed
        | OperationState::Error
        | OperationState::Dropped => true,
        OperationState::Pending
        | OperationState::Unreachable
        | OperationState::GoneByOperator
        | OperationState::Recovering
        | OperationState::Unknown => false,
    }
}

/// An agent has come back with its records; the allocator counts with its total already.
pub(crate) fn returned(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    agent: &AgentId,
    records: Vec<OperationRecord>,
) {
    let mut missing: BTreeSet<OperationUuid> =
        state.operations.on_agent(agent).map(|known| known.uuid()).collect();
    for record in records {
        missing.remove(&record.operation.uuid);
        learn(state, effects, now, link, agent, record);
    }
    for uuid in missing {
        match state.operations.get(&uuid).map(|known| known.status.state) {
            Some(OperationState::Pending | OperationState::Unreachable) => {
                let message = "its agent came back without it; nothing is changed";
                end(state, effects, now, &uuid, OperationState::Dropped, message);
            }
            // The agent has forgotten it, so its outcome was acknowledged.
            Some(_) | None => {
                state.operations.remove(&uuid);
            }
        }
    }
}

/// Takes an outcome in, whether the operation is known or was asked for by an earlier master.
fn learn(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    agent: &AgentId,
    record: OperationRecord,
) {
    let OperationRecord { operation, status } = record;
    let uuid = operation.uuid;
    let told = status.state;
    match state.operations.get(&uuid) {
        Some(known) if known.agent != *agent => return,
        Some(_) => {}
        None if state.operations.count_on_agent(agent) >= state.config.max_operations => {
            // Its agent tells it again, and there may be room by then (INV-45).
            return;
        }
        None => {
            let status = OperationStatus { state: OperationState::Unknown, ..status.clone() };
            let agent = agent.clone();
            let known = KnownOperation { agent, operation, status, hold: None, waiting: None, since: now };
            state.operations.insert(known);
        }
    }
    let Some(known) = state.operations.get_mut(&uuid) else { return };
    let is_new = known.status.state != told;
    let id = known.operation.id.clone();
    known.status = OperationStatus { operation: id, agent: Some(agent.clone()), ..status };
    if is_new {
        tell_all(state, effects, now, &uuid);
    }
    let Some(known) = state.operations.get(&uuid) else { return };
    let asked = known.operation.framework.as_ref().filter(|_| known.operation.id.is_some());
    let status = known.status.clone();
    let framework = asked.filter(|asked| state.frameworks.get(asked).is_some()).cloned();
    if let Some(framework) = &framework {
        deliver(state, effects, framework, status.clone());
    }
    if framework.is_none() || status.update.is_none() {
        acknowledge_to(effects, link, uuid);
        state.operations.remove(&uuid);
    }
}

/// An operation stands elsewhere than before: what was held for it comes back, and all but its framework are told.
fn tell_all(state: &mut State, effects: &mut Effects, now: Timestamp, uuid: &OperationUuid) {
    let Some(known) = state.operations.get_mut(uuid) else { return };
    let (hold, waiting, agent) = (known.hold.take(), known.waiting.take(), known.agent.clone());
    let (status, record) = (known.status.clone(), known.record());
    if let Some(hold) = hold.filter(|hold| !hold.resources.is_empty()) {
        offers::recover(state, now, &agent, &hold.framework, &hold.role, &hold.resources, None);
    }
    if let Some(request) = waiting {
        answer_operator(effects, request, &agent, &status);
    }
    draining::look(state, &agent);
    state.counters.count_operation(status.state);
    effects.publish.push(ClusterEvent::OperationUpdated(record));
}

/// The master itself says where an operation stands; unless its agent may still tell, that is the last word.
fn end(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    uuid: &OperationUuid,
    new: OperationState,
    message: &str,
) {
    let Some(known) = state.operations.get_mut(uuid) else { return };
    known.status.state = new;
    known.status.message = Some(message.to_owned());
    known.status.update = None;
    tell_all(state, effects, now, uuid);
    let Some(known) = state.operations.get(uuid).cloned() else { return };
    let framework = known.operation.framework.as_ref().filter(|_| known.operation.id.is_some());
    if let Some(framework) = framework {
        deliver(state, effects, framework, known.status.clone());
    }
    let may_be_asked_for = framework.is_some_and(|framework| state.frameworks.get(framework).is_some());
    if new.is_terminal() || !may_be_asked_for {
        state.operations.remove(uuid);
    }
}

/// The agent has been silent for too long, and the allocator no longer counts it. What is on its way to it may be
/// done or not.
pub(crate) fn agent_unreachable(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId) {
    let pending = state.operations.on_agent(agent).filter(|known| known.is_pending());
    for uuid in pending.map(|known| known.uuid()).collect::<Vec<_>>() {
        let message = "its agent is silent; it may be done or not";
        end(state, effects, now, &uuid, OperationState::Unreachable, message);
    }
}

/// The agent will never return, and the allocator no longer counts it.
pub(crate) fn agent_gone(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId) {
    for uuid in state.operations.on_agent(agent).map(|known| known.uuid()).collect::<Vec<_>>() {
        let open = state.operations.get(&uuid).is_some_and(|known| !known.status.state.is_terminal());
        if open {
            let message = "an operator declared its agent gone";
            end(state, effects, now, &uuid, OperationState::GoneByOperator, message);
        }
        state.operations.remove(&uuid);
    }
}

/// The agent is no longer remembered.
pub(crate) fn agent_forgotten(state: &mut State, agent: &AgentId) {
    for uuid in state.operations.on_agent(agent).map(|known| known.uuid()).collect::<Vec<_>>() {
        state.operations.remove(&uuid);
    }
}

/// The framework is no more, and its tasks' resources are free: nobody else will acknowledge. What is on its way goes on
/// without it, and returns what is held for it with its outcome.
pub(crate) fn framework_removed(state: &mut State, effects: &mut Effects, framework: &FrameworkId) {
    let ended = state.operations.of_framework(framework).filter(|known| !known.is_pending());
    for uuid in ended.map(|known| known.uuid()).collect::<Vec<_>>() {
        let Some(known) = state.operations.remove(&uuid) else { continue };
        let link = state.agents.get(&known.agent).and_then(|agent| agent.link());
        if let Some(link) = link.filter(|_| known.status.state.is_terminal()) {
            acknowledge_to(effects, link, uuid);
        }
    }
    let pending: Vec<OperationUuid> =
        state.operations.of_framework(framework).map(|known| known.uuid()).collect();
    for uuid in pending {
        totals::hold_again(state, &uuid);
    }
}

/// The framework is back: it wants the outcomes that it has not acknowledged now, not after the agents' back-off.
pub(crate) fn framework_returned(state: &State, effects: &mut Effects, framework: &FrameworkId) {
    for known in state.operations.of_framework(framework).filter(|known| known.awaiting().is_some()) {
        deliver(state, effects, framework, known.status.clone());
    }
}

/// ACKNOWLEDGE_OPERATION_STATUS.
pub(crate) fn acknowledge(
    state: &mut State,
    effects: &mut Effects,
    framework: &FrameworkId,
    agent: Option<&AgentId>,
    id: &OperationId,
    update: UpdateId,
) -> CallResult {
    let nothing = |why: String| Err(Refusal::new(RefusalCode::NotFound, why));
    let known = state.operations.named(framework, id).find(|known| known.awaiting() == Some(update));
    let Some(known) = known else {
        return nothing(format!("operation {id} does not wait for update {update} to be acknowledged"));
    };
    if let Some(other) = agent.filter(|agent| **agent != known.agent) {
        return nothing(format!("operation {id} is of agent {}, not of {other}", known.agent));
    }
    let Some(link) = state.agents.get(&known.agent).and_then(|agent| agent.link()) else {
        return nothing(format!("agent {} is not connected; it will send the status again", known.agent));
    };
    let uuid = known.uuid();
    acknowledge_to(effects, link, uuid);
    state.operations.remove(&uuid);
    Ok(())
}

/// Says where an operation stands that the master has no record of, or that is wrong in itself, if its framework
/// asked for news.
pub(crate) fn answer(
    state: &State,
    effects: &mut Effects,
    framework: &FrameworkId,
    id: Option<OperationId>,
    stands: OperationState,
    agent: Option<&AgentId>,
    message: &str,
) {
    let Some(id) = id else { return };
    let status = OperationStatus {
        operation: Some(id),
        state: stands,
        message: Some(message.to_owned()),
        converted: Resources::new(),
        update: None,
        agent: agent.cloned(),
    };
    deliver(state, effects, framework, status);
}

/// Sends a status to a framework that is connected.
pub(crate) fn deliver(
    state: &State,
    effects: &mut Effects,
    framework: &FrameworkId,
    status: OperationStatus,
) {
    if let Some(stream) = state.frameworks.get(framework).and_then(|framework| framework.stream) {
        effects.framework(stream, Event::OperationUpdate(Box::new(status)));
    }
}

fn acknowledge_to(effects: &mut Effects, link: LinkId, operation: OperationUuid) {
    effects.agent(link, ToAgent::AcknowledgeOperation { operation });
}

fn answer_operator(effects: &mut Effects, request: RequestId, agent: &AgentId, status: &OperationStatus) {
    let why = status.message.as_deref().unwrap_or("it did not say why");
    let conflict = |message: String| Err(Refusal::new(RefusalCode::Conflict, message));
    let result = match status.state {
        OperationState::Finished => Ok(()),
        OperationState::Failed | OperationState::Error | OperationState::Dropped => {
            conflict(format!("agent {agent} did not do it: {why}"))
        }
        OperationState::Pending
        | OperationState::Unreachable
        | OperationState::GoneByOperator
        | OperationState::Recovering
        | OperationState::Unknown => conflict(format!(
            "agent {agent} was lost before it answered; the outcome is unknown, look with `lonja reservations`"
        )),
    };
    effects.send.push(Outbound::Operator(request, result));
}
