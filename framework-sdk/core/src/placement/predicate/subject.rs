//! What of a place is looked at.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use lonja_model::attributes::AttributeValue;
use lonja_model::constraints::Selector;
use lonja_model::pattern::Pattern;

use super::{Comparison, InvalidPredicate, Leaf, Like, Predicate, Rule, Site, Tasks, Test, number};

/// What of a place is looked at, and that by which places are grouped.
///
/// Its value is a text: that of a number or of ranges is as people write it (`2.5`, `[80-90]`). Of several attributes of
/// one name the first counts, as for the master. Where the value is absent nothing holds but what is negated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// The agent, by its id.
    Agent,
    /// The agent's hostname.
    Hostname,
    /// Its region; absent if it does not say.
    Region,
    /// Its zone; absent if it does not say.
    Zone,
    /// The first attribute of this name.
    Attribute(Arc<str>),
}

/// The agent itself, by its id.
pub fn agent() -> Subject {
    Subject::Agent
}

/// The agent's hostname.
pub fn hostname() -> Subject {
    Subject::Hostname
}

/// The region that the agent is in.
pub fn region() -> Subject {
    Subject::Region
}

/// The zone that the agent is in.
pub fn zone() -> Subject {
    Subject::Zone
}

/// The agent's first attribute of this name.
pub fn attribute(name: impl Into<Arc<str>>) -> Subject {
    Subject::Attribute(name.into())
}

impl Subject {
    /// It is there.
    pub fn exists(&self) -> Predicate {
        self.says(Test::Exists)
    }

    /// It is this text.
    pub fn is(&self, value: impl Into<Arc<str>>) -> Predicate {
        self.is_in([value])
    }

    /// It is one of these texts.
    pub fn is_in<T: Into<Arc<str>>>(&self, values: impl IntoIterator<Item = T>) -> Predicate {
        self.says(Test::In(values.into_iter().map(Into::into).collect()))
    }

    /// The regular expression matches all of it, as the master reads it ([`lonja_model::pattern`]). Errors: the
    /// expression is wrong, or larger than the master takes.
    pub fn like(&self, pattern: &str) -> Result<Predicate, InvalidPredicate> {
        let refuse = |why| InvalidPredicate::Pattern { shown: pattern.chars().take(64).collect(), why };
        let compiled = Pattern::compile(pattern).map_err(refuse)?;
        Ok(self.says(Test::Like(Like { text: Arc::from(pattern), pattern: compiled })))
    }

    /// It is a number, and at least this. Errors: no number, negative, too large.
    pub fn at_least(&self, number: f64) -> Result<Predicate, InvalidPredicate> {
        self.compare(Comparison::AtLeast, number)
    }

    /// It is a number, and at most this. Errors: no number, negative, too large.
    pub fn at_most(&self, number: f64) -> Result<Predicate, InvalidPredicate> {
        self.compare(Comparison::AtMost, number)
    }

    /// It is a number, and above this. Errors: no number, negative, too large.
    pub fn above(&self, number: f64) -> Result<Predicate, InvalidPredicate> {
        self.compare(Comparison::Above, number)
    }

    /// It is a number, and below this. Errors: no number, negative, too large.
    pub fn below(&self, number: f64) -> Result<Predicate, InvalidPredicate> {
        self.compare(Comparison::Below, number)
    }

    /// Affinity: at least one of these tasks is where it has the same value.
    pub fn near(&self, tasks: &Tasks) -> Predicate {
        self.own(tasks, Rule::Present)
    }

    /// Anti-affinity: none of these tasks is where it has the same value. It holds where there is no value, too.
    pub fn away_from(&self, tasks: &Tasks) -> Predicate {
        !self.near(tasks)
    }

    /// These tasks are spread: with one more there are at most `skew` more of them here than at the value that has
    /// least. That is looked for among all values of agents that were seen and not lost ([`OwnTasks`]); to make it
    /// known from the start which there are, see [`Subject::spread_over`]. A skew of 0 holds nowhere.
    ///
    /// [`OwnTasks`]: crate::placement::OwnTasks
    pub fn spread(&self, tasks: &Tasks, skew: u32) -> Predicate {
        self.spread_over(tasks, skew, [""; 0])
    }

    /// Like [`Subject::spread`], over these values at least, whether or not agents of theirs were seen.
    pub fn spread_over<T: Into<Arc<str>>>(
        &self,
        tasks: &Tasks,
        skew: u32,
        values: impl IntoIterator<Item = T>,
    ) -> Predicate {
        let expected = values.into_iter().map(Into::into).collect();
        self.own(tasks, Rule::Skew { most: skew, expected })
    }

    /// At most so many of these tasks where it has the same value, with one more. 0 holds nowhere.
    pub fn at_most_each(&self, tasks: &Tasks, most: u32) -> Predicate {
        self.own(tasks, Rule::AtMost(most))
    }

    /// At most one of these tasks where it has the same value.
    pub fn unique(&self, tasks: &Tasks) -> Predicate {
        self.at_most_each(tasks, 1)
    }

    /// All of these tasks where it has one and the same value: the first of them decides which.
    pub fn cluster(&self, tasks: &Tasks) -> Predicate {
        self.own(tasks, Rule::Together)
    }

    fn says(&self, test: Test) -> Predicate {
        Predicate::leaf(Leaf::Says { subject: self.clone(), test })
    }

    fn own(&self, tasks: &Tasks, rule: Rule) -> Predicate {
        Predicate::leaf(Leaf::Own { subject: self.clone(), tasks: tasks.clone(), rule })
    }

    fn compare(&self, comparison: Comparison, with: f64) -> Result<Predicate, InvalidPredicate> {
        Ok(self.says(Test::Number(comparison, number(&self.to_string(), with)?)))
    }

    /// How the master calls it; it knows no ids of agents.
    pub(crate) fn selector(&self) -> Option<Selector> {
        match self {
            Self::Agent => None,
            Self::Hostname => Some(Selector::Hostname),
            Self::Region => Some(Selector::Region),
            Self::Zone => Some(Selector::Zone),
            Self::Attribute(name) => Some(Selector::Attribute(name.to_string())),
        }
    }

    /// What it is there.
    pub(crate) fn value<'a>(&self, site: &Site<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Agent => Some(Cow::Borrowed(site.agent.as_str())),
            Self::Hostname => Some(Cow::Borrowed(site.hostname)),
            Self::Region => site.domain.map(|domain| Cow::Borrowed(domain.region.as_str())),
            Self::Zone => site.domain.map(|domain| Cow::Borrowed(domain.zone.as_str())),
            Self::Attribute(name) => site.attributes.get(name).map(|value| match value {
                AttributeValue::Text(text) => Cow::Borrowed(text.as_str()),
                AttributeValue::Scalar(_) | AttributeValue::Ranges(_) => Cow::Owned(value.to_string()),
            }),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Hostname => "hostname",
            Self::Region => "region",
            Self::Zone => "zone",
            Self::Attribute(name) => name,
        })
    }
}

/// The values of a test, in words.
pub(super) fn listed(values: &BTreeSet<Arc<str>>) -> String {
    values.iter().map(|value| &**value).collect::<Vec<_>>().join(", ")
}
