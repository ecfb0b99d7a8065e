//! What roles are sure of, and what they may never exceed.
//!
//! A limit of 0 is refused: to the model a name without a limit is unlimited, and 0 must never come to mean that.
//! So is the role `*`, for which nothing can be promised.
//!
//! Source: Mesos v1 `quota.QuotaConfig`, `quota.QuotaRequest`, `quota.QuotaStatus`.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::quota::Quota;
use lonja_model::resources::{Metadata, Quantities, Resource, Scalar, Value};
use lonja_model::role::Role;

use super::framework::quantities_to_wire;
use super::ids::role_from_wire;
use super::refusal::{At, Fault, Refusal, at_most, text};
use super::resources::{Shape, resource_from_wire, resource_to_wire, scalar_from_wire};
use crate::limits;
use crate::mesos::{self, quota, value};

/// A role with its quota; `None`: neither guarantees nor limits are named, so the role is to have none.
///
/// Errors: the role is missing, `*` or none; an amount is negative, not finite or too large; a limit is 0; there are
/// more names than [`limits`] allow.
pub fn quota_from_wire(wire: quota::QuotaConfig) -> Result<(Role, Option<Quota>), Refusal> {
    let role = quota_role(&wire.role).at("role")?;
    let guarantees = amounts(wire.guarantees).at("guarantees")?;
    let limits = amounts(wire.limits).and_then(nonzero).at("limits")?;
    let quota = Quota { guarantees: quantities(&guarantees), limits: quantities(&limits) };
    Ok((role, Some(quota).filter(|quota| *quota != Quota::default())))
}

/// The quota's form on the wire; `None`: as a quota that asks for nothing, which takes the role's away.
pub fn quota_to_wire(role: &Role, quota: Option<&Quota>) -> quota::QuotaConfig {
    let amounts = |amounts: Option<&Quantities>| amounts.map(quantities_to_wire).unwrap_or_default();
    quota::QuotaConfig {
        role: role.to_string(),
        guarantees: amounts(quota.map(|quota| &quota.guarantees)),
        limits: amounts(quota.map(|quota| &quota.limits)),
    }
}

/// The quotas of an UPDATE_QUOTA. Errors: those of [`quota_from_wire`]; there are too many; a role stands twice.
pub fn quotas_from_wire(wire: Vec<quota::QuotaConfig>) -> Result<Vec<(Role, Option<Quota>)>, Refusal> {
    at_most(wire.len(), limits::QUOTAS, "")?;
    let mut seen = BTreeSet::new();
    let mut quotas = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let (role, quota) = quota_from_wire(wire).at_index("", index)?;
        if !seen.insert(role.clone()) {
            let reason = format!("names {role} for the second time; name each role once");
            return Err(Fault::Invalid(reason)).at("role").at_index("", index);
        }
        quotas.push((role, quota));
    }
    Ok(quotas)
}

/// The quota of a SET_QUOTA, the older way: what is guaranteed is the limit, too.
///
/// Errors: as for [`quota_from_wire`]; no resources are named, or one is no plain amount, or 0, or stands twice.
pub fn quota_request_from_wire(wire: quota::QuotaRequest) -> Result<(Role, Quota), Refusal> {
    let role = quota_role(wire.role.as_deref().unwrap_or_default()).at("role")?;
    at_most(wire.guarantee.len(), limits::NAMES_PER_QUOTA, "guarantee")?;
    if wire.guarantee.is_empty() {
        return Err(Fault::Missing).at("guarantee");
    }
    let mut amounts = BTreeMap::new();
    for (index, wire) in wire.guarantee.into_iter().enumerate() {
        let (name, amount) = plain_amount(wire).at_index("guarantee", index)?;
        if amounts.insert(name.clone(), amount).is_some() {
            let reason = format!("names {name:?} for the second time; name each resource once");
            return Err(Fault::Invalid(reason)).at("name").at_index("guarantee", index);
        }
    }
    let amounts = quantities(&nonzero(amounts).at("guarantee")?);
    Ok((role, Quota { guarantees: amounts.clone(), limits: amounts }))
}

