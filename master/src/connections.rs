//! Live streams, and what goes out on them.
//!
//! Each stream has a bounded queue. A peer that does not keep up is cut off, never waited for: it costs
//! itself its connection and the master a bounded amount of memory (INV-45).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lonja_master_core::{Event as CoreEvent, LinkId, Outbound, StreamId};
use lonja_model::FrameworkInfo;
use lonja_model::attributes::AttributeValue;
use lonja_model::link::ToAgent;
use lonja_model::offer::Offer;
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
    /// What it says of itself from here on. Nothing goes out, but what does may have to look otherwise.
    Described(Box<FrameworkInfo>),
}

/// What may wait for one framework or agent, together. In bytes. What is larger by itself may wait alone.
const QUEUE_BYTES: usize = 256 << 20;

/// What has a bound of its own and is no text, and what stands around all else. In bytes.
const SMALL: usize = 512;

/// A number, and what stands around a text. In bytes.
const ITEM: usize = 32;

/// What may wait in a queue.
pub trait Queued {
    /// Bytes that it takes, about. What has a bound of its own counts for little.
    fn weight(&self) -> usize;
}

impl Queued for ToFramework {
    fn weight(&self) -> usize {
        let more = match self {
            Self::Event(Event::Message { data, .. }) => data.len(),
            Self::Event(Event::Update(status)) => status.weight(),
            Self::Event(Event::Offers(offers)) => offers.iter().map(offer).sum(),
            Self::Event(Event::InverseOffers(offers)) => offers.len() * SMALL,
            Self::Event(Event::OperationUpdate(status)) => {
                status.message.as_ref().map_or(0, String::len) + status.converted.weight()
            }
            Self::Event(Event::Error(text)) => text.len(),
            Self::Described(info) => info.weight(),
            Self::Answer(_, Err(refusal)) => {
                refusal.message.len() + refusal.field.as_ref().map_or(0, String::len)
            }
            _ => 0,
        };
        SMALL + more
    }
}

fn offer(offer: &Offer) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::Scalar(_) => ITEM,
        AttributeValue::Ranges(ranges) => ITEM * ranges.iter().count(),
        AttributeValue::Text(text) => text.len(),
    };
    let attributes = offer.attributes.0.iter().map(|(name, held)| ITEM + name.len() + value(held));
    let executors = offer.executors.iter().map(|executor| ITEM + executor.as_str().len());
    SMALL + offer.resources.weight() + attributes.sum::<usize>() + executors.sum::<usize>()
}

impl Queued for ToAgent {
    fn weight(&self) -> usize {
        let more = match self {
            Self::Run { info, tasks, .. } | Self::RunInExecutor { info, tasks, .. } => {
                info.weight() + tasks.iter().map(Weigh::weight).sum::<usize>()
            }
            Self::Apply { operation } => {
                operation.conversion.before().weight() + operation.conversion.after().weight()
            }
            Self::Message { data, .. } => data.len(),
            Self::Refused { reason, .. } => reason.len(),
            _ => 0,
        };
        SMALL + more
    }
}

/// A message that waits, and how much of its queue's room it takes until it is taken out.
#[derive(Debug)]
pub struct Waiting<T> {
    /// The message.
    pub message: T,
    _room: Room,
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

/// There was no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Puts a message into a queue of which so much is taken. That its reader has left is told by the end of the stream.
fn put<T: Queued>(
    queue: &mpsc::Sender<Waiting<T>>,
    taken: &Arc<AtomicUsize>,
    message: T,
) -> Result<(), Full> {
    let bytes = message.weight();
    let before = taken.fetch_add(bytes, Ordering::Relaxed);
    let room = Room { taken: taken.clone(), bytes };
    if before > 0 && before + bytes > QUEUE_BYTES {
        return Err(Full);
    }
    match queue.try_send(Waiting { message, _room: room }) {
        Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
    }
}

/// One live stream. Dropping it ends both directions: the queue ends what goes out, the guard what comes in.
#[derive(Debug)]
pub(crate) struct Peer<T> {
    queue: mpsc::Sender<Waiting<T>>,
    /// How much waits in it. In bytes.
    taken: Arc<AtomicUsize>,
    _open: oneshot::Sender<()>,
}

impl<T: Queued> Peer<T> {
    pub(crate) fn new(queue: mpsc::Sender<Waiting<T>>, open: oneshot::Sender<()>) -> Self {
        Self { queue, taken: Arc::default(), _open: open }
    }

