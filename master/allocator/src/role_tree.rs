//! The tree of roles: what each part of it holds, and whose turn it is.
//!
//! `eng/web` stands below `eng`, which stands at the top. At every place of the tree those next below it are ranked by
//! weighted dominant share; who comes first there is looked into first, down to a framework. A role's own frameworks
//! stand together in its virtual leaf `.`, of weight 1, beside the roles below it. Ties go to whoever was served less
//! often, then to the name, the leaf first: with equal shares, as when everybody declines, turns are taken.
//!
//! Where this differs from Mesos: order is kept up to date after each step, in heaps, and not sorted anew for each
//! agent; and weights count at every level as they do there, but exactly.
//!
//! Invariants
//! - An entry stands in the line of the one above it exactly while a framework below it wants offers.
//! - What an entry holds is the sum of what those below it hold.
//! - Each line is a heap by the shares that follow from the totals of `version`; who stands in it alone has none.
//!
//! Source: Mesos, hierarchical DRF sorter; LAYOUT of the heaps: any textbook.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use lonja_model::resources::Scalar;
use lonja_model::{FrameworkId, Role};

use crate::amounts::{Kind, Sums};
use crate::ids::index;
use crate::quotas::RoleBooks;
use crate::random::Random;
use crate::shares::Share;

/// The number of an entry.
pub(crate) type Entry = u32;

/// The one above all.
pub(crate) const ROOT: Entry = 0;
const NOWHERE: u32 = u32::MAX;

/// 1.
pub(crate) const DEFAULT_WEIGHT: Scalar = match Scalar::from_units(1) {
    Some(one) => one,
    None => Scalar::MAX,
};

/// Who an entry is; the order decides ties.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Root,
    /// The frameworks of the role above.
    Leaf,
    Role(Role),
    Client(FrameworkId),
}

/// One place in the tree.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: Name,
    above: Entry,
    depth: u32,
    /// All next below, in line or not.
    below: Vec<Entry>,
    /// Those in line, as a heap.
    line: Vec<Entry>,
    /// Where it stands in the line above it.
    at: u32,
    pub(crate) weight: Scalar,
    pub(crate) allocated: Sums,
    /// Allocations ever made to it.
    served: u64,
    share: Share,
    /// For clients: their number.
    pub(crate) client: u32,
    /// For roles: what counts for quotas.
    pub(crate) books: RoleBooks,
}

/// How shares are made.
#[derive(Debug)]
enum Sorter {
    DominantShare,
    Random(Random),
}

/// More clients stand in line before the one that was looked for than was worth looking at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooMany;

/// An entry in the order of serving: the largest is served first, as heaps of the library have it.
struct InOrder<'a> {
    tree: &'a RoleTree,
    entry: Entry,
    of: usize,
}

impl Ord for InOrder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.tree.order(other.entry, self.entry)
    }
}

impl PartialOrd for InOrder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InOrder<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for InOrder<'_> {}

/// See the module.
#[derive(Debug)]
pub(crate) struct RoleTree {
    places: Vec<Place>,
    unused: Vec<Entry>,
    roles: BTreeMap<Role, Entry>,
    sorter: Sorter,
    /// Of the totals that all lines follow from.
    version: u64,
}

/// What shares are shares of: without what is excluded from fairness. The version tells whether they have changed.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) counted: Sums,
    pub(crate) version: u64,
}

impl RoleTree {
    pub(crate) fn new(random: Option<Random>) -> Self {
        let root = Place::new(Name::Root, NOWHERE, 0);
        let sorter = random.map_or(Sorter::DominantShare, Sorter::Random);
        Self { places: vec![root], unused: Vec::new(), roles: BTreeMap::new(), sorter, version: 0 }
    }

    pub(crate) fn place(&self, entry: Entry) -> &Place {
        &self.places[index(entry)]
    }

    pub(crate) fn place_mut(&mut self, entry: Entry) -> &mut Place {
        &mut self.places[index(entry)]
    }

    pub(crate) fn above(&self, entry: Entry) -> Entry {
        self.place(entry).above
    }

    pub(crate) fn below(&self, entry: Entry) -> &[Entry] {
        &self.place(entry).below
    }

    pub(crate) fn is_in_line(&self, entry: Entry) -> bool {
        self.place(entry).at != NOWHERE
    }

