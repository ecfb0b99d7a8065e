//! Asking where tasks stand after something may have been missed.
//!
//! After each new subscription every live task is asked about, and again with back-off until it has been
//! answered: silence is a legal answer while agents come back to a restarted master. And as long as the subscription
//! stands all are asked about from time to time, ever more seldom: updates are not lost on a connection that holds, but
//! masters and libraries have had mistakes, and this ends what one of them would leave wrong for ever.
//!
//! Source: Mesos' documentation of reconciliation, which asks frameworks for both.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::time::earliest;
use lonja_model::{TaskId, Timestamp};

/// The first wait before unanswered tasks are asked about again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long after all were asked about they are asked about anew, at first and at most.
const PERIOD: (Duration, Duration) = (Duration::from_secs(900), Duration::from_secs(3600));

/// How long before tasks are asked about whose launch was refused: by then most have been told of.
const SOON: Duration = Duration::from_secs(1);

/// Tasks named in one call, at most.
pub(crate) const PER_CALL: usize = 500;

/// Tasks that were asked about and not answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reconciliation {
    waiting: BTreeSet<TaskId>,
    again: Option<(Timestamp, Duration)>,
    /// When all are asked about, and how long that was waited for.
    all: Option<(Timestamp, Duration)>,
}

impl Reconciliation {
    /// The subscription stands: begins to ask about these tasks, which are all, now.
    pub(crate) fn begin(&mut self, now: Timestamp, tasks: impl IntoIterator<Item = TaskId>) -> Vec<TaskId> {
        self.all = Some((now + PERIOD.0, PERIOD.0));
        self.ask(now, tasks)
    }

    /// Is it time to ask about all?
    pub(crate) fn all_due(&mut self, now: Timestamp) -> bool {
        let Some((at, period)) = self.all.filter(|(at, _)| *at <= now) else { return false };
        let longer = (period * 2).min(PERIOD.1);
        self.all = Some((at.max(now) + longer, longer));
        true
    }

    /// Asks about these, and no others, until they are answered.
    pub(crate) fn ask(&mut self, now: Timestamp, tasks: impl IntoIterator<Item = TaskId>) -> Vec<TaskId> {
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
        earliest(self.again.map(|(at, _)| at), self.all.map(|(at, _)| at))
    }

    /// Whom to ask about again, if it is time.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<TaskId> {
        let Some((at, backoff)) = self.again.filter(|(at, _)| *at <= now) else { return Vec::new() };
        let longer = (backoff * 2).min(BACKOFF.1);
        self.again = Some((at.max(now) + longer, longer));
        self.waiting.iter().cloned().collect()
    }
}
