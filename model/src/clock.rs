//! The clock of the shells. Cores never see it: they are told the time (`docs/design.md`, D2), which is why
//! it stands behind the feature `clock`.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where the time comes from")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// Counts on from the wall clock at start by the monotonic clock, so that no jump of the wall clock
/// changes a decision (INV-38).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { origin: Timestamp::ZERO + since_epoch, started: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed()
    }

    /// When a timer should fire for `deadline`.
    pub fn instant(&self, deadline: Timestamp) -> Instant {
        self.started + deadline.since(self.origin)
    }
}
