//! What a framework says of itself.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::framework::{Capability, FrameworkInfo};
use lonja_model::ids::FrameworkId;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::role::Role;

use super::ids::{
    LONGEST, framework_id_from_wire, framework_id_to_wire, labels_from_wire, labels_to_wire, optional,
    role_from_wire,
};
use super::refusal::{At, Fault, Refusal, at_most, optional_text, seconds, text};
use super::resources::{scalar_from_wire, scalar_to_wire};
use crate::limits;
use crate::mesos::framework_info::capability::Type;
use crate::mesos::offer_filters::{MinAllocatableResources, ResourceQuantities};
use crate::mesos::{self, OfferFilters, framework_info};

/// A framework's description, and its id if it stands there.
///
/// Capabilities of numbers unknown here are passed over: each only says what the framework would
/// understand. A failover timeout beyond [`LONGEST`] is cut to it.
///
/// Errors: roles are in the wrong field for the capabilities, twice, none at all or not well formed; the
/// failover timeout is no length of time; an offer filter is not well formed.
pub fn framework_from_wire(
    wire: mesos::FrameworkInfo,
) -> Result<(Option<FrameworkId>, FrameworkInfo), Refusal> {
    let capabilities = capabilities_from_wire(&wire.capabilities);
    let failover_timeout = seconds(wire.failover_timeout(), LONGEST).at("failover_timeout")?;
    let checkpoint = wire.checkpoint();
    let roles = roles_of(&wire, capabilities.contains(&Capability::MultiRole))?;
    let id = optional(wire.id, framework_id_from_wire).at("id")?;
    let info = FrameworkInfo {
        user: text(wire.user, limits::TEXT_BYTES).at("user")?,
        name: text(wire.name, limits::TEXT_BYTES).at("name")?,
        failover_timeout,
        checkpoint,
        hostname: optional_text(wire.hostname, "hostname")?,
        principal: optional_text(wire.principal, "principal")?,
        webui_url: optional_text(wire.webui_url, "webui_url")?,
        capabilities,
        labels: labels_from_wire(wire.labels).at("labels")?,
        roles,
        minimum_offers: minimum_offers_from_wire(wire.offer_filters).at("offer_filters")?,
    };
    Ok((id, info))
}

/// A framework's description with its id, as the wire has it.
///
/// Without MULTI_ROLE the first of its roles goes into the old field; there is no other then.
#[allow(deprecated, reason = "frameworks without MULTI_ROLE still say `role`")]
pub fn framework_to_wire(id: Option<&FrameworkId>, framework: &FrameworkInfo) -> mesos::FrameworkInfo {
    let many = framework.can(Capability::MultiRole);
    let roles = framework.roles.iter().map(Role::to_string);
    mesos::FrameworkInfo {
        user: framework.user.clone(),
        name: framework.name.clone(),
        id: id.map(framework_id_to_wire),
        failover_timeout: Some(framework.failover_timeout.as_secs_f64()),
        checkpoint: Some(framework.checkpoint),
        role: if many { None } else { roles.clone().next() },
        hostname: framework.hostname.clone(),
        principal: framework.principal.clone(),
        webui_url: framework.webui_url.clone(),
        capabilities: framework.capabilities.iter().map(|one| capability_to_wire(*one)).collect(),
        labels: labels_to_wire(&framework.labels),
        roles: if many { roles.collect() } else { Vec::new() },
        offer_filters: minimum_offers_to_wire(&framework.minimum_offers),
    }
}

#[allow(deprecated, reason = "frameworks without MULTI_ROLE still say `role`")]
fn roles_of(wire: &mesos::FrameworkInfo, many: bool) -> Result<BTreeSet<Role>, Refusal> {
    let refuse = |reason: &str| Err(Fault::Invalid(reason.to_owned()));
    if !many {
        if !wire.roles.is_empty() {
            return refuse("needs the capability MULTI_ROLE; add it, or use role").at("roles");
        }
        return Ok(BTreeSet::from([role_from_wire(wire.role()).at("role")?]));
    }
    if wire.role.is_some() {
        return refuse("does not go with the capability MULTI_ROLE; use roles").at("role");
    }
    if wire.roles.is_empty() {
        return refuse("is empty; name the roles to be offered resources for, such as *").at("roles");
    }
    roles_from_wire(&wire.roles).at("roles")
}

