//! What is to be looked at again at a time.
//!
//! A timer says only where to look: whether there is still anything to do is judged by what is found there, so that one that
//! is no longer needed does no harm.

use std::collections::BTreeSet;

use lonja_model::Timestamp;

use crate::deployment::DeploymentId;
use crate::instance::InstanceId;
use crate::path_id::PathId;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The launch delay of this app or pod is over.
    Launch(PathId),
    /// A deployment may have got no better for too long, or wait no longer.
    Deployment(DeploymentId),
    /// The same of one that goes on after a restart: its time counts from now.
    Resumed(DeploymentId),
    /// An instance's agent has been silent for long.
    Unreachable(InstanceId),
    /// An instance was launched and may not have been heard of.
    Overdue(InstanceId),
    /// An instance is drained and may be killed.
    Drained(InstanceId),
    /// Refusals may be forgotten again.
    Revive,
    /// Runs of this job may be due.
    Job(PathId),
    /// The daemon has begun, and knows the time.
    Began,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(super) fn at(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next whose time has come.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        let (at, _) = self.0.first()?;
        if *at > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
