//! Resources and their algebra.
//!
//! `Resources` is a normalised collection: one entry for each kind of resource, where a kind is a name
//! together with all that may not be mixed: reservations, disk, revocable, shared, provider. Entries are
//! sorted, so that equal collections are equal values.
//!
//! Invariants
//! - `(a + b) - b == a` wherever `a + b` is defined; sums do not depend on their order.
//! - `a.contains(b)` exactly when `a.checked_sub(b)` succeeds.
//! - A range, a set item, a device's thousandth or a volume has one holder: adding it twice is refused.
//!
//! The role that an allocation is made for is not part of a resource, as it is on the Mesos wire: it
//! stands once in the offer and in the task.
//!
//! Source: Mesos v1 `Resource`; `docs/design.md`, D5.

mod devices;
mod ranges;
mod scalar;
mod set;

mod disk;
mod reservation;
mod resource;

mod collection;
mod parse;
mod quantities;

pub use collection::Resources;
pub use devices::{DeviceId, Devices};
pub use disk::{Disk, DiskSource, DiskSourceKind, Persistence};
pub use parse::ParseError;
pub use quantities::Quantities;
pub use ranges::{InvalidRanges, Ranges};
pub use reservation::{Reservation, ReservationKind};
pub use resource::{AddError, InvalidResource, Metadata, Resource, Value};
pub use scalar::{InvalidScalar, Scalar};
pub use set::Set;

#[cfg(test)]
mod properties;
