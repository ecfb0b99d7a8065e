//! Constraints: where instances of an app or pod may run, judged by those that are placed already.
//!
//! Invariants
//! - Values are compared as text.
//! - Where the agent has no value, `UNLIKE` alone holds.
//! - They are asked at launch only; nothing is moved by them.
//!
//! Source: Marathon's constraints; `GROUP_BY` is that of Marathon 1.10, but without a number that of 1.9, because the later
//! one divides by it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lonja_model::Offer;

use super::fields::{Field, number_as_text};
use super::patterns::{Patterns, Shape};
use crate::definition::{Constraint, Operator};
use crate::instance::Place;

/// One constraint, made ready to be asked often.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) field: Field,
    /// As people write it: `rack_id GROUP_BY 3`.
    shown: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Unique,
    Cluster(Option<String>),
    GroupBy(Option<u32>),
    Like(Shape),
    Unlike(Shape),
    MaxPer(u32),
    Is(String),
}

impl Rule {
    pub(super) fn new(constraint: &Constraint, patterns: &mut Patterns) -> Self {
        let Constraint { field, operator } = constraint;
        let mut shown = format!("{field} {}", operator.name());
        if let Some(value) = operator.value() {
            shown.push(' ');
            shown.extend(value.chars().take(64));
        }
        let test = match operator {
            Operator::Unique => Test::Unique,
            Operator::Cluster(value) => Test::Cluster(value.clone().filter(|value| !value.is_empty())),
            Operator::GroupBy(groups) => Test::GroupBy(groups.filter(|groups| *groups > 0)),
            Operator::Like(pattern) => Test::Like(patterns.get(pattern)),
            Operator::Unlike(pattern) => Test::Unlike(patterns.get(pattern)),
            Operator::MaxPer(count) => Test::MaxPer(*count),
            Operator::Is(value) => Test::Is(number_as_text(value).unwrap_or_else(|| value.clone())),
        };
        Self { field: Field::named(field), shown, test }
    }

    /// Does it ask where other instances are?
    fn counts(&self) -> bool {
        match self.test {
            Test::Unique | Test::Cluster(None) | Test::GroupBy(_) | Test::MaxPer(_) => true,
            Test::Cluster(Some(_)) | Test::Like(_) | Test::Unlike(_) | Test::Is(_) => false,
        }
    }

    /// Makes it ready for one instance beside these others, of which `target` are wanted.
    pub(super) fn among<'a>(&'a self, siblings: &[&'a Place], target: u32) -> Asked<'a> {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut first = None;
        if self.counts() {
            for value in siblings.iter().filter_map(|place| self.field.of_place(place)) {
                first.get_or_insert(value);
                *counts.entry(value).or_default() += 1;
            }
        }
        let mut asked = Asked { rule: self, first, counts, share: None };
        if let Test::GroupBy(Some(groups)) = self.test {
            asked.share = Some(Share::of(groups, target, &asked.counts));
        }
        asked
    }
}

/// What each of a given number of groups takes.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// Each of them takes so many.
    each: u32,
    /// So many may take one more.
    more: u32,
}

impl Share {
    fn of(groups: u32, target: u32, counts: &BTreeMap<&str, u32>) -> Self {
        let (each, rest) = (target / groups, target % groups);
        let over: u32 = counts.values().map(|count| count.saturating_sub(each)).sum();
        Self { each, more: rest.saturating_sub(over) }
    }
}

/// A [`Rule`] beside the instances of one moment.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    rule: &'a Rule,
    first: Option<&'a str>,
    counts: BTreeMap<&'a str, u32>,
    share: Option<Share>,
}

impl Asked<'_> {
    /// Does it ask where other instances are?
    pub(super) fn counts(&self) -> bool {
        self.rule.counts()
    }

    /// Does it hold where this offer comes from?
    pub(super) fn holds(&self, offer: &Offer) -> bool {
        let value = self.rule.field.of_offer(offer);
        let Some(value) = value.as_deref() else { return matches!(self.rule.test, Test::Unlike(_)) };
        let count = self.counts.get(value).copied();
        match &self.rule.test {
            Test::Unique => count.is_none(),
            Test::Cluster(Some(wanted)) => value == wanted,
            Test::Cluster(None) => self.first.is_none_or(|first| value == first),
            Test::GroupBy(None) => {
                count.is_none_or(|count| self.counts.values().all(|other| count <= *other))
            }
            Test::GroupBy(Some(groups)) => {
                let seen = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
                let share = self.share.unwrap_or(Share { each: 0, more: 0 });
                match count {
                    None => seen < *groups,
                    Some(count) => count < share.each || (count == share.each && share.more > 0),
                }
            }
            Test::Like(shape) => shape.matches(value) == Some(true),
            Test::Unlike(shape) => shape.matches(value) == Some(false),
            Test::MaxPer(most) => count.unwrap_or(0) < *most,
            Test::Is(wanted) => value == wanted && !is_ranges(&self.rule.field, offer),
        }
    }

    /// In words why it does not hold there.
    pub(super) fn why_not(&self, offer: &Offer) -> String {
        let shown = &self.rule.shown;
        let Some(value) = self.rule.field.of_offer(offer) else {
            return format!("{shown}: the agent has no such value");
        };
        let value: Cow<'_, str> = value.chars().take(64).collect::<String>().into();
        let count = self.counts.get(value.as_ref()).copied().unwrap_or(0);
        match &self.rule.test {
            Test::Unique => format!("{shown}: {} on {value}", are(count)),
            Test::Cluster(None) => {
                format!("{shown}: the first is on {}, this is {value}", self.first.unwrap_or("none"))
            }
            Test::GroupBy(Some(groups)) if count == 0 => {
                format!("{shown}: all {groups} groups are in use, {value} would be another")
            }
            Test::GroupBy(_) => {
                let least = self.counts.values().min().copied().unwrap_or(0);
                format!("{shown}: {} on {value} already, the least of a group is {least}", are(count))
            }
            Test::MaxPer(_) => format!("{shown}: {} on {value}", are(count)),
            Test::Like(shape) | Test::Unlike(shape) => match shape.fault() {
                Some(fault) => format!("{shown}: the expression cannot be used: {fault}"),
                None => format!("{shown}: the value is {value}"),
            },
            Test::Cluster(Some(_)) | Test::Is(_) => format!("{shown}: the value is {value}"),
        }
    }
}

fn is_ranges(field: &Field, offer: &Offer) -> bool {
    use lonja_model::attributes::AttributeValue;
    match field {
        Field::Attribute(name) => matches!(offer.attributes.get(name), Some(AttributeValue::Ranges(_))),
        Field::Hostname | Field::Region | Field::Zone => false,
    }
}

fn are(count: u32) -> String {
    if count == 1 { "1 instance is".to_owned() } else { format!("{count} instances are") }
}
