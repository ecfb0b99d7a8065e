//! What a framework keeps beyond its process: its id, and what its scheduler writes down.
//!
//! A scheduler says after each event what has changed ([`Scheduler::changes`](crate::Scheduler::changes)). The shell makes
//! that durable before anything goes out that the same event led to, acknowledgements and launches included. So a
//! process that dies at any moment comes back with notes that are never behind what it has told the master.
//!
//! Keys and values are the scheduler's own. Source: `docs/design.md`, D3.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use lonja_model::{AgentId, FrameworkId, TaskId};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// The most changes of a scheduler's own that go with one event: one word of an operator may concern each of some hundred
/// thousand tasks.
pub const MAX_CHANGES: usize = 1 << 18;

/// The most that the keys and values of those come to, in bytes. With what the library itself keeps of as many tasks a batch
/// of any store has room for it.
pub const MAX_CHANGES_BYTES: usize = 160 << 20;

/// One change of what a scheduler keeps: its own notes. What the library keeps beside them it says by itself ([`Record`]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Keep `value` under `key`, in place of what was there.
    Put {
        /// At most [`MAX_KEY_BYTES`].
        key: String,
        /// At most [`MAX_VALUE_BYTES`].
        value: Vec<u8>,
    },
    /// Keep nothing under this key.
    Remove {
        /// Which.
        key: String,
    },
}

impl Change {
    /// Keep `value` under `key`.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into() }
    }

    /// Keep nothing under `key`.
    pub fn remove(key: impl Into<String>) -> Self {
        Self::Remove { key: key.into() }
    }
}

/// One change of all that is kept, as a store makes it durable: the scheduler's [`Change`]s and those of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// The scheduler's own: keep `value` under `key`, in place of what was there.
    Put {
        /// At most [`MAX_KEY_BYTES`].
        key: String,
        /// At most [`MAX_VALUE_BYTES`].
        value: Vec<u8>,
    },
    /// The scheduler's own: keep nothing under this key.
    Remove {
        /// Which.
        key: String,
    },
    /// The framework's id, or none any more: it was torn down, and all that it kept goes with it, so that the next run
    /// begins anew.
    Framework(Option<FrameworkId>),
    /// The framework is to be torn down: said before the master is asked to, so that a run that is killed in between
    /// neither begins anew nor takes the master's word that the framework is no more for a mistake.
    TearingDown,
    /// The framework is no more, and the next run is to begin as a new one: its id, its tasks, their kills and an intent to
    /// tear it down are forgotten. The scheduler's own notes stay. Said by nobody but who asks for just that.
    Removed,
    /// A task is about to be launched, or was found alive.
    Launched {
        /// Which.
        task: TaskId,
        /// Where.
        agent: AgentId,
    },
    /// A task is to be killed, which each master is told until its end was seen (INV-23).
    Killing {
        /// Which.
        task: TaskId,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// A task's end was seen.
    Ended {
        /// Which.
        task: TaskId,
    },
}

impl From<Change> for Record {
    fn from(change: Change) -> Self {
        match change {
            Change::Put { key, value } => Self::Put { key, value },
            Change::Remove { key } => Self::Remove { key },
        }
    }
}

/// All that is kept, as a scheduler finds it when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    framework: Option<FrameworkId>,
    tearing_down: bool,
    tasks: BTreeMap<TaskId, AgentId>,
    kills: BTreeMap<TaskId, Option<Duration>>,
    entries: BTreeMap<String, Vec<u8>>,
}

impl State {
    /// The id that the framework had, if it has one still.
    pub fn framework(&self) -> Option<&FrameworkId> {
        self.framework.as_ref()
    }

    /// Has an earlier run begun to tear the framework down, and not heard that it is done?
    pub fn is_tearing_down(&self) -> bool {
        self.tearing_down
    }

    /// The tasks whose launch was decided and whose end was not seen, each with its agent. Where they stand the library
    /// asks the master as soon as it is subscribed; that one was never launched comes as an update too.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &AgentId)> {
        self.tasks.iter()
    }

    /// The tasks that are to be killed and whose end was not seen, each with the grace period if it overrides the task's
    /// own. The library says it to the master as soon as it is subscribed.
    pub fn kills(&self) -> impl Iterator<Item = (&TaskId, Option<Duration>)> {
        self.kills.iter().map(|(task, grace)| (task, *grace))
    }

    /// What is kept under `key`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.entries.get(key).map(Vec::as_slice)
    }

    /// All keys with their values, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// Those whose key begins with `prefix`, in the order of the keys; without the prefix.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let from = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_slice())))
    }

    /// Is nothing kept?
    pub fn is_empty(&self) -> bool {
        self.framework.is_none() && self.tasks.is_empty() && self.entries.is_empty()
    }

    /// Makes one change.
    pub fn apply(&mut self, change: impl Into<Record>) {
        match change.into() {
            Record::Put { key, value } => {
                self.entries.insert(key, value);
            }
            Record::Remove { key } => {
                self.entries.remove(&key);
            }
            Record::Framework(None) => *self = Self::default(),
            Record::Framework(id) => self.framework = id,
            Record::Removed => *self = Self { entries: std::mem::take(&mut self.entries), ..Self::default() },
            Record::TearingDown => self.tearing_down = true,
            Record::Launched { task, agent } => {
                self.tasks.insert(task, agent);
            }
            Record::Killing { task, grace } => {
                self.kills.insert(task, grace);
            }
            Record::Ended { task } => {
                self.tasks.remove(&task);
                self.kills.remove(&task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_that_was_torn_down_leaves_nothing_behind() {
        let mut state = State::default();
        state.apply(Record::Framework(FrameworkId::new("f1").ok()));
        state.apply(Change::put("job", "1"));

        state.apply(Record::Framework(None));

        assert!(state.is_empty());
    }

    #[test]
    fn a_framework_that_was_removed_leaves_the_notes_of_its_scheduler() {
        let (task, agent) = (TaskId::new("t1").unwrap(), AgentId::new("a1").unwrap());
        let mut state = State::default();
        state.apply(Change::put("job", "1"));
        let notes = state.clone();
        state.apply(Record::Framework(FrameworkId::new("f1").ok()));
        state.apply(Record::Launched { task: task.clone(), agent });
        state.apply(Record::Killing { task, grace: None });
        state.apply(Record::TearingDown);

        state.apply(Record::Removed);

        assert_eq!(state, notes);
    }

    #[test]
    fn what_is_kept_below_a_prefix_is_found_without_it() {
        let mut state = State::default();
        for key in ["job", "job/1", "job/2", "jobs", "run/1"] {
            state.apply(Change::put(key, key.as_bytes()));
        }
        state.apply(Change::remove("job/1"));

        let below: Vec<_> = state.below("job/").collect();

        assert_eq!(below, [("2", b"job/2".as_slice())]);
    }
}
