//! The vocabulary every part of Lonja speaks.
//!
//! Values only: no clock, no I/O, no policy. A type here is shared by at least two of master, agent,
//! framework and simulator; what only one of them knows lives there.
//!
//! Invariants
//! - A value that exists is valid: ids, roles and amounts are checked when they are made, once.
//! - Amounts are integers, so that sums are exact in any order (`docs/design.md`, D5).
//!
//! The names are those of the Mesos v1 API; where a shape differs, the module says why.

#[cfg(feature = "clock")]
pub mod clock;
pub mod ids;
pub mod time;
pub mod unplaced;

pub mod quota;
pub mod resources;
pub mod role;

pub mod agent;
pub mod attributes;
pub mod check;
pub mod constraints;
pub mod container;
pub mod executor;
pub mod files;
pub mod framework;
pub mod io_limits;
pub mod labels;
pub mod maintenance;
pub mod offer;
pub mod operation;
pub mod pattern;
pub mod privileges;
pub mod profile;
pub mod task;

pub mod execution;
pub mod link;
pub mod scheduler;

pub mod checkpoint;
pub mod registry;

pub mod weight;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use agent::AgentInfo;
pub use framework::FrameworkInfo;
pub use ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, InvalidId, OfferId, OperationId, OperationUuid,
    ResourceProviderId, TaskId, UpdateId,
};
pub use offer::Offer;
pub use resources::Resources;
pub use role::Role;
pub use task::{TaskInfo, TaskState, TaskStatus};
pub use time::Timestamp;
