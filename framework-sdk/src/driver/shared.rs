//! What the scheduler's thread, the driver and its handles share.

use std::sync::{Arc, Mutex, PoisonError};

use lonja_sdk_core::Problem;

use super::contained::Watch;
use super::metrics::Metrics;

/// See the module. Locks are held for as long as it takes to copy some numbers.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) watch: Arc<Watch>,
    metrics: Mutex<Metrics>,
}

impl Shared {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Metrics)) {
        change(&mut self.metrics.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn problem(&self, problem: &Problem) {
        self.change(|metrics| *metrics.problems.entry(problem.kind()).or_default() += 1);
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let calls = self.watch.calls();
        metrics.scheduler_calls = calls.number;
        metrics.time_in_scheduler = calls.time;
        metrics.blocked = calls.blocked;
        metrics
    }
}
