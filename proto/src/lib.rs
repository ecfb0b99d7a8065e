//! The wire: the schema, the types generated from it, and their conversion to the model.
//!
//! [`wire`] holds what travels: the messages of the Mesos v1 API and Lonja's own, as they are generated
//! from the `.proto` files beside this crate. The Mesos messages keep their names, numbers and types, so
//! that existing clients work unchanged; Lonja's additions are fields numbered above 10,000 and the
//! packages `lonja.*` (`docs/design.md`, D1).
//!
//! [`convert`] leads from there to `lonja_model` and back; generated types end at a shell's door.
//! [`limits`] bounds what a message may hold.

pub mod wire;

pub mod limits;

pub mod binary;
pub mod codec;
pub mod json;
pub mod media;
pub mod recordio;
mod schema;
mod walk;

pub mod convert;

/// The generated types of package `mesos.v1` and those below it.
pub use wire::mesos::v1 as mesos;

/// The generated types and services of package `lonja.v1`.
pub use wire::lonja::v1 as lonja;
