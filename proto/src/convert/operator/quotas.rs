//! Quotas and weights.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Resource, Scalar, Value};
use lonja_model::role::Role;

use crate::convert::ids::role_from_wire;
use crate::convert::refusal::{At, Fault, Refusal, at_most, required};
use crate::convert::resources::{resources_from_wire, scalar_from_wire, scalar_to_wire};
use crate::mesos;
use crate::mesos::master::call;
use crate::mesos::quota::{QuotaConfig, QuotaInfo, QuotaStatus};
use crate::mesos::value;

/// Roles in one call.
const ROLES_PER_CALL: usize = 10_000;

/// Resources that one quota names.
const NAMES_PER_QUOTA: usize = 64;

/// The longest name of a resource, in bytes.
const NAME_BYTES: usize = 255;

/// Each role with its new quota; `None`: none.
pub type Changes = Vec<(Role, Option<Quota>)>;

/// UPDATE_QUOTA: each role with its quota, one that says nothing as none; and whether it is forced.
///
/// Errors: a role or an amount is none, a role stands twice or is the default one, or there are too many.
pub fn quotas_from_wire(wire: call::UpdateQuota) -> Result<(Changes, bool), Refusal> {
    let force = wire.force();
    at_most(wire.quota_configs.len(), ROLES_PER_CALL, "update_quota.quota_configs")?;
    let mut seen = BTreeSet::new();
    let one = |(index, config): (usize, QuotaConfig)| {
        let one = config_from_wire(config).and_then(|(role, quota)| {
            once(&mut seen, &role)?;
            Ok((role, quota))
        });
        one.at_index("update_quota.quota_configs", index)
    };
    let quotas = wire.quota_configs.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
    Ok((quotas, force))
}

/// Notes that a role was named. Errors: it was before.
fn once(seen: &mut BTreeSet<Role>, role: &Role) -> Result<(), Refusal> {
    if seen.insert(role.clone()) {
        return Ok(());
    }
    Err(Fault::Invalid(format!("{role} stands twice; name each role once"))).at("role")
}

fn config_from_wire(wire: QuotaConfig) -> Result<(Role, Option<Quota>), Refusal> {
    let role = owner(&wire.role).at("role")?;
    let guarantees = amounts(wire.guarantees, "guarantees", false)?;
    let limits = amounts(wire.limits, "limits", true)?;
    Ok((role, some(Quota { guarantees, limits })))
}

fn some(quota: Quota) -> Option<Quota> {
    (quota != Quota::default()).then_some(quota)
}

/// A role that may have a quota.
fn owner(name: &str) -> Result<Role, Refusal> {
    if name.is_empty() {
        return required(None);
    }
    let role = role_from_wire(name)?;
    if role == Role::default_role() {
        let reason = "`*` is everybody's role and can have no quota; name another";
        return Err(Fault::Invalid(reason.to_owned()).into());
    }
    Ok(role)
}

fn amounts(
    wire: BTreeMap<String, value::Scalar>,
    field: &str,
    is_limit: bool,
) -> Result<Quantities, Refusal> {
    at_most(wire.len(), NAMES_PER_QUOTA, field)?;
    let mut amounts = Quantities::default();
    for (name, wire) in wire {
        let bytes = name.len();
        if name.is_empty() || bytes > NAME_BYTES {
            let reason = format!("a resource's name has 1 to {NAME_BYTES} bytes, this one {bytes}");
            return Err(Fault::Invalid(reason)).at(field);
        }
        let here = format!("{field}[{name:?}]");
        let amount = scalar_from_wire(wire).at(&here)?;
        if is_limit && amount == Scalar::ZERO {
            let reason =
                "a limit of 0 cannot be told from none; give 0.001 so that the role gets nothing of use";
            return Err(Fault::Invalid(reason.to_owned())).at(&here);
        }
        amounts.set(&name, amount);
    }
    Ok(amounts)
}

