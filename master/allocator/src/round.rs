//! One allocation over what changed.

use lonja_model::{AgentId, Resources, Role, Timestamp};

use crate::{Allocation, Allocator, eligibility};

/// Offers the free resources of every changed agent to whoever is next and wants them.
pub(crate) fn run(allocator: &mut Allocator, now: Timestamp) -> Vec<Allocation> {
    allocator.expire(now);
    let mut allocations = Vec::new();
    while let Some(agent) = allocator.dirty.pop_first() {
        // What one role may not use, such as what is reserved for another, the next in line may.
        while let Some(allocation) = next(allocator, &agent) {
            take(allocator, &allocation);
            allocations.push(allocation);
        }
    }
    allocations
}

fn next(allocator: &mut Allocator, id: &AgentId) -> Option<Allocation> {
    let agent = allocator.agents.get(id).filter(|agent| agent.active && !agent.free.is_empty())?;
    let (frameworks, filters, options) = (&allocator.frameworks, &allocator.filters, &allocator.options);
    let mut found: Option<(Role, lonja_model::FrameworkId, Resources)> = None;
    for (role, framework) in allocator.shares.in_order() {
        let Some(known) = frameworks.get(framework) else { continue };
        let Some(resources) = eligibility::offerable(agent, &known.facts, role, options) else { continue };
        if !filters.keep_away(id, framework, role, &resources) {
            found = Some((role.clone(), framework.clone(), resources));
            break;
        }
    }
    let (role, framework, resources) = found?;
    Some(Allocation { framework, role, agent: id.clone(), resources })
}

fn take(allocator: &mut Allocator, allocation: &Allocation) {
    let Allocation { framework, role, agent, resources } = allocation;
    let known = allocator.agents.get_mut(agent).expect("only a known agent is allocated");
    known.allocate((framework.clone(), role.clone()), resources);
    if known.free.is_empty() {
        allocator.with_free.remove(agent);
    }
    allocator.shares.allocate(framework, role, &resources.quantities());
}
