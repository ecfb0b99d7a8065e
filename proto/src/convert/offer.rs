//! Offers, inverse offers, what offers are asked for, and how long what was refused stays away.
//!
//! Source: Mesos v1 `Offer`, `InverseOffer`, `Request`, `Filters`.

use std::net::IpAddr;

use lonja_model::offer::{Filters, InverseOffer, Offer, ResourceRequest};
use lonja_model::resources::{Metadata, Resource, Scalar, Value};
use lonja_model::role::Role;

use super::agent::{attributes_from_wire, attributes_to_wire, domain_from_wire, domain_to_wire, not_a_port};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, executor_id_from_wire, executor_id_to_wire, framework_id_from_wire,
    framework_id_to_wire, offer_id_from_wire, offer_id_to_wire, optional, role_from_wire,
};
use super::maintenance::{unavailability_from_wire, unavailability_to_wire};
use super::refusal::{At, Fault, Refusal, at_most, seconds, text, unsupported};
use super::resources::{
    Shape, all_resources_from_wire, resource_to_wire, resources_from_wire, resources_to_wire,
};
use crate::limits;
use crate::mesos::{self, resource};

/// An offer, as a framework reads it. One that names no role is for the default role.
///
/// Errors: a field is missing or not well formed.
pub fn offer_from_wire(wire: mesos::Offer) -> Result<Offer, Refusal> {
    at_most(wire.executor_ids.len(), limits::EXECUTORS_PER_OFFER, "executor_ids")?;
    let executor = |(index, id)| executor_id_from_wire(Some(id)).at_index("executor_ids", index);
    let role = wire.allocation_info.and_then(|info| info.role);
    let port = wire.url.map_or(0, |url| url.address.port);
    Ok(Offer {
        id: offer_id_from_wire(wire.id).at("id")?,
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        role: role
            .map_or_else(|| Ok(Role::default_role()), |role| role_from_wire(&role))
            .at("allocation_info.role")?,
        hostname: text(wire.hostname, limits::TEXT_BYTES).at("hostname")?,
        port: u16::try_from(port).map_err(|_| not_a_port(port)).at("url.address.port")?,
        resources: all_resources_from_wire(wire.resources).at("resources")?,
        attributes: attributes_from_wire(wire.attributes).at("attributes")?,
        domain: wire.domain.map(domain_from_wire).transpose().at("domain")?,
        unavailability: wire.unavailability.map(unavailability_from_wire).transpose().at("unavailability")?,
        executors: wire.executor_ids.into_iter().enumerate().map(executor).collect::<Result<_, _>>()?,
    })
}

/// An offer in the shape that its framework understands.
pub fn offer_to_wire(offer: &Offer, shape: Shape) -> mesos::Offer {
    let ip = offer.hostname.parse::<IpAddr>().ok();
    let address = mesos::Address {
        hostname: Some(offer.hostname.clone()),
        ip: ip.map(|ip| ip.to_string()),
        port: i32::from(offer.port),
    };
    mesos::Offer {
        id: offer_id_to_wire(&offer.id),
        framework_id: framework_id_to_wire(&offer.framework),
        agent_id: agent_id_to_wire(&offer.agent),
        hostname: offer.hostname.clone(),
        resources: resources_to_wire(&offer.resources, Some(&offer.role), shape),
        executor_ids: offer.executors.iter().map(executor_id_to_wire).collect(),
        attributes: attributes_to_wire(&offer.attributes),
        url: Some(mesos::Url {
            scheme: "http".to_owned(),
            address,
            path: Some("/slave(1)".to_owned()),
            ..Default::default()
        }),
        unavailability: offer.unavailability.as_ref().map(unavailability_to_wire),
        allocation_info: shape.roles.then(|| resource::AllocationInfo { role: Some(offer.role.to_string()) }),
        domain: offer.domain.as_ref().map(domain_to_wire),
    }
}

