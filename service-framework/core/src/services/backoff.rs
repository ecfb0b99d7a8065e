//! The delay of launches after failures.
//!
//! It begins at the failure and holds for all instances of the app or pod, and it is forgotten when nothing has failed for as
//! long as the longest delay. It is kept in memory alone: a daemon that begins anew tries at once.
//!
//! Source: Marathon's launch queue, with one difference: kills for bad health count as failures, or an app that is never
//! healthy would be launched for ever without a pause.

use std::time::Duration;

use lonja_model::Timestamp;

use crate::definition::{Backoff, Version};

/// The delay of one app or pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delay {
    /// Of which configuration; another has none.
    config: Version,
    /// The last.
    length: Duration,
    /// No launch before.
    until: Timestamp,
    /// The last failure or launch.
    reference: Timestamp,
}

/// After a failure of an instance of this configuration.
pub(crate) fn failed(
    delay: Option<Delay>,
    now: Timestamp,
    backoff: &Backoff,
    config: Version,
) -> Option<Delay> {
    if backoff.initial.is_zero() {
        return None;
    }
    let last = delay.filter(|delay| delay.config == config && now <= delay.reference + backoff.max);
    let length = match last {
        None => backoff.initial,
        Some(last) => {
            let longer = last.length.as_secs_f64() * backoff.factor;
            Duration::try_from_secs_f64(longer).unwrap_or(backoff.max)
        }
    };
    let length = length.min(backoff.max);
    Some(Delay { config, length, until: now + length, reference: now })
}

impl Delay {
    /// One of this configuration was launched, or lives: what was remembered stays so for longer.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.reference = self.reference.max(now);
    }

    /// No launch of this configuration before this; none: at once.
    pub(crate) fn until(&self, now: Timestamp, config: Version) -> Option<Timestamp> {
        (self.config == config && self.until > now).then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(secs)
    }

    const V: Version = Version(1);

    #[test]
    fn each_failure_makes_the_delay_longer_up_to_its_bound() {
        let backoff = Backoff::default();
        let mut delay = None;
        let mut failures = 0;
        while delay.as_ref().is_none_or(|delay: &Delay| delay.length < backoff.max) {
            delay = failed(delay, at(failures), &backoff, V);
            failures += 1;
        }
        assert_eq!(failures, 42, "the first is the initial one, and 41 more reach the bound");
        let delay = failed(delay, at(100), &backoff, V).unwrap();
        assert_eq!(delay.until(at(100), V), Some(at(400)));
    }

    #[test]
    fn a_delay_is_forgotten_after_its_bound_without_failures_or_launches() {
        let backoff = Backoff { initial: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(10) };
        let mut delay = failed(None, at(0), &backoff, V).unwrap();
        delay.advance(at(5));
        let second = failed(Some(delay.clone()), at(15), &backoff, V).unwrap();
        assert_eq!(second.length, Duration::from_secs(2));
        let first = failed(Some(delay), at(16), &backoff, V).unwrap();
        assert_eq!(first.length, Duration::from_secs(1));
    }

    #[test]
    fn another_configuration_and_none_are_not_delayed() {
        let delay = failed(None, at(0), &Backoff::default(), V).unwrap();
        assert!(delay.until(at(0), V).is_some() && delay.until(at(0), Version(2)).is_none());
        let off = Backoff { initial: Duration::ZERO, ..Backoff::default() };
        assert_eq!(failed(None, at(0), &off, V), None);
    }
}
