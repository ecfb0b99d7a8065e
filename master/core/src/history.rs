//! What has ended, remembered for people: bounded by count, in memory only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lonja_model::{FrameworkId, TaskId};

use crate::snapshot::FrameworkView;
use crate::tasks::Task;

/// Ended tasks and removed frameworks, oldest first.
#[derive(Debug)]
pub struct History {
    most_frameworks: usize,
    most_tasks: usize,
    frameworks: VecDeque<Arc<FrameworkView>>,
    tasks: BTreeMap<FrameworkId, VecDeque<Arc<Task>>>,
}

impl History {
    /// Room for so many removed frameworks and so many ended tasks of each framework.
    pub fn new(most_frameworks: usize, most_tasks: usize) -> Self {
        Self { most_frameworks, most_tasks, frameworks: VecDeque::new(), tasks: BTreeMap::new() }
    }

    /// Removed frameworks, oldest first.
    pub fn frameworks(&self) -> impl Iterator<Item = &Arc<FrameworkView>> {
        self.frameworks.iter()
    }

    /// Ended tasks, framework by framework, oldest first.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values().flatten()
    }

    pub(crate) fn task_ended(&mut self, task: Arc<Task>) {
        let tasks = self.tasks.entry(task.framework.clone()).or_default();
        tasks.push_back(task);
        while tasks.len() > self.most_tasks {
            tasks.pop_front();
        }
    }

    /// A task thought ended is back: its last acknowledgement was lost on the way to its agent.
    pub(crate) fn task_returned(&mut self, framework: &FrameworkId, id: &TaskId) {
        if let Some(tasks) = self.tasks.get_mut(framework) {
            tasks.retain(|task| task.id() != id);
        }
    }

    pub(crate) fn framework_removed(&mut self, framework: Arc<FrameworkView>) {
        self.frameworks.push_back(framework);
        while self.frameworks.len() > self.most_frameworks {
            if let Some(oldest) = self.frameworks.pop_front() {
                self.tasks.remove(&oldest.id);
            }
        }
    }
}
