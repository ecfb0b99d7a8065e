//! What lies behind a disk resource.

use lonja_model::ids::ContainerId;
use lonja_model::resources::{Disk, DiskSource, DiskSourceKind, Persistence};

use super::ids::{labels_from_wire, labels_to_wire};
use super::refusal::{At, Fault, Refusal, known, optional_text, text, unsupported};
use crate::limits;
use crate::mesos::resource::{DiskInfo, disk_info};
use crate::mesos::{self, volume};

pub(super) fn disk_from_wire(wire: DiskInfo) -> Result<Disk, Refusal> {
    let persistence = wire.persistence.map(persistence_from_wire).transpose().at("persistence")?;
    let (container_path, read_only) = match wire.volume {
        Some(volume) => {
            volume_from_wire(volume).map(|(path, read_only)| (Some(path), read_only)).at("volume")?
        }
        None => (None, false),
    };
    let source = wire.source.map(source_from_wire).transpose().at("source")?;
    Ok(Disk { persistence, container_path, read_only, source })
}

pub(super) fn disk_to_wire(disk: &Disk) -> DiskInfo {
    let mode = if disk.read_only { volume::Mode::Ro } else { volume::Mode::Rw };
    DiskInfo {
        persistence: disk.persistence.as_ref().map(|persistence| disk_info::Persistence {
            id: persistence.id.clone(),
            principal: persistence.principal.clone(),
        }),
        volume: disk.container_path.as_ref().map(|path| mesos::Volume {
            container_path: path.clone(),
            mode: mode.into(),
            ..Default::default()
        }),
        source: disk.source.as_ref().map(source_to_wire),
    }
}

/// A volume's id becomes the name of a folder, so the rules of other ids hold for it.
fn persistence_from_wire(wire: disk_info::Persistence) -> Result<Persistence, Refusal> {
    ContainerId::new(&wire.id).map_err(Fault::from).at("id")?;
    Ok(Persistence { id: wire.id, principal: optional_text(wire.principal, "principal")? })
}

fn volume_from_wire(wire: mesos::Volume) -> Result<(String, bool), Refusal> {
    unsupported(wire.host_path.is_some(), "host_path", "a host path on a volume of the agent's disk")?;
    unsupported(wire.image.is_some(), "image", "an image on a volume of the agent's disk")?;
    unsupported(wire.source.is_some(), "source", "a source on a volume of the agent's disk")?;
    let mode: volume::Mode = known(wire.mode, "Volume.Mode").at("mode")?;
    let path = text(wire.container_path, limits::TEXT_BYTES).at("container_path")?;
    Ok((path, mode == volume::Mode::Ro))
}

fn source_from_wire(wire: disk_info::Source) -> Result<DiskSource, Refusal> {
    use disk_info::source::Type;
    let kind: Type = known(wire.r#type, "DiskInfo.Source.Type").at("type")?;
    let only = |set: bool, allowed: Type, name: &str| {
        let fault = || Fault::Invalid(format!("goes with another type than {}", kind.as_str_name()));
        if set && kind != allowed { Err(fault()).at(name) } else { Ok(()) }
    };
    only(wire.path.is_some(), Type::Path, "path")?;
    only(wire.mount.is_some(), Type::Mount, "mount")?;
    let path_root = optional_text(wire.path.and_then(|path| path.root), "path.root")?;
    let mount_root = optional_text(wire.mount.and_then(|mount| mount.root), "mount.root")?;
    let kind = match kind {
        Type::Path => DiskSourceKind::Path { root: path_root },
        Type::Mount => DiskSourceKind::Mount { root: mount_root },
        Type::Block => DiskSourceKind::Block,
        Type::Raw => DiskSourceKind::Raw,
        Type::Unknown => return Err(Fault::Missing).at("type"),
    };
    Ok(DiskSource {
        kind,
        id: optional_text(wire.id, "id")?,
        metadata: labels_from_wire(wire.metadata).at("metadata")?,
        profile: optional_text(wire.profile, "profile")?,
        vendor: optional_text(wire.vendor, "vendor")?,
    })
}

fn source_to_wire(source: &DiskSource) -> disk_info::Source {
    use disk_info::source::{Mount, Path, Type};
    let (kind, path, mount) = match &source.kind {
        DiskSourceKind::Path { root } => (Type::Path, Some(Path { root: root.clone() }), None),
        DiskSourceKind::Mount { root } => (Type::Mount, None, Some(Mount { root: root.clone() })),
        DiskSourceKind::Block => (Type::Block, None, None),
        DiskSourceKind::Raw => (Type::Raw, None, None),
    };
    disk_info::Source {
        r#type: kind.into(),
        path,
        mount,
        id: source.id.clone(),
        metadata: labels_to_wire(&source.metadata),
        profile: source.profile.clone(),
        vendor: source.vendor.clone(),
    }
}
