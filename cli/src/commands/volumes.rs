//! `lonja volumes`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use lonja_model::Role;
use lonja_model::resources::{
    Disk, DiskSourceKind, Metadata, Persistence, Resource, Resources, Scalar, Value,
};
use lonja_proto::convert::resources::{Shape, all_resources_from_wire, resources_to_wire, scalar_to_wire};
use lonja_proto::mesos;
use lonja_proto::mesos::master::Call;
use lonja_proto::mesos::master::call::{self, Type};
use lonja_proto::mesos::master::response::get_agents::Agent;
use serde_json::json;

use super::reservations::total;
use crate::args::{Family, Volume, Volumes, VolumesCommand};
use crate::client::{Client, agent_id};
use crate::output::{Listing, Row};

/// Lists, makes, removes or resizes volumes.
pub(crate) async fn run(volumes: &Volumes) -> anyhow::Result<ExitCode> {
    let family = &volumes.family;
    let (name, command) = match &volumes.command {
        None | Some(VolumesCommand::List) => {
            let agents = Client::connect(&family.master).await?.agents().await?.agents;
            return print(family, &agents);
        }
        Some(command) => (agent_of(command), command),
    };
    let mut client = Client::connect_within(&family.master, family.wait).await?;
    let agent = client.find_agent(name).await?;
    let (kind, call) = call(command, &agent)?;
    client.call(kind, call).await?;
    print(family, &[client.find_agent(agent_id(&agent)).await?])
}

fn agent_of(command: &VolumesCommand) -> &str {
    match command {
        VolumesCommand::List => "",
        VolumesCommand::Create { agent, .. } => agent,
        VolumesCommand::Destroy(volume)
        | VolumesCommand::Grow { volume, .. }
        | VolumesCommand::Shrink { volume, .. } => &volume.agent,
    }
}

/// What is asked of the master.
fn call(command: &VolumesCommand, agent: &Agent) -> anyhow::Result<(Type, Call)> {
    let total = total(agent)?;
    let agent_id = mesos::AgentId { value: agent_id(agent).to_owned() };
    Ok(match command {
        VolumesCommand::List => bail!("a listing asks nothing"),
        VolumesCommand::Create { role, id, size, path, shared, .. } => {
            let volume = new_volume(&total, &Role::new(role)?, id, mib(*size)?, path, *shared)?;
            let create_volumes = Some(call::CreateVolumes { agent_id, volumes: vec![wire(volume)?] });
            (Type::CreateVolumes, Call { create_volumes, ..Call::default() })
        }
        VolumesCommand::Destroy(volume) => {
            let volumes = vec![wire(find(&total, volume)?)?];
            let destroy_volumes = Some(call::DestroyVolumes { agent_id, volumes });
            (Type::DestroyVolumes, Call { destroy_volumes, ..Call::default() })
        }
        VolumesCommand::Grow { volume, by } => {
            let volume = find(&total, volume)?;
            let addition = wire(plain_disk(&volume, mib(*by)?)?)?;
            let grow_volume =
                Some(call::GrowVolume { agent_id: Some(agent_id), volume: wire(volume)?, addition });
            (Type::GrowVolume, Call { grow_volume, ..Call::default() })
        }
        VolumesCommand::Shrink { volume, by } => {
            let (volume, subtract) = (wire(find(&total, volume)?)?, scalar_to_wire(mib(*by)?));
            let shrink_volume = Some(call::ShrinkVolume { agent_id: Some(agent_id), volume, subtract });
            (Type::ShrinkVolume, Call { shrink_volume, ..Call::default() })
        }
    })
}

fn mib(amount: f64) -> anyhow::Result<Scalar> {
    let amount = Scalar::from_f64(amount)?;
    if amount == Scalar::ZERO {
        bail!("a size is above zero; write, for example, 512MiB");
    }
    Ok(amount)
}

