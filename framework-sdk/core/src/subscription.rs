//! Connecting, subscribing, noticing silence, coming back.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::draws::Draws;

/// The first wait before another try to connect, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Heartbeats that may be missed before the connection counts as dead.
const MISSED_HEARTBEATS: u32 = 5;

/// A master that promises more heartbeats than this is not held to it.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(100);

/// How long a SUBSCRIBE may go unanswered.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// To be made at this time.
    Waiting(Timestamp),
    /// Being made by the shell.
    Connecting,
    /// SUBSCRIBE is sent; answered by then.
    Subscribing(Timestamp),
    /// Stands; the next word of the master comes by then.
    Subscribed { silent_at: Timestamp, heartbeat: Duration },
    /// Over for good.
    Closed,
}

/// The connection, and how often it failed in a row.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) link: Link,
    failures: u32,
    /// How many masters are tried in turn.
    pub(crate) masters: u32,
    draws: Draws,
}

impl Subscription {
    pub(crate) fn new(now: Timestamp, seed: u64) -> Self {
        Self { link: Link::Waiting(now), failures: 0, masters: 1, draws: Draws::new(seed) }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        matches!(self.link, Link::Subscribed { .. })
    }

    /// Is SUBSCRIBE on its way, or about to be?
    pub(crate) fn is_subscribing(&self) -> bool {
        matches!(self.link, Link::Connecting | Link::Subscribing(_))
    }

    pub(crate) fn connected(&mut self, now: Timestamp) {
        self.link = Link::Subscribing(now + SUBSCRIBE_TIMEOUT);
    }

    pub(crate) fn subscribed(&mut self, now: Timestamp, heartbeat: Duration) {
        let heartbeat = heartbeat.max(LEAST_HEARTBEAT);
        self.link = Link::Subscribed { silent_at: silent_at(now, heartbeat), heartbeat };
    }

    /// The master said something.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        if let Link::Subscribed { heartbeat, .. } = self.link {
            // A subscription that is heard of has come to stay: one that ends as soon as it stands is a failure.
            self.failures = 0;
            self.link = Link::Subscribed { silent_at: silent_at(now, heartbeat), heartbeat };
        }
    }

    /// The connection is lost or was never made: another try after a wait that doubles, with jitter, so
    /// that frameworks do not come back all at once. It doubles once each master was tried.
    pub(crate) fn lost(&mut self, now: Timestamp) {
        let wait = (BACKOFF.0 * 2_u32.saturating_pow((self.failures / self.masters).min(10))).min(BACKOFF.1);
        self.failures = self.failures.saturating_add(1);
        let jitter = wait / 256 * u32::from(self.draws.byte());
        self.link = Link::Waiting(now + wait / 2 + jitter / 2);
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        match self.link {
            Link::Waiting(at) | Link::Subscribing(at) | Link::Subscribed { silent_at: at, .. } => Some(at),
            Link::Connecting | Link::Closed => None,
        }
    }
}

fn silent_at(now: Timestamp, heartbeat: Duration) -> Timestamp {
    now + heartbeat.saturating_mul(MISSED_HEARTBEATS)
}
