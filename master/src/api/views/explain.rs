//! `lonja.v1.Operator.Explain`: the core's words on the wire.

use std::collections::BTreeMap;

use lonja_master_core::explain::{ClientExplanation, Explanation, Obstacle, RoleExplanation, Subject};
use lonja_model::Role;
use lonja_model::resources::{Quantities, Scalar};
use lonja_proto::convert::ids::{agent_id_to_wire, framework_id_from_wire, framework_id_to_wire};
use lonja_proto::lonja::explain_request::About;
use lonja_proto::lonja::{
    ExplainRequest, ExplainResponse, ExplainedFramework, ExplainedRole, Obstacle as Wire,
};
use tonic::Status;

/// What is asked about. Errors: nothing is, or it is no name.
pub(crate) fn subject(request: ExplainRequest) -> Result<Subject, Status> {
    match request.about {
        None => Err(Status::invalid_argument("about is missing; set name, role or framework_id")),
        Some(About::Name(name)) if name.is_empty() || name.len() > 255 => {
            Err(Status::invalid_argument("name: must have 1 to 255 bytes"))
        }
        Some(About::Name(name)) => Ok(Subject::Named(name)),
        Some(About::Role(role)) => {
            let role =
                Role::new(&role).map_err(|error| Status::invalid_argument(format!("role: {error}")))?;
            Ok(Subject::Role(role))
        }
        Some(About::FrameworkId(id)) => {
            let id = framework_id_from_wire(Some(id));
            Ok(Subject::Framework(
                id.map_err(|error| Status::invalid_argument(format!("framework_id: {error}")))?,
            ))
        }
    }
}

/// How the subject stands.
pub(crate) fn explanation(explained: Explanation) -> ExplainResponse {
    ExplainResponse {
        role: explained.role.map(role),
        frameworks: explained.clients.into_iter().map(|(name, client)| framework(name, client)).collect(),
    }
}

fn amounts(quantities: &Quantities) -> BTreeMap<String, f64> {
    quantities.iter().map(|(name, amount)| (name.to_owned(), Scalar::to_f64(amount))).collect()
}

fn role(role: RoleExplanation) -> ExplainedRole {
    let quota = role.quota.unwrap_or_default();
    ExplainedRole {
        role: role.role.to_string(),
        weight: role.weight.to_f64(),
        guarantees: amounts(&quota.guarantees),
        limits: amounts(&quota.limits),
        consumed: amounts(&role.consumed),
        owed: amounts(&role.unmet),
        allocated: amounts(&role.allocated),
        dominant_share: fraction(role.dominant_share_millionths),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with six digits")]
fn fraction(millionths: u64) -> f64 {
    millionths as f64 / 1_000_000.0
}

fn framework(name: String, client: ClientExplanation) -> ExplainedFramework {
    ExplainedFramework {
        framework_id: Some(framework_id_to_wire(&client.framework)),
        name,
        role: client.role.to_string(),
        allocated: amounts(&client.holds),
        agents: client.agents,
        could_get: amounts(&client.could_get),
        ahead: client.ahead,
        obstacles: client.obstacles.iter().map(obstacle).collect(),
    }
}

fn obstacle(obstacle: &Obstacle) -> Wire {
    let agents = Some(obstacle.agents()).filter(|agents| *agents != u32::MAX);
    let mut wire =
        Wire { kind: obstacle.name().to_owned(), message: obstacle.to_string(), agents, ..Wire::default() };
    match obstacle {
        Obstacle::Limit { role, .. } => wire.role = Some(role.to_string()),
        Obstacle::TooSmall { nearest, .. } => {
            wire.nearest_agent_id = Some(agent_id_to_wire(&nearest.agent));
            wire.has = amounts(&nearest.has);
            wire.lacks = amounts(&nearest.lacks);
        }
        Obstacle::Refused { soonest, latest, .. } => {
            wire.soonest_seconds = Some(soonest.as_secs_f64());
            wire.latest_seconds = Some(latest.as_secs_f64());
        }
        Obstacle::Inactive
        | Obstacle::Suppressed
        | Obstacle::AgentsNotOffered { .. }
        | Obstacle::NothingFree { .. }
        | Obstacle::NotForIt { .. }
        | Obstacle::Hidden { .. }
        | Obstacle::Headroom { .. } => {}
    }
    wire
}
