//! Why a task has no place: one reason for each offer, and the offer that was nearest.

use std::collections::BTreeMap;

use lonja_model::unplaced::{MAX_REASONS, MAX_WORDS_BYTES, NearMiss, Unplaced};
use lonja_model::{AgentId, TaskId};

use super::bits::Bits;
use super::leaves::{Formula, Leaves};
use super::machines::Machine;
use super::rooms::Rooms;
use super::search::Sought;
use super::wanted::{Shortage, shortages};
use crate::placement::OwnTasks;
use crate::placement::predicate::Predicate;

/// Why tasks of one kind have no place.
pub(super) struct Explained {
    offers: u64,
    reasons: Vec<(String, u64)>,
    nearest: Option<NearMiss>,
}

/// How far a machine is from being taken; the smaller the nearer.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Distance {
    /// How many things are in the way.
    things: usize,
    /// How much of what is asked for is missing, summed over the kinds of resources.
    missing: f64,
}

/// What is looked at.
struct Looked<'a, 'b> {
    machines: &'b [Machine<'a>],
    own: &'b OwnTasks,
    kind: &'b Sought<'a>,
    /// Where each rule does not hold.
    broken: Vec<Bits>,
    /// What is short in each class of rooms that was looked at.
    short: BTreeMap<usize, Vec<Shortage>>,
    open: &'b Bits,
}

impl Explained {
    pub(super) fn new<'a>(
        machines: &[Machine<'a>],
        rooms: &Rooms,
        leaves: &Leaves<'a>,
        own: &OwnTasks,
        kind: &Sought<'a>,
        open: &Bits,
    ) -> Self {
        let broken = |rule: &Formula| {
            let mut broken = Bits::all(machines.len());
            leaves.keep(&mut broken, rule);
            broken.negate();
            broken
        };
        let broken = kind.rules.iter().map(broken).collect();
        let ask = &kind.kind.ask;
        let mut short = BTreeMap::new();
        for machine in machines {
            short.entry(machine.class).or_insert_with(|| shortages(rooms.room(machine.class), ask));
        }
        Looked { machines, own, kind, broken, short, open }.sum_up()
    }

    /// Of a task whose id a task has that runs.
    pub(super) fn in_use(offers: usize, agent: &AgentId) -> Self {
        let offers = u64::try_from(offers).unwrap_or(u64::MAX);
        let why = cut(format!("its id is in use by a task on {agent}; take another"));
        Self { offers, reasons: vec![(why, offers)], nearest: None }
    }

    /// Told of one task.
    pub(super) fn of(&self, task: &TaskId) -> Unplaced {
        let Self { offers, reasons, nearest } = self;
        let task = cut(task.to_string());
        Unplaced { task, offers: *offers, reasons: reasons.clone(), nearest: nearest.clone() }
    }
}

impl<'a> Looked<'a, '_> {
    fn sum_up(self) -> Explained {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut by_rule = vec![0_u64; self.broken.len()];
        let mut offers = 0;
        let mut nearest: Option<(Distance, usize)> = None;
        for (number, machine) in self.machines.iter().enumerate() {
            let weight = u64::try_from(machine.offers.len()).unwrap_or(u64::MAX);
            offers += weight;
            match self.broken.iter().position(|broken| broken.has(number)) {
                Some(rule) => by_rule[rule] += weight,
                None => *counts.entry(self.reason(number).to_owned()).or_default() += weight,
            }
            let distance = self.distance(number);
            if nearest.is_none_or(|(nearest, _)| distance < nearest) {
                nearest = Some((distance, number));
            }
        }
        for (rule, count) in by_rule.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            *counts.entry(cut(self.rule(rule).to_string())).or_default() += count;
        }
        let mut reasons: Vec<(String, u64)> = counts.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons.truncate(MAX_REASONS);
        let nearest = nearest.map(|(_, number)| self.near_miss(number));
        Explained { offers, reasons, nearest }
    }

    /// A rule as it was written.
    fn rule(&self, rule: usize) -> Predicate {
        let place = self.kind.kind.place.conjuncts();
        place.get(rule).cloned().unwrap_or_else(|| {
            let port = self.kind.kind.port_leaves.get(rule - place.len());
            port.cloned().map_or_else(Predicate::always, Predicate::leaf)
        })
    }

    fn short(&self, number: usize) -> &[Shortage] {
        self.short.get(&self.machines[number].class).map_or(&[], Vec::as_slice)
    }

    /// Why not, where all rules hold.
    fn reason(&self, number: usize) -> &'static str {
        match self.short(number).first() {
            Some(short) => short.reason,
            None if !self.open.has(number) => "enough launched there at once",
            None => "not wanted there by the policy",
        }
    }

    fn distance(&self, number: usize) -> Distance {
        let broken = self.broken.iter().filter(|broken| broken.has(number)).count();
        let short = self.short(number);
        Distance { things: broken + short.len(), missing: short.iter().map(|short| short.part).sum() }
    }

    fn near_miss(&self, number: usize) -> NearMiss {
        let machine = &self.machines[number];
        let why = match self.broken.iter().position(|broken| broken.has(number)) {
            Some(rule) => self.rule(rule).in_the_way(&machine.site(), &machine.free, self.own),
            None => match self.short(number).first() {
                Some(short) => short.why.clone(),
                None => self.reason(number).to_owned(),
            },
        };
        let offer = machine.first();
        NearMiss { agent: offer.agent.clone(), hostname: cut(offer.hostname.clone()), why: cut(why) }
    }
}

/// At most as long as a text may be that is told.
fn cut(mut text: String) -> String {
    if text.len() > MAX_WORDS_BYTES {
        let mut end = MAX_WORDS_BYTES - '…'.len_utf8();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
