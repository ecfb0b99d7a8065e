//! Machines grouped by what is free there: equal rooms are one class.
//!
//! Invariants
//! - Every machine is in exactly one class.
//! - A class has a new number in [`Classes::changed_since`] whenever its first member is another, so whoever has seen
//!   all up to a number need look at no class below it.
//! - Classes without members are kept for a while, because rooms come back when tasks end; at most [`MAX_EMPTY`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::placement::Room;

/// How many classes without members are kept.
const MAX_EMPTY: usize = 1024;

/// All classes.
pub(super) struct Classes<K> {
    classes: Vec<Class<K>>,
    free: Vec<usize>,
    by_room: BTreeMap<Arc<Room>, usize>,
    /// Classes by the number of their last change.
    changes: BTreeMap<u64, usize>,
    /// Those of them that have no members.
    empty: BTreeMap<u64, usize>,
    last: u64,
}

pub(super) struct Class<K> {
    room: Arc<Room>,
    members: BTreeSet<K>,
    /// Tells it from others that had its place in the list before.
    pub(super) born: u64,
    changed: u64,
}

impl<K> Class<K> {
    pub(super) fn room(&self) -> &Room {
        &self.room
    }
}

impl<K: Ord + Clone> Class<K> {
    pub(super) fn first(&self) -> Option<&K> {
        self.members.first()
    }
}

impl<K: Ord + Clone> Classes<K> {
    pub(super) fn new() -> Self {
        Self {
            classes: Vec::new(),
            free: Vec::new(),
            by_room: BTreeMap::new(),
            changes: BTreeMap::new(),
            empty: BTreeMap::new(),
            last: 0,
        }
    }

    /// Places in the list of classes, used or not.
    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    pub(super) fn get(&self, class: usize) -> &Class<K> {
        &self.classes[class]
    }

    pub(super) fn room(&self, class: usize) -> &Room {
        &self.classes[class].room
    }

    pub(super) fn shared_room(&self, class: usize) -> Arc<Room> {
        Arc::clone(&self.classes[class].room)
    }

    /// The number of the last change.
    pub(super) fn last_change(&self) -> u64 {
        self.last
    }

    /// The classes that changed after `seen`, each once.
    pub(super) fn changed_since(&self, seen: u64) -> impl Iterator<Item = usize> {
        self.changes.range(seen.saturating_add(1)..).map(|(_, class)| *class)
    }

    /// The class of machines with this room.
    pub(super) fn find_or_add(&mut self, room: Room) -> usize {
        if let Some(class) = self.by_room.get(&room) {
            return *class;
        }
        let room = Arc::new(room);
        self.last += 1;
        let born = self.last;
        let class = Class { room: Arc::clone(&room), members: BTreeSet::new(), born, changed: born };
        let index = match self.free.pop() {
            Some(index) => {
                self.classes[index] = class;
                index
            }
            None => {
                self.classes.push(class);
                self.classes.len() - 1
            }
        };
        self.by_room.insert(room, index);
        self.changes.insert(born, index);
        self.empty.insert(born, index);
        index
    }

    /// A machine comes to a class.
    pub(super) fn join(&mut self, class: usize, key: K) {
        let is_first = self.classes[class].members.first().is_none_or(|first| key < *first);
        self.classes[class].members.insert(key);
        if is_first {
            self.change(class);
        }
    }

    /// A machine leaves its class.
    pub(super) fn leave(&mut self, class: usize, key: &K) {
        let was_first = self.classes[class].members.first() == Some(key);
        self.classes[class].members.remove(key);
        if was_first {
            self.change(class);
            self.drop_oldest_empty();
        }
    }

    fn change(&mut self, index: usize) {
        self.last += 1;
        let class = &mut self.classes[index];
        self.changes.remove(&class.changed);
        self.empty.remove(&class.changed);
        class.changed = self.last;
        self.changes.insert(self.last, index);
        if class.members.is_empty() {
            self.empty.insert(self.last, index);
        }
    }

    fn drop_oldest_empty(&mut self) {
        while self.empty.len() > MAX_EMPTY {
            let Some((changed, index)) = self.empty.pop_first() else { return };
            self.changes.remove(&changed);
            self.by_room.remove(&self.classes[index].room);
            self.free.push(index);
        }
    }
}
