//! What has ended for good, for those who look back.
//!
//! Invariants
//! - It is bounded, in number and in bytes; the oldest goes first. Nothing is decided by it, and a restart forgets it.
//! - A framework is known as long as something of it is.
//!
//! Source: Mesos agent, `--max_completed_executors_per_framework`.

use std::collections::{BTreeMap, VecDeque};

use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::role::Role;
use lonja_model::weight::Weigh;
use lonja_model::{ContainerId, FrameworkId, TaskInfo, TaskState, TaskStatus};

use crate::book::Task;
use crate::company::Executor;

/// The weight of all together, in bytes.
const MOST_BYTES: usize = 16 << 20;

/// A task that has ended, and whose end is acknowledged.
#[derive(Clone, Debug)]
pub struct CompletedTask {
    /// Whose.
    pub framework: FrameworkId,
    /// What was asked for, without the data for its executor.
    pub info: TaskInfo,
    /// For which role.
    pub role: Role,
    /// How it ended.
    pub state: TaskState,
    /// The container it ran in.
    pub container: ContainerId,
    /// What was last said of it.
    pub latest: Option<TaskStatus>,
}

/// An executor that has ended.
#[derive(Clone, Debug)]
pub struct CompletedExecutor {
    /// Whose.
    pub framework: FrameworkId,
    /// What was asked for.
    pub info: ExecutorInfo,
    /// For which role.
    pub role: Role,
    /// Its container.
    pub container: ContainerId,
}

#[derive(Clone, Debug)]
enum Completed {
    Task(Box<CompletedTask>),
    Executor(Box<CompletedExecutor>),
}

impl Completed {
    fn framework(&self) -> &FrameworkId {
        match self {
            Self::Task(task) => &task.framework,
            Self::Executor(executor) => &executor.framework,
        }
    }
}

/// What has ended, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Entries, at most.
    most: usize,
    /// Each with its weight.
    entries: VecDeque<(Completed, usize)>,
    weight: usize,
    /// With how many entries each has.
    frameworks: BTreeMap<FrameworkId, (FrameworkInfo, usize)>,
}

impl History {
    /// One that remembers so much.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// A task has ended for good.
    pub(crate) fn note_task(&mut self, framework: &FrameworkId, described: &FrameworkInfo, task: &Task) {
        if self.most == 0 {
            return;
        }
        let completed = CompletedTask {
            framework: framework.clone(),
            info: TaskInfo { data: Vec::new(), ..task.record.info.clone() },
            role: task.record.role.clone(),
            state: task.record.state,
            container: task.record.container.clone(),
            latest: task.latest.as_deref().cloned(),
        };
        let weight = completed.info.weight();
        self.note(Completed::Task(Box::new(completed)), weight, described);
    }

    /// An executor has ended for good.
    pub(crate) fn note_executor(
        &mut self,
        framework: &FrameworkId,
        described: &FrameworkInfo,
        executor: &Executor,
    ) {
        if self.most == 0 {
            return;
        }
        let completed = CompletedExecutor {
            framework: framework.clone(),
            info: ExecutorInfo { data: Vec::new(), ..executor.record.info.clone() },
            role: executor.record.role.clone(),
            container: executor.record.container.clone(),
        };
        let weight = executor.record.weight();
        self.note(Completed::Executor(Box::new(completed)), weight, described);
    }

    fn note(&mut self, completed: Completed, weight: usize, described: &FrameworkInfo) {
        let known = self.frameworks.entry(completed.framework().clone());
        let (info, entries) = known.or_insert_with(|| (described.clone(), 0));
        info.clone_from(described);
        *entries += 1;
        // A framework is described as long as a single entry is.
        let weight = weight + described.weight();
        self.weight += weight;
        self.entries.push_back((completed, weight));
        while self.entries.len() > self.most || self.weight > MOST_BYTES {
            let Some((oldest, weight)) = self.entries.pop_front() else { break };
            self.weight -= weight;
            let framework = oldest.framework();
            if let Some((_, entries)) = self.frameworks.get_mut(framework) {
                *entries -= 1;
                if *entries == 0 {
                    self.frameworks.remove(framework);
                }
            }
        }
    }

    /// Tasks, oldest first.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &CompletedTask> {
        self.entries.iter().filter_map(|(completed, _)| match completed {
            Completed::Task(task) => Some(&**task),
            Completed::Executor(_) => None,
        })
    }

    /// Executors, oldest first.
    pub(crate) fn executors(&self) -> impl Iterator<Item = &CompletedExecutor> {
        self.entries.iter().filter_map(|(completed, _)| match completed {
            Completed::Executor(executor) => Some(&**executor),
            Completed::Task(_) => None,
        })
    }

    /// Frameworks of which something is known.
    pub(crate) fn frameworks(&self) -> impl Iterator<Item = (&FrameworkId, &FrameworkInfo)> {
        self.frameworks.iter().map(|(id, (info, _))| (id, info))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    fn completed(framework: &str, task: &str) -> Completed {
        let info = task_info(task, "cpus:1");
        Completed::Task(Box::new(CompletedTask {
            framework: framework_id(framework),
            role: Role::new("web").unwrap(),
            state: TaskState::Finished,
            container: ContainerId::new(task).unwrap(),
            latest: None,
            info,
        }))
    }

    #[test]
    fn the_oldest_goes_first_and_its_framework_with_the_last_of_it() {
        let described = FrameworkInfo::named("f");
        let mut history = History::new(2);
        for (framework, task) in [("f1", "a"), ("f2", "b"), ("f2", "c")] {
            history.note(completed(framework, task), 10, &described);
        }
        let left: Vec<_> = history.tasks().map(|task| task.info.id.to_string()).collect();
        assert_eq!(left, ["b", "c"]);
        let left: Vec<_> = history.frameworks().map(|(id, _)| id.to_string()).collect();
        assert_eq!(left, ["f2"]);
        history.note(completed("f3", "d"), MOST_BYTES, &described);
        assert_eq!(history.tasks().count() + history.frameworks().count() + history.weight, 0);
    }
}
