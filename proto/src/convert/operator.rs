//! What operators ask of the master about sharing, reservations and maintenance.
//!
//! Each function takes the message of one call and names fields from the call on, such as
//! `update_quota.quota_configs[2].limits["cpus"]`. Whether what is asked is possible now is the master's business.
//!
//! Source: Mesos v1 operator API of the master.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::ids::AgentId;
use lonja_model::maintenance::{Drain, MachineId, Window};
use lonja_model::operation::Conversion;
use lonja_model::quota::Quota;
use lonja_model::resources::Scalar;
use lonja_model::role::Role;

use super::conversion::conversion_from_wire;
use super::ids::{agent_id_from_wire, role_from_wire};
use super::refusal::{At, Fault, Refusal, at_most, required};
use super::{maintenance, quota};
use crate::mesos::master::call;
use crate::mesos::offer::{self, operation};
use crate::wire::google::protobuf;
use crate::{limits, mesos};

/// Each role with its new quota; `None`: none.
pub type Quotas = Vec<(Role, Option<Quota>)>;

/// UPDATE_QUOTA, and whether it is forced. Errors: those of [`quota::quotas_from_wire`].
pub fn update_quota_from_wire(wire: call::UpdateQuota) -> Result<(Quotas, bool), Refusal> {
    let force = wire.force();
    Ok((quota::quotas_from_wire(wire.quota_configs).at("update_quota.quota_configs")?, force))
}

/// SET_QUOTA, the older way, and whether it is forced. Errors: those of [`quota::quota_request_from_wire`].
pub fn set_quota_from_wire(wire: call::SetQuota) -> Result<(Quotas, bool), Refusal> {
    let force = wire.quota_request.force();
    let (role, quota) = quota::quota_request_from_wire(wire.quota_request).at("set_quota.quota_request")?;
    Ok((vec![(role, Some(quota))], force))
}

/// REMOVE_QUOTA, the older way. Errors: the role is none.
pub fn remove_quota_from_wire(wire: &call::RemoveQuota) -> Result<Quotas, Refusal> {
    Ok(vec![(role_from_wire(&wire.role).at("remove_quota.role")?, None)])
}

