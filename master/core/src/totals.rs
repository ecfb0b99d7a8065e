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
use lonja_model::operation::{Conversion, ConversionKind};
use lonja_model::resources::{Disk, ReservationKind, Resource};
use lonja_model::{AgentId, OfferId, OperationUuid, Resources, Timestamp};

use crate::effects::Effects;
use crate::{State, offers, volumes};

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
    Some(pending.fold(total, |total, known| done(&total, &known.operation.conversion).unwrap_or(total)))
}

/// What an agent with `total` has once it has done this; `None`: it will refuse, for want of what it takes or because
/// it has a volume of that id already.
pub(crate) fn done(total: &Resources, conversion: &Conversion) -> Option<Resources> {
    let is_new = conversion.kind() == ConversionKind::Create;
    let exists = is_new && volumes::of(conversion.after()).any(|volume| volumes::contains(total, volume));
    if exists { None } else { conversion.apply(total) }
}

/// Has the allocator count with what is expected now; offers of what is no more are rescinded.
pub(crate) fn settle(state: &mut State, effects: &mut Effects, now: Timestamp, agent: &AgentId) {
    let Some(expected) = expected(state, agent) else { return };
    let Some(counted) = state.allocator.agent_total(agent) else { return };
    if *counted != expected {
        state.allocator.update_agent_total(agent, expected);
        for offer in offers_of_debt(state, agent) {
            offers::rescind(state, effects, now, &offer, None);
        }
    }
    // One that has failed leaves what it would have taken of another's, which is not durable either; so it may be even
    // where the sum is the same.
    hold_what_is_being_made(state, agent);
}

/// Has each operation that is on its way to the agent hold what it makes, as far as that is free.
pub(crate) fn hold_what_is_being_made(state: &mut State, agent: &AgentId) {
    let pending = state.operations.on_agent(agent).filter(|known| known.is_pending());
    for uuid in pending.map(|known| known.uuid()).collect::<Vec<_>>() {
        hold_again(state, &uuid);
    }
}

/// What was to use what an operation makes is no more before that is durable: what is free of it is held for the
/// operation again. It cannot be told from what was there before, so that at most as much as is made may be held in
/// excess, until the agent has answered.
pub(crate) fn hold_again(state: &mut State, uuid: &OperationUuid) {
    let Some(known) = state.operations.get(uuid) else { return };
    let (Some(hold), Some(free)) = (&known.hold, state.allocator.agent_free(&known.agent)) else { return };
    let made = known.operation.conversion.after().filter(|resource| !resource.metadata().shared);
    let used = made.checked_sub(&overlap(&made, &hold.resources)).expect("the overlap is a part of both");
    let back = overlap(free, &used);
    let Ok(resources) = hold.resources.checked_add(&back) else { return };
    let charged = state.allocator.charge(&known.agent, &hold.framework, &hold.role, &back);
    charged.expect("what is free is of an agent that is known");
    if let Some(hold) = state.operations.get_mut(uuid).and_then(|known| known.hold.as_mut()) {
        hold.resources = resources;
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
