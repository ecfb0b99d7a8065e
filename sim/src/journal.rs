//! What happened, in words and as one number.
//!
//! Every event of a run goes in as a line; the running hash over all lines is the run's trace hash, and
//! the last lines are kept for people. Two runs with the same hash saw the same events at the same times.

use std::collections::VecDeque;

use lonja_model::Timestamp;

/// Lines kept for people.
const KEPT: usize = 80;

/// A running account of one run.
#[derive(Debug)]
pub(crate) struct Journal {
    hash: u64,
    events: u64,
    last: VecDeque<String>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        // FNV-1a, 64 bits.
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, last: VecDeque::with_capacity(KEPT) }
    }

    /// Takes in one event.
    pub(crate) fn note(&mut self, now: Timestamp, words: &str) {
        let nanos = now.as_nanos();
        for byte in nanos.to_le_bytes().into_iter().chain(words.bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.events += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        let (seconds, micros) = (nanos / 1_000_000_000, nanos / 1_000 % 1_000_000);
        self.last.push_back(format!("{seconds:>6}.{micros:06} s  {words}"));
    }

    /// The hash over all events so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// How many there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The last of them, oldest first.
    pub(crate) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
