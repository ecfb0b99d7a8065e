//! How fast one executor may speak.

use std::time::{Duration, Instant};

/// Calls that are taken in within one second, and at once.
const MOST: u32 = 2_000;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts what one executor says.
pub(super) struct Pace {
    since: Instant,
    calls: u32,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, calls: 0 }
    }

    /// One more call comes at `now`; how long it waits until it is taken in. Meanwhile the transport holds the executor
    /// back.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        self.calls += 1;
        if self.calls <= MOST {
            return Duration::ZERO;
        }
        let next = self.since + WINDOW;
        *self = Self { since: next, calls: 1 };
        next.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_fast_is_held_back_and_never_refused() {
        let mut now = Instant::now();
        let started = now;
        let mut pace = Pace::new(now);
        for _ in 0..MOST {
            assert_eq!(pace.wait(now), Duration::ZERO);
        }
        for _ in 0..=MOST {
            now += pace.wait(now);
        }
        assert_eq!(now - started, 2 * WINDOW);
    }

    #[test]
    fn who_was_silent_may_speak_at_once() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..MOST {
            let _none = pace.wait(now);
        }
        assert_eq!(pace.wait(now + WINDOW), Duration::ZERO);
    }
}
