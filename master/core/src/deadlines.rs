//! Everything that waits for a time. A timer is set again by setting it, and stands at most once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::{AgentId, FrameworkId, Timestamp};

use crate::effects::LinkId;
use crate::offers::Number;

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Ask an agent whether it is there.
    Ping(AgentId),
    /// An agent may have been silent for too long.
    AgentSilent(AgentId),
    /// An agent that is back has not answered the ping that it was asked to.
    NoAnswer(LinkId),
    /// Tell a framework that the master is there.
    Heartbeat(FrameworkId),
    /// A framework's failover timeout passes.
    FrameworkRemoval(FrameworkId),
    /// What is left of an absent framework's failover timeout is stored anew.
    StoreTimeLeft(FrameworkId),
    /// An offer has not been answered.
    OfferExpiry(Number),
    /// A framework that would not leave an agent is asked again.
    AskAgain(FrameworkId, AgentId),
    /// The allocation window closes.
    Allocate,
    /// Offers begin after a restart, however few agents are back.
    RecoveryPause,
    /// Old entries leave the registry.
    RegistryGc,
}

/// Timers by time and by name.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_time: BTreeSet<(Timestamp, Timer)>,
    by_name: BTreeMap<Timer, Timestamp>,
}

impl Deadlines {
    /// Sets `timer` to fire at `at`, wherever it stood before.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        if let Some(before) = self.by_name.insert(timer.clone(), at) {
            self.by_time.remove(&(before, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }

    /// Takes `timer` away, if it stands.
    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_name.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// When `timer` fires, if it stands.
    pub(crate) fn get(&self, timer: &Timer) -> Option<Timestamp> {
        self.by_name.get(timer).copied()
    }

    /// The earliest.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Puts every timer off by so much. O(timers).
    pub(crate) fn put_off(&mut self, by: Duration) {
        self.by_name.values_mut().for_each(|at| *at = *at + by);
        self.by_time = self.by_name.iter().map(|(timer, at)| (*at, timer.clone())).collect();
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_name.remove(&timer);
        Some(timer)
    }
}
