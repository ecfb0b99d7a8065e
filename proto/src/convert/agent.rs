//! What an agent says of itself.

use std::collections::BTreeSet;

use lonja_model::agent::{AgentCapability, AgentInfo, Domain};
use lonja_model::attributes::{AttributeValue, Attributes};

use super::ids::{agent_id_from_wire, agent_id_to_wire, optional};
use super::refusal::{At, Fault, Refusal, at_most, known, required, text};
use super::resources::{
    Shape, ranges_from_wire, ranges_to_wire, resources_from_wire, resources_to_wire, scalar_from_wire,
    scalar_to_wire,
};
use crate::limits;
use crate::mesos::agent_info::capability::Type;
use crate::mesos::domain_info::{FaultDomain, fault_domain};
use crate::mesos::{self, value};

/// An agent's description. Errors: the host name is missing, the port is none, or a resource, an
/// attribute or the domain is not well formed.
pub fn agent_info_from_wire(wire: mesos::AgentInfo) -> Result<AgentInfo, Refusal> {
    let port = wire.port();
    if wire.hostname.is_empty() {
        return Err(Fault::Missing).at("hostname");
    }
    Ok(AgentInfo {
        hostname: text(wire.hostname, limits::TEXT_BYTES).at("hostname")?,
        port: u16::try_from(port).map_err(|_| not_a_port(port)).at("port")?,
        resources: resources_from_wire(wire.resources).at("resources")?,
        attributes: attributes_from_wire(wire.attributes).at("attributes")?,
        domain: wire.domain.map(domain_from_wire).transpose().at("domain")?,
        id: optional(wire.id, agent_id_from_wire).at("id")?,
    })
}

/// An agent's description as the wire has it, resources in their newest form.
pub fn agent_info_to_wire(agent: &AgentInfo) -> mesos::AgentInfo {
    mesos::AgentInfo {
        hostname: agent.hostname.clone(),
        port: Some(i32::from(agent.port)),
        resources: resources_to_wire(&agent.resources, None, Shape::FULL),
        attributes: attributes_to_wire(&agent.attributes),
        domain: agent.domain.as_ref().map(domain_to_wire),
        id: agent.id.as_ref().map(agent_id_to_wire),
    }
}

/// What an agent can do; what this release does not know of is passed over.
pub fn agent_capabilities_from_wire(wire: &[mesos::agent_info::Capability]) -> BTreeSet<AgentCapability> {
    let known = |wire: &mesos::agent_info::Capability| match wire.r#type() {
        Type::Unknown | Type::ResourceProvider => None,
        Type::MultiRole => Some(AgentCapability::MultiRole),
        Type::HierarchicalRole => Some(AgentCapability::HierarchicalRole),
        Type::ReservationRefinement => Some(AgentCapability::ReservationRefinement),
        Type::ResizeVolume => Some(AgentCapability::ResizeVolume),
        Type::AgentOperationFeedback => Some(AgentCapability::AgentOperationFeedback),
        Type::AgentDraining => Some(AgentCapability::AgentDraining),
        Type::TaskResourceLimits => Some(AgentCapability::TaskResourceLimits),
    };
    wire.iter().filter_map(known).collect()
}

/// What an agent can do, as the wire has it.
pub fn agent_capabilities_to_wire(
    capabilities: &BTreeSet<AgentCapability>,
) -> Vec<mesos::agent_info::Capability> {
    let kind = |capability: &AgentCapability| match capability {
        AgentCapability::MultiRole => Type::MultiRole,
        AgentCapability::HierarchicalRole => Type::HierarchicalRole,
        AgentCapability::ReservationRefinement => Type::ReservationRefinement,
        AgentCapability::ResizeVolume => Type::ResizeVolume,
        AgentCapability::AgentOperationFeedback => Type::AgentOperationFeedback,
        AgentCapability::AgentDraining => Type::AgentDraining,
        AgentCapability::TaskResourceLimits => Type::TaskResourceLimits,
    };
    let to_wire = |capability| mesos::agent_info::Capability { r#type: Some(kind(capability).into()) };
    capabilities.iter().map(to_wire).collect()
}

pub(super) fn not_a_port(port: impl std::fmt::Display) -> Fault {
    Fault::Invalid(format!("{port} is no port; give a number from 0 to 65535"))
}

/// An agent's attributes. Errors: there are too many, or one is a set or not well formed.
pub fn attributes_from_wire(wire: Vec<mesos::Attribute>) -> Result<Attributes, Refusal> {
    at_most(wire.len(), limits::ATTRIBUTES, "")?;
    let attribute = |(index, wire)| attribute_from_wire(wire).at_index("", index);
    wire.into_iter().enumerate().map(attribute).collect::<Result<_, _>>().map(Attributes)
}

/// The attributes' form on the wire.
pub fn attributes_to_wire(attributes: &Attributes) -> Vec<mesos::Attribute> {
    attributes.0.iter().map(|(name, value)| attribute_to_wire(name, value)).collect()
}

fn attribute_from_wire(wire: mesos::Attribute) -> Result<(String, AttributeValue), Refusal> {
    if wire.name.is_empty() {
        return Err(Fault::Missing).at("name");
    }
    let name = text(wire.name, limits::TEXT_BYTES).at("name")?;
    let value = match known(wire.r#type, "Value.Type").at("type")? {
        value::Type::Scalar => {
            AttributeValue::Scalar(required(wire.scalar).and_then(scalar_from_wire).at("scalar")?)
        }
        value::Type::Ranges => {
            AttributeValue::Ranges(required(wire.ranges).and_then(ranges_from_wire).at("ranges")?)
        }
        value::Type::Text => {
            let value = required(wire.text).at("text")?.value;
            AttributeValue::Text(text(value, limits::TEXT_BYTES).at("text.value")?)
        }
        value::Type::Set => {
            let reason = "SET is no type of an attribute; use SCALAR, RANGES or TEXT";
            return Err(Fault::Invalid(reason.to_owned())).at("type");
        }
    };
    Ok((name, value))
}

fn attribute_to_wire(name: &str, value: &AttributeValue) -> mesos::Attribute {
    let mut wire = mesos::Attribute { name: name.to_owned(), ..Default::default() };
    match value {
        AttributeValue::Scalar(scalar) => {
            wire.set_type(value::Type::Scalar);
            wire.scalar = Some(scalar_to_wire(*scalar));
        }
        AttributeValue::Ranges(ranges) => {
            wire.set_type(value::Type::Ranges);
            wire.ranges = Some(ranges_to_wire(ranges));
        }
        AttributeValue::Text(text) => {
            wire.set_type(value::Type::Text);
            wire.text = Some(value::Text { value: text.clone() });
        }
    }
    wire
}

/// A place. Errors: the region or the zone is missing.
pub fn domain_from_wire(wire: mesos::DomainInfo) -> Result<Domain, Refusal> {
    let name = |name: String, field: &str| {
        let name = required((!name.is_empty()).then_some(name));
        name.and_then(|name| text(name, limits::TEXT_BYTES)).at("name").at(field).at("fault_domain")
    };
    let place = required(wire.fault_domain).at("fault_domain")?;
    Ok(Domain { region: name(place.region.name, "region")?, zone: name(place.zone.name, "zone")? })
}

/// The place's form on the wire.
pub fn domain_to_wire(domain: &Domain) -> mesos::DomainInfo {
    mesos::DomainInfo {
        fault_domain: Some(FaultDomain {
            region: fault_domain::RegionInfo { name: domain.region.clone() },
            zone: fault_domain::ZoneInfo { name: domain.zone.clone() },
        }),
    }
}
