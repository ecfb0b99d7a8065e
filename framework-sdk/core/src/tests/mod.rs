//! The library seen from both of its sides.

pub(crate) mod fixture;

mod counting;
mod launches;
mod messages;
mod offers;
mod operations;
mod properties;
mod subscription;
mod tasks;
mod unplaced;
mod updates;
