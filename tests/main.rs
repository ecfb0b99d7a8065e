//! Real daemons, end to end: what a user sees, and what survives `kill -9`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod checks;
mod cli;
mod failover;
mod isolation;
mod quota;
mod recovery;
mod upkeep;
mod volumes;
mod volumes_in_use;
mod watching;
