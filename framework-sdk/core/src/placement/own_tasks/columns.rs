//! Values that agents share, by number: read from what an agent says of itself once, and not for each decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::placement::predicate::{Site, Subject};

/// Of so many subjects at most; beyond, all are read anew.
const MAX_SUBJECTS: usize = 64;

/// An agent as it said of itself at one time: where it is kept, and which of all tellings it was.
pub(crate) type Told = (usize, u64);

/// All that was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(BTreeMap<Subject, Column>);

/// The values of one subject.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    names: Arc<Names>,
    /// By the agent's slot: of which telling it is, and the value's number.
    of: Vec<(u64, Option<usize>)>,
}

/// The values there are, or were: no more than twice as many as agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) by_name: BTreeMap<Arc<str>, usize>,
    pub(crate) names: Vec<Arc<str>>,
}

impl Columns {
    /// What is known of one subject, before `machines` are asked about.
    pub(super) fn get(&mut self, subject: &Subject, machines: usize) -> &mut Column {
        if self.0.len() >= MAX_SUBJECTS && !self.0.contains_key(subject) {
            self.0.clear();
        }
        let column = self.0.entry(subject.clone()).or_default();
        if column.names.names.len() > 2 * machines.max(column.of.len()) {
            *column = Column::default();
        }
        column
    }
}

impl Column {
    /// The number of the value at `site`; `told` is none for an agent of which nothing is kept.
    pub(crate) fn number(&mut self, subject: &Subject, site: &Site<'_>, told: Option<Told>) -> Option<usize> {
        let known = told.and_then(|(slot, telling)| self.of.get(slot).filter(|(of, _)| *of == telling));
        if let Some((_, number)) = known {
            return *number;
        }
        let number = subject.value(site).map(|value| match self.names.by_name.get(&*value) {
            Some(number) => *number,
            None => {
                let (name, names) = (Arc::<str>::from(&*value), Arc::make_mut(&mut self.names));
                names.by_name.insert(name.clone(), names.names.len());
                names.names.push(name);
                names.names.len() - 1
            }
        });
        if let Some((slot, telling)) = told {
            if self.of.len() <= slot {
                self.of.resize(slot + 1, (0, None));
            }
            self.of[slot] = (telling, number);
        }
        number
    }

    /// The values by their numbers.
    pub(crate) fn names(&self) -> Arc<Names> {
        self.names.clone()
    }
}
