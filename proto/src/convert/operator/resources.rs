//! Reservations, volumes and operations.

use lonja_model::ids::AgentId;
use lonja_model::operation::{
    AgentOperation, Conversion, ConversionError, ConversionKind, OperationState, OperationStatus,
};
use lonja_model::resources::{Resource, Resources};

use crate::convert::ids::{agent_id_from_wire, agent_id_to_wire, framework_id_to_wire};
use crate::convert::refusal::{At, Fault, Refusal, required};
use crate::convert::resources::{
    Shape, resources_from_wire, resources_to_wire, scalar_from_wire, scalar_to_wire,
};
use crate::mesos;
use crate::mesos::master::call;
use crate::mesos::offer;
use crate::mesos::offer::operation;

type Asked = Result<(AgentId, Conversion), Refusal>;

/// RESERVE_RESOURCES: resources as they are to be, and as they are if that is not simply without the new layer.
pub fn reserve_from_wire(wire: call::ReserveResources) -> Asked {
    let asked = || {
        let agent = agent_id_from_wire(wire.agent_id).at("agent_id")?;
        let resources = resources_from_wire(wire.resources).at("resources")?;
        let source = resources_from_wire(wire.source).at("source")?;
        let conversion = Conversion::reserve(resources, Some(source)).map_err(fault).at("resources")?;
        Ok::<_, Refusal>((agent, conversion))
    };
    asked().at("reserve_resources")
}

/// UNRESERVE_RESOURCES: resources as they are.
pub fn unreserve_from_wire(wire: call::UnreserveResources) -> Asked {
    about(wire.agent_id, wire.resources, "resources", Conversion::unreserve).at("unreserve_resources")
}

/// CREATE_VOLUMES: volumes as they are to be.
pub fn create_from_wire(wire: call::CreateVolumes) -> Asked {
    about(wire.agent_id, wire.volumes, "volumes", Conversion::create).at("create_volumes")
}

/// DESTROY_VOLUMES: volumes as they are.
pub fn destroy_from_wire(wire: call::DestroyVolumes) -> Asked {
    about(wire.agent_id, wire.volumes, "volumes", Conversion::destroy).at("destroy_volumes")
}

/// GROW_VOLUME: the volume as it is, and disk to add to it.
pub fn grow_from_wire(wire: call::GrowVolume) -> Asked {
    let asked = || {
        let agent = agent_id_from_wire(wire.agent_id).at("agent_id")?;
        let volume = one(wire.volume).at("volume")?;
        let addition = one(wire.addition).at("addition")?;
        Ok::<_, Refusal>((agent, Conversion::grow(volume, addition).map_err(fault).at("volume")?))
    };
    asked().at("grow_volume")
}

/// SHRINK_VOLUME: the volume as it is, and how many MiB to take off.
pub fn shrink_from_wire(wire: call::ShrinkVolume) -> Asked {
    let asked = || {
        let agent = agent_id_from_wire(wire.agent_id).at("agent_id")?;
        let volume = one(wire.volume).at("volume")?;
        let subtract = scalar_from_wire(wire.subtract).at("subtract")?;
        Ok::<_, Refusal>((agent, Conversion::shrink(volume, subtract).map_err(fault).at("volume")?))
    };
    asked().at("shrink_volume")
}

fn about(
    agent: mesos::AgentId,
    resources: Vec<mesos::Resource>,
    field: &str,
    convert: impl FnOnce(Resources) -> Result<Conversion, ConversionError>,
) -> Asked {
    let agent = agent_id_from_wire(agent).at("agent_id")?;
    let resources = resources_from_wire(resources).at(field)?;
    Ok((agent, convert(resources).map_err(fault).at(field)?))
}

fn one(wire: mesos::Resource) -> Result<Resource, Refusal> {
    required(resources_from_wire(vec![wire])?.iter().next().cloned())
}

fn fault(error: ConversionError) -> Fault {
    Fault::Invalid(error.to_string())
}

