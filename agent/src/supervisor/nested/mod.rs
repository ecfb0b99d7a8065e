//! A process beside the task in a container that runs: for `exec`, and for checks.
//!
//! A custodian, forked by the launcher as supervisors are, stays outside and has the process made: a
//! child of its enters the container's control group and then all of its namespaces, and forks the
//! process, which the kernel makes the custodian's child, in the container's pid namespace. So it dies
//! with the container, and the custodian reaps it.
//!
//! Invariants
//! - What enters a container brings nothing along: no descriptor but its three streams, no working
//!   directory or root of the host's, no terminal. Until it executes its program it cannot be looked into
//!   from inside.
//! - It is held to all that the task is held to: control groups first, then namespaces, then what the
//!   task's own last steps do.
//! - It does not outlive who asked for it: when the line to the agent is hung up, it is killed. So an
//!   agent's restart ends it, unlike a task.
//! - It does not outlive its time limit.
//! - What it leaves behind, in a session of its own or not, ends with it: all of it stands in a control group of its
//!   own below the container's. Without control groups, such leftovers live on until their container ends.
//!
//! Source: setns(2), pid_namespaces(7); CVE-2016-9962, CVE-2019-5736 and CVE-2024-21626 of runc.

mod custodian;
mod enter;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exit_record::TaskEnd;
use super::report::Failure;
use super::spec::{Command, ContainerSpec, SpecError};
use super::terminal::WindowSize;
use crate::isolation::NestedGroupName;

pub(crate) use custodian::run;

/// The largest thing said on a custodian's line, in bytes.
pub(crate) const LARGEST_WORD: usize = super::report::LARGEST_REPORT;

/// What to run beside the task, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nested {
    /// What is executed.
    pub command: Command,
    /// Added to the task's environment, whose variables of the same name it replaces.
    pub environment: BTreeMap<String, String>,
    /// Login name or number; `None`: the task's own user.
    pub user: Option<String>,
    /// With a terminal of this size, which is then all of its three streams.
    pub tty: Option<WindowSize>,
    /// It is killed after so long.
    pub time_limit: Option<Duration>,
    /// Absolute, as the container sees it; `None`: where the task started.
    pub working_dir: Option<PathBuf>,
}

impl Nested {
    /// A command as the task's own user, in the task's environment and directory, without a terminal.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            environment: BTreeMap::new(),
            user: None,
            tty: None,
            time_limit: None,
            working_dir: None,
        }
    }

    /// The container's description as it would be, were this its task.
    fn instead_of_task(&self, task: &ContainerSpec) -> Result<ContainerSpec, SpecError> {
        let mut spec = task.clone();
        spec.command = self.command.clone();
        spec.environment.extend(self.environment.clone());
        spec.user = self.user.clone().or(spec.user);
        spec.validate()?;
        if let Some(path) = self.working_dir.as_ref().filter(|path| !path.is_absolute()) {
            return Err(SpecError::NotAbsolute { what: "the working directory", path: path.clone() });
        }
        Ok(spec)
    }
}

/// How a nested process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NestedEnd {
    /// How the process ended.
    pub status: TaskEnd,
    /// Whether its time limit was why.
    pub timed_out: bool,
}

/// What a custodian says to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It made this control group, and removes it before it says that the process ended.
    Group(NestedGroupName),
    /// Here is the terminal's outer end, as a descriptor.
    Terminal,
    /// The command was executed, by this process as the host counts.
    Started(i32),
    /// It was not and never will be. Nothing follows.
    Failed(Failure),
    /// It ended. Nothing follows.
    Ended(NestedEnd),
}

/// What the agent says to a custodian, after the order itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// Send this signal to the process and those in its process group.
    Signal(i32),
}
