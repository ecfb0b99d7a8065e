//! Offers and news made up for unit tests: a scheduler is plain values in, plain values out, so its rules can be tried
//! one by one without any cluster.

use lonja_model::attributes::Attributes;
use lonja_model::task::Source;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, Role, TaskId, TaskState, TaskStatus, Timestamp};

/// An offer called `id` of so much on the agent `agent`, to a framework of the default role.
///
/// ```
/// use lonja_sdk::testing::offer;
/// assert_eq!(offer("o1", "a1", "cpus:4;mem:1024").resources.scalar("cpus").to_f64(), 4.0);
/// ```
///
/// # Panics
/// If one of them is not what it should be.
pub fn offer(id: &str, agent: &str, resources: &str) -> Offer {
    Offer {
        id: OfferId::new(id).expect("an offer's id"),
        framework: FrameworkId::new("framework").expect("a plain name"),
        agent: AgentId::new(agent).expect("an agent's id"),
        role: Role::default_role(),
        hostname: format!("{agent}.example"),
        port: 5051,
        resources: resources.parse().unwrap_or_else(|error| panic!("resources {resources:?}: {error}")),
        attributes: Attributes::default(),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    }
}

/// News that `task` is in `state`, as if its agent had said so.
///
/// # Panics
/// If `task` is no id.
pub fn status(task: &str, state: TaskState) -> TaskStatus {
    TaskStatus::new(TaskId::new(task).expect("a task's id"), state, Source::Agent, Timestamp::ZERO)
}
