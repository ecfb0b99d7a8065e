//! What an agent has in all: as it said last, and as it will be once what is on its way is done.
//!
//! The agent's word is the truth, for its checkpoint is where reservations and volumes live; it is kept with the
//! agent and shown. The allocator counts with what will be: that word, and on top of it the conversions that the
//! agent has not answered yet, in the order in which they were sent.
//!
//! An agent's total in a message holds exactly the conversions whose outcomes it has sent on that link up to and
//! with that message.
//!
//! Source: `docs/invariants.md` INV-8, 10.

use lonja_allocator::overlap;
use lonja_model::resources::{Disk, ReservationKind, Resource};
use lonja_model::{AgentId, OfferId, Resources, Timestamp};

use crate::effects::Effects;
use crate::{State, offers};

/// Can this be what an agent has that was configured with `configured`? Without all that was made since,
/// it must be the same. Errors: how it differs, and what to do.
pub(crate) fn check(configured: &Resources, total: &Resources) -> Result<(), String> {
    let plain: Result<Vec<Resource>, _> = total.iter().map(as_configured).collect();
    let plain = plain.map_err(|error| error.to_string())?;
    let plain = Resources::of(plain).map_err(|error| error.to_string())?;
    if plain == *configured {
        return Ok(());
    }
    Err(format!(
        "an agent with {configured} cannot have {total}: without reservations and volumes made since, that is \
         {plain}; restore its settings, or remove its work dir to register it as a new agent"
    ))
}

/// The resource as it was before anything was reserved or stored.
fn as_configured(resource: &Resource) -> Result<Resource, lonja_model::resources::InvalidResource> {
    let mut metadata = resource.metadata().clone();
    metadata.reservations.retain(|reservation| reservation.kind == ReservationKind::Static);
    if metadata.disk.as_ref().is_some_and(|disk| disk.persistence.is_some()) {
        let source = metadata.disk.take().and_then(|disk| disk.source);
        metadata.disk = source.map(|source| Disk { source: Some(source), ..Disk::default() });
        metadata.shared = false;
    }
    Resource::with_metadata(resource.name(), resource.value().clone(), metadata)
}

/// What the agent will have once all that is on its way to it is done. What cannot be done will be refused by the
/// agent, and is left out.
pub(crate) fn expected(state: &State, agent: &AgentId) -> Option<Resources> {
    let total = state.agents.get(agent)?.total.clone();
    let pending = state.operations.on_agent(agent).filter(|known| known.is_pending());
    Some(pending.fold(total, |total, known| known.operation.conversion.apply(&total).unwrap_or(total)))
}

/// Has the allocator count with what is expected now; offers of what is no more are rescinded.
pub(crate) fn settle(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId) {
    let Some(expected) = expected(state, agent) else { return };
    if state.allocator.agent_total(agent).is_none_or(|counted| *counted == expected) {
        return;
    }
    state.allocator.update_agent_total(agent, expected);
    for offer in offers_of_debt(state, agent) {
        offers::rescind(state, effects, now, &offer, None);
    }
}

/// The offers on the agent that hold some of what it does not have.
fn offers_of_debt(state: &State, agent: &AgentId) -> Vec<OfferId> {
    let Some(debt) = state.allocator.debt(agent).filter(|debt| !debt.is_empty()) else { return Vec::new() };
    let missing = |offer: &OfferId| {
        let offer = state.offers.get(offer);
        offer.is_some_and(|offer| debt.layers().any(|layer| !overlap(&offer.resources, layer).is_empty()))
    };
    state.offers.on_agent(agent).into_iter().filter(missing).collect()
}
