//! Events for whoever listens: bounded, and honest about what was lost.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::shared::Shared;

/// Events that a reader may be behind before it loses the oldest.
pub(crate) const BEHIND: usize = 1_024;

/// Reads events, from the moment it was made on. It waits for nobody and nobody waits for it: one that reads too slowly
/// loses the oldest and is told how many.
#[derive(Debug)]
pub struct Events<E> {
    queue: broadcast::Receiver<E>,
    shared: Arc<Shared>,
}

/// So many events were lost, because they were not read in time. What they said is to be found out otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were lost: they were not read in time")]
pub struct Missed(pub u64);

impl<E: Clone> Events<E> {
    pub(crate) fn new(queue: broadcast::Receiver<E>, shared: Arc<Shared>) -> Self {
        Self { queue, shared }
    }

    /// The next event; `None` once the run has ended and all is read. Errors: some were lost before the next.
    pub async fn next(&mut self) -> Option<Result<E, Missed>> {
        match self.queue.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                self.shared.change(|metrics| metrics.events_lost += lost);
                Some(Err(Missed(lost)))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
