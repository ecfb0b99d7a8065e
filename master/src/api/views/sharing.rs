//! Roles, weights and quotas.

use lonja_master_core::Snapshot;
use lonja_master_core::snapshot::RoleView;
use lonja_model::resources::Scalar;
use lonja_proto::convert::framework::quantities_to_wire;
use lonja_proto::convert::ids::framework_id_to_wire;
use lonja_proto::convert::quota::quota_status_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::master::Response;
use lonja_proto::mesos::master::response::{self, Type};

use super::{answer, quantities};

pub(crate) fn roles(snapshot: &Snapshot) -> Response {
    let roles = snapshot.roles.iter().map(role).collect();
    Response { get_roles: Some(response::GetRoles { roles }), ..answer(Type::GetRoles) }
}

fn role(view: &RoleView) -> mesos::Role {
    let mut held = view.allocated.clone();
    held.add(&view.offered);
    let quota = view.quota.as_ref();
    mesos::Role {
        name: view.role.to_string(),
        weight: view.weight.to_f64(),
        frameworks: view.frameworks.iter().map(framework_id_to_wire).collect(),
        resources: quantities(&held),
        guarantees: quota.map(|quota| quantities_to_wire(&quota.guarantees)).unwrap_or_default(),
        limits: quota.map(|quota| quantities_to_wire(&quota.limits)).unwrap_or_default(),
        consumed: quantities_to_wire(&view.consumed),
        allocated: quantities_to_wire(&view.allocated),
        offered: quantities_to_wire(&view.offered),
    }
}

/// The roles whose weight is set; that of others is 1.
pub(crate) fn with_weight(snapshot: &Snapshot) -> impl Iterator<Item = &RoleView> {
    snapshot.roles.iter().filter(|view| Some(view.weight) != Scalar::from_units(1))
}

pub(crate) fn weights(snapshot: &Snapshot) -> Response {
    let weight = |view: &RoleView| mesos::WeightInfo {
        weight: view.weight.to_f64(),
        role: Some(view.role.to_string()),
    };
    let weight_infos = with_weight(snapshot).map(weight).collect();
    Response { get_weights: Some(response::GetWeights { weight_infos }), ..answer(Type::GetWeights) }
}

pub(crate) fn quotas(snapshot: &Snapshot) -> Response {
    let quotas = snapshot.roles.iter().filter_map(|view| Some((&view.role, view.quota.as_ref()?)));
    let get_quota = Some(response::GetQuota { status: quota_status_to_wire(quotas) });
    Response { get_quota, ..answer(Type::GetQuota) }
}
