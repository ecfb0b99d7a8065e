//! `/quota`: what roles are sure of, the older way: what is guaranteed is the limit, too.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use lonja_master_core::OperatorCommand;
use lonja_proto::convert::operator;
use lonja_proto::convert::quota::quota_status_to_wire;
use lonja_proto::json;
use lonja_proto::mesos::master::call;

use super::body::Whole;
use super::{Door, reply};

/// GET `/quota`.
pub(super) async fn get(State(door): State<Door>) -> Response {
    reply::picture(&door, |snapshot| {
        let quotas = snapshot.roles.iter().filter_map(|view| Some((&view.role, view.quota.as_ref()?)));
        json::encode(&quota_status_to_wire(quotas))
    })
    .await
}

/// POST `/quota`: a `QuotaRequest`.
pub(super) async fn set(State(door): State<Door>, body: Whole) -> Response {
    body.command(&door, StatusCode::CONFLICT, |bytes| {
        let quota_request = json::decode(bytes).map_err(|error| reply::unreadable("set quota", &error))?;
        let read = operator::set_quota_from_wire(call::SetQuota { quota_request });
        let (quotas, force) = read.map_err(|refusal| reply::refused(refusal, "set_quota.quota_request"))?;
        Ok(OperatorCommand::UpdateQuotas { quotas, force })
    })
    .await
}

/// DELETE `/quota/<role>`.
pub(super) async fn remove(State(door): State<Door>, Path(role): Path<String>) -> Response {
    let role = role.trim_end_matches('/').to_owned();
    match operator::remove_quota_from_wire(&call::RemoveQuota { role }) {
        Ok(quotas) => {
            let command = OperatorCommand::UpdateQuotas { quotas, force: false };
            reply::done(door.handle.command(command, None).await, StatusCode::OK, StatusCode::CONFLICT)
        }
        Err(refusal) => reply::refused(refusal, "remove_quota"),
    }
}

/// DELETE `/quota`, which names no role.
pub(super) async fn remove_which() -> Response {
    reply::bad_request("Failed to parse request path: 1 token ('role') required: DELETE /quota/<role>")
}
