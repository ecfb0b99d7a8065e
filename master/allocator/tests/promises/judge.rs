//! The promises, one plain function each.
//!
//! Each takes the books as they were before a round and what the allocator gave away in it.

use std::collections::BTreeSet;
use std::fmt;

use lonja_allocator::{Allocation, Allocator};
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::{AgentId, FrameworkId, Resources, Role};

use crate::ledger::{Ledger, amounts, amounts_of, chain, get, is_limited};
use crate::scales::Scales;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// Given away without being free (INV-1).
    NotFree(Allocation),
    /// An offer of nothing, or two of one agent to one client in one round.
    Pointless(Allocation),
    /// Given to someone who is not in line, or of an agent that takes no part.
    NotInLine(Allocation),
    /// Reserved for others, or of a kind that the framework does not understand (INV-8).
    NotForIt(Allocation),
    /// Less than any offer must hold.
    TooSmall(Allocation),
    /// A filter keeps it away.
    Refused(Allocation),
    /// A role was taken above its limit (INV-5).
    AboveLimit(Role, String),
    /// What is free no longer covers what is owed by guarantees (INV-5).
    Headroom(String),
    /// Someone was given what is owed to another who could have had it (INV-5).
    OwedToAnother(Allocation, FrameworkId, Role),
    /// Something free that someone in line could have, and was not given.
    PassedOver(FrameworkId, Role, AgentId, Resources),
    /// The allocator's books differ from these (INV-1, INV-4).
    Books(String),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A round's answers, judged by every promise. The books after it.
pub(crate) fn judge(before: &Ledger, round: &[Allocation]) -> Result<Ledger, Breach> {
    only_what_is_free(before, round)?;
    only_to_whom_it_may_go(before, round)?;
    no_smaller_than_the_least(before, round)?;
    nothing_that_is_refused(before, round)?;
    let mut after = before.clone();
    round.iter().for_each(|allocation| after.note(allocation));
    no_role_above_its_limit(before, &after)?;
    what_is_owed_stays_covered(before, &after)?;
    owed_comes_first(before, &after, round)?;
    nobody_is_passed_over(&after)?;
    Ok(after)
}

/// Each allocation is of what no one else had at that moment, is something, and is the only one of its kind.
pub(crate) fn only_what_is_free(before: &Ledger, round: &[Allocation]) -> Result<(), Breach> {
    let mut books = before.clone();
    let mut seen = BTreeSet::new();
    for allocation in round {
        let Allocation { framework, role, agent, resources } = allocation;
        if resources.is_empty() || !seen.insert((framework, role, agent)) {
            return Err(Breach::Pointless(allocation.clone()));
        }
        if !books.agents.contains_key(agent) || !books.free(agent).contains(resources) {
            return Err(Breach::NotFree(allocation.clone()));
        }
        books.note(allocation);
    }
    Ok(())
}

/// Active agents; clients that want offers and may see the agent; reserved things within the subtree.
pub(crate) fn only_to_whom_it_may_go(before: &Ledger, round: &[Allocation]) -> Result<(), Breach> {
    for allocation in round {
        let Allocation { framework, role, agent, resources } = allocation;
        let waits = before.in_line().any(|client| client == (framework, role));
        if !waits || !before.agents[agent].active || !before.may_see(framework, agent) {
            return Err(Breach::NotInLine(allocation.clone()));
        }
        if !resources.iter().all(|resource| before.may_have(framework, role, resource)) {
            return Err(Breach::NotForIt(allocation.clone()));
        }
    }
    Ok(())
}

pub(crate) fn no_smaller_than_the_least(before: &Ledger, round: &[Allocation]) -> Result<(), Breach> {
    let small = round.iter().find(|allocation| {
        !before.is_enough(&allocation.framework, &allocation.role, &allocation.resources.quantities())
    });
    small.map_or(Ok(()), |small| Err(Breach::TooSmall(small.clone())))
}

pub(crate) fn nothing_that_is_refused(before: &Ledger, round: &[Allocation]) -> Result<(), Breach> {
    let refused = round.iter().find(|allocation| {
        let Allocation { framework, role, agent, resources } = allocation;
        before.is_refused(framework, role, agent, resources)
    });
    refused.map_or(Ok(()), |refused| Err(Breach::Refused(refused.clone())))
}

/// Consumption may stand above a limit that was lowered by force, but a round never takes it there, nor further.
pub(crate) fn no_role_above_its_limit(before: &Ledger, after: &Ledger) -> Result<(), Breach> {
    for (role, quota) in &before.quotas {
        let (had, has) = (before.consumed(role), after.consumed(role));
        for (name, limit) in amounts_of(&quota.limits) {
            if get(&has, &name) > limit.max(get(&had, &name)) {
                return Err(Breach::AboveLimit(role.clone(), name));
            }
        }
    }
    Ok(())
}

