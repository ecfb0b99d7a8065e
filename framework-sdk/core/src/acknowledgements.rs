//! Which updates the scheduler has seen already, and which ends.
//!
//! An update may come again: its acknowledgement was lost, or the master failed over. It is then
//! acknowledged again and not shown again. And a task may be asked about before its end is seen and answered for after: by
//! then the master has forgotten it and calls it gone.

use std::collections::{BTreeSet, VecDeque};

use lonja_model::{TaskId, UpdateId};

/// Updates, and ends, remembered. A repeat comes within a few back-offs of the agent, so thousands of newer ones
/// later it is no longer waited for.
const REMEMBERED: usize = 8_192;

/// The latest of something.
#[derive(Clone, Debug)]
struct Latest<T> {
    all: BTreeSet<T>,
    order: VecDeque<T>,
}

impl<T: Ord + Clone> Latest<T> {
    /// `false` if it was there.
    fn insert(&mut self, new: T) -> bool {
        if !self.all.insert(new.clone()) {
            return false;
        }
        self.order.push_back(new);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
        true
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { all: BTreeSet::new(), order: VecDeque::new() }
    }
}

/// The latest updates that the scheduler has seen, and the latest tasks whose end it has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    updates: Latest<UpdateId>,
    ends: Latest<TaskId>,
}

impl Seen {
    /// Notes an update; `false` if it was noted before.
    pub(crate) fn note(&mut self, update: UpdateId) -> bool {
        self.updates.insert(update)
    }

    /// Notes that a task's end is shown.
    pub(crate) fn note_end(&mut self, task: &TaskId) {
        self.ends.insert(task.clone());
    }

    /// Was this task's end shown?
    pub(crate) fn has_ended(&self, task: &TaskId) -> bool {
        self.ends.all.contains(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(number: usize) -> UpdateId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        UpdateId(bytes)
    }

    #[test]
    fn an_update_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.note(update(1)));
        assert!(!seen.note(update(1)));
        assert!(seen.note(update(2)));
    }

    #[test]
    fn only_the_latest_updates_are_remembered() {
        let mut seen = Seen::default();
        for number in 0..=REMEMBERED {
            assert!(seen.note(update(number)));
        }
        assert_eq!((seen.updates.all.len(), seen.updates.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!seen.note(update(1)));
        assert!(seen.note(update(0)), "what was forgotten is shown again rather than lost");
    }
}
