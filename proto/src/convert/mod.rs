//! Between the wire and the model, once, at the door.
//!
//! `..._from_wire` turns a message into a value of `lonja_model` or refuses it, naming the field; past it
//! no one checks again. `..._to_wire` is the way back and never fails. The model's value survives the
//! round trip.
//!
//! Rules
//! - Amounts are rounded to thousandths; what is negative, not finite or over 2^51 - 1 thousandths is
//!   refused. A range that begins after its end is refused.
//! - A number that is none of its enum's is refused with the number.
//! - What Lonja does not serve yet is refused by name, never passed over.
//! - Nothing holds more than [`crate::limits`] says.
//! - A task that is not well formed spoils only itself ([`operation`]).
//!
//! Source: Mesos v1 API.

mod refusal;

mod disk;
pub mod ids;
pub mod resources;

pub mod agent;
pub mod check;
pub mod constraints;
pub mod container;
mod conversion;
pub mod executor;
pub mod files;
pub mod framework;
mod io_limits;
pub mod maintenance;
pub mod offer;
pub mod operation;
pub mod operation_status;
mod privileges;
mod profile;
pub mod quota;
pub mod status;
pub mod task;

pub mod call;
pub mod event;
pub mod execution;
pub mod link;
pub mod unplaced;

pub mod checkpoint;
pub mod registry;

pub mod operator;
mod stored;

pub use refusal::{Fault, Refusal};
pub use resources::Shape;
pub use stored::{StoredChange, Unreadable};
