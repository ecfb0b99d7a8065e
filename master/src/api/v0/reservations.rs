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

use super::body::{Whole, form};
use super::{Door, reply};

/// `/reserve`: `slaveId`, `resources`.
pub(super) async fn reserve(State(door): State<Door>, body: Whole) -> Response {
    convert(&door, body, "resources", "reserve_resources", |agent_id, resources| {
        operator::reserve_from_wire(call::ReserveResources { agent_id, resources, source: Vec::new() })
    })
    .await
}

/// `/unreserve`: `slaveId`, `resources`.
pub(super) async fn unreserve(State(door): State<Door>, body: Whole) -> Response {
    convert(&door, body, "resources", "unreserve_resources", |agent_id, resources| {
        operator::unreserve_from_wire(call::UnreserveResources { agent_id, resources })
    })
    .await
}

/// `/create-volumes`: `slaveId`, `volumes`.
pub(super) async fn create(State(door): State<Door>, body: Whole) -> Response {
    convert(&door, body, "volumes", "create_volumes", |agent_id, volumes| {
        operator::create_from_wire(call::CreateVolumes { agent_id, volumes })
    })
    .await
}

/// `/destroy-volumes`: `slaveId`, `volumes`.
pub(super) async fn destroy(State(door): State<Door>, body: Whole) -> Response {
    convert(&door, body, "volumes", "destroy_volumes", |agent_id, volumes| {
        operator::destroy_from_wire(call::DestroyVolumes { agent_id, volumes })
    })
    .await
}

type Read = Result<(AgentId, Conversion), Refusal>;

/// Has an agent's resources made into others; answered once that is durable.
async fn convert(
    door: &Door,
    body: Whole,
    list: &'static str,
    call: &'static str,
    read: fn(mesos::AgentId, Vec<mesos::Resource>) -> Read,
) -> Response {
    body.command(door, StatusCode::CONFLICT, move |bytes| {
        let form = form(bytes)?;
        let agent = form.get("slaveId").ok_or_else(|| reply::missing("slaveId"))?;
        let text = form.get(list).ok_or_else(|| reply::missing(list))?;
        let resources = json::decode_list(text.as_bytes(), limits::RESOURCES_PER_LIST)
            .map_err(|error| reply::unreadable(&format!("parse '{list}' in the request body"), &error))?;
        let read = read(mesos::AgentId { value: agent.to_owned() }, resources);
        let (agent, conversion) = read.map_err(|refusal| reply::refused(refusal, call))?;
        Ok(OperatorCommand::Convert { agent, conversion })
    })
    .await
}

/// `/teardown`: `frameworkId`.
pub(super) async fn teardown(State(door): State<Door>, body: Whole) -> Response {
    body.command(&door, StatusCode::CONFLICT, |bytes| {
        let form = form(bytes)?;
        let value = form.get("frameworkId").ok_or_else(|| reply::missing("frameworkId"))?;
        let framework = framework_id_from_wire(mesos::FrameworkId { value: value.to_owned() });
        let framework = framework.map_err(|refusal| reply::refused(refusal, ""))?;
        Ok(OperatorCommand::Teardown { framework })
    })
    .await
}
