//! What checks, names and the balancer have done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows, or stands for how many there are now.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// More of it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Less of it; for what is counted while it is there.
    pub fn take(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    /// Exactly so much.
    pub fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// How much it is.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident: $kind:ident, $help:literal;)*) => {
        /// What was done since the start, and what is under way.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $help] pub $name: Count,)*
        }

        impl Counters {
            /// All of them in a fixed order.
            pub fn figures(&self) -> Vec<Figure> {
                vec![$(Figure {
                    name: stringify!($name), help: $help, kind: Kind::$kind, value: self.$name.get(),
                },)*]
            }
        }
    };
}

/// Does it only grow?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does.
    Counter,
    /// It stands for how many there are.
    Gauge,
}

/// One of the [`Counters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// In `snake_case`.
    pub name: &'static str,
    /// For people.
    pub help: &'static str,
    /// What it is.
    pub kind: Kind,
    /// How much.
    pub value: u64,
}

counters! {
    checks: Counter, "Health and readiness checks that were run.";
    checks_failed: Counter, "Of those, the ones that said no.";
    checks_kept: Gauge, "Checks that are run again and again, or until they say yes.";
    checks_under_way: Gauge, "Checks under way.";
    usage_samples: Counter, "Measurements for autoscaling that were passed on.";
    usage_failed: Counter, "Agents and servers that did not answer a measurement.";
    event_lags: Counter, "Times at which events were lost and everything was read anew.";
    names: Gauge, "Names that the name server knows.";
    hosts_unresolved: Gauge, "Hostnames of agents that have no address.";
    dns_queries: Counter, "Queries to the name server, those that are no queries included.";
    dns_answered: Counter, "Queries that were answered with records.";
    dns_no_name: Counter, "Queries for names that are not there.";
    dns_no_data: Counter, "Queries for names that have no such record.";
    dns_refused: Counter, "Queries for other zones, classes or kinds of question.";
    dns_malformed: Counter, "Packets that are no queries.";
    dns_limited: Counter, "Packets left unanswered because their source sent too many.";
    dns_truncated: Counter, "Answers that did not fit and are to be asked for over TCP.";
    proxy_ports: Gauge, "Service ports that the balancer has opened.";
    proxy_ports_failed: Gauge, "Service ports that it could not open.";
    proxy_ports_clashing: Gauge, "Service ports that an app wants and does not get.";
    proxy_connections: Counter, "Connections that clients have opened.";
    proxy_connections_open: Gauge, "Connections of clients that are open.";
    proxy_requests: Counter, "HTTP requests that were passed on.";
    proxy_retries: Counter, "Connections and requests that were tried at another instance.";
    proxy_unserved: Counter, "Connections and requests for which there was no instance.";
    proxy_failed: Counter, "Connections and requests that failed at their instances.";
    proxy_cut: Counter, "Connections that were ended because a drained instance had no more time.";
}
