//! What the scheduler's thread, the driver and its handles share.

use std::sync::{Arc, Mutex, PoisonError};

use lonja_sdk_core::Problem;
use tokio::sync::broadcast;

use super::contained::Watch;
use super::events::{BEHIND, Events};
use super::metrics::Metrics;
use super::notice::Notice;

/// See the module. Locks are held for as long as it takes to copy some numbers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) watch: Arc<Watch>,
    metrics: Mutex<Metrics>,
    /// None once the run has ended.
    notices: Mutex<Option<broadcast::Sender<Notice>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            watch: Arc::default(),
            metrics: Mutex::default(),
            notices: Mutex::new(Some(broadcast::Sender::new(BEHIND))),
        }
    }
}

impl Shared {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Metrics)) {
        change(&mut self.metrics.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn problem(&self, problem: Problem) {
        self.change(|metrics| *metrics.problems.entry(problem.kind()).or_default() += 1);
        self.tell(Notice::Problem(problem));
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, notice: Notice) {
        if let Some(notices) = &*self.notices.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody may be listening.
            let _heard = notices.send(notice);
        }
    }

    /// The run has ended: listeners hear that there will be no more.
    pub(crate) fn end(&self) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn notices(self: &Arc<Self>) -> Events<Notice> {
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = notices.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
        Events::new(queue, Arc::clone(self))
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
