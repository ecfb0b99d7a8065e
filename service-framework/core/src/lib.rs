//! Long-running services: what is wanted against what runs. Pure.
//!
//! [`Services`] is a scheduler of the SDK like any other: offers, news and commands in, plans out (`docs/design.md`, D2). It holds
//! the definitions people gave, the instances of each, and the deployments that lead from one to the other.
//!
//! Invariants
//! - What was acknowledged is kept (INV-48).
//! - At rest there are as many healthy instances as wanted, never more than an upgrade strategy allows, and of a single-instance
//!   app never two at once (INV-49).
//! - Each deployment ends (INV-50).

pub mod definition;
pub mod path_id;

pub mod groups;
pub mod planning;
pub mod validate;

pub mod deployment;
pub mod instance;
pub mod job;
pub mod jobs;
pub mod waiting;

pub mod autoscale;
pub mod matching;
pub mod reaching;

pub mod service;

pub mod command;
pub mod config;
pub mod event;
pub mod kept;

mod civil;
mod draws;
mod services;

pub use command::{Answer, Change, ChangeOptions, Command, Look, Refused, Started};
pub use config::Config;
pub use event::{Event, What};
pub use kept::{Codec, Kept};
pub use path_id::{InvalidPathId, PathId};
pub use service::{Counts, Service};
pub use services::Services;
