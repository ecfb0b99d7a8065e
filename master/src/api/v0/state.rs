//! `/state`: all there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_master_core::snapshot::AgentView;
use lonja_proto::convert::event::master_capabilities;
use lonja_proto::convert::ids::pid;
use serde::Serialize;

use super::frameworks::write_frameworks;
use super::misc::{Build, flags};
use super::out::{Gone, Out, Reader, listing};
use super::shapes::{Agent, Place, is_active, seconds};
use super::slaves::{is_listed, is_recovered};
use super::{Door, reply};

/// `/state`.
pub(super) async fn state(State(door): State<Door>, reader: Reader) -> Response {
    let Ok(snapshot) = door.handle.snapshot().await else { return reply::stopped() };
    listing(&door, reader, move |out| write(out, snapshot)).await
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    build: Build<'a>,
    start_time: f64,
    elected_time: f64,
    id: &'a str,
    pid: &'a str,
    hostname: &'a str,
    capabilities: [&'static str; 3],
    activated_slaves: usize,
    deactivated_slaves: usize,
    unreachable_slaves: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Place<'a>>,
    leader: &'a str,
    leader_info: Leader<'a>,
    flags: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Leader<'a> {
    id: &'a str,
    pid: &'a str,
    port: u16,
    hostname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Place<'a>>,
}

impl<'a> Head<'a> {
    fn of(snapshot: &'a Snapshot, pid: &'a str) -> Self {
        let count =
            |wanted: fn(&AgentView) -> bool| snapshot.agents.iter().filter(|view| wanted(view)).count();
        let (master, started) = (&snapshot.master, seconds(Some(snapshot.started)));
        Self {
            build: Build::of(&master.version),
            start_time: started,
            elected_time: started,
            id: &master.id,
            pid,
            hostname: &master.hostname,
            capabilities: master_capabilities(),
            activated_slaves: count(is_active),
            deactivated_slaves: count(|view| is_listed(view) && !is_active(view)),
            unreachable_slaves: count(|view| matches!(view.presence, Presence::Unreachable { .. })),
            domain: master.domain.as_ref().map(Place::of),
            leader: pid,
            leader_info: Leader {
                id: &master.id,
                pid,
                port: master.port,
                hostname: &master.hostname,
                domain: master.domain.as_ref().map(Place::of),
            },
            flags: flags(&snapshot.config),
        }
    }
}

async fn write(mut out: Out, snapshot: Arc<Snapshot>) -> Result<(), Gone> {
    let pid = pid("master", &snapshot.master.hostname, snapshot.master.port);
    out.open(&Head::of(&snapshot, &pid));
    for (name, wanted) in
        [("slaves", is_listed as fn(&AgentView) -> bool), ("recovered_slaves", is_recovered)]
    {
        out.begin(name);
        for view in snapshot.agents.iter().filter(|view| wanted(view)) {
            out.item(&Agent::of(view));
            out.pass().await?;
        }
        out.end();
    }
    write_frameworks(&mut out, &snapshot, None).await?;
    for name in ["orphan_tasks", "unregistered_frameworks"] {
        out.begin(name);
        out.end();
    }
    out.close();
    out.finish().await
}
