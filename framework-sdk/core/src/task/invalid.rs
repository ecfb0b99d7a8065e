//! What can be wrong with the description of a task. Each says what, where and what to do.

use lonja_model::ExecutorId;
use lonja_model::files::InvalidUri;
use lonja_model::resources::{InvalidScalar, Scalar};

/// Why a task cannot be described so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTask {
    /// An amount that is none.
    #[error("{what}: {why}")]
    Amount {
        /// Of which resource.
        what: &'static str,
        /// What is wrong with it.
        why: InvalidScalar,
    },
    /// No command at all.
    #[error("a task needs a command")]
    NoCommand,
    /// An executor without a program is the agent's own, whose tasks have commands.
    #[error(
        "executor {0} has no program; give it one, or launch tasks with commands in it by Plan::launch_group"
    )]
    NoProgram(ExecutorId),
    /// Something that tasks have and executors have not.
    #[error("an executor cannot have {0}; leave it out, or give it to its tasks")]
    NotForExecutors(&'static str),
    /// More data than a task carries.
    #[error("{0} bytes of data, at most {max} go with a task; have it fetch a file", max = crate::executor::MAX_DATA_BYTES)]
    TooMuchData(usize),
    /// A path of a volume that is not absolute.
    #[error("the host path of volume {0:?} is not absolute")]
    Volume(String),
    /// Amounts that go beyond the largest together.
    #[error("{0}: the amounts together are above the largest, {max}; ask for less", max = Scalar::MAX)]
    TooMuch(&'static str),
    /// Neither a number of whole GPUs nor a part of one.
    #[error(
        "gpus: {0} is neither a part of one GPU nor a number of whole ones; give 0.001 to 1, or 2, 3 and so on"
    )]
    PartOfSeveralGpus(f64),
    /// GPUs cannot be added up: two halves are not one.
    #[error("gpus: asked for twice, and parts of several devices do not add up to one; ask once")]
    GpusTwice,
    /// No master launches a task that needs nothing.
    #[error("it needs nothing, and no task runs on nothing; give it some cpus or mem")]
    NeedsNothing,
    /// A limit that its own need is above.
    #[error("limit of {what}: {limit} is below the {need} it needs; raise the limit, or ask for less")]
    LimitBelowNeed {
        /// Of which resource.
        what: &'static str,
        /// What it may use at most.
        limit: Scalar,
        /// What it asks for.
        need: Scalar,
    },
    /// A part of the description that cannot be.
    #[error("{part} {why}")]
    Part {
        /// Which, such as `variable "A=B"`.
        part: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A file that cannot be fetched.
    #[error("a file to fetch {0}")]
    Uri(#[from] InvalidUri),
    /// A group without tasks.
    #[error("a group needs at least one task; add one by TaskGroupBuilder::task")]
    EmptyGroup,
    /// More tasks than go in one launch.
    #[error("{0} tasks in one group, of which there can be {max}; make it several groups", max = crate::MAX_TASKS)]
    LargeGroup(usize),
    /// A task of a group.
    #[error("task {name:?} of the group: {why}")]
    Member {
        /// What the task is called within the group.
        name: String,
        /// What is wrong with it.
        why: Box<InvalidTask>,
    },
}

impl InvalidTask {
    /// `part` is called `name`, and cannot be.
    pub(super) fn part(part: &str, name: &str, why: impl Into<String>) -> Self {
        // Short enough to be read.
        let shown: String = name.chars().take(64).collect();
        Self::Part { part: format!("{part} {shown:?}"), why: why.into() }
    }
}