/// UPDATE_WEIGHTS: each role once, with a weight of 0.001 at least.
///
/// Errors: there are too many; a role is none, or stands twice; a weight is none, or 0.
pub fn update_weights_from_wire(wire: call::UpdateWeights) -> Result<Vec<(Role, Scalar)>, Refusal> {
    const FIELD: &str = "update_weights.weight_infos";
    at_most(wire.weight_infos.len(), limits::QUOTAS, FIELD)?;
    let mut seen = BTreeSet::new();
    let one = |(index, info): (usize, mesos::WeightInfo)| {
        let one = weight_from_wire(&info).and_then(|(role, weight)| {
            if seen.insert(role.clone()) {
                return Ok((role, weight));
            }
            let reason = format!("names {role} for the second time; name each role once");
            Err(Fault::Invalid(reason)).at("role")
        });
        one.at_index(FIELD, index)
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

/// RESERVE_RESOURCES: resources as they are to be, and as they are if that is not simply without the new layer.
/// Errors: as for all conversions, those of [`conversion_from_wire`], and an id that is none.
pub fn reserve_from_wire(wire: call::ReserveResources) -> Result<(AgentId, Conversion), Refusal> {
    let reserve = operation::Reserve { resources: wire.resources, source: wire.source };
    let operation = offer::Operation { reserve: Some(reserve), ..typed(operation::Type::Reserve) };
    asked(wire.agent_id, operation, "reserve", "reserve_resources")
}

/// UNRESERVE_RESOURCES: resources as they are.
pub fn unreserve_from_wire(wire: call::UnreserveResources) -> Result<(AgentId, Conversion), Refusal> {
    let unreserve = operation::Unreserve { resources: wire.resources };
    let operation = offer::Operation { unreserve: Some(unreserve), ..typed(operation::Type::Unreserve) };
    asked(wire.agent_id, operation, "unreserve", "unreserve_resources")
}

/// CREATE_VOLUMES: volumes as they are to be.
pub fn create_from_wire(wire: call::CreateVolumes) -> Result<(AgentId, Conversion), Refusal> {
    let create = operation::Create { volumes: wire.volumes };
    let operation = offer::Operation { create: Some(create), ..typed(operation::Type::Create) };
    asked(wire.agent_id, operation, "create", "create_volumes")
}

/// DESTROY_VOLUMES: volumes as they are.
pub fn destroy_from_wire(wire: call::DestroyVolumes) -> Result<(AgentId, Conversion), Refusal> {
    let destroy = operation::Destroy { volumes: wire.volumes };
    let operation = offer::Operation { destroy: Some(destroy), ..typed(operation::Type::Destroy) };
    asked(wire.agent_id, operation, "destroy", "destroy_volumes")
}

/// GROW_VOLUME: the volume as it is, and disk to add to it.
pub fn grow_from_wire(wire: call::GrowVolume) -> Result<(AgentId, Conversion), Refusal> {
    let grow = operation::GrowVolume { volume: wire.volume, addition: wire.addition };
    let operation =
        offer::Operation { grow_volume: Some(Box::new(grow)), ..typed(operation::Type::GrowVolume) };
    asked(wire.agent_id, operation, "grow_volume", "grow_volume")
}

/// SHRINK_VOLUME: the volume as it is, and how many MiB to take off.
pub fn shrink_from_wire(wire: call::ShrinkVolume) -> Result<(AgentId, Conversion), Refusal> {
    let shrink = operation::ShrinkVolume { volume: wire.volume, subtract: wire.subtract };
    let operation =
        offer::Operation { shrink_volume: Some(Box::new(shrink)), ..typed(operation::Type::ShrinkVolume) };
    asked(wire.agent_id, operation, "shrink_volume", "shrink_volume")
}

fn typed(kind: operation::Type) -> offer::Operation {
    offer::Operation { r#type: Some(kind.into()), ..Default::default() }
}

/// The operation, with fields named as seen from the call: what stands in message `part` of the operation stands in
/// message `call` of the call.
fn asked(
    agent: impl Into<Option<mesos::AgentId>>,
    operation: offer::Operation,
    part: &str,
    call: &str,
) -> Result<(AgentId, Conversion), Refusal> {
    let agent = agent_id_from_wire(agent).at("agent_id").at(call)?;
    let conversion = conversion_from_wire(operation).map_err(|refusal| {
        let field = refusal.field.strip_prefix(part).unwrap_or(&refusal.field);
        Refusal { field: field.trim_start_matches('.').to_owned(), fault: refusal.fault }
    });
    Ok((agent, conversion.at(call)?))
}

/// UPDATE_MAINTENANCE_SCHEDULE. Errors: those of [`maintenance::schedule_from_wire`].
pub fn schedule_from_wire(wire: call::UpdateMaintenanceSchedule) -> Result<Vec<Window>, Refusal> {
    maintenance::schedule_from_wire(wire.schedule).at("update_maintenance_schedule.schedule")
}

/// START_MAINTENANCE. Errors: those of [`maintenance::machines_from_wire`].
pub fn start_maintenance_from_wire(wire: call::StartMaintenance) -> Result<Vec<MachineId>, Refusal> {
    maintenance::machines_from_wire(wire.machines).at("start_maintenance.machines")
}

/// STOP_MAINTENANCE. Errors: those of [`maintenance::machines_from_wire`].
pub fn stop_maintenance_from_wire(wire: call::StopMaintenance) -> Result<Vec<MachineId>, Refusal> {
    maintenance::machines_from_wire(wire.machines).at("stop_maintenance.machines")
}

/// DRAIN_AGENT. Errors: an id that is none, or a grace period below zero.
pub fn drain_agent_from_wire(wire: call::DrainAgent) -> Result<(AgentId, Drain), Refusal> {
    let mark_gone = wire.mark_gone();
    let agent = agent_id_from_wire(wire.agent_id).at("drain_agent.agent_id")?;
    let max_grace = wire.max_grace_period.map(|grace| {
        let (seconds, nanos) = (u64::try_from(grace.seconds).ok(), u32::try_from(grace.nanos).ok());
        let length = seconds.zip(nanos.filter(|nanos| *nanos < 1_000_000_000));
        let reason =
            "is no length of time; give seconds and nanoseconds from 0 up, these below 1,000,000,000";
        length
            .map(|(seconds, nanos)| Duration::new(seconds, nanos))
            .ok_or_else(|| Fault::Invalid(reason.to_owned()))
    });
    Ok((agent, Drain { max_grace: max_grace.transpose().at("drain_agent.max_grace_period")?, mark_gone }))
}

/// A length of time as Google's well-known type; longer than it can be is cut.
pub fn grace_to_wire(grace: Duration) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(grace.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_above_zero_and_each_role_stands_once() {
        let weights = |infos: &[(&str, f64)]| {
            let info = |(role, weight): &(&str, f64)| mesos::WeightInfo {
                weight: *weight,
                role: Some((*role).to_owned()),
            };
            let wire = call::UpdateWeights { weight_infos: infos.iter().map(info).collect() };
            update_weights_from_wire(wire).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(weights(&[("a", 2.5)]).unwrap()[0].1.to_string(), "2.5");
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

    #[test]
    fn a_wrong_quota_is_named_from_the_call_on() {
        let config = |role: &str, limit: f64| mesos::quota::QuotaConfig {
            role: role.to_owned(),
            limits: [("cpus".to_owned(), mesos::value::Scalar { value: limit })].into(),
            ..Default::default()
        };
        for (configs, field) in [
            (vec![config("*", 1.0)], "update_quota.quota_configs[0].role: "),
            (vec![config("a", 1.0), config("a", 2.0)], "update_quota.quota_configs[1].role: "),
            (vec![config("a", f64::NAN)], "update_quota.quota_configs[0].limits[\"cpus\"].value: "),
            (vec![config("a", 0.0)], "update_quota.quota_configs[0].limits[\"cpus\"]: "),
        ] {
            let wire = call::UpdateQuota { force: None, quota_configs: configs };
            let refusal = update_quota_from_wire(wire).unwrap_err().to_string();
            assert!(refusal.starts_with(field), "{refusal}");
        }
    }

    #[test]
    fn a_wrong_reservation_is_named_from_the_call_on() {
        let reserve = |agent: &str, value: f64| {
            let cpus = mesos::Resource {
                name: "cpus".to_owned(),
                r#type: mesos::value::Type::Scalar.into(),
                scalar: Some(mesos::value::Scalar { value }),
                ..Default::default()
            };
            let agent_id = mesos::AgentId { value: agent.to_owned() };
            let wire = call::ReserveResources { agent_id, resources: vec![cpus], source: vec![] };
            reserve_from_wire(wire).unwrap_err().to_string()
        };
        assert!(reserve("", 1.0).starts_with("reserve_resources.agent_id."), "{}", reserve("", 1.0));
        assert!(reserve("a", -1.0).starts_with("reserve_resources.resources[0].scalar."));
        assert!(reserve("a", 1.0).starts_with("reserve_resources.resources: "), "{}", reserve("a", 1.0));
    }

    #[test]
    fn a_grace_period_is_not_negative() {
        let drain = |seconds, nanos| {
            let agent_id = mesos::AgentId { value: "a".to_owned() };
            let max_grace_period = Some(protobuf::Duration { seconds, nanos });
            drain_agent_from_wire(call::DrainAgent { agent_id, max_grace_period, mark_gone: None })
        };
        assert_eq!(drain(1, 5).unwrap().1.max_grace, Some(Duration::new(1, 5)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, i32::MAX)] {
            let refusal = drain(seconds, nanos).unwrap_err().to_string();
            assert!(refusal.starts_with("drain_agent.max_grace_period: "), "{refusal}");
        }
    }
}
