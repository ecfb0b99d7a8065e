//! Where each thing that is asked holds: one set of machines for each leaf of the predicates, kept true as tasks are
//! placed.
//!
//! A thousand tasks ask few different things, and the values of what they ask about are few beside the machines. So each
//! leaf is judged once for each value and not for each pair of task and offer; a predicate is then a few operations on
//! sets.

use std::collections::BTreeMap;
use std::ops::Bound;

use lonja_model::labels::Labels;
use lonja_model::resources::Scalar;

use super::bits::Bits;
use super::machines::Machine;
use super::values::Values;
use crate::placement::OwnTasks;
use crate::placement::predicate::{
    LabelTest, Leaf, Node, Predicate, Rule, Subject, Tasks, Test, amount, has_port,
};

/// A predicate whose leaves have numbers.
#[derive(Clone, Debug)]
pub(super) enum Formula {
    Always,
    Leaf(usize),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// One leaf.
struct Judged<'a> {
    leaf: &'a Leaf,
    holds: Bits,
    /// Of a rule that asks for it: the least number of tasks at any value.
    least: u32,
}

/// All leaves of all predicates.
pub(super) struct Leaves<'a> {
    machines: usize,
    numbers: BTreeMap<&'a Leaf, usize>,
    judged: Vec<Judged<'a>>,
    values: BTreeMap<&'a Subject, Values<'a>>,
    /// What may change when a task is placed: amounts by name, ports, and one's own tasks by a label.
    amounts: BTreeMap<&'a str, BTreeMap<Scalar, usize>>,
    ports: BTreeMap<u64, usize>,
    own: BTreeMap<Option<LabelTest>, Vec<usize>>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(machines: usize) -> Self {
        Self {
            machines,
            numbers: BTreeMap::new(),
            judged: Vec::new(),
            values: BTreeMap::new(),
            amounts: BTreeMap::new(),
            ports: BTreeMap::new(),
            own: BTreeMap::new(),
        }
    }

    /// The predicate over these machines; its leaves are judged if they were not.
    pub(super) fn formula(
        &mut self,
        predicate: &'a Predicate,
        machines: &[Machine<'a>],
        own: &mut OwnTasks,
    ) -> Formula {
        let mut each = |of: &'a [Predicate]| of.iter().map(|one| self.formula(one, machines, own)).collect();
        match predicate.node() {
            Node::Always => Formula::Always,
            Node::All(of) => Formula::All(each(of)),
            Node::Any(of) => Formula::Any(each(of)),
            Node::Not(of) => Formula::Not(Box::new(self.formula(of, machines, own))),
            Node::Leaf(leaf) => Formula::Leaf(self.number(leaf, machines, own)),
        }
    }

    pub(super) fn number(&mut self, leaf: &'a Leaf, machines: &[Machine<'a>], own: &mut OwnTasks) -> usize {
        if let Some(number) = self.numbers.get(leaf) {
            return *number;
        }
        let number = self.judged.len();
        let (holds, least) = match leaf {
            Leaf::Says { subject, test } => {
                let values = self.values_of(subject, machines, own);
                let mut holds = Bits::none(machines.len());
                if let Test::In(wanted) = test {
                    wanted.iter().for_each(|name| values.put(name, &mut holds, true));
                } else {
                    values.put_those(|name| test.holds(name), &mut holds);
                }
                (holds, 0)
            }
            Leaf::Free { name, amount: wanted } => {
                self.amounts.entry(name).or_default().insert(*wanted, number);
                (among(machines, |machine| amount(&machine.free, name) >= *wanted), 0)
            }
            Leaf::Port(port) => {
                self.ports.insert(*port, number);
                (among(machines, |machine| has_port(&machine.free, *port)), 0)
            }
            Leaf::Own { subject, tasks, rule } => {
                own.track_one(subject, tasks);
                self.own.entry(tasks.first_test().cloned()).or_default().push(number);
                judge_own(self.values_of(subject, machines, own), own, (subject, tasks, rule))
            }
        };
        self.judged.push(Judged { leaf, holds, least });
        self.numbers.insert(leaf, number);
        number
    }

    fn values_of(
        &mut self,
        subject: &'a Subject,
        machines: &[Machine<'a>],
        own: &mut OwnTasks,
    ) -> &Values<'a> {
        self.values.entry(subject).or_insert_with(|| Values::new(subject, machines, own))
    }

    /// May its verdict change when tasks are placed, to a yes where it was a no?
    pub(super) fn may_grow(&self, formula: &Formula) -> bool {
        match formula {
            Formula::Always => false,
            Formula::Leaf(number) => match self.judged[*number].leaf {
                Leaf::Says { .. } | Leaf::Free { .. } | Leaf::Port(_) => false,
                Leaf::Own { .. } => true,
            },
            Formula::All(of) | Formula::Any(of) => of.iter().any(|one| self.may_grow(one)),
            Formula::Not(of) => match &**of {
                Formula::Leaf(number) => !matches!(self.judged[*number].leaf, Leaf::Says { .. }),
                Formula::Always => false,
                Formula::All(_) | Formula::Any(_) | Formula::Not(_) => true,
            },
        }
    }

    /// Keeps of `mask` those of which the formula holds.
    pub(super) fn keep(&self, mask: &mut Bits, formula: &Formula) {
        match formula {
            Formula::Always => {}
            Formula::Leaf(number) => mask.keep(&self.judged[*number].holds),
            Formula::All(of) => of.iter().for_each(|one| self.keep(mask, one)),
            Formula::Not(of) => match &**of {
                Formula::Leaf(number) => mask.drop(&self.judged[*number].holds),
                other @ (Formula::Always | Formula::All(_) | Formula::Any(_) | Formula::Not(_)) => {
                    let mut those = mask.clone();
                    self.keep(&mut those, other);
                    mask.drop(&those);
                }
            },
            Formula::Any(of) => {
                let mut any = Bits::none(self.machines);
                for one in of {
                    let mut those = mask.clone();
                    self.keep(&mut those, one);
                    any.add(&those);
                }
                *mask = any;
            }
        }
    }

    /// A task was placed on a machine, and `own` knows it: what that changes.
    pub(super) fn placed(
        &mut self,
        number: usize,
        before: &lonja_model::Resources,
        machine: &Machine<'a>,
        labels: &Labels,
        own: &OwnTasks,
    ) {
        for (name, leaves) in &self.amounts {
            let (was, is) = (amount(before, name), amount(&machine.free, name));
            if is < was {
                for (_, leaf) in leaves.range((Bound::Excluded(is), Bound::Included(was))) {
                    self.judged[*leaf].holds.set(number, false);
                }
            }
        }
        for (port, leaf) in &self.ports {
            if self.judged[*leaf].holds.has(number) && !has_port(&machine.free, *port) {
                self.judged[*leaf].holds.set(number, false);
            }
        }
        if self.own.is_empty() {
            return;
        }
        for test in LabelTest::all_met_by(labels) {
            for leaf in self.own.get(&test).into_iter().flatten() {
                self.judged[*leaf].count_again(number, &self.values, labels, own);
            }
        }
    }
}

