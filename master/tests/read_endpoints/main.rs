//! The endpoints that tools written for Mesos read and post to, over HTTP from a real master.
//!
//! What they answer stands in `golden/`, with what differs from run to run masked. `LONJA_WRITE_GOLDEN=1` writes it anew: then
//! read what changed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod cluster;
mod forms;
mod shapes;
mod whole;
