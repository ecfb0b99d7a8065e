//! Live streams, and what goes out on them.
//!
//! Each stream has a bounded queue. A peer that does not keep up is cut off, never waited for: it costs
//! itself its connection and the master a bounded amount of memory (INV-45).

use std::collections::BTreeMap;

use lonja_master_core::{Event as CoreEvent, LinkId, Outbound, StreamId};
use lonja_model::link::ToAgent;
use lonja_model::scheduler::{CallResult, Event};
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

/// One live stream. Dropping it ends both directions: the queue ends what goes out, the guard what comes in.
#[derive(Debug)]
pub(crate) struct Peer<T> {
    pub(crate) queue: mpsc::Sender<T>,
    pub(crate) _open: oneshot::Sender<()>,
}

/// All live streams.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    frameworks: BTreeMap<StreamId, Peer<ToFramework>>,
    agents: BTreeMap<LinkId, Peer<ToAgent>>,
    /// Those cut off since the core was last told.
    cut: Vec<CoreEvent>,
}

impl Connections {
    pub(crate) fn open_stream(&mut self, stream: StreamId, peer: Peer<ToFramework>) {
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
        if let Err(mpsc::error::TrySendError::Full(_)) = peer.queue.try_send(message) {
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
