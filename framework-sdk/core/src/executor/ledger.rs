//! Tasks as the executor knows them, and what the agent has yet to store of them.
//!
//! Invariants
//! - An update stays until it is acknowledged, and goes out again after each reconnect and from time to time.
//! - A task stays until its end is acknowledged: a launch that the agent repeats meanwhile is known for one.
//! - Updates go out in the order in which they were said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::container::{Command, ContainerInfo};
use lonja_model::labels::Labels;
use lonja_model::{TaskId, TaskInfo, TaskState, TaskStatus, Timestamp, UpdateId};

/// Tasks at once, at most. One beyond is failed.
pub const MAX_TASKS: usize = 10_000;

/// Updates of one task that the agent has yet to store, at most, its end not counted.
pub const MAX_UPDATES_PER_TASK: usize = 5;

/// Updates of all tasks, those past the end of [`MAX_TASKS`] too.
pub(super) const MAX_UPDATES: usize = 65_536;

/// An update is sent again after this long without an answer, and then twice as long each time ...
const FIRST_REPEAT: Duration = Duration::from_secs(10);

/// ... up to this.
const LONGEST_REPEAT: Duration = Duration::from_secs(600);

/// Updates in one SUBSCRIBE, at most; the rest follows once it is answered.
const OPENING_UPDATES: usize = 10_000;

/// Bytes of tasks, and as much again of updates, in one SUBSCRIBE, at most, outlines not counted.
const OPENING_BYTES: usize = 16 << 20;

/// Above this much, or half of all updates, nothing more is taken in from outside: work has to wait for the agent.
const FULL_BYTES: usize = 32 << 20;

/// A task here.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) state: TaskState,
    pub(super) kill_grace: Option<Duration>,
    /// Its description, for as long as nothing said of it has been stored.
    pub(super) unconfirmed: Option<Box<TaskInfo>>,
    /// Updates that wait.
    pub(super) waiting: usize,
}

/// An update that waits to be acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) status: TaskStatus,
    repeat: Duration,
    due: Option<Timestamp>,
}

/// What comes of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launch {
    New,
    /// It is here already, or its end is on its way to the agent.
    Repeated,
    /// There are too many.
    Full,
}

/// Tasks and updates. See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) tasks: BTreeMap<TaskId, Known>,
    /// By the order in which they were said.
    pub(super) updates: BTreeMap<u64, Waiting>,
    pub(super) numbers: BTreeMap<UpdateId, u64>,
    /// When those that were sent are to be sent again.
    pub(super) due: BTreeSet<(Timestamp, u64)>,
    /// The last number given, and the last that went out by this connection.
    last: u64,
    sent: u64,
    /// Of all updates, roughly.
    pub(super) bytes: usize,
}

/// Bytes, roughly.
pub(super) fn size_of(status: &TaskStatus) -> usize {
    256 + status.data.len() + status.message.as_ref().map_or(0, String::len) + size_of_labels(&status.labels)
}

/// Bytes of their text.
pub(super) fn size_of_labels(labels: &Labels) -> usize {
    let size = |(key, value): &(String, Option<String>)| key.len() + value.as_ref().map_or(0, String::len);
    labels.0.iter().map(size).sum()
}

fn size_of_task(task: &TaskInfo) -> usize {
    let environment = task.command.environment.iter().map(|(name, value)| name.len() + value.len());
    1_024 + task.data.len() + size_of_labels(&task.labels) + environment.sum::<usize>()
}

/// What tells a task from others, and where it is.
fn outline(task: &TaskInfo) -> TaskInfo {
    TaskInfo {
        name: task.id.to_string(),
        id: task.id.clone(),
        agent: task.agent.clone(),
        resources: task.resources.clone(),
        limits: BTreeMap::new(),
        command: Command::none(),
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    }
}

impl Ledger {
    pub(super) fn launch(&mut self, task: &TaskInfo) -> Launch {
        if self.tasks.contains_key(&task.id) {
            return Launch::Repeated;
        }
        if self.tasks.len() >= MAX_TASKS {
            return Launch::Full;
        }
        self.insert(task);
        Launch::New
    }

    /// Takes a task in, whether or not there are too many.
    pub(super) fn insert(&mut self, task: &TaskInfo) {
        let known = Known {
            state: TaskState::Staging,
            kill_grace: task.kill_grace,
            // Who runs it goes without saying, and may be large.
            unconfirmed: Some(Box::new(TaskInfo { executor: None, ..task.clone() })),
            waiting: 0,
        };
        self.tasks.insert(task.id.clone(), known);
    }

