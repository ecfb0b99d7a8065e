//! Maintenance, those who are asked to leave for it, and operations on resources.

use std::sync::Arc;

use lonja_master_core::Snapshot;
use lonja_master_core::inverse_offers::{InverseOfferStatus, Willingness};
use lonja_master_core::operations::KnownOperation;
use lonja_model::maintenance::MachineMode;
use lonja_proto::convert::ids::agent_id_to_wire;
use lonja_proto::convert::maintenance::{
    Answer, ClusterStatus, cluster_status_to_wire, schedule_to_wire, windows_of,
};
use lonja_proto::convert::operation_status::agent_operation_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::master::Response;
use lonja_proto::mesos::master::response::{self, Type};

use super::answer;

pub(crate) fn maintenance_schedule(snapshot: &Snapshot) -> Response {
    let schedule = schedule_to_wire(&windows_of(&snapshot.machines));
    let get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
    Response { get_maintenance_schedule, ..answer(Type::GetMaintenanceSchedule) }
}

pub(crate) fn maintenance_status(snapshot: &Snapshot) -> Response {
    let scheduled = snapshot.scheduled_machines().into_iter();
    let down = snapshot.machines.iter().filter(|(_, machine)| machine.mode == MachineMode::Down);
    let status = ClusterStatus {
        scheduled: scheduled
            .map(|(id, (_, statuses))| (id.clone(), statuses.into_iter().map(said).collect()))
            .collect(),
        down: down.map(|(id, _)| id.clone()).collect(),
    };
    let get_maintenance_status =
        Some(response::GetMaintenanceStatus { status: cluster_status_to_wire(&status) });
    Response { get_maintenance_status, ..answer(Type::GetMaintenanceStatus) }
}

/// What a framework says to leaving.
fn said(status: &InverseOfferStatus) -> Answer {
    let accepted = match status.willingness {
        Willingness::Unanswered => None,
        Willingness::Accepted => Some(true),
        Willingness::Declined => Some(false),
    };
    Answer { framework: status.framework.clone(), accepted, at: status.at }
}

pub(crate) fn operations(snapshot: &Snapshot) -> Response {
    let operation = |known: &Arc<KnownOperation>| mesos::Operation {
        // Its status names no agent before there is an outcome.
        agent_id: Some(agent_id_to_wire(&known.agent)),
        ..agent_operation_to_wire(&known.operation, &known.status)
    };
    let operations = snapshot.operations.iter().map(operation).collect();
    Response { get_operations: Some(response::GetOperations { operations }), ..answer(Type::GetOperations) }
}
