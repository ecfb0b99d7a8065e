//! What is going to happen, in order of time; at the same time in the order in which it was decided.

use std::collections::BTreeMap;

use lonja_agent_core::CheckResult;
use lonja_model::check::CheckKind;
use lonja_model::link::ToAgent;
use lonja_model::{ContainerId, Timestamp};

use crate::faults::{ClockFault, DiskFault, Kill, NetworkFault};
use crate::network::{ConnectionId, End, Payload};
use crate::operator::Wish;
use crate::world::Node;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrival {
        id: ConnectionId,
        to: End,
        payload: Payload,
    },
    /// What waited on a way is sent again.
    Resend {
        id: ConnectionId,
        to: End,
    },
    /// An end is told that its connection is over.
    Reset {
        id: ConnectionId,
        to: End,
    },
    /// The keep-alive of an end may be due; `asked`: when it asked whether the other is there.
    KeepAlive {
        id: ConnectionId,
        end: End,
        asked: Option<Timestamp>,
    },
    /// A client tries to connect; `since`: when it first did.
    Dial {
        node: Node,
        life: u64,
        since: Timestamp,
    },
    /// A framework's connection should stand by now.
    DialIsLate {
        framework: usize,
        id: ConnectionId,
    },
    Start(Node),
    Committed {
        node: Node,
        life: u64,
    },
    Launched {
        agent: usize,
        container: ContainerId,
    },
    Ended {
        agent: usize,
        container: ContainerId,
    },
    /// An agent's disk has made folders, or could not.
    VolumesMade {
        agent: usize,
        life: u64,
        number: u64,
        works: bool,
    },
    /// A look at a task has come to its end.
    Seen {
        agent: usize,
        life: u64,
        container: ContainerId,
        kind: CheckKind,
        number: u64,
        result: CheckResult,
    },
    Kill(Kill),
    Disk(DiskFault),
    /// A commit comes back with an error; perhaps the batch is there nevertheless.
    CommitFailed {
        node: Node,
        life: u64,
        durable: bool,
    },
    Trouble(NetworkFault),
    /// That trouble of a link is over.
    TroubleEnds(u64),
    Warp(ClockFault),
    /// A process that was stopped goes on.
    Resume(Node),
    /// An operator says something.
    Operate(Wish),
    /// The faults end.
    Calm,
    /// A message is there once more; only a mutant's network does that.
    Repeat {
        agent: usize,
        message: Box<ToAgent>,
    },
}

/// What is going to happen, in order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: BTreeMap<(Timestamp, u64), Happening>,
    count: u64,
}

impl Queue {
    pub(crate) fn at(&mut self, at: Timestamp, what: Happening) {
        self.count += 1;
        self.events.insert((at, self.count), what);
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out what happens next.
    pub(crate) fn pop(&mut self) -> Option<Happening> {
        self.events.pop_first().map(|(_, what)| what)
    }
}
