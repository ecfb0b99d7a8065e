//! Budgets: so much at once, and so much a second in the long run.

use std::time::Duration;

use lonja_model::Timestamp;

/// A token bucket that fills by the time it is told. Counts in billionths of a token.
#[derive(Clone, Debug)]
pub struct Budget {
    tokens: u128,
    capacity: u128,
    per_nano: u128,
    filled: Timestamp,
}

const ONE: u128 = 1_000_000_000;

impl Budget {
    /// A full budget of `burst`, to which `rate` come back every `period`.
    pub fn new(now: Timestamp, burst: u32, rate: u32, period: Duration) -> Self {
        let capacity = u128::from(burst) * ONE;
        let per_nano = u128::from(rate) * ONE / period.as_nanos().max(1);
        Self { tokens: capacity, capacity, per_nano, filled: now }
    }

    /// Takes one; `false` if none is left.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let gained = now.since(self.filled).as_nanos().saturating_mul(self.per_nano);
        self.tokens = self.tokens.saturating_add(gained).min(self.capacity);
        self.filled = self.filled.max(now);
        match self.tokens.checked_sub(ONE) {
            Some(left) => {
                self.tokens = left;
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
        let much_later = start + Duration::from_secs(3600);
        assert!(budget.take(much_later) && budget.take(much_later) && !budget.take(much_later));
    }
}
