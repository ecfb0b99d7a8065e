//! `/slaves`: agents with all that is to be known of their resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_master_core::snapshot::AgentView;
use lonja_model::Resources;
use lonja_proto::convert::resources::{Shape, resources_to_wire};
use lonja_proto::mesos;

use super::out::{Gone, Out, Reader, listing};
use super::query::Query;
use super::shapes::{self, Agent};
use super::{Door, reply};

/// `/slaves`; `slave_id`: only that one.
pub(super) async fn slaves(State(door): State<Door>, reader: Reader, query: Query) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    let only = query.get("slave_id").map(str::to_owned);
    listing(&door, reader, move |out| write(out, snapshot, only)).await
}

async fn write(mut out: Out, snapshot: Arc<Snapshot>, only: Option<String>) -> Result<(), Gone> {
    let wanted = |view: &&AgentView| only.as_deref().is_none_or(|id| id == view.id.as_str());
    out.open(&reply::Empty {});
    out.begin("slaves");
    for view in snapshot.agents.iter().filter(|view| is_listed(view)).filter(wanted) {
        out.open(&Agent::of(view));
        write_full(&mut out, view);
        out.close();
        out.pass().await?;
    }
    out.end();
    out.begin("recovered_slaves");
    for view in snapshot.agents.iter().filter(|view| is_recovered(view)).filter(wanted) {
        out.item(&Agent::of(view));
        out.pass().await?;
    }
    out.end();
    out.close();
    out.finish().await
}

/// Is it part of the cluster, and has it come back?
pub(super) fn is_listed(view: &AgentView) -> bool {
    matches!(view.presence, Presence::Connected(_) | Presence::Disconnected)
}

/// Is it known from before the master started, and not back yet?
pub(super) fn is_recovered(view: &AgentView) -> bool {
    view.presence == Presence::Recovered
}

/// The resources as messages, by what they are.
fn write_full(out: &mut Out, view: &AgentView) {
    let mut reserved: BTreeMap<String, Vec<mesos::Resource>> = BTreeMap::new();
    let mut unreserved = Vec::new();
    let total = shapes::total(view);
    for resource in total.iter() {
        let alone = Resources::of([resource.clone()]).unwrap_or_default();
        match resource.reserved_for() {
            Some(role) => reserved.entry(role.to_string()).or_default().extend(full(&alone)),
            None => unreserved.extend(full(&alone)),
        }
    }
    out.begin_object("reserved_resources_full");
    for (role, resources) in &reserved {
        out.messages(role, resources);
    }
    out.close();
    out.messages("unreserved_resources_full", &unreserved);
    out.messages("used_resources_full", &full(&view.allocated));
    out.messages("offered_resources_full", &full(&view.offered));
}

/// With reservations in both forms where both can say the same.
fn full(resources: &Resources) -> Vec<mesos::Resource> {
    resources_to_wire(resources, None, Shape::OPERATOR)
}
