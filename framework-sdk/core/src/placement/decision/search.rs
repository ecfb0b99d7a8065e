//! One decision.

use std::collections::BTreeMap;

use lonja_model::resources::{DeviceId, Ranges, Value};
use lonja_model::unplaced::{MAX_UNPLACED, Unplaced};
use lonja_model::{Offer, TaskId};

use super::bits::Bits;
use super::explain::Explained;
use super::leaves::{Formula, Leaves};
use super::machines::{Machine, machines};
use super::rooms::{Ranking, Rooms, better, score};
use super::wanted::{Kind, Wanted};
use super::{Decision, Launch, Placed, Placement};
use crate::placement::fit::{fit_exactly, plain};
use crate::placement::{Ask, Spec};
use crate::{MAX_TASKS, Plan};

/// How often a scorer may draw a machine on which the task does not fit.
const MAX_DRAWS: usize = 64;

/// The fewest rooms of which one is chosen, however many tasks wait.
const LEAST_ROOMS: usize = 16;

/// How often those without a place are tried again because others have got one.
const MAX_PASSES: usize = 16;

/// One decision.
pub(super) struct Search<'a> {
    placement: &'a mut Placement,
    waiting: &'a [Wanted],
    machines: Vec<Machine<'a>>,
    rooms: Rooms,
    leaves: Leaves<'a>,
    kinds: Vec<Sought<'a>>,
    /// The kind of each task that waits.
    kind_of: Vec<usize>,
    rankings: Vec<(&'a Ask, Ranking)>,
    /// Machines on which another task may be launched.
    open: Bits,
    placed: Vec<Placed>,
    left: Vec<usize>,
    offers: &'a [Offer],
    /// Are all rooms looked at?
    looks_at_all: bool,
}

/// A kind of task that is looked for.
pub(super) struct Sought<'a> {
    pub(super) kind: &'a Kind,
    /// All of them must hold, in this order.
    pub(super) rules: Vec<Formula>,
    wishes: Vec<(Formula, f64)>,
    ranking: usize,
    /// May there be a place later, after others have got theirs?
    may_grow: bool,
    /// After so many launches there was no place.
    hopeless_at: Option<usize>,
    /// Where the scorer's place cannot be.
    banned: Option<Bits>,
}

impl<'a> Search<'a> {
    pub(super) fn new(placement: &'a mut Placement, offers: &'a [Offer], waiting: &'a [Wanted]) -> Self {
        let (machines, rooms) = machines(offers, &mut placement.own);
        let mut largest = Spec::default();
        for class in 0..rooms.len() {
            let spec = rooms.room(class).spec;
            largest.cpus = largest.cpus.max(spec.cpus);
            largest.mem = largest.mem.max(spec.mem);
            largest.devices = largest.devices.max(spec.devices);
        }
        placement.teach(largest, waiting);
        placement.launches.clear();
        let open = Bits::all(machines.len());
        let leaves = Leaves::new(machines.len());
        let mut search = Self {
            placement,
            waiting,
            machines,
            rooms,
            leaves,
            kinds: Vec::new(),
            kind_of: Vec::with_capacity(waiting.len()),
            rankings: Vec::new(),
            open,
            placed: Vec::new(),
            left: Vec::new(),
            offers,
            looks_at_all: true,
        };
        search.sort_kinds();
        let scores = search.rankings.len().saturating_mul(search.rooms.len());
        search.looks_at_all = scores <= search.placement.options.most_scores;
        search
    }

