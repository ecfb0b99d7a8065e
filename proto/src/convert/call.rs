//! What a framework asks of the master.
//!
//! Source: Mesos v1 scheduler API, `Call`.

use std::collections::BTreeSet;

use lonja_model::ids::{FrameworkId, OfferId};
use lonja_model::role::Role;
use lonja_model::scheduler::Call;

use super::framework::{framework_from_wire, framework_to_wire, roles_from_wire};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, executor_id_from_wire, executor_id_to_wire, framework_id_from_wire,
    framework_id_to_wire, grace_from_wire, grace_to_wire, offer_id_from_wire, offer_id_to_wire, optional,
    task_id_from_wire, task_id_to_wire, update_id_from_wire,
};
use super::offer::{filters_from_wire, filters_to_wire};
use super::operation::{operation_to_wire, operations_from_wire};
use super::refusal::{At, Fault, Refusal, at_most, data, known, required, unsupported};
use crate::limits;
use crate::lonja;
use crate::mesos::scheduler::call::{self, Type};
use crate::mesos::{self, scheduler};

/// A call, and the framework it says it comes from: absent only on a first SUBSCRIBE.
///
/// Errors: the type or what goes with it is missing; the framework's id is missing or not the same in
/// both places of a SUBSCRIBE; a field is not well formed. Faults of single tasks are no errors, see
/// [`super::operation`].
pub fn call_from_wire(wire: scheduler::Call) -> Result<(Option<FrameworkId>, Call), Refusal> {
    let kind: Type = known(required(wire.r#type).at("type")?, "Call.Type").at("type")?;
    let framework = optional(wire.framework_id, framework_id_from_wire).at("framework_id")?;
    if kind == Type::Subscribe {
        let call = required(wire.subscribe).and_then(|wire| subscribe(wire, framework.clone()));
        return Ok((framework, call.at("subscribe")?));
    }
    required(framework.as_ref()).at("framework_id")?;
    let call = match kind {
        Type::Unknown => return Err(Fault::Missing).at("type"),
        Type::Subscribe | Type::Teardown => Call::Teardown,
        Type::Accept => required(wire.accept).and_then(accept).at("accept")?,
        Type::Decline => required(wire.decline).and_then(decline).at("decline")?,
        Type::Revive => {
            let roles = wire.revive.unwrap_or_default().roles;
            Call::Revive { roles: named_roles(&roles).at("roles").at("revive")? }
        }
        Type::Suppress => {
            let roles = wire.suppress.unwrap_or_default().roles;
            Call::Suppress { roles: named_roles(&roles).at("roles").at("suppress")? }
        }
        Type::Kill => required(wire.kill).and_then(kill).at("kill")?,
        Type::Acknowledge => required(wire.acknowledge).and_then(acknowledge).at("acknowledge")?,
        Type::Reconcile => required(wire.reconcile).and_then(reconcile).at("reconcile")?,
        Type::Message => required(wire.message).and_then(message).at("message")?,
        Type::AcceptInverseOffers
        | Type::DeclineInverseOffers
        | Type::Shutdown
        | Type::AcknowledgeOperationStatus
        | Type::ReconcileOperations
        | Type::Request
        | Type::UpdateFramework => Call::Unsupported(kind.as_str_name().to_owned()),
    };
    Ok((framework, call))
}

/// A request of the gRPC door: its id, and the call or why there is none.
pub fn request_from_wire(
    wire: lonja::SchedulerRequest,
) -> (u64, Result<(Option<FrameworkId>, Call), Refusal>) {
    (wire.id, required(wire.call).at("call").and_then(call_from_wire))
}

/// A request of the gRPC door.
pub fn request_to_wire(id: u64, framework: Option<&FrameworkId>, call: &Call) -> lonja::SchedulerRequest {
    lonja::SchedulerRequest { id, call: Some(call_to_wire(framework, call)) }
}

/// The call as the wire has it. SUBSCRIBE carries its own framework id; `framework` is for the others.
pub fn call_to_wire(framework: Option<&FrameworkId>, call: &Call) -> scheduler::Call {
    let mut wire =
        scheduler::Call { framework_id: framework.map(framework_id_to_wire), ..Default::default() };
    let kind = match call {
        Call::Subscribe { framework, info, suppressed } => {
            wire.framework_id = framework.as_ref().map(framework_id_to_wire);
            wire.subscribe = Some(call::Subscribe {
                framework_info: framework_to_wire(framework.as_ref(), info),
                suppressed_roles: names(suppressed),
                offer_constraints: None,
            });
            Type::Subscribe
        }
        Call::Teardown => Type::Teardown,
        Call::Accept { offers, operations, filters } => {
            wire.accept = Some(call::Accept {
                offer_ids: offers.iter().map(offer_id_to_wire).collect(),
                operations: operations.iter().map(operation_to_wire).collect(),
                filters: Some(filters_to_wire(*filters)),
            });
            Type::Accept
        }
        Call::Decline { offers, filters } => {
            wire.decline = Some(call::Decline {
                offer_ids: offers.iter().map(offer_id_to_wire).collect(),
                filters: Some(filters_to_wire(*filters)),
            });
            Type::Decline
        }
        Call::Revive { roles } => {
            wire.revive = Some(call::Revive { roles: names(roles) });
            Type::Revive
        }
        Call::Suppress { roles } => {
            wire.suppress = Some(call::Suppress { roles: names(roles) });
            Type::Suppress
        }
        Call::Kill { .. } | Call::Acknowledge { .. } | Call::Reconcile { .. } | Call::Message { .. } => {
            put_task_call(&mut wire, call)
        }
        Call::Unsupported(name) => Type::from_str_name(name).unwrap_or(Type::Unknown),
    };
    wire.set_type(kind);
    wire
}

/// The calls about tasks and executors.
fn put_task_call(wire: &mut scheduler::Call, call: &Call) -> Type {
    match call {
        Call::Kill { task, agent, grace } => {
            wire.kill = Some(call::Kill {
                task_id: task_id_to_wire(task),
                agent_id: agent.as_ref().map(agent_id_to_wire),
                kill_policy: grace_to_wire(*grace),
            });
            Type::Kill
        }
        Call::Acknowledge { agent, task, update } => {
            wire.acknowledge = Some(call::Acknowledge {
                agent_id: agent_id_to_wire(agent),
                task_id: task_id_to_wire(task),
                uuid: update.0.to_vec(),
            });
            Type::Acknowledge
        }
        Call::Reconcile { tasks } => {
            let task = |(task, agent): &(_, Option<_>)| call::reconcile::Task {
                task_id: task_id_to_wire(task),
                agent_id: agent.as_ref().map(agent_id_to_wire),
            };
            wire.reconcile = Some(call::Reconcile { tasks: tasks.iter().map(task).collect() });
            Type::Reconcile
        }
        Call::Message { agent, executor, data } => {
            wire.message = Some(call::Message {
                agent_id: agent_id_to_wire(agent),
                executor_id: executor_id_to_wire(executor),
                data: data.clone(),
            });
            Type::Message
        }
        Call::Subscribe { .. }
        | Call::Teardown
        | Call::Accept { .. }
        | Call::Decline { .. }
        | Call::Revive { .. }
        | Call::Suppress { .. }
        | Call::Unsupported(_) => Type::Unknown,
    }
}

fn names(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(Role::to_string).collect()
}

/// Roles of a REVIVE or SUPPRESS, where naming one twice does no harm.
fn named_roles(wire: &[String]) -> Result<BTreeSet<Role>, Refusal> {
    at_most(wire.len(), limits::ROLES, "")?;
    let role = |(index, name): (usize, &String)| super::ids::role_from_wire(name).at_index("", index);
    wire.iter().enumerate().map(role).collect()
}

fn offer_ids(wire: Vec<mesos::OfferId>) -> Result<Vec<OfferId>, Refusal> {
    at_most(wire.len(), limits::OFFERS_PER_MESSAGE, "offer_ids")?;
    let id = |(index, id)| offer_id_from_wire(Some(id)).at_index("offer_ids", index);
    wire.into_iter().enumerate().map(id).collect()
}

fn subscribe(wire: call::Subscribe, framework: Option<FrameworkId>) -> Result<Call, Refusal> {
    let constrained = wire.offer_constraints.is_some_and(|all| !all.role_constraints.is_empty());
    unsupported(constrained, "offer_constraints", "a constraint on offers")?;
    let (id, info) = framework_from_wire(wire.framework_info).at("framework_info")?;
    if id != framework {
        let reason = "differs from the call's framework_id; set both to the framework's id, or none at first";
        return Err(Fault::Invalid(reason.to_owned())).at("framework_info.id");
    }
    let suppressed = roles_from_wire(&wire.suppressed_roles).at("suppressed_roles")?;
    if let Some(role) = suppressed.iter().find(|role| !info.roles.contains(role)) {
        let reason = format!("names {role}, which is none of the framework's roles; leave it out");
        return Err(Fault::Invalid(reason)).at("suppressed_roles");
    }
    Ok(Call::Subscribe { framework, info: Box::new(info), suppressed })
}

fn accept(wire: call::Accept) -> Result<Call, Refusal> {
    Ok(Call::Accept {
        offers: offer_ids(wire.offer_ids)?,
        operations: operations_from_wire(wire.operations).at("operations")?,
        filters: filters_from_wire(wire.filters),
    })
}

fn decline(wire: call::Decline) -> Result<Call, Refusal> {
    Ok(Call::Decline { offers: offer_ids(wire.offer_ids)?, filters: filters_from_wire(wire.filters) })
}

fn kill(wire: call::Kill) -> Result<Call, Refusal> {
    Ok(Call::Kill {
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        agent: optional(wire.agent_id, agent_id_from_wire).at("agent_id")?,
        grace: grace_from_wire(wire.kill_policy).at("kill_policy")?,
    })
}

fn acknowledge(wire: call::Acknowledge) -> Result<Call, Refusal> {
    Ok(Call::Acknowledge {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        task: task_id_from_wire(wire.task_id).at("task_id")?,
        update: update_id_from_wire(&wire.uuid).at("uuid")?,
    })
}

fn reconcile(wire: call::Reconcile) -> Result<Call, Refusal> {
    at_most(wire.tasks.len(), limits::TASKS_PER_RECONCILE, "tasks")?;
    let task = |(index, wire): (usize, call::reconcile::Task)| {
        let task = task_id_from_wire(wire.task_id).at("task_id").at_index("tasks", index)?;
        let agent = optional(wire.agent_id, agent_id_from_wire).at("agent_id").at_index("tasks", index)?;
        Ok((task, agent))
    };
    let tasks = wire.tasks.into_iter().enumerate().map(task).collect::<Result<_, Refusal>>()?;
    Ok(Call::Reconcile { tasks })
}

fn message(wire: call::Message) -> Result<Call, Refusal> {
    Ok(Call::Message {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        executor: executor_id_from_wire(wire.executor_id).at("executor_id")?,
        data: data(wire.data).at("data")?,
    })
}
