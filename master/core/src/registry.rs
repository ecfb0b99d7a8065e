//! The durable truth: recovering from it, changing it, keeping it small.
//!
//! Every change goes through `change`, which applies it here and asks the shell to commit it; the shell
//! sends nothing before (INV-10).

use std::sync::Arc;

use lonja_model::maintenance::Duty;
use lonja_model::registry::{AgentRecord, AgentStanding, FrameworkRecord, FrameworkStanding, RegistryOp};
use lonja_model::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Timestamp};

use crate::State;
use crate::agents::{Agent, Presence};
use crate::budget::Budget;
use crate::deadlines::Timer;
use crate::descriptions::Description;
use crate::effects::Effects;
use crate::frameworks::Framework;

/// How often old entries are looked for.
const GC_INTERVAL: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Applies a change and asks for it to be committed.
pub(crate) fn change(state: &mut State, effects: &mut Effects, op: RegistryOp) {
    state.registry.apply(op.clone());
    effects.persist.push(op);
}

/// Records an agent as it is now.
pub(crate) fn put_agent(
    state: &mut State,
    effects: &mut Effects,
    id: &AgentId,
    info: &AgentInfo,
    standing: AgentStanding,
) {
    let duty = duty(state, id).clone();
    let record = AgentRecord { info: info.clone(), standing, duty };
    if state.registry.agents.get(id) != Some(&record) {
        change(state, effects, RegistryOp::Agent(id.clone(), Some(Box::new(record))));
    }
}

/// Whether an agent takes on work. One that nobody knows is active.
pub(crate) fn duty<'s>(state: &'s State, id: &AgentId) -> &'s Duty {
    state.registry.agents.get(id).map_or(&Duty::Active, |record| &record.duty)
}

/// Records a framework as it is now.
pub(crate) fn put_framework(
    state: &mut State,
    effects: &mut Effects,
    id: &FrameworkId,
    info: &FrameworkInfo,
    standing: FrameworkStanding,
) {
    let record = FrameworkRecord { info: info.clone(), standing };
    if state.registry.frameworks.get(id) != Some(&record) {
        change(state, effects, RegistryOp::Framework(id.clone(), Some(Box::new(record))));
    }
}

/// Makes a master's state of what the registry remembers.
pub(crate) fn recover(state: &mut State, now: Timestamp) {
    for (role, weight) in state.registry.weights.clone() {
        state.allocator.set_weight(role, weight).expect("a stored weight is above zero");
    }
    for (role, quota) in state.registry.quotas.clone() {
        state.allocator.set_quota(role, Some(quota));
    }
    for (id, record) in state.registry.agents.clone() {
        let presence = match record.standing {
            AgentStanding::Admitted => Presence::Recovered,
            AgentStanding::Unreachable { since } => Presence::Unreachable { since },
            AgentStanding::Gone { since } => Presence::Gone { since },
        };
        if presence == Presence::Recovered {
            state.deadlines.set(Timer::AgentSilent(id.clone()), now + state.config.agent_reregister_timeout);
        }
        let agent = Agent {
            total: record.info.resources.clone(),
            info: Arc::new(record.info),
            version: String::new(),
            capabilities: std::collections::BTreeSet::new(),
            presence,
            confirmed: false,
            last_heard: now,
            registered: None,
            reregistered: None,
            pings: 0,
        };
        state.agents.insert(id, agent);
    }
    for (id, record) in state.registry.frameworks.clone() {
        let left = match record.standing {
            FrameworkStanding::Connected => record.info.failover_timeout.max(state.config.framework_return),
            FrameworkStanding::Disconnected { left } => left,
            FrameworkStanding::Removed => continue,
        };
        crate::subscription::await_return(state, now, &id, &record.info, left);
        expect_back(state, now, &id, record.info);
    }
    crate::draining::recover(state, now);
    crate::recovery_pause::begin(state, now);
    state.deadlines.set(Timer::RegistryGc, now + GC_INTERVAL);
}

/// Makes room for a framework that is known but not connected. Its deadline is the caller's to set.
pub(crate) fn expect_back(state: &mut State, now: Timestamp, id: &FrameworkId, info: FrameworkInfo) {
    let description = Description::of_absent(info);
    state.allocator.add_framework(id.clone(), description.facts());
    let Description { info, suppressed, constraints } = description;
    state.allocator.deactivate_framework(id);
    let framework = Framework {
        info: Arc::new(info),
        stream: None,
        suppressed,
        constraints,
        registered: None,
        reregistered: None,
        subscribed_by: 0,
        waiting: None,
        counters: Default::default(),
        calls: call_budget(state, now),
    };
    state.frameworks.insert(id.clone(), framework);
}

/// What one framework may call.
pub(crate) fn call_budget(state: &State, now: Timestamp) -> Budget {
    let second = std::time::Duration::from_secs(1);
    Budget::new(now, state.config.call_burst, state.config.calls_per_second, second)
}

/// Forgets unreachable and gone agents and removed frameworks that are too old or too many. An agent that
/// is forgotten while unreachable may still return; one forgotten while gone is refused no longer, so
/// only those past the age go.
pub(crate) fn collect(state: &mut State, effects: &mut Effects, now: Timestamp) {
    state.deadlines.set(Timer::RegistryGc, now + GC_INTERVAL);
    let mut removed: Vec<(Timestamp, AgentId)> = state
        .registry
        .agents
        .iter()
        .filter_map(|(id, record)| match record.standing {
            AgentStanding::Admitted => None,
            AgentStanding::Unreachable { since } | AgentStanding::Gone { since } => Some((since, id.clone())),
        })
        .collect();
    removed.sort_unstable();
    let surplus = removed.len().saturating_sub(state.config.removed_agents);
    for (index, (since, id)) in removed.into_iter().enumerate() {
        if (index < surplus || now.since(since) > state.config.removed_agent_age)
            && state.tasks.on_agent(&id).is_empty()
        {
            change(state, effects, RegistryOp::Agent(id.clone(), None));
            state.agents.forget(&id);
            crate::draining::forget(state, &id);
            crate::feedback::agent_forgotten(state, &id);
        }
    }
    let removed: Vec<FrameworkId> = state
        .registry
        .frameworks
        .iter()
        .filter(|(_, record)| record.standing == FrameworkStanding::Removed)
        .map(|(id, _)| id.clone())
        .collect();
    // Ids of one cluster grow longer before they grow in order: the oldest are the shortest, then the lowest.
    let mut removed = removed;
    removed.sort_by(|a, b| a.as_str().len().cmp(&b.as_str().len()).then_with(|| a.cmp(b)));
    let surplus = removed.len().saturating_sub(state.config.removed_framework_ids);
    for id in removed.into_iter().take(surplus) {
        change(state, effects, RegistryOp::Framework(id, None));
    }
}
