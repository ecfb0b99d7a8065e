//! Small numbers for long names, so that decisions run over flat arrays.
//!
//! Invariants
//! - A number stands for one name until the name is let go; numbers are used again, lowest first.

use std::collections::{BTreeMap, BTreeSet};

/// Names and their numbers.
#[derive(Debug)]
pub(crate) struct Ids<K> {
    numbers: BTreeMap<K, u32>,
    names: Vec<Option<K>>,
    unused: BTreeSet<u32>,
}

impl<K> Default for Ids<K> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), names: Vec::new(), unused: BTreeSet::new() }
    }
}

impl<K: Clone + Ord> Ids<K> {
    pub(crate) fn number(&self, name: &K) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The name of a number that is in use.
    pub(crate) fn name(&self, number: u32) -> &K {
        self.names[index(number)].as_ref().expect("a number in use has a name")
    }

    /// The name's number, and whether it is new.
    pub(crate) fn intern(&mut self, name: &K) -> (u32, bool) {
        if let Some(number) = self.number(name) {
            return (number, false);
        }
        let number = self.unused.pop_first().unwrap_or_else(|| {
            self.names.push(None);
            u32::try_from(self.names.len() - 1).expect("fewer than 2^32 names at once")
        });
        self.names[index(number)] = Some(name.clone());
        self.numbers.insert(name.clone(), number);
        (number, true)
    }

    pub(crate) fn release(&mut self, number: u32) {
        if let Some(name) = self.names[index(number)].take() {
            self.numbers.remove(&name);
            self.unused.insert(number);
        }
    }

    /// By name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, u32)> {
        self.numbers.iter().map(|(name, number)| (name, *number))
    }
}

/// A number as the index that it is.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit into an index")
}

/// Many yes-or-no answers by number, 64 to a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn get(&self, number: u32) -> bool {
        self.word(index(number) / 64) & (1 << (number % 64)) != 0
    }

    pub(crate) fn set(&mut self, number: u32, on: bool) {
        let at = index(number) / 64;
        if self.0.len() <= at {
            if !on {
                return;
            }
            self.0.resize(at + 1, 0);
        }
        if on {
            self.0[at] |= 1 << (number % 64);
        } else {
            self.0[at] &= !(1 << (number % 64));
        }
    }

    /// The word at `at`; 0 beyond the last.
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    pub(crate) fn words(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Takes these words in place of its own; `count` of them.
    pub(crate) fn fill(&mut self, count: usize, word: impl Fn(usize) -> u64) {
        self.0.clear();
        self.0.extend((0..count).map(word));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Takes out at most so many numbers that are set: from `from` on in order, then those before it. Also tells with
    /// which number the next one goes on.
    pub(crate) fn take_some(&mut self, from: u32, most: u32) -> (Self, u32) {
        let from_there = self.iter().filter(|number| *number >= from);
        let before = self.iter().filter(|number| *number < from);
        let mut taken = Self::default();
        let mut next = from;
        for number in from_there.chain(before).take(index(most)) {
            taken.set(number, true);
            next = number.saturating_add(1);
        }
        for (word, taken) in self.0.iter_mut().zip(&taken.0) {
            *word &= !taken;
        }
        (taken, next)
    }

    /// The numbers that are set, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            let base = u32::try_from(at * 64).unwrap_or(u32::MAX);
            std::iter::from_fn(move || {
                let next = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(base + next)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_only_after_its_name_is_let_go() {
        let mut ids = Ids::default();
        assert_eq!(
            (ids.intern(&"a"), ids.intern(&"b"), ids.intern(&"a")),
            ((0, true), (1, true), (0, false))
        );
        ids.release(0);
        assert_eq!((ids.number(&"a"), ids.intern(&"c"), ids.name(0)), (None, (0, true), &"c"));
    }

    #[test]
    fn bits_are_told_apart_across_words() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 200] {
            bits.set(number, true);
        }
        bits.set(63, false);
        bits.set(1_000, false);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 64, 200]);
        assert_eq!((bits.count(), bits.get(200), bits.get(999)), (3, true, false));
    }

    #[test]
    fn some_are_taken_out_in_turn() {
        let mut bits = Bits::default();
        [1, 64, 65, 130].into_iter().for_each(|number| bits.set(number, true));
        let (taken, next) = bits.take_some(60, 2);
        assert_eq!((taken.iter().collect::<Vec<_>>(), next), (vec![64, 65], 66));
        bits.set(2, true);
        let (taken, next) = bits.take_some(next, 2);
        assert_eq!((taken.iter().collect::<Vec<_>>(), next), (vec![1, 130], 2));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [2]);
        let (taken, next) = bits.take_some(next, 0);
        assert!(taken.is_empty() && next == 2);
    }
}
