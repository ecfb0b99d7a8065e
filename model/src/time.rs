//! The only notion of an instant.
//!
//! A core is told the time, it never asks (`docs/design.md`, D2). Production counts on from the wall
//! clock at start by a monotonic clock, so that a jump of the wall clock changes no decision (INV-38);
//! the simulator counts from zero.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant: nanoseconds since the Unix epoch in production, since the start of the run in simulation.
/// Never runs backwards within one process. Good to the year 2554.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The earliest instant.
    pub const ZERO: Self = Self(0);

    /// The instant `nanos` nanoseconds after [`Timestamp::ZERO`].
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since [`Timestamp::ZERO`].
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    /// Saturates at the latest instant: a timeout of centuries never fires.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    /// Saturates at [`Timestamp::ZERO`].
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The earlier of two deadlines, where `None` is never.
pub fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: Timestamp = Timestamp::from_nanos(u64::MAX);

    #[test]
    fn time_stops_at_both_ends() {
        assert_eq!(LAST + Duration::from_nanos(1), LAST);
        assert_eq!(LAST + Duration::MAX, LAST);
        assert_eq!(Timestamp::ZERO + Duration::MAX, LAST);
        assert_eq!(Timestamp::ZERO - Duration::from_nanos(1), Timestamp::ZERO);
        assert_eq!(LAST - Duration::MAX, Timestamp::ZERO);
        assert_eq!(Timestamp::ZERO.since(LAST), Duration::ZERO);
        assert_eq!(LAST.since(Timestamp::ZERO), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn never_is_later_than_any_deadline() {
        let one = Some(Timestamp::from_nanos(1));
        assert_eq!([earliest(one, None), earliest(None, one), earliest(one, Some(LAST))], [one; 3]);
        assert_eq!(earliest(None, None), None);
    }

    proptest! {
        #[test]
        fn what_was_waited_is_what_passed(start in any::<u64>(), nanos in any::<u64>()) {
            let (start, wait) = (Timestamp::from_nanos(start), Duration::from_nanos(nanos));
            let end = start + wait;
            prop_assert!(end >= start && end.since(start) <= wait);
            let is_in_reach = start.as_nanos().checked_add(nanos).is_some();
            prop_assert_eq!(end.since(start) == wait, is_in_reach || nanos == 0);
            prop_assert_eq!(end - end.since(start), start);
        }
    }
}
