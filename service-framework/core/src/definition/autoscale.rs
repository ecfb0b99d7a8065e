//! How the number of instances follows what they do. Lonja's own.

use std::time::Duration;

/// A rule that sets the number of instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscale {
    /// At least so many.
    pub minimum: u32,
    /// At most so many.
    pub maximum: u32,
    /// What is measured.
    pub measure: Measure,
    /// The value that is aimed at: a fraction of what each instance asked for (`0.6`) for cpu and memory; for a query, its
    /// value for each instance.
    pub target: f64,
    /// After a change so long none follows.
    pub cooldown: Duration,
    /// Fewer only if that would have done for so long.
    pub stabilisation: Duration,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// CPUs used, from the agents' statistics.
    Cpu,
    /// Memory used, from the agents' statistics.
    Memory,
    /// What a Prometheus server answers.
    Prometheus {
        /// Such as `http://127.0.0.1:9090`.
        server: String,
        /// In its language; must yield one number.
        query: String,
    },
}
