//! The JSON of apps, pods, jobs and groups: read with the path of each fault, and shown as Marathon shows it.
//!
//! Invariants
//! - A document is read whole: all that is wrong with it is told at once.
//! - What is shown reads back as the same value.
//!
//! Source: Marathon's REST API; fields that are Lonja's own are taken always, and shown only where they were set.

use lonja_services_core::validate::Fault;

mod json;
mod reader;
mod time;
mod writer;

mod change;
mod checks;
mod common;
mod container;
mod deprecated;
mod networks;
mod placement;

mod app;
mod group;
mod job;
mod pod;

mod codec;
mod openapi;

#[cfg(test)]
mod tests;

pub use app::{app, apps, show_app};
pub use change::strategy;
pub use checks::show_health_check;
pub use codec::JsonCodec;
pub use group::{GroupUpdate, group_update, show_group};
pub use job::{job, show_job};
pub(crate) use json::values;
pub use json::{MAX_DEPTH, MAX_VALUES, json};
pub use openapi::openapi;
pub use pod::{pod, show_pod};
pub use reader::{MAX_ELEMENTS, MAX_FAULTS, MAX_TEXT_BYTES};
pub use time::{parse_version, time, version};

/// The largest definition, in bytes as it is shown: two of them must fit into one value of the store.
pub const MAX_DEFINITION_BYTES: usize = 256 << 10;

/// That a definition is too large, if it is.
fn oversize(shown: &serde_json::Value) -> Option<Fault> {
    let bytes = shown.to_string().len();
    let words = format!("the definition has {bytes} bytes, at most {MAX_DEFINITION_BYTES} are taken");
    (bytes > MAX_DEFINITION_BYTES).then(|| Fault::at("/", words))
}

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is no JSON, or too deep. 400, `Invalid JSON`, with the parser's words for details.
    #[error("Invalid JSON")]
    NotJson(String),
    /// It is something else than an object, or than a list where one is wanted. 400.
    #[error("Please specify data in JSON format")]
    NotAnObject(String),
    /// Fields have the wrong form. 422, `Invalid JSON`.
    #[error("Invalid JSON")]
    Types(Vec<Fault>),
    /// The values make no sense. 422, `Object is not valid`.
    #[error("Object is not valid")]
    Values(Vec<Fault>),
    /// It asks for what cannot be. 422, with these words.
    #[error("{0}")]
    Illegal(String),
    /// A query is wrong. 400, with these words.
    #[error("{0}")]
    BadQuery(String),
}

/// What fields are where nothing is said and the definition itself does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The role: that of the top-level group if it is enforced, else the daemon's.
    pub role: String,
}
