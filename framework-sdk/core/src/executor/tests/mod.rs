//! An executor seen from its agent and from its work, in virtual time.

pub(super) mod fixture;

mod connecting;
mod ending;
mod properties;
mod reporting;
mod tasks;
