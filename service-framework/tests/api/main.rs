//! The REST interface over real services, without a master: routes and status codes, headers, error bodies, and the stream of
//! events.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod apps;
mod bounds;
mod door;
mod groups;
mod pods_and_jobs;
mod routes;
mod stream;