/// SET_QUOTA, the older way: what is guaranteed is the limit as well.
///
/// Errors: as [`quotas_from_wire`], and a guarantee that is no plain amount.
pub fn quota_request_from_wire(wire: call::SetQuota) -> Result<(Role, Option<Quota>, bool), Refusal> {
    let request = wire.quota_request;
    let force = request.force();
    let role = owner(request.role()).at("set_quota.quota_request.role")?;
    let guarantee = resources_from_wire(request.guarantee).at("set_quota.quota_request.guarantee")?;
    let is_plain = |resource: &Resource| {
        let plain = resource.metadata().reservations.is_empty() && !resource.metadata().revocable;
        plain && resource.metadata().disk.is_none() && matches!(resource.value(), Value::Scalar(_))
    };
    if let Some(other) = guarantee.iter().find(|resource| !is_plain(resource)) {
        let reason =
            format!("{other} is not a plain amount; give scalars without reservation, disk or revocable");
        return Err(Fault::Invalid(reason)).at("set_quota.quota_request.guarantee");
    }
    let amounts = guarantee.quantities();
    Ok((role, some(Quota { guarantees: amounts.clone(), limits: amounts }), force))
}

/// REMOVE_QUOTA, the older way.
pub fn quota_removal_from_wire(wire: &call::RemoveQuota) -> Result<Role, Refusal> {
    owner(&wire.role).at("remove_quota.role")
}

/// UPDATE_WEIGHTS: each role once, with a weight of 0.001 at least.
pub fn weights_from_wire(wire: call::UpdateWeights) -> Result<Vec<(Role, Scalar)>, Refusal> {
    at_most(wire.weight_infos.len(), ROLES_PER_CALL, "update_weights.weight_infos")?;
    let mut seen = BTreeSet::new();
    let one = |(index, info): (usize, mesos::WeightInfo)| {
        let one = weight_from_wire(&info).and_then(|(role, weight)| {
            once(&mut seen, &role)?;
            Ok((role, weight))
        });
        one.at_index("update_weights.weight_infos", index)
    };
    wire.weight_infos.into_iter().enumerate().map(one).collect()
}

fn weight_from_wire(wire: &mesos::WeightInfo) -> Result<(Role, Scalar), Refusal> {
    if wire.role().is_empty() {
        return required(None).at("role");
    }
    let role = role_from_wire(wire.role()).at("role")?;
    let weight = Scalar::from_f64(wire.weight).map_err(Fault::from).at("weight")?;
    if weight == Scalar::ZERO {
        return Err(Fault::Invalid("must be at least 0.001".to_owned())).at("weight");
    }
    Ok((role, weight))
}

/// Amounts by name, as the wire has them.
pub fn quantities_to_wire(quantities: &Quantities) -> BTreeMap<String, value::Scalar> {
    quantities.iter().map(|(name, amount)| (name.to_owned(), scalar_to_wire(amount))).collect()
}

/// One role's quota, as the wire has it.
pub fn quota_to_wire(role: &Role, quota: &Quota) -> QuotaConfig {
    QuotaConfig {
        role: role.to_string(),
        guarantees: quantities_to_wire(&quota.guarantees),
        limits: quantities_to_wire(&quota.limits),
    }
}

/// All quotas, the guarantees also in the older form.
#[allow(deprecated, reason = "the old form is still read")]
pub fn quota_status_to_wire<'q>(quotas: impl Iterator<Item = (&'q Role, &'q Quota)>) -> QuotaStatus {
    let mut status = QuotaStatus::default();
    for (role, quota) in quotas {
        let scalar = |(name, amount): (&str, Scalar)| mesos::Resource {
            name: name.to_owned(),
            r#type: value::Type::Scalar.into(),
            scalar: Some(scalar_to_wire(amount)),
            ..Default::default()
        };
        status.infos.push(QuotaInfo {
            role: Some(role.to_string()),
            principal: None,
            guarantee: quota.guarantees.iter().map(scalar).collect(),
        });
        status.configs.push(quota_to_wire(role, quota));
    }
    status
}

