//! Agents that will never return.
//!
//! An operator declares an agent gone, now or once it is drained. Its id stays refused while it is remembered
//! (INV-13); each framework with tasks there hears the end of every one of them: GONE_BY_OPERATOR, or LOST if it does
//! not know that word. Nobody looks whether they have ended in fact: an agent that is there is asked to end them and
//! told to stop, one that is silent may run them on, unwatched.
//!
//! Source: Mesos v1 operator API, MARK_AGENT_GONE.

use std::collections::BTreeSet;

use lonja_model::link::ToAgent;
use lonja_model::maintenance::Duty;
use lonja_model::registry::AgentStanding;
use lonja_model::scheduler::{CallResult, Event, Refusal, RefusalCode};
use lonja_model::task::{Reason, Source};
use lonja_model::{AgentId, FrameworkId, TaskId, TaskState, TaskStatus, Timestamp};

use crate::agents::Presence;
use crate::deadlines::Timer;
use crate::effects::{ClusterEvent, Effects, LinkId, Outbound};
use crate::{State, draining, feedback, inverse_offers, offers, registry, updates};

/// The answer about an agent that nobody knows.
pub(crate) fn not_known(agent: &AgentId) -> CallResult {
    let message = format!("no agent {agent} is known; `lonja agents` lists them");
    Err(Refusal::new(RefusalCode::NotFound, message))
}

/// MARK_AGENT_GONE. Said again it changes nothing.
pub(crate) fn mark_gone(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
) -> CallResult {
    let Some(known) = state.agents.get(agent) else { return not_known(agent) };
    if matches!(known.presence, Presence::Gone { .. }) {
        return Ok(());
    }
    gone(state, effects, now, agent);
    Ok(())
}

/// Declares an agent gone, durably, with all that follows.
pub(crate) fn gone(state: &mut State, effects: &mut Effects, now: Timestamp, id: &AgentId) {
    let Some(agent) = state.agents.get(id) else { return };
    let (info, was_present, link) = (agent.info.clone(), agent.is_present(), agent.link());
    if let Duty::Draining(drain) = *registry::duty(state, id) {
        draining::set_duty(state, effects, now, id, Duty::Drained(drain));
    }
    registry::put_agent(state, effects, id, &info, AgentStanding::Gone { since: now });
    offers::rescind_on(state, effects, now, id);
    state.deadlines.cancel(Timer::Ping(id.clone()));
    state.deadlines.cancel(Timer::AgentSilent(id.clone()));
    state.agents.set_presence(id, Presence::Gone { since: now });
    let tasks = state.tasks.on_agent(id);
    for (framework, task) in &tasks {
        end_task(state, effects, now, id, link, framework, task);
    }
    if let Some(link) = link {
        let reason = format!(
            "agent {id} was declared gone by an operator and its tasks are ended; remove its work dir to register \
             this host as a new agent"
        );
        effects.agent(link, ToAgent::Refused { reason, permanent: true });
        effects.send.push(Outbound::CloseLink(link));
    }
    state.allocator.remove_agent(id);
    state.executors.forget_agent(id);
    feedback::agent_gone(state, effects, now, id);
    inverse_offers::forget_agent(state, id);
    state.counters.agents_gone += 1;
    tell_failure(state, effects, id, tasks.into_iter().map(|(framework, _)| framework).collect());
    if was_present {
        effects.publish.push(ClusterEvent::AgentRemoved(id.clone()));
    }
}

/// Tells a framework how one of its tasks on the lost agent has ended, and forgets it.
fn end_task(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
    link: Option<LinkId>,
    framework: &FrameworkId,
    task: &TaskId,
) {
    let Some(known) = state.tasks.get(framework, task) else { return };
    // An end that is known is told once more, for no agent is left to repeat it until it is acknowledged.
    let ended = known.state.is_terminal();
    let end = if ended { known.state } else { TaskState::GoneByOperator };
    let status = TaskStatus::new(task.clone(), end, Source::Master, now)
        .because(Reason::AgentRemovedByOperator)
        .saying("its agent was declared gone")
        .on(agent.clone());
    if ended {
        updates::deliver(state, effects, framework, status);
        updates::forget(state, framework, task);
        return;
    }
    if let Some(link) = link {
        let (framework, task) = (framework.clone(), task.clone());
        effects.agent(link, ToAgent::Kill { framework, task, grace: None });
    }
    updates::from_master(state, effects, now, framework, status);
}

/// Tells the frameworks that used an agent that it is lost as a whole.
pub(crate) fn tell_failure(
    state: &State,
    effects: &mut Effects,
    agent: &AgentId,
    owners: BTreeSet<FrameworkId>,
) {
    for stream in owners.iter().filter_map(|owner| state.frameworks.get(owner)?.stream) {
        effects.framework(stream, Event::Failure { agent: agent.clone(), executor: None, status: None });
    }
}
