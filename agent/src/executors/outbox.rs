//! What waits to be said to one executor.
//!
//! Invariants
//! - What waits is bounded in events and bytes, but for a single event that is larger.
//! - Nothing waits once its reader is gone, or once it is said that nothing of it is wanted any more: whether the reader
//!   ever looks does not matter.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use lonja_proto::mesos::executor as wire;
use prost::Message;
use tokio::sync::watch;
use tonic::Status;

use super::stay::Stay;

/// Events that may wait for one executor: one for each task that an agent takes at most, and room.
const MOST_EVENTS: usize = 16_384;

/// Bytes that may wait for one executor, unless a single event is larger.
const MOST_BYTES: usize = 64 << 20;

/// What becomes of what waits when a stream is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is sent before the end is told.
    Sent,
    /// It is dropped, for all of it is said again over another stream, or to nobody.
    Dropped,
}

/// The agent's end.
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    has_reader: watch::Sender<bool>,
}

/// The executor's end, in the order of what was put in.
pub(crate) struct Outgoing {
    outbox: Arc<Outbox>,
    /// The executor is here as long as it may read.
    _stay: Arc<Stay>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<(wire::Event, usize)>,
    bytes: usize,
    /// Nothing more comes, but what waits, and this.
    end: Option<Option<Status>>,
    reader: Option<Waker>,
}

impl Waiting {
    fn clear(&mut self) {
        self.events = VecDeque::new();
        self.bytes = 0;
    }
}

/// Both ends of a new stream.
pub(super) fn stream(stay: Arc<Stay>) -> (Arc<Outbox>, Outgoing) {
    let outbox = Arc::new(Outbox { waiting: Mutex::default(), has_reader: watch::Sender::new(true) });
    (outbox.clone(), Outgoing { outbox, _stay: stay })
}

impl Outbox {
    /// One more event waits; `false`: there is no room for it. What comes after the end is dropped.
    pub(super) fn put(&self, event: wire::Event) -> bool {
        let mut waiting = self.waiting();
        if waiting.end.is_some() || !*self.has_reader.borrow() {
            return true;
        }
        let size = event.encoded_len();
        let is_first = waiting.events.is_empty();
        let fits = waiting.events.len() < MOST_EVENTS && waiting.bytes.saturating_add(size) <= MOST_BYTES;
        if !is_first && !fits {
            return false;
        }
        waiting.bytes += size;
        waiting.events.push_back((event, size));
        wake(waiting);
        true
    }

    /// Nothing more comes, and the executor is told why if that is given. The first end counts; a later one may still
    /// drop what waits.
    pub(super) fn end(&self, why: Option<Status>, rest: Rest) {
        let mut waiting = self.waiting();
        if rest == Rest::Dropped {
            waiting.clear();
        }
        waiting.end.get_or_insert(why);
        wake(waiting);
    }

    /// Returns when the executor's end is no more.
    pub(super) async fn has_no_reader(&self) {
        let mut news = self.has_reader.subscribe();
        // It never fails: the sender is here.
        let _gone = news.wait_for(|has_reader| !has_reader).await.is_ok();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the reader, with nothing held.
fn wake(mut waiting: MutexGuard<'_, Waiting>) {
    let reader = waiting.reader.take();
    drop(waiting);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl Stream for Outgoing {
    type Item = Result<wire::Event, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut waiting = self.outbox.waiting();
        if let Some((event, size)) = waiting.events.pop_front() {
            waiting.bytes -= size;
            return Poll::Ready(Some(Ok(event)));
        }
        match &mut waiting.end {
            Some(why) => Poll::Ready(why.take().map(Err)),
            None => {
                waiting.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.outbox.has_reader.send_replace(false);
        self.outbox.waiting().clear();
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use tonic::Code;

    use super::*;

    fn event(bytes: usize) -> wire::Event {
        let data = vec![7; bytes];
        wire::Event { message: Some(wire::event::Message { data }), ..wire::Event::default() }
    }

    fn new() -> (Arc<Outbox>, Outgoing) {
        stream(Arc::new(Stay::of_nobody()))
    }

    /// What comes now: the bytes of an event, or how the stream ends; `None`: nothing yet.
    fn next(outgoing: &mut Outgoing) -> Option<Result<usize, Option<Code>>> {
        outgoing.next().now_or_never().map(|next| match next {
            Some(Ok(event)) => Ok(event.message.unwrap().data.len()),
            Some(Err(status)) => Err(Some(status.code())),
            None => Err(None),
        })
    }

    #[test]
    fn what_waits_is_sent_before_the_end_is_told() {
        let (outbox, mut outgoing) = new();
        assert_eq!(next(&mut outgoing), None);
        assert!(outbox.put(event(1)) && outbox.put(event(2)));
        outbox.end(Some(Status::aborted("")), Rest::Sent);
        assert!(outbox.put(event(3)), "too late, and nobody's fault");
        assert_eq!([next(&mut outgoing), next(&mut outgoing)], [Some(Ok(1)), Some(Ok(2))]);
        assert_eq!(next(&mut outgoing), Some(Err(Some(Code::Aborted))));
        assert_eq!(next(&mut outgoing), Some(Err(None)));
    }

    #[test]
    fn a_stream_that_was_replaced_holds_nothing_though_nobody_reads_it() {
        let (outbox, mut outgoing) = new();
        assert!(outbox.put(event(1_000)));
        outbox.end(Some(Status::aborted("")), Rest::Dropped);
        assert_eq!(outbox.waiting().bytes, 0);
        assert_eq!(outbox.waiting().events.capacity(), 0);
        assert_eq!(next(&mut outgoing), Some(Err(Some(Code::Aborted))));
    }

    #[test]
    fn what_waits_is_bounded_but_for_one_event() {
        let (outbox, mut outgoing) = new();
        assert!(outbox.put(event(MOST_BYTES + 1)));
        assert!(!outbox.put(event(1)));
        assert_eq!(next(&mut outgoing), Some(Ok(MOST_BYTES + 1)));
        for _ in 0..MOST_EVENTS {
            assert!(outbox.put(event(1)));
        }
        assert!(!outbox.put(event(1)));
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed_and_leaves_nothing() {
        let (outbox, outgoing) = new();
        assert!(outbox.put(event(1)));
        assert!(outbox.has_no_reader().now_or_never().is_none());
        drop(outgoing);
        outbox.has_no_reader().await;
        assert_eq!(outbox.waiting().bytes, 0);
        assert!(outbox.put(event(1)) && outbox.waiting().events.is_empty());
    }
}
