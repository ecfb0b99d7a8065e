//! Which ports a task gets.

use std::collections::BTreeSet;

use lonja_model::resources::Ranges;

use crate::draws::Draws;

/// Which of the free ports are given to a task that asks for any.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Lowest,
    Random(Draws),
}

impl Choice {
    /// All `asked`, which are free, and any `more` besides; `None` if there are not as many.
    pub(super) fn choose(
        &mut self,
        free: &Ranges,
        asked: &BTreeSet<u64>,
        more: usize,
    ) -> Option<BTreeSet<u64>> {
        let mut chosen = asked.clone();
        let all = asked.len() + more;
        if free.count() < u64::try_from(all).ok()? {
            return None;
        }
        match self {
            Self::Lowest => {
                let mut numbers = free.numbers().filter(|number| !asked.contains(number));
                chosen.extend(numbers.by_ref().take(more));
            }
            Self::Random(draws) => {
                while chosen.len() < all {
                    let drawn = at(free, draws.bits() % free.count())?;
                    // What is taken already is passed over, so that it ends also when nearly all are.
                    let mut next = numbers_from(free, drawn).chain(free.numbers());
                    let next = next.find(|number| !chosen.contains(number))?;
                    chosen.insert(next);
                }
            }
        }
        (chosen.len() == all).then_some(chosen)
    }
}

/// The number before which there are so many.
fn at(ranges: &Ranges, mut before: u64) -> Option<u64> {
    for (begin, end) in ranges.iter() {
        if before <= end - begin {
            return Some(begin + before);
        }
        before -= end - begin + 1;
    }
    None
}

fn numbers_from(ranges: &Ranges, from: u64) -> impl Iterator<Item = u64> {
    let behind = ranges.iter().filter(move |(_, end)| *end >= from);
    behind.flat_map(move |(begin, end)| begin.max(from)..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(choice: &mut Choice, free: &str, asked: &[u64], more: usize) -> Option<Vec<u64>> {
        let chosen = choice.choose(&Ranges::parse(free).unwrap(), &asked.iter().copied().collect(), more)?;
        Some(chosen.into_iter().collect())
    }

    #[test]
    fn the_lowest_ports_are_taken_beside_those_that_are_asked_for() {
        let mut lowest = Choice::Lowest;
        assert_eq!(chosen(&mut lowest, "[10-12,20-21]", &[11], 2), Some(vec![10, 11, 12]));
        assert_eq!(chosen(&mut lowest, "[10-12,20-21]", &[], 4), Some(vec![10, 11, 12, 20]));
        assert_eq!(chosen(&mut lowest, "[10-12]", &[10], 3), None);
        assert_eq!(chosen(&mut lowest, "[]", &[], 0), Some(vec![]));
    }

    #[test]
    fn ports_drawn_from_a_seed_are_free_and_different_and_the_same_again() {
        let free = Ranges::parse("[10-12,20-21,100-100]").unwrap();
        for seed in 0..200 {
            let mut random = Choice::Random(Draws::new(seed));
            let first = random.choose(&free, &BTreeSet::from([20]), 3).unwrap();
            assert!(
                first.len() == 4
                    && first.contains(&20)
                    && first.iter().all(|port| free.numbers().any(|number| number == *port))
            );
            assert_eq!(Choice::Random(Draws::new(seed)).choose(&free, &BTreeSet::from([20]), 3), Some(first));
        }
        let all = Choice::Random(Draws::new(1)).choose(&free, &BTreeSet::new(), 6).unwrap();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn every_port_is_drawn_in_the_end() {
        let free = Ranges::parse("[10-12,20-21]").unwrap();
        let mut random = Choice::Random(Draws::new(7));
        let drawn: BTreeSet<u64> =
            (0..200).flat_map(|_| random.choose(&free, &BTreeSet::new(), 1)).flatten().collect();
        assert_eq!(drawn, free.numbers().collect());
    }
}
