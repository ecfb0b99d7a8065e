//! Quotas and weights: what operators set about the sharing of the cluster.
//!
//! A quota belongs to a role with all roles below it; the allocator keeps to it. Here it is checked, made durable,
//! and enforced on what is offered already: offers are taken back where a limit fell below them, or where a
//! guarantee cannot be met otherwise. Tasks are never touched.
//!
//! Invariants
//! - A command is done as a whole or not at all: all is checked before anything of it is.
//! - What the registry says is what the allocator keeps to.
//! - Only offers are rescinded that stand in the way: those of roles above their new limit, latest first, until they
//!   are below; and those of roles without an unmet guarantee, until what is free meets the new ones.
//!
//! Where this differs from Mesos: there a changed weight rescinds every offer of the cluster if a framework has the
//! role; here none, for offers end in bounded time and the next ones follow the new weight. There quotas are
//! for roles at the top only.
//!
//! Source: Mesos v1 operator API, UPDATE_QUOTA and UPDATE_WEIGHTS; `docs/invariants.md`, INV-7.

use std::collections::BTreeSet;

use lonja_allocator::QuotaRefusal;
use lonja_model::quota::Quota;
use lonja_model::registry::RegistryOp;
use lonja_model::resources::{Quantities, Resource, Scalar};
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::{Role, Timestamp};

use crate::effects::{ClusterEvent, Effects};
use crate::{State, offers, registry};

/// Roles that may have a quota at once.
const MOST_QUOTAS: usize = 10_000;

/// Weights other than 1 that may be set at once.
const MOST_WEIGHTS: usize = 10_000;

/// UPDATE_QUOTA. `force` passes over limits below what roles have, and guarantees above what the agents have.
pub(crate) fn update(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    quotas: Vec<(Role, Option<Quota>)>,
    force: bool,
) -> CallResult {
    let quotas: Vec<_> =
        quotas.into_iter().map(|(role, quota)| (role, quota.filter(says_something))).collect();
    each_once(quotas.iter().map(|(role, _)| role))?;
    if let Some((role, _)) = quotas.iter().find(|(role, _)| *role == Role::default_role()) {
        let message = format!("role {role} cannot have a quota: it is everybody's; give its users a role");
        return invalid(message);
    }
    let known = |role: &Role| state.registry.quotas.contains_key(role);
    let more = quotas.iter().filter(|(role, quota)| quota.is_some() && !known(role)).count();
    if state.registry.quotas.len() + more > MOST_QUOTAS {
        return conflict(format!("at most {MOST_QUOTAS} roles have a quota; remove others first"));
    }
    check(state, &quotas, force)?;
    let changed: Vec<_> = quotas
        .into_iter()
        .filter(|(role, quota)| state.registry.quotas.get(role) != quota.as_ref())
        .collect();
    for (role, quota) in &changed {
        registry::change(state, effects, RegistryOp::Quota(role.clone(), quota.clone()));
        state.allocator.set_quota(role.clone(), quota.clone());
        effects.publish.push(ClusterEvent::QuotaUpdated(role.clone(), quota.clone()));
    }
    for (role, quota) in &changed {
        if let Some(quota) = quota {
            let until =
                |state: &State| quota_above(&quota.limits, &state.allocator.quota_consumed(role)).is_none();
            offers::rescind_of_role(state, effects, now, role, until);
        }
    }
    if changed.iter().any(|(_, quota)| quota.as_ref().is_some_and(|quota| !quota.guarantees.is_empty())) {
        make_room(state, effects, now);
    }
    Ok(())
}

/// Does it guarantee or limit anything?
fn says_something(quota: &Quota) -> bool {
    *quota != Quota::default()
}

/// Could all of these be set? Offers do not count against a limit here, for they can be taken back.
fn check(state: &State, quotas: &[(Role, Option<Quota>)], force: bool) -> CallResult {
    match state.allocator.check_quotas(quotas) {
        Err(refusal) if !refusal.may_be_forced() => {
            return invalid(format!("{refusal}; nothing was changed"));
        }
        Err(QuotaRefusal::LimitBelowConsumption { .. }) | Ok(()) => {}
        Err(_) if force => return Ok(()),
        Err(refusal) => {
            return conflict(format!("{refusal}; nothing was changed; force it to set it nevertheless"));
        }
    }
    if force {
        return Ok(());
    }
    for (role, quota) in quotas {
        let Some(quota) = quota.as_ref().filter(|quota| !quota.limits.is_empty()) else { continue };
        let used = used(state, role);
        if let Some((name, limit)) = quota_above(&quota.limits, &used) {
            let refusal = QuotaRefusal::LimitBelowConsumption {
                role: role.clone(),
                name: name.to_owned(),
                limit,
                consumed: used.get(name),
            };
            return conflict(format!(
                "{refusal}; nothing was changed; end some of its tasks, or force it: then it gets nothing more until \
                 it is below"
            ));
        }
    }
    Ok(())
}

