//! What the services keep beyond their process, and how it becomes bytes.
//!
//! The core knows what is kept, under which keys; a [`Codec`] from the shell knows how it is written.

use std::collections::BTreeMap;

use lonja_model::Timestamp;

use crate::definition::{RunSpec, Strategy, Version};
use crate::deployment::{DeploymentId, Phase, Step};
use crate::groups::Group;
use crate::instance::{Goal, InstanceId, Place};
use crate::job::{Job, JobRun};
use crate::path_id::PathId;

/// Makes bytes of what is kept, and back.
pub trait Codec: Send + Sync {
    /// As bytes, however many: what is longer than a store takes is kept in parts.
    fn write(&self, kept: &Kept) -> Vec<u8>;
    /// What the bytes under this key say. Errors: in words.
    fn read(&self, key: &str, bytes: &[u8]) -> Result<Kept, String>;
}

/// One thing that is kept. What is not here follows from it, or is asked anew.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// `boots`: how often the daemon has begun, so that names drawn from a seed differ.
    Boots(u64),
    /// `spec/ID`: what is wanted now; `version/ID/VERSION`: what was wanted.
    Spec(RunSpec),
    /// `group/ID`.
    Group(Group),
    /// `instance/ID`: one that has, or had, a place.
    Instance(KeptInstance),
    /// `deployment/ID`: one that runs.
    Deployment(Box<KeptDeployment>),
    /// `failure/ID`: the last failure of a task.
    Failure(Failure),
    /// `job/ID`.
    Job(KeptJob),
    /// `run/ID/RUN`.
    Run(JobRun),
}

/// An instance as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptInstance {
    /// Its name.
    pub id: InstanceId,
    /// Of what.
    pub spec: PathId,
    /// Of which version.
    pub version: Version,
    /// What it is to do.
    pub goal: Goal,
    /// How often it was launched.
    pub incarnation: u32,
    /// Its task may be alive.
    pub launched: bool,
    /// When its last task was launched.
    pub staged_at: Timestamp,
    /// When its program began.
    pub started_at: Option<Timestamp>,
    /// Where it is.
    pub place: Option<Place>,
    /// A task of it has begun where it is.
    pub settled: bool,
    /// It takes no requests.
    pub hidden: bool,
    /// Its task is to be killed, as soon as it is its turn.
    pub doomed: bool,
}

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptJob {
    /// As it is wanted.
    pub job: Job,
    /// Times of its calendar up to here were seen to; none: an earlier program did not say.
    pub seen_to: Option<Timestamp>,
}

/// A deployment as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptDeployment {
    /// Its name.
    pub id: DeploymentId,
    /// What is to be done.
    pub plan: KeptPlan,
    /// When it began.
    pub began: Timestamp,
    /// Which step is under way.
    pub step: usize,
    /// What it takes back.
    pub reverts: Option<DeploymentId>,
    /// Of each rollout what must not be forgotten.
    pub rollouts: BTreeMap<PathId, KeptRollout>,
}

/// A plan as it is kept: definitions by their versions, which are kept for themselves, so that it stays small however many
/// there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptPlan {
    /// The time of the change.
    pub version: Version,
    /// In order.
    pub steps: Vec<Step>,
    /// The apps and pods as they were; none: it was not there.
    pub original: BTreeMap<PathId, Option<Version>>,
    /// The same as they are to be; none: it is to go.
    pub target: BTreeMap<PathId, Option<Version>>,
    /// Groups that are changed: as they were.
    pub original_groups: BTreeMap<PathId, Option<Group>>,
    /// The same as they are to be.
    pub target_groups: BTreeMap<PathId, Option<Group>>,
}

/// A rollout as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRollout {
    /// In which order.
    pub strategy: Strategy,
    /// Which part is under way.
    pub phase: Phase,
    /// Somebody has promoted it.
    pub promoted: bool,
}

/// The last failure of an app's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of which app.
    pub app: PathId,
    /// Where.
    pub host: String,
    /// Why.
    pub message: String,
    /// How, as `TASK_FAILED`.
    pub state: String,
    /// Which task.
    pub task: String,
    /// When.
    pub at: Timestamp,
    /// Of which version.
    pub version: Version,
    /// Which agent.
    pub agent: Option<String>,
}
