//! What always holds in a master (`docs/invariants.md`).
//!
//! Each promise is a plain function over the whole state, shared by the property tests and the
//! simulator, and shown by a test to catch its violation.

mod duties;
mod operations;
mod resources;

use lonja_model::{Resources, TaskState};

use crate::State;
use crate::agents::Presence;
use crate::deadlines::Timer;

/// All promises, in order. Errors: the first one broken, in words.
pub(crate) fn check(state: &State) -> Result<(), String> {
    state.allocator.check_invariants().map_err(|broken| broken.to_string())?;
    resources::on_each_agent(state)?;
    resources::no_debt_is_offered(state)?;
    resources::offers_stay_in_their_roles(state)?;
    operations::each_is_awaited(state)?;
    operations::indices_agree(state)?;
    one_stream(state)?;
    timers(state)?;
    offers_have_owners(state)?;
    durable(state)?;
    duties::check(state)
}

/// INV-14 and the same for agents: no stream and no link is shared.
fn one_stream(state: &State) -> Result<(), String> {
    for (id, framework) in state.frameworks.iter() {
        if framework.stream.is_some_and(|stream| state.frameworks.on_stream(stream) != Some(id)) {
            return Err(format!("INV-14: framework {id} and the index of streams disagree"));
        }
    }
    for (id, agent) in state.agents.iter() {
        if agent.link().is_some_and(|link| state.agents.on_link(link) != Some(id)) {
            return Err(format!("INV-9: agent {id} and the index of links disagree"));
        }
    }
    Ok(())
}

/// Nobody is waited for without a deadline (INV-33, INV-37).
fn timers(state: &State) -> Result<(), String> {
    for (id, framework) in state.frameworks.iter() {
        let removal = state.deadlines.get(&Timer::FrameworkRemoval(id.clone()));
        if framework.stream.is_some() == removal.is_some() {
            return Err(format!("INV-37: framework {id}: connected and a removal deadline, or neither"));
        }
    }
    for (id, agent) in state.agents.iter() {
        if agent.is_present() && state.deadlines.get(&Timer::AgentSilent(id.clone())).is_none() {
            return Err(format!("INV-33: nobody watches agent {id}"));
        }
    }
    Ok(())
}

/// INV-24, INV-39: an offer is to a connected framework, of a connected agent.
fn offers_have_owners(state: &State) -> Result<(), String> {
    for offer in state.offers.iter() {
        if state.frameworks.get(&offer.framework).is_none_or(|framework| framework.stream.is_none()) {
            return Err(format!("INV-39: offer {} is to a framework that is not connected", offer.id));
        }
        if state.agents.get(&offer.agent).is_none_or(|agent| agent.link().is_none() || !agent.confirmed) {
            return Err(format!("INV-24: offer {} is of an agent that is not connected", offer.id));
        }
        if offer.resources == Resources::new() {
            return Err(format!("INV-3: offer {} holds nothing", offer.id));
        }
    }
    Ok(())
}

/// INV-10, INV-13: what is in memory is what the registry says.
fn durable(state: &State) -> Result<(), String> {
    use lonja_model::registry::{AgentStanding, FrameworkStanding};
    for (id, agent) in state.agents.iter() {
        let standing = state.registry.agents.get(id).map(|record| record.standing);
        let agrees = match (agent.presence, standing) {
            (
                Presence::Connected(_) | Presence::Disconnected | Presence::Recovered,
                Some(AgentStanding::Admitted),
            ) => true,
            (Presence::Unreachable { since: a }, Some(AgentStanding::Unreachable { since: b })) => a == b,
            (Presence::Gone { since: a }, Some(AgentStanding::Gone { since: b })) => a == b,
            (_, _) => false,
        };
        if !agrees {
            return Err(format!(
                "INV-10: agent {id} is {:?}, the registry says {standing:?}",
                agent.presence
            ));
        }
    }
    for (id, framework) in state.frameworks.iter() {
        let standing = state.registry.frameworks.get(id).map(|record| record.standing);
        let connected = framework.stream.is_some();
        let agrees = match standing {
            Some(FrameworkStanding::Connected) => true,
            Some(FrameworkStanding::Disconnected { .. }) => !connected,
            Some(FrameworkStanding::Removed) | None => false,
        };
        if !agrees {
            return Err(format!(
                "INV-10: framework {id}, connected {connected}, the registry says {standing:?}"
            ));
        }
    }
    if *state.allocator.quotas() != state.registry.quotas {
        return Err("INV-10: the allocator keeps to other quotas than the registry's".to_owned());
    }
    for task in state.tasks.iter() {
        if state.frameworks.get(&task.framework).is_none() {
            return Err(format!("INV-24: task {} belongs to no framework that is known", task.id()));
        }
        let unreachable = state.agents.get(task.agent()).is_none_or(|agent| !agent.is_present());
        if unreachable && !(task.state.is_terminal() || task.state == TaskState::Unreachable) {
            return Err(format!(
                "INV-33: task {} is {} on an agent that is not there",
                task.id(),
                task.state
            ));
        }
    }
    Ok(())
}
