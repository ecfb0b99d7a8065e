//! What people ask for: apps, pods and their parts, as typed values with all defaults filled in.
//!
//! Values here may still be wrong together: [`validate`](crate::validate) says what is, each fault with the path of its field.
//!
//! Source: Marathon's app and pod definitions; what is Lonja's own says so.

mod app;
mod autoscale;
mod checks;
mod constraint;
mod container;
mod pod;
mod rollout;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use app::{
    App, EnvValue, ExecutorResources, Fetch, Network, NetworkMode, PortDefinition, Protocol, ResourceLimit,
    ResourceLimits, SINGLE_INSTANCE,
};
pub use autoscale::{Autoscale, Measure};
pub use checks::{Check, CheckKind, CheckTarget, HealthCheck, HealthProtocol, IpProtocol, ReadinessCheck};
pub use constraint::{Affinity, Constraint, Operator, Preference};
pub use container::{
    AppVolume, Container, Docker, Engine, External, IpcMode, LinuxInfo, Persistent, PersistentKind,
    PortMapping, Seccomp, VolumeKind,
};
pub use pod::{
    Endpoint, Pod, PodCheck, PodContainer, PodHealthCheck, PodImage, PodProbe, PodVolume, PodVolumeKind,
    VolumeMount,
};
pub use rollout::{Backoff, KillSelection, Rollout, Strategy, UnreachableStrategy, UpgradeStrategy};
pub use version::{Version, VersionInfo};

use crate::path_id::PathId;

/// Something of which a number of instances is kept running. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum RunSpec {
    /// Each instance is one task.
    App(Arc<App>),
    /// Each instance is a group of tasks on one agent.
    Pod(Arc<Pod>),
}

impl RunSpec {
    /// Its name.
    pub fn id(&self) -> &PathId {
        match self {
            Self::App(app) => &app.id,
            Self::Pod(pod) => &pod.id,
        }
    }

    /// How many are to run.
    pub fn instances(&self) -> u32 {
        match self {
            Self::App(app) => app.instances,
            Self::Pod(pod) => pod.instances,
        }
    }

    /// The service ports of an app, in order; a pod has none.
    pub fn service_ports(&self) -> Vec<u16> {
        match self {
            Self::App(app) => app.service_ports(),
            Self::Pod(_) => Vec::new(),
        }
    }

    /// When it was changed.
    pub fn version(&self) -> &VersionInfo {
        match self {
            Self::App(app) => &app.version,
            Self::Pod(pod) => &pod.version,
        }
    }

    /// The same with another number of instances.
    #[must_use]
    pub fn with_instances(&self, instances: u32) -> Self {
        match self {
            Self::App(app) => Self::App(Arc::new(App { instances, ..App::clone(app) })),
            Self::Pod(pod) => Self::Pod(Arc::new(Pod { instances, ..Pod::clone(pod) })),
        }
    }

    /// The same, changed at other times.
    #[must_use]
    pub fn with_version(&self, version: VersionInfo) -> Self {
        match self {
            Self::App(app) => Self::App(Arc::new(App { version, ..App::clone(app) })),
            Self::Pod(pod) => Self::Pod(Arc::new(Pod { version, ..Pod::clone(pod) })),
        }
    }

    /// Whose resources it uses.
    pub fn role(&self) -> &str {
        match self {
            Self::App(app) => &app.role,
            Self::Pod(pod) => &pod.role,
        }
    }

    /// Which reservations it may use; none given: any of its role and the unreserved.
    pub fn accepted_roles(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::App(app) => app.accepted_resource_roles.as_ref(),
            Self::Pod(pod) => pod.accepted_resource_roles.as_ref(),
        }
    }

    /// How launches wait after failures.
    pub fn backoff(&self) -> &Backoff {
        match self {
            Self::App(app) => &app.backoff,
            Self::Pod(pod) => &pod.backoff,
        }
    }

    /// How new ones replace old ones.
    pub fn upgrade(&self) -> &UpgradeStrategy {
        match self {
            Self::App(app) => &app.upgrade,
            Self::Pod(pod) => &pod.upgrade,
        }
    }

    /// How a change is brought about; Lonja's own.
    pub fn rollout(&self) -> &Rollout {
        match self {
            Self::App(app) => &app.rollout,
            Self::Pod(pod) => &pod.rollout,
        }
    }

    /// Which go first when there are too many.
    pub fn kill_selection(&self) -> KillSelection {
        match self {
            Self::App(app) => app.kill_selection,
            Self::Pod(pod) => pod.kill_selection,
        }
    }

    /// What is done about lost agents.
    pub fn unreachable(&self) -> UnreachableStrategy {
        match self {
            Self::App(app) => app.unreachable,
            Self::Pod(pod) => pod.unreachable,
        }
    }

    /// Where it may run.
    pub fn constraints(&self) -> &[Constraint] {
        match self {
            Self::App(app) => &app.constraints,
            Self::Pod(pod) => &pod.constraints,
        }
    }

    /// Which places are liked; Lonja's own.
    pub fn preference(&self) -> &Preference {
        match self {
            Self::App(app) => &app.preference,
            Self::Pod(pod) => &pod.preference,
        }
    }

    /// What is to run before it. Pods have none of their own.
    pub fn dependencies(&self) -> &[PathId] {
        match self {
            Self::App(app) => &app.dependencies,
            Self::Pod(_) => &[],
        }
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::App(app) => &app.labels,
            Self::Pod(pod) => &pod.labels,
        }
    }

    /// The longest that one of its tasks is given to end by itself; none: as the agent does.
    pub fn kill_grace(&self) -> Option<Duration> {
        match self {
            Self::App(app) => app.kill_grace,
            Self::Pod(pod) => pod.containers.iter().filter_map(|container| container.kill_grace).max(),
        }
    }

    /// Has an instance a health of its own, beyond that it runs?
    pub fn has_health_checks(&self) -> bool {
        match self {
            Self::App(app) => !app.health_checks.is_empty(),
            Self::Pod(pod) => pod.containers.iter().any(|container| container.health_check.is_some()),
        }
    }

    /// What is asked of a new instance before it counts in a deployment.
    pub fn readiness(&self) -> Option<&ReadinessCheck> {
        match self {
            Self::App(app) => app.readiness_checks.first(),
            Self::Pod(_) => None,
        }
    }

    /// Do its instances keep data on their agents?
    pub fn is_resident(&self) -> bool {
        match self {
            Self::App(app) => app.is_resident(),
            Self::Pod(pod) => pod.is_resident(),
        }
    }

    /// May there never be two at once?
    pub fn is_singleton(&self) -> bool {
        self.labels().get(SINGLE_INSTANCE).is_some_and(|value| value == "true")
    }

    /// Do running instances of `self` serve for `other`? All but the number of instances and what only steers launches,
    /// changes and kills must be equal. Marathon replaces all for a label; running tasks learn of it when they start again.
    pub fn runs_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::App(one), Self::App(other)) => one.runs_the_same(other),
            (Self::Pod(one), Self::Pod(other)) => one.runs_the_same(other),
            (Self::App(_), Self::Pod(_)) | (Self::Pod(_), Self::App(_)) => false,
        }
    }
}
