//! How much of memory, of a disk or of a message a description takes.
//!
//! Whoever keeps what others send bounds it by this. A weight is in bytes and errs upwards: the encoded forms of
//! `proto` are smaller, and so no codec is needed to judge what will fit into a message or a batch.

use std::collections::BTreeMap;

use crate::check::{Check, HealthCheck, Probe};
use crate::checkpoint::{ExecutorRecord, TaskRecord};
use crate::container::{Command, ContainerInfo, Program};
use crate::executor::{ExecutorInfo, ExecutorProgram};
use crate::files::{Secret, VolumeSource};
use crate::framework::FrameworkInfo;
use crate::labels::Labels;
use crate::resources::{Disk, DiskSource, DiskSourceKind, Resource, Resources, Value};
use crate::task::{Discovery, TaskInfo, TaskStatus};

/// What stands around one value: its field's number and its length.
const ITEM: usize = 16;

/// The numbers, times, flags and short words of one record.
const RECORD: usize = 256;

/// Something that has a weight.
pub trait Weigh {
    /// Bytes that an encoded form of it takes at most.
    fn weight(&self) -> usize;
}

fn text(text: impl AsRef<[u8]>) -> usize {
    ITEM + text.as_ref().len()
}

fn maybe(value: Option<&String>) -> usize {
    value.map_or(0, text)
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weigh::weight)
    }
}

impl<T: Weigh> Weigh for Box<T> {
    fn weight(&self) -> usize {
        self.as_ref().weight()
    }
}

impl Weigh for Labels {
    fn weight(&self) -> usize {
        self.0.iter().map(|(key, value)| ITEM + text(key) + maybe(value.as_ref())).sum()
    }
}

impl Weigh for Resources {
    fn weight(&self) -> usize {
        self.iter().map(Weigh::weight).sum()
    }
}

impl Weigh for Resource {
    fn weight(&self) -> usize {
        let value = match self.value() {
            Value::Scalar(_) => ITEM,
            Value::Ranges(ranges) => 3 * ITEM * ranges.iter().count(),
            Value::Set(set) => set.iter().map(text).sum(),
            // Each is named on the wire by some words beside its number.
            Value::Devices(devices) => RECORD * devices.iter().count(),
        };
        let metadata = self.metadata();
        let reservations = metadata.reservations.iter().map(|reservation| {
            let role = text(reservation.role.as_str());
            4 * ITEM + role + maybe(reservation.principal.as_ref()) + reservation.labels.weight()
        });
        let provider = metadata.provider.as_ref().map_or(0, |provider| text(provider.as_str()));
        4 * ITEM + text(self.name()) + value + reservations.sum::<usize>() + metadata.disk.weight() + provider
    }
}

impl Weigh for Disk {
    fn weight(&self) -> usize {
        let persistence = self
            .persistence
            .as_ref()
            .map_or(0, |persistence| ITEM + text(&persistence.id) + maybe(persistence.principal.as_ref()));
        4 * ITEM + persistence + maybe(self.container_path.as_ref()) + self.source.weight()
    }
}

impl Weigh for DiskSource {
    fn weight(&self) -> usize {
        let root = match &self.kind {
            DiskSourceKind::Path { root } | DiskSourceKind::Mount { root } => maybe(root.as_ref()),
            DiskSourceKind::Block | DiskSourceKind::Raw => 0,
        };
        let texts = [&self.id, &self.profile, &self.vendor].map(|value| maybe(value.as_ref()));
        4 * ITEM + root + self.metadata.weight() + texts.iter().sum::<usize>()
    }
}

impl Weigh for Secret {
    fn weight(&self) -> usize {
        match self {
            Self::Value(bytes) => ITEM + text(bytes.expose()),
            Self::Reference { name, key } => ITEM + text(name) + maybe(key.as_ref()),
        }
    }
}

impl Weigh for Command {
    fn weight(&self) -> usize {
        let Self { program, environment, user, uris, secrets } = self;
        let program = match program {
            Program::Shell(line) => text(line),
            Program::Exec { path, arguments } => text(path) + arguments.iter().map(text).sum::<usize>(),
        };
        let environment = environment.iter().map(|(name, value)| 2 * ITEM + text(name) + text(value));
        // With a checksum, and flags.
        let uris = uris.iter().map(|uri| 8 * ITEM + text(uri.value()) + uri.output_file().map_or(0, text));
        let secrets = secrets.iter().map(|(name, secret)| 2 * ITEM + text(name) + secret.weight());
        let lists = environment.sum::<usize>() + uris.sum::<usize>() + secrets.sum::<usize>();
        4 * ITEM + program + lists + maybe(user.as_ref())
    }
}

impl Weigh for ContainerInfo {
    fn weight(&self) -> usize {
        let Self {
            volumes,
            hostname,
            io,
            privileges,
            profile: _,
            network: _,
            tty: _,
            parent_volumes,
            stdin: _,
        } = self;
        let volumes = volumes.iter().map(|volume| {
            let source = match &volume.source {
                VolumeSource::Host(path) | VolumeSource::Sandbox(path) => text(path),
                VolumeSource::Secret(secret) => secret.weight(),
                VolumeSource::Tmpfs { .. } => ITEM,
            };
            8 * ITEM + source + text(&volume.container_path)
        });
        let shared = parent_volumes.iter();
        let shared = shared.map(|volume| 8 * ITEM + text(&volume.path) + text(&volume.container_path));
        let throttles = io.throttles.iter().map(|throttle| 8 * ITEM + maybe(throttle.device.as_ref()));
        let lists = volumes.sum::<usize>() + shared.sum::<usize>() + throttles.sum::<usize>();
        // A set of capabilities is some dozens of numbers.
        4 * RECORD + lists + maybe(hostname.as_ref()) + 4 * ITEM * privileges.rlimits.len()
    }
}

