//! An app: a number of equal tasks that are kept running.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::resources::Scalar;

use super::{
    Affinity, Autoscale, Backoff, Check, Constraint, Container, HealthCheck, KillSelection, Preference,
    ReadinessCheck, Rollout, UnreachableStrategy, UpgradeStrategy, VersionInfo, VolumeKind,
};
use crate::path_id::PathId;

/// The label that forbids two instances at once, with the value `true`.
pub const SINGLE_INSTANCE: &str = "MARATHON_SINGLE_INSTANCE_APP";

/// A number of equal tasks that are kept running.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Its name.
    pub id: PathId,
    /// A line for the shell.
    pub cmd: Option<String>,
    /// A program and its arguments, in place of a line.
    pub args: Vec<String>,
    /// How many.
    pub instances: u32,
    /// CPUs of each, in thousandths.
    pub cpus: Scalar,
    /// Memory of each, MiB in thousandths.
    pub mem: Scalar,
    /// Disk of each, MiB in thousandths.
    pub disk: Scalar,
    /// Whole GPUs of each.
    pub gpus: u32,
    /// What they may use beyond what they ask for.
    pub resource_limits: Option<ResourceLimits>,
    /// Empty or `//cmd`: Lonja's own; else the path of a program.
    pub executor: String,
    /// What such a program needs for itself.
    pub executor_resources: Option<ExecutorResources>,
    /// Whom the tasks run as.
    pub user: Option<String>,
    /// Their environment.
    pub env: BTreeMap<String, EnvValue>,
    /// Carried by tasks.
    pub labels: BTreeMap<String, String>,
    /// Where they may run.
    pub constraints: Vec<Constraint>,
    /// Which reservations they may use.
    pub accepted_resource_roles: Option<BTreeSet<String>>,
    /// Whose resources they use.
    pub role: String,
    /// The delay of launches after failures.
    pub backoff: Backoff,
    /// Their surroundings.
    pub container: Option<Container>,
    /// Their networks.
    pub networks: Vec<Network>,
    /// Their ports on the host's network; none where the container has mappings.
    pub port_definitions: Option<Vec<PortDefinition>>,
    /// The ports of the definitions are those of the agent too.
    pub require_ports: bool,
    /// Files for their sandboxes.
    pub fetch: Vec<Fetch>,
    /// What ends them when they fail.
    pub health_checks: Vec<HealthCheck>,
    /// What is only shown.
    pub check: Option<Check>,
    /// What a new one must pass in a deployment; one at most.
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Apps or groups that are to run before.
    pub dependencies: Vec<PathId>,
    /// How many there are while new ones replace old ones.
    pub upgrade: UpgradeStrategy,
    /// Which go first.
    pub kill_selection: KillSelection,
    /// What is done about silent agents.
    pub unreachable: UnreachableStrategy,
    /// How long they have to end.
    pub kill_grace: Option<Duration>,
    /// Names of secrets with their sources.
    pub secrets: BTreeMap<String, String>,
    /// With a terminal.
    pub tty: Option<bool>,
    /// Accepted, without effect.
    pub residency: Option<(u64, String)>,
    /// Which of the places is taken. Lonja's own.
    pub preference: Preference,
    /// Nearness to other apps. Lonja's own.
    pub affinity: Vec<Affinity>,
    /// How changes are brought about. Lonja's own.
    pub rollout: Rollout,
    /// How the number follows the load. Lonja's own.
    pub autoscale: Option<Autoscale>,
    /// When it was changed.
    pub version: VersionInfo,
}

impl App {
    /// One instance of nothing: all but its name is as if left out, and it has no resources. What a definition gets for what
    /// it leaves out is decided where that is read.
    pub fn new(id: PathId) -> Self {
        Self {
            id,
            cmd: None,
            args: Vec::new(),
            instances: 1,
            cpus: Scalar::ZERO,
            mem: Scalar::ZERO,
            disk: Scalar::ZERO,
            gpus: 0,
            resource_limits: None,
            executor: String::new(),
            executor_resources: None,
            user: None,
            env: BTreeMap::new(),
            labels: BTreeMap::new(),
            constraints: Vec::new(),
            accepted_resource_roles: None,
            role: "*".to_owned(),
            backoff: Backoff::default(),
            container: None,
            networks: Vec::new(),
            port_definitions: None,
            require_ports: false,
            fetch: Vec::new(),
            health_checks: Vec::new(),
            check: None,
            readiness_checks: Vec::new(),
            dependencies: Vec::new(),
            upgrade: UpgradeStrategy::default(),
            kill_selection: KillSelection::default(),
            unreachable: UnreachableStrategy::default(),
            kill_grace: None,
            secrets: BTreeMap::new(),
            tty: None,
            residency: None,
            preference: Preference::default(),
            affinity: Vec::new(),
            rollout: Rollout::default(),
            autoscale: None,
            version: VersionInfo::default(),
        }
    }

