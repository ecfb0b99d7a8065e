//! What the services can be told, and what they refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lonja_model::Timestamp;

use crate::Services;
use crate::definition::{RunSpec, Strategy, Version};
use crate::deployment::{DeploymentId, DeploymentPlan};
use crate::groups::Group;
use crate::instance::{InstanceId, Response};
use crate::job::{Job, JobRunId};
use crate::path_id::PathId;
use crate::validate::Fault;

/// Takes the answer to a command, once what the command changed is durable.
pub struct Answer<T>(Box<dyn FnOnce(T) + Send>);

impl<T: 'static> Answer<T> {
    /// Given to `take`.
    pub fn to(take: impl FnOnce(T) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    /// Nobody listens.
    pub fn nobody() -> Self {
        Self::to(drop)
    }

    /// Answers.
    pub fn give(self, answer: T) {
        (self.0)(answer);
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// Looks at the services as they are at this moment.
pub struct Look(pub Looking);

/// What is done with what is seen.
pub type Looking = Box<dyn FnOnce(&Services, Timestamp) + Send>;

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// What the services can be told.
#[derive(Debug)]
pub enum Command {
    /// Look, and change nothing.
    Look(Look),
    /// Change apps, pods or groups: a deployment.
    Change {
        /// What.
        change: Change,
        /// How.
        options: ChangeOptions,
        /// What came of it.
        answer: Answer<Result<Started, Refused>>,
    },
    /// Say what a change would do, and do nothing.
    Plan {
        /// What.
        change: Change,
        /// How.
        options: ChangeOptions,
        /// What it would do.
        answer: Answer<Result<DeploymentPlan, Refused>>,
    },
    /// Kill instances; they come back under the same or, wiped, under other names.
    Kill {
        /// Which. Unknown ones are left out.
        instances: BTreeSet<InstanceId>,
        /// With their data and places.
        wipe: bool,
        /// Those that are killed.
        answer: Answer<Vec<InstanceId>>,
    },
    /// End a deployment.
    Cancel {
        /// Which.
        deployment: DeploymentId,
        /// Leave things as they are; else take it back by another deployment.
        force: bool,
        /// The one that takes it back, if any.
        answer: Answer<Result<Option<Started>, Refused>>,
    },
    /// Go on with a canary or blue-green deployment that waits for it.
    Promote {
        /// Which.
        deployment: DeploymentId,
        /// What came of it.
        answer: Answer<Result<(), Refused>>,
    },
    /// Forget the launch delay of an app or pod.
    ResetDelay {
        /// Which.
        spec: PathId,
        /// Nothing waits if this is refused.
        answer: Answer<Result<(), Refused>>,
    },
    /// One of the framework's health checks has looked.
    Health {
        /// At which instance, and which incarnation of it.
        instance: InstanceId,
        /// As it was when it was looked at.
        incarnation: u32,
        /// Which of the definition's checks, counting those of the framework alone.
        check: usize,
        /// What is wrong, if anything.
        result: Result<(), String>,
    },
    /// A readiness check has looked.
    Readiness {
        /// At which instance.
        instance: InstanceId,
        /// As it was when it was looked at.
        incarnation: u32,
        /// The answer; a connection that failed counts as status 504.
        response: Response,
    },
    /// What an app was measured to use, for its autoscaling.
    Usage {
        /// Which.
        app: PathId,
        /// A fraction of what its instances asked for together for CPU and memory; the answer of a query.
        value: f64,
    },
    /// Set the group role's rule of a top-level group.
    EnforceRole {
        /// Which.
        group: PathId,
        /// To what; none: not set.
        enforce: Option<bool>,
        /// What came of it.
        answer: Answer<Result<(), Refused>>,
    },
    /// Put a job in place of what was there.
    PutJob {
        /// It.
        job: Box<Job>,
        /// There must be none of this name.
        create: bool,
        /// What came of it.
        answer: Answer<Result<(), Refused>>,
    },
    /// Remove a job; runs of it that are under way are killed.
    RemoveJob {
        /// Which.
        job: PathId,
        /// What came of it.
        answer: Answer<Result<(), Refused>>,
    },
    /// Run a job now.
    RunJob {
        /// Which.
        job: PathId,
        /// The run.
        answer: Answer<Result<JobRunId, Refused>>,
    },
    /// End one run of a job.
    StopRun {
        /// Of which job.
        job: PathId,
        /// Which.
        run: JobRunId,
        /// What came of it.
        answer: Answer<Result<(), Refused>>,
    },
}

/// A change of apps, pods and groups, all or nothing. Definitions are as they are wanted: their versions are filled in here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Apps and pods as they are to be; none: they are to go.
    pub specs: BTreeMap<PathId, Option<RunSpec>>,
    /// Groups as they are to be; none: they are to go, with all that is in them.
    pub groups: BTreeMap<PathId, Option<Group>>,
    /// Apps and pods whose instances are all replaced though nothing changes.
    pub restart: BTreeSet<PathId>,
    /// Instances that go first, should there be fewer.
    pub sentenced: BTreeSet<InstanceId>,
    /// It takes a deployment back: definitions keep the configuration they had, so that instances of it that are left stay.
    pub back: bool,
    /// These must not be there yet.
    pub create: BTreeSet<PathId>,
    /// What the change was made of: the version that each of these had. Another one meanwhile: [`Refused::Stale`].
    pub based_on: BTreeMap<PathId, Option<Version>>,
}

/// How a change is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeOptions {
    /// Deployments in the way are ended.
    pub force: bool,
    /// In place of each definition's own strategy.
    pub strategy: Option<Strategy>,
}

/// A deployment was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its name.
    pub deployment: DeploymentId,
    /// The time of the change.
    pub version: Version,
}

/// Why something is not done. Nothing of it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Deployments that run touch the same apps or pods.
    #[error("{} deployments that run touch the same apps or pods; force ends them", .0.len())]
    Locked(Vec<DeploymentId>),
    /// There is none.
    #[error("{kind} '{id}' does not exist{}", version.map_or(String::new(), |_| " in that version".to_owned()))]
    Unknown {
        /// `App`, `Pod`, `Group`, `DeploymentPlan`, `Job`, `Task`.
        kind: &'static str,
        /// Which.
        id: String,
        /// Only the version is unknown.
        version: Option<Version>,
    },
    /// There is one already.
    #[error("An {kind} with id [{id}] already exists.")]
    Exists {
        /// `app`, `pod`, `group`, `job`.
        kind: &'static str,
        /// Which.
        id: PathId,
    },
    /// The definitions are wrong, alone or with what is there.
    #[error("Object is not valid")]
    Invalid(Vec<Fault>),
    /// Too many deployments run.
    #[error(
        "Max number ({0}) of running deployments is achieved. Wait for existing deployments to complete or cancel one."
    )]
    TooManyDeployments(usize),
    /// No service port is free.
    #[error("no service port is free between {0} and {1}")]
    NoServicePort(u16, u16),
    /// It was changed by somebody else in the meantime; read it anew.
    #[error("{0} was changed by somebody else in the meantime")]
    Stale(PathId),
    /// It cannot be done now.
    #[error("{0}")]
    NotNow(String),
}
