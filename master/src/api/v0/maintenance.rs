//! `/maintenance/schedule`, `/maintenance/status`, `/machine/down` and `/machine/up`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lonja_master_core::{MaintenanceCommand, OperatorCommand, Snapshot};
use lonja_proto::convert::maintenance::{schedule_to_wire, windows_of};
use lonja_proto::convert::operator;
use lonja_proto::mesos::master::call;
use lonja_proto::{json, limits};

use super::body::Whole;
use super::{Door, reply};
use crate::api::views;

/// GET `/maintenance/schedule`.
pub(super) async fn schedule(State(door): State<Door>) -> Response {
    let schedule = |snapshot: &Snapshot| json::encode(&schedule_to_wire(&windows_of(&snapshot.machines)));
    reply::picture(&door, schedule).await
}

/// GET `/maintenance/status`.
pub(super) async fn status(State(door): State<Door>) -> Response {
    reply::picture(&door, |snapshot| {
        let answer = views::maintenance_status(snapshot);
        json::encode(&answer.get_maintenance_status.map(|answer| answer.status).unwrap_or_default())
    })
    .await
}

/// POST `/maintenance/schedule`: a `Schedule`, which replaces the one before.
pub(super) async fn update(State(door): State<Door>, body: Whole) -> Response {
    command(&door, body, |bytes| {
        let schedule = json::decode(bytes)
            .map_err(|error| reply::unreadable("update the maintenance schedule", &error))?;
        let windows = operator::schedule_from_wire(call::UpdateMaintenanceSchedule { schedule });
        let windows =
            windows.map_err(|refusal| reply::refused(refusal, "update_maintenance_schedule.schedule"))?;
        Ok(MaintenanceCommand::Schedule { windows })
    })
    .await
}

/// POST `/machine/down`: a list of `MachineID`.
pub(super) async fn down(State(door): State<Door>, body: Whole) -> Response {
    command(&door, body, |bytes| {
        let machines = json::decode_list(bytes, limits::MACHINES)
            .map_err(|error| reply::unreadable("start maintenance", &error))?;
        let machines = operator::start_maintenance_from_wire(call::StartMaintenance { machines });
        let machines = machines.map_err(|refusal| reply::refused(refusal, "start_maintenance"))?;
        Ok(MaintenanceCommand::Start { machines })
    })
    .await
}

/// POST `/machine/up`: a list of `MachineID`.
pub(super) async fn up(State(door): State<Door>, body: Whole) -> Response {
    command(&door, body, |bytes| {
        let machines = json::decode_list(bytes, limits::MACHINES)
            .map_err(|error| reply::unreadable("stop maintenance", &error))?;
        let machines = operator::stop_maintenance_from_wire(call::StopMaintenance { machines });
        let machines = machines.map_err(|refusal| reply::refused(refusal, "stop_maintenance"))?;
        Ok(MaintenanceCommand::Stop { machines })
    })
    .await
}

async fn command(
    door: &Door,
    body: Whole,
    read: impl FnOnce(&[u8]) -> Result<MaintenanceCommand, Box<Response>> + Send + 'static,
) -> Response {
    let read = |bytes: &[u8]| read(bytes).map(OperatorCommand::Maintenance);
    body.command(door, StatusCode::BAD_REQUEST, read).await
}