/// Distinct roles. Errors: one is none, or stands twice.
pub(super) fn roles_from_wire(wire: &[String]) -> Result<BTreeSet<Role>, Refusal> {
    at_most(wire.len(), limits::ROLES, "")?;
    let mut roles = BTreeSet::new();
    for (index, name) in wire.iter().enumerate() {
        if !roles.insert(role_from_wire(name).at_index("", index)?) {
            let reason = format!("{name:?} stands twice; name it once");
            return Err(Fault::Invalid(reason)).at_index("", index);
        }
    }
    Ok(roles)
}

fn capabilities_from_wire(wire: &[framework_info::Capability]) -> BTreeSet<Capability> {
    wire.iter().filter_map(|capability| capability_from_wire(capability.r#type())).collect()
}

fn capability_from_wire(wire: Type) -> Option<Capability> {
    match wire {
        Type::Unknown => None,
        Type::RevocableResources => Some(Capability::RevocableResources),
        Type::TaskKillingState => Some(Capability::TaskKillingState),
        Type::GpuResources => Some(Capability::GpuResources),
        Type::SharedResources => Some(Capability::SharedResources),
        Type::PartitionAware => Some(Capability::PartitionAware),
        Type::MultiRole => Some(Capability::MultiRole),
        Type::ReservationRefinement => Some(Capability::ReservationRefinement),
        Type::RegionAware => Some(Capability::RegionAware),
    }
}

fn capability_to_wire(capability: Capability) -> framework_info::Capability {
    let kind = match capability {
        Capability::RevocableResources => Type::RevocableResources,
        Capability::TaskKillingState => Type::TaskKillingState,
        Capability::GpuResources => Type::GpuResources,
        Capability::SharedResources => Type::SharedResources,
        Capability::PartitionAware => Type::PartitionAware,
        Capability::MultiRole => Type::MultiRole,
        Capability::ReservationRefinement => Type::ReservationRefinement,
        Capability::RegionAware => Type::RegionAware,
    };
    framework_info::Capability { r#type: Some(kind.into()) }
}

fn minimum_offers_from_wire(
    wire: BTreeMap<String, OfferFilters>,
) -> Result<BTreeMap<Role, Vec<Quantities>>, Refusal> {
    at_most(wire.len(), limits::ROLES, "")?;
    let mut minimum_offers = BTreeMap::new();
    for (name, filters) in wire {
        let here = format!("[{:?}]", name.chars().take(64).collect::<String>());
        let role = role_from_wire(&name).at(&here)?;
        let Some(minimum) = filters.min_allocatable_resources else { continue };
        at_most(minimum.quantities.len(), limits::MINIMUM_OFFERS, "quantities")
            .at("min_allocatable_resources")
            .at(&here)?;
        let alternatives = minimum.quantities.into_iter().enumerate().map(|(index, wire)| {
            quantities_from_wire(wire.quantities).at("quantities").at_index("quantities", index)
        });
        minimum_offers.insert(
            role,
            alternatives.collect::<Result<Vec<_>, _>>().at("min_allocatable_resources").at(&here)?,
        );
    }
    Ok(minimum_offers)
}

/// Amounts by name. Errors: one is no amount, or a name is empty.
pub fn quantities_from_wire(wire: BTreeMap<String, mesos::value::Scalar>) -> Result<Quantities, Refusal> {
    at_most(wire.len(), limits::MINIMUM_OFFERS, "")?;
    let mut quantities = Quantities::default();
    for (name, amount) in wire {
        let here = format!("[{:?}]", name.chars().take(64).collect::<String>());
        let name = text(name, limits::TEXT_BYTES).at(&here)?;
        if name.is_empty() {
            return Err(Fault::Missing).at(&here);
        }
        quantities.set(&name, scalar_from_wire(amount).at(&here)?);
    }
    Ok(quantities)
}

/// The amounts' form on the wire.
pub fn quantities_to_wire(quantities: &Quantities) -> BTreeMap<String, mesos::value::Scalar> {
    let entry = |(name, amount): (&str, Scalar)| (name.to_owned(), scalar_to_wire(amount));
    quantities.iter().map(entry).collect()
}

fn minimum_offers_to_wire(minimum: &BTreeMap<Role, Vec<Quantities>>) -> BTreeMap<String, OfferFilters> {
    let filters = |alternatives: &Vec<Quantities>| {
        let quantities =
            alternatives.iter().map(|one| ResourceQuantities { quantities: quantities_to_wire(one) });
        OfferFilters {
            min_allocatable_resources: Some(MinAllocatableResources { quantities: quantities.collect() }),
        }
    };
    minimum.iter().map(|(role, alternatives)| (role.to_string(), filters(alternatives))).collect()
}
