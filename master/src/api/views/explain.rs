//! `lonja.v1.Operator.Explain`: the core's words on the wire.

use std::collections::BTreeMap;

use lonja_master_core::explain::{Client, Explanation, Obstacle, RoleExplanation, Subject, TaskExplanation};
use lonja_model::Role;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::unplaced::MAX_WORDS_BYTES;
use lonja_proto::convert::ids::{agent_id_to_wire, framework_id_from_wire, framework_id_to_wire};
use lonja_proto::convert::status::state_to_wire;
use lonja_proto::convert::unplaced::unplaced_task_to_wire;
use lonja_proto::lonja::explain_request::About;
use lonja_proto::lonja::{
    ExplainRequest, ExplainResponse, ExplainedFramework, ExplainedRole, ExplainedTask, Obstacle as Wire,
};
use tonic::Status;

/// What is asked about. Errors: nothing is, or it is no name.
pub(crate) fn subject(request: ExplainRequest) -> Result<Subject, Status> {
    match request.about {
        None => Err(Status::invalid_argument("about is missing; set name, role, framework_id or task")),
        Some(About::Name(name)) => plain("name", name).map(Subject::Named),
        Some(About::Task(task)) => plain("task", task).map(Subject::Task),
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

/// A name as short as what may bear it.
fn plain(field: &str, name: String) -> Result<String, Status> {
    if name.is_empty() || name.len() > MAX_WORDS_BYTES {
        return Err(Status::invalid_argument(format!("{field}: must have 1 to {MAX_WORDS_BYTES} bytes")));
    }
    Ok(name)
}

/// Nobody has heard of the subject: what to do.
pub(crate) fn unknown(subject: &Subject) -> Status {
    let waiting = "a task that waits is known once its framework has told of it, and until that is torn down \
                   (schedulers on the SDK tell by Plan::unplaced)";
    Status::not_found(match subject {
        Subject::Framework(id) => format!("no framework has the id {id}; list them: lonja frameworks"),
        Subject::Role(role) => {
            format!("no framework is in role {role}, and it has no quota; list them: lonja roles")
        }
        Subject::Task(task) => {
            format!(
                "no task has the id {task:?}, and no framework has told of one that waits; list those launched: lonja tasks; {waiting}"
            )
        }
        Subject::Named(name) => {
            format!(
                "no framework and no role is called {name:?}, no task has that id, and no framework has told of one that waits; list those known: lonja frameworks, lonja roles, lonja tasks; {waiting}"
            )
        }
    })
}

/// How the subject stands.
pub(crate) fn explanation(explained: Explanation) -> ExplainResponse {
    ExplainResponse {
        role: explained.role.map(role),
        frameworks: explained.clients.into_iter().map(framework).collect(),
        tasks: explained.tasks.into_iter().map(task).collect(),
    }
}

fn task(explained: TaskExplanation) -> ExplainedTask {
    let record = explained.record.as_deref();
    let (told, waiting) = explained.waiting.unzip();
    ExplainedTask {
        task: explained.task,
        framework_id: Some(framework_id_to_wire(&explained.framework)),
        framework_name: explained.framework_name,
        waiting: waiting.as_ref().map(unplaced_task_to_wire),
        told_seconds_ago: told.map(|told| told.as_secs_f64()),
        state: record.map(|task| state_to_wire(task.state).into()),
        message: record.and_then(|task| task.last_status()?.message.clone()),
        agent_id: record.map(|task| agent_id_to_wire(task.agent())),
        hostname: explained.hostname,
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

fn framework(Client { name, waiting, standing: client }: Client) -> ExplainedFramework {
    let (told, waiting) = waiting.unzip();
    ExplainedFramework {
        framework_id: Some(framework_id_to_wire(&client.framework)),
        name,
        waiting_tasks: waiting.unwrap_or_default().into_iter().map(|task| task.task).collect(),
        told_seconds_ago: told.map(|told| told.as_secs_f64()),
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
