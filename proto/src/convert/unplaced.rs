//! What a framework tells of tasks that it has no place for.
//!
//! Source: `lonja.v1.UnplacedTasks`; Mesos has nothing of the kind.

use lonja_model::ids::FrameworkId;
use lonja_model::unplaced::{self, InvalidReport, MAX_REASONS, MAX_UNPLACED, NearMiss, Unplaced};

use super::ids::{agent_id_from_wire, agent_id_to_wire, framework_id_from_wire, framework_id_to_wire};
use super::refusal::{At, Fault, Refusal, at_most};
use crate::lonja::{self, unplaced_task};

/// The report, and the framework it says it comes from. Errors: the framework's id is missing; something is over the
/// bounds of [`lonja_model::unplaced`]; a task has no name, or is named twice.
pub fn unplaced_from_wire(wire: lonja::UnplacedTasks) -> Result<(FrameworkId, Vec<Unplaced>), Refusal> {
    let framework = framework_id_from_wire(wire.framework_id).at("framework_id")?;
    // Before anything is made of them.
    at_most(wire.tasks.len(), MAX_UNPLACED, "tasks")?;
    let task = |(index, wire)| unplaced_task_from_wire(wire).at_index("tasks", index);
    let tasks = wire.tasks.into_iter().enumerate().map(task).collect::<Result<Vec<_>, _>>()?;
    match unplaced::check(&tasks) {
        Ok(()) => Ok((framework, tasks)),
        Err(error) => Err(fault(&error)).at(error.field()),
    }
}

fn fault(error: &InvalidReport) -> Fault {
    match *error {
        InvalidReport::NoName(_) => Fault::Missing,
        InvalidReport::TooMany { count, most, .. } => Fault::TooMany { count, limit: most },
        InvalidReport::TooLong { bytes, most, .. } => Fault::TooLong { bytes, limit: most },
        InvalidReport::Twice { ref task, .. } => {
            Fault::Invalid(format!("names {task:?} a second time; say each task once"))
        }
    }
}

/// A report.
pub fn unplaced_to_wire(framework: Option<&FrameworkId>, tasks: &[Unplaced]) -> lonja::UnplacedTasks {
    lonja::UnplacedTasks {
        framework_id: framework.map(framework_id_to_wire),
        tasks: tasks.iter().map(unplaced_task_to_wire).collect(),
    }
}

/// One task. Errors: too many reasons; an agent's id that is none. Whether its texts are short enough is for the whole
/// report to say.
pub fn unplaced_task_from_wire(wire: lonja::UnplacedTask) -> Result<Unplaced, Refusal> {
    at_most(wire.reasons.len(), MAX_REASONS, "reasons")?;
    let near = |wire: unplaced_task::NearMiss| -> Result<_, Refusal> {
        let agent = agent_id_from_wire(wire.agent_id).at("agent_id")?;
        Ok(NearMiss { agent, hostname: wire.hostname, why: wire.why })
    };
    Ok(Unplaced {
        task: wire.task,
        offers: wire.offers,
        reasons: wire.reasons.into_iter().map(|reason| (reason.why, reason.offers)).collect(),
        nearest: wire.nearest.map(near).transpose().at("nearest")?,
    })
}

/// One task.
pub fn unplaced_task_to_wire(task: &Unplaced) -> lonja::UnplacedTask {
    let reason = |(why, offers): &(String, u64)| unplaced_task::Reason { why: why.clone(), offers: *offers };
    let near = |near: &NearMiss| unplaced_task::NearMiss {
        agent_id: Some(agent_id_to_wire(&near.agent)),
        hostname: near.hostname.clone(),
        why: near.why.clone(),
    };
    lonja::UnplacedTask {
        task: task.task.clone(),
        offers: task.offers,
        reasons: task.reasons.iter().map(reason).collect(),
        nearest: task.nearest.as_ref().map(near),
    }
}
