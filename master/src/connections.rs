//! Live streams, and what goes out on them.
//!
//! Each stream has a bounded queue. A peer that does not keep up is cut off, never waited for: it costs
//! itself its connection and the master a bounded amount of memory (INV-45).

use std::collections::BTreeMap;

use lonja_master_core::{LinkId, Outbound, StreamId};
use lonja_model::link::ToAgent;
use lonja_model::scheduler::{CallResult, Event};
use tokio::sync::mpsc;

/// Messages that may wait for one agent. An agent has at most as many tasks as resources.
pub(crate) const AGENT_QUEUE: usize = 4_096;

/// Messages that may wait for one framework.
pub(crate) const FRAMEWORK_QUEUE: usize = 16_384;

/// What goes out on a framework's stream.
#[derive(Clone, Debug)]
pub enum ToFramework {
    /// An event.
    Event(Event),
    /// The answer to the call of this number.
    Answer(u64, CallResult),
}

/// All live streams.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    frameworks: BTreeMap<StreamId, mpsc::Sender<ToFramework>>,
    agents: BTreeMap<LinkId, mpsc::Sender<ToAgent>>,
}

impl Connections {
    pub(crate) fn open_stream(&mut self, stream: StreamId, sender: mpsc::Sender<ToFramework>) {
        self.frameworks.insert(stream, sender);
    }

    pub(crate) fn open_link(&mut self, link: LinkId, sender: mpsc::Sender<ToAgent>) {
        self.agents.insert(link, sender);
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
                let sent = self.agents.get(&link).map(|sender| sender.try_send(message));
                if let Some(Err(mpsc::error::TrySendError::Full(_))) = sent {
                    tracing::warn!(link = link.0, "agent does not keep up, its link is cut");
                    self.agents.remove(&link);
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
        let sent = self.frameworks.get(&stream).map(|sender| sender.try_send(message));
        if let Some(Err(mpsc::error::TrySendError::Full(_))) = sent {
            tracing::warn!(stream = stream.0, "framework does not keep up, its stream is cut");
            self.frameworks.remove(&stream);
        }
    }
}
