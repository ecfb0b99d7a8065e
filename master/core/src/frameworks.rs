//! Subscriptions: who speaks for which framework.
//!
//! Invariants
//! - A framework has at most one live stream, and a stream at most one framework (INV-14).
//! - A framework without a stream has a deadline; it is removed there and never before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_allocator::CompiledConstraints;
use lonja_model::{FrameworkId, FrameworkInfo, Role, Timestamp};

use crate::budget::Budget;
use crate::counters::FrameworkCounters;
use crate::effects::StreamId;
use crate::unplaced::Report;

/// One framework that is subscribed or expected back.
#[derive(Clone, Debug)]
pub struct Framework {
    /// As it last subscribed.
    pub info: Arc<FrameworkInfo>,
    /// Its stream, if it is connected.
    pub stream: Option<StreamId>,
    /// The roles it wants no offers for.
    pub suppressed: BTreeSet<Role>,
    /// Of which agents it wants offers.
    pub constraints: CompiledConstraints,
    /// When it first subscribed; unknown after a restart of the master.
    pub registered: Option<Timestamp>,
    /// When it last came back.
    pub reregistered: Option<Timestamp>,
    /// The number of the SUBSCRIBE that stands, or stood last; 0: none, or it had none.
    pub(crate) subscribed_by: u64,
    /// What it has told of tasks without a place since it subscribed.
    pub(crate) waiting: Option<Report>,
    /// What has happened to it so far.
    pub(crate) counters: FrameworkCounters,
    /// What it may still call.
    pub(crate) calls: Budget,
}

/// All frameworks that are subscribed or expected back.
#[derive(Debug, Default)]
pub struct Frameworks {
    frameworks: BTreeMap<FrameworkId, Framework>,
    by_stream: BTreeMap<StreamId, FrameworkId>,
    named: u64,
}

impl Frameworks {
    /// The number of the next framework that this master names.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.named += 1;
        self.named - 1
    }

    /// One framework.
    pub fn get(&self, framework: &FrameworkId) -> Option<&Framework> {
        self.frameworks.get(framework)
    }

    /// One framework, to change anything but its stream.
    pub(crate) fn get_mut(&mut self, framework: &FrameworkId) -> Option<&mut Framework> {
        self.frameworks.get_mut(framework)
    }

    /// The framework on `stream`.
    pub fn on_stream(&self, stream: StreamId) -> Option<&FrameworkId> {
        self.by_stream.get(&stream)
    }

    /// All frameworks in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&FrameworkId, &Framework)> {
        self.frameworks.iter()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.frameworks.len()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.frameworks.is_empty()
    }

    pub(crate) fn insert(&mut self, id: FrameworkId, framework: Framework) {
        let stream = framework.stream;
        self.frameworks.insert(id.clone(), framework);
        self.set_stream(&id, stream);
    }

    /// Gives a framework a stream, or none; returns the one it had before, if it had another.
    pub(crate) fn set_stream(&mut self, id: &FrameworkId, stream: Option<StreamId>) -> Option<StreamId> {
        let framework = self.frameworks.get_mut(id)?;
        let before = std::mem::replace(&mut framework.stream, stream);
        if let Some(before) = before {
            self.by_stream.remove(&before);
        }
        if let Some(stream) = stream {
            self.by_stream.insert(stream, id.clone());
        }
        before.filter(|before| Some(*before) != stream)
    }

    /// Takes a framework out, as it was.
    pub(crate) fn remove(&mut self, id: &FrameworkId) -> Option<Framework> {
        let framework = self.frameworks.remove(id)?;
        if let Some(stream) = framework.stream {
            self.by_stream.remove(&stream);
        }
        Some(framework)
    }
}
