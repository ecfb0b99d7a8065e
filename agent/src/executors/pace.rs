//! How fast one executor may speak.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lonja_model::ContainerId;

/// Calls that are taken in within one second, and at once.
const MOST: u32 = 2_000;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts what each executor says, over all of its connections and doors.
#[derive(Default)]
pub(super) struct Paces(Mutex<BTreeMap<ContainerId, Pace>>);

impl Paces {
    /// One more call of the executor in this container comes; returns once it may be taken in: at once, without a timer, unless
    /// it is one too many.
    pub(super) async fn pause(&self, container: &ContainerId) {
        let wait = self.wait(container, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn wait(&self, container: &ContainerId, now: Instant) -> Duration {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = paces.get_mut(container) {
            return pace.wait(now);
        }
        // Who has been silent for long enough counts from nothing: there are no more than have just spoken.
        paces.retain(|_, pace| !pace.is_over(now));
        paces.entry(container.clone()).or_insert_with(|| Pace::new(now)).wait(now)
    }
}

/// Counts what one executor says.
struct Pace {
    since: Instant,
    calls: u32,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { since: now, calls: 0 }
    }

    /// Has its window passed?
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }

    /// One more call comes at `now`; how long it waits until it is taken in. Meanwhile the transport holds the executor
    /// back.
    fn wait(&mut self, now: Instant) -> Duration {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.calls += 1;
        if self.calls > MOST {
            *self = Self { since: self.since + WINDOW, calls: 1 };
        }
        // Later than now where others wait already.
        self.since.saturating_duration_since(now)
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
        let container = ContainerId::new("c1").unwrap();
        assert_eq!(Paces::default().pause(&container).now_or_never(), Some(()));
    }

    #[test]
    fn who_speaks_over_many_connections_is_held_back_over_all_of_them() {
        let now = Instant::now();
        let paces = Paces::default();
        let [fast, other] = ["c1", "c2"].map(|name| ContainerId::new(name).unwrap());
        for window in 0..3 {
            for _ in 0..MOST {
                assert_eq!(paces.wait(&fast, now), window * WINDOW);
            }
        }
        assert_eq!(paces.wait(&other, now), Duration::ZERO);
        assert_eq!(paces.wait(&other, now + 9 * WINDOW), Duration::ZERO);
        assert_eq!(paces.wait(&fast, now + 9 * WINDOW), Duration::ZERO);
        let third = ContainerId::new("c3").unwrap();
        let _none = paces.wait(&third, now + 18 * WINDOW);
        assert_eq!(paces.0.lock().unwrap().len(), 1, "who has long been silent is forgotten");
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
