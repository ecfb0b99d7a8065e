//! What a predicate says of one place: the meaning of the language, written as plainly as may be. Decisions over many
//! offers reach the same answers by another way ([`decision`](crate::placement::decision)), and a property test holds
//! them together.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::resources::{Scalar, Value};
use lonja_model::{AgentId, Offer, Resources};

use super::{Comparison, Leaf, Node, Predicate, Rule, Subject, Tasks, Test};
use crate::placement::OwnTasks;
use crate::placement::fit::plain;

/// What is known of an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) agent: &'a AgentId,
    pub(crate) hostname: &'a str,
    pub(crate) domain: Option<&'a Domain>,
    pub(crate) attributes: &'a Attributes,
}

impl<'a> From<&'a Offer> for Site<'a> {
    fn from(offer: &'a Offer) -> Self {
        let Offer { agent, hostname, domain, attributes, .. } = offer;
        Self { agent, hostname, domain: domain.as_ref(), attributes }
    }
}

/// How many tasks of one kind there are at each value of one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// At least one each.
    by_value: BTreeMap<Arc<str>, u32>,
    /// By number of tasks: at how many values there are so many.
    numbers: BTreeMap<u32, u32>,
}

impl Census {
    /// One more at this value.
    pub(crate) fn add(&mut self, value: &Arc<str>) {
        let count = self.by_value.entry(value.clone()).or_default();
        *count += 1;
        let count = *count;
        self.moved(count - 1, count);
    }

    /// One less at this value.
    pub(crate) fn remove(&mut self, value: &str) {
        let Some(count) = self.by_value.get_mut(value) else { return };
        *count -= 1;
        let count = *count;
        if count == 0 {
            self.by_value.remove(value);
        }
        self.moved(count + 1, count);
    }

    fn moved(&mut self, from: u32, to: u32) {
        if let Some(values) = self.numbers.get_mut(&from) {
            *values -= 1;
            if *values == 0 {
                self.numbers.remove(&from);
            }
        }
        if to > 0 {
            *self.numbers.entry(to).or_default() += 1;
        }
    }

    /// How many there are at this value.
    pub(crate) fn at(&self, value: &str) -> u32 {
        self.by_value.get(value).copied().unwrap_or(0)
    }

    /// Where there are any, with how many.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_value.iter().map(|(value, count)| (&**value, *count))
    }

    /// The least at any value, of those `known` and those `expected`; 0 if there is none.
    pub(crate) fn least(&self, known: &BTreeMap<Arc<str>, u32>, expected: &BTreeSet<Arc<str>>) -> u32 {
        let besides = expected.iter().filter(|value| !known.contains_key(*value)).count();
        // Agents with tasks are known.
        if self.by_value.len() < known.len() + besides {
            return 0;
        }
        self.numbers.first_key_value().map_or(0, |(least, _)| *least)
    }
}

/// A census, with what a rule asks beside it.
pub(crate) struct Standing<'a> {
    pub(crate) census: &'a Census,
    pub(crate) least: u32,
    /// Among the values that count, those of the rule, if it asks for the least.
    pub(crate) expected: Option<&'a BTreeSet<Arc<str>>>,
    /// And those of agents, then.
    pub(crate) known: &'a BTreeMap<Arc<str>, u32>,
}

impl Standing<'_> {
    /// The first value where there are least, if the rule asks for it. O(values).
    fn emptiest(&self) -> Option<&str> {
        let expected = self.expected?;
        let mut values = self.known.keys().chain(expected);
        values.find(|value| self.census.at(value) == self.least).map(|value| &**value)
    }
}

impl Rule {
    /// The values whose least number counts, if it does.
    pub(crate) fn expected(&self) -> Option<&BTreeSet<Arc<str>>> {
        match self {
            Self::Skew { expected, .. } => Some(expected),
            Self::Present | Self::AtMost(_) | Self::Together => None,
        }
    }

    /// Does it hold where there are `count`?
    pub(crate) fn holds(&self, count: u32, standing: &Standing<'_>) -> bool {
        match self {
            Self::Present => count > 0,
            Self::AtMost(most) => count < *most,
            Self::Skew { most, .. } => count.saturating_add(1).saturating_sub(standing.least) <= *most,
            Self::Together => count > 0 || standing.census.by_value.is_empty(),
        }
    }
}

impl Test {
    /// Does it hold of a value that is there?
    pub(crate) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::In(values) => values.contains(value),
            Self::Like(like) => like.pattern.matches(value),
            Self::Number(comparison, with) => Scalar::parse(value).is_ok_and(|number| match comparison {
                Comparison::Below => number < *with,
                Comparison::AtMost => number <= *with,
                Comparison::AtLeast => number >= *with,
                Comparison::Above => number > *with,
            }),
        }
    }
}

