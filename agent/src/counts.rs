//! How much runs on the agent, at one moment: counted where it is known, so that nothing is copied to be counted.

use std::collections::BTreeMap;

use lonja_agent_core::{Agent, Stage, Tally};
use lonja_model::{Resources, TaskState, Timestamp};

/// The agent in numbers.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// When this life of the agent began.
    pub(crate) started: Timestamp,
    /// When it was asked.
    pub(crate) now: Timestamp,
    pub(crate) registered: bool,
    pub(crate) frameworks: usize,
    /// All it has, with the reservations and volumes made since.
    pub(crate) total: Resources,
    /// What of it is promised to tasks and executors.
    pub(crate) promised: Resources,
    /// Tasks that are not forgotten, by state.
    pub(crate) tasks: BTreeMap<TaskState, usize>,
    pub(crate) executors: Executors,
    pub(crate) tally: Tally,
}

/// Executors by how far they are. A task without one has one of its own in Mesos.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Executors {
    pub(crate) registering: usize,
    pub(crate) running: usize,
    pub(crate) terminating: usize,
}

impl Counts {
    /// O(tasks).
    pub(crate) fn of(agent: &Agent, started: Timestamp, now: Timestamp) -> Self {
        let mut tasks = BTreeMap::new();
        let mut executors = Executors::default();
        for executor in agent.executors() {
            executors
                .count(executor.is_shutting_down(), executor.is_subscribed() || !executor.info().is_custom());
        }
        for task in agent.tasks() {
            *tasks.entry(task.state()).or_default() += 1;
            if task.info().executor.is_none() && task.stage() == Stage::Launched {
                executors.count(task.is_being_killed(), task.pid().is_some());
            }
        }
        Self {
            started,
            now,
            registered: agent.is_registered(),
            frameworks: agent.frameworks().count(),
            total: agent.total().clone(),
            promised: agent.promised(),
            tasks,
            executors,
            tally: agent.tally().clone(),
        }
    }
}

impl Executors {
    fn count(&mut self, is_ending: bool, is_there: bool) {
        match (is_ending, is_there) {
            (true, _) => self.terminating += 1,
            (false, true) => self.running += 1,
            (false, false) => self.registering += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_counts_once_by_how_far_it_is() {
        let mut executors = Executors::default();
        for (is_ending, is_there) in [(false, false), (false, true), (true, true), (true, false)] {
            executors.count(is_ending, is_there);
        }
        assert_eq!(executors, Executors { registering: 1, running: 1, terminating: 2 });
    }
}