    /// Do its instances keep data on their agents?
    pub fn is_resident(&self) -> bool {
        self.volumes().any(|volume| matches!(volume.kind, VolumeKind::Persistent(_)))
    }

    /// What is mounted.
    pub fn volumes(&self) -> impl Iterator<Item = &super::AppVolume> {
        self.container.iter().flat_map(|container| &container.volumes)
    }

    /// The ports that balancers use, in the order of the definitions or mappings; 0 where none is given yet.
    pub fn service_ports(&self) -> Vec<u16> {
        let mapped = self.container.as_ref().and_then(|container| container.port_mappings.as_ref());
        match mapped {
            Some(mappings) => mappings.iter().map(|mapping| mapping.service_port).collect(),
            None => self.port_definitions.iter().flatten().map(|definition| definition.port).collect(),
        }
    }

    /// Its health checks name the port that they look at, if there is one.
    pub fn name_ports_of_checks(&mut self) {
        if !self.service_ports().is_empty() {
            let checks = std::mem::take(&mut self.health_checks);
            self.health_checks = checks.into_iter().map(HealthCheck::with_port).collect();
        }
    }

    /// Are all but the number of instances and what only steers launches, changes and kills equal?
    pub(super) fn runs_the_same(&self, other: &Self) -> bool {
        let steered = Self {
            instances: other.instances,
            version: other.version,
            labels: other.labels.clone(),
            constraints: other.constraints.clone(),
            accepted_resource_roles: other.accepted_resource_roles.clone(),
            preference: other.preference,
            affinity: other.affinity.clone(),
            backoff: other.backoff,
            dependencies: other.dependencies.clone(),
            readiness_checks: other.readiness_checks.clone(),
            upgrade: other.upgrade,
            kill_selection: other.kill_selection,
            kill_grace: other.kill_grace,
            unreachable: other.unreachable,
            residency: other.residency.clone(),
            rollout: other.rollout.clone(),
            autoscale: other.autoscale.clone(),
            health_checks: if self.looks_the_same(other) {
                other.health_checks.clone()
            } else {
                self.health_checks.clone()
            },
            ..self.clone()
        };
        steered == *other
    }

    /// Are the health checks equal? Earlier versions kept them without the port that they look at.
    fn looks_the_same(&self, other: &Self) -> bool {
        let named =
            |app: &Self| app.health_checks.iter().cloned().map(HealthCheck::with_port).collect::<Vec<_>>();
        self.health_checks == other.health_checks || named(self) == named(other)
    }
}

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EnvValue {
    /// Text.
    Text(String),
    /// The content of a secret, by its name in `secrets`.
    Secret(String),
}

/// What tasks may use beyond what they ask for; infinite: all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// CPUs.
    pub cpus: Option<ResourceLimit>,
    /// Memory.
    pub mem: Option<ResourceLimit>,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceLimit {
    /// So much, in thousandths.
    Amount(Scalar),
    /// None.
    Unlimited,
}

/// What a custom executor needs for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorResources {
    /// CPUs, in thousandths.
    pub cpus: Scalar,
    /// MiB, in thousandths.
    pub mem: Scalar,
    /// MiB, in thousandths.
    pub disk: Scalar,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Which kind.
    pub mode: NetworkMode,
    /// Which one of its kind.
    pub name: Option<String>,
    /// Carried.
    pub labels: BTreeMap<String, String>,
}

/// A kind of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// The agent's.
    #[default]
    Host,
    /// One of containers.
    Container,
    /// One behind the agent's.
    Bridge,
}

/// A port of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDefinition {
    /// For balancers, and with `requirePorts` that of the agent; 0 until one is given.
    pub port: u16,
    /// Which protocols.
    pub protocol: Protocol,
    /// For people and checks.
    pub name: Option<String>,
    /// Carried.
    pub labels: BTreeMap<String, String>,
}

/// Protocols of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// Both; `udp,tcp`.
    Both,
}

/// A file for the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// From where.
    pub uri: String,
    /// Unpacked. By default.
    pub extract: bool,
    /// May be executed.
    pub executable: bool,
    /// Kept by the agent.
    pub cache: bool,
    /// Under which name.
    pub dest_path: Option<String>,
}
