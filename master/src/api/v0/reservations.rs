//! Forms that change something: `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes` and `/teardown`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lonja_master_core::OperatorCommand;
use lonja_model::ids::AgentId;
use lonja_model::operation::Conversion;
use lonja_proto::convert::ids::framework_id_from_wire;
use lonja_proto::convert::{Refusal, operator};
use lonja_proto::mesos::{self, master::call};
use lonja_proto::{json, limits};

use super::body::Form;
use super::{Door, reply};

/// `/reserve`: `slaveId`, `resources`.
pub(super) async fn reserve(State(door): State<Door>, form: Form) -> Response {
    convert(&door, &form, "resources", "reserve_resources", |agent_id, resources| {
        operator::reserve_from_wire(call::ReserveResources { agent_id, resources, source: Vec::new() })
    })
    .await
}

/// `/unreserve`: `slaveId`, `resources`.
pub(super) async fn unreserve(State(door): State<Door>, form: Form) -> Response {
    convert(&door, &form, "resources", "unreserve_resources", |agent_id, resources| {
        operator::unreserve_from_wire(call::UnreserveResources { agent_id, resources })
    })
    .await
}

/// `/create-volumes`: `slaveId`, `volumes`.
pub(super) async fn create(State(door): State<Door>, form: Form) -> Response {
    convert(&door, &form, "volumes", "create_volumes", |agent_id, volumes| {
        operator::create_from_wire(call::CreateVolumes { agent_id, volumes })
    })
    .await
}

/// `/destroy-volumes`: `slaveId`, `volumes`.
pub(super) async fn destroy(State(door): State<Door>, form: Form) -> Response {
    convert(&door, &form, "volumes", "destroy_volumes", |agent_id, volumes| {
        operator::destroy_from_wire(call::DestroyVolumes { agent_id, volumes })
    })
    .await
}

/// Has an agent's resources made into others; answered once that is durable.
async fn convert(
    door: &Door,
    form: &Form,
    list: &str,
    call: &str,
    read: impl FnOnce(mesos::AgentId, Vec<mesos::Resource>) -> Result<(AgentId, Conversion), Refusal>,
) -> Response {
    let Some(agent) = form.get("slaveId") else { return reply::missing("slaveId") };
    let Some(text) = form.get(list) else { return reply::missing(list) };
    let resources = match json::decode_list(text.as_bytes(), limits::RESOURCES_PER_LIST) {
        Ok(resources) => resources,
        Err(error) => return reply::unreadable(&format!("parse '{list}' in the request body"), &error),
    };
    let conversion = match read(mesos::AgentId { value: agent.to_owned() }, resources) {
        Ok((agent, conversion)) => OperatorCommand::Convert { agent, conversion },
        Err(refusal) => return reply::refused(refusal, call),
    };
    reply::done(door.handle.command(conversion).await, StatusCode::ACCEPTED, StatusCode::CONFLICT)
}

/// `/teardown`: `frameworkId`.
pub(super) async fn teardown(State(door): State<Door>, form: Form) -> Response {
    let Some(value) = form.get("frameworkId") else { return reply::missing("frameworkId") };
    match framework_id_from_wire(mesos::FrameworkId { value: value.to_owned() }) {
        Ok(framework) => {
            let result = door.handle.command(OperatorCommand::Teardown { framework }).await;
            reply::done(result, StatusCode::OK, StatusCode::CONFLICT)
        }
        Err(refusal) => reply::refused(refusal, ""),
    }
}
