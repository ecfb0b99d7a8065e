//! Groups of tasks: an agent launches all of one together, or none.
//!
//! What belongs together is what a framework has asked for; the cores' own account of it is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_agent_core::LaunchContainer;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::{FrameworkId, TaskId};

use crate::hosts::kernel::TaskKey;
use crate::invariants::Broken;

/// Every group that a framework has asked for, by each of its tasks.
#[derive(Debug, Default)]
pub(crate) struct Pods(BTreeMap<TaskKey, Arc<BTreeSet<TaskId>>>);

impl Pods {
    /// A framework asks for this.
    pub(crate) fn wanted(&mut self, framework: &FrameworkId, operations: &[Operation]) {
        for operation in operations {
            let Operation::LaunchGroup(group) = operation else { continue };
            let all: Arc<BTreeSet<TaskId>> =
                Arc::new(group.tasks.iter().map(LaunchTask::id).cloned().collect());
            for task in all.iter() {
                self.0.insert((framework.clone(), task.clone()), all.clone());
            }
        }
    }

    /// The other tasks of its group.
    pub(crate) fn companions<'a>(&'a self, task: &'a TaskKey) -> impl Iterator<Item = &'a TaskId> {
        self.0.get(task).into_iter().flat_map(|group| group.iter()).filter(move |other| **other != task.1)
    }

    /// An agent launches these in one go.
    pub(crate) fn launched(&self, launches: &[LaunchContainer]) -> Result<(), Broken> {
        let key = |launch: &LaunchContainer| (launch.framework.clone(), launch.task.id.clone());
        let together: BTreeSet<TaskKey> = launches.iter().map(key).collect();
        for key in &together {
            let Some(group) = self.0.get(key) else { continue };
            let is_missing = |other: &&TaskId| !together.contains(&(key.0.clone(), (*other).clone()));
            if let Some(missing) = group.iter().find(is_missing) {
                let task = &key.1;
                let what = format!("task {task} is launched without {missing}, which is of its group");
                return Err(Broken::new("groups", what));
            }
        }
        Ok(())
    }
}
