//! Files that come with a task: what is fetched, what is secret, where volumes come from.

use lonja_model::files::{
    InvalidChecksum, InvalidUri, LONGEST_SECRET, Secret, SecretBytes, Uri, VolumeSource,
};

use super::container::passable;
use super::refusal::{At, Fault, Refusal, at_most, known, required, text, unsupported};
use crate::limits;
use crate::mesos::{self, command_info, secret, volume};

/// What is to be fetched. Errors: too many, or one that cannot be fetched, by the field at fault.
pub(super) fn uris_from_wire(wire: Vec<command_info::Uri>) -> Result<Vec<Uri>, Refusal> {
    at_most(wire.len(), limits::URIS, "uris")?;
    let uri = |(index, wire)| uri_from_wire(wire).at_index("uris", index);
    wire.into_iter().enumerate().map(uri).collect()
}

fn uri_from_wire(wire: command_info::Uri) -> Result<Uri, Refusal> {
    let (executable, extract, cache) = (wire.executable(), wire.extract(), wire.cache());
    let value = text(wire.value, limits::URI_BYTES).at("value")?;
    let uri = match wire.output_file {
        Some(name) => Uri::saved_as(value, text(name, limits::URI_BYTES).at("output_file")?),
        None => Uri::new(value),
    };
    let mut uri = match uri {
        Ok(uri) => uri,
        Err(why @ InvalidUri::OutputFile(_)) => {
            return Err(Fault::Invalid(why.to_string())).at("output_file");
        }
        Err(why) => return Err(Fault::Invalid(why.to_string())).at("value"),
    };
    if let Some(text) = wire.sha256 {
        let refuse = |why: InvalidChecksum| Fault::Invalid(why.to_string());
        uri.sha256 = Some(text.parse().map_err(refuse).at("sha256")?);
    }
    (uri.executable, uri.extract, uri.cache) = (executable, extract, cache);
    Ok(uri)
}

pub(super) fn uri_to_wire(uri: &Uri) -> command_info::Uri {
    command_info::Uri {
        value: uri.value().to_owned(),
        executable: Some(uri.executable),
        extract: Some(uri.extract),
        cache: Some(uri.cache),
        output_file: uri.output_file().map(ToOwned::to_owned),
        sha256: uri.sha256.map(|sum| sum.to_string()),
    }
}

/// A secret. Errors: neither bytes nor a name, both, or not those of its type; longer than a secret may be.
pub(super) fn secret_from_wire(wire: mesos::Secret) -> Result<Secret, Refusal> {
    let kind: Option<secret::Type> =
        wire.r#type.map(|kind| known(kind, "Secret.Type")).transpose().at("type")?;
    if wire.value.is_some() && wire.reference.is_some() {
        let reason = "stands beside value; give the one of the secret's type";
        return Err(Fault::Invalid(reason.to_owned())).at("reference");
    }
    let by_value = match kind {
        Some(secret::Type::Value) => true,
        Some(secret::Type::Reference) => false,
        Some(secret::Type::Unknown) | None => wire.value.is_some(),
    };
    if by_value {
        let data = required(wire.value).at("value")?.data;
        let bytes = data.len();
        let refuse = Fault::TooLong { bytes, limit: LONGEST_SECRET };
        return Ok(Secret::Value(SecretBytes::new(data).ok_or(refuse).at("value.data")?));
    }
    let wire = required(wire.reference).at("reference")?;
    let name = name_from_wire(wire.name).at("reference.name")?;
    let key = wire.key.map(name_from_wire).transpose().at("reference.key")?;
    Ok(Secret::Reference { name, key })
}

/// A name in a store of secrets is one plain name, so that a store of files has nowhere else to go.
fn name_from_wire(name: String) -> Result<String, Refusal> {
    let name = text(name, 255)?;
    if name.is_empty() || name.starts_with('.') || name.contains(|c: char| c == '/' || c.is_control()) {
        let reason = "is empty, begins with a dot, or holds a slash; give the plain name of a secret";
        return Err(Fault::Invalid(reason.to_owned()).into());
    }
    Ok(name)
}

pub(super) fn secret_to_wire(secret: &Secret) -> mesos::Secret {
    match secret {
        Secret::Value(bytes) => mesos::Secret {
            r#type: Some(secret::Type::Value.into()),
            value: Some(secret::Value { data: bytes.expose().to_vec() }),
            reference: None,
        },
        Secret::Reference { name, key } => mesos::Secret {
            r#type: Some(secret::Type::Reference.into()),
            reference: Some(secret::Reference { name: name.clone(), key: key.clone() }),
            value: None,
        },
    }
}

/// Where a volume comes from: a path of the host in either form, or another source.
pub(super) fn source_from_wire(
    host_path: Option<String>,
    wire: Option<volume::Source>,
) -> Result<VolumeSource, Refusal> {
    let Some(wire) = wire else {
        unsupported(host_path.is_none(), "host_path", "a volume without host_path and source")?;
        return host_path_from_wire(host_path.unwrap_or_default()).at("host_path");
    };
    if host_path.is_some() {
        let reason = "stands beside source; give one of the two";
        return Err(Fault::Invalid(reason.to_owned())).at("host_path");
    }
    other_source_from_wire(wire).at("source")
}

