//! What there is to see, and what a test says of it.

use lonja_model::{TaskId, TaskState};
use lonja_sim::cluster::{Cluster, TaskView, Told};

use super::TestCluster;

impl<S: 'static> TestCluster<S> {
    /// The scheduler as it is now. Panics: its process is down; see [`Self::try_scheduler`].
    #[track_caller]
    pub fn scheduler(&self) -> &S {
        self.try_scheduler().expect("the scheduler is down, or time has not begun: see try_scheduler()")
    }

    /// The scheduler as it is now; `None`: its process is down.
    pub fn try_scheduler(&self) -> Option<&S> {
        self.scheduler_of(0)
    }

    /// The scheduler of that framework, from 0: the one that is tested, then those [`Self::beside`] it. `None`: its process is
    /// down, there is none, or it is not of that type.
    pub fn scheduler_of<T: 'static>(&self, framework: usize) -> Option<&T> {
        self.seen()?.scheduler(framework)?.downcast_ref()
    }

    /// All tasks that were launched, by all frameworks, with what became of them.
    pub fn tasks(&self) -> Vec<TaskView> {
        self.seen().map(Cluster::tasks).unwrap_or_default()
    }

    /// The tasks of the tested scheduler whose programs run at this moment, whatever anybody was told.
    pub fn running_tasks(&self) -> Vec<TaskId> {
        self.seen().map(|cluster| cluster.running(0)).unwrap_or_default()
    }

    /// What the tested scheduler was told of a task last; `None`: nothing.
    pub fn state(&self, task: &str) -> Option<TaskState> {
        self.history(task).last().map(|told| told.status.state)
    }

    /// All that the tested scheduler's framework was told of a task, in order, repeats included.
    pub fn history(&self, task: &str) -> Vec<Told> {
        let Ok(task) = TaskId::new(task) else { return Vec::new() };
        self.seen().map(|cluster| cluster.history(0, &task)).unwrap_or_default()
    }

    /// The last events of the cluster in words, the oldest first.
    pub fn events(&self) -> Vec<String> {
        self.seen().map(Cluster::last_events).unwrap_or_default()
    }

    /// A number over all that has happened: two runs with the same number are the same.
    pub fn trace_hash(&self) -> u64 {
        self.seen().map_or(0, Cluster::trace_hash)
    }

    /// Panics unless the programs of exactly so many tasks of the tested scheduler run at this moment.
    #[track_caller]
    pub fn assert_running(&mut self, count: usize) {
        let running = self.running_tasks();
        if running.len() != count {
            self.fail_with(format!("{count} tasks should run, these do: {running:?}"));
        }
    }

    /// Panics unless the scheduler was told that this task has finished.
    #[track_caller]
    pub fn assert_finished(&mut self, task: &str) {
        self.assert_state(task, TaskState::Finished);
    }

    /// Panics unless this is what the scheduler was told last of a task.
    #[track_caller]
    pub fn assert_state(&mut self, task: &str, state: TaskState) {
        let told = self.state(task);
        if told != Some(state) {
            let told = told.map_or("nothing is known of it".to_owned(), |told| format!("it is {told}"));
            self.fail_with(format!("task {task} should be {state}, and {told}"));
        }
    }
}