    /// For what the door itself says.
    pub(crate) fn aside(&self) -> Aside<T> {
        Aside { queue: self.queue.downgrade(), taken: self.taken.clone() }
    }

    fn send(&self, message: T) -> Result<(), Full> {
        put(&self.queue, &self.taken, message)
    }
}

/// The way to a peer for what its door says by itself: it takes room as all else does, and does not keep the stream open.
#[derive(Debug)]
pub struct Aside<T> {
    queue: mpsc::WeakSender<Waiting<T>>,
    taken: Arc<AtomicUsize>,
}

impl<T: Queued> Aside<T> {
    /// Errors: the peer does not read what it is told, or the stream has ended.
    pub(crate) fn send(&self, message: T) -> Result<(), Full> {
        put(&self.queue.upgrade().ok_or(Full)?, &self.taken, message)
    }
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
                if let Some(Err(Full)) = self.agents.get(&link).map(|peer| peer.send(message)) {
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

    pub(crate) fn send_framework(&mut self, stream: StreamId, message: ToFramework) {
        let Some(peer) = self.frameworks.get(&stream) else { return };
        if peer.send(message) == Err(Full) {
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
    use lonja_model::scheduler::{Refusal, RefusalCode};

    use super::*;

    fn peer<T: Queued>(places: usize) -> (Peer<T>, mpsc::Receiver<Waiting<T>>) {
        let (queue, reader) = mpsc::channel(places);
        (Peer::new(queue, oneshot::channel().0), reader)
    }

    fn bounded<T: Queued>(large: impl Fn() -> T) {
        let (peer, mut reader) = peer(FRAMEWORK_QUEUE);
        assert!((0..3).all(|_| peer.send(large()).is_ok()));
        assert_eq!(peer.send(large()), Err(Full), "with what stands around it, the fourth is too much");
        drop(reader.try_recv().unwrap());
        assert_eq!(peer.send(large()), Ok(()));
        while reader.try_recv().is_ok() {}
        assert_eq!(peer.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_room_comes_back_as_it_is_taken_out() {
        let agent = lonja_model::AgentId::new("a").unwrap();
        let executor = lonja_model::ids::ExecutorId::new("e").unwrap();
        let framework = lonja_model::FrameworkId::new("f").unwrap();
        let data = || vec![0; QUEUE_BYTES / 4];
        bounded(|| {
            ToFramework::Event(Event::Message {
                agent: agent.clone(),
                executor: executor.clone(),
                data: data(),
            })
        });
        bounded(|| ToAgent::Message {
            framework: framework.clone(),
            executor: executor.clone(),
            data: data(),
        });
    }

    #[test]
    fn what_the_door_says_by_itself_takes_room_too() {
        let (peer, _reader) = peer(FRAMEWORK_QUEUE);
        let aside = peer.aside();
        let refused = || {
            let long = "x".repeat(QUEUE_BYTES / 2);
            ToFramework::Answer(1, Err(Refusal::new(RefusalCode::InvalidArgument, long)))
        };
        assert_eq!(aside.send(refused()), Ok(()));
        assert_eq!(aside.send(refused()), Err(Full));
        drop(peer);
        assert_eq!(aside.send(ToFramework::Event(Event::Heartbeat)), Err(Full));
    }

    #[test]
    fn what_is_long_weighs_what_it_is_long() {
        let long = "x".repeat(10_000);
        let status = lonja_model::operation::OperationStatus {
            operation: None,
            state: lonja_model::operation::OperationState::Failed,
            message: Some(long.clone()),
            converted: lonja_model::Resources::new(),
            update: None,
            agent: None,
        };
        assert!(ToFramework::Event(Event::OperationUpdate(Box::new(status))).weight() > 10_000);
        assert!(ToFramework::Event(Event::Error(long.clone())).weight() > 10_000);
        assert!(ToAgent::Refused { reason: long, permanent: true }.weight() > 10_000);
    }
}
