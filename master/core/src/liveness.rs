//! Watching for silence, and the brake that keeps a cut cable from emptying the cluster.
//!
//! Silence shorter than the limit changes nothing. After it the agent is unreachable, durably, and its
//! frameworks are told; its tasks are left alone (INV-33). When most agents are silent together, it is
//! more likely the master that is cut off: then none is removed, and an alert is raised (INV-35). While the master itself
//! was stopped nobody was silent.

use std::collections::BTreeSet;

use lonja_model::link::ToAgent;
use lonja_model::maintenance::Duty;
use lonja_model::registry::AgentStanding;
use lonja_model::task::{Reason, Source};
use lonja_model::{AgentId, TaskState, TaskStatus, Timestamp};

use crate::agents::Presence;
use crate::budget::Budget;
use crate::config::Config;
use crate::deadlines::Timer;
use crate::effects::{ClusterEvent, Effects, Outbound};
use crate::{State, departures, draining, feedback, inverse_offers, offers, registry, updates};

/// What holds removals back.
#[derive(Debug)]
pub(crate) struct Brake {
    budget: Budget,
    /// Whether the alert has been raised for the silence that goes on.
    raised: bool,
}

impl Brake {
    pub(crate) fn new(now: Timestamp, config: &Config) -> Self {
        let budget = Budget::new(now, config.removal_rate, config.removal_rate, config.removal_rate_period);
        Self { budget, raised: false }
    }
}

/// The master has slept if its earliest timer is late by more than a ping interval: it was stopped, or its machine was
/// suspended. What it would have heard meanwhile nobody could tell it, so that time counts against nobody: silence,
/// failover timeouts and offers all go on from where they stood.
pub(crate) fn wake_up(state: &mut State, now: Timestamp) {
    let Some(late) = state.deadlines.next().map(|due| now.since(due)) else { return };
    if late <= state.config.ping_interval {
        return;
    }
    state.deadlines.put_off(late);
    state.agents.forgive(late);
}

/// Agents are asked together with all others of the same part of the interval: to wake up for each of ten thousand
/// costs more than to ask it.
const PARTS_OF_INTERVAL: u32 = 60;

/// Begins to watch an agent that has just registered.
pub(crate) fn watch(state: &mut State, now: Timestamp, agent: &AgentId) {
    let interval = state.config.ping_interval;
    let part = u64::try_from((interval / PARTS_OF_INTERVAL).as_nanos()).unwrap_or(u64::MAX).max(1);
    let due = (now + interval).as_nanos();
    state.deadlines.set(Timer::Ping(agent.clone()), Timestamp::from_nanos(due - due % part));
    state.deadlines.set(Timer::AgentSilent(agent.clone()), now + state.config.silence_limit());
}

/// Asks an agent whether it is there.
pub(crate) fn ping(state: &mut State, effects: &mut Effects, now: Timestamp, id: &AgentId) {
    let Some(agent) = state.agents.get_mut(id) else { return };
    let Some(link) = agent.link() else { return };
    agent.pings += 1;
    effects.agent(link, ToAgent::Ping { sequence: agent.pings });
    state.deadlines.set(Timer::Ping(id.clone()), now + state.config.ping_interval);
}

/// The silence of these agents may have become too long.
pub(crate) fn silent(state: &mut State, effects: &mut Effects, now: Timestamp, agents: Vec<AgentId>) {
    let mut overdue = Vec::new();
    for id in agents {
        let Some(agent) = state.agents.get(&id) else { continue };
        let limit = match agent.presence {
            Presence::Connected(_) | Presence::Disconnected => state.config.silence_limit(),
            Presence::Recovered => state.config.agent_reregister_timeout,
            Presence::Unreachable { .. } | Presence::Gone { .. } => continue,
        };
        // The timer is not moved with every word of the agent; only now is it known how late it is.
        let due = agent.last_heard + limit;
        if due > now {
            state.deadlines.set(Timer::AgentSilent(id), due);
        } else {
            overdue.push(id);
        }
    }
    if overdue.is_empty() {
        return;
    }
    let braked = brakes(state, effects, now);
    for id in overdue {
        if braked || !state.brake.budget.take(now) {
            state.deadlines.set(Timer::AgentSilent(id), now + state.config.ping_interval);
        } else {
            unreachable(state, effects, now, &id);
        }
    }
}

/// Are so many agents silent together that none may be removed?
fn brakes(state: &mut State, effects: &mut Effects, now: Timestamp) -> bool {
    // A drained agent is about to be switched off: its silence says nothing of the network.
    let drained = |id: &AgentId| matches!(registry::duty(state, id), Duty::Drained(_));
    let present = state.agents.iter().filter(|(id, agent)| agent.is_present() && !drained(id)).count();
    let quiet = |agent: &crate::agents::Agent| now.since(agent.last_heard) >= state.config.ping_interval * 2;
    let silent =
        state.agents.iter().filter(|(id, agent)| agent.is_present() && quiet(agent) && !drained(id)).count();
    let percent = usize::try_from(state.config.removal_brake_percent).unwrap_or(100);
    let braked = silent >= state.config.removal_brake_least && silent * 100 > present * percent;
    if braked && !state.brake.raised {
        let alert = format!(
            "{silent} of {present} agents are silent together: none is declared unreachable until at most \
             {percent} % are; check this master's network, or set --removal-brake"
        );
        effects.publish.push(ClusterEvent::Alert(alert));
        state.counters.removal_brakes += 1;
    }
    state.brake.raised = braked;
    braked
}

fn unreachable(state: &mut State, effects: &mut Effects, now: Timestamp, id: &AgentId) {
    let Some(info) = state.agents.get(id).map(|agent| agent.info.clone()) else { return };
    registry::put_agent(state, effects, id, &info, AgentStanding::Unreachable { since: now });
    offers::rescind_on(state, effects, now, id);
    state.deadlines.cancel(Timer::Ping(id.clone()));
    if let Some(link) = state.agents.set_presence(id, Presence::Unreachable { since: now }) {
        effects.send.push(Outbound::CloseLink(link));
    }
    for (framework, task) in state.tasks.on_agent(id) {
        let Some(known) = state.tasks.get(&framework, &task) else { continue };
        if known.state.is_terminal() {
            continue;
        }
        let mut status = TaskStatus::new(task, TaskState::Unreachable, Source::Master, now)
            .because(Reason::AgentRemoved)
            .saying("its agent is silent; the task may still run")
            .on(id.clone());
        status.unreachable_since = Some(now);
        updates::from_master(state, effects, now, &framework, status);
    }
    state.allocator.remove_agent(id);
    state.executors.forget_agent(id);
    feedback::agent_unreachable(state, effects, now, id);
    state.counters.agents_unreachable += 1;
    inverse_offers::forget_agent(state, id);
    draining::look(state, id);
    let owners: BTreeSet<_> = state.tasks.on_agent(id).into_iter().map(|(framework, _)| framework).collect();
    departures::tell_failure(state, effects, id, owners);
    effects.publish.push(ClusterEvent::AgentRemoved(id.clone()));
}