impl Judged<'_> {
    /// One more task with these labels is on a machine.
    fn count_again(
        &mut self,
        machine: usize,
        values: &BTreeMap<&Subject, Values<'_>>,
        labels: &Labels,
        own: &OwnTasks,
    ) {
        let Leaf::Own { subject, tasks, rule } = self.leaf else { return };
        let Some(values) = values.get(subject).filter(|_| tasks.match_labels(labels)) else { return };
        let Some(name) = values.name_of(machine) else { return };
        let one = own.ask(subject, tasks, rule, |standing| {
            let count = standing.census.at(name);
            let is_first = *rule == Rule::Together && count == 1;
            (standing.least == self.least && !is_first).then(|| rule.holds(count, standing))
        });
        match one {
            Some(holds) => values.put(name, &mut self.holds, holds),
            None => (self.holds, self.least) = judge_own(values, own, (subject, tasks, rule)),
        }
    }
}

fn among<'a>(machines: &[Machine<'a>], holds: impl Fn(&Machine<'a>) -> bool) -> Bits {
    let mut bits = Bits::none(machines.len());
    for (index, machine) in machines.iter().enumerate() {
        if holds(machine) {
            bits.set(index, true);
        }
    }
    bits
}

/// Where a rule about one's own tasks holds, and the least number at any value if the rule asks for it.
fn judge_own(
    values: &Values<'_>,
    own: &OwnTasks,
    (subject, tasks, rule): (&Subject, &Tasks, &Rule),
) -> (Bits, u32) {
    own.ask(subject, tasks, rule, |standing| {
        let elsewhere = rule.holds(0, standing);
        let mut holds = if elsewhere { values.present().clone() } else { values.nobody() };
        for (name, count) in standing.census.iter() {
            let holds_here = rule.holds(count, standing);
            if holds_here != elsewhere {
                values.put(name, &mut holds, holds_here);
            }
        }
        (holds, standing.least)
    })
}