    /// Finds the kinds of what waits.
    #[expect(
        clippy::mutable_key_type,
        reason = "the order of patterns is that of their texts, which do not change"
    )]
    fn sort_kinds(&mut self) {
        let mut numbers: BTreeMap<&'a Kind, usize> = BTreeMap::new();
        let mut asks: BTreeMap<&'a Ask, usize> = BTreeMap::new();
        let waiting: &'a [Wanted] = self.waiting;
        for wanted in waiting {
            let kind: &'a Kind = &wanted.kind;
            let number = match numbers.get(kind) {
                Some(number) => *number,
                None => {
                    let ranking = *asks.entry(&kind.ask).or_insert(self.rankings.len());
                    if ranking == self.rankings.len() {
                        self.rankings.push((&kind.ask, Ranking::default()));
                    }
                    let sought = self.seek(kind, ranking);
                    self.kinds.push(sought);
                    numbers.insert(kind, self.kinds.len() - 1);
                    self.kinds.len() - 1
                }
            };
            self.kind_of.push(number);
        }
    }

    fn seek(&mut self, kind: &'a Kind, ranking: usize) -> Sought<'a> {
        let (machines, own) = (&self.machines, &mut self.placement.own);
        let mut rules = Vec::new();
        for rule in kind.place.conjuncts() {
            rules.push(self.leaves.formula(rule, machines, own));
        }
        for leaf in &kind.port_leaves {
            rules.push(Formula::Leaf(self.leaves.number(leaf, machines, own)));
        }
        let mut wishes = Vec::new();
        for (wish, by) in &kind.wishes {
            wishes.push((self.leaves.formula(wish, machines, own), f64::from(*by)));
        }
        let may_grow = rules.iter().any(|rule| self.leaves.may_grow(rule));
        Sought { kind, rules, wishes, ranking, may_grow, hopeless_at: None, banned: None }
    }

    /// Places what has a place; those that have none are tried again while others get theirs.
    pub(super) fn place_all(&mut self) {
        let mut left: Vec<usize> = (0..self.waiting.len()).collect();
        for _ in 0..MAX_PASSES {
            let before = self.placed.len();
            left.retain(|index| !self.place(*index));
            let may_grow = left.iter().any(|index| self.kinds[self.kind_of[*index]].may_grow);
            if self.placed.len() == before || !may_grow {
                break;
            }
        }
        self.left = left;
    }

    /// Places one task if it has a place.
    fn place(&mut self, index: usize) -> bool {
        let (wanted, number) = (&self.waiting[index], self.kind_of[index]);
        let kind = &self.kinds[number];
        let is_hopeless = kind.hopeless_at.is_some_and(|at| !kind.may_grow || at == self.placed.len());
        if is_hopeless || self.placement.own.agent_of(&wanted.id).is_some() {
            return false;
        }
        while let Some(machine) = self.find(number) {
            if self.take(machine, wanted, number) {
                return true;
            }
            let banned = &mut self.kinds[number].banned;
            banned.get_or_insert_with(|| Bits::none(self.machines.len())).set(machine, true);
        }
        self.kinds[number].hopeless_at = Some(self.placed.len());
        false
    }

    /// Where all rules of a kind hold.
    fn allowed(&self, number: usize) -> Bits {
        let kind = &self.kinds[number];
        let mut mask = self.open.clone();
        if let Some(banned) = &kind.banned {
            mask.drop(banned);
        }
        kind.rules.iter().for_each(|rule| self.leaves.keep(&mut mask, rule));
        mask
    }

    /// The best machine for a kind, its wishes counted in.
    fn find(&mut self, number: usize) -> Option<usize> {
        let mask = self.allowed(number);
        if mask.is_empty() {
            return None;
        }
        let wishes = self.kinds[number].wishes.len();
        let mut best = None;
        // Each set of wishes in turn: where those hold, and perhaps others.
        for set in 0_usize..1 << wishes {
            let mut mask = mask.clone();
            let mut bonus = 0.0;
            for (index, (wish, by)) in self.kinds[number].wishes.iter().enumerate() {
                if set >> index & 1 == 1 {
                    self.leaves.keep(&mut mask, wish);
                    bonus += by;
                } else {
                    let mut those = mask.clone();
                    self.leaves.keep(&mut those, wish);
                    mask.drop(&those);
                }
            }
            let found = if mask.is_empty() { None } else { self.best_in(number, &mask) };
            best = better(best, found.map(|(score, machine)| (score + bonus, machine)));
        }
        best.map(|(_, machine)| machine)
    }

    fn best_in(&mut self, number: usize, mask: &Bits) -> Option<(f64, usize)> {
        let kind = &self.kinds[number];
        let ask = &kind.kind.ask;
        if !self.placement.scorer.is_pure() {
            return self.draw(ask, mask).or_else(|| self.scan(ask, mask));
        }
        if !self.looks_at_all {
            return self.scan(ask, mask);
        }
        let (ask, ranking) = &mut self.rankings[kind.ranking];
        ranking.update(&self.rooms, &mut *self.placement.scorer, ask);
        ranking.best(&self.rooms, mask)
    }

    /// As the scorer draws among these.
    fn draw(&mut self, ask: &Ask, mask: &Bits) -> Option<(f64, usize)> {
        let count = mask.count();
        for _ in 0..MAX_DRAWS {
            let machine = mask.nth(self.placement.scorer.draw(count)?)?;
            let room = self.rooms.room(self.machines[machine].class);
            if let Some(score) = score(&mut *self.placement.scorer, ask, room) {
                return Some((score, machine));
            }
        }
        None
    }

    /// The best of a part of the rooms where it fits, beginning behind where the last search ended.
    fn scan(&mut self, ask: &Ask, mask: &Bits) -> Option<(f64, usize)> {
        let part = self.placement.options.most_scores.checked_div(self.waiting.len()).unwrap_or(0);
        let mut rooms = part.max(LEAST_ROOMS);
        let is_pure = self.placement.scorer.is_pure();
        let mut seen = Bits::none(if is_pure { self.rooms.len() } else { 0 });
        let mut best = None;
        for machine in mask.iter_from(self.placement.start % self.machines.len().max(1)) {
            let class = self.machines[machine].class;
            if is_pure && seen.has(class) {
                continue;
            }
            seen.set(class, true);
            let score = score(&mut *self.placement.scorer, ask, self.rooms.room(class));
            if let Some(score) = score {
                best = better(best, Some((score, machine)));
                rooms -= 1;
            }
            if rooms == 0 {
                self.placement.start = machine + 1;
                break;
            }
        }
        best
    }

    /// Puts a task on a machine; `false` if what the scorer says cannot be.
    fn take(&mut self, number: usize, wanted: &Wanted, kind: usize) -> bool {
        let ask = &self.kinds[kind].kind.ask;
        let machine = &mut self.machines[number];
        let mut room = self.rooms.room(machine.class).clone();
        let Some(place) = self.placement.scorer.score(ask, &room) else { return false };
        let mut devices: Vec<DeviceId> = Vec::with_capacity(place.devices.len());
        for index in &place.devices {
            let Some((device, _)) = room.devices.get(*index) else { return false };
            devices.push(device.clone());
        }
        let asked = &wanted.kind.ports;
        let more = ask.need.ports.saturating_sub(asked.len());
        let ports = if ask.need.ports == 0 {
            Some(Default::default())
        } else {
            self.placement.ports.choose(&ports_of(machine), asked, more)
        };
        let taken = ports.and_then(|ports| fit_exactly(&machine.free, &ask.need, &devices, &ports));
        let Some(taken) = taken.filter(|taken| !taken.is_empty()) else { return false };
        let Some(left) = machine.free.checked_sub(&taken) else { return false };

        let agent = &machine.first().agent;
        machine.tasks.push(wanted.task.with_resources(agent, wanted.id.clone(), taken.clone()));
        let before = std::mem::replace(&mut machine.free, left);
        room.take(ask, &place.devices);
        let old = machine.class;
        machine.class = self.rooms.join(number, room);
        if machine.class != old {
            self.rooms.leave(number, old);
        }
        if machine.tasks.len() >= MAX_TASKS {
            self.open.set(number, false);
        }
        self.placement.own.put(wanted.id.clone(), agent, wanted.task.labels(), &ask.need);
        self.leaves.placed(number, &before, machine, wanted.task.labels(), &self.placement.own);
        self.placed.push(Placed { task: wanted.id.clone(), agent: agent.clone(), resources: taken });
        true
    }

    /// The launches, and why others have none.
    pub(super) fn finish(mut self) -> Decision {
        let mut decision = Decision { unplaced: self.explain_all(), ..Decision::default() };
        let mut plan = Plan::new();
        for machine in &mut self.machines {
            if machine.tasks.is_empty() {
                decision.unused.extend(machine.offers.iter().map(|offer| offer.id.clone()));
                continue;
            }
            let tasks = std::mem::take(&mut machine.tasks);
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id.clone()).collect();
            let offers = machine.offers.iter().map(|offer| offer.id.clone()).collect();
            self.placement.launches.push(Launch { offers, tasks: ids });
            plan = plan.launch_on(machine.offers.iter().copied(), tasks);
        }
        decision.plan = plan;
        decision.placed = std::mem::take(&mut self.placed);
        decision
    }

    fn explain_all(&self) -> Vec<Unplaced> {
        let mut known: BTreeMap<usize, Explained> = BTreeMap::new();
        let left = self.left.iter().take(MAX_UNPLACED);
        let explain = |index: &usize| {
            let wanted = &self.waiting[*index];
            if let Some(agent) = self.placement.own.agent_of(&wanted.id) {
                return Explained::in_use(self.offers.len(), agent).of(&wanted.id);
            }
            let number = self.kind_of[*index];
            known.entry(number).or_insert_with(|| self.explain(number)).of(&wanted.id)
        };
        left.map(explain).collect()
    }

    fn explain(&self, number: usize) -> Explained {
        let kind = &self.kinds[number];
        Explained::new(&self.machines, &self.rooms, &self.leaves, &self.placement.own, kind, &self.open)
    }
}

/// The free ports that may be given to tasks.
fn ports_of(machine: &Machine<'_>) -> Ranges {
    let ports = machine.free.iter().filter(|resource| resource.name() == "ports" && plain(resource));
    let ranges = ports.filter_map(|resource| match resource.value() {
        Value::Ranges(ranges) => Some(ranges.iter()),
        Value::Scalar(_) | Value::Set(_) | Value::Devices(_) => None,
    });
    Ranges::new(ranges.flatten()).unwrap_or_default()
}
