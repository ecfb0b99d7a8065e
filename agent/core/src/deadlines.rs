//! Everything that waits for a time.
//!
//! Invariants
//! - A thing has at most one deadline; the two maps hold the same pairs.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::check::CheckKind;
use lonja_model::{OperationUuid, Timestamp};

use crate::book::Key;
use crate::company::ExecutorKey;

/// A thing that waits for a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// Ask for registration, once more.
    Register,
    /// The master counts as silent.
    Silence,
    /// Send the outstanding update of a task again.
    Resend(Key),
    /// Send the outcome of an operation again.
    ResendOperation(OperationUuid),
    /// A task has run as long as it may.
    Completion(Key),
    /// A task is to be looked at.
    Check(Key, CheckKind),
    /// A custom executor is to have subscribed.
    Subscription(ExecutorKey),
    /// A custom executor is to have ended.
    Shutdown(ExecutorKey),
}

/// All deadlines, by time and by thing. Each operation is O(log n).
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Timestamp, Deadline)>,
    by_thing: BTreeMap<Deadline, Timestamp>,
}

impl Deadlines {
    /// `thing` waits for `at` from now on, and for no other time.
    pub(crate) fn set(&mut self, thing: Deadline, at: Timestamp) {
        self.clear(&thing);
        self.by_time.insert((at, thing.clone()));
        self.by_thing.insert(thing, at);
    }

    /// `thing` waits no more.
    pub(crate) fn clear(&mut self, thing: &Deadline) {
        if let Some((thing, at)) = self.by_thing.remove_entry(thing) {
            self.by_time.remove(&(at, thing));
        }
    }

    /// When `thing` is due, if it waits.
    pub(crate) fn get(&self, thing: &Deadline) -> Option<Timestamp> {
        self.by_thing.get(thing).copied()
    }

    /// The earliest time anything waits for.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest thing whose time has come.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Deadline> {
        if self.next()? > now {
            return None;
        }
        let (_, thing) = self.by_time.pop_first()?;
        self.by_thing.remove(&thing);
        Some(thing)
    }

    /// Everything that waits.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Deadline, Timestamp)> {
        self.by_thing.iter().map(|(thing, at)| (thing, *at))
    }
}
