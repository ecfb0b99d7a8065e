//! What waits to be placed: in order of arrival, grouped by what is asked for.
//!
//! Invariants
//! - A group is *open* while it may fit somewhere: of the open groups the one whose first job came first is next.
//! - A group that fitted nowhere is shut until there is room that it fits in ([`Queue::open_what_fits`]): what fits
//!   nowhere delays nobody, and costs nothing while it waits.
//! - Groups without jobs are gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lonja_model::TaskId;

use crate::Task;
use crate::placement::{Ask, Room};

/// One task to be placed.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: TaskId,
    /// What it is to run.
    pub(super) task: Arc<Task>,
}

/// Jobs that ask for the same.
#[derive(Debug, Default)]
struct Group {
    jobs: VecDeque<(u64, Job)>,
    is_open: bool,
    /// It has never been shut.
    is_new: bool,
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    groups: BTreeMap<Arc<Ask>, Group>,
    /// The open groups by the number of their first job.
    open: BTreeSet<(u64, Arc<Ask>)>,
    shut: BTreeSet<Arc<Ask>>,
    last: u64,
    length: usize,
    /// A new group fitted nowhere.
    hopeless: bool,
}

impl Queue {
    /// Takes in a job behind all others.
    pub(super) fn push(&mut self, ask: &Ask, job: Job) {
        self.last += 1;
        self.length += 1;
        if let Some(group) = self.groups.get_mut(ask) {
            group.jobs.push_back((self.last, job));
            return;
        }
        let ask = Arc::new(ask.clone());
        self.open.insert((self.last, ask.clone()));
        let jobs = VecDeque::from([(self.last, job)]);
        self.groups.insert(ask, Group { jobs, is_open: true, is_new: true });
    }

    /// What the next job that may fit somewhere asks for.
    pub(super) fn next_ask(&self) -> Option<Arc<Ask>> {
        self.open.first().map(|(_, ask)| ask.clone())
    }

    /// Takes the first of those that ask for this.
    pub(super) fn pop(&mut self, ask: &Arc<Ask>) -> Option<Job> {
        let group = self.groups.get_mut(ask)?;
        let (number, job) = group.jobs.pop_front()?;
        self.length -= 1;
        let following = group.jobs.front().map(|(number, _)| *number);
        if group.is_open {
            self.open.remove(&(number, ask.clone()));
            self.open.extend(following.map(|number| (number, ask.clone())));
        }
        if following.is_none() {
            self.shut.remove(ask);
            self.groups.remove(ask);
        }
        Some(job)
    }

    /// What asks for this fits nowhere.
    pub(super) fn shut(&mut self, ask: &Arc<Ask>) {
        let Some(group) = self.groups.get_mut(ask).filter(|group| group.is_open) else { return };
        group.is_open = false;
        self.hopeless |= std::mem::take(&mut group.is_new);
        if let Some((number, _)) = group.jobs.front() {
            self.open.remove(&(*number, ask.clone()));
        }
        self.shut.insert(ask.clone());
    }

    /// There is this room now: what fits there may be tried again. O(groups that are shut).
    pub(super) fn open_what_fits(&mut self, room: &Room) {
        let fits = self.shut.extract_if(.., |ask| room.fits(ask));
        for ask in fits {
            let Some(group) = self.groups.get_mut(&ask) else { continue };
            group.is_open = true;
            self.open.extend(group.jobs.front().map(|(number, _)| (*number, ask.clone())));
        }
    }

    /// Has a new group fitted nowhere since this was last asked?
    pub(super) fn take_hopeless(&mut self) -> bool {
        std::mem::take(&mut self.hopeless)
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }
}
