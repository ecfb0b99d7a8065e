//! What a framework asks of the master.
//!
//! Source: Mesos v1 scheduler API, `Call`.

use std::collections::BTreeSet;

use lonja_model::framework::FrameworkInfo;
use lonja_model::ids::{FrameworkId, OfferId};
use lonja_model::role::Role;
use lonja_model::scheduler::Call;

use super::constraints::{constraints_from_wire, constraints_to_wire};
use super::framework::{framework_from_wire, framework_to_wire, roles_from_wire};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, executor_id_from_wire, executor_id_to_wire, framework_id_from_wire,
    framework_id_to_wire, grace_from_wire, grace_to_wire, offer_id_from_wire, offer_id_to_wire,
    operation_id_from_wire, operation_id_to_wire, optional, task_id_from_wire, task_id_to_wire,
    update_id_from_wire,
};
use super::offer::{
    filters_from_wire, filters_to_wire, resource_request_from_wire, resource_request_to_wire,
};
use super::operation::{operation_to_wire, operations_from_wire};
use super::refusal::{At, Fault, Refusal, at_most, data, known, required, unsupported};
use super::unplaced::{unplaced_from_wire, unplaced_to_wire};
use crate::limits;
use crate::lonja;
use crate::mesos::scheduler::call::{self, Type};
use crate::mesos::{self, scheduler};

/// A call, and the framework it says it comes from: absent only on a first SUBSCRIBE.
///
/// Errors: the type or what goes with it is missing; the framework's id is missing or not the same in
/// both places of a SUBSCRIBE or an UPDATE_FRAMEWORK; a field is not well formed. Faults of single tasks are no errors, see
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
        Type::UpdateFramework => required(wire.update_framework)
            .and_then(|wire| update_framework(wire, framework.clone()))
            .at("update_framework")?,
        Type::Request => required(wire.request).and_then(request).at("request")?,
        Type::AcceptInverseOffers => {
            required(wire.accept_inverse_offers).and_then(accept_inverse).at("accept_inverse_offers")?
        }
        Type::DeclineInverseOffers => {
            required(wire.decline_inverse_offers).and_then(decline_inverse).at("decline_inverse_offers")?
        }
        Type::AcknowledgeOperationStatus => required(wire.acknowledge_operation_status)
            .and_then(acknowledge_operation)
            .at("acknowledge_operation_status")?,
        Type::ReconcileOperations => {
            required(wire.reconcile_operations).and_then(reconcile_operations).at("reconcile_operations")?
        }
        Type::Shutdown => required(wire.shutdown).and_then(shutdown).at("shutdown")?,
    };
    Ok((framework, call))
}

/// A request of the gRPC door: its id, and the call or why there is none.
pub fn request_from_wire(
    wire: lonja::SchedulerRequest,
) -> (u64, Result<(Option<FrameworkId>, Call), Refusal>) {
    let call = match (wire.call, wire.unplaced) {
        (Some(_), Some(_)) => {
            let reason = "is set beside call, and one of them is not what was meant; set one";
            Err(Fault::Invalid(reason.to_owned())).at("unplaced")
        }
        (None, Some(report)) => unplaced_from_wire(report)
            .map(|(framework, tasks)| (Some(framework), Call::Unplaced { tasks }))
            .at("unplaced"),
        (call, None) => required(call).at("call").and_then(call_from_wire),
    };
    (wire.id, call)
}

/// A request of the gRPC door.
pub fn request_to_wire(id: u64, framework: Option<&FrameworkId>, call: &Call) -> lonja::SchedulerRequest {
    let unplaced = match call {
        Call::Unplaced { tasks } => Some(unplaced_to_wire(framework, tasks)),
        _ => None,
    };
    lonja::SchedulerRequest { id, call: call_to_wire(framework, call), unplaced }
}

