//! What one instance needs of an agent, read from its definition once.

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::Gpus;
use lonja_sdk_core::task::Need;

use crate::definition::{
    App, Endpoint, Persistent, Pod, PodContainer, PodVolumeKind, PortDefinition, PortMapping, RunSpec,
    VolumeKind,
};

/// What one instance needs.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// All of it together, ports and persistent volumes aside.
    pub(super) whole: Need,
    /// What its executor needs for itself.
    pub(super) executor: Need,
    /// What each of its tasks needs, in the order of the definition.
    pub(super) tasks: Vec<Need>,
    /// Its ports in the order of the definition.
    pub(super) ports: Vec<PortWish>,
    /// Its persistent volumes in the order of the definition.
    pub(super) volumes: Vec<VolumeWish>,
}

/// One port of the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortWish {
    /// Which task has it.
    pub(super) task: usize,
    pub(super) host: HostPort,
}

/// Which port of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostPort {
    /// None at all.
    None,
    /// Any.
    Any,
    /// This one.
    Fixed(u16),
}

/// One persistent volume.
#[derive(Clone, Debug)]
pub(super) struct VolumeWish {
    /// Which task mounts it.
    pub(super) task: usize,
    /// Where inside, as the definition says; of a pod's, its name.
    pub(super) name: String,
    /// Where inside, below the sandbox.
    pub(super) container_path: String,
    pub(super) persistent: Persistent,
}

impl Needs {
    pub(super) fn of(spec: &RunSpec) -> Self {
        match spec {
            RunSpec::App(app) => of_app(app),
            RunSpec::Pod(pod) => of_pod(pod),
        }
    }

    /// How many ports of the agent it takes.
    pub(super) fn host_ports(&self) -> usize {
        self.ports.iter().filter(|port| port.host != HostPort::None).count()
    }

    /// Its volumes on the agent's own disk, together.
    pub(super) fn own_disk(&self) -> Scalar {
        use crate::definition::PersistentKind;
        let own = self.volumes.iter().filter(|one| one.persistent.kind == PersistentKind::Root);
        own.fold(Scalar::ZERO, |sum, one| plus(sum, one.persistent.size))
    }
}

fn of_app(app: &App) -> Needs {
    let need = Need { cpus: app.cpus, mem: app.mem, disk: app.disk, ports: 0, gpus: whole_gpus(app.gpus) };
    let executor = app.executor_resources.filter(|_| custom_executor(app).is_some());
    let executor =
        executor.map_or(Need { cpus: Scalar::ZERO, mem: Scalar::ZERO, ..Need::default() }, |one| Need {
            cpus: one.cpus,
            mem: one.mem,
            disk: one.disk,
            ports: 0,
            gpus: Gpus::None,
        });
    let mapped = app.container.as_ref().and_then(|container| container.port_mappings.as_ref());
    let ports = match mapped {
        Some(mappings) => mappings.iter().map(|one| PortWish { task: 0, host: of_mapping(one) }).collect(),
        None => {
            let defined = app.port_definitions.iter().flatten();
            defined.map(|one| PortWish { task: 0, host: of_definition(one, app.require_ports) }).collect()
        }
    };
    let volumes = app.volumes().filter_map(|volume| match &volume.kind {
        VolumeKind::Persistent(persistent) => Some(VolumeWish {
            task: 0,
            name: volume.container_path.clone(),
            container_path: below_sandbox(&volume.container_path),
            persistent: persistent.clone(),
        }),
        VolumeKind::Host(_) | VolumeKind::External(_) | VolumeKind::Secret(_) => None,
    });
    Needs { whole: sum(&need, &executor), executor, tasks: vec![need], ports, volumes: volumes.collect() }
}

fn of_pod(pod: &Pod) -> Needs {
    let own = &pod.executor_resources;
    let executor = Need { cpus: own.cpus, mem: own.mem, disk: own.disk, ports: 0, gpus: Gpus::None };
    let task = |container: &PodContainer| Need {
        cpus: container.cpus,
        mem: container.mem,
        disk: container.disk,
        ports: 0,
        gpus: whole_gpus(container.gpus),
    };
    let tasks: Vec<Need> = pod.containers.iter().map(task).collect();
    let ports = pod.containers.iter().enumerate().flat_map(|(task, container)| {
        container.endpoints.iter().map(move |one| PortWish { task, host: of_endpoint(one) })
    });
    let volumes = pod.volumes.iter().filter_map(|volume| {
        let PodVolumeKind::Persistent(persistent) = &volume.kind else { return None };
        // A volume has one holder at a time: the first container that mounts it.
        let (task, mount) = pod.containers.iter().enumerate().find_map(|(task, container)| {
            let mount = container.volume_mounts.iter().find(|mount| mount.name == volume.name)?;
            Some((task, mount))
        })?;
        Some(VolumeWish {
            task,
            name: volume.name.clone(),
            container_path: below_sandbox(&mount.mount_path),
            persistent: persistent.clone(),
        })
    });
    Needs {
        whole: tasks.iter().fold(executor, |all, task| sum(&all, task)),
        executor,
        ports: ports.collect(),
        volumes: volumes.collect(),
        tasks,
    }
}

/// The program of an app's executor, if it is not Lonja's own.
pub(super) fn custom_executor(app: &App) -> Option<&str> {
    Some(app.executor.as_str()).filter(|path| !path.is_empty() && *path != "//cmd")
}

fn of_definition(definition: &PortDefinition, fixed: bool) -> HostPort {
    if fixed && definition.port > 0 { HostPort::Fixed(definition.port) } else { HostPort::Any }
}

fn of_mapping(mapping: &PortMapping) -> HostPort {
    of_number(mapping.host_port)
}

fn of_endpoint(endpoint: &Endpoint) -> HostPort {
    of_number(endpoint.host_port)
}

fn of_number(port: Option<u16>) -> HostPort {
    match port {
        None => HostPort::None,
        Some(0) => HostPort::Any,
        Some(port) => HostPort::Fixed(port),
    }
}

fn whole_gpus(count: u32) -> Gpus {
    match u16::try_from(count) {
        Ok(0) => Gpus::None,
        Ok(count) => Gpus::Whole(count),
        Err(_) => Gpus::Whole(u16::MAX),
    }
}

/// Volumes are shown below the sandbox.
fn below_sandbox(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

fn plus(one: Scalar, other: Scalar) -> Scalar {
    one.checked_add(other).unwrap_or(Scalar::MAX)
}

fn sum(one: &Need, other: &Need) -> Need {
    let gpus = one.gpus.devices().saturating_add(other.gpus.devices());
    Need {
        cpus: plus(one.cpus, other.cpus),
        mem: plus(one.mem, other.mem),
        disk: plus(one.disk, other.disk),
        ports: 0,
        gpus: whole_gpus(u32::try_from(gpus).unwrap_or(u32::MAX)),
    }
}
