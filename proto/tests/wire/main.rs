//! The door from both sides: what goes out comes back, and what is wrong is refused by name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod messages;

mod checks;
mod conversions;
mod executions;
mod files;
mod golden;
mod golden_operations;
mod refusals;
mod round_trip;
mod wishes;
