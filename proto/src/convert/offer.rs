//! Offers, and how long what was refused stays away.

use lonja_model::offer::{Filters, Offer};
use lonja_model::role::Role;

use super::agent::{attributes_from_wire, attributes_to_wire, domain_from_wire, domain_to_wire, not_a_port};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, executor_id_from_wire, executor_id_to_wire, framework_id_from_wire,
    framework_id_to_wire, offer_id_from_wire, offer_id_to_wire, role_from_wire,
};
use super::refusal::{At, Refusal, at_most, seconds, text};
use super::resources::{Shape, resources_from_wire, resources_to_wire};
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
        resources: resources_from_wire(wire.resources).at("resources")?,
        attributes: attributes_from_wire(wire.attributes).at("attributes")?,
        domain: wire.domain.map(domain_from_wire).transpose().at("domain")?,
        executors: wire.executor_ids.into_iter().enumerate().map(executor).collect::<Result<_, _>>()?,
    })
}

/// An offer in the shape that its framework understands.
pub fn offer_to_wire(offer: &Offer, shape: Shape) -> mesos::Offer {
    let address =
        mesos::Address { hostname: Some(offer.hostname.clone()), ip: None, port: i32::from(offer.port) };
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
        unavailability: None,
        allocation_info: shape.roles.then(|| resource::AllocationInfo { role: Some(offer.role.to_string()) }),
        domain: offer.domain.as_ref().map(domain_to_wire),
    }
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
