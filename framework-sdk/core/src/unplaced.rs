//! What the master is told of tasks that have no place as yet.
//!
//! Of each task the newest word is kept, until it is launched or no longer waits. The master is told all of it at once,
//! at most every [`LEAST_BETWEEN`], and only when something has changed. A master that does not know the call is asked
//! once for each connection.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::unplaced::{MAX_REPORT_BYTES, MAX_UNPLACED, MAX_WORDS_BYTES, Unplaced};
use lonja_model::{TaskInfo, Timestamp};

/// Between two reports, at least. Nothing is decided by them, so that they may lag.
pub(crate) const LEAST_BETWEEN: Duration = Duration::from_secs(5);

/// As which a task of this name is known: by no more than [`Unplaced::trimmed`] leaves of it.
fn name(task: &str) -> &str {
    &task[..task.floor_char_boundary(MAX_WORDS_BYTES)]
}

/// The words of one framework.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    /// By task, within the model's bounds.
    words: BTreeMap<String, Unplaced>,
    /// The master has not been told of all of it.
    untold: bool,
    /// This master has refused a report: there is no second one on this connection.
    refused: bool,
    /// When the next report may go.
    not_before: Timestamp,
}

impl Waiting {
    /// Takes in the newest words. Of tasks beyond the bound nothing is kept: those known first stay.
    pub(crate) fn note(&mut self, words: impl IntoIterator<Item = Unplaced>) {
        for word in words {
            let word = word.trimmed();
            if word.task.is_empty() {
                continue;
            }
            let full = self.words.len() >= MAX_UNPLACED;
            match self.words.get_mut(&word.task) {
                Some(before) if *before == word => {}
                Some(before) => {
                    *before = word;
                    self.untold = true;
                }
                None if full => {}
                None => {
                    self.words.insert(word.task.clone(), word);
                    self.untold = true;
                }
            }
        }
    }

    /// The task does not wait any more.
    pub(crate) fn forget(&mut self, task: &str) {
        self.untold |= self.words.remove(name(task)).is_some();
    }

    /// These have a place, be they known by their id or by their name.
    pub(crate) fn launched(&mut self, tasks: &[TaskInfo]) {
        if self.words.is_empty() {
            return;
        }
        for task in tasks {
            self.forget(task.id.as_str());
            self.forget(&task.name);
        }
    }

    /// Another master, or the same anew: it has been told nothing.
    pub(crate) fn subscribed(&mut self) {
        (self.untold, self.refused) = (!self.words.is_empty(), false);
    }

    /// A report came too fast: all is to be told again.
    pub(crate) fn came_too_fast(&mut self, now: Timestamp) {
        (self.untold, self.not_before) = (true, now + LEAST_BETWEEN);
    }

    /// A report was refused.
    pub(crate) fn refused(&mut self) {
        self.refused = true;
    }

    /// When to report next, while there is a subscription.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        (self.untold && !self.refused).then_some(self.not_before)
    }

    /// What the master is to be told now, if it is anything: as many words as go into one report.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Vec<Unplaced>> {
        self.next_deadline().filter(|at| *at <= now)?;
        (self.untold, self.not_before) = (false, now + LEAST_BETWEEN);
        let mut room = MAX_REPORT_BYTES;
        let fits = |word: &&Unplaced| {
            let rest = room.checked_sub(word.bytes());
            room = rest.unwrap_or(room);
            rest.is_some()
        };
        Some(self.words.values().filter(fits).cloned().collect())
    }
}
