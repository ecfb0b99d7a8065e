//! `/roles`: who shares the cluster.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use lonja_master_core::Snapshot;
use lonja_master_core::snapshot::RoleView;
use lonja_model::resources::{Quantities, Resources};
use serde::Serialize;

use super::shapes::{Amounts, total};
use super::slaves::is_listed;
use super::{Door, reply};

/// `/roles`: each with all that roles below it have, and those above it.
pub(super) async fn roles(State(door): State<Door>) -> Response {
    reply::picture(&door, |snapshot| {
        let sums = sums(snapshot);
        let roles = sums.iter().map(|(name, sums)| RoleShape::of(name, sums)).collect();
        reply::text(&Roles { roles })
    })
    .await
}

/// What a role and those below it have.
#[derive(Default)]
struct Sums<'a> {
    view: Option<&'a RoleView>,
    allocated: Quantities,
    offered: Quantities,
    reserved: Quantities,
    /// Allocated and offered together.
    all: Quantities,
    nothing: Quantities,
}

fn sums(snapshot: &Snapshot) -> BTreeMap<&str, Sums<'_>> {
    let mut roles: BTreeMap<&str, Sums<'_>> = BTreeMap::new();
    for view in &snapshot.roles {
        for name in with_those_above(view.role.as_str()) {
            let sums = roles.entry(name).or_default();
            sums.allocated.add(&view.allocated);
            sums.offered.add(&view.offered);
            sums.all.add(&view.allocated);
            sums.all.add(&view.offered);
        }
        roles.entry(view.role.as_str()).or_default().view = Some(view);
    }
    for view in snapshot.agents.iter().filter(|view| is_listed(view)) {
        for resource in total(view).iter() {
            let Some(role) = resource.reserved_for() else { continue };
            let alone = Resources::of([resource.clone()]).unwrap_or_default().quantities();
            for name in with_those_above(role.as_str()) {
                roles.entry(name).or_default().reserved.add(&alone);
            }
        }
    }
    roles
}

/// `a/b/c`, `a` and `a/b`.
fn with_those_above(role: &str) -> impl Iterator<Item = &str> {
    role.match_indices('/').map(|(end, _)| &role[..end]).chain([role])
}

#[derive(Serialize)]
struct Roles<'a> {
    roles: Vec<RoleShape<'a>>,
}

#[derive(Serialize)]
struct RoleShape<'a> {
    name: &'a str,
    weight: f64,
    quota: QuotaShape<'a>,
    resources: Amounts<'a>,
    allocated: Amounts<'a>,
    offered: Amounts<'a>,
    reserved: Amounts<'a>,
    frameworks: Vec<&'a str>,
}

/// Only what is named: a limit of 0 would be one.
#[derive(Serialize)]
struct QuotaShape<'a> {
    role: &'a str,
    guarantee: BTreeMap<&'a str, f64>,
    limit: BTreeMap<&'a str, f64>,
    consumed: BTreeMap<&'a str, f64>,
}

fn named(quantities: &Quantities) -> BTreeMap<&str, f64> {
    quantities.iter().map(|(name, amount)| (name, amount.to_f64())).collect()
}

impl<'a> RoleShape<'a> {
    fn of(name: &'a str, sums: &'a Sums<'a>) -> Self {
        let quota = sums.view.and_then(|view| view.quota.as_ref());
        let frameworks = sums.view.map(|view| view.frameworks.iter().map(|id| id.as_str()).collect());
        Self {
            name,
            weight: sums.view.map_or(1.0, |view| view.weight.to_f64()),
            quota: QuotaShape {
                role: name,
                guarantee: named(quota.map_or(&sums.nothing, |quota| &quota.guarantees)),
                limit: named(quota.map_or(&sums.nothing, |quota| &quota.limits)),
                consumed: named(sums.view.map_or(&sums.nothing, |view| &view.consumed)),
            },
            resources: (&sums.all).into(),
            allocated: (&sums.allocated).into(),
            offered: (&sums.offered).into(),
            reserved: (&sums.reserved).into(),
            frameworks: frameworks.unwrap_or_default(),
        }
    }
}
