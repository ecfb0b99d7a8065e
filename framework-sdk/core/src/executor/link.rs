//! Connecting with the agent, subscribing, coming back, and for how long to try.
//!
//! An agent that restarts waits for its executors for a few seconds only, so pauses are short: they double from a
//! twentieth of a second to half of what the agent allows, and vary, so that executors do not come back all at once.

use std::time::Duration;

use lonja_model::Timestamp;
use lonja_model::time::earliest;

use crate::draws::Draws;

/// The first pause before another try to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long a SUBSCRIBE may go unanswered.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(15);

/// A sign of life is sent this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A subscription that stood for so long had come to stay.
const STEADY: Duration = Duration::from_secs(5);

/// The first subscription is tried for this long at least: as long as agents wait for it.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be made at this time.
    Waiting(Timestamp),
    /// Being made by the shell.
    Connecting,
    /// SUBSCRIBE is sent; answered by then.
    Subscribing(Timestamp),
    /// Stands; the next sign of life is due then.
    Subscribed(Timestamp),
    /// Over for good.
    Closed,
}

/// The connection, and how often it failed in a row.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) state: State,
    longest_pause: Duration,
    failures: u32,
    /// The last subscription stands, or stood, since then.
    stands_since: Timestamp,
    /// Without a subscription since then.
    away: Option<Timestamp>,
    patience: Duration,
    recovery_timeout: Duration,
    draws: Draws,
}

impl Link {
    pub(super) fn new(
        now: Timestamp,
        recovery_timeout: Duration,
        longest_pause: Duration,
        seed: u64,
    ) -> Self {
        Self {
            state: State::Waiting(now),
            longest_pause: longest_pause.max(FIRST_PAUSE),
            failures: 0,
            stands_since: now,
            away: Some(now),
            patience: recovery_timeout.max(FIRST_PATIENCE),
            recovery_timeout,
            draws: Draws::new(seed),
        }
    }

    pub(super) fn is_subscribed(&self) -> bool {
        matches!(self.state, State::Subscribed(_))
    }

    /// Has SUBSCRIBE been sent on a connection that is there?
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Subscribing(_) | State::Subscribed(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn connected(&mut self, now: Timestamp) {
        self.state = State::Subscribing(now + SUBSCRIBE_TIMEOUT);
    }

    pub(super) fn subscribed(&mut self, now: Timestamp) {
        if !self.is_subscribed() {
            self.stands_since = now;
        }
        self.state = State::Subscribed(now + HEARTBEAT);
        self.away = None;
        self.patience = self.recovery_timeout;
    }

    /// The connection is lost or was never made: another try after a pause. A subscription that ends as soon as it
    /// stands is a failure as well.
    pub(super) fn lost(&mut self, now: Timestamp) {
        if self.is_subscribed() && now.since(self.stands_since) >= STEADY {
            self.failures = 0;
        }
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        let pause = pause.min((self.longest_pause / 2).max(FIRST_PAUSE));
        self.failures = self.failures.saturating_add(1);
        let jitter = pause / 256 * u32::from(self.draws.byte());
        self.state = State::Waiting(now + pause / 2 + jitter / 2);
        self.away.get_or_insert(now);
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        self.away = None;
    }

    /// When the agent has been away for too long.
    pub(super) fn gives_up_at(&self) -> Option<Timestamp> {
        self.away.map(|since| since + self.patience)
    }

    /// How long the agent has been away.
    pub(super) fn away_for(&self, now: Timestamp) -> Duration {
        self.away.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Waiting(at) | State::Subscribing(at) | State::Subscribed(at) => Some(at),
            State::Connecting | State::Closed => None,
        }
    }

    /// The next deadline, with that of patience.
    pub(super) fn next_deadline_with_patience(&self) -> Option<Timestamp> {
        earliest(self.next_deadline(), self.gives_up_at())
    }

    /// Sends a sign of life now, if it is due.
    pub(super) fn beats(&mut self, now: Timestamp) -> bool {
        let is_due = matches!(self.state, State::Subscribed(at) if at <= now);
        if is_due {
            self.state = State::Subscribed(now + HEARTBEAT);
        }
        is_due
    }
}
