//! `/maintenance/schedule`, `/maintenance/status`, `/machine/down` and `/machine/up`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lonja_master_core::{MaintenanceCommand, OperatorCommand};
use lonja_proto::convert::maintenance::{schedule_to_wire, windows_of};
use lonja_proto::convert::operator;
use lonja_proto::mesos::master::call;
use lonja_proto::{json, limits};

use super::body::Whole;
use super::{Door, reply};
use crate::api::views;

/// GET `/maintenance/schedule`.
pub(super) async fn schedule(State(door): State<Door>) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    reply::json_text(json::encode(&schedule_to_wire(&windows_of(&snapshot.machines))))
}

/// GET `/maintenance/status`.
pub(super) async fn status(State(door): State<Door>) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    let answer = views::maintenance_status(&snapshot);
    let status = answer.get_maintenance_status.map(|answer| answer.status).unwrap_or_default();
    reply::json_text(json::encode(&status))
}

/// POST `/maintenance/schedule`: a `Schedule`, which replaces the one before.
pub(super) async fn update(State(door): State<Door>, body: Whole) -> Response {
    let schedule = match json::decode(&body.bytes) {
        Ok(schedule) => schedule,
        Err(error) => return reply::unreadable("update the maintenance schedule", &error),
    };
    match operator::schedule_from_wire(call::UpdateMaintenanceSchedule { schedule }) {
        Ok(windows) => command(&door, MaintenanceCommand::Schedule { windows }).await,
        Err(refusal) => reply::refused(refusal, "update_maintenance_schedule.schedule"),
    }
}

/// POST `/machine/down`: a list of `MachineID`.
pub(super) async fn down(State(door): State<Door>, body: Whole) -> Response {
    let machines = match json::decode_list(&body.bytes, limits::MACHINES) {
        Ok(machines) => machines,
        Err(error) => return reply::unreadable("start maintenance", &error),
    };
    match operator::start_maintenance_from_wire(call::StartMaintenance { machines }) {
        Ok(machines) => command(&door, MaintenanceCommand::Start { machines }).await,
        Err(refusal) => reply::refused(refusal, "start_maintenance"),
    }
}

/// POST `/machine/up`: a list of `MachineID`.
pub(super) async fn up(State(door): State<Door>, body: Whole) -> Response {
    let machines = match json::decode_list(&body.bytes, limits::MACHINES) {
        Ok(machines) => machines,
        Err(error) => return reply::unreadable("stop maintenance", &error),
    };
    match operator::stop_maintenance_from_wire(call::StopMaintenance { machines }) {
        Ok(machines) => command(&door, MaintenanceCommand::Stop { machines }).await,
        Err(refusal) => reply::refused(refusal, "stop_maintenance"),
    }
}

async fn command(door: &Door, command: MaintenanceCommand) -> Response {
    let result = door.handle.command(OperatorCommand::Maintenance(command)).await;
    reply::done(result, StatusCode::OK, StatusCode::BAD_REQUEST)
}
