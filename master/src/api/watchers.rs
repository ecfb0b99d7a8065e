//! Those who watch the cluster: so many, whichever door they came by, and the oldest makes room for a new one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Watchers at once. Source: Mesos, `--max_operator_event_stream_subscribers`.
const MOST: usize = 1_000;

/// The watchers, the oldest first.
#[derive(Clone, Default)]
pub(super) struct Watchers(Arc<Mutex<VecDeque<oneshot::Sender<()>>>>);

impl Watchers {
    /// A place for a new one; what is returned resolves when the place is taken by another.
    pub(super) fn add(&self) -> oneshot::Receiver<()> {
        let (place, lost) = oneshot::channel();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|place| !place.is_closed());
        if places.len() == MOST {
            places.pop_front();
        }
        places.push_back(place);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let watchers = Watchers::default();
        let mut kept: Vec<_> = (0..MOST).map(|_| watchers.add()).collect();
        drop(kept.pop());
        let _within = watchers.add();
        assert_eq!(kept[0].try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let _over = watchers.add();
        assert_eq!(kept[0].try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(kept[1].try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }
}
