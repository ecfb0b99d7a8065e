//! What is known of one ask: its score in each class of machines, best first.
//!
//! Invariants
//! - After [`Known::update`] every class with members in which the ask has a place has an entry with its first
//!   member. Entries that no longer tell the truth are dropped when they come to the top.
//! - There are at most twice as many entries as classes, and some.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::classes::Classes;
use crate::placement::{Ask, Scorer};

/// Entries above twice the number of classes before false ones are cleared out.
const SLACK: usize = 64;

pub(super) struct Known<K> {
    /// When it was last asked for.
    pub(super) used: u64,
    /// The last change of classes that is in here.
    seen: u64,
    /// By class: of which one the score is, and the score; minus infinity where there is no place.
    scores: Vec<(u64, f64)>,
    best: BinaryHeap<Entry<K>>,
}

struct Entry<K> {
    score: f64,
    first: K,
    class: usize,
    born: u64,
}

impl<K: Ord + Clone> Known<K> {
    pub(super) fn new() -> Self {
        Self { used: 0, seen: 0, scores: Vec::new(), best: BinaryHeap::new() }
    }

    /// How many scores it keeps.
    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    /// Scores what has changed.
    pub(super) fn update(&mut self, classes: &Classes<K>, scorer: &mut dyn Scorer, ask: &Ask) {
        self.scores.resize(classes.len(), (0, f64::NEG_INFINITY));
        for class in classes.changed_since(self.seen) {
            self.add(classes, class, |room| {
                let place = room.fits(ask).then(|| scorer.score(ask, room)).flatten();
                let score = place.map_or(f64::NEG_INFINITY, |place| place.score);
                // Plus zero, so that minus zero is no worse than zero.
                if score.is_nan() { f64::NEG_INFINITY } else { score + 0.0 }
            });
        }
        self.seen = classes.last_change();
        if self.best.len() > 2 * classes.len() + SLACK {
            self.best.clear();
            for class in classes.changed_since(0) {
                self.add(classes, class, |_| f64::NEG_INFINITY);
            }
        }
    }

    /// Adds an entry for `class` if it has members and a place; `score` is asked only if no score is known.
    fn add(
        &mut self,
        classes: &Classes<K>,
        class: usize,
        score: impl FnOnce(&crate::placement::Room) -> f64,
    ) {
        let of = classes.get(class);
        let Some(first) = of.first() else { return };
        let Some(known) = self.scores.get_mut(class) else { return };
        if known.0 != of.born {
            *known = (of.born, score(of.room()));
        }
        if known.1 > f64::NEG_INFINITY {
            self.best.push(Entry { score: known.1, first: first.clone(), class, born: of.born });
        }
    }

    /// The best machine and its class.
    pub(super) fn best(&mut self, classes: &Classes<K>) -> Option<(K, usize)> {
        loop {
            let top = self.best.peek()?;
            let class = classes.get(top.class);
            if class.born == top.born && class.first() == Some(&top.first) {
                return Some((top.first.clone(), top.class));
            }
            self.best.pop();
        }
    }
}

impl<K: Ord> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.first.cmp(&self.first))
    }
}

impl<K: Ord> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Ord> Eq for Entry<K> {}
