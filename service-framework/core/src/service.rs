//! One app or pod with all that belongs to it: what is wanted, what was, and what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::definition::{RunSpec, Version};
use crate::deployment::DeploymentId;
use crate::event::{Endpoint, Watch};
use crate::instance::{Condition, Instance, InstanceId};
use crate::kept::Failure;
use crate::services::Delay;
use crate::waiting::{ProcessedOffers, Waiting};

/// One app or pod. Read it; the services change it.
#[derive(Clone, Debug)]
pub struct Service {
    pub(crate) spec: RunSpec,
    pub(crate) versions: BTreeMap<Version, RunSpec>,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) removed: bool,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) offers: ProcessedOffers,
    pub(crate) waiting: Option<Waiting>,
    /// The delay of launches.
    pub(crate) delay: Option<Delay>,
    /// What was last told of where requests go, and of what is looked at.
    pub(crate) endpoints: Arc<[Endpoint]>,
    pub(crate) watches: Arc<[Watch]>,
}

/// How many instances stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Launched, and not known to be more than accepted by the master.
    pub staged: u32,
    /// Running.
    pub running: u32,
    /// Running with health checks that all said yes.
    pub healthy: u32,
    /// Running with a health check that said no.
    pub unhealthy: u32,
}

impl Service {
    /// One without instances as yet.
    pub(crate) fn new(spec: RunSpec) -> Self {
        Self {
            spec,
            versions: BTreeMap::new(),
            instances: BTreeMap::new(),
            deployment: None,
            removed: false,
            last_failure: None,
            offers: ProcessedOffers::default(),
            waiting: None,
            delay: None,
            endpoints: Arc::new([]),
            watches: Arc::new([]),
        }
    }

    /// What an instance of `spec` is held to: where it serves for what is wanted now, that, but for its version.
    pub(crate) fn steered(&self, spec: &RunSpec) -> RunSpec {
        if spec.version().last_config == self.spec.version().last_config {
            self.spec.with_version(*spec.version())
        } else {
            spec.clone()
        }
    }

    /// Holds all instances that serve for what is wanted now to it. Those that were never launched are of its version, too.
    pub(crate) fn steer(&mut self) {
        let wanted = &self.spec;
        let mut of_version = BTreeMap::from([(*wanted.version(), wanted.clone())]);
        for one in self.instances.values_mut() {
            let own = *one.spec.version();
            if own.last_config != wanted.version().last_config {
                continue;
            }
            let was_launched = one.place.is_some() || one.condition != Condition::Scheduled;
            let version = if was_launched { own } else { *wanted.version() };
            one.spec = of_version.entry(version).or_insert_with(|| wanted.with_version(version)).clone();
        }
    }

    /// What is wanted now.
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// What was wanted at each change that is remembered, the present one included.
    pub fn versions(&self) -> &BTreeMap<Version, RunSpec> {
        &self.versions
    }

    /// Its instances; those that wait for an offer as well.
    pub fn instances(&self) -> &BTreeMap<InstanceId, Instance> {
        &self.instances
    }

    /// The deployment that is changing it.
    pub fn deployment(&self) -> Option<&DeploymentId> {
        self.deployment.as_ref()
    }

    /// It is to go, and is here for its last instances alone.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// The last failure of one of its tasks.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// What became of the offers that were looked at for it since it began to wait.
    pub fn offers(&self) -> &ProcessedOffers {
        &self.offers
    }

    /// Its instances that wait to be launched, if any do.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_ref()
    }

    /// How many instances stand where. O(instances).
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for instance in self.instances.values() {
            match instance.condition {
                Condition::Provisioned | Condition::Staging => counts.staged += 1,
                Condition::Running => counts.running += 1,
                Condition::Scheduled
                | Condition::Starting
                | Condition::Killing
                | Condition::Unreachable
                | Condition::UnreachableInactive
                | Condition::Finished
                | Condition::Failed
                | Condition::Killed
                | Condition::Error
                | Condition::Gone
                | Condition::Dropped
                | Condition::Unknown => {}
            }
            match instance.healthy() {
                Some(true) => counts.healthy += 1,
                Some(false) => counts.unhealthy += 1,
                None => {}
            }
        }
        counts
    }
}
