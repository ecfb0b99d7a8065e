//! The calls of operators that change something, read from the wire.

use lonja_master_core::{MaintenanceCommand, OperatorCommand};
use lonja_model::ids::AgentId;
use lonja_model::operation::Conversion;
use lonja_proto::convert::ids::{agent_id_from_wire, framework_id_from_wire};
use lonja_proto::convert::operator;
use lonja_proto::mesos;
use lonja_proto::mesos::master::Call;
use lonja_proto::mesos::master::call::Type;
use tonic::Status;

/// What the call asks the core to do; `None`: it only asks for something to be shown.
///
/// Errors: INVALID_ARGUMENT, with the field.
#[allow(deprecated, reason = "the older calls are still served")]
pub(super) fn command(kind: Type, call: Call) -> Result<Option<OperatorCommand>, Status> {
    let convert = |(agent, conversion): (AgentId, Conversion)| OperatorCommand::Convert { agent, conversion };
    Ok(Some(match kind {
        Type::Teardown => {
            let wire = call.teardown.map(|teardown| teardown.framework_id);
            let framework =
                framework_id_from_wire(wire).map_err(|refusal| within("teardown.framework_id", refusal))?;
            OperatorCommand::Teardown { framework }
        }
        Type::UpdateWeights => {
            let weights = operator::update_weights_from_wire(part(call.update_weights, "update_weights")?);
            OperatorCommand::SetWeights { weights: weights.map_err(refused)? }
        }
        Type::UpdateQuota => {
            let read = operator::update_quota_from_wire(part(call.update_quota, "update_quota")?);
            let (quotas, force) = read.map_err(refused)?;
            OperatorCommand::UpdateQuotas { quotas, force }
        }
        Type::SetQuota => {
            let read = operator::set_quota_from_wire(part(call.set_quota, "set_quota")?);
            let (quotas, force) = read.map_err(refused)?;
            OperatorCommand::UpdateQuotas { quotas, force }
        }
        Type::RemoveQuota => {
            let quotas = operator::remove_quota_from_wire(&part(call.remove_quota, "remove_quota")?);
            OperatorCommand::UpdateQuotas { quotas: quotas.map_err(refused)?, force: false }
        }
        Type::ReserveResources => {
            let wire = part(call.reserve_resources, "reserve_resources")?;
            convert(operator::reserve_from_wire(wire).map_err(refused)?)
        }
        Type::UnreserveResources => {
            let wire = part(call.unreserve_resources, "unreserve_resources")?;
            convert(operator::unreserve_from_wire(wire).map_err(refused)?)
        }
        Type::CreateVolumes => {
            let wire = part(call.create_volumes, "create_volumes")?;
            convert(operator::create_from_wire(wire).map_err(refused)?)
        }
        Type::DestroyVolumes => {
            let wire = part(call.destroy_volumes, "destroy_volumes")?;
            convert(operator::destroy_from_wire(wire).map_err(refused)?)
        }
        Type::GrowVolume => {
            let wire = part(call.grow_volume, "grow_volume")?;
            convert(operator::grow_from_wire(wire).map_err(refused)?)
        }
        Type::ShrinkVolume => {
            let wire = part(call.shrink_volume, "shrink_volume")?;
            convert(operator::shrink_from_wire(wire).map_err(refused)?)
        }
        _ => return upkeep(kind, call).map(|command| command.map(OperatorCommand::Maintenance)),
    }))
}

/// The calls about agents that are to be left, or taken back.
fn upkeep(kind: Type, call: Call) -> Result<Option<MaintenanceCommand>, Status> {
    Ok(Some(match kind {
        Type::DrainAgent => {
            let read = operator::drain_agent_from_wire(part(call.drain_agent, "drain_agent")?);
            let (agent, drain) = read.map_err(refused)?;
            MaintenanceCommand::Drain { agent, drain }
        }
        Type::DeactivateAgent => {
            let wire = part(call.deactivate_agent, "deactivate_agent")?.agent_id;
            MaintenanceCommand::Deactivate { agent: agent(wire, "deactivate_agent.agent_id")? }
        }
        Type::ReactivateAgent => {
            let wire = part(call.reactivate_agent, "reactivate_agent")?.agent_id;
            MaintenanceCommand::Reactivate { agent: agent(wire, "reactivate_agent.agent_id")? }
        }
        Type::MarkAgentGone => {
            let wire = part(call.mark_agent_gone, "mark_agent_gone")?.agent_id;
            MaintenanceCommand::MarkGone { agent: agent(wire, "mark_agent_gone.agent_id")? }
        }
        Type::UpdateMaintenanceSchedule => {
            let wire = part(call.update_maintenance_schedule, "update_maintenance_schedule")?;
            let windows = operator::schedule_from_wire(wire).map_err(refused)?;
            MaintenanceCommand::Schedule { windows }
        }
        Type::StartMaintenance => {
            let wire = part(call.start_maintenance, "start_maintenance")?;
            let machines = operator::start_maintenance_from_wire(wire).map_err(refused)?;
            MaintenanceCommand::Start { machines }
        }
        Type::StopMaintenance => {
            let wire = part(call.stop_maintenance, "stop_maintenance")?;
            let machines = operator::stop_maintenance_from_wire(wire).map_err(refused)?;
            MaintenanceCommand::Stop { machines }
        }
        _ => return Ok(None),
    }))
}

/// The message that goes with a call.
fn part<T>(message: Option<T>, field: &str) -> Result<T, Status> {
    message.ok_or_else(|| Status::invalid_argument(format!("{field}: is missing; set it")))
}

fn agent(wire: mesos::AgentId, field: &str) -> Result<AgentId, Status> {
    agent_id_from_wire(wire).map_err(|refusal| within(field, refusal))
}

fn refused(refusal: lonja_proto::convert::Refusal) -> Status {
    // The text begins with the field, as seen from the call.
    Status::invalid_argument(refusal.to_string())
}

fn within(field: &str, refusal: lonja_proto::convert::Refusal) -> Status {
    let dot = if refusal.field.is_empty() { ": " } else { "." };
    Status::invalid_argument(format!("{field}{dot}{refusal}"))
}
