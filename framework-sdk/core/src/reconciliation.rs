//! Asking where tasks stand after something may have been missed.
//!
//! After each new subscription every live task is asked about, and again with back-off until it has been
//! answered: silence is a legal answer while agents come back to a restarted master.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::{TaskId, Timestamp};

/// The first wait before unanswered tasks are asked about again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long before tasks are asked about whose launch was refused: by then most have been told of.
const SOON: Duration = Duration::from_secs(1);

/// Tasks named in one call, at most.
pub(crate) const PER_CALL: usize = 500;

/// Tasks that were asked about and not answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reconciliation {
    waiting: BTreeSet<TaskId>,
    again: Option<(Timestamp, Duration)>,
}

impl Reconciliation {
    /// Begins to ask about these tasks, now.
    pub(crate) fn begin(&mut self, now: Timestamp, tasks: impl IntoIterator<Item = TaskId>) -> Vec<TaskId> {
        self.waiting = tasks.into_iter().collect();
        self.again = (!self.waiting.is_empty()).then(|| (now + BACKOFF.0, BACKOFF.0));
        self.waiting.iter().cloned().collect()
    }

    /// Asks about these too, soon.
    pub(crate) fn also(&mut self, now: Timestamp, tasks: impl IntoIterator<Item = TaskId>) {
        let before = self.waiting.len();
        self.waiting.extend(tasks);
        if self.waiting.len() > before {
            let soon = now + SOON;
            let (at, backoff) = self.again.unwrap_or((soon, BACKOFF.0));
            self.again = Some((at.min(soon), backoff));
        }
    }

    /// A task was told of.
    pub(crate) fn answered(&mut self, task: &TaskId) {
        self.waiting.remove(task);
        if self.waiting.is_empty() {
            self.again = None;
        }
    }

    /// The connection is lost: whoever subscribes next begins anew.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.again.map(|(at, _)| at)
    }

    /// Whom to ask about again, if it is time.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<TaskId> {
        let Some((at, backoff)) = self.again.filter(|(at, _)| *at <= now) else { return Vec::new() };
        let longer = (backoff * 2).min(BACKOFF.1);
        self.again = Some((at.max(now) + longer, longer));
        self.waiting.iter().cloned().collect()
    }
}
