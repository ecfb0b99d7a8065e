//! `/weights`: how much more than others roles get.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lonja_master_core::OperatorCommand;
use lonja_model::resources::Scalar;
use lonja_proto::convert::operator;
use lonja_proto::mesos::master::call;
use lonja_proto::{json, limits};
use serde::Serialize;

use super::body::Whole;
use super::{Door, reply};

#[derive(Serialize)]
struct Weight<'a> {
    role: &'a str,
    weight: f64,
}

/// GET `/weights`: those that are set. Others are 1.
pub(super) async fn get(State(door): State<Door>) -> Response {
    reply::picture(&door, |snapshot| {
        let set = snapshot.roles.iter().filter(|view| Some(view.weight) != Scalar::from_units(1));
        let weights = set.map(|view| Weight { role: view.role.as_str(), weight: view.weight.to_f64() });
        reply::text(&weights.collect::<Vec<_>>())
    })
    .await
}

/// PUT `/weights`: a list of `WeightInfo`.
pub(super) async fn update(State(door): State<Door>, body: Whole) -> Response {
    body.command(&door, StatusCode::BAD_REQUEST, |bytes| {
        let weight_infos = json::decode_list(bytes, limits::QUOTAS)
            .map_err(|error| reply::unreadable("update weights", &error))?;
        let weights = operator::update_weights_from_wire(call::UpdateWeights { weight_infos });
        let weights = weights.map_err(|refusal| reply::refused(refusal, "update_weights"))?;
        Ok(OperatorCommand::SetWeights { weights })
    })
    .await
}
