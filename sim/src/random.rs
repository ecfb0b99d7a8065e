//! The one source of chance: a seed, and nothing else.
//!
//! Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 13
//! (SplitMix64).

use std::time::Duration;

/// A stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed`. Neighbouring seeds have unrelated streams.
    pub(crate) fn new(seed: u64) -> Self {
        let mut first = Self(seed ^ 0x6c6f_6e6a_615f_7369);
        Self(first.next())
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A stream of its own, so that what is drawn there shifts nothing here.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// A number from 0 to `end`, `end` left out; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// An index into something with `length` entries; 0 if there are none.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time between the two, in whole microseconds.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros();
        least + Duration::from_micros(self.below(u64::try_from(span).unwrap_or(u64::MAX).saturating_add(1)))
    }

    /// A number from 0 to 1, 1 left out: each of the 2^53 that lie evenly.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits, which a double holds exactly")]
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    /// A number of the exponential distribution with mean 1: the logarithm of what is left of 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// A number of the normal distribution with mean 0 and standard deviation 1.
    ///
    /// Source: Box, Muller, "A Note on the Generation of Random Normal Deviates", 1958.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A number of the log-normal distribution with mean 1; `sigma` is the standard deviation of its logarithm.
    pub(crate) fn log_normal(&mut self, sigma: f64) -> f64 {
        (sigma * self.normal() - sigma * sigma / 2.0).exp()
    }

    /// A time between the two, in milliseconds.
    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        self.between(Duration::from_millis(least), Duration::from_millis(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers_and_another_draws_others() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    /// 100,000 draws each: the mean of the squares of a log-normal draw is exp(sigma^2), which bounds its own error.
    #[test]
    fn distributions_have_their_means() {
        let mut random = Random::new(3);
        let mut mean =
            |draw: fn(&mut Random) -> f64| (0..100_000).map(|_| draw(&mut random)).sum::<f64>() / 100_000.0;
        assert!((mean(Random::unit) - 0.5).abs() < 0.005);
        assert!((mean(Random::exponential) - 1.0).abs() < 0.015);
        assert!(mean(Random::normal).abs() < 0.015);
        assert!((mean(|random| random.normal().powi(2)) - 1.0).abs() < 0.025);
        assert!((mean(|random| random.log_normal(1.0)) - 1.0).abs() < 0.025);
    }

    #[test]
    fn draws_keep_to_their_bounds() {
        let mut random = Random::new(1);
        for _ in 0..1_000 {
            assert!(random.below(3) < 3);
            assert!((0.0..1.0).contains(&random.unit()));
            assert!(random.exponential() >= 0.0 && random.log_normal(2.0) > 0.0);
            let time = random.millis(2, 5);
            assert!(time >= Duration::from_millis(2) && time <= Duration::from_millis(5));
        }
        assert_eq!((random.below(0), random.index(0)), (0, 0));
    }
}