/// What is free, less what is owed, does not fall below zero by a round; if it was below before, it falls no further.
pub(crate) fn what_is_owed_stays_covered(before: &Ledger, after: &Ledger) -> Result<(), Breach> {
    let (had, has) = (Scales::of(before), Scales::of(after));
    let guaranteed = before.quotas.values().flat_map(|quota| quota.guarantees.iter());
    let names: BTreeSet<&str> = guaranteed.map(|(name, _)| name).collect();
    let short = names.into_iter().find(|name| has.slack_now(name) < had.slack_now(name).min(0));
    short.map_or(Ok(()), |name| Err(Breach::Headroom(name.to_owned())))
}

/// Nobody to whom nothing of it is owed gets what somebody could have had on the same agent to whom it is owed, before the
/// round and still after it. Whoever gave something of that agent back may have been passed over for once.
pub(crate) fn owed_comes_first(before: &Ledger, after: &Ledger, round: &[Allocation]) -> Result<(), Breach> {
    if before.quotas.values().all(|quota| quota.guarantees.is_empty()) {
        return Ok(());
    }
    let (had, has) = (Scales::of(before), Scales::of(after));
    for allocation in round {
        let given = amounts(&allocation.resources, is_limited);
        if given.keys().any(|name| had.is_owed(&allocation.role, name)) {
            continue;
        }
        for (name, amount) in given {
            for (framework, role) in before.in_line() {
                let place = (allocation.agent.clone(), framework.clone(), role.clone());
                let open = !before.gave_back.contains(&place) && before.may_see(framework, &allocation.agent);
                if !open || !had.is_owed(role, &name) || !has.is_owed(role, &name) {
                    continue;
                }
                // What it could have had instead, by itself, would have made an offer.
                let allowed = has.allowance(role, &name, amount);
                let instead = Scalar::from_thousandths(u64::try_from(allowed).unwrap()).unwrap();
                if allowed > 0
                    && before.is_enough(framework, role, &Quantities::from_iter([(&*name, instead)]))
                {
                    let (framework, role) = (framework.clone(), role.clone());
                    return Err(Breach::OwedToAnother(allocation.clone(), framework, role));
                }
            }
        }
    }
    Ok(())
}

/// After a round nothing is free that someone in line could be offered: by looking at everything.
pub(crate) fn nobody_is_passed_over(after: &Ledger) -> Result<(), Breach> {
    let scales = Scales::of(after);
    for (agent, known) in after.agents.iter().filter(|(_, known)| known.active) {
        if known.total.is_empty() || after.free(agent).is_empty() {
            continue;
        }
        for (framework, role) in after.in_line() {
            if !after.may_see(framework, agent) {
                continue;
            }
            let usable = scales.could_have(framework, role, agent);
            let enough = !usable.is_empty() && after.is_enough(framework, role, &usable.quantities());
            if enough && !after.is_refused(framework, role, agent, &usable) {
                return Err(Breach::PassedOver(framework.clone(), role.clone(), agent.clone(), usable));
            }
        }
    }
    Ok(())
}

/// What the allocator tells of its books is what these say.
pub(crate) fn the_books_agree(books: &Ledger, allocator: &Allocator) -> Result<(), Breach> {
    let wrong = |what: String| Err(Breach::Books(what));
    let own = |resources: &Resources| resources.filter(|resource| !resource.metadata().shared);
    for (agent, known) in &books.agents {
        if allocator.agent_total(agent) != Some(&known.total) {
            return wrong(format!("the total of {agent}"));
        }
        let free = allocator.agent_free(agent).map(own);
        if free.as_ref() != Some(&own(&books.free(agent))) {
            return wrong(format!("{agent} has {free:?} free, not {}", books.free(agent)));
        }
        if allocator.debt(agent).is_none_or(|debt| !debt.is_empty()) {
            return wrong(format!("the debt of {agent}"));
        }
    }
    for ((agent, framework, role), held) in &books.held {
        let told = allocator.held(agent, framework, role).map(|held| held.once().clone());
        if told.as_ref() != Some(held) {
            return wrong(format!("{framework} in {role} holds {held} on {agent}, not {told:?}"));
        }
    }
    for role in books.held.keys().map(|(_, _, role)| role).chain(books.quotas.keys()).flat_map(chain) {
        let told = amounts_of(&allocator.quota_consumed(&role));
        if told != books.consumed(&role) {
            return wrong(format!("{role} consumes {:?}, not {told:?}", books.consumed(&role)));
        }
    }
    allocator.check_invariants().or_else(|violation| wrong(violation.to_string()))
}