/// The quotas of a GET_QUOTA. Errors: those of [`quotas_from_wire`].
pub fn quota_status_from_wire(wire: quota::QuotaStatus) -> Result<Vec<(Role, Quota)>, Refusal> {
    let quotas = quotas_from_wire(wire.configs).at("configs")?;
    Ok(quotas.into_iter().filter_map(|(role, quota)| Some((role, quota?))).collect())
}

/// The quotas as a GET_QUOTA shows them, the guarantees in the older form, too.
#[allow(deprecated, reason = "older clients read `infos`")]
pub fn quota_status_to_wire<'a>(
    quotas: impl IntoIterator<Item = (&'a Role, &'a Quota)>,
) -> quota::QuotaStatus {
    let mut status = quota::QuotaStatus::default();
    for (role, quota) in quotas {
        status.infos.push(quota::QuotaInfo {
            role: Some(role.to_string()),
            principal: None,
            guarantee: quota.guarantees.iter().filter_map(amount_to_wire).collect(),
        });
        status.configs.push(quota_to_wire(role, Some(quota)));
    }
    status
}

fn quota_role(name: &str) -> Result<Role, Refusal> {
    if name.is_empty() {
        return Err(Fault::Missing.into());
    }
    let role = role_from_wire(name)?;
    if role == Role::default_role() {
        let reason = "is `*`, which can have no quota; name another role";
        return Err(Fault::Invalid(reason.to_owned()).into());
    }
    Ok(role)
}

/// Amounts by name, also those of 0. Errors: there are too many; a name is empty or too long; an amount is none.
fn amounts(wire: BTreeMap<String, value::Scalar>) -> Result<BTreeMap<String, Scalar>, Refusal> {
    at_most(wire.len(), limits::NAMES_PER_QUOTA, "")?;
    let amount = |(name, amount): (String, value::Scalar)| {
        let here = format!("[{:?}]", name.chars().take(64).collect::<String>());
        if name.is_empty() {
            return Err(Fault::Missing).at(&here);
        }
        Ok((text(name, limits::TEXT_BYTES).at(&here)?, scalar_from_wire(amount).at(&here)?))
    };
    wire.into_iter().map(amount).collect()
}

/// Limits as they are. Errors: one is 0.
fn nonzero(amounts: BTreeMap<String, Scalar>) -> Result<BTreeMap<String, Scalar>, Refusal> {
    match amounts.iter().find(|(_, amount)| **amount == Scalar::ZERO) {
        None => Ok(amounts),
        Some((name, _)) => {
            let reason = "is 0, which is no limit here; give the least that makes sense, such as 0.001";
            let here = format!("[{:?}]", name.chars().take(64).collect::<String>());
            Err(Fault::Invalid(reason.to_owned())).at(&here)
        }
    }
}

fn quantities(amounts: &BTreeMap<String, Scalar>) -> Quantities {
    amounts.iter().map(|(name, amount)| (name.as_str(), *amount)).collect()
}

/// A name and an amount of nobody's in particular.
fn plain_amount(wire: mesos::Resource) -> Result<(String, Scalar), Refusal> {
    let resource = resource_from_wire(wire)?;
    if *resource.metadata() != Metadata::default() {
        let reason = "is reserved, revocable or a disk of its own; a quota is of plain amounts";
        return Err(Fault::Invalid(reason.to_owned()).into());
    }
    match resource.value() {
        Value::Scalar(amount) => Ok((resource.name().to_owned(), *amount)),
        Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => {
            Err(Fault::Invalid("is no amount; a quota is of scalars only".to_owned()).into())
        }
    }
}

/// `None`: the name cannot stand in a resource.
fn amount_to_wire((name, amount): (&str, Scalar)) -> Option<mesos::Resource> {
    let resource = Resource::new(name, Value::Scalar(amount)).ok()?;
    Some(resource_to_wire(&resource, None, Shape::FULL))
}
