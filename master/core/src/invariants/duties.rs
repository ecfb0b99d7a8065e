//! What always holds of agents that are to be left, and of machines in the maintenance schedule.

use lonja_model::TaskState;
use lonja_model::maintenance::{Duty, MachineMode};

use crate::State;
use crate::agents::Presence;
use crate::{draining, inverse_offers, maintenance, registry};

/// All of them, in order. Errors: the first one broken, in words.
pub(super) fn check(state: &State) -> Result<(), String> {
    only_active_agents_are_offered(state)?;
    drains_go_on(state)?;
    machines(state)?;
    inverse_offers::check(state).map_err(|broken| format!("INV-3: {broken}"))
}

/// INV-10: an agent may be offered if and only if it is there, knows its id for good, and is active by the registry.
fn only_active_agents_are_offered(state: &State) -> Result<(), String> {
    for (id, agent) in state.agents.iter() {
        let duty = registry::duty(state, id);
        let expected = agent.link().is_some() && agent.confirmed && duty.is_active();
        if state.allocator.is_agent_active(id).is_some_and(|active| active != expected) {
            return Err(format!("INV-10: agent {id} is {duty:?}, and the allocator thinks otherwise"));
        }
        if !duty.is_active() && !state.offers.on_agent(id).is_empty() {
            return Err(format!("INV-10: agent {id} is {duty:?} and has an outstanding offer"));
        }
    }
    Ok(())
}

/// INV-23: a draining agent's tasks are being killed, and it is drained as soon as, and only if, nothing is left.
fn drains_go_on(state: &State) -> Result<(), String> {
    for (id, agent) in state.agents.iter() {
        let (drained, drain) = match registry::duty(state, id) {
            Duty::Active | Duty::Deactivated => continue,
            Duty::Draining(drain) => (false, drain),
            Duty::Drained(drain) => (true, drain),
        };
        // After a restart a drained agent is awaited like any other, and nothing is known of it.
        let settled = draining::has_settled(state, id) || (drained && agent.presence == Presence::Recovered);
        if drained != settled {
            return Err(format!("INV-23: agent {id} is called drained: {drained}, has settled: {settled}"));
        }
        if drained && drain.mark_gone && !matches!(agent.presence, Presence::Gone { .. }) {
            return Err(format!("INV-13: agent {id} is drained, was to be gone then, and is not"));
        }
        for (framework, task) in state.tasks.on_agent(id) {
            let Some(known) = state.tasks.get(&framework, &task) else { continue };
            let runs = !known.state.is_terminal() && known.state != TaskState::Unreachable;
            if runs && known.killing.is_none() {
                return Err(format!("INV-23: task {task} is left alone on the draining agent {id}"));
            }
        }
    }
    Ok(())
}

/// Agents connected from a machine that is down are out of use; those of a scheduled one are offered as such.
fn machines(state: &State) -> Result<(), String> {
    for (id, _) in state.agents.iter().filter(|(_, agent)| agent.link().is_some()) {
        let Some((name, machine)) = maintenance::machine_of(state, id) else { continue };
        if machine.mode == MachineMode::Down && registry::duty(state, id).drain().is_none() {
            return Err(format!("INV-10: machine {name} is down, and agent {id} on it is in use"));
        }
    }
    for offer in state.offers.iter() {
        if offer.unavailability != maintenance::unavailability(state, &offer.hostname) {
            return Err(format!("INV-10: offer {} does not say what the schedule says", offer.id));
        }
    }
    Ok(())
}
