//! Sets of whole numbers written as ranges, such as ports.

use std::fmt;

/// Ranges, both ends included, sorted, disjoint and never adjacent: equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranges(Vec<(u64, u64)>);

/// Why ranges were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRanges {
    /// Begins after its end.
    #[error("the range {0}-{1} begins after its end; write {1}-{0}")]
    Backwards(u64, u64),
    /// Not of the form `[1-5, 7-9]`.
    #[error("{0:?} is not a list of ranges such as [31000-32000] or [1-5,7-9]")]
    Malformed(String),
}

impl Ranges {
    /// The union of `ranges`, each with both ends included.
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, InvalidRanges> {
        let mut all: Vec<(u64, u64)> = ranges.into_iter().collect();
        if let Some(&(begin, end)) = all.iter().find(|(begin, end)| begin > end) {
            return Err(InvalidRanges::Backwards(begin, end));
        }
        all.sort_unstable();
        Ok(Self(coalesce(all)))
    }

    /// Ranges from text such as `[1-5, 7-9]`.
    pub fn parse(text: &str) -> Result<Self, InvalidRanges> {
        let refuse = || InvalidRanges::Malformed(text.chars().take(64).collect());
        let inner =
            text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(refuse)?;
        if inner.trim().is_empty() {
            return Ok(Self::default());
        }
        let number = |text: &str| {
            let text = text.trim();
            // `parse` alone would take a sign.
            if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<u64>().ok() } else { None }
        };
        let range = |text: &str| {
            let (begin, end) = text.split_once('-')?;
            Some((number(begin)?, number(end)?))
        };
        let ranges: Option<Vec<_>> = inner.split(',').map(range).collect();
        Self::new(ranges.ok_or_else(refuse)?)
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Every number in order. May be long: take what is needed.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|&(begin, end)| begin..=end)
    }

    /// How many numbers; saturates.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, (begin, end)| sum.saturating_add((end - begin).saturating_add(1)))
    }

    /// Is there no number?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is all of `part` in `self`?
    pub fn contains(&self, part: &Self) -> bool {
        let mut held = self.0.iter();
        let mut current = held.next();
        part.0.iter().all(|(begin, end)| {
            while current.is_some_and(|(_, held_end)| held_end < begin) {
                current = held.next();
            }
            current.is_some_and(|(held_begin, held_end)| held_begin <= begin && end <= held_end)
        })
    }

    /// The union, or a number that both hold.
    pub fn disjoint_union(&self, other: &Self) -> Result<Self, u64> {
        let mut all: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        match all.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
            Some(pair) => Err(pair[1].0),
            None => Ok(Self(coalesce(all))),
        }
    }

    /// What is left without `part`; `None` unless all of `part` is in `self`.
    pub fn checked_sub(&self, part: &Self) -> Option<Self> {
        let mut left = Vec::with_capacity(self.0.len() + part.0.len());
        let mut parts = part.0.iter().peekable();
        for &(begin, end) in &self.0 {
            let mut from = Some(begin);
            while let Some(&&(part_begin, part_end)) = parts.peek() {
                let Some(start) = from else { break };
                if part_begin > end {
                    break;
                }
                if part_begin < start || part_end > end {
                    return None;
                }
                if part_begin > start {
                    left.push((start, part_begin - 1));
                }
                from = if part_end == end { None } else { Some(part_end + 1) };
                parts.next();
            }
            left.extend(from.map(|start| (start, end)));
        }
        parts.peek().is_none().then_some(Self(left))
    }
}

/// Joins what overlaps or touches in sorted ranges.
fn coalesce(sorted: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
    for (begin, end) in sorted {
        match joined.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => joined.push((begin, end)),
        }
    }
    joined
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, (begin, end)) in self.0.iter().enumerate() {
            write!(f, "{}{begin}-{end}", if index == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Ranges {
        Ranges::parse(text).unwrap()
    }

    #[test]
    fn overlapping_and_adjacent_ranges_become_one() {
        assert_eq!(ranges("[ 7 - 9, 1-3,4-5 ,2-2]").to_string(), "[1-5,7-9]");
        assert_eq!(ranges("[]"), Ranges::default());
    }

    #[test]
    fn all_numbers_there_are_make_one_range() {
        let all = Ranges::new([(0, u64::MAX)]).unwrap();
        let last = Ranges::new([(u64::MAX, u64::MAX)]).unwrap();
        assert_eq!(all.count(), u64::MAX);
        assert_eq!(Ranges::new([(0, u64::MAX), (u64::MAX, u64::MAX)]), Ok(all.clone()));
        assert_eq!(all.checked_sub(&last), Some(Ranges::new([(0, u64::MAX - 1)]).unwrap()));
        assert_eq!(all.checked_sub(&last).unwrap().disjoint_union(&last), Ok(all.clone()));
        assert_eq!(all.disjoint_union(&last), Err(u64::MAX));
        assert_eq!(last.numbers().collect::<Vec<_>>(), [u64::MAX]);
        assert_eq!(all.checked_sub(&all), Some(Ranges::default()));
    }

    #[test]
    fn a_text_that_is_no_ranges_says_why() {
        assert_eq!(Ranges::parse("[5-1]"), Err(InvalidRanges::Backwards(5, 1)));
        for text in [
            "",
            "[",
            "[1-",
            "1-2",
            "[1]",
            "[1-2-3]",
            "[1-2,]",
            "[-1-2]",
            "[+1-2]",
            "[0-18446744073709551616]",
        ] {
            assert_eq!(Ranges::parse(text), Err(InvalidRanges::Malformed(text.to_owned())), "{text}");
        }
    }
}