/// The first limit that `held` is above.
fn quota_above<'l>(limits: &'l Quantities, held: &Quantities) -> Option<(&'l str, Scalar)> {
    limits.iter().find(|(name, limit)| held.get(name) > *limit)
}

/// What counts against the role's quota and cannot be taken back: reservations, and what tasks use beyond.
fn used(state: &State, role: &Role) -> Quantities {
    let mut used = state.allocator.quota_consumed(role);
    for offer in state.offers.iter().filter(|offer| offer.role == *role || offer.role.is_below(role)) {
        used.subtract(&offer.resources.filter(is_anyones).quantities());
    }
    used
}

/// Is it neither reserved nor revocable? Only such resources are bound by limits and kept for guarantees.
fn is_anyones(resource: &Resource) -> bool {
    resource.reserved_for().is_none() && !resource.metadata().revocable
}

/// Takes offers back from roles without an unmet guarantee, latest first, until what is free meets the unmet ones.
/// Only those guarantees count that somebody waits for.
fn make_room(state: &mut State, effects: &mut Effects, now: Timestamp) {
    let short: Vec<(Role, Quantities)> = shortages(state);
    if short.is_empty() {
        return;
    }
    let mut missing = Quantities::default();
    short.iter().for_each(|(_, shortage)| missing.add(shortage));
    for (id, agent) in state.agents.iter() {
        if agent.link().is_some()
            && let Some(free) = state.allocator.agent_free(id)
        {
            missing.subtract(&free.filter(is_anyones).quantities());
        }
    }
    let is_short = |role: &Role| short.iter().any(|(owner, _)| role == owner || role.is_below(owner));
    for offer in offers::latest_first(state, |offer| !is_short(&offer.role)) {
        let resources = offer.resources.filter(is_anyones).quantities();
        if missing.iter().any(|(name, _)| resources.get(name) > Scalar::ZERO) {
            missing.subtract(&resources);
            offers::rescind(state, effects, now, &offer.id, None);
        }
    }
}

/// What each role at the top of those with a guarantee lacks of it, if it has a framework that is there.
fn shortages(state: &State) -> Vec<(Role, Quantities)> {
    let wanted: BTreeSet<&Role> = state
        .frameworks
        .iter()
        .filter(|(_, framework)| framework.stream.is_some())
        .flat_map(|(_, framework)| framework.info.roles.difference(&framework.suppressed))
        .collect();
    let mut short = Vec::new();
    for (role, quota) in &state.registry.quotas {
        let mut shortage = quota.guarantees.clone();
        shortage.subtract(&state.allocator.quota_consumed(role));
        let covered = short.iter().any(|(above, _)| role.is_below(above));
        let is_wanted = wanted.iter().any(|wanted| *wanted == role || wanted.is_below(role));
        if !shortage.is_empty() && is_wanted && !covered {
            short.push((role.clone(), shortage));
        }
    }
    short
}

/// UPDATE_WEIGHTS. A weight of 1 is no weight of its own.
pub(crate) fn set_weights(
    state: &mut State,
    effects: &mut Effects,
    weights: Vec<(Role, Scalar)>,
) -> CallResult {
    each_once(weights.iter().map(|(role, _)| role))?;
    if let Some((role, _)) = weights.iter().find(|(_, weight)| *weight == Scalar::ZERO) {
        return invalid(format!("the weight of role {role} must be above zero; nothing was changed"));
    }
    let known = |role: &Role| state.registry.weights.contains_key(role);
    let more = weights.iter().filter(|(role, weight)| stored(*weight).is_some() && !known(role)).count();
    if state.registry.weights.len() + more > MOST_WEIGHTS {
        return conflict(format!(
            "at most {MOST_WEIGHTS} roles have a weight other than 1; set others to 1 first"
        ));
    }
    for (role, weight) in weights {
        if state.registry.weights.get(&role).copied() != stored(weight) {
            registry::change(state, effects, RegistryOp::Weight(role.clone(), stored(weight)));
            effects.publish.push(ClusterEvent::WeightUpdated(role.clone(), weight));
        }
        state.allocator.set_weight(role, weight).expect("refused above if it is zero");
    }
    Ok(())
}

/// A weight as the registry keeps it: 1 is what every role has.
fn stored(weight: Scalar) -> Option<Scalar> {
    (Some(weight) != Scalar::from_units(1)).then_some(weight)
}

fn each_once<'r>(roles: impl Iterator<Item = &'r Role>) -> CallResult {
    let mut seen = BTreeSet::new();
    for role in roles {
        if !seen.insert(role) {
            return invalid(format!("role {role} is named twice; name each once; nothing was changed"));
        }
    }
    Ok(())
}

fn invalid(message: String) -> CallResult {
    Err(Refusal::new(RefusalCode::InvalidArgument, message))
}

fn conflict(message: String) -> CallResult {
    Err(Refusal::new(RefusalCode::Conflict, message))
}