    /// Tasks whose end has not been said.
    pub(super) fn live(&self) -> impl Iterator<Item = &TaskId> {
        self.tasks.iter().filter(|(_, known)| !known.state.is_terminal()).map(|(id, _)| id)
    }

    /// Keeps `status`, of a task that is known, until it is acknowledged.
    pub(super) fn put(&mut self, status: TaskStatus) {
        let Some(known) = self.tasks.get_mut(&status.task) else { return };
        let Some(update) = status.update else { return };
        known.state = status.state;
        known.waiting += 1;
        self.last += 1;
        self.bytes += size_of(&status);
        self.numbers.insert(update, self.last);
        self.updates.insert(self.last, Waiting { status, repeat: FIRST_REPEAT, due: None });
    }

    /// The agent has stored an update; `false` if it was none that waits.
    pub(super) fn acknowledged(&mut self, task: &TaskId, update: UpdateId) -> bool {
        let Some(&number) = self.numbers.get(&update) else { return false };
        if self.updates.get(&number).is_none_or(|waiting| waiting.status.task != *task) {
            return false;
        }
        self.numbers.remove(&update);
        if let Some(waiting) = self.updates.remove(&number) {
            self.bytes -= size_of(&waiting.status);
            if let Some(at) = waiting.due {
                self.due.remove(&(at, number));
            }
        }
        if let Some(known) = self.tasks.get_mut(task) {
            known.unconfirmed = None;
            known.waiting -= 1;
            if known.waiting == 0 && known.state.is_terminal() {
                self.tasks.remove(task);
            }
        }
        true
    }

    /// Is there so much that the agent has yet to store that no more should be said?
    pub(super) fn is_full(&self) -> bool {
        self.bytes > FULL_BYTES || self.updates.len() > MAX_UPDATES / 2
    }

    /// The connection is lost: all goes out again by the next.
    pub(super) fn disconnected(&mut self) {
        self.sent = 0;
        self.due.clear();
        for waiting in self.updates.values_mut() {
            (waiting.due, waiting.repeat) = (None, FIRST_REPEAT);
        }
    }

    /// What a SUBSCRIBE brings. Tasks are all there, since the agent takes one that is not for lost; of those that would
    /// make it too large there is an outline, as the agent has the rest. Of updates the oldest.
    pub(super) fn opening(&mut self, now: Timestamp) -> (Vec<TaskInfo>, Vec<TaskStatus>) {
        let mut room = OPENING_BYTES;
        let unconfirmed = self.tasks.values().filter_map(|known| known.unconfirmed.as_deref());
        let tasks = unconfirmed.map(|task| match room.checked_sub(size_of_task(task)) {
            Some(left) => {
                room = left;
                task.clone()
            }
            None => outline(task),
        });
        let tasks = tasks.collect();
        (tasks, self.send(now, OPENING_UPDATES, OPENING_BYTES))
    }

    /// What was said and has not gone out by this connection.
    pub(super) fn unsent(&mut self, now: Timestamp) -> Vec<TaskStatus> {
        self.send(now, usize::MAX, usize::MAX)
    }

    fn send(&mut self, now: Timestamp, count: usize, bytes: usize) -> Vec<TaskStatus> {
        let mut out = Vec::new();
        let mut taken = 0_usize;
        for (&number, waiting) in self.updates.range_mut(self.sent + 1..) {
            taken = taken.saturating_add(size_of(&waiting.status));
            if out.len() >= count || taken > bytes {
                break;
            }
            let at = now + waiting.repeat;
            waiting.due = Some(at);
            self.due.insert((at, number));
            self.sent = number;
            out.push(waiting.status.clone());
        }
        out
    }

    /// What went out long ago and was never answered, to be sent again.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Vec<TaskStatus> {
        let mut out = BTreeMap::new();
        while let Some(&(at, number)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, number));
            let Some(waiting) = self.updates.get_mut(&number) else { continue };
            waiting.repeat = (waiting.repeat * 2).min(LONGEST_REPEAT);
            let next = now + waiting.repeat;
            waiting.due = Some(next);
            self.due.insert((next, number));
            out.insert(number, waiting.status.clone());
        }
        out.into_values().collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}
