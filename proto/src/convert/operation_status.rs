//! What is said about an operation, and an operation as its agent and operators see it.
//!
//! Source: Mesos v1 `OperationStatus`, `Operation`, event UPDATE_OPERATION_STATUS.

use lonja_model::operation::{AgentOperation, OperationRecord, OperationState, OperationStatus};

use super::conversion::{conversion_from_wire, conversion_to_wire};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, framework_id_from_wire, framework_id_to_wire,
    operation_id_from_wire, operation_id_to_wire, operation_uuid_from_wire, optional, update_id_from_wire,
};
use super::refusal::{At, Fault, Refusal, known, optional_text, unsupported};
use super::resources::{Shape, resources_from_wire, resources_to_wire};
use super::status::cut;
use crate::mesos::{self, Uuid};

/// What is said about an operation.
///
/// Errors: the state is missing or none; an id or a resource is not well formed; a resource provider is named, which
/// is not supported yet.
pub fn operation_status_from_wire(wire: mesos::OperationStatus) -> Result<OperationStatus, Refusal> {
    unsupported(wire.resource_provider_id.is_some(), "resource_provider_id", "a resource provider")?;
    Ok(OperationStatus {
        operation: optional(wire.operation_id, operation_id_from_wire).at("operation_id")?,
        state: state_from_wire(wire.state).at("state")?,
        message: optional_text(wire.message, "message")?,
        converted: resources_from_wire(wire.converted_resources).at("converted_resources")?,
        update: wire.uuid.map(|uuid| update_id_from_wire(&uuid.value)).transpose().at("value").at("uuid")?,
        agent: optional(wire.agent_id, agent_id_from_wire).at("agent_id")?,
    })
}

/// The status as the wire has it, resources in the shape that the reader understands. A message longer than the
/// reader takes is cut.
pub fn operation_status_to_wire(status: &OperationStatus, shape: Shape) -> mesos::OperationStatus {
    mesos::OperationStatus {
        operation_id: status.operation.as_ref().map(operation_id_to_wire),
        state: state_to_wire(status.state).into(),
        message: status.message.as_deref().map(cut),
        converted_resources: resources_to_wire(&status.converted, None, shape),
        uuid: status.update.map(|update| Uuid { value: update.0.to_vec() }),
        agent_id: status.agent.as_ref().map(agent_id_to_wire),
        resource_provider_id: None,
    }
}

/// The state of this number. Errors: it is missing, or there is none.
pub fn state_from_wire(wire: i32) -> Result<OperationState, Refusal> {
    use mesos::OperationState as Wire;
    Ok(match known(wire, "OperationState")? {
        // Zero: also what a state reads as that is not there.
        Wire::OperationUnsupported => return Err(Fault::Missing.into()),
        Wire::OperationPending => OperationState::Pending,
        Wire::OperationFinished => OperationState::Finished,
        Wire::OperationFailed => OperationState::Failed,
        Wire::OperationError => OperationState::Error,
        Wire::OperationDropped => OperationState::Dropped,
        Wire::OperationUnreachable => OperationState::Unreachable,
        Wire::OperationGoneByOperator => OperationState::GoneByOperator,
        Wire::OperationRecovering => OperationState::Recovering,
        Wire::OperationUnknown => OperationState::Unknown,
    })
}

/// The state's form on the wire.
pub fn state_to_wire(state: OperationState) -> mesos::OperationState {
    use mesos::OperationState as Wire;
    match state {
        OperationState::Pending => Wire::OperationPending,
        OperationState::Finished => Wire::OperationFinished,
        OperationState::Failed => Wire::OperationFailed,
        OperationState::Error => Wire::OperationError,
        OperationState::Dropped => Wire::OperationDropped,
        OperationState::Unreachable => Wire::OperationUnreachable,
        OperationState::GoneByOperator => Wire::OperationGoneByOperator,
        OperationState::Recovering => Wire::OperationRecovering,
        OperationState::Unknown => Wire::OperationUnknown,
    }
}

/// An operation and where it stands.
///
/// Errors: those of [`conversion_from_wire`] and [`operation_status_from_wire`]; the uuid or an id is not well formed.
pub fn agent_operation_from_wire(
    wire: mesos::Operation,
) -> Result<(AgentOperation, OperationStatus), Refusal> {
    let operation = AgentOperation {
        uuid: operation_uuid_from_wire(&wire.uuid.value).at("value").at("uuid")?,
        framework: optional(wire.framework_id, framework_id_from_wire).at("framework_id")?,
        id: optional(wire.info.id.clone(), operation_id_from_wire).at("info.id")?,
        conversion: conversion_from_wire(wire.info).at("info")?,
    };
    Ok((operation, operation_status_from_wire(wire.latest_status).at("latest_status")?))
}

/// An operation and where it stands, as the wire has it. Of its statuses only the latest is known.
pub fn agent_operation_to_wire(operation: &AgentOperation, status: &OperationStatus) -> mesos::Operation {
    let status = operation_status_to_wire(status, Shape::FULL);
    mesos::Operation {
        framework_id: operation.framework.as_ref().map(framework_id_to_wire),
        agent_id: status.agent_id.clone(),
        info: mesos::offer::Operation {
            id: operation.id.as_ref().map(operation_id_to_wire),
            ..conversion_to_wire(&operation.conversion)
        },
        latest_status: status,
        statuses: Vec::new(),
        uuid: Uuid { value: operation.uuid.0.to_vec() },
    }
}

/// An operation that its agent has dealt with. Errors: those of [`agent_operation_from_wire`]; it is pending.
pub fn operation_record_from_wire(wire: mesos::Operation) -> Result<OperationRecord, Refusal> {
    let (operation, status) = agent_operation_from_wire(wire)?;
    if status.state == OperationState::Pending {
        let reason = "is OPERATION_PENDING; tell of an operation once it is done, or could not be";
        return Err(Fault::Invalid(reason.to_owned())).at("latest_status.state");
    }
    Ok(OperationRecord { operation, status })
}

/// An operation that its agent has dealt with, as the wire has it.
pub fn operation_record_to_wire(record: &OperationRecord) -> mesos::Operation {
    agent_operation_to_wire(&record.operation, &record.status)
}
