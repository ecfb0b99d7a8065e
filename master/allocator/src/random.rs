//! Chance from a seed, for the order of chance.

use lonja_model::resources::Scalar;

use crate::shares::Share;

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A place in the order: whoever draws the smallest comes first. By −ln(u) / weight, so that each is first with a
    /// chance in proportion to its weight.
    ///
    /// Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
    pub(crate) fn share(&mut self, weight: Scalar) -> Share {
        // The base of the logarithm makes no difference to the order.
        let drawn = minus_log2(self.next() >> 11 | 1);
        Share::new(u128::from(drawn), u128::from(weight.thousandths().max(1)))
    }
}

/// −log2(x / 2^53) in 2^-32ths, for x from 1 to 2^53; by squaring, so that no library's rounding decides.
fn minus_log2(x: u64) -> u64 {
    let whole = 53 - u64::from(63 - x.leading_zeros());
    // x as a fraction from 1 up to 2, in 2^-62ths.
    let mut fraction = u128::from(x) << (62 - (63 - x.leading_zeros()));
    let mut log = 0_u64;
    for bit in (0..32).rev() {
        fraction = (fraction * fraction) >> 62;
        if fraction >= 1 << 63 {
            fraction >>= 1;
            log |= 1 << bit;
        }
    }
    (whole << 32) - log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_textbook() {
        for (x, log) in [(1_u64 << 53, 0.0), (1 << 52, 1.0), (3 << 51, 0.415_037_499), (1, 53.0)] {
            #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
            let found = minus_log2(x) as f64 / 4_294_967_296.0;
            assert!((found - log).abs() < 1e-6, "{x}: {found}");
        }
    }

    #[test]
    fn the_heavier_comes_first_more_often_in_proportion() {
        let mut random = Random::new(7);
        let (one, three) = (Scalar::from_units(1).unwrap(), Scalar::from_units(3).unwrap());
        let first = (0..4_000).filter(|_| random.share(three) < random.share(one)).count();
        assert!((2_850..3_150).contains(&first), "{first}");
    }
}
