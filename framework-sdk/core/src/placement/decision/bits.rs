//! Sets of machines, as bits.

/// A set of machines by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    /// None of so many.
    pub(super) fn none(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(64)], length }
    }

    /// All of so many.
    pub(super) fn all(length: usize) -> Self {
        let mut all = Self { words: vec![u64::MAX; length.div_ceil(64)], length };
        all.cut();
        all
    }

    /// As many, and none of them.
    pub(super) fn emptied(&self) -> Self {
        Self::none(self.length)
    }

    /// What is beyond the last machine is in no set.
    fn cut(&mut self) {
        let beyond = self.words.len() * 64 - self.length;
        if let Some(last) = self.words.last_mut() {
            *last &= u64::MAX >> beyond;
        }
    }

    pub(super) fn set(&mut self, index: usize, is_in: bool) {
        let bit = 1 << (index % 64);
        if let Some(word) = self.words.get_mut(index / 64) {
            *word = if is_in { *word | bit } else { *word & !bit };
        }
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn negate(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.cut();
    }

    pub(super) fn keep(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn drop(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// The first that both hold.
    pub(super) fn first_common(&self, other: &Self) -> Option<usize> {
        let common = |(a, b): (&u64, &u64)| a & b;
        let word = self.words.iter().zip(&other.words).map(common).enumerate().find(|(_, word)| *word != 0);
        word.map(|(index, word)| index * 64 + word.trailing_zeros() as usize)
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(index, word)| ones(index, *word))
    }

    /// In order from `start` on, and then from the beginning.
    pub(super) fn iter_from(&self, start: usize) -> impl Iterator<Item = usize> {
        let (words, first) = (&self.words, start / 64);
        let before = (1_u64 << (start % 64)) - 1;
        let cut = words.get(first).map_or([0, 0], |word| [word & !before, word & before]);
        let behind = (first + 1..words.len()).map(|index| (index, words[index]));
        let ahead = (0..first.min(words.len())).map(|index| (index, words[index]));
        let turned = std::iter::once((first, cut[0]))
            .chain(behind)
            .chain(ahead)
            .chain(std::iter::once((first, cut[1])));
        turned.flat_map(|(index, word)| ones(index, word))
    }

    /// The one before which there are so many.
    pub(super) fn nth(&self, mut before: usize) -> Option<usize> {
        for (index, word) in self.words.iter().enumerate() {
            let here = word.count_ones() as usize;
            if before < here {
                let mut left = *word;
                for _ in 0..before {
                    left &= left - 1;
                }
                return Some(index * 64 + left.trailing_zeros() as usize);
            }
            before -= here;
        }
        None
    }
}

/// Those of one word, in order.
fn ones(index: usize, word: u64) -> impl Iterator<Item = usize> {
    let mut left = word;
    std::iter::from_fn(move || {
        let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(index * 64 + bit)
    })
}

/// Some of many machines: a list while there are few of them, else bits.
#[derive(Clone, Debug)]
pub(super) enum Group {
    /// Most rooms are those of one machine.
    One(usize),
    /// In order.
    Few(Vec<usize>),
    Many(Bits),
}

impl Group {
    pub(super) fn none() -> Self {
        Self::Few(Vec::new())
    }

    /// Was nothing ever put in?
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Few(list) if list.is_empty())
    }

    /// Adds one; `of` is how many machines there are.
    pub(super) fn insert(&mut self, index: usize, of: usize) {
        match self {
            Self::One(one) if *one == index => {}
            Self::One(one) => *self = Self::Few(vec![index.min(*one), index.max(*one)]),
            Self::Few(list) if list.is_empty() => *self = Self::One(index),
            Self::Few(list) => {
                if let Err(place) = list.binary_search(&index) {
                    list.insert(place, index);
                }
                // As large as the bits would be.
                if list.len() > of.div_ceil(64) + 8 {
                    let mut bits = Bits::none(of);
                    list.iter().for_each(|index| bits.set(*index, true));
                    *self = Self::Many(bits);
                }
            }
            Self::Many(bits) => bits.set(index, true),
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        match self {
            Self::One(one) if *one == index => *self = Self::none(),
            Self::One(_) => {}
            Self::Few(list) => {
                if let Ok(place) = list.binary_search(&index) {
                    list.remove(place);
                }
            }
            Self::Many(bits) => bits.set(index, false),
        }
    }

    /// The first that is in `bits`, too.
    pub(super) fn first_in(&self, bits: &Bits) -> Option<usize> {
        match self {
            Self::One(one) => bits.has(*one).then_some(*one),
            Self::Few(list) => list.iter().copied().find(|index| bits.has(*index)),
            Self::Many(own) => own.first_common(bits),
        }
    }

    /// Puts all of them into `bits`, or takes them out.
    pub(super) fn put(&self, bits: &mut Bits, into: bool) {
        match self {
            Self::One(one) => bits.set(*one, into),
            Self::Few(list) => list.iter().for_each(|index| bits.set(*index, into)),
            Self::Many(own) if into => bits.add(own),
            Self::Many(own) => bits.drop(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;

    fn bits(of: usize, items: impl IntoIterator<Item = usize>) -> Bits {
        let mut bits = Bits::none(of);
        items.into_iter().for_each(|item| bits.set(item, true));
        bits
    }

    proptest! {
        /// Bits are sets.
        #[test]
        fn bits_do_what_sets_do(
            of in 1_usize..300,
            one in btree_set(0_usize..300, 0..60),
            other in btree_set(0_usize..300, 0..60),
            start in 0_usize..300,
        ) {
            let (one, other) = (
                one.into_iter().filter(|item| *item < of).collect::<std::collections::BTreeSet<_>>(),
                other.into_iter().filter(|item| *item < of).collect::<std::collections::BTreeSet<_>>(),
            );
            let (a, b) = (bits(of, one.clone()), bits(of, other.clone()));
            prop_assert!(a.iter().eq(one.iter().copied()));
            prop_assert_eq!(a.count(), one.len());
            prop_assert_eq!(a.first_common(&b), one.intersection(&other).next().copied());
            let turned: Vec<usize> = one.range(start..).chain(one.range(..start)).copied().collect();
            prop_assert_eq!(a.iter_from(start).collect::<Vec<_>>(), turned);
            for before in 0..one.len() + 1 {
                prop_assert_eq!(a.nth(before), one.iter().nth(before).copied());
            }
            let mut not = a.clone();
            not.negate();
            prop_assert!(not.iter().eq((0..of).filter(|item| !one.contains(item))));
            let mut group = Group::none();
            one.iter().for_each(|item| group.insert(*item, of));
            prop_assert_eq!(group.first_in(&b), a.first_common(&b));
            let mut put = b.clone();
            group.put(&mut put, true);
            prop_assert!(put.iter().eq(one.union(&other).copied()));
            group.put(&mut put, false);
            prop_assert!(put.iter().eq(other.difference(&one).copied()));
        }
    }
}
