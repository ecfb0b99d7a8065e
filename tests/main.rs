//! Real daemons, end to end: what a user sees, and what survives `kill -9`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod attacks;
mod bad_input;
mod bench;
mod checks;
mod cli;
mod clients;
mod disk;
mod exec;
mod executors;
mod explain;
mod failover;
mod fetch;
mod files;
mod groups;
mod guide;
mod init;
mod inputs;
mod isolation;
mod limits;
mod pods;
mod quota;
mod recovery;
mod recovery_images;
mod recovery_steps;
mod service_cli;
mod services;
mod stats;
mod tls;
mod upkeep;
mod v1_malformed;
mod volumes;
mod volumes_in_use;
mod watching;
