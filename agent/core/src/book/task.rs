//! One task, and where its container stands.

use std::sync::Arc;
use std::time::Duration;

use lonja_model::checkpoint::TaskRecord;
use lonja_model::weight::Weigh;
use lonja_model::{ContainerId, TaskState, TaskStatus, Timestamp};

use crate::checks::Looks;

/// One task: what is durable and what is not.
#[derive(Debug)]
pub(crate) struct Task {
    /// What the checkpoint holds, at the end of each event.
    pub(crate) record: TaskRecord,
    /// What is known of its container.
    pub(crate) place: Place,
    /// Its outstanding update went out over the present link; the wait before it goes again.
    pub(crate) retry_after: Option<Duration>,
    /// It was killed because it ran as long as it may. Not durable: after a restart it is found out again.
    pub(crate) out_of_time: bool,
    /// What is under way to look at it.
    pub(crate) looks: Looks,
    /// What was last said of it, without its data; after a restart, what was said and is not acknowledged.
    pub(crate) latest: Option<Arc<TaskStatus>>,
    /// The container of its executor, its own if it has none.
    pub(crate) home: ContainerId,
    /// The weight of what was asked for, which never changes.
    info_weight: usize,
}

/// Where a task's container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No launch yet: what it needs is still held by tasks whose framework is gone. Numbered by arrival.
    Waiting(u64),
    /// The shell makes it.
    Launching,
    /// Its program runs.
    Running { pid: u32, since: Timestamp },
    /// It has none of its own: a custom executor is to run it, or does.
    InExecutor(Handed),
    /// It is no more, or never was.
    Ended,
}

/// How far a task is on its way to its custom executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed {
    /// It was never sent.
    NotYet,
    /// It was sent, over some connection, or was perhaps before the agent's restart.
    Over,
}

impl Place {
    /// The process id of the program, while it is known to run.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid, since: _ } => Some(*pid),
            Self::Waiting(_) | Self::Launching | Self::InExecutor(_) | Self::Ended => None,
        }
    }

    /// Is it a custom executor's?
    pub(crate) fn is_in_executor(self) -> bool {
        matches!(self, Self::InExecutor(_))
    }

    /// Does a task in this place hold what it needs?
    fn holds(self) -> bool {
        match self {
            Self::Launching | Self::Running { .. } | Self::InExecutor(_) => true,
            Self::Waiting(_) | Self::Ended => false,
        }
    }
}

impl Task {
    /// One of which nothing is known beyond its record. `home`: the container of its executor, its own if it has none.
    pub(super) fn new(record: TaskRecord, place: Place, home: ContainerId) -> Self {
        Self {
            home,
            info_weight: record.info.weight(),
            latest: record.updates.last().map(|status| Arc::new(without_data(status))),
            record,
            place,
            retry_after: None,
            out_of_time: false,
            looks: Looks::default(),
        }
    }

    /// The state that its framework was, or is about to be, told last.
    pub(crate) fn state(&self) -> TaskState {
        self.record.state
    }

    /// Has it ended?
    pub(crate) fn has_ended(&self) -> bool {
        self.record.state.is_terminal()
    }

    /// Is it run by a custom executor?
    pub(crate) fn is_custom(&self) -> bool {
        self.record.info.is_in_custom_executor()
    }

    /// Is it promised what it needs?
    pub(crate) fn is_promised(&self) -> bool {
        !self.has_ended() && !self.record.orphaned
    }

    /// Does it hold what it needs?
    pub(crate) fn is_holding(&self) -> bool {
        self.place.holds()
    }

    /// Its record's weight as it stands, in bytes.
    pub(crate) fn record_weight(&self) -> usize {
        self.info_weight + self.record.weight_beside_info()
    }

    /// The same with what is kept beside the record, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.record_weight() + self.latest.as_deref().map_or(0, Weigh::weight)
    }
}

/// What was said, but for what only its framework can read.
pub(crate) fn without_data(status: &TaskStatus) -> TaskStatus {
    TaskStatus { data: Vec::new(), ..status.clone() }
}