fn other_source_from_wire(wire: volume::Source) -> Result<VolumeSource, Refusal> {
    let kind: volume::source::Type =
        required(wire.r#type).and_then(|kind| known(kind, "Volume.Source.Type")).at("type")?;
    use volume::source::Type;
    match kind {
        Type::HostPath => {
            let wire = required(wire.host_path).at("host_path")?;
            let propagates = wire.mount_propagation.is_some();
            unsupported(propagates, "host_path.mount_propagation", "passing mounts on")?;
            host_path_from_wire(wire.path).at("host_path.path")
        }
        Type::SandboxPath => {
            let wire = required(wire.sandbox_path).at("sandbox_path")?;
            sandbox_path_from_wire(wire).at("sandbox_path")
        }
        Type::Secret => {
            Ok(VolumeSource::Secret(required(wire.secret).and_then(secret_from_wire).at("secret")?))
        }
        Type::Tmpfs => {
            let size = wire.tmpfs.and_then(|tmpfs| tmpfs.size_bytes);
            if size == Some(0) {
                let reason = "is zero, which has no room; leave it out for as much as the task's memory";
                return Err(Fault::Invalid(reason.to_owned())).at("tmpfs.size_bytes");
            }
            Ok(VolumeSource::Tmpfs { size })
        }
        Type::DockerVolume => Err(Fault::Unsupported("a Docker volume")).at("docker_volume"),
        Type::CsiVolume => Err(Fault::Unsupported("a volume of a storage plugin")).at("csi_volume"),
        Type::Unknown => {
            Err(Fault::Invalid("is UNKNOWN; say where the volume comes from".to_owned())).at("type")
        }
    }
}

fn climbs(path: &str) -> bool {
    path.split('/').any(|name| name == "..")
}

fn host_path_from_wire(path: String) -> Result<VolumeSource, Refusal> {
    let path = passable(path)?;
    if !path.starts_with('/') || climbs(&path) {
        let reason = "must be absolute and without `..`; name a path of the agent's host";
        return Err(Fault::Invalid(reason.to_owned()).into());
    }
    Ok(VolumeSource::Host(path))
}

fn sandbox_path_from_wire(wire: volume::source::SandboxPath) -> Result<VolumeSource, Refusal> {
    use volume::source::sandbox_path::Type;
    let kind: Type =
        wire.r#type.map_or(Ok(Type::Self_), |kind| known(kind, "SandboxPath.Type")).at("type")?;
    unsupported(kind == Type::Parent, "type", "a path in the sandbox of a group")?;
    let path = passable(wire.path).at("path")?;
    if path.is_empty() || path.starts_with('/') || climbs(&path) {
        let reason = "must be relative and without `..`; name a path below the sandbox";
        return Err(Fault::Invalid(reason.to_owned())).at("path");
    }
    Ok(VolumeSource::Sandbox(path))
}

pub(super) fn source_to_wire(source: &VolumeSource) -> volume::Source {
    use volume::source::{HostPath, SandboxPath, Tmpfs, Type, sandbox_path};
    match source {
        VolumeSource::Host(path) => volume::Source {
            r#type: Some(Type::HostPath.into()),
            host_path: Some(HostPath { path: path.clone(), mount_propagation: None }),
            ..Default::default()
        },
        VolumeSource::Sandbox(path) => volume::Source {
            r#type: Some(Type::SandboxPath.into()),
            sandbox_path: Some(SandboxPath {
                r#type: Some(sandbox_path::Type::Self_.into()),
                path: path.clone(),
            }),
            ..Default::default()
        },
        VolumeSource::Secret(secret) => volume::Source {
            r#type: Some(Type::Secret.into()),
            secret: Some(secret_to_wire(secret)),
            ..Default::default()
        },
        VolumeSource::Tmpfs { size } => volume::Source {
            r#type: Some(Type::Tmpfs.into()),
            tmpfs: Some(Tmpfs { size_bytes: *size }),
            ..Default::default()
        },
    }
}

/// An executor as listings show it: with every secret's bytes left out.
pub fn executor_without_secrets(mut executor: mesos::ExecutorInfo) -> mesos::ExecutorInfo {
    executor.container = executor.container.map(without_secrets);
    let environment = executor.command.as_mut().and_then(|command| command.environment.as_mut());
    let variables = environment.into_iter().flat_map(|environment| &mut environment.variables);
    for value in variables.filter_map(|variable| variable.secret.as_mut()?.value.as_mut()) {
        value.data.clear();
    }
    executor
}

/// The surroundings as listings show them: with every secret's bytes left out.
pub fn without_secrets(mut container: mesos::ContainerInfo) -> mesos::ContainerInfo {
    let sources = container.volumes.iter_mut().filter_map(|volume| volume.source.as_mut());
    for secret in sources.filter_map(|source| source.secret.as_mut()) {
        if let Some(value) = &mut secret.value {
            value.data.clear();
        }
    }
    container
}
