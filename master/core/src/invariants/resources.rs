//! What always holds of resources on their way between agents, offers, tasks and operations.

use std::collections::BTreeSet;

use lonja_allocator::overlap;
use lonja_model::resources::Quantities;
use lonja_model::{AgentId, Resources};

use crate::State;
use crate::agents::{Agent, Presence};
use crate::{totals, volumes};

/// What holds of each agent for itself, with what is held there looked up once. Errors: the first promise that is
/// broken.
pub(super) fn on_each_agent(state: &State) -> Result<(), String> {
    for (id, agent) in state.agents.iter() {
        let (Some(free), Some(total)) = (state.allocator.agent_free(id), state.allocator.agent_total(id))
        else {
            if matches!(agent.presence, Presence::Connected(_)) {
                return Err(format!("INV-1: agent {id} is connected and unknown to the allocator"));
            }
            continue;
        };
        let counted = Counted { id, agent, free, total, held: held(state, id) };
        let owes = state.allocator.debt(id).is_some_and(|debt| !debt.is_empty());
        if !owes {
            conservation(&counted)?;
        }
        books_agree(state, &counted)?;
        total_is_confirmed(state, &counted)?;
        volumes_exist_once(&counted, owes)?;
        if !owes {
            nothing_unconfirmed_is_offered(state, &counted)?;
        }
    }
    Ok(())
}

/// An agent that the allocator knows.
struct Counted<'a> {
    id: &'a AgentId,
    agent: &'a Agent,
    free: &'a Resources,
    total: &'a Resources,
    held: Vec<&'a Resources>,
}

/// Everything on the agent that somebody holds: offers, tasks that have not ended, operations that are pending,
/// executors.
fn held<'a>(state: &'a State, agent: &AgentId) -> Vec<&'a Resources> {
    let offers = state.offers.on_agent(agent);
    let offered = offers.iter().filter_map(|offer| state.offers.get(offer)).map(|offer| &offer.resources);
    let tasks = state.tasks.on_agent(agent);
    let tasks = tasks.iter().filter_map(|(framework, task)| state.tasks.get(framework, task));
    let used = tasks.filter(|task| !task.state.is_terminal()).map(|task| &task.info.resources);
    let holds = state.operations.on_agent(agent).filter_map(|known| known.hold.as_ref());
    let executors = state.executors.on_agent(agent).map(|executor| &executor.info.resources);
    offered.chain(used).chain(holds.map(|hold| &hold.resources)).chain(executors).collect()
}

/// Shared volumes may be held by many, and are counted apart.
fn unshared(resources: &Resources) -> Resources {
    resources.filter(|resource| !resource.metadata().shared)
}

/// INV-1: on every agent that the allocator knows, offered + held by tasks and operations + free = total, exactly;
/// only a debt, from an agent that came back smaller, may stand above.
fn conservation(Counted { id, free, total, held, .. }: &Counted<'_>) -> Result<(), String> {
    if held.is_empty() && free == total {
        return Ok(());
    }
    let mut sum = unshared(free);
    for part in held {
        let lost = part.iter().find(|one| one.metadata().shared && !volumes::contains(total, one));
        if let Some(lost) = lost {
            return Err(format!("INV-1: agent {id} does not have {lost}, which is held"));
        }
        sum = sum.checked_add(&unshared(part)).map_err(|error| format!("INV-1: agent {id}: {error}"))?;
    }
    if sum != unshared(total) {
        return Err(format!("INV-1: agent {id} has {total}, but parts sum to {sum}"));
    }
    Ok(())
}

/// INV-1, INV-4: what the allocator charges on an agent is what offers, tasks and operations hold, debt or not.
fn books_agree(state: &State, Counted { id, held, .. }: &Counted<'_>) -> Result<(), String> {
    let Some(charged) = state.allocator.agent_allocated(id) else { return Ok(()) };
    let mut known = Quantities::default();
    held.iter().for_each(|part| known.add(&unshared(part).quantities()));
    let mut counted = Quantities::default();
    charged.layers().for_each(|layer| counted.add(&unshared(layer).quantities()));
    if known != counted {
        return Err(format!("INV-4: on agent {id} {counted} is charged, and {known} is held"));
    }
    Ok(())
}

/// INV-10: an agent's total is what it said last, with the conversions that are on their way to it.
fn total_is_confirmed(state: &State, Counted { id, agent, total, .. }: &Counted<'_>) -> Result<(), String> {
    if totals::expected(state, id).as_ref() != Some(total) {
        return Err(format!("INV-10: agent {id} said {}, and is counted with {total}", agent.total));
    }
    Ok(())
}

/// INV-10: nothing is free or offered that its agent has not said it has: what conversions make is not, before they
/// are durable. (A shared volume may be used by many at once, so that none of them can hold it back.)
fn nothing_unconfirmed_is_offered(
    state: &State,
    Counted { id, agent, free, .. }: &Counted<'_>,
) -> Result<(), String> {
    let offers = state.offers.on_agent(id);
    let mut open = unshared(free);
    for offer in offers.iter().filter_map(|offer| state.offers.get(offer)) {
        let sum = open.checked_add(&unshared(&offer.resources));
        open = sum.map_err(|error| format!("INV-1: agent {id}: {error}"))?;
    }
    if !agent.total.contains(&open) {
        return Err(format!("INV-10: agent {id} said {}, and {open} is free or offered", agent.total));
    }
    Ok(())
}

/// INV-8: a volume exists once, and has one holder unless it is shared. A task on a volume that its agent could not make
/// holds it, as a debt, until the agent has dropped the task.
fn volumes_exist_once(Counted { id, total, held, .. }: &Counted<'_>, owes: bool) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = volumes::of(total).find(|volume| !seen.insert(volumes::key(volume))) {
        return Err(format!("INV-8: agent {id} has volume {} twice", volumes::name_of(twice)));
    }
    if owes {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    let held = held.iter().flat_map(|part| volumes::of(part));
    let mut unshared = held.filter(|volume| !volume.metadata().shared);
    if let Some(twice) = unshared.find(|volume| !seen.insert(volumes::key(volume))) {
        return Err(format!("INV-8: on agent {id} volume {} is held twice", volumes::name_of(twice)));
    }
    Ok(())
}

/// INV-2: nothing is offered that its agent does not have any more.
pub(super) fn no_debt_is_offered(state: &State) -> Result<(), String> {
    for offer in state.offers.iter() {
        let Some(debt) = state.allocator.debt(&offer.agent) else { continue };
        if let Some(layer) = debt.layers().find(|layer| !overlap(layer, &offer.resources).is_empty()) {
            return Err(format!("INV-2: offer {} is of what its agent does not have: {layer}", offer.id));
        }
    }
    Ok(())
}

/// INV-8: what is reserved is offered only for its role and those below it.
pub(super) fn offers_stay_in_their_roles(state: &State) -> Result<(), String> {
    for offer in state.offers.iter() {
        if offer.resources.usable_by(&offer.role) != offer.resources {
            return Err(format!(
                "INV-8: offer {} is for {}, and holds {}",
                offer.id, offer.role, offer.resources
            ));
        }
    }
    Ok(())
}
