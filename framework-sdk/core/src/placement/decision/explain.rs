//! Why a task has no place: one reason for each offer, and the offer that was nearest.

use std::collections::BTreeMap;

use lonja_model::unplaced::{MAX_REASONS, MAX_WORDS_BYTES, NearMiss, Unplaced};
use lonja_model::{AgentId, TaskId};

use super::bits::Bits;
use super::leaves::{Formula, Leaves};
use super::machines::Machine;
use super::misses::misses;
use super::rooms::Rooms;
use super::search::Sought;
use crate::placement::OwnTasks;
use crate::placement::predicate::Predicate;

/// Why tasks of one kind have no place.
pub(super) struct Explained {
    offers: u64,
    reasons: Vec<(String, u64)>,
    nearest: Option<NearMiss>,
}

/// Of so many machines at most, that break equally few rules, the nearest is looked for.
const MAX_LOOKED_AT: usize = 1_000;

/// What is looked at.
struct Looked<'a, 'b> {
    machines: &'b [Machine<'a>],
    rooms: &'b Rooms,
    own: &'b OwnTasks,
    kind: &'b Sought<'a>,
    /// Where each rule does not hold.
    broken: Vec<Bits>,
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
        Looked { machines, rooms, own, kind, broken, open }.sum_up()
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
        let several: Vec<(usize, usize)> = self
            .machines
            .iter()
            .map(|machine| machine.offers.len())
            .enumerate()
            .filter(|(_, offers)| *offers > 1)
            .collect();
        let offers = |of: &Bits| {
            let more = several.iter().filter(|(number, _)| of.has(*number)).map(|(_, offers)| offers - 1);
            u64::try_from(of.count() + more.sum::<usize>()).unwrap_or(u64::MAX)
        };
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let all = Bits::all(self.machines.len());
        let mut left = all.clone();
        for (rule, broken) in self.broken.iter().enumerate() {
            let mut here = left.clone();
            here.keep(broken);
            left.drop(broken);
            if !here.is_empty() {
                *counts.entry(cut(self.rule(rule).to_string())).or_default() += offers(&here);
            }
        }
        let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
        for number in left.iter() {
            let offers = self.machines[number].offers.len();
            *by_reason.entry(self.reason(number)).or_default() += u64::try_from(offers).unwrap_or(u64::MAX);
        }
        for (reason, count) in by_reason {
            *counts.entry(reason.to_owned()).or_default() += count;
        }
        let mut reasons: Vec<(String, u64)> = counts.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons.truncate(MAX_REASONS);
        Explained {
            offers: offers(&all),
            reasons,
            nearest: self.nearest().map(|number| self.near_miss(number)),
        }
    }

    /// Of those that break fewest rules the one where least is missing, and of equal ones the first.
    fn nearest(&self) -> Option<usize> {
        // By how many rules they break.
        let mut levels = vec![Bits::all(self.machines.len())];
        for broken in &self.broken {
            levels.push(broken.emptied());
            for level in (0..levels.len() - 1).rev() {
                let mut more = levels[level].clone();
                more.keep(broken);
                levels[level].drop(broken);
                levels[level + 1].add(&more);
            }
        }
        let fewest = levels.iter().find(|level| !level.is_empty())?;
        let ask = &self.kind.kind.ask;
        let missing = |number: &usize| {
            let misses = misses(self.rooms.room(self.machines[*number].class), ask);
            (misses.len(), misses.iter().map(|miss| miss.part).sum::<f64>())
        };
        let each = fewest.iter().take(MAX_LOOKED_AT).map(|number| (missing(&number), number));
        let nearer = |(one, _): &((usize, f64), usize), (other, _): &((usize, f64), usize)| {
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
        };
        each.min_by(nearer).map(|(_, number)| number)
    }

    /// A rule as it was written.
    fn rule(&self, rule: usize) -> Predicate {
        let place = self.kind.kind.place.conjuncts();
        place.get(rule).cloned().unwrap_or_else(|| {
            let port = self.kind.kind.port_leaves.get(rule - place.len());
            port.cloned().map_or_else(Predicate::always, Predicate::leaf)
        })
    }

    /// Why not, where all rules hold.
    fn reason(&self, number: usize) -> &'static str {
        match misses(self.rooms.room(self.machines[number].class), &self.kind.kind.ask).first() {
            Some(miss) => miss.reason,
            None if !self.open.has(number) => "enough launched there at once",
            None => "not wanted there by the policy",
        }
    }

    fn near_miss(&self, number: usize) -> NearMiss {
        let machine = &self.machines[number];
        let why = match self.broken.iter().position(|broken| broken.has(number)) {
            Some(rule) => self.rule(rule).in_the_way(&machine.site(), &machine.free, self.own),
            None => {
                let (room, ask) = (self.rooms.room(machine.class), &self.kind.kind.ask);
                let miss = misses(room, ask).first().map(|miss| miss.why(room, ask));
                miss.unwrap_or_else(|| self.reason(number).to_owned())
            }
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
