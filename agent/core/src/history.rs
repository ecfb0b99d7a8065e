//! What has ended for good, for those who look back.
//!
//! Invariants
//! - It is bounded, in number and in bytes; the oldest goes first. Nothing is decided by it, and a restart forgets it.
//! - It holds no secret: nobody needs them once their task has ended.
//! - A framework is known as long as something of it is.
//!
//! Source: Mesos agent, `--max_completed_executors_per_framework`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
    /// What was asked for, without the data for its executor and the bytes of secrets.
    pub info: Arc<TaskInfo>,
    /// For which role.
    pub role: Role,
    /// How it ended.
    pub state: TaskState,
    /// The container it ran in.
    pub container: ContainerId,
    /// The container of its executor; its own if it had none.
    pub home: ContainerId,
    /// What was last said of it.
    pub latest: Option<Arc<TaskStatus>>,
}

/// An executor that has ended.
#[derive(Clone, Debug)]
pub struct CompletedExecutor {
    /// Whose.
    pub framework: FrameworkId,
    /// What was asked for, without the data for it and the bytes of secrets.
    pub info: Arc<ExecutorInfo>,
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
        let mut info = TaskInfo::clone(&task.record.info);
        info.data = Vec::new();
        if let Some(executor) = &mut info.executor {
            executor.data = Vec::new();
        }
        info.forget_secrets();
        let completed = CompletedTask {
            framework: framework.clone(),
            info: info.into(),
            role: task.record.role.clone(),
            state: task.record.state,
            container: task.record.container.clone(),
            home: task.home.clone(),
            latest: task.latest.clone(),
        };
        let weight = completed.info.weight() + completed.latest.as_deref().map_or(0, Weigh::weight);
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
        let mut info = ExecutorInfo::clone(&executor.record.info);
        info.data = Vec::new();
        info.forget_secrets();
        let completed = CompletedExecutor {
            framework: framework.clone(),
            info: info.into(),
            role: executor.record.role.clone(),
            container: executor.record.container.clone(),
        };
        let weight = completed.info.weight();
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
    use lonja_model::container::Volume;
    use lonja_model::files::{Secret, SecretBytes, VolumeSource};

    use super::*;
    use crate::LaunchFailure;
    use crate::fixture::*;

    fn completed(framework: &str, task: &str) -> Completed {
        let info = task_info(task, "cpus:1");
        Completed::Task(Box::new(CompletedTask {
            framework: framework_id(framework),
            role: Role::new("web").unwrap(),
            state: TaskState::Finished,
            container: ContainerId::new(task).unwrap(),
            home: ContainerId::new(task).unwrap(),
            latest: None,
            info: info.into(),
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

    #[test]
    fn what_has_ended_has_no_secrets_any_more_and_weighs_what_was_said_of_it() {
        let secret = || Secret::Value(SecretBytes::new(b"hunter2".to_vec()).unwrap());
        let mut info = task_info("t1", "cpus:1");
        info.command.secrets.insert("TOKEN".to_owned(), secret());
        info.container.volumes.push(Volume {
            source: VolumeSource::Secret(secret()),
            container_path: "secret".to_owned(),
            read_only: true,
        });
        let mut stage = agent("cpus:4");
        stage.agent.book.history = History::new(9);
        let mut effects = stage.run_task("f1", info);
        effects.append(stage.failed("t1", LaunchFailure::Command, &"x".repeat(900)));
        let _ = stage.acknowledge_all("f1", effects);

        let history = &stage.agent.book.history;
        let task = history.tasks().next().unwrap();
        let VolumeSource::Secret(Secret::Value(bytes)) = &task.info.container.volumes[0].source else {
            panic!("{task:?}")
        };
        assert!(bytes.expose().is_empty());
        let Secret::Value(bytes) = &task.info.command.secrets["TOKEN"] else { panic!("{task:?}") };
        assert!(bytes.expose().is_empty());
        assert!(history.weight > task.info.weight() + 900, "{}", history.weight);
    }
}
