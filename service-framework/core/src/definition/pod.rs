//! A pod: groups of tasks, each on one agent, that are kept running.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::resources::Scalar;

use super::{
    Backoff, Constraint, EnvValue, ExecutorResources, Fetch, KillSelection, LinuxInfo, Network, Persistent,
    Preference, Protocol, ResourceLimits, Rollout, UnreachableStrategy, UpgradeStrategy, VersionInfo,
};
use crate::path_id::PathId;

/// A number of equal groups of tasks that are kept running.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its name.
    pub id: PathId,
    /// Carried by all tasks.
    pub labels: BTreeMap<String, String>,
    /// Of all tasks.
    pub environment: BTreeMap<String, EnvValue>,
    /// Whom they run as.
    pub user: Option<String>,
    /// The tasks of each instance.
    pub containers: Vec<PodContainer>,
    /// What they share.
    pub volumes: Vec<PodVolume>,
    /// Their networks.
    pub networks: Vec<Network>,
    /// How many.
    pub instances: u32,
    /// The delay of launches after failures.
    pub backoff: Backoff,
    /// How many there are while new ones replace old ones.
    pub upgrade: UpgradeStrategy,
    /// Where they may run.
    pub constraints: Vec<Constraint>,
    /// Which reservations they may use.
    pub accepted_resource_roles: Option<BTreeSet<String>>,
    /// Which go first.
    pub kill_selection: KillSelection,
    /// What is done about silent agents.
    pub unreachable: UnreachableStrategy,
    /// What the group needs for itself.
    pub executor_resources: ExecutorResources,
    /// Whose resources they use.
    pub role: String,
    /// Names of secrets with their sources.
    pub secrets: BTreeMap<String, String>,
    /// Kernel features of all.
    pub linux_info: Option<LinuxInfo>,
    /// One control group for all of an instance.
    pub legacy_shared_cgroups: Option<bool>,
    /// Which of the places is taken. Lonja's own.
    pub preference: Preference,
    /// How changes are brought about. Lonja's own.
    pub rollout: Rollout,
    /// When it was changed.
    pub version: VersionInfo,
}

impl Pod {
    /// Do its instances keep data on their agents?
    pub fn is_resident(&self) -> bool {
        self.volumes.iter().any(|volume| matches!(volume.kind, PodVolumeKind::Persistent(_)))
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
            backoff: other.backoff,
            upgrade: other.upgrade,
            kill_selection: other.kill_selection,
            unreachable: other.unreachable,
            rollout: other.rollout.clone(),
            ..self.clone()
        };
        steered == *other
    }
}

/// One task of a pod's instances.
#[derive(Clone, Debug, PartialEq)]
pub struct PodContainer {
    /// Its name within the pod.
    pub name: String,
    /// A line for the shell.
    pub shell: Option<String>,
    /// A program and its arguments, in place of a line.
    pub argv: Vec<String>,
    /// In place of the image's own.
    pub override_entrypoint: Option<bool>,
    /// CPUs, in thousandths.
    pub cpus: Scalar,
    /// MiB, in thousandths.
    pub mem: Scalar,
    /// MiB, in thousandths.
    pub disk: Scalar,
    /// Whole GPUs.
    pub gpus: u32,
    /// What it may use beyond.
    pub resource_limits: Option<ResourceLimits>,
    /// Its ports.
    pub endpoints: Vec<Endpoint>,
    /// An image, kept and passed on.
    pub image: Option<PodImage>,
    /// Its own.
    pub environment: BTreeMap<String, EnvValue>,
    /// Whom it runs as.
    pub user: Option<String>,
    /// What ends it when it fails.
    pub health_check: Option<PodHealthCheck>,
    /// What is only shown.
    pub check: Option<PodCheck>,
    /// What of the pod's volumes is mounted.
    pub volume_mounts: Vec<VolumeMount>,
    /// Files for its sandbox.
    pub artifacts: Vec<Fetch>,
    /// Carried.
    pub labels: BTreeMap<String, String>,
    /// How long it has to end.
    pub kill_grace: Option<Duration>,
    /// Kernel features.
    pub linux_info: Option<LinuxInfo>,
    /// With a terminal.
    pub tty: Option<bool>,
}

/// A named port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Unique in the pod.
    pub name: String,
    /// Inside.
    pub container_port: Option<u16>,
    /// Outside; 0: any.
    pub host_port: Option<u16>,
    /// None: TCP.
    pub protocol: Vec<Protocol>,
    /// Carried.
    pub labels: BTreeMap<String, String>,
    /// Which of the pod's networks.
    pub network_names: Vec<String>,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodImage {
    /// Its name.
    pub id: String,
    /// Fetched anew for each instance.
    pub force_pull: bool,
    /// The name of the secret that holds the credentials.
    pub pull_secret: Option<String>,
    /// Carried.
    pub labels: BTreeMap<String, String>,
}

/// What a pod's check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodProbe {
    /// A GET request.
    Http {
        /// Which endpoint.
        endpoint: String,
        /// What is asked for.
        path: Option<String>,
        /// Over TLS.
        https: bool,
    },
    /// A connection.
    Tcp {
        /// Which endpoint.
        endpoint: String,
    },
    /// A shell line.
    Shell(String),
    /// A program and its arguments.
    Argv(Vec<String>),
}

/// Ends a pod's container that fails too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodHealthCheck {
    /// What it looks at.
    pub probe: PodProbe,
    /// 300 s by default.
    pub grace: Duration,
    /// 60 s by default.
    pub interval: Duration,
    /// Less than the interval; 20 s by default.
    pub timeout: Duration,
    /// 3 by default.
    pub max_consecutive_failures: u32,
    /// 15 s by default.
    pub delay: Duration,
}

/// Reports what it sees of a pod's container; nothing follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCheck {
    /// What it looks at.
    pub probe: PodProbe,
    /// 60 s by default.
    pub interval: Duration,
    /// 20 s by default.
    pub timeout: Duration,
    /// 15 s by default.
    pub delay: Duration,
}

/// Something that a pod's containers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodVolume {
    /// Unique in the pod.
    pub name: String,
    /// What it is.
    pub kind: PodVolumeKind,
}

/// What containers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodVolumeKind {
    /// A folder that ends with the instance.
    Ephemeral,
    /// A path of the agent's host.
    Host(String),
    /// Data that stay where they are.
    Persistent(Persistent),
    /// The content of a secret, by its name.
    Secret(String),
}

/// A volume seen by a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// Which.
    pub name: String,
    /// Where inside.
    pub mount_path: String,
    /// May not be written to.
    pub read_only: bool,
}
