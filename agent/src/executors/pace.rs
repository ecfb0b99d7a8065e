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

    /// One more call comes; returns once it may be taken in: at once, without a timer, unless it is one too many.
    pub(super) async fn pause(&mut self) {
        let wait = self.wait(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// One more call comes at `now`; how long it waits until it is taken in. Meanwhile the transport holds the executor
    /// back.
    fn wait(&mut self, now: Instant) -> Duration {
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

    #[tokio::test]
    async fn who_is_not_too_fast_is_not_made_to_wait_for_a_timer() {
        use futures::FutureExt;
        let mut pace = Pace::new(Instant::now());
        assert_eq!(pace.pause().now_or_never(), Some(()));
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