/// The amounts of a map of the wire, for who reads an answer; what is no amount is left out.
pub fn quantities_from_answer(wire: &BTreeMap<String, value::Scalar>) -> Quantities {
    let amount = |(name, wire): (&'_ String, &value::Scalar)| {
        Scalar::from_f64(wire.value).ok().map(|amount| (name.clone(), amount))
    };
    let mut quantities = Quantities::default();
    for (name, amount) in wire.iter().filter_map(amount) {
        quantities.set(&name, amount);
    }
    quantities
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(role: &str, guarantees: &[(&str, f64)], limits: &[(&str, f64)]) -> QuotaConfig {
        let map = |amounts: &[(&str, f64)]| {
            amounts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value::Scalar { value: *value }))
                .collect()
        };
        QuotaConfig { role: role.into(), guarantees: map(guarantees), limits: map(limits) }
    }

    fn update(quota_configs: Vec<QuotaConfig>) -> Result<Changes, String> {
        let wire = call::UpdateQuota { force: None, quota_configs };
        quotas_from_wire(wire).map(|(quotas, _)| quotas).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_quota_survives_the_round_trip() {
        let wire = config("eng/web", &[("cpus", 1.5)], &[("cpus", 4.0), ("mem", 1024.0)]);
        let quotas = update(vec![wire.clone()]).unwrap();
        let [(role, Some(quota))] = &quotas[..] else { panic!("{quotas:?}") };
        assert_eq!(quota_to_wire(role, quota), wire);
    }

    #[test]
    fn a_quota_that_says_nothing_is_none() {
        assert_eq!(update(vec![config("eng", &[], &[])]).unwrap()[0].1, None);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let cases = [
            (vec![config("", &[], &[])], "update_quota.quota_configs[0].role: "),
            (vec![config("*", &[], &[])], "update_quota.quota_configs[0].role: "),
            (vec![config("a", &[], &[]), config("a//b", &[], &[])], "update_quota.quota_configs[1].role: "),
            (vec![config("a", &[], &[]), config("a", &[], &[])], "update_quota.quota_configs[1].role: "),
            (
                vec![config("a", &[("cpus", -1.0)], &[])],
                "update_quota.quota_configs[0].guarantees[\"cpus\"].value: ",
            ),
            (
                vec![config("a", &[("cpus", f64::NAN)], &[])],
                "update_quota.quota_configs[0].guarantees[\"cpus\"].value: ",
            ),
            (vec![config("a", &[], &[("cpus", 0.0)])], "update_quota.quota_configs[0].limits[\"cpus\"]: "),
            (vec![config("a", &[], &[("", 1.0)])], "update_quota.quota_configs[0].limits: "),
        ];
        for (configs, field) in cases {
            let refusal = update(configs).unwrap_err();
            assert!(refusal.starts_with(field), "{refusal}");
        }
        let many: Vec<_> = (0..100).map(|n| (format!("r{n}"), value::Scalar { value: 1.0 })).collect();
        let wire = QuotaConfig { guarantees: many.into_iter().collect(), ..config("a", &[], &[]) };
        assert!(update(vec![wire]).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn weights_are_above_zero_and_each_role_stands_once() {
        let weights = |infos: &[(&str, f64)]| {
            let info = |(role, weight): &(&str, f64)| mesos::WeightInfo {
                weight: *weight,
                role: Some((*role).to_owned()),
            };
            let wire = call::UpdateWeights { weight_infos: infos.iter().map(info).collect() };
            weights_from_wire(wire).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(
            weights(&[("a", 2.5)]).unwrap(),
            [(Role::new("a").unwrap(), Scalar::from_thousandths(2500).unwrap())]
        );
        for (infos, field) in [
            (vec![("a", 1.0), ("b", 0.0)], "update_weights.weight_infos[1].weight: "),
            (vec![("a", -1.0)], "update_weights.weight_infos[0].weight: "),
            (vec![("", 1.0)], "update_weights.weight_infos[0].role: "),
            (vec![("a", 1.0), ("a", 2.0)], "update_weights.weight_infos[1].role: "),
        ] {
            let refusal = weights(&infos).unwrap_err();
            assert!(refusal.starts_with(field), "{refusal}");
        }
    }
}