fn wire(resource: Resource) -> anyhow::Result<mesos::Resource> {
    let wire = resources_to_wire(&Resources::of([resource])?, None, Shape::FULL);
    wire.into_iter().next().context("one resource is one on the wire")
}

fn volume_id(resource: &Resource) -> Option<&str> {
    let disk = resource.metadata().disk.as_ref()?;
    disk.persistence.as_ref().map(|persistence| persistence.id.as_str())
}

/// A volume of disk that is reserved for the role: of the agent's own disk if it has enough, else of another.
fn new_volume(
    total: &Resources,
    role: &Role,
    id: &str,
    size: Scalar,
    path: &str,
    shared: bool,
) -> anyhow::Result<Resource> {
    let is_disk = |resource: &&Resource| {
        resource.name() == "disk" && resource.reserved_for() == Some(role) && volume_id(resource).is_none()
    };
    let reserved: Vec<&Resource> = total.iter().filter(is_disk).collect();
    let fits = |resource: &&&Resource| match (&resource.metadata().disk, resource.value()) {
        (Some(disk), Value::Scalar(amount)) if disk.is_indivisible() => *amount == size,
        (_, Value::Scalar(amount)) => *amount >= size,
        _ => false,
    };
    let mut fitting: Vec<&&Resource> = reserved.iter().filter(fits).collect();
    fitting.sort_by_key(|resource| resource.metadata().disk.is_some());
    let Some(disk) = fitting.first() else {
        let most = reserved.iter().map(|resource| resource.to_string()).collect::<Vec<_>>().join("; ");
        let has = if most.is_empty() { "none".to_owned() } else { most };
        bail!(
            "no disk of {size} MiB is reserved for {role} there (there is: {has}); reserve it first: \
             lonja reservations add AGENT 'disk({role}):{size}'"
        );
    };
    let before = disk.metadata();
    let stored = Disk {
        persistence: Some(Persistence { id: id.to_owned(), principal: None }),
        container_path: Some(path.to_owned()),
        ..before.disk.clone().unwrap_or_default()
    };
    let metadata = Metadata { disk: Some(stored), shared, ..before.clone() };
    Ok(Resource::with_metadata("disk", Value::Scalar(size), metadata)?)
}

/// The volume as the agent has it.
fn find(total: &Resources, wanted: &Volume) -> anyhow::Result<Resource> {
    let is_meant = |resource: &&Resource| {
        let role = resource.reserved_for().map(Role::as_str);
        volume_id(resource) == Some(&wanted.id)
            && wanted.role.as_deref().is_none_or(|name| role == Some(name))
    };
    let mut meant = total.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(volume), None) => Ok(volume.clone()),
        (None, _) => bail!("agent {} has no volume {}; `lonja volumes` lists them", wanted.agent, wanted.id),
        (Some(_), Some(_)) => {
            bail!("more than one role has a volume {} there; name one with --role", wanted.id)
        }
    }
}

/// Disk as the volume was made of.
fn plain_disk(volume: &Resource, size: Scalar) -> anyhow::Result<Resource> {
    let mut metadata = volume.metadata().clone();
    metadata.shared = false;
    metadata.disk = metadata.disk.and_then(|disk| {
        let bare = Disk { persistence: None, container_path: None, read_only: false, ..disk };
        (bare != Disk::default()).then_some(bare)
    });
    Ok(Resource::with_metadata(volume.name(), Value::Scalar(size), metadata)?)
}

fn print(family: &Family, agents: &[Agent]) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for agent in agents {
        let used = all_resources_from_wire(agent.allocated_resources.clone())?;
        let total = total(agent)?;
        let volumes = total.iter().filter(|resource| volume_id(resource).is_some());
        rows.extend(volumes.map(|volume| row(agent, volume, &used)));
    }
    let columns = vec!["id", "role", "mib", "agent", "path", "state", "shared", "host", "disk"];
    Listing { what: "volumes", columns, wide_from: 7, rows }.print(family.output, family.quiet);
    Ok(ExitCode::SUCCESS)
}

