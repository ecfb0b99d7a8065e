//! Calls on their way: which number is which, and what becomes of one that is refused.
//!
//! A call that came too fast is sent again after a pause. An ACCEPT is not: its offers are given back and
//! its tasks asked about, since by then the scheduler may have decided otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lonja_model::offer::Filters;
use lonja_model::operation::Operation;
use lonja_model::scheduler::Call;
use lonja_model::{OfferId, TaskId, Timestamp};

/// How long a call that came too fast is held back.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls held back at once, at most. Beyond that the connection is made anew, which settles everything.
pub(crate) const HELD_BACK: usize = 10_000;

/// Calls that are remembered until they are answered, at most. Answers come in the order of the calls, so of the oldest
/// of more than these none is to be expected any more.
const UNANSWERED: usize = 65_536;

/// What is kept of a call until it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// SUBSCRIBE.
    Subscribe,
    /// ACCEPT: its tasks may be many and large, so only their ids are kept.
    Accept { offers: Vec<OfferId>, tasks: Vec<TaskId> },
    /// A report of unplaced tasks: what it said is known still.
    Unplaced,
    /// Any other.
    Other(Call),
}

impl Sent {
    fn of(call: &Call) -> Self {
        match call {
            Call::Subscribe { .. } => Self::Subscribe,
            Call::Unplaced { .. } => Self::Unplaced,
            Call::Accept { offers, operations, .. } => {
                Self::Accept { offers: offers.clone(), tasks: launched(operations) }
            }
            Call::Teardown
            | Call::UpdateFramework { .. }
            | Call::AcceptInverseOffers { .. }
            | Call::DeclineInverseOffers { .. }
            | Call::Request { .. }
            | Call::AcknowledgeOperation { .. }
            | Call::ReconcileOperations { .. }
            | Call::Decline { .. }
            | Call::Revive { .. }
            | Call::Suppress { .. }
            | Call::Kill { .. }
            | Call::Acknowledge { .. }
            | Call::Reconcile { .. }
            | Call::Message { .. }
            | Call::ShutdownExecutor { .. } => Self::Other(call.clone()),
        }
    }

    /// The call's name on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Subscribe | Self::Other(Call::Subscribe { .. }) => "SUBSCRIBE",
            Self::Accept { .. } | Self::Other(Call::Accept { .. }) => "ACCEPT",
            Self::Unplaced | Self::Other(Call::Unplaced { .. }) => "UNPLACED",
            Self::Other(Call::Teardown) => "TEARDOWN",
            Self::Other(Call::Decline { .. }) => "DECLINE",
            Self::Other(Call::Revive { .. }) => "REVIVE",
            Self::Other(Call::Suppress { .. }) => "SUPPRESS",
            Self::Other(Call::Kill { .. }) => "KILL",
            Self::Other(Call::Acknowledge { .. }) => "ACKNOWLEDGE",
            Self::Other(Call::Reconcile { .. }) => "RECONCILE",
            Self::Other(Call::Message { .. }) => "MESSAGE",
            Self::Other(Call::UpdateFramework { .. }) => "UPDATE_FRAMEWORK",
            Self::Other(Call::AcceptInverseOffers { .. }) => "ACCEPT_INVERSE_OFFERS",
            Self::Other(Call::DeclineInverseOffers { .. }) => "DECLINE_INVERSE_OFFERS",
            Self::Other(Call::Request { .. }) => "REQUEST",
            Self::Other(Call::AcknowledgeOperation { .. }) => "ACKNOWLEDGE_OPERATION_STATUS",
            Self::Other(Call::ReconcileOperations { .. }) => "RECONCILE_OPERATIONS",
            Self::Other(Call::ShutdownExecutor { .. }) => "SHUTDOWN",
        }
    }
}

fn launched(operations: &[Operation]) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for operation in operations {
        ids.extend(operation.tasks().iter().map(|task| task.id().clone()));
    }
    ids
}

/// The calls of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// The last number given. Its upper half names this run of the framework, so that a master can tell a SUBSCRIBE of
    /// its that comes late, over a connection that it has given up, from that of another instance.
    last: u64,
    unanswered: BTreeMap<u64, Sent>,
    held_back: VecDeque<Call>,
    again: Option<Timestamp>,
}

impl Calls {
    /// None yet, by a run of a framework that has drawn `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        // SplitMix64's last steps: neighbouring seeds get unrelated names.
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let name = (mixed >> 32).max(1);
        Self { last: name << 32, ..Self::default() }
    }

    /// The number under which `call` is sent.
    pub(crate) fn number(&mut self, call: &Call) -> u64 {
        self.last += 1;
        self.unanswered.insert(self.last, Sent::of(call));
        if self.unanswered.len() > UNANSWERED {
            self.unanswered.pop_first();
        }
        self.last
    }

    /// The call of this number, which has been answered.
    pub(crate) fn take(&mut self, id: u64) -> Option<Sent> {
        self.unanswered.remove(&id)
    }

    /// Keeps a call that came too fast; `false` if too many are kept already.
    pub(crate) fn hold_back(&mut self, now: Timestamp, call: Call) -> bool {
        if self.held_back.len() >= HELD_BACK {
            return false;
        }
        self.held_back.push_back(call);
        self.again.get_or_insert(now + PAUSE);
        true
    }

    /// Gives `offers` back after the ACCEPT that named them was refused.
    pub(crate) fn give_back(&mut self, now: Timestamp, offers: Vec<OfferId>) -> bool {
        self.hold_back(now, Call::Decline { offers, filters: Filters::DEFAULT })
    }

    /// What was held back long enough.
    pub(crate) fn due(&mut self, now: Timestamp) -> VecDeque<Call> {
        if self.again.is_none_or(|at| at > now) {
            return VecDeque::new();
        }
        self.again = None;
        std::mem::take(&mut self.held_back)
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.again
    }

    /// The connection is lost, and with it whatever was on its way. Numbers go on: an answer to an earlier
    /// connection's call finds nothing.
    pub(crate) fn forget(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_answers_nothing_fills_no_memory() {
        let mut calls = Calls::new(1);
        let first = calls.number(&Call::Teardown);
        for _ in 0..2 * UNANSWERED {
            calls.number(&Call::Teardown);
        }
        assert_eq!(calls.unanswered.len(), UNANSWERED);
        assert!(calls.take(first).is_none() && calls.take(calls.last).is_some());
    }
}
