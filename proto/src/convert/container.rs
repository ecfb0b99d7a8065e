//! What to run, and in what surroundings.

use std::collections::BTreeMap;

use lonja_model::container::{Command, ContainerInfo, ParentVolume, Program, Volume, WindowSize};
use lonja_model::files::{Secret, VolumeSource};

use super::files::{
    secret_from_wire, secret_to_wire, source_from_wire, source_to_wire, uri_to_wire, uris_from_wire,
};
use super::io_limits::{io_limits_from_wire, io_limits_to_wire};
use super::privileges::{linux_to_wire, privileges_from_wire, rlimits_to_wire};
use super::profile::{network_from_wire, network_to_wire, profile_from_wire};
use super::refusal::{At, Fault, Refusal, at_most, known, optional_text, required, text, unsupported};
use crate::limits;
use crate::mesos::environment::variable;
use crate::mesos::volume::source::sandbox_path;
use crate::mesos::{self, container_info, volume};

/// A program to run.
///
/// Errors: it has no value; arguments beside a shell line; a variable without a name; something the
/// system cannot pass on (a zero byte); a file that cannot be fetched; a secret without its bytes or name.
pub fn command_from_wire(wire: mesos::CommandInfo) -> Result<Command, Refusal> {
    let shell = wire.shell();
    at_most(wire.arguments.len(), limits::ARGUMENTS, "arguments")?;
    let value = required(wire.value.filter(|value| !value.is_empty())).and_then(passable).at("value")?;
    let program = if shell {
        if !wire.arguments.is_empty() {
            let reason = "go unseen beside a shell line; put them into value, or set shell to false";
            return Err(Fault::Invalid(reason.to_owned())).at("arguments");
        }
        Program::Shell(value)
    } else {
        let argument = |(index, argument)| passable(argument).at_index("arguments", index);
        let arguments = wire.arguments.into_iter().enumerate().map(argument).collect::<Result<_, _>>()?;
        Program::Exec { path: value, arguments }
    };
    let user = optional_text(wire.user.filter(|user| !user.is_empty()), "user")?;
    let (environment, secrets) = environment_from_wire(wire.environment).at("environment")?;
    Ok(Command { program, environment, user, uris: uris_from_wire(wire.uris)?, secrets })
}

/// The program's form on the wire.
pub fn command_to_wire(command: &Command) -> mesos::CommandInfo {
    let (shell, value, arguments) = match &command.program {
        Program::Shell(line) => (true, line.clone(), Vec::new()),
        Program::Exec { path, arguments } => (false, path.clone(), arguments.clone()),
    };
    let variable = |(name, value): (&String, &String)| mesos::environment::Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..Default::default()
    };
    let secret = |(name, secret): (&String, &Secret)| mesos::environment::Variable {
        name: name.clone(),
        r#type: Some(variable::Type::Secret.into()),
        secret: Some(secret_to_wire(secret)),
        ..Default::default()
    };
    let plain = command.environment.iter().map(variable);
    let variables: Vec<_> = plain.chain(command.secrets.iter().map(secret)).collect();
    mesos::CommandInfo {
        uris: command.uris.iter().map(uri_to_wire).collect(),
        environment: (!variables.is_empty()).then_some(mesos::Environment { variables }),
        value: Some(value),
        user: command.user.clone(),
        shell: Some(shell),
        arguments,
    }
}

/// Text that can be passed to a program.
pub(super) fn passable(value: String) -> Result<String, Refusal> {
    if value.contains('\0') {
        return Err(Fault::Invalid("contains a zero byte; take it out".to_owned()).into());
    }
    text(value, limits::ARGUMENT_BYTES)
}

/// Plain variables, and secret ones.
type Variables = (BTreeMap<String, String>, BTreeMap<String, Secret>);

/// Of a name that stands several times the last one counts.
fn environment_from_wire(wire: Option<mesos::Environment>) -> Result<Variables, Refusal> {
    let variables = wire.unwrap_or_default().variables;
    at_most(variables.len(), limits::VARIABLES, "variables")?;
    let (mut environment, mut secrets) = Variables::default();
    for (index, wire) in variables.into_iter().enumerate() {
        let (name, value) = variable_from_wire(wire).at_index("variables", index)?;
        environment.remove(&name);
        secrets.remove(&name);
        match value {
            Text::Plain(text) => drop(environment.insert(name, text)),
            Text::Secret(secret) => drop(secrets.insert(name, secret)),
        }
    }
    Ok((environment, secrets))
}

