//! Live streams, and what goes out on them.
//!
//! Each stream has a bounded queue. A peer that does not keep up is cut off, never waited for: it costs
//! itself its connection and the master a bounded amount of memory (INV-45).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lonja_master_core::{Event as CoreEvent, LinkId, Outbound, StreamId};
use lonja_model::link::ToAgent;
use lonja_model::scheduler::{CallResult, Event};
use lonja_model::weight::Weigh;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for one agent: one for each of the tasks that it takes at most, and room.
pub(crate) const AGENT_QUEUE: usize = 16_384;

/// Messages that may wait for one framework: a framework may ask at once where each of 100,000 tasks stands, and
/// is answered in one batch.
pub(crate) const FRAMEWORK_QUEUE: usize = 131_072;

/// What goes out on a framework's stream.
#[derive(Clone, Debug)]
pub enum ToFramework {
    /// An event.
    Event(Event),
    /// The answer to the call of this number.
    Answer(u64, CallResult),
}

/// What may wait for one framework, together. In bytes. What is larger by itself may wait alone.
const FRAMEWORK_QUEUE_BYTES: usize = 256 << 20;

impl ToFramework {
    /// Bytes that it takes at most. What has a bound of its own counts for little.
    fn weight(&self) -> usize {
        const SMALL: usize = 512;
        SMALL
            + match self {
                Self::Event(Event::Message { data, .. }) => data.len(),
                Self::Event(Event::Update(status)) => status.weight(),
                Self::Event(Event::Offers(offers)) => {
                    offers.iter().map(|offer| SMALL + offer.resources.weight()).sum()
                }
                _ => 0,
            }
    }
}

/// A message that waits, and how much of its queue's room it takes until it is taken out.
#[derive(Debug)]
pub struct Waiting {
    /// The message.
    pub message: ToFramework,
    _room: Option<Room>,
}

impl Waiting {
    /// One that takes no room: there is one of it at most.
    pub(crate) fn free(message: ToFramework) -> Self {
        Self { message, _room: None }
    }
}

/// Room in a queue, given back when it is dropped.
#[derive(Debug)]
struct Room {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One live stream. Dropping it ends both directions: the queue ends what goes out, the guard what comes in.
#[derive(Debug)]
pub(crate) struct Peer<T> {
    pub(crate) queue: mpsc::Sender<T>,
    /// How much waits in it. In bytes.
    pub(crate) taken: Arc<AtomicUsize>,
    pub(crate) _open: oneshot::Sender<()>,
}

impl Peer<Waiting> {
    /// Whether there was room for it.
    fn send(&self, message: ToFramework) -> bool {
        let bytes = message.weight();
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let room = Room { taken: self.taken.clone(), bytes };
        if before > 0 && before + bytes > FRAMEWORK_QUEUE_BYTES {
            return false;
        }
        let sent = self.queue.try_send(Waiting { message, _room: Some(room) });
        // Its reader has left: that is told by the end of the stream.
        !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
    }
}

/// All live streams.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    frameworks: BTreeMap<StreamId, Peer<Waiting>>,
    agents: BTreeMap<LinkId, Peer<ToAgent>>,
    /// Those cut off since the core was last told.
    cut: Vec<CoreEvent>,
}

impl Connections {
    pub(crate) fn open_stream(&mut self, stream: StreamId, peer: Peer<Waiting>) {
        self.frameworks.insert(stream, peer);
    }

    pub(crate) fn open_link(&mut self, link: LinkId, peer: Peer<ToAgent>) {
        self.agents.insert(link, peer);
    }

    pub(crate) fn close_stream(&mut self, stream: StreamId) {
        self.frameworks.remove(&stream);
    }

    pub(crate) fn close_link(&mut self, link: LinkId) {
        self.agents.remove(&link);
    }

    /// Sends, closes, or cuts off who does not keep up. Answers to operators are the driver's.
    pub(crate) fn send(&mut self, message: Outbound) {
        match message {
            Outbound::Agent(link, message) => {
                let sent = self.agents.get(&link).map(|peer| peer.queue.try_send(message));
                if let Some(Err(mpsc::error::TrySendError::Full(_))) = sent {
                    tracing::warn!(link = link.0, "agent does not keep up, its link is cut");
                    self.agents.remove(&link);
                    self.cut.push(CoreEvent::LinkClosed { link });
                }
            }
            Outbound::CloseLink(link) => self.close_link(link),
            Outbound::Framework(stream, event) => self.send_framework(stream, ToFramework::Event(event)),
            Outbound::Answer(stream, id, result) => {
                self.send_framework(stream, ToFramework::Answer(id, result))
            }
            Outbound::CloseStream(stream) => self.close_stream(stream),
            Outbound::Operator(..) => {}
        }
    }

    fn send_framework(&mut self, stream: StreamId, message: ToFramework) {
        let Some(peer) = self.frameworks.get(&stream) else { return };
        if !peer.send(message) {
            tracing::warn!(stream = stream.0, "framework does not keep up, its stream is cut");
            self.frameworks.remove(&stream);
            self.cut.push(CoreEvent::StreamClosed { stream });
        }
    }

    /// Who was cut off since this was last asked: the core has to know at once, the peer may never read again.
    pub(crate) fn take_cut(&mut self) -> Vec<CoreEvent> {
        std::mem::take(&mut self.cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_bytes_and_room_comes_back_as_it_is_taken_out() {
        let (queue, mut reader) = mpsc::channel(FRAMEWORK_QUEUE);
        let (open, _closed) = oneshot::channel();
        let peer = Peer { queue, taken: Arc::default(), _open: open };
        let large = || {
            ToFramework::Event(Event::Message {
                agent: lonja_model::AgentId::new("a").unwrap(),
                executor: lonja_model::ids::ExecutorId::new("e").unwrap(),
                data: vec![0; FRAMEWORK_QUEUE_BYTES / 4],
            })
        };
        assert!((0..3).all(|_| peer.send(large())));
        assert!(!peer.send(large()), "with what stands around it, the fourth is too much");
        drop(reader.try_recv().unwrap());
        assert!(peer.send(large()));
        while reader.try_recv().is_ok() {}
        assert_eq!(peer.taken.load(Ordering::Relaxed), 0);
    }
}