/// How much of a resource there is: of scalars the sum, of devices thousandths of all, of ranges and sets how many.
/// Neither volumes nor what may be taken back count: tasks are not placed on them.
pub(crate) fn amount(free: &Resources, name: &str) -> Scalar {
    let named = free.iter().filter(|resource| resource.name() == name && plain(resource));
    let amounts = named.map(|resource| {
        let units = |count: u64| Scalar::from_units(count).unwrap_or(Scalar::MAX);
        match resource.value() {
            Value::Scalar(amount) => *amount,
            Value::Devices(devices) => Scalar::from_thousandths(devices.total()).unwrap_or(Scalar::MAX),
            Value::Ranges(ranges) => units(ranges.count()),
            Value::Set(set) => units(u64::try_from(set.len()).unwrap_or(u64::MAX)),
        }
    });
    amounts.fold(Scalar::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(Scalar::MAX))
}

/// Is this port free?
pub(crate) fn has_port(free: &Resources, port: u64) -> bool {
    let ports = free.iter().filter(|resource| resource.name() == "ports" && plain(resource));
    let mut ranges = ports.filter_map(|resource| match resource.value() {
        Value::Ranges(ranges) => Some(ranges),
        Value::Scalar(_) | Value::Set(_) | Value::Devices(_) => None,
    });
    ranges.any(|ranges| ranges.iter().any(|(begin, end)| begin <= port && port <= end))
}

impl Leaf {
    /// What it asks of one's own tasks: by what, and of which.
    pub(crate) fn of_own(&self) -> Option<(&Subject, &Tasks)> {
        match self {
            Self::Own { subject, tasks, .. } => Some((subject, tasks)),
            Self::Says { .. } | Self::Free { .. } | Self::Port(_) => None,
        }
    }

    fn holds(&self, site: &Site<'_>, free: &Resources, own: &OwnTasks) -> bool {
        match self {
            Self::Says { subject, test } => subject.value(site).is_some_and(|value| test.holds(&value)),
            Self::Free { name, amount: wanted } => amount(free, name) >= *wanted,
            Self::Port(port) => has_port(free, *port),
            Self::Own { subject, tasks, rule } => {
                let Some(value) = subject.value(site) else { return false };
                own.ask(subject, tasks, rule, |standing| rule.holds(standing.census.at(&value), standing))
            }
        }
    }

    /// What is there instead, for people.
    fn found(&self, site: &Site<'_>, free: &Resources, own: &OwnTasks) -> String {
        match self {
            Self::Says { subject, .. } => {
                subject.value(site).map_or_else(|| "not told".to_owned(), Cow::into_owned)
            }
            Self::Free { name, .. } => format!("{} free", amount(free, name)),
            Self::Port(_) => "in use, or not offered".to_owned(),
            Self::Own { subject, tasks, rule } => {
                let Some(value) = subject.value(site) else { return format!("no {subject} told") };
                own.ask(subject, tasks, rule, |standing| {
                    let count = standing.census.at(&value);
                    match standing.emptiest() {
                        Some(emptiest) => {
                            format!("{count} at {value}, only {} at {emptiest}", standing.least)
                        }
                        None => format!("{count} at {value}"),
                    }
                })
            }
        }
    }
}

impl Predicate {
    /// Does it hold of this offer, beside one's own tasks as they are? What is free is what the offer holds. Cheap for
    /// what stands in `own` as tracked ([`OwnTasks::track`]); what does not is counted anew.
    pub fn holds(&self, offer: &Offer, own: &OwnTasks) -> bool {
        self.holds_at(&Site::from(offer), &offer.resources, own)
    }

    pub(crate) fn holds_at(&self, site: &Site<'_>, free: &Resources, own: &OwnTasks) -> bool {
        match self.node() {
            Node::Always => true,
            Node::Leaf(leaf) => leaf.holds(site, free, own),
            Node::All(of) => of.iter().all(|one| one.holds_at(site, free, own)),
            Node::Any(of) => of.iter().any(|one| one.holds_at(site, free, own)),
            Node::Not(of) => !of.holds_at(site, free, own),
        }
    }

    /// If it does not hold: the first of the things that all must hold which does not, and what is there instead, such as
    /// `rack is r1: r2`.
    pub fn first_unmet(&self, offer: &Offer, own: &OwnTasks) -> Option<String> {
        let site = Site::from(offer);
        let unmet = self.conjuncts().iter().find(|one| !one.holds_at(&site, &offer.resources, own));
        Some(unmet?.in_the_way(&site, &offer.resources, own))
    }

    /// It does not hold there: in words, with what is there instead if it is one thing.
    pub(crate) fn in_the_way(&self, site: &Site<'_>, free: &Resources, own: &OwnTasks) -> String {
        let leaf = match self.node() {
            Node::Leaf(leaf) => Some(leaf),
            Node::Not(of) => match of.node() {
                Node::Leaf(leaf) => Some(leaf),
                Node::Always | Node::All(_) | Node::Any(_) | Node::Not(_) => None,
            },
            Node::Always | Node::All(_) | Node::Any(_) => None,
        };
        match leaf {
            Some(leaf) => format!("{self}: {}", leaf.found(site, free, own)),
            None => self.to_string(),
        }
    }
}
