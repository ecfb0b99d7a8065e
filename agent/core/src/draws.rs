//! Names drawn at random, from a seed.
//!
//! Two SplitMix64 generators side by side, 64 bits each. They need not be secret, only never the same
//! twice; the shell gives fresh entropy at each start of the process.
//!
//! Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 13.

use std::time::Duration;

use lonja_model::{ContainerId, UpdateId};

use crate::config::Entropy;

/// The source of all that is random in an agent.
#[derive(Debug)]
pub(crate) struct Draws {
    high: SplitMix64,
    low: SplitMix64,
}

#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Draws {
    /// Seeded by `entropy`, and by `instance` so that two agents given the same numbers still differ.
    pub(crate) fn new(entropy: Entropy, instance: &str) -> Self {
        // FNV-1a, 64 bits.
        let instance = instance.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // One round over the instance, so that the two streams are no shifted copies of one another.
        let spread = SplitMix64(instance).next();
        Self { high: SplitMix64(entropy.0 ^ instance), low: SplitMix64(entropy.1.rotate_left(32) ^ spread) }
    }

    fn bytes(&mut self) -> [u8; 16] {
        let both = (u128::from(self.high.next()) << 64) | u128::from(self.low.next());
        both.to_be_bytes()
    }

    /// An update id: a version 4 UUID, for Mesos clients print it as one.
    pub(crate) fn update(&mut self) -> UpdateId {
        let mut bytes = self.bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        UpdateId(bytes)
    }

    /// A container name: 32 hexadecimal digits.
    pub(crate) fn container(&mut self) -> ContainerId {
        let name = format!("{:032x}", u128::from_be_bytes(self.bytes()));
        ContainerId::new(name).expect("hexadecimal digits are an id")
    }

    /// A duration from half of `longest` up to `longest`.
    pub(crate) fn jitter(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let half = longest / 2;
        Duration::from_nanos(half + self.low.next() % (longest - half + 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_instance_draws_others() {
        let mut a = Draws::new(Entropy(1, 2), "one");
        let mut b = Draws::new(Entropy(1, 2), "one");
        let mut c = Draws::new(Entropy(1, 2), "two");
        for _ in 0..100 {
            let drawn = a.container();
            assert_eq!(drawn, b.container());
            assert_ne!(drawn, c.container());
        }
    }

    #[test]
    fn names_do_not_repeat() {
        let mut draws = Draws::new(Entropy(0, 0), "");
        let names: BTreeSet<_> = (0..10_000).map(|_| draws.container()).collect();
        let updates: BTreeSet<_> = (0..10_000).map(|_| draws.update()).collect();
        assert_eq!((names.len(), updates.len()), (10_000, 10_000));
    }

    #[test]
    fn jitter_keeps_to_the_upper_half() {
        let mut draws = Draws::new(Entropy(3, 4), "x");
        for nanos in [0, 1, 2, 3, 1_000_000_000] {
            let longest = Duration::from_nanos(nanos);
            for _ in 0..100 {
                let drawn = draws.jitter(longest);
                assert!(drawn <= longest && drawn >= longest / 2, "{drawn:?}");
            }
        }
    }
}
