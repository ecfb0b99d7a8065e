//! A deployment: one change of what runs, from its plan to its end.
//!
//! Invariants
//! - Each ends: done, rolled back, or failed with a reason (INV-50).
//! - No two that run touch the same app or pod.
//!
//! Source: Marathon's deployments; strategies and deadlines are Lonja's own (`docs/services.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use lonja_model::Timestamp;

use crate::definition::{RunSpec, Strategy, Version};
use crate::draws::uuid;
use crate::groups::Group;
use crate::instance::InstanceId;
use crate::path_id::PathId;

/// The name of a deployment: a UUID. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(Arc<str>);

impl DeploymentId {
    /// With these 128 bits of its own.
    pub fn new(bits: u128) -> Self {
        Self(uuid(bits).into())
    }

    /// One that was written down, or asked for.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that is done to one app or pod in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It begins, without instances as yet.
    Start,
    /// It ends, with all its instances.
    Stop,
    /// The number of its instances changes.
    Scale,
    /// New instances replace old ones.
    Restart,
}

impl Action {
    /// As the API names it.
    pub fn name(self, of_pod: bool) -> &'static str {
        match (self, of_pod) {
            (Self::Start, false) => "StartApplication",
            (Self::Stop, false) => "StopApplication",
            (Self::Scale, false) => "ScaleApplication",
            (Self::Restart, false) => "RestartApplication",
            (Self::Start, true) => "StartPod",
            (Self::Stop, true) => "StopPod",
            (Self::Scale, true) => "ScalePod",
            (Self::Restart, true) => "RestartPod",
        }
    }
}

/// What is done at the same time. The next step begins when all of it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What is done, at most one thing to each app or pod.
    pub actions: BTreeMap<PathId, Action>,
}

/// What is to be done, before anything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentPlan {
    /// The time of the change.
    pub version: Version,
    /// In order.
    pub steps: Vec<Step>,
    /// The apps and pods as they were; none: it was not there.
    pub original: BTreeMap<PathId, Option<RunSpec>>,
    /// The same as they are to be; none: it is to go.
    pub target: BTreeMap<PathId, Option<RunSpec>>,
    /// Groups that are changed: as they were.
    pub original_groups: BTreeMap<PathId, Option<Group>>,
    /// The same as they are to be.
    pub target_groups: BTreeMap<PathId, Option<Group>>,
}

impl DeploymentPlan {
    /// Is this a pod, before or after?
    pub fn is_pod(&self, id: &PathId) -> bool {
        let spec = |specs: &BTreeMap<PathId, Option<RunSpec>>| specs.get(id).cloned().flatten();
        matches!(spec(&self.target).or_else(|| spec(&self.original)), Some(RunSpec::Pod(_)))
    }

    /// Which apps and pods are touched.
    pub fn affected(&self) -> impl Iterator<Item = &PathId> {
        self.target.keys()
    }
}

/// One that runs.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its name.
    pub id: DeploymentId,
    /// What is to be done.
    pub plan: Arc<DeploymentPlan>,
    /// When it began.
    pub began: Timestamp,
    /// Which step is under way, from 0.
    pub step: usize,
    /// When anything last got better.
    pub progressed: Timestamp,
    /// What it takes back, if it is there to take another back.
    pub reverts: Option<DeploymentId>,
    /// Instances that were named to be killed.
    pub sentenced: BTreeSet<InstanceId>,
    /// Apps and pods whose instances are replaced.
    pub rollouts: BTreeMap<PathId, RolloutState>,
    /// What its step waits for, for people.
    pub waits_for: Option<String>,
}

/// How far the replacement of one app's or pod's instances has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutState {
    /// In which order.
    pub strategy: Strategy,
    /// Which part is under way.
    pub phase: Phase,
    /// How many new ones served when it was last looked at.
    pub replaced: u32,
    /// Instances that have served once: each first time something got better.
    pub progressed: BTreeSet<InstanceId>,
    /// How many new ones have failed.
    pub failures: u32,
    /// Since when all that was started is in good health.
    pub good_since: Option<Timestamp>,
    /// Somebody has promoted it.
    pub promoted: bool,
}

/// A part of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// A canary, or all of green, is started.
    Trial,
    /// It is in good health and waits to be promoted.
    Waiting,
    /// New ones replace old ones.
    #[default]
    Replacing,
}

impl Phase {
    /// For people and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Waiting => "waiting",
            Self::Replacing => "replacing",
        }
    }
}

/// How a deployment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeploymentEnd {
    /// All was done.
    Done,
    /// It is taken back by this one.
    RolledBack {
        /// Which.
        by: DeploymentId,
        /// Why.
        reason: String,
    },
    /// It was given up; what runs is left as it is.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One that has ended, as it is remembered for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedDeployment {
    /// Its name.
    pub id: DeploymentId,
    /// The time of its change.
    pub version: Version,
    /// What it touched.
    pub affected: Vec<PathId>,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub end: DeploymentEnd,
}
