//! Reservations and volumes that operators ask for.
//!
//! They are made of what is free. Where that is not enough, offers on the agent are rescinded: those that help, and
//! only as many as needed; tasks are left alone. From then on the operation is like a framework's: counted as
//! done, sent, and held back from everyone until its agent has answered; the operator is answered then too.
//!
//! Source: Mesos v1 operator API, RESERVE_RESOURCES, UNRESERVE_RESOURCES, CREATE_VOLUMES, DESTROY_VOLUMES,
//! GROW_VOLUME, SHRINK_VOLUME; `docs/invariants.md` INV-8, 10.

use lonja_allocator::overlap;
use lonja_model::operation::Conversion;
use lonja_model::scheduler::{Refusal, RefusalCode};
use lonja_model::{AgentId, FrameworkId, OfferId, Resources, Role, Timestamp};

use crate::agents::Presence;
use crate::conversions::{self, Asked, Refused};
use crate::effects::{Effects, Outbound, RequestId};
use crate::operations::Hold;
use crate::{State, departures, offers, registry};

/// Begins what an operator asks. A refusal is answered at once, all else when the agent has answered.
pub(crate) fn convert(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    request: RequestId,
    agent: &AgentId,
    conversion: Conversion,
) {
    let begun = is_there(state, agent).and_then(|()| {
        let begun = begin(state, effects, now, request, agent, &conversion);
        begun.map_err(|refused| {
            let message = format!("{} on agent {agent}: {refused}", conversion.name());
            Refusal::new(refused.code(), message)
        })
    });
    if let Err(refusal) = begun {
        effects.send.push(Outbound::Operator(request, Err(refusal)));
    }
}

fn is_there(state: &State, agent: &AgentId) -> Result<(), Refusal> {
    let conflict = |message: String| Err(Refusal::new(RefusalCode::Conflict, message));
    let Some(known) = state.agents.get(agent) else { return departures::not_known(agent) };
    if registry::duty(state, agent).drain().is_some() {
        return conflict(format!("agent {agent} is drained or about to be; reactivate it first"));
    }
    let stands = match known.presence {
        Presence::Connected(_) if known.confirmed => return Ok(()),
        Presence::Connected(_) => "has just registered and has not said yet that it knows its id",
        Presence::Disconnected => "has lost its connection",
        Presence::Recovered => "is not back yet after a restart of the master",
        Presence::Unreachable { .. } => "is unreachable",
        Presence::Gone { .. } => "is gone for good",
    };
    conflict(format!("agent {agent} {stands}; nothing was changed, ask again when it is there"))
}

fn begin(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    request: RequestId,
    agent: &AgentId,
    conversion: &Conversion,
) -> Result<(), Refused> {
    conversions::has_room(state, agent, None)?;
    conversions::volumes_allow(state, agent, conversion)?;
    conversions::stays_whole(state, agent, conversion)?;
    let (before, after) = (conversion.before(), conversion.after());
    let total = state.allocator.agent_total(agent).cloned().unwrap_or_default();
    if total.contains(before) && conversion.apply(&total).is_none() {
        return Err(Refused::Clash(after.clone()));
    }
    let rescinded = offers_to_rescind(state, agent, before)?;
    for offer in rescinded {
        offers::rescind(state, effects, now, &offer, None);
    }
    conversions::rescind_shared(state, effects, now, agent, conversion);
    if let Some(free) = state.allocator.agent_free(agent).filter(|free| !free.contains(before)) {
        return Err(Refused::not_there(before, free));
    }
    let (framework, role) = holder(state, conversion);
    let charged = state.allocator.charge(agent, &framework, &role, before);
    charged.expect("a connected agent is known to the allocator");
    if state.allocator.convert_held(agent, &framework, &role, before, after).is_err() {
        offers::recover(state, now, agent, &framework, &role, before, None);
        return Err(Refused::Clash(after.clone()));
    }
    let hold = Hold { framework, role, resources: after.clone() };
    let asked = Asked { framework: None, id: None, waiting: Some(request) };
    conversions::send(state, effects, now, agent, asked, conversion.clone(), hold);
    Ok(())
}

/// In whose name the allocator counts what operators convert, until that is done: an id that no framework can have,
/// for this master gives none like it, and takes none of its own that it has not given.
fn holder(state: &State, conversion: &Conversion) -> (FrameworkId, Role) {
    let framework = FrameworkId::new(format!("{}-operators", state.me.id));
    let framework = framework.expect("made of letters, digits and dashes");
    let mut roles = conversion.after().iter().chain(conversion.before().iter());
    let role = roles.find_map(|resource| resource.reserved_for()).cloned();
    (framework, role.unwrap_or_else(Role::default_role))
}

/// The offers to rescind so that all of `needed` is free: one that is enough by itself if there is one, else in
/// order of their ids until it is enough. Errors: it is not enough with all of them; none is rescinded.
fn offers_to_rescind(state: &State, agent: &AgentId, needed: &Resources) -> Result<Vec<OfferId>, Refused> {
    let free = state.allocator.agent_free(agent).cloned().unwrap_or_default();
    let mut missing = without(needed, &free);
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let offered: Vec<(OfferId, Resources)> = state
        .offers
        .on_agent(agent)
        .into_iter()
        .filter_map(|id| state.offers.get(&id).map(|offer| (id.clone(), overlap(&offer.resources, needed))))
        .filter(|(_, helps)| !helps.is_empty())
        .collect();
    if let Some((id, _)) = offered.iter().find(|(_, helps)| helps.contains(&missing)) {
        return Ok(vec![id.clone()]);
    }
    let mut rescinded = Vec::new();
    let mut there = overlap(&free, needed);
    for (id, helps) in offered {
        let left = without(&missing, &helps);
        there = there.checked_add(&helps).unwrap_or(there);
        if left != missing {
            missing = left;
            rescinded.push(id);
        }
        if missing.is_empty() {
            return Ok(rescinded);
        }
    }
    Err(Refused::not_there(needed, &there))
}

/// `whole` without what of `part` is in it.
fn without(whole: &Resources, part: &Resources) -> Resources {
    whole.checked_sub(&overlap(whole, part)).expect("the overlap is a part of both")
}
