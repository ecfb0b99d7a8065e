//! Maintenance, those who are asked to leave for it, and operations on resources.

use lonja_master_core::Snapshot;
use lonja_master_core::inverse_offers::{InverseOfferStatus, Willingness};
use lonja_master_core::operations::KnownOperation;
use lonja_model::maintenance::MachineMode;
use lonja_model::offer::InverseOffer;
use lonja_proto::convert::ids::{agent_id_to_wire, framework_id_to_wire, offer_id_to_wire, time_to_wire};
use lonja_proto::convert::operator::maintenance::{
    machine_to_wire, schedule_to_wire, unavailability_to_wire,
};
use lonja_proto::convert::operator::resources::operation_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::allocator::inverse_offer_status::Status as Said;
use lonja_proto::mesos::maintenance::{ClusterStatus, cluster_status::DrainingMachine};
use lonja_proto::mesos::master::Response;
use lonja_proto::mesos::master::response::{self, Type};

use super::answer;

pub(crate) fn maintenance_schedule(snapshot: &Snapshot) -> Response {
    let schedule = schedule_to_wire(&snapshot.machines);
    let get_maintenance_schedule = Some(response::GetMaintenanceSchedule { schedule });
    Response { get_maintenance_schedule, ..answer(Type::GetMaintenanceSchedule) }
}

pub(crate) fn maintenance_status(snapshot: &Snapshot) -> Response {
    let draining = snapshot.scheduled_machines().into_iter().map(|(id, (_, statuses))| DrainingMachine {
        id: machine_to_wire(id),
        statuses: statuses.into_iter().map(said).collect(),
    });
    let down = snapshot.machines.iter().filter(|(_, machine)| machine.mode == MachineMode::Down);
    let status = ClusterStatus {
        draining_machines: draining.collect(),
        down_machines: down.map(|(id, _)| machine_to_wire(id)).collect(),
    };
    let get_maintenance_status = Some(response::GetMaintenanceStatus { status });
    Response { get_maintenance_status, ..answer(Type::GetMaintenanceStatus) }
}

/// What a framework says to leaving.
fn said(status: &InverseOfferStatus) -> mesos::allocator::InverseOfferStatus {
    let said = match status.willingness {
        Willingness::Unanswered => Said::Unknown,
        Willingness::Accepted => Said::Accept,
        Willingness::Declined => Said::Decline,
    };
    mesos::allocator::InverseOfferStatus {
        status: said.into(),
        framework_id: framework_id_to_wire(&status.framework),
        timestamp: time_to_wire(status.at),
    }
}

pub(super) fn inverse_offer(offer: &InverseOffer) -> mesos::InverseOffer {
    mesos::InverseOffer {
        id: offer_id_to_wire(&offer.id),
        url: None,
        framework_id: framework_id_to_wire(&offer.framework),
        agent_id: Some(agent_id_to_wire(&offer.agent)),
        unavailability: unavailability_to_wire(&offer.unavailability),
        resources: Vec::new(),
    }
}

pub(crate) fn operations(snapshot: &Snapshot) -> Response {
    let operation = |known: &std::sync::Arc<KnownOperation>| {
        operation_to_wire(Some(&known.agent), &known.operation, &known.status)
    };
    let operations = snapshot.operations.iter().map(operation).collect();
    Response { get_operations: Some(response::GetOperations { operations }), ..answer(Type::GetOperations) }
}