fn row(agent: &Agent, volume: &Resource, used: &Resources) -> Row {
    let id = volume_id(volume).unwrap_or_default().to_owned();
    let role = volume.reserved_for().map(ToString::to_string).unwrap_or_default();
    let is_used = used
        .iter()
        .any(|other| volume_id(other) == Some(&id) && other.reserved_for() == volume.reserved_for());
    let size = Resources::of([volume.clone()]).map(|volume| volume.scalar("disk")).unwrap_or_default();
    let disk = volume.metadata().disk.clone().unwrap_or_default();
    let path = disk.container_path.clone().unwrap_or_default();
    let source = match disk.source.as_ref().map(|source| &source.kind) {
        None => "agent's own".to_owned(),
        Some(DiskSourceKind::Path { root }) => format!("path {}", root.as_deref().unwrap_or_default()),
        Some(DiskSourceKind::Mount { root }) => format!("mount {}", root.as_deref().unwrap_or_default()),
        Some(DiskSourceKind::Block) => "block".to_owned(),
        Some(DiskSourceKind::Raw) => "raw".to_owned(),
    };
    let (state, shared) = (if is_used { "in use" } else { "idle" }, volume.metadata().shared);
    let object = json!({
        "id": id,
        "role": role,
        "size_mib": size.to_f64(),
        "agent_id": agent_id(agent),
        "hostname": agent.agent_info.hostname,
        "path": path,
        "used": is_used,
        "shared": shared,
        "disk": source,
    });
    let cells = vec![
        id.clone(),
        role,
        size.to_string(),
        agent_id(agent).to_owned(),
        path,
        state.to_owned(),
        if shared { "yes" } else { "no" }.to_owned(),
        agent.agent_info.hostname.clone(),
        source,
    ];
    Row { id, cells, object }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Role {
        Role::new(name).unwrap()
    }

    fn size(mib: u64) -> Scalar {
        Scalar::from_units(mib).unwrap()
    }

    #[test]
    fn a_volume_is_made_of_disk_that_is_reserved_for_its_role() {
        let total = Resources::parse("disk:4096;disk(eng):1024;disk(ops):64").unwrap();
        let volume = new_volume(&total, &role("eng"), "db", size(512), "data", false).unwrap();
        assert_eq!((volume_id(&volume), volume.reserved_for()), (Some("db"), Some(&role("eng"))));
        let error = new_volume(&total, &role("ops"), "db", size(512), "data", false).unwrap_err().to_string();
        assert!(error.contains("disk(ops):512") && error.contains("64"), "{error}");
        assert!(new_volume(&total, &role("web"), "db", size(1), "data", false).is_err());
    }

    #[test]
    fn a_volume_grows_by_disk_as_it_was_made_of() {
        let total = Resources::parse("disk(eng):1024").unwrap();
        let volume = new_volume(&total, &role("eng"), "db", size(512), "data", false).unwrap();
        let addition = plain_disk(&volume, size(512)).unwrap();
        assert!(total.contains(&Resources::of([addition]).unwrap()));
    }

    #[test]
    fn a_volume_is_found_by_id_and_role() {
        let total = Resources::parse("disk(eng):1024;disk(ops):1024").unwrap();
        let made = |name| new_volume(&total, &role(name), "db", size(512), "data", false).unwrap();
        let both = Resources::of([made("eng"), made("ops")]).unwrap();
        let wanted =
            |role: Option<&str>| Volume { agent: "a".into(), id: "db".into(), role: role.map(str::to_owned) };
        assert_eq!(find(&both, &wanted(Some("ops"))).unwrap(), made("ops"));
        assert!(find(&both, &wanted(None)).unwrap_err().to_string().contains("--role"));
        assert!(find(&total, &wanted(None)).is_err());
    }
}