    /// All roles in order of their names.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&Role, Entry)> {
        self.roles.iter().map(|(role, entry)| (role, *entry))
    }

    pub(crate) fn find_role(&self, role: &Role) -> Option<Entry> {
        self.roles.get(role).copied()
    }

    /// The role's place, made if need be, with all above it.
    pub(crate) fn role(&mut self, role: &Role) -> Entry {
        if let Some(entry) = self.find_role(role) {
            return entry;
        }
        let above = match role.above() {
            Some(above) => self.role(&above),
            None => ROOT,
        };
        let entry = self.add(Name::Role(role.clone()), above);
        self.roles.insert(role.clone(), entry);
        entry
    }

    /// The leaf of a role, if it has one.
    pub(crate) fn find_leaf(&self, role: Entry) -> Option<Entry> {
        self.below(role).iter().copied().find(|below| self.place(*below).name == Name::Leaf)
    }

    /// A new place for a framework in a role.
    pub(crate) fn add_client(&mut self, role: &Role, framework: &FrameworkId, client: u32) -> Entry {
        let role = self.role(role);
        let leaf = self.find_leaf(role).unwrap_or_else(|| self.add(Name::Leaf, role));
        let entry = self.add(Name::Client(framework.clone()), leaf);
        self.place_mut(entry).client = client;
        entry
    }

    fn add(&mut self, name: Name, above: Entry) -> Entry {
        let place = Place::new(name, above, self.place(above).depth + 1);
        let entry = match self.unused.pop() {
            Some(entry) => {
                self.places[index(entry)] = place;
                entry
            }
            None => {
                self.places.push(place);
                Entry::try_from(self.places.len() - 1).expect("fewer than 2^32 places")
            }
        };
        self.place_mut(above).below.push(entry);
        entry
    }

    /// Forgets a client that stands in no line and holds nothing, and then what is idle above it.
    pub(crate) fn remove_client(&mut self, client: Entry) {
        let leaf = self.above(client);
        self.remove(client);
        self.prune(leaf);
    }

    /// Forgets a leaf or role of which nothing is to be remembered, and then what is idle above it.
    pub(crate) fn prune(&mut self, from: Entry) {
        let mut entry = from;
        while entry != ROOT {
            let place = self.place(entry);
            let kept = !place.below.is_empty()
                || !place.allocated.is_empty()
                || place.weight != DEFAULT_WEIGHT
                || !place.books.is_idle();
            if kept {
                return;
            }
            let above = place.above;
            if let Name::Role(role) = place.name.clone() {
                self.roles.remove(&role);
            }
            self.remove(entry);
            entry = above;
        }
    }

    fn remove(&mut self, entry: Entry) {
        let above = self.above(entry);
        self.place_mut(above).below.retain(|below| *below != entry);
        self.unused.push(entry);
    }

    /// Lets a client stand in line or not, and those above it as follows.
    pub(crate) fn set_in_line(&mut self, client: Entry, in_line: bool, totals: &Totals) {
        let mut entry = client;
        while entry != ROOT && self.is_in_line(entry) != in_line {
            if !in_line && entry != client && !self.place(entry).line.is_empty() {
                return;
            }
            let above = self.above(entry);
            if in_line {
                self.enter(above, entry, totals)
            } else {
                self.leave(above, entry)
            }
            entry = above;
        }
    }

    /// Sets a role's weight.
    pub(crate) fn set_weight(&mut self, role: Entry, weight: Scalar, totals: &Totals) {
        self.place_mut(role).weight = weight;
        self.reorder(role, totals);
    }

    /// A client holds `more` and no longer `less`.
    pub(crate) fn account(
        &mut self,
        client: Entry,
        more: &[(Kind, u64)],
        less: &[(Kind, u64)],
        totals: &Totals,
    ) {
        let mut entry = client;
        while entry != ROOT {
            let place = self.place_mut(entry);
            place.allocated.add(more);
            place.allocated.subtract(less);
            self.reorder(entry, totals);
            entry = self.above(entry);
        }
    }

    /// A client was served: it takes what is in `parts`.
    pub(crate) fn serve(&mut self, client: Entry, parts: &[(Kind, u64)], totals: &Totals) {
        let mut entry = client;
        while entry != ROOT {
            let place = self.place_mut(entry);
            place.allocated.add(parts);
            place.served += 1;
            self.reorder(entry, totals);
            entry = self.above(entry);
        }
    }

    /// Makes all lines anew if the totals have changed, or if the order is one of chance.
    pub(crate) fn refresh(&mut self, totals: &Totals) {
        if self.version == totals.version && matches!(self.sorter, Sorter::DominantShare) {
            return;
        }
        self.version = totals.version;
        for entry in self.entries() {
            let share = self.share_of(entry, totals);
            self.place_mut(entry).share = share;
        }
        for entry in 0..Entry::try_from(self.places.len()).unwrap_or(Entry::MAX) {
            let mut line = std::mem::take(&mut self.place_mut(entry).line);
            for at in (0..line.len() / 2).rev() {
                self.sift_down(&mut line, at);
            }
            self.put_line(entry, line);
        }
    }

    /// Every place but the root that is in use.
    fn entries(&self) -> Vec<Entry> {
        let mut all = Vec::with_capacity(self.places.len());
        let mut next = self.place(ROOT).below.clone();
        while let Some(entry) = next.pop() {
            next.extend_from_slice(self.below(entry));
            all.push(entry);
        }
        all
    }

    /// Would `one` be served before `other`? Both stand in line.
    pub(crate) fn is_before(&self, one: Entry, other: Entry) -> bool {
        self.order(one, other) == Ordering::Less
    }

    fn order(&self, one: Entry, other: Entry) -> Ordering {
        let (mut one, mut other) = (one, other);
        while self.place(one).depth > self.place(other).depth {
            one = self.above(one);
        }
        while self.place(other).depth > self.place(one).depth {
            other = self.above(other);
        }
        while self.above(one) != self.above(other) {
            (one, other) = (self.above(one), self.above(other));
        }
        self.compare(one, other)
    }

    /// The first client in line, in order, of which `takes` makes something. Looks at no more than `most` clients;
    /// `Err`: it would have had to.
    pub(crate) fn first<T>(
        &self,
        most: &mut u32,
        takes: &mut impl FnMut(u32) -> Option<T>,
    ) -> Result<Option<T>, TooMany> {
        self.first_below(ROOT, most, takes)
    }

    fn first_below<T>(
        &self,
        entry: Entry,
        most: &mut u32,
        takes: &mut impl FnMut(u32) -> Option<T>,
    ) -> Result<Option<T>, TooMany> {
        let line = &self.place(entry).line;
        let place_of = |at: usize| InOrder { tree: self, entry: line[at], of: at };
        let mut frontier = BinaryHeap::new();
        let mut next = (!line.is_empty()).then(|| place_of(0));
        while let Some(InOrder { entry, of: at, .. }) = next {
            let place = self.place(entry);
            let found = match place.name {
                Name::Client(_) => {
                    *most = most.checked_sub(1).ok_or(TooMany)?;
                    takes(place.client)
                }
                Name::Root | Name::Leaf | Name::Role(_) => self.first_below(entry, most, takes)?,
            };
            if found.is_some() {
                return Ok(found);
            }
            frontier.extend((2 * at + 1..2 * at + 3).filter(|child| *child < line.len()).map(place_of));
            next = frontier.pop();
        }
        Ok(None)
    }

    /// The first of these clients in line, in order, of which `takes` makes something.
    pub(crate) fn first_among<T>(
        &self,
        clients: impl Iterator<Item = Entry>,
        takes: &mut impl FnMut(u32) -> Option<T>,
    ) -> Option<T> {
        let mut clients: BinaryHeap<_> = clients.map(|entry| InOrder { tree: self, entry, of: 0 }).collect();
        while let Some(first) = clients.pop() {
            let found = takes(self.place(first.entry).client);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// How many clients in line would be served before this one.
    pub(crate) fn ahead_of(&self, client: Entry) -> u32 {
        let clients = self.entries().into_iter().filter(|entry| {
            matches!(self.place(*entry).name, Name::Client(_)) && self.is_in_line(*entry) && *entry != client
        });
        u32::try_from(clients.filter(|other| self.is_before(*other, client)).count()).unwrap_or(u32::MAX)
    }

    /// Are all lines heaps of just those that must stand in them, and all sums the sums of those below?
    pub(crate) fn is_consistent(&self, totals: &Totals) -> Result<(), Entry> {
        for entry in self.entries().into_iter().chain([ROOT]) {
            let place = self.place(entry);
            let mut sums = Sums::default();
            for below in &place.below {
                sums.add_all(&self.place(*below).allocated);
            }
            let sums_up = entry == ROOT || matches!(place.name, Name::Client(_)) || sums == place.allocated;
            let standing = place.below.iter().filter(|below| self.is_in_line(**below)).count();
            let in_place = (0_u32..).zip(&place.line).all(|(at, entry)| self.place(*entry).at == at);
            let ordered = (1..place.line.len()).all(|at| {
                self.version != totals.version
                    || self.compare(place.line[(at - 1) / 2], place.line[at]) != Ordering::Greater
            });
            let is_leaf = matches!(place.name, Name::Client(_));
            let follows = entry == ROOT || is_leaf || self.is_in_line(entry) != place.line.is_empty();
            let current = entry == ROOT
                || self.version != totals.version
                || !matches!(self.sorter, Sorter::DominantShare)
                || !self.is_in_line(entry)
                || self.place(place.above).line.len() == 1
                || place.share == Share::dominant(&place.allocated, place.weight, &totals.counted);
            if !(sums_up && standing == place.line.len() && in_place && ordered && follows && current) {
                return Err(entry);
            }
        }
        Ok(())
    }

    fn enter(&mut self, above: Entry, entry: Entry, totals: &Totals) {
        let share = self.share_of(entry, totals);
        self.place_mut(entry).share = share;
        let mut line = std::mem::take(&mut self.place_mut(above).line);
        if let [alone] = line[..] {
            let share = self.share_of(alone, totals);
            self.place_mut(alone).share = share;
        }
        line.push(entry);
        let last = line.len() - 1;
        self.place_mut(entry).at = u32::try_from(last).unwrap_or(NOWHERE);
        self.sift_up(&mut line, last);
        self.place_mut(above).line = line;
    }

    fn leave(&mut self, above: Entry, entry: Entry) {
        let at = index(self.place(entry).at);
        self.place_mut(entry).at = NOWHERE;
        let mut line = std::mem::take(&mut self.place_mut(above).line);
        line.swap_remove(at);
        if at < line.len() {
            self.place_mut(line[at]).at = u32::try_from(at).unwrap_or(NOWHERE);
            self.settle(&mut line, at);
        }
        self.place_mut(above).line = line;
    }

    /// Puts an entry where its share says, if it stands in line and the line is up to date.
    fn reorder(&mut self, entry: Entry, totals: &Totals) {
        if !self.is_in_line(entry) || self.version != totals.version {
            return;
        }
        let above = self.above(entry);
        if self.place(above).line.len() == 1 {
            // Its share is made when there is somebody to compare it with.
            return;
        }
        let share = self.share_of(entry, totals);
        self.place_mut(entry).share = share;
        let at = index(self.place(entry).at);
        let mut line = std::mem::take(&mut self.place_mut(above).line);
        self.settle(&mut line, at);
        self.place_mut(above).line = line;
    }

    fn share_of(&mut self, entry: Entry, totals: &Totals) -> Share {
        let place = &self.places[index(entry)];
        match &mut self.sorter {
            Sorter::DominantShare => Share::dominant(&place.allocated, place.weight, &totals.counted),
            Sorter::Random(random) => random.share(place.weight),
        }
    }

    fn compare(&self, one: Entry, other: Entry) -> Ordering {
        let (one, other) = (self.place(one), self.place(other));
        let by_share = one.share.cmp(&other.share);
        by_share.then_with(|| one.served.cmp(&other.served)).then_with(|| one.name.cmp(&other.name))
    }

    fn settle(&mut self, line: &mut [Entry], at: usize) {
        if !self.sift_up(line, at) {
            self.sift_down(line, at);
        }
    }

    /// True if it moved.
    fn sift_up(&mut self, line: &mut [Entry], from: usize) -> bool {
        let mut at = from;
        while at > 0 {
            let up = (at - 1) / 2;
            if self.compare(line[at], line[up]) != Ordering::Less {
                break;
            }
            self.swap(line, at, up);
            at = up;
        }
        at != from
    }

    fn sift_down(&mut self, line: &mut [Entry], from: usize) {
        let mut at = from;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= line.len() {
                return;
            }
            let right_is_less = right < line.len() && self.compare(line[right], line[left]) == Ordering::Less;
            let least = if right_is_less { right } else { left };
            if self.compare(line[least], line[at]) != Ordering::Less {
                return;
            }
            self.swap(line, at, least);
            at = least;
        }
    }

    fn swap(&mut self, line: &mut [Entry], one: usize, other: usize) {
        line.swap(one, other);
        for at in [one, other] {
            self.place_mut(line[at]).at = u32::try_from(at).unwrap_or(NOWHERE);
        }
    }

    fn put_line(&mut self, entry: Entry, line: Vec<Entry>) {
        for (at, below) in (0_u32..).zip(&line) {
            self.place_mut(*below).at = at;
        }
        self.place_mut(entry).line = line;
    }

    /// Breaks the order on purpose, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn forge_order(&mut self, entry: Entry) {
        self.place_mut(entry).line.reverse();
    }
}

impl Place {
    fn new(name: Name, above: Entry, depth: u32) -> Self {
        Self {
            name,
            above,
            depth,
            below: Vec::new(),
            line: Vec::new(),
            at: NOWHERE,
            weight: DEFAULT_WEIGHT,
            allocated: Sums::default(),
            served: 0,
            share: Share::NOTHING,
            client: NOWHERE,
            books: RoleBooks::default(),
        }
    }
}
