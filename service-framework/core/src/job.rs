//! Jobs: work that ends, once or by a calendar. Lonja's own; Marathon has none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::Timestamp;

use crate::definition::App;
use crate::path_id::PathId;

/// Work that ends, run once or by a calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: PathId,
    /// What each run is: an app's definition, of which `instances`, health checks and what belongs to deployments have no effect.
    pub run: Arc<App>,
    /// When it runs by itself; none: when it is told to.
    pub schedule: Option<Schedule>,
    /// What happens when it is time while a run is under way.
    pub concurrency: Concurrency,
    /// How often a run that failed is tried again.
    pub retries: u32,
    /// Between the tries.
    pub retry_delay: Duration,
    /// A run ends after so long.
    pub max_run_time: Option<Duration>,
    /// How many runs that have ended are remembered.
    pub history: u32,
}

/// When a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Minute, hour, day of month, month, day of week, as in crontab; UTC.
    pub cron: String,
    /// It is not run for now.
    pub suspended: bool,
    /// A run that could not begin so long after its time is left out; none: never.
    pub starting_deadline: Option<Duration>,
}

/// What happens when it is time while a run is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// Both run.
    #[default]
    Allow,
    /// The new one is left out.
    Forbid,
    /// The old one is killed.
    Replace,
}

/// The name of a run within its job: the time it was for, and a number. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobRunId(Arc<str>);

impl JobRunId {
    /// One that was written down, or asked for.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for JobRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    /// Its name.
    pub id: JobRunId,
    /// When it was to begin.
    pub due: Timestamp,
    /// How many tries there were.
    pub tries: u32,
    /// When its first task was launched, of those that count as tries.
    pub launched_at: Option<Timestamp>,
    /// Not to be launched before: it is tried again.
    pub retry_at: Option<Timestamp>,
    /// Why it is being ended, until its task has ended.
    pub ending: Option<String>,
    /// Where it stands.
    pub state: RunState,
}

impl JobRun {
    /// One that waits to be launched.
    pub fn new(id: JobRunId, due: Timestamp) -> Self {
        Self { id, due, tries: 0, launched_at: None, retry_at: None, ending: None, state: RunState::Waiting }
    }
}

/// Where a run of a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Waits for an offer, or to be tried again.
    Waiting,
    /// Its task was launched.
    Running,
    /// Ended with 0.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// Failed for good.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}
