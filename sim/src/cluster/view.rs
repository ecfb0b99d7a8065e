//! What became of tasks: what their frameworks were told, and what is so.

use std::time::Duration;

use lonja_model::{TaskId, TaskInfo, TaskState, TaskStatus};

use super::Cluster;

/// A status that a framework was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, since the beginning.
    pub at: Duration,
    /// What.
    pub status: TaskStatus,
}

/// One task that a member has launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// By which member.
    pub member: usize,
    /// As it was launched.
    pub info: TaskInfo,
    /// What its framework was told last; `None`: nothing yet.
    pub state: Option<TaskState>,
    /// How many containers run its program at this moment, whatever anybody was told. More than one would break INV-15.
    pub running: usize,
}

impl Cluster {
    /// Every task that the members have launched, in the order of members and ids.
    pub fn tasks(&self) -> Vec<TaskView> {
        let mut all = Vec::new();
        for (member, host) in self.world.frameworks.iter().enumerate() {
            for info in host.account.launched() {
                let state = host.account.told(&info.id).last().map(|(_, status)| status.state);
                let running = self.running_under(member, |task| *task == info.id).count();
                all.push(TaskView { member, info: info.clone(), state, running });
            }
        }
        all
    }

    /// The tasks of that member whose programs run at this moment, whatever anybody was told.
    pub fn running(&self, member: usize) -> Vec<TaskId> {
        let mut all: Vec<TaskId> = self.running_under(member, |_| true).cloned().collect();
        all.sort();
        all
    }

    /// What the member was told of a task, in order, repeats included.
    pub fn history(&self, member: usize, task: &TaskId) -> Vec<Told> {
        let told = self.world.frameworks.get(member).map_or(&[][..], |host| host.account.told(task));
        let one = |(at, status): &(lonja_model::Timestamp, TaskStatus)| Told {
            at: at.since(self.born),
            status: status.clone(),
        };
        told.iter().map(one).collect()
    }

    fn running_under<'a>(
        &'a self,
        member: usize,
        wanted: impl Fn(&TaskId) -> bool + 'a,
    ) -> impl Iterator<Item = &'a TaskId> {
        let host = self.world.frameworks.get(member);
        let all = self.world.agents.iter().flat_map(|agent| agent.kernel.running());
        let theirs = all.filter(move |task| host.is_some_and(|host| host.account.is_id(&task.0)));
        theirs.map(|task| &task.1).filter(move |task| wanted(task))
    }
}
