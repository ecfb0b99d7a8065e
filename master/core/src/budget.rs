//! Budgets: so much at once, and so much a second in the long run.

use std::time::Duration;

use lonja_model::Timestamp;

/// A token bucket that fills by the time it is told. Exact: it counts in parts of a token of which one comes
/// back each nanosecond and unit of rate.
#[derive(Clone, Debug)]
pub struct Budget {
    parts: u128,
    capacity: u128,
    rate: u128,
    parts_per_token: u128,
    filled: Timestamp,
}

impl Budget {
    /// A full budget of `burst`, to which `rate` come back every `period`.
    pub fn new(now: Timestamp, burst: u32, rate: u32, period: Duration) -> Self {
        let parts_per_token = period.as_nanos().max(1);
        let capacity = u128::from(burst) * parts_per_token;
        Self { parts: capacity, capacity, rate: u128::from(rate), parts_per_token, filled: now }
    }

    /// Takes one; `false` if none is left.
    pub fn take(&mut self, now: Timestamp) -> bool {
        self.take_many(now, 1)
    }

    /// Takes so many, or all that the budget ever holds if that is less; `false`, and takes none, if they are not there.
    pub fn take_many(&mut self, now: Timestamp, count: u32) -> bool {
        let gained = now.since(self.filled).as_nanos().saturating_mul(self.rate);
        self.parts = self.parts.saturating_add(gained).min(self.capacity);
        self.filled = self.filled.max(now);
        match self.parts.checked_sub((u128::from(count) * self.parts_per_token).min(self.capacity)) {
            Some(left) => {
                self.parts = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_comes_back() {
        let start = Timestamp::ZERO;
        let mut budget = Budget::new(start, 2, 10, Duration::from_secs(1));
        assert!(budget.take(start) && budget.take(start) && !budget.take(start));
        let later = start + Duration::from_millis(100);
        assert!(budget.take(later) && !budget.take(later));
        let mut slow = Budget::new(start, 1, 1, Duration::from_secs(60));
        assert!(slow.take(start) && !slow.take(start + Duration::from_secs(59)));
        assert!(slow.take(start + Duration::from_secs(60)));
        let mut many = Budget::new(start, 5, 1, Duration::from_secs(1));
        assert!(many.take_many(start, 3) && !many.take_many(start, 3) && many.take_many(start, 2));
        assert!(!many.take_many(start + Duration::from_secs(4), 9), "a large one waits for a full budget");
        assert!(
            many.take_many(start + Duration::from_secs(5), 9) && !many.take(start + Duration::from_secs(5))
        );
        let much_later = start + Duration::from_secs(3600);
        assert!(budget.take(much_later) && budget.take(much_later) && !budget.take(much_later));
    }
}