/// An inverse offer, as a framework reads it. Errors: a field is missing or not well formed; it is for single resources
/// and not for the whole agent, which is not supported yet.
pub fn inverse_offer_from_wire(wire: mesos::InverseOffer) -> Result<InverseOffer, Refusal> {
    unsupported(!wire.resources.is_empty(), "resources", "to give back single resources")?;
    Ok(InverseOffer {
        id: offer_id_from_wire(wire.id).at("id")?,
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        unavailability: unavailability_from_wire(wire.unavailability).at("unavailability")?,
    })
}

/// An inverse offer as the wire has it.
pub fn inverse_offer_to_wire(offer: &InverseOffer) -> mesos::InverseOffer {
    mesos::InverseOffer {
        id: offer_id_to_wire(&offer.id),
        url: None,
        framework_id: framework_id_to_wire(&offer.framework),
        agent_id: Some(agent_id_to_wire(&offer.agent)),
        unavailability: unavailability_to_wire(&offer.unavailability),
        resources: Vec::new(),
    }
}

/// What a framework asks to be offered: the amounts of the resources, for the role that they name as allocated.
///
/// Errors: an id, a role or a resource is not well formed; a resource is more than a plain amount, which no request
/// can ask for.
pub fn resource_request_from_wire(wire: mesos::Request) -> Result<ResourceRequest, Refusal> {
    let agent = optional(wire.agent_id, agent_id_from_wire).at("agent_id")?;
    let role = wire.resources.iter().enumerate().find_map(|(index, resource)| {
        let role = resource.allocation_info.as_ref()?.role.as_ref()?;
        Some(role_from_wire(role).at("allocation_info.role").at_index("resources", index))
    });
    let resources = resources_from_wire(wire.resources).at("resources")?;
    let is_plain = |resource: &&Resource| match resource.value() {
        Value::Scalar(_) | Value::Devices(_) => *resource.metadata() == Metadata::default(),
        Value::Ranges(_) | Value::Set(_) => false,
    };
    if let Some(other) = resources.iter().find(|resource| !is_plain(resource)) {
        let reason = format!(
            "asks for {other}, but only plain amounts can be asked for, such as cpus:2; leave it out"
        );
        return Err(Fault::Invalid(reason)).at("resources");
    }
    Ok(ResourceRequest { agent, role: role.transpose()?, needs: resources.quantities() })
}

/// A request as the wire has it. One for a role that needs nothing asks for 0 cpus, since the role stands in the
/// resources.
pub fn resource_request_to_wire(request: &ResourceRequest) -> mesos::Request {
    let amount = |(name, amount): (&str, Scalar)| {
        let resource = Resource::new(name, Value::Scalar(amount)).ok()?;
        Some(resource_to_wire(&resource, request.role.as_ref(), Shape::FULL))
    };
    let mut resources: Vec<_> = request.needs.iter().filter_map(amount).collect();
    if request.role.is_some() && request.needs.is_empty() {
        resources.extend(amount(("cpus", Scalar::ZERO)));
    }
    mesos::Request { agent_id: request.agent.as_ref().map(agent_id_to_wire), resources }
}

/// How long what was refused stays away. None at all, a negative number and what is not a number mean
/// 5 seconds, as in Mesos; more than [`Filters::MAX`] is cut to it.
pub fn filters_from_wire(wire: Option<mesos::Filters>) -> Filters {
    let refuse = wire.and_then(|filters| filters.refuse_seconds);
    match refuse {
        Some(refuse) if refuse == f64::INFINITY => Filters { refuse: Filters::MAX },
        Some(refuse) => seconds(refuse, Filters::MAX).map_or(Filters::DEFAULT, |refuse| Filters { refuse }),
        None => Filters::DEFAULT,
    }
}

/// The filters' form on the wire.
pub fn filters_to_wire(filters: Filters) -> mesos::Filters {
    mesos::Filters { refuse_seconds: Some(filters.refuse.as_secs_f64()) }
}
