//! What a guest did and was told, for those who ask about it afterwards.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::executor::ExecutorProgram;
use lonja_model::operation::LaunchTask;
use lonja_model::{FrameworkId, TaskId, TaskInfo, TaskStatus, Timestamp};

use crate::invariants::Broken;

/// One guest's, over all its lives.
#[derive(Debug, Default)]
pub(crate) struct Account {
    ids: BTreeSet<FrameworkId>,
    launched: BTreeMap<TaskId, TaskInfo>,
    /// Of which it asked where they stand; perhaps it never came to launch them.
    asked: BTreeSet<TaskId>,
    told: BTreeMap<TaskId, Vec<(Timestamp, TaskStatus)>>,
}

impl Account {
    /// It launches a task. An id is used once: whoever launches anew takes another, or nobody can tell the two apart.
    pub(crate) fn launches(&mut self, task: &LaunchTask, name: &str) -> Result<(), Broken> {
        let LaunchTask::Valid(info) = task else {
            return Err(Broken::new("scheduler", format!("{name} launches task {} malformed", task.id())));
        };
        let custom = |program: &ExecutorProgram| matches!(program, ExecutorProgram::Custom(_));
        if info.executor.as_ref().is_some_and(|executor| custom(&executor.program)) {
            let what =
                format!("{name} launches task {} in a custom executor: nobody plays those here", info.id);
            return Err(Broken::new("scheduler", what));
        }
        if self.launched.insert(info.id.clone(), (**info).clone()).is_some() {
            let what = format!(
                "{name} launches task {} a second time; each launch needs an id of its own, kept by changes() before it",
                info.id
            );
            return Err(Broken::new("scheduler", what));
        }
        Ok(())
    }

    /// The master calls it so.
    pub(crate) fn is_called(&mut self, framework: &FrameworkId) {
        self.ids.insert(framework.clone());
    }

    /// Was it ever called so?
    pub(crate) fn is_id(&self, framework: &FrameworkId) -> bool {
        self.ids.contains(framework)
    }

    /// It asks where a task stands.
    pub(crate) fn asks(&mut self, task: &TaskId) {
        self.asked.insert(task.clone());
    }

    /// Did it launch this task, or ask about it?
    pub(crate) fn knows(&self, task: &TaskId) -> bool {
        self.launched.contains_key(task) || self.asked.contains(task)
    }

    /// It is told this.
    pub(crate) fn is_told(&mut self, now: Timestamp, status: &TaskStatus) {
        self.told.entry(status.task.clone()).or_default().push((now, status.clone()));
    }

    /// All tasks that it launched, in the order of their ids.
    pub(crate) fn launched(&self) -> impl Iterator<Item = &TaskInfo> {
        self.launched.values()
    }

    /// What it was told of a task, in order, repeats included.
    pub(crate) fn told(&self, task: &TaskId) -> &[(Timestamp, TaskStatus)] {
        self.told.get(task).map_or(&[], Vec::as_slice)
    }
}
