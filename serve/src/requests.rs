//! The requests of one connection: by them it is told whether it is of use.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use crate::connections::Bounds;

/// How many there were, and how many are not answered to their end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    open: AtomicUsize,
}

/// A request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Counts>);

impl Requests {
    /// One more.
    pub(crate) fn begin(&self) -> Open {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(self.0.clone())
    }

    /// Resolves once none has come for too long, and none is open.
    pub(crate) async fn lacking(&self, bounds: Bounds) {
        let mut before = 0;
        let mut within = bounds.begins_within;
        loop {
            tokio::time::sleep(within).await;
            let begun = self.0.begun.load(Ordering::Relaxed);
            if begun == before && self.0.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            (before, within) = (begun, bounds.head_within);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer, with which its request ends.
#[derive(Debug)]
pub(crate) struct Answering<B> {
    pub(crate) body: B,
    pub(crate) _open: Open,
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_of_use_while_requests_come_or_are_open() {
        let bounds = Bounds::default();
        let start = Instant::now();
        Requests::default().lacking(bounds).await;
        assert_eq!(start.elapsed().as_secs(), bounds.begins_within.as_secs(), "none has ever come");

        let requests = Requests::default();
        let open = requests.begin();
        let day = Duration::from_secs(24 * 3_600);
        assert!(timeout(day, requests.lacking(bounds)).await.is_err(), "one is open");
        drop(open);
        let start = Instant::now();
        requests.lacking(bounds).await;
        assert_eq!(start.elapsed(), bounds.begins_within + bounds.head_within);
    }
}