impl Weigh for ExecutorInfo {
    fn weight(&self) -> usize {
        let Self { id, framework, program, name, resources, container, shutdown_grace: _, labels, data } =
            self;
        let program = match program {
            ExecutorProgram::Builtin => 0,
            ExecutorProgram::Custom(command) => command.weight(),
        };
        let names = text(id.as_str())
            + framework.as_ref().map_or(0, |framework| text(framework.as_str()))
            + maybe(name.as_ref());
        RECORD + names + program + resources.weight() + container.weight() + labels.weight() + text(data)
    }
}

impl Weigh for Probe {
    fn weight(&self) -> usize {
        match self {
            Self::Command(command) => command.weight(),
            Self::Http(http) => 4 * ITEM + maybe(http.path.as_ref()) + ITEM * http.statuses.len(),
            Self::Tcp { .. } => ITEM,
        }
    }
}

impl Weigh for HealthCheck {
    fn weight(&self) -> usize {
        RECORD + self.probe.weight()
    }
}

impl Weigh for Check {
    fn weight(&self) -> usize {
        RECORD + self.probe.weight()
    }
}

impl Weigh for Discovery {
    fn weight(&self) -> usize {
        let Self { visibility: _, name, environment, location, version, ports, labels } = self;
        let texts = [name, environment, location, version].map(|value| maybe(value.as_ref()));
        let ports = ports.iter();
        let ports = ports.map(|port| 4 * ITEM + maybe(port.name.as_ref()) + maybe(port.protocol.as_ref()));
        RECORD + texts.iter().sum::<usize>() + ports.sum::<usize>() + labels.weight()
    }
}

impl Weigh for TaskInfo {
    fn weight(&self) -> usize {
        let Self {
            name,
            id,
            agent,
            resources,
            limits,
            command,
            container,
            kill_grace: _,
            max_completion_time: _,
            labels,
            discovery,
            executor,
            data,
            health_check,
            check,
        } = self;
        let limits: usize = limits.keys().map(|name| 2 * ITEM + text(name)).sum();
        let names = text(name) + text(id.as_str()) + text(agent.as_str());
        let surroundings = command.weight() + container.weight() + executor.weight();
        let watched = health_check.weight() + check.weight() + discovery.weight();
        RECORD + names + resources.weight() + limits + surroundings + watched + labels.weight() + text(data)
    }
}

impl Weigh for TaskStatus {
    fn weight(&self) -> usize {
        let ids = [
            Some(self.task.as_str()),
            self.agent.as_ref().map(|id| id.as_str()),
            self.executor.as_ref().map(|id| id.as_str()),
            self.container.as_ref().map(|id| id.as_str()),
        ];
        let ids: usize = ids.into_iter().flatten().map(text).sum();
        let free = maybe(self.message.as_ref()) + text(&self.data) + self.labels.weight();
        RECORD + ids + free + self.limitation.weight()
    }
}

impl Weigh for TaskRecord {
    fn weight(&self) -> usize {
        self.info.weight() + self.weight_beside_info()
    }
}

impl TaskRecord {
    /// What its weight has beside that of its description, which never changes.
    pub fn weight_beside_info(&self) -> usize {
        let updates: usize = self.updates.iter().map(Weigh::weight).sum();
        let names = text(self.role.as_str()) + text(self.container.as_str());
        let group = self.group.as_ref().map_or(0, |group| {
            text(group.name.as_str()) + group.fell_with.as_ref().map_or(0, |task| text(task.as_str()))
        });
        RECORD + names + group + updates + 2 * ITEM * self.delivery.heard.len()
    }
}

impl Weigh for ExecutorRecord {
    fn weight(&self) -> usize {
        RECORD + self.info.weight() + text(self.role.as_str()) + text(self.container.as_str())
    }
}

impl Weigh for FrameworkInfo {
    fn weight(&self) -> usize {
        let Self {
            user,
            name,
            failover_timeout: _,
            checkpoint: _,
            hostname,
            principal,
            webui_url,
            capabilities,
            labels,
            roles,
            minimum_offers,
        } = self;
        let texts = [hostname, principal, webui_url].map(|value| maybe(value.as_ref()));
        let roles = roles.iter().map(|role| text(role.as_str()));
        RECORD
            + text(user)
            + text(name)
            + texts.iter().sum::<usize>()
            + 4 * ITEM * capabilities.len()
            + labels.weight()
            + roles.sum::<usize>()
            + minimum(minimum_offers)
    }
}

/// Alternatives name a few quantities each.
fn minimum(offers: &BTreeMap<crate::Role, Vec<crate::resources::Quantities>>) -> usize {
    let one = |(role, alternatives): (&crate::Role, &Vec<crate::resources::Quantities>)| {
        let quantities = alternatives.iter().flat_map(|quantities| quantities.iter());
        let quantities: usize = quantities.map(|(name, _)| 4 * ITEM + text(name)).sum();
        text(role.as_str()) + ITEM * alternatives.len() + quantities
    };
    offers.iter().map(one).sum()
}
