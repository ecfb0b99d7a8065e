//! What comes with a task besides its program, as its container gets it: volumes of every kind, secret variables.

use std::collections::BTreeMap;

use lonja_model::TaskInfo;
use lonja_model::files::VolumeSource as Source;

use crate::config::HostPaths;
use crate::containerizer::{Volume, VolumeSource};
use crate::secrets::{self, SecretResolver};
use crate::supervisor::Hidden;

/// The volumes of a task's description, in its order. `memory` is the task's limit, in bytes. Errors: one that this
/// agent does not allow or have, for people.
pub(super) fn volumes(
    task: &TaskInfo,
    memory: Option<u64>,
    host_paths: &HostPaths,
    store: Option<&dyn SecretResolver>,
) -> Result<Vec<Volume>, String> {
    let volume = |volume: &lonja_model::container::Volume| {
        let source = match &volume.source {
            Source::Host(path) => host_paths.admit(path.as_ref())?.into(),
            Source::Sandbox(path) => VolumeSource::Sandbox(path.into()),
            Source::Secret(secret) => {
                let bytes = secrets::reveal(secret, store).map_err(|error| error.to_string())?;
                VolumeSource::Secret(Hidden(bytes.expose().to_vec()))
            }
            Source::Tmpfs { size } => VolumeSource::Tmpfs { size: size.or(memory) },
        };
        // A secret is what it is: its file is in memory and has no other life.
        let read_only = volume.read_only || matches!(source, VolumeSource::Secret(_));
        Ok(Volume { source, container_path: volume.container_path.clone().into(), read_only })
    };
    task.container.volumes.iter().map(volume).collect()
}

/// Adds a task's secret variables to its environment. Errors: one cannot be found, or is no text.
pub(super) fn reveal_variables(
    task: &TaskInfo,
    environment: &mut BTreeMap<String, String>,
    store: Option<&dyn SecretResolver>,
) -> Result<(), String> {
    for (name, secret) in &task.command.secrets {
        let text = secrets::reveal_text(name, secret, store).map_err(|error| error.to_string())?;
        environment.insert(name.clone(), text);
    }
    Ok(())
}
