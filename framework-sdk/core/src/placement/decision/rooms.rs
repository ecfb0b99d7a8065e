//! Machines grouped by what is free there, and how good each group is for an ask.
//!
//! Machines whose rooms are equal share one score. A fleet of a few kinds of machines has few rooms, and each launch
//! adds at most one.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use lonja_model::resources::Scalar;

use super::bits::{Bits, Group};
use crate::placement::{Ask, Room, Scorer};

/// All rooms.
pub(super) struct Rooms {
    machines: usize,
    classes: Vec<Class>,
    /// The amounts stand in front as they nearly always tell rooms apart: no room is looked into then.
    by_room: BTreeMap<(Scalar, Scalar, Arc<Room>), usize>,
}

struct Class {
    room: Arc<Room>,
    members: Group,
}

impl Rooms {
    pub(super) fn new(machines: usize) -> Self {
        Self { machines, classes: Vec::new(), by_room: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    pub(super) fn room(&self, class: usize) -> &Room {
        &self.classes[class].room
    }

    pub(super) fn members(&self, class: usize) -> &Group {
        &self.classes[class].members
    }

    /// Puts a machine into the class of its room; returns which.
    pub(super) fn join(&mut self, machine: usize, room: Room) -> usize {
        let room = Arc::new(room);
        let class = match self.by_room.entry((room.cpus, room.mem, room.clone())) {
            Entry::Occupied(class) => *class.get(),
            Entry::Vacant(vacant) => {
                vacant.insert(self.classes.len());
                self.classes.push(Class { room, members: Group::none() });
                self.classes.len() - 1
            }
        };
        self.classes[class].members.insert(machine, self.machines);
        class
    }

    pub(super) fn leave(&mut self, machine: usize, class: usize) {
        self.classes[class].members.remove(machine);
    }
}

/// How good the rooms are for one ask, best first. Most rooms are never in order: who looks for the best looks no further
/// than to the first that will do.
#[derive(Default)]
pub(super) struct Ranking {
    /// Classes below this are known.
    seen: usize,
    /// The best of them, in descending order of scores.
    sorted: Vec<Scored>,
    /// The others.
    heap: BinaryHeap<Scored>,
}

/// A class and its score; the greater the better.
#[derive(Clone, Copy, Debug)]
struct Scored {
    score: f64,
    class: usize,
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score)
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scored {}

impl Ranking {
    /// Scores the rooms that are new.
    pub(super) fn update(&mut self, rooms: &Rooms, scorer: &mut dyn Scorer, ask: &Ask) {
        let new = (self.seen..rooms.len())
            .filter_map(|class| score(scorer, ask, rooms.room(class)).map(|score| Scored { score, class }));
        if self.seen == 0 {
            self.heap = new.collect::<Vec<_>>().into();
        } else {
            for one in new {
                if self.heap.peek().is_some_and(|best| one <= *best) {
                    self.heap.push(one);
                } else {
                    let place = self.sorted.partition_point(|other| *other >= one);
                    self.sorted.insert(place, one);
                }
            }
        }
        self.seen = rooms.len();
    }

    /// The best score of a machine in `mask`, and of equally good ones the first.
    pub(super) fn best(&mut self, rooms: &Rooms, mask: &Bits) -> Option<(f64, usize)> {
        let mut best: Option<(f64, usize)> = None;
        for index in 0.. {
            if index == self.sorted.len() {
                let Some(next) = self.heap.pop() else { break };
                self.sorted.push(next);
            }
            let Scored { score, class } = self.sorted[index];
            if best.is_some_and(|(best, _)| score < best) {
                break;
            }
            best = better(best, rooms.members(class).first_in(mask).map(|machine| (score, machine)));
        }
        best
    }
}

/// The higher score, and of equal ones the first machine.
pub(super) fn better(one: Option<(f64, usize)>, other: Option<(f64, usize)>) -> Option<(f64, usize)> {
    match (one, other) {
        (Some(a), Some(b)) if b.0 > a.0 || (b.0 >= a.0 && b.1 < a.1) => Some(b),
        (Some(a), _) => Some(a),
        (None, other) => other,
    }
}

/// The score of a room in which `ask` fits, if the scorer gives it one that is a number.
pub(super) fn score(scorer: &mut dyn Scorer, ask: &Ask, room: &Room) -> Option<f64> {
    let place = room.fits(ask).then(|| scorer.score(ask, room)).flatten()?;
    // Plus zero, so that minus zero is no worse than zero.
    (!place.score.is_nan()).then_some(place.score + 0.0)
}