/// The call as Mesos' API has it; `None` if it has no such call. SUBSCRIBE carries its own framework id; `framework` is
/// for the others.
pub fn call_to_wire(framework: Option<&FrameworkId>, call: &Call) -> Option<scheduler::Call> {
    let mut wire =
        scheduler::Call { framework_id: framework.map(framework_id_to_wire), ..Default::default() };
    let kind = match call {
        Call::Subscribe { framework, info, suppressed, constraints } => {
            wire.framework_id = framework.as_ref().map(framework_id_to_wire);
            wire.subscribe = Some(call::Subscribe {
                framework_info: framework_to_wire(framework.as_ref(), info),
                suppressed_roles: names(suppressed),
                offer_constraints: constraints_to_wire(constraints),
            });
            Type::Subscribe
        }
        Call::UpdateFramework { info, suppressed, constraints } => {
            wire.update_framework = Some(call::UpdateFramework {
                framework_info: framework_to_wire(framework, info),
                suppressed_roles: names(suppressed),
                offer_constraints: constraints_to_wire(constraints),
            });
            Type::UpdateFramework
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
        Call::Request { requests } => {
            let requests = requests.iter().map(resource_request_to_wire).collect();
            wire.request = Some(call::Request { requests });
            Type::Request
        }
        Call::AcceptInverseOffers { offers, filters } => {
            wire.accept_inverse_offers = Some(call::AcceptInverseOffers {
                inverse_offer_ids: offers.iter().map(offer_id_to_wire).collect(),
                filters: Some(filters_to_wire(*filters)),
            });
            Type::AcceptInverseOffers
        }
        Call::DeclineInverseOffers { offers, filters } => {
            wire.decline_inverse_offers = Some(call::DeclineInverseOffers {
                inverse_offer_ids: offers.iter().map(offer_id_to_wire).collect(),
                filters: Some(filters_to_wire(*filters)),
            });
            Type::DeclineInverseOffers
        }
        Call::AcknowledgeOperation { agent, operation, update } => {
            wire.acknowledge_operation_status = Some(call::AcknowledgeOperationStatus {
                agent_id: agent.as_ref().map(agent_id_to_wire),
                resource_provider_id: None,
                uuid: update.0.to_vec(),
                operation_id: operation_id_to_wire(operation),
            });
            Type::AcknowledgeOperationStatus
        }
        Call::ReconcileOperations { operations } => {
            let operation = |(operation, agent): &(_, Option<_>)| call::reconcile_operations::Operation {
                operation_id: operation_id_to_wire(operation),
                agent_id: agent.as_ref().map(agent_id_to_wire),
                resource_provider_id: None,
            };
            let operations = operations.iter().map(operation).collect();
            wire.reconcile_operations = Some(call::ReconcileOperations { operations });
            Type::ReconcileOperations
        }
        Call::Kill { .. }
        | Call::Acknowledge { .. }
        | Call::Reconcile { .. }
        | Call::Message { .. }
        | Call::ShutdownExecutor { .. } => put_task_call(&mut wire, call),
        Call::Unplaced { .. } => return None,
    };
    wire.set_type(kind);
    Some(wire)
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
        Call::ShutdownExecutor { agent, executor } => {
            wire.shutdown = Some(call::Shutdown {
                agent_id: agent_id_to_wire(agent),
                executor_id: executor_id_to_wire(executor),
            });
            Type::Shutdown
        }
        Call::Subscribe { .. }
        | Call::UpdateFramework { .. }
        | Call::Request { .. }
        | Call::AcceptInverseOffers { .. }
        | Call::DeclineInverseOffers { .. }
        | Call::AcknowledgeOperation { .. }
        | Call::ReconcileOperations { .. }
        | Call::Teardown
        | Call::Accept { .. }
        | Call::Decline { .. }
        | Call::Revive { .. }
        | Call::Suppress { .. }
        | Call::Unplaced { .. } => Type::Unknown,
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

fn offer_ids(wire: Vec<mesos::OfferId>, name: &str) -> Result<Vec<OfferId>, Refusal> {
    at_most(wire.len(), limits::OFFERS_PER_MESSAGE, name)?;
    let id = |(index, id)| offer_id_from_wire(Some(id)).at_index(name, index);
    wire.into_iter().enumerate().map(id).collect()
}

fn subscribe(wire: call::Subscribe, framework: Option<FrameworkId>) -> Result<Call, Refusal> {
    let (info, suppressed) = description(wire.framework_info, &wire.suppressed_roles, framework.as_ref())?;
    let constraints = constraints_from_wire(wire.offer_constraints).at("offer_constraints")?;
    Ok(Call::Subscribe { framework, info: Box::new(info), suppressed, constraints })
}

fn update_framework(wire: call::UpdateFramework, framework: Option<FrameworkId>) -> Result<Call, Refusal> {
    let (info, suppressed) = description(wire.framework_info, &wire.suppressed_roles, framework.as_ref())?;
    let constraints = constraints_from_wire(wire.offer_constraints).at("offer_constraints")?;
    Ok(Call::UpdateFramework { info: Box::new(info), suppressed, constraints })
}

/// What a framework says of itself, and the roles it wants no offers for as yet.
fn description(
    wire: mesos::FrameworkInfo,
    suppressed: &[String],
    framework: Option<&FrameworkId>,
) -> Result<(FrameworkInfo, BTreeSet<Role>), Refusal> {
    let (id, info) = framework_from_wire(wire).at("framework_info")?;
    if id.as_ref() != framework {
        let reason = "differs from the call's framework_id; set both to the framework's id, or none at first";
        return Err(Fault::Invalid(reason.to_owned())).at("framework_info.id");
    }
    let suppressed = roles_from_wire(suppressed).at("suppressed_roles")?;
    if let Some(role) = suppressed.iter().find(|role| !info.roles.contains(role)) {
        let reason = format!("names {role}, which is none of the framework's roles; leave it out");
        return Err(Fault::Invalid(reason)).at("suppressed_roles");
    }
    Ok((info, suppressed))
}

fn accept(wire: call::Accept) -> Result<Call, Refusal> {
    Ok(Call::Accept {
        offers: offer_ids(wire.offer_ids, "offer_ids")?,
        operations: operations_from_wire(wire.operations).at("operations")?,
        filters: filters_from_wire(wire.filters),
    })
}

fn decline(wire: call::Decline) -> Result<Call, Refusal> {
    let offers = offer_ids(wire.offer_ids, "offer_ids")?;
    Ok(Call::Decline { offers, filters: filters_from_wire(wire.filters) })
}

fn accept_inverse(wire: call::AcceptInverseOffers) -> Result<Call, Refusal> {
    let offers = offer_ids(wire.inverse_offer_ids, "inverse_offer_ids")?;
    Ok(Call::AcceptInverseOffers { offers, filters: filters_from_wire(wire.filters) })
}

fn decline_inverse(wire: call::DeclineInverseOffers) -> Result<Call, Refusal> {
    let offers = offer_ids(wire.inverse_offer_ids, "inverse_offer_ids")?;
    Ok(Call::DeclineInverseOffers { offers, filters: filters_from_wire(wire.filters) })
}

fn request(wire: call::Request) -> Result<Call, Refusal> {
    at_most(wire.requests.len(), limits::REQUESTS_PER_CALL, "requests")?;
    let request = |(index, wire)| resource_request_from_wire(wire).at_index("requests", index);
    let requests = wire.requests.into_iter().enumerate().map(request).collect::<Result<_, _>>()?;
    Ok(Call::Request { requests })
}

fn acknowledge_operation(wire: call::AcknowledgeOperationStatus) -> Result<Call, Refusal> {
    unsupported(wire.resource_provider_id.is_some(), "resource_provider_id", "a resource provider")?;
    Ok(Call::AcknowledgeOperation {
        agent: optional(wire.agent_id, agent_id_from_wire).at("agent_id")?,
        operation: operation_id_from_wire(wire.operation_id).at("operation_id")?,
        update: update_id_from_wire(&wire.uuid).at("uuid")?,
    })
}

fn reconcile_operations(wire: call::ReconcileOperations) -> Result<Call, Refusal> {
    at_most(wire.operations.len(), limits::OPERATIONS_PER_RECONCILE, "operations")?;
    let operation = |wire: call::reconcile_operations::Operation| -> Result<_, Refusal> {
        unsupported(wire.resource_provider_id.is_some(), "resource_provider_id", "a resource provider")?;
        let operation = operation_id_from_wire(wire.operation_id).at("operation_id")?;
        Ok((operation, optional(wire.agent_id, agent_id_from_wire).at("agent_id")?))
    };
    let operations = wire.operations.into_iter().enumerate();
    let operations = operations.map(|(index, wire)| operation(wire).at_index("operations", index));
    Ok(Call::ReconcileOperations { operations: operations.collect::<Result<_, Refusal>>()? })
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

fn shutdown(wire: call::Shutdown) -> Result<Call, Refusal> {
    Ok(Call::ShutdownExecutor {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        executor: executor_id_from_wire(wire.executor_id).at("executor_id")?,
    })
}

fn message(wire: call::Message) -> Result<Call, Refusal> {
    Ok(Call::Message {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        executor: executor_id_from_wire(wire.executor_id).at("executor_id")?,
        data: data(wire.data).at("data")?,
    })
}