/// A conversion as an operation of the wire.
pub fn conversion_to_wire(conversion: &Conversion) -> offer::Operation {
    let list = |resources: &Resources| resources_to_wire(resources, None, Shape::FULL);
    let single = |resource: Option<&Resource>| {
        let all = resource.and_then(|resource| Resources::of([resource.clone()]).ok()).unwrap_or_default();
        list(&all).into_iter().next().unwrap_or_default()
    };
    let (before, after) = (conversion.before(), conversion.after());
    let mut wire = offer::Operation::default();
    match conversion.kind() {
        ConversionKind::Reserve => {
            wire.set_type(operation::Type::Reserve);
            wire.reserve = Some(operation::Reserve { resources: list(after), source: list(before) });
        }
        ConversionKind::Unreserve => {
            wire.set_type(operation::Type::Unreserve);
            wire.unreserve = Some(operation::Unreserve { resources: list(before) });
        }
        ConversionKind::Create => {
            wire.set_type(operation::Type::Create);
            wire.create = Some(operation::Create { volumes: list(after) });
        }
        ConversionKind::Destroy => {
            wire.set_type(operation::Type::Destroy);
            wire.destroy = Some(operation::Destroy { volumes: list(before) });
        }
        ConversionKind::Grow => {
            wire.set_type(operation::Type::GrowVolume);
            let volume = single(before.iter().find(|resource| is_volume(resource)));
            let addition = single(before.iter().find(|resource| !is_volume(resource)));
            wire.grow_volume = Some(operation::GrowVolume { volume, addition });
        }
        ConversionKind::Shrink => {
            wire.set_type(operation::Type::ShrinkVolume);
            let freed = after.filter(|resource| !is_volume(resource)).scalar("disk");
            let volume = single(before.iter().next());
            wire.shrink_volume = Some(operation::ShrinkVolume { volume, subtract: scalar_to_wire(freed) });
        }
    }
    wire
}

fn is_volume(resource: &Resource) -> bool {
    resource.metadata().disk.as_ref().is_some_and(|disk| disk.persistence.is_some())
}

/// An operation as it stands, for those who watch.
pub fn operation_to_wire(
    agent: Option<&AgentId>,
    operation: &AgentOperation,
    status: &OperationStatus,
) -> mesos::Operation {
    let latest_status = operation_status_to_wire(status);
    mesos::Operation {
        framework_id: operation.framework.as_ref().map(framework_id_to_wire),
        agent_id: agent.or(status.agent.as_ref()).map(agent_id_to_wire),
        info: offer::Operation {
            id: operation.id.as_ref().map(|id| mesos::OperationId { value: id.as_str().to_owned() }),
            ..conversion_to_wire(&operation.conversion)
        },
        statuses: vec![latest_status.clone()],
        latest_status,
        uuid: mesos::Uuid { value: operation.uuid.0.to_vec() },
    }
}

/// What is said of an operation, as the wire has it.
pub fn operation_status_to_wire(status: &OperationStatus) -> mesos::OperationStatus {
    mesos::OperationStatus {
        operation_id: status
            .operation
            .as_ref()
            .map(|id| mesos::OperationId { value: id.as_str().to_owned() }),
        state: state_to_wire(status.state).into(),
        message: status.message.clone(),
        converted_resources: resources_to_wire(&status.converted, None, Shape::FULL),
        uuid: status.update.map(|update| mesos::Uuid { value: update.0.to_vec() }),
        agent_id: status.agent.as_ref().map(agent_id_to_wire),
        resource_provider_id: None,
    }
}

fn state_to_wire(state: OperationState) -> mesos::OperationState {
    match state {
        OperationState::Pending => mesos::OperationState::OperationPending,
        OperationState::Finished => mesos::OperationState::OperationFinished,
        OperationState::Failed => mesos::OperationState::OperationFailed,
        OperationState::Error => mesos::OperationState::OperationError,
        OperationState::Dropped => mesos::OperationState::OperationDropped,
        OperationState::Unreachable => mesos::OperationState::OperationUnreachable,
        OperationState::GoneByOperator => mesos::OperationState::OperationGoneByOperator,
        OperationState::Recovering => mesos::OperationState::OperationRecovering,
        OperationState::Unknown => mesos::OperationState::OperationUnknown,
    }
}
