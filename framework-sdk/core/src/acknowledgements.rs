//! Which updates the scheduler has seen already.
//!
//! An update may come again: its acknowledgement was lost, or the master failed over. It is then
//! acknowledged again and not shown again.

use std::collections::{BTreeSet, VecDeque};

use lonja_model::UpdateId;

/// Updates remembered. A repeat comes within a few back-offs of the agent, so thousands of newer updates
/// later it is no longer waited for.
const REMEMBERED: usize = 8_192;

/// The latest updates that the scheduler has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    ids: BTreeSet<UpdateId>,
    order: VecDeque<UpdateId>,
}

impl Seen {
    /// Notes an update; `false` if it was noted before.
    pub(crate) fn note(&mut self, update: UpdateId) -> bool {
        if !self.ids.insert(update) {
            return false;
        }
        self.order.push_back(update);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
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
        assert_eq!((seen.ids.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(!seen.note(update(1)));
        assert!(seen.note(update(0)), "what was forgotten is shown again rather than lost");
    }
}
