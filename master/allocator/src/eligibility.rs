//! May this framework be offered these resources of this agent at all?
//!
//! What an agent is and what a framework understands decide here, apart from whose turn it is. The
//! complete allocator adds regions, maintenance and offer constraints.
//!
//! Source: Mesos, options `filter_gpu_resources` and `min_allocatable_resources`.

use lonja_model::Role;
use lonja_model::framework::Capability;
use lonja_model::resources::Quantities;

use crate::Options;
use crate::agents::Agent;
use crate::frameworks::FrameworkFacts;

/// The name under which GPUs are counted.
pub(crate) const GPUS: &str = "gpus";

/// Is an offer of `quantities` from `agent` large enough and fit for the framework?
pub(crate) fn may_be_offered(
    options: &Options,
    agent: &Agent,
    quantities: &Quantities,
    framework: &FrameworkFacts,
    role: &Role,
) -> bool {
    // Frameworks that do not understand GPUs skip agents with GPUs, or CPU tasks would fill them up.
    let hidden = options.reserve_gpu_agents
        && agent.has_gpus()
        && !framework.capabilities.contains(&Capability::GpuResources);
    let minimum = framework.minimum_offers.get(role).unwrap_or(&options.minimum);
    !hidden && reaches(quantities, minimum)
}

/// Is one of the alternatives reached in full? With none there is nothing to reach.
fn reaches(quantities: &Quantities, alternatives: &[Quantities]) -> bool {
    alternatives.is_empty() || alternatives.iter().any(|one| quantities.contains(one))
}
