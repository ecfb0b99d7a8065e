//! Dominant shares, compared exactly.
//!
//! The dominant share of whoever shares is its largest fraction of any one resource of the cluster, divided by its
//! weight. No rounding decides who is served: fractions are compared as fractions. A floating point number beside
//! each tells at once where they lie clearly apart, which is nearly always.
//!
//! All that is allocated counts, reserved and revocable too, except names that the operator has excluded. A resource
//! of which the cluster has nothing does not count.
//!
//! Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011, section 4; Mesos, DRF sorter.

use std::cmp::Ordering;

use lonja_model::resources::Scalar;

use crate::amounts::Sums;

/// A dominant share, as an exact fraction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    part: u128,
    /// Above 0.
    whole: u128,
    /// About part / whole, off by far less than [`CLEARLY`].
    about: f64,
}

/// Two shares whose approximations differ by more than this fraction of the larger differ in truth.
const CLEARLY: f64 = 1e-9;

impl Share {
    pub(crate) const NOTHING: Self = Self { part: 0, whole: 1, about: 0.0 };

    pub(crate) fn new(part: u128, whole: u128) -> Self {
        Self { part, whole, about: about(part) / about(whole) }
    }

    /// `weight` in thousandths, above 0; `totals` of the kinds that count. O(kinds).
    pub(crate) fn dominant(allocated: &Sums, weight: Scalar, totals: &Sums) -> Self {
        let weight = u128::from(weight.thousandths());
        let mut dominant = Self::NOTHING;
        for (kind, part) in allocated.iter() {
            let total = totals.get(kind);
            if total == 0 {
                continue;
            }
            // The weight is the same for all kinds, and comes in at the end.
            let share = Self { part, whole: total, about: about(part) / about(total) };
            if share > dominant {
                dominant = share;
            }
        }
        if dominant.part == 0 {
            return Self::NOTHING;
        }
        Self {
            whole: dominant.whole.saturating_mul(weight),
            about: dominant.about / about(weight),
            ..dominant
        }
    }

    /// In millionths, rounded down, of a share that was made with the weight 1.
    pub(crate) fn millionths(self) -> u64 {
        let millionths = self.part.saturating_mul(1_000_000_000) / self.whole;
        u64::try_from(millionths).unwrap_or(u64::MAX)
    }

    /// By cross-multiplication; where that would overflow, by the whole parts and then the
    /// reciprocals of what is left, as in Euclid's algorithm.
    fn exactly(&self, other: &Self) -> Ordering {
        let (mut a, mut b, mut c, mut d) = (self.part, self.whole, other.part, other.whole);
        loop {
            if let (Some(left), Some(right)) = (a.checked_mul(d), c.checked_mul(b)) {
                return left.cmp(&right);
            }
            let (a_rest, c_rest) = (a % b, c % d);
            match (a / b).cmp(&(c / d)) {
                Ordering::Equal if a_rest == 0 || c_rest == 0 => return a_rest.cmp(&c_rest),
                Ordering::Equal => (a, b, c, d) = (d, c_rest, b, a_rest),
                unequal @ (Ordering::Less | Ordering::Greater) => return unequal,
            }
        }
    }
}

/// As a floating point number, quickly where it is not huge.
#[expect(clippy::cast_precision_loss, reason = "an approximation that only decides where it is clear")]
fn about(number: u128) -> f64 {
    match u64::try_from(number) {
        Ok(number) => number as f64,
        Err(_) => about_huge(number),
    }
}

/// Apart and not inlined, or it would be done for small numbers too, only to be thrown away.
#[cold]
#[inline(never)]
#[expect(clippy::cast_precision_loss, reason = "an approximation that only decides where it is clear")]
fn about_huge(number: u128) -> f64 {
    number as f64
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        if (self.part, self.whole) == (other.part, other.whole) {
            return Ordering::Equal;
        }
        let apart = (self.about - other.about).abs();
        if apart > CLEARLY * self.about.max(other.about) {
            return self.about.total_cmp(&other.about);
        }
        self.exactly(other)
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fractions_are_compared_exactly_however_large() {
        let share = Share::new;
        assert!(share(1, 3) < share(334, 1000));
        assert_eq!(share(1, 2), share(u128::MAX / 4, (u128::MAX / 4) * 2));
        assert!(share(u128::MAX - 2, u128::MAX - 1) < share(u128::MAX - 1, u128::MAX));
        assert!(share(u128::MAX, u128::MAX - 1) > share(u128::MAX, u128::MAX));
        assert_eq!(share(u128::MAX, u128::MAX), share(1, 1));
    }

    proptest! {
        #[test]
        fn the_quick_answer_is_the_exact_one(
            a in 0..=u128::MAX, b in 1..=u128::MAX, c in 0..=u128::MAX, d in 1..=u128::MAX, near in any::<bool>(),
        ) {
            let one = Share::new(a, b);
            let other = if near { Share::new(a.saturating_add(c % 3), b) } else { Share::new(c, d) };
            prop_assert_eq!(one.cmp(&other), one.exactly(&other));
        }
    }
}
