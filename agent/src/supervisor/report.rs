//! What a supervisor tells the agent once, over a pipe, when its container runs or cannot.

use serde::{Deserialize, Serialize};

use super::identity::Supervisor;

/// The longest message, in bytes, so that a report is bounded.
const LONGEST_MESSAGE: usize = 2_000;

/// The largest report, in bytes.
pub const LARGEST_REPORT: usize = 16 * 1024;

/// What kind of thing went wrong; the agent chooses the task's reason by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// The description itself is wrong.
    InvalidSpec,
    /// The user does not exist or may not be taken.
    User,
    /// The sandbox, its logs, or the run directory.
    Sandbox,
    /// Control groups.
    Isolation,
    /// Namespaces, host name or `/proc`.
    Namespace,
    /// Capabilities, process limits, or the filter on system calls.
    Confinement,
    /// A volume cannot be mounted.
    Volume,
    /// The command cannot be executed.
    Command,
    /// Killed on request before the command was executed.
    Killed,
    /// Given up before any supervisor took it on.
    Abandoned,
    /// The launcher is gone: the agent must be restarted to launch anything again.
    LauncherGone,
    /// A container with this id was launched before.
    Duplicate,
    /// The supervisor or the container's init ended unexpectedly.
    Internal,
}

/// Why a container does not run: what, where, and what the system said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub reason: FailureReason,
    /// For people, at most some 2,000 bytes.
    pub message: String,
}

impl Failure {
    /// A failure with its message cut to a bounded length.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST_MESSAGE {
            message.truncate(message.floor_char_boundary(LONGEST_MESSAGE - 3));
            message.push('…');
        }
        Self { reason, message }
    }

    /// `what: cause`, with the causes of the cause.
    pub fn from_error(
        reason: FailureReason,
        what: impl std::fmt::Display,
        error: &dyn std::error::Error,
    ) -> Self {
        let mut message = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::new(reason, message)
    }
}

/// The one record on a report pipe. The pipe closing without one means that the supervisor died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The command was executed.
    Started {
        /// The task's process as the host counts.
        pid: i32,
        /// Who watches it, and in which control group it is.
        supervisor: Supervisor,
    },
    /// It was not and never will be.
    Failed(Failure),
}

/// The task's process, noted in the run directory for an agent that comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedRecord {
    /// The task's process as the host counts.
    pub pid: i32,
    /// The container's init, the supervisor's child, as the host counts.
    #[serde(default)]
    pub init: Option<i32>,
    /// When its program was executed, in milliseconds after this boot of the host, suspended time included: no jump of
    /// the wall clock moves it.
    #[serde(default)]
    pub since_boot_ms: Option<u64>,
}

impl StartedRecord {
    /// Name of its file in the run directory.
    pub const FILE: &'static str = "started.json";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_bounded_whatever_failed() {
        let failure = Failure::new(FailureReason::Command, "\u{1}é".repeat(3_000));
        let text = serde_json::to_vec(&Report::Failed(failure)).unwrap();
        assert!(text.len() <= LARGEST_REPORT, "{}", text.len());
    }
}