/// What a variable is set to.
enum Text {
    Plain(String),
    Secret(Secret),
}

fn variable_from_wire(wire: mesos::environment::Variable) -> Result<(String, Text), Refusal> {
    let kind: variable::Type =
        known(wire.r#type.unwrap_or(variable::Type::Value.into()), "Environment.Variable.Type").at("type")?;
    if wire.name.is_empty() || wire.name.contains('=') {
        let shown: String = wire.name.chars().take(64).collect();
        let reason = format!("{shown:?} is no name of a variable; use one without `=`");
        return Err(Fault::Invalid(reason)).at("name");
    }
    let name = passable(wire.name).at("name")?;
    let value = match kind {
        variable::Type::Secret if wire.value.is_some() => {
            let reason = "stands beside a secret; leave it out, or make the type VALUE";
            return Err(Fault::Invalid(reason.to_owned())).at("value");
        }
        variable::Type::Secret => {
            Text::Secret(required(wire.secret).and_then(secret_from_wire).at("secret")?)
        }
        variable::Type::Value | variable::Type::Unknown if wire.secret.is_some() => {
            let reason = "stands in a plain variable; make the type SECRET, or leave it out";
            return Err(Fault::Invalid(reason.to_owned())).at("secret");
        }
        variable::Type::Value | variable::Type::Unknown => {
            Text::Plain(required(wire.value).and_then(passable).at("value")?)
        }
    };
    Ok((name, value))
}

/// The surroundings of a program; none at all are the default ones.
///
/// Errors: a volume is not well formed; anything but volumes and a host name, which is not supported yet.
pub fn container_from_wire(wire: Option<mesos::ContainerInfo>) -> Result<ContainerInfo, Refusal> {
    let Some(wire) = wire else { return Ok(ContainerInfo::default()) };
    let kind: container_info::Type = known(wire.r#type, "ContainerInfo.Type").at("type")?;
    unsupported(kind == container_info::Type::Docker || wire.docker.is_some(), "type", "Docker")?;
    unsupported(wire.mesos.is_some_and(|mesos| mesos.image.is_some()), "mesos.image", "an image")?;
    let network = network_from_wire(wire.network_infos).at("network_infos")?;
    let profile = profile_from_wire(wire.profile).at("profile")?;
    let tty = wire.tty_info.map(tty_from_wire).transpose().at("tty_info")?;
    at_most(wire.volumes.len(), limits::VOLUMES, "volumes")?;
    let (mut volumes, mut parent_volumes) = (Vec::new(), Vec::new());
    for (index, wire) in wire.volumes.into_iter().enumerate() {
        if is_of_parent(&wire) {
            parent_volumes.push(parent_volume_from_wire(wire).at_index("volumes", index)?);
        } else {
            volumes.push(volume_from_wire(wire).at_index("volumes", index)?);
        }
    }
    let privileges = privileges_from_wire(wire.linux_info, wire.rlimit_info)?;
    let hostname = optional_text(wire.hostname, "hostname")?;
    let io = io_limits_from_wire(wire.io_limits).at("io_limits")?;
    let stdin = wire.stdin.unwrap_or_default();
    Ok(ContainerInfo { volumes, hostname, privileges, profile, network, io, parent_volumes, tty, stdin })
}

/// The surroundings' form on the wire; the default ones are left out.
pub fn container_to_wire(container: &ContainerInfo) -> Option<mesos::ContainerInfo> {
    if *container == ContainerInfo::default() {
        return None;
    }
    Some(mesos::ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        volumes: container
            .volumes
            .iter()
            .map(volume_to_wire)
            .chain(container.parent_volumes.iter().map(parent_volume_to_wire))
            .collect(),
        hostname: container.hostname.clone(),
        io_limits: io_limits_to_wire(&container.io),
        network_infos: network_to_wire(container.network),
        profile: container.profile.map(|profile| profile.to_string()),
        linux_info: linux_to_wire(&container.privileges),
        rlimit_info: rlimits_to_wire(&container.privileges),
        tty_info: container.tty.map(tty_to_wire),
        stdin: container.stdin.then_some(true),
        ..Default::default()
    })
}

/// A terminal; without a size, it has the usual one. Errors: a side is longer than a terminal can have.
fn tty_from_wire(wire: mesos::TtyInfo) -> Result<WindowSize, Refusal> {
    let Some(size) = wire.window_size else { return Ok(WindowSize::default()) };
    let side = |number: u32| {
        u16::try_from(number).map_err(|_| {
            Fault::Invalid(format!("{number} is more than {}, which a terminal cannot have", u16::MAX))
        })
    };
    let rows = side(size.rows).map_err(Refusal::from).at("rows").at("window_size")?;
    let columns = side(size.columns).map_err(Refusal::from).at("columns").at("window_size")?;
    Ok(WindowSize { rows, columns })
}

fn tty_to_wire(size: WindowSize) -> mesos::TtyInfo {
    let window_size = mesos::tty_info::WindowSize { rows: size.rows.into(), columns: size.columns.into() };
    mesos::TtyInfo { window_size: Some(window_size) }
}

fn volume_from_wire(wire: mesos::Volume) -> Result<Volume, Refusal> {
    unsupported(wire.image.is_some(), "image", "an image as a volume")?;
    let mode: volume::Mode = known(wire.mode, "Volume.Mode").at("mode")?;
    let source = source_from_wire(wire.host_path, wire.source)?;
    let container_path = passable(wire.container_path).at("container_path")?;
    if container_path.is_empty() || container_path.split('/').any(|name| name == "..") {
        let reason = "is empty or contains `..`; name a path inside the container";
        return Err(Fault::Invalid(reason.to_owned())).at("container_path");
    }
    Ok(Volume { source, container_path, read_only: mode == volume::Mode::Ro })
}

fn volume_to_wire(volume: &Volume) -> mesos::Volume {
    let mode = if volume.read_only { volume::Mode::Ro } else { volume::Mode::Rw };
    // A path of the host in the older form, which every client reads.
    let (host_path, source) = match &volume.source {
        VolumeSource::Host(path) => (Some(path.clone()), None),
        other => (None, Some(source_to_wire(other))),
    };
    mesos::Volume {
        container_path: volume.container_path.clone(),
        host_path,
        mode: mode.into(),
        image: None,
        source,
    }
}

/// Is it a folder of the executor's sandbox?
fn is_of_parent(wire: &mesos::Volume) -> bool {
    let path = wire.source.as_ref().and_then(|source| source.sandbox_path.as_ref());
    path.is_some_and(|path| path.r#type() == sandbox_path::Type::Parent)
}

fn parent_volume_from_wire(wire: mesos::Volume) -> Result<ParentVolume, Refusal> {
    unsupported(wire.image.is_some(), "image", "an image as a volume")?;
    let mode: volume::Mode = known(wire.mode, "Volume.Mode").at("mode")?;
    let path = wire.source.unwrap_or_default().sandbox_path.unwrap_or_default().path;
    let path = passable(path).at("source.sandbox_path.path")?;
    let container_path = passable(wire.container_path).at("container_path")?;
    let strange = |component: &str| matches!(component, "" | "." | "..");
    if path.split('/').any(strange) || wire.host_path.is_some() {
        let reason = "must be relative, without empty parts, `.` or `..`, and without host_path beside it";
        return Err(Fault::Invalid(reason.to_owned())).at("source.sandbox_path.path");
    }
    if container_path.is_empty() || container_path.split('/').any(|component| component == "..") {
        let reason = "is empty or contains `..`; name a path inside the container";
        return Err(Fault::Invalid(reason.to_owned())).at("container_path");
    }
    Ok(ParentVolume { path, container_path, read_only: mode == volume::Mode::Ro })
}

fn parent_volume_to_wire(volume: &ParentVolume) -> mesos::Volume {
    let mode = if volume.read_only { volume::Mode::Ro } else { volume::Mode::Rw };
    let path = volume::source::SandboxPath {
        r#type: Some(sandbox_path::Type::Parent.into()),
        path: volume.path.clone(),
    };
    mesos::Volume {
        container_path: volume.container_path.clone(),
        host_path: None,
        mode: mode.into(),
        image: None,
        source: Some(volume::Source {
            r#type: Some(volume::source::Type::SandboxPath.into()),
            sandbox_path: Some(path),
            ..Default::default()
        }),
    }
}
