//! Instances as they are kept.

use lonja_model::AgentId;
use lonja_services_core::instance::{Goal, LocalVolume, Place};
use lonja_services_core::kept::KeptInstance;
use serde_json::Value;

use super::{At, Object, id, instance_id, number_in, show_time, time_at, time_in, version, version_in};
use crate::wire::writer::list;

const GOALS: [(&str, Goal); 3] =
    [("running", Goal::Running), ("stopped", Goal::Stopped), ("decommissioned", Goal::Decommissioned)];

pub(super) fn show(one: &KeptInstance) -> Value {
    let goal = GOALS.iter().find(|(_, goal)| *goal == one.goal).map_or("running", |(name, _)| *name);
    Object::new()
        .with("id", one.id.as_str())
        .with("spec", one.spec.as_str())
        .with("version", version(one.version))
        .with("goal", goal)
        .with("incarnation", one.incarnation)
        .with("launched", one.launched)
        .with("stagedAt", show_time(one.staged_at))
        .maybe("startedAt", one.started_at.map(show_time))
        .maybe("place", one.place.as_ref().map(show_place))
        .with("settled", one.settled)
        .with("hidden", one.hidden)
        .with("doomed", one.doomed)
        .done()
}

pub(super) fn read(at: &At<'_>) -> Option<KeptInstance> {
    let fields = at.object()?;
    Some(KeptInstance {
        id: instance_id(&fields.need("id")?)?,
        spec: id(&fields, "spec")?,
        version: version_in(&fields, "version")?,
        goal: fields.need("goal")?.choice(&GOALS)?,
        incarnation: number_in(&fields, "incarnation")?,
        launched: fields.need("launched")?.flag()?,
        staged_at: time_in(&fields, "stagedAt")?,
        started_at: fields.maybe("startedAt", time_at)?,
        place: fields.maybe("place", place)?,
        settled: fields.or("settled", At::flag, false)?,
        hidden: fields.or("hidden", At::flag, false)?,
        doomed: fields.or("doomed", At::flag, false)?,
    })
}

fn show_place(place: &Place) -> Value {
    let values = list(&place.values, |(field, value)| Value::from(vec![field.as_str(), value.as_str()]));
    let volumes = list(&place.volumes, |volume| {
        Object::new()
            .with("containerPath", volume.container_path.as_str())
            .with("uuid", volume.uuid.as_str())
            .with("persistenceId", volume.persistence_id.as_str())
            .done()
    });
    Object::new()
        .with("agent", place.agent.as_str())
        .with("hostname", place.hostname.as_str())
        .with("agentPort", place.agent_port)
        .maybe("region", place.region.as_deref())
        .maybe("zone", place.zone.as_deref())
        .with("values", values)
        .with("ports", place.ports.clone())
        .with("volumes", volumes)
        .done()
}

fn place(at: &At<'_>) -> Option<Place> {
    let fields = at.object()?;
    let agent = fields.need("agent")?;
    let agent = AgentId::new(agent.any_text()?).ok().or_else(|| agent.form("is no id of an agent"))?;
    Some(Place {
        agent,
        hostname: fields.need("hostname")?.any_text()?,
        agent_port: fields.need("agentPort")?.port()?,
        region: fields.maybe("region", At::any_text)?,
        zone: fields.maybe("zone", At::any_text)?,
        values: fields.or("values", |at| at.list(pair), Vec::new())?,
        ports: fields.or("ports", |at| at.list(At::port), Vec::new())?,
        volumes: fields.or("volumes", |at| at.list(volume), Vec::new())?,
    })
}

fn pair(at: &At<'_>) -> Option<(String, String)> {
    match <[String; 2]>::try_from(at.list(At::any_text)?) {
        Ok([field, value]) => Some((field, value)),
        Err(_) => at.form("must be a field and its value"),
    }
}

fn volume(at: &At<'_>) -> Option<LocalVolume> {
    let fields = at.object()?;
    Some(LocalVolume {
        container_path: fields.need("containerPath")?.any_text()?,
        uuid: fields.need("uuid")?.any_text()?,
        persistence_id: fields.need("persistenceId")?.any_text()?,
    })
}
