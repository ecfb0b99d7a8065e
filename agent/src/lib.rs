//! The agent daemon: it owns one machine's resources and runs tasks on them.
//!
//! Container side, from the outside in: `containerizer` is what the driver calls, `launcher` forks,
//! `supervisor` is the parent of one container, `isolation` sets its limits.

pub mod containerizer;
pub mod isolation;
pub mod launcher;
pub mod supervisor;
