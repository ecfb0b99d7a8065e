//! What of an agent a framework may be offered at all.

use lonja_model::framework::Capability;
use lonja_model::resources::Quantities;
use lonja_model::{Resources, Role};

use crate::agents::Agent;
use crate::{FrameworkFacts, Options};

/// What `framework` may be offered of `agent` for `role`; `None`: nothing, or too little.
pub(crate) fn offerable(
    agent: &Agent,
    framework: &FrameworkFacts,
    role: &Role,
    options: &Options,
) -> Option<Resources> {
    let can = |capability| framework.capabilities.contains(&capability);
    // Frameworks without GPU_RESOURCES skip GPU agents, or CPU tasks would fill them up.
    if options.reserve_gpu_agents && agent.facts.has_gpus && !can(Capability::GpuResources) {
        return None;
    }
    let usable = agent.free.usable_by(role).filter(|resource| {
        let metadata = resource.metadata();
        (!metadata.revocable || can(Capability::RevocableResources))
            && (!metadata.shared || can(Capability::SharedResources))
            && (metadata.reservations.len() < 2 || can(Capability::ReservationRefinement))
    });
    let minimum = framework.minimum_offers.get(role).unwrap_or(&options.minimum);
    (!usable.is_empty() && reaches(&usable, minimum)).then_some(usable)
}

fn reaches(resources: &Resources, alternatives: &[Quantities]) -> bool {
    let quantities = resources.quantities();
    alternatives.is_empty() || alternatives.iter().any(|least| quantities.contains(least))
}
