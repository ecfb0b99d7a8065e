//! What happened: as one number, in counts, and, for those who ask, in words.
//!
//! Every event goes in with its kind and a few numbers; the running hash over all of them and over their times is the
//! run's trace hash. Two runs with the same hash saw the same events at the same times. Words cost more than the
//! cluster itself, so they are made only when somebody reads along: a run is told again from its seed with a
//! [`Reader`].

use std::collections::BTreeMap;

use lonja_model::Timestamp;

/// One event, told to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in nanoseconds of virtual time.
    pub at_nanos: u64,
    /// What kind of event it is; there are some dozens.
    pub kind: &'static str,
    /// What happened to whom.
    pub words: String,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, micros) = (self.at_nanos / 1_000_000_000, self.at_nanos / 1_000 % 1_000_000);
        write!(f, "{seconds:>6}.{micros:06} s  {}", self.words)
    }
}

/// Somebody who reads along.
pub type Reader = Box<dyn FnMut(Entry)>;

/// A running account of one run.
pub(crate) struct Journal {
    hash: u64,
    events: u64,
    kinds: BTreeMap<&'static str, u64>,
    reader: Option<Reader>,
}

impl Journal {
    pub(crate) fn new(reader: Option<Reader>) -> Self {
        Self { hash: 0x6a09_e667_f3bc_c908, events: 0, kinds: BTreeMap::new(), reader }
    }

    /// Takes in one event: what kind it is, and what tells it from others of its kind.
    pub(crate) fn note(
        &mut self,
        now: Timestamp,
        kind: &'static str,
        numbers: [u64; 2],
        words: impl FnOnce() -> String,
    ) {
        let length = u64::try_from(kind.len()).unwrap_or(0);
        let name = kind.bytes().fold(length, |name, byte| name.rotate_left(7) ^ u64::from(byte));
        for number in [now.as_nanos(), name, numbers[0], numbers[1]] {
            self.hash = mix(self.hash ^ number);
        }
        self.events += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if let Some(reader) = self.reader.as_mut() {
            reader(Entry { at_nanos: now.as_nanos(), kind, words: words() });
        }
    }

    /// The hash over all events so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// How many there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// How many of each kind.
    pub(crate) fn kinds(&self) -> &BTreeMap<&'static str, u64> {
        &self.kinds
    }
}

/// Spreads each bit over all. Source: as in [`random`](crate::random), SplitMix64.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_reader_changes_no_hash_and_hears_everything() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hears = heard.clone();
        let reader: Reader = Box::new(move |entry| hears.borrow_mut().push(entry.to_string()));
        let (mut read, mut unread) = (Journal::new(Some(reader)), Journal::new(None));
        for journal in [&mut read, &mut unread] {
            journal.note(Timestamp::from_nanos(1_500_000_000), "kill", [1, 2], || {
                "agent 1 is killed".to_owned()
            });
        }
        assert_eq!((read.hash(), read.events()), (unread.hash(), 1));
        assert_eq!(*heard.borrow(), ["     1.500000 s  agent 1 is killed"]);
    }

    #[test]
    fn time_kind_and_numbers_all_count() {
        let hash = |nanos, kind, numbers| {
            let mut journal = Journal::new(None);
            journal.note(Timestamp::from_nanos(nanos), kind, numbers, String::new);
            journal.hash()
        };
        let one = hash(1, "a", [1, 1]);
        for other in [hash(2, "a", [1, 1]), hash(1, "b", [1, 1]), hash(1, "a", [2, 1]), hash(1, "a", [1, 2])]
        {
            assert_ne!(one, other);
        }
    }
}
