//! The best machine of a fleet for one task after another, without scoring the whole fleet each time.
//!
//! Machines whose rooms are equal share one score, and a score that depends on ask and room alone is kept until a
//! machine is in a state that was not seen lately. So a pick costs what has changed since the same ask was picked
//! for before, not the fleet: a fresh fleet of 50,000 machines of three kinds has three scores.
//!
//! Invariants
//! - A pick is what a scan over all machines in the order of their keys would find: the greatest score, and of equal
//!   ones the smallest key. Scorers that are not pure are scanned, or drawn from ([`Scorer::draw`]).
//! - Memory is bounded: at most about two million scores are kept, those of the asks used last.

mod classes;
mod known;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::placement::{Ask, Cluster, Place, Room, Scorer};
use classes::Classes;
use known::Known;

/// How many scores a picker keeps at most, about: some 100 MiB when every machine of the fleet differs. Above it the
/// asks not used for longest are forgotten; what is asked for last is always kept.
const MAX_SCORES: usize = 1 << 21;

/// What an ask costs in scores, however few machines there are.
const OVERHEAD: usize = 64;

/// How often a scorer may draw a machine on which the task does not fit.
const MAX_DRAWS: usize = 64;

/// A fleet of rooms by key, and who picks among them. Keys order the machines: of equally good ones the first is
/// picked.
pub struct Picker<K> {
    scorer: Box<dyn Scorer>,
    machines: BTreeMap<K, Machine>,
    /// All keys, each at [`Machine::position`].
    drawn_from: Vec<K>,
    classes: Classes<K>,
    asks: BTreeMap<Ask, Known<K>>,
    weight: usize,
    max_scores: usize,
    picks: u64,
}

struct Machine {
    class: usize,
    position: usize,
}

impl<K: Ord + Clone> Picker<K> {
    /// An empty fleet.
    pub fn new(scorer: Box<dyn Scorer>) -> Self {
        Self {
            scorer,
            machines: BTreeMap::new(),
            drawn_from: Vec::new(),
            classes: Classes::new(),
            asks: BTreeMap::new(),
            weight: 0,
            max_scores: MAX_SCORES,
            picks: 0,
        }
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        self.scorer.name()
    }

    /// Tells the scorer what cluster and workload are like. All scores kept so far are forgotten, so tell it when
    /// that has changed by much, not with every task.
    pub fn learn(&mut self, cluster: &Cluster) {
        self.scorer.learn(cluster);
        self.asks.clear();
        self.weight = 0;
    }

    /// How many machines there are.
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Are there no machines?
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// The room of one machine.
    pub fn get(&self, key: &K) -> Option<&Room> {
        self.machines.get(key).map(|machine| self.classes.room(machine.class))
    }

    /// All machines in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Room)> {
        self.machines.iter().map(|(key, machine)| (key, self.classes.room(machine.class)))
    }

    /// Adds a machine, or says what is there now; returns what was there. O(log machines).
    pub fn insert(&mut self, key: K, room: Room) -> Option<Arc<Room>> {
        let class = self.classes.find_or_add(room);
        let Some(machine) = self.machines.get_mut(&key) else {
            let position = self.drawn_from.len();
            self.drawn_from.push(key.clone());
            self.classes.join(class, key.clone());
            self.machines.insert(key, Machine { class, position });
            return None;
        };
        let was = std::mem::replace(&mut machine.class, class);
        let old = self.classes.shared_room(was);
        if was != class {
            self.classes.join(class, key.clone());
            self.classes.leave(was, &key);
        }
        Some(old)
    }

    /// Takes a machine away; returns what was there. O(log machines).
    pub fn remove(&mut self, key: &K) -> Option<Arc<Room>> {
        let machine = self.machines.remove(key)?;
        self.drawn_from.swap_remove(machine.position);
        if let Some(moved) = self.drawn_from.get(machine.position)
            && let Some(other) = self.machines.get_mut(moved)
        {
            other.position = machine.position;
        }
        let old = self.classes.shared_room(machine.class);
        self.classes.leave(machine.class, key);
        Some(old)
    }

    /// Places `ask` on a machine: takes what it needs there, its GPUs on these devices (indices as a [`Place`] has
    /// them). False if there is no such machine.
    pub fn take(&mut self, key: &K, ask: &Ask, devices: &[usize]) -> bool {
        let Some(mut room) = self.get(key).cloned() else { return false };
        room.take(ask, devices);
        self.insert(key.clone(), room);
        true
    }

    /// The best machine for `ask` and the place there; `None`: it fits nowhere, or the scorer wants it nowhere.
    /// Nothing is taken ([`Picker::take`], [`Picker::insert`]).
    pub fn pick(&mut self, ask: &Ask) -> Option<(K, Place)> {
        if !self.scorer.is_pure() {
            return self.draw(ask).or_else(|| self.scan(ask));
        }
        self.picks += 1;
        if !self.asks.contains_key(ask) {
            self.asks.insert(ask.clone(), Known::new());
            self.weight += OVERHEAD;
        }
        let known = self.asks.get_mut(ask)?;
        let before = known.len();
        known.used = self.picks;
        known.update(&self.classes, &mut *self.scorer, ask);
        let best = known.best(&self.classes);
        self.weight = self.weight.saturating_sub(before) + known.len();
        self.forget_above_limit();
        let (key, class) = best?;
        let place = self.scorer.score(ask, self.classes.room(class))?;
        Some((key, place))
    }

    fn draw(&mut self, ask: &Ask) -> Option<(K, Place)> {
        for _ in 0..MAX_DRAWS {
            let index = self.scorer.draw(self.drawn_from.len())?;
            let Some(key) = self.drawn_from.get(index) else { continue };
            let Some(machine) = self.machines.get(key) else { continue };
            let room = self.classes.room(machine.class);
            if room.fits(ask)
                && let Some(place) = self.scorer.score(ask, room)
            {
                return Some((key.clone(), place));
            }
        }
        None
    }

    fn scan(&mut self, ask: &Ask) -> Option<(K, Place)> {
        let mut best: Option<(&K, Place)> = None;
        for (key, machine) in &self.machines {
            let room = self.classes.room(machine.class);
            let Some(place) = room.fits(ask).then(|| self.scorer.score(ask, room)).flatten() else {
                continue;
            };
            let better = best.as_ref().is_none_or(|(_, best)| place.score > best.score);
            if better && !place.score.is_nan() {
                best = Some((key, place));
            }
        }
        best.map(|(key, place)| (key.clone(), place))
    }

    /// Forgets the asks that were not used for longest.
    fn forget_above_limit(&mut self) {
        while self.weight > self.max_scores && self.asks.len() > 1 {
            let Some(oldest) = self.asks.iter().min_by_key(|(_, known)| known.used) else { return };
            let oldest = oldest.0.clone();
            if let Some(known) = self.asks.remove(&oldest) {
                self.weight = self.weight.saturating_sub(known.len() + OVERHEAD);
            }
        }
    }
}

#[cfg(test)]
mod tests;
