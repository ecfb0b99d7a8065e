//! The services on a cluster in virtual time: what they do when all goes well, and what they never do whatever goes wrong.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "simulated/world.rs"]
mod world;

#[path = "simulated/deployments.rs"]
mod deployments;

#[path = "simulated/promises.rs"]
mod promises;

#[path = "simulated/keeping.rs"]
mod keeping;

#[path = "simulated/faults.rs"]
mod faults;

#[path = "simulated/rolling.rs"]
mod rolling;

#[path = "simulated/jobs.rs"]
mod jobs;
