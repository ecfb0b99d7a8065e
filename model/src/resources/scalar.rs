//! Amounts of one scalar resource.

use std::fmt;

/// An amount in thousandths of its unit (0.001 CPU, 0.001 MiB), at most [`Scalar::MAX`].
///
/// An integer, so that sums are exact: a million launches and releases end where they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(u64);

/// Why a number is not an amount.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidScalar {
    /// Not a number, or without end.
    #[error("{0} is not a finite number; give a number such as 4 or 0.5")]
    NotFinite(f64),
    /// Below zero.
    #[error("{0} is negative; give 0 or more")]
    Negative(f64),
    /// Above [`Scalar::MAX`].
    #[error("{0} is above the largest amount, {max}", max = Scalar::MAX)]
    TooLarge(f64),
    /// Not digits with at most one point.
    #[error("{0:?} is not a decimal number such as 4 or 0.5")]
    NotDecimal(String),
}

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount, 2^51 - 1 thousandths: up to there a double of units, as the wire has it, comes
    /// back as the same thousandths.
    pub const MAX: Self = Self((1 << 51) - 1);

    /// `thousandths` thousandths; `None` above [`Scalar::MAX`].
    pub const fn from_thousandths(thousandths: u64) -> Option<Self> {
        if thousandths <= Self::MAX.0 { Some(Self(thousandths)) } else { None }
    }

    /// `units` whole units; `None` above [`Scalar::MAX`].
    pub const fn from_units(units: u64) -> Option<Self> {
        match units.checked_mul(1000) {
            Some(thousandths) => Self::from_thousandths(thousandths),
            None => None,
        }
    }

    /// The amount in thousandths.
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// The amount in whole units, rounded down.
    pub const fn whole_units(self) -> u64 {
        self.0 / 1000
    }

    /// The amount in a double of the wire, rounded to thousandths. `-0.0` is zero.
    pub fn from_f64(value: f64) -> Result<Self, InvalidScalar> {
        if !value.is_finite() {
            return Err(InvalidScalar::NotFinite(value));
        }
        if value < 0.0 {
            return Err(InvalidScalar::Negative(value));
        }
        let thousandths = (value * 1000.0).round();
        #[expect(clippy::cast_precision_loss, reason = "MAX is below 2^53, where whole doubles are exact")]
        if thousandths > Self::MAX.0 as f64 {
            return Err(InvalidScalar::TooLarge(value));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative and at most MAX, as just checked"
        )]
        Ok(Self(thousandths as u64))
    }

    /// The amount as a double, in units. [`Scalar::from_f64`] brings back the same amount.
    pub fn to_f64(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "at most MAX, below 2^53, where whole doubles are exact"
        )]
        let thousandths = self.0 as f64;
        thousandths / 1000.0
    }

    /// An amount from decimal text such as `4` or `0.5`, rounded to thousandths.
    pub fn parse(text: &str) -> Result<Self, InvalidScalar> {
        let refuse = || InvalidScalar::NotDecimal(text.chars().take(64).collect());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return Err(refuse());
        }
        if unsigned.len() < text.len() {
            return Err(InvalidScalar::Negative(text.parse().unwrap_or(f64::NEG_INFINITY)));
        }
        let too_large = || InvalidScalar::TooLarge(text.parse().unwrap_or(f64::INFINITY));
        let units: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_large())? };
        let mut digits = fraction.bytes().map(|byte| u64::from(byte - b'0')).chain(std::iter::repeat(0));
        let mut next = || digits.next().unwrap_or(0);
        let below = next() * 100 + next() * 10 + next() + u64::from(next() >= 5);
        let thousandths = units.checked_mul(1000).and_then(|thousandths| thousandths.checked_add(below));
        thousandths.and_then(Self::from_thousandths).ok_or_else(too_large)
    }

    /// The sum; `None` above [`Scalar::MAX`].
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::from_thousandths)
    }

    /// The difference; `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, or zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Scalar {
    /// Without trailing zeros: `4`, `0.5`, `1.234`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / 1000)?;
        match self.0 % 1000 {
            0 => Ok(()),
            below if below % 100 == 0 => write!(f, ".{}", below / 100),
            below if below % 10 == 0 => write!(f, ".{:02}", below / 10),
            below => write!(f, ".{below:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_amounts_from_zero_up_are_taken_from_the_wire() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(Scalar::from_f64(bad), Err(InvalidScalar::NotFinite(_))), "{bad}");
        }
        for bad in [-1.0, -0.0001, -f64::MIN_POSITIVE, f64::MIN] {
            assert!(matches!(Scalar::from_f64(bad), Err(InvalidScalar::Negative(_))), "{bad}");
        }
        for bad in [Scalar::MAX.to_f64() + 0.001, 9_007_199_254_740_993.0, f64::MAX] {
            assert!(matches!(Scalar::from_f64(bad), Err(InvalidScalar::TooLarge(_))), "{bad}");
        }
        assert_eq!(Scalar::from_f64(-0.0), Ok(Scalar::ZERO));
        assert_eq!(Scalar::from_f64(Scalar::MAX.to_f64()), Ok(Scalar::MAX));
    }

    #[test]
    fn amounts_are_rounded_to_thousandths() {
        let thousandths = |value| Scalar::from_f64(value).unwrap().thousandths();
        assert_eq!([0.1 + 0.2, 0.0004, 0.0005, 1.9999].map(thousandths), [300, 0, 1, 2000]);
        let written = |text| Scalar::parse(text).unwrap().thousandths();
        assert_eq!(
            ["4", ".5", "0.0004", "0.0005", "1.9999", "007."].map(written),
            [4000, 500, 0, 1, 2000, 7000]
        );
    }

    #[test]
    fn an_amount_prints_without_trailing_zeros() {
        let shown = |thousandths| Scalar::from_thousandths(thousandths).unwrap().to_string();
        assert_eq!([0, 4000, 500, 1230, 1234, 1].map(shown), ["0", "4", "0.5", "1.23", "1.234", "0.001"]);
    }

    #[test]
    fn units_and_thousandths_stop_at_the_largest_amount() {
        let units = Scalar::MAX.whole_units();
        assert!(Scalar::from_units(units).is_some());
        assert_eq!(Scalar::from_units(units + 1), None);
        assert_eq!(Scalar::from_thousandths(Scalar::MAX.thousandths()), Some(Scalar::MAX));
        assert_eq!(Scalar::from_units(u64::MAX), None);
        assert_eq!(Scalar::from_thousandths(Scalar::MAX.thousandths() + 1), None);
        assert_eq!(Scalar::MAX.checked_add(Scalar::MAX), None);
    }

    #[test]
    fn a_text_that_is_no_amount_says_why() {
        let reason = |text: &str| Scalar::parse(text).unwrap_err().to_string();
        assert_eq!(reason("-1"), "-1 is negative; give 0 or more");
        assert_eq!(
            reason("99999999999999999999"),
            "100000000000000000000 is above the largest amount, 2251799813685.247"
        );
        for text in ["", ".", "1.2.3", "1e3", "NaN", "inf", "+1", "1_000", " 1", "--1", "\u{661}"] {
            let expected = format!("{text:?} is not a decimal number such as 4 or 0.5");
            assert_eq!(reason(text), expected);
        }
    }
}
