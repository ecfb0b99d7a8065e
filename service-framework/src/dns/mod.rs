//! A name server for what runs, over UDP and TCP.
//!
//! It answers from memory, for its own zone alone; it asks nobody and passes nothing on. What it says is at most its time to
//! live old, a few seconds.
//!
//! Invariants
//! - No packet, however made, ends it or makes it use more than a bounded amount of memory.
//! - No answer over UDP is longer than the client takes, or than 1,232 bytes, which no path on the way splits.
//! - A source that asks more than its share is left unanswered, so that nobody can be flooded in its name.
//!
//! Source: RFC 1034, 1035, 2308 (negative answers), 2782 (SRV), 6891 (EDNS), 7766 (TCP), 8482 (ANY); `docs/service-discovery.md`.

mod answer;
mod limit;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::Directory;
use crate::directory::hosts::Hosts;
use crate::discovery::Counters;
pub(crate) use serve::NameServer;

/// What answers are made of.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) directory: Arc<Directory>,
    pub(crate) hosts: Arc<Hosts>,
    /// How long answers may be kept, also those that there is nothing. Whole seconds.
    pub(crate) ttl: Duration,
    pub(crate) counters: Arc<Counters>,
}

/// Why there is no name server.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name server cannot listen on {address}; choose another address by --dns-listen, ports below 1024 need root"
)]
pub struct DnsError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// Why it cannot.
    #[source]
    pub source: std::io::Error,
}

#[cfg(test)]
mod tests;
