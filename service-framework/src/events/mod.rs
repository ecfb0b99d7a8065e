//! The stream of events: what the services tell, and what happens at the interface, for all who listen.
//!
//! Invariants
//! - A listener gets every event that it asked for from its attachment on, or is closed: one that falls behind by more than
//!   [`BEHIND`] events, one that reads nothing for half a minute while there is something to read, and all when the services
//!   themselves were not heard in time.
//! - Nobody waits for a listener.
//!
//! Source: Marathon's `/v2/events`.

pub(crate) mod json;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use lonja_model::clock::Clock;
use lonja_sdk::Link;
use lonja_services_core::Services;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// Events that a listener may be behind.
pub(crate) const BEHIND: usize = 1_024;

/// One event as it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// An event of this type, framed.
    Event(&'static str, Bytes),
    /// Some were lost before they came here.
    Lost,
}

/// Tells all listeners. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Sent>,
    clock: Clock,
    told: Arc<AtomicU64>,
}

impl Hub {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { sender: broadcast::Sender::new(BEHIND), clock, told: Arc::default() }
    }

    /// Passes on what the services tell, until they end.
    pub(crate) async fn pass_on(self, link: Link<Services>) {
        let mut events = link.events();
        while let Some(event) = events.next().await {
            match event {
                // Nobody listens: then it need not be written.
                Ok(_) if self.sender.receiver_count() == 0 => {}
                Ok(event) => {
                    if let Some((kind, fields)) = json::of(&event) {
                        self.send(kind, &json::line(kind, event.at, fields));
                    }
                }
                Err(missed) => {
                    tracing::warn!(lost = missed.0, "events lost: all streams of events are closed");
                    self.close();
                }
            }
        }
        self.close();
    }

    /// Closes all streams.
    pub(crate) fn close(&self) {
        let _nobody = self.sender.send(Sent::Lost);
    }

    /// Tells of something at the interface itself, at this moment.
    pub(crate) fn tell(&self, kind: &'static str, fields: Value) {
        self.send(kind, &json::line(kind, self.clock.now(), fields));
    }

    fn send(&self, kind: &'static str, line: &str) {
        self.told.fetch_add(1, Ordering::Relaxed);
        // Nobody may be listening.
        let _nobody = self.sender.send(Sent::Event(kind, Bytes::from(frame(kind, line))));
    }

    /// How many events were told, and to how many listeners now.
    pub(crate) fn counts(&self) -> (u64, usize) {
        (self.told.load(Ordering::Relaxed), self.sender.receiver_count())
    }

    /// Listens from now on. All listeners hear of it, this one too; and of its end.
    pub(crate) fn listen(&self, from: IpAddr) -> Listener {
        let queue = self.sender.subscribe();
        self.tell("event_stream_attached", json!({ "remoteAddress": from.to_string() }));
        Listener { queue, _attached: Attached { hub: self.clone(), from } }
    }
}

/// One who listens.
pub(crate) struct Listener {
    queue: broadcast::Receiver<Sent>,
    _attached: Attached,
}

impl Listener {
    /// The next event. None: it is over, because there will be no more, or because some were lost.
    pub(crate) async fn next(&mut self) -> Option<(&'static str, Bytes)> {
        match self.queue.recv().await {
            Ok(Sent::Event(kind, frame)) => Some((kind, frame)),
            Ok(Sent::Lost) | Err(_) => None,
        }
    }
}

/// Says at its end that a listener has gone.
struct Attached {
    hub: Hub,
    from: IpAddr,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.hub.tell("event_stream_detached", json!({ "remoteAddress": self.from.to_string() }));
    }
}

/// As it goes over the wire.
fn frame(kind: &str, line: &str) -> String {
    format!("event: {kind}\r\ndata: {line}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn all_hear_of_who_comes_and_goes() {
        let hub = Hub::new(Clock::start());
        let mut first = hub.listen(HERE);
        assert_eq!(first.next().await.map(|(kind, _)| kind), Some("event_stream_attached"));
        let mut second = hub.listen(HERE);
        for listener in [&mut first, &mut second] {
            let (kind, frame) = listener.next().await.unwrap_or(("none", Bytes::new()));
            assert_eq!(kind, "event_stream_attached");
            let text = String::from_utf8_lossy(&frame).into_owned();
            assert!(
                text.starts_with("event: event_stream_attached\r\ndata: {") && text.ends_with("}\r\n\r\n"),
                "{text}"
            );
        }
        drop(second);
        assert_eq!(first.next().await.map(|(kind, _)| kind), Some("event_stream_detached"));
    }

    #[tokio::test]
    async fn one_who_falls_behind_too_far_is_closed() {
        let hub = Hub::new(Clock::start());
        let mut slow = hub.listen(HERE);
        for _ in 0..=BEHIND {
            hub.tell("app_terminated_event", json!({ "appId": "/a" }));
        }
        assert!(slow.next().await.is_none());
    }
}
