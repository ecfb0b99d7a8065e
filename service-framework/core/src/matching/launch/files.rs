//! Files of tasks: what is fetched for them and what is mounted.

use std::collections::BTreeMap;

use lonja_model::container::{ParentVolume, Volume};
use lonja_model::files::{Uri, VolumeSource};

use super::secret;
use crate::definition::{App, Fetch, Pod, PodContainer, PodVolumeKind, VolumeKind};

/// What is to be fetched. Errors: what cannot be, in words.
pub(super) fn uris(fetch: &[Fetch]) -> Result<Vec<Uri>, String> {
    let uri = |one: &Fetch| {
        let uri = match &one.dest_path {
            Some(path) => Uri::saved_as(&one.uri, path),
            None => Uri::new(&one.uri),
        };
        let mut uri = uri.map_err(|why| format!("a file to fetch: {why}"))?;
        (uri.executable, uri.extract, uri.cache) = (one.executable, one.extract, one.cache);
        Ok(uri)
    };
    fetch.iter().map(uri).collect()
}

/// What is mounted for an app; its persistent volumes come with its resources, those of other providers are left out.
pub(super) fn of_app(app: &App) -> Result<Vec<Volume>, String> {
    let mut volumes = Vec::new();
    for volume in app.volumes() {
        let source = match &volume.kind {
            VolumeKind::Host(path) => of_host(path),
            VolumeKind::Secret(name) => VolumeSource::Secret(secret(name, &app.secrets)?),
            VolumeKind::Persistent(_) | VolumeKind::External(_) => continue,
        };
        let (container_path, read_only) = (volume.container_path.clone(), volume.read_only);
        volumes.push(Volume { source, container_path, read_only });
    }
    Ok(volumes)
}

/// What is mounted for a pod's container: of the host or a secret, and what all share.
pub(super) fn of_container(
    pod: &Pod,
    container: &PodContainer,
) -> Result<(Vec<Volume>, Vec<ParentVolume>), String> {
    let (mut volumes, mut shared) = (Vec::new(), Vec::new());
    let kinds: BTreeMap<&str, &PodVolumeKind> =
        pod.volumes.iter().map(|volume| (volume.name.as_str(), &volume.kind)).collect();
    for mount in &container.volume_mounts {
        let (container_path, read_only) = (mount.mount_path.clone(), mount.read_only);
        let source = match kinds.get(mount.name.as_str()) {
            Some(PodVolumeKind::Host(path)) => of_host(path),
            Some(PodVolumeKind::Secret(name)) => VolumeSource::Secret(secret(name, &pod.secrets)?),
            Some(PodVolumeKind::Ephemeral) => {
                let path = format!("volumes/{}", mount.name);
                shared.push(ParentVolume { path, container_path, read_only });
                continue;
            }
            Some(PodVolumeKind::Persistent(_)) => continue,
            None => return Err(format!("the pod has no volume {:?}", mount.name)),
        };
        volumes.push(Volume { source, container_path, read_only });
    }
    Ok((volumes, shared))
}

/// Relative paths are of the sandbox.
fn of_host(path: &str) -> VolumeSource {
    if path.starts_with('/') {
        VolumeSource::Host(path.to_owned())
    } else {
        VolumeSource::Sandbox(path.to_owned())
    }
}
