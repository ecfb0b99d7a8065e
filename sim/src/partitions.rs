//! What partitions and silence may bring about, and what not (INV-14, 33, 34, 35, 36, 39).
//!
//! Here: nothing is killed that nobody wanted killed, and once a link has been well for a while both its ends know the
//! truth. When agents may be declared unreachable stands in [`silence`](crate::silence), who speaks for a framework in
//! [`streams`](crate::streams).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_agent_core::KillContainer;
use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_model::checkpoint::Checkpoint;
use lonja_model::{FrameworkId, TaskId, TaskState, Timestamp};

use crate::hosts::kernel::TaskKey;
use crate::invariants::Broken;
use crate::network::ConnectionId;
use crate::silence::Silence;
use crate::streams::Streams;
use crate::world::{Node, World};

/// Within this after the last disturbance of a node and its link everything between it and the master is as it should
/// be: what waited is sent again (60 s), a keep-alive ends what is half-open (twice 20 s), a try to connect fails (5 s) and is
/// repeated (10 s), a registration is repeated (60 s), and all that on a slow clock.
const BACK_WITHIN: Duration = Duration::from_secs(200);
/// What is on its way for longer than this is not on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(15);
/// How often both ends are compared.
const COMPARED_EVERY: Duration = Duration::from_secs(30);
/// How often silence is judged.
const JUDGED_EVERY: Duration = Duration::from_secs(5);

/// What is known of partitions.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    pub(crate) silence: Silence,
    pub(crate) streams: Streams,
    disturbed: BTreeMap<Node, Timestamp>,
    /// When the master last sent each agent away.
    refused: BTreeMap<usize, Timestamp>,
    /// Who may lose tasks: those asked to end, those of frameworks that tear down, those on agents that are emptied.
    kills: BTreeSet<TaskKey>,
    teardowns: BTreeSet<FrameworkId>,
    emptied: BTreeSet<usize>,
    /// Which life of its client each connection is of.
    lives: BTreeMap<ConnectionId, u64>,
    connected: BTreeSet<Node>,
    robbed: BTreeSet<usize>,
    /// What the two ends disagree about, and since when.
    differences: BTreeMap<String, Timestamp>,
    judge_at: Timestamp,
    compare_at: Timestamp,
}

impl Partitions {
    /// Something has befallen `node` or its link.
    pub(crate) fn disturbs(&mut self, node: Node, now: Timestamp) {
        self.disturbed.insert(node, now);
    }

    /// A master sends an agent away for now.
    pub(crate) fn refuses(&mut self, agent: usize, now: Timestamp) {
        self.refused.insert(agent, now);
    }

    /// A framework wants this task ended.
    pub(crate) fn wants_killed(&mut self, task: &TaskKey) {
        self.kills.insert(task.clone());
    }

    /// A framework wants to be no more.
    pub(crate) fn wants_no_more(&mut self, framework: &FrameworkId) {
        self.teardowns.insert(framework.clone());
    }

    /// An operator wants this agent's tasks ended.
    pub(crate) fn wants_empty(&mut self, agent: usize) {
        self.emptied.insert(agent);
    }

    /// Has an operator ever wanted some agent's tasks ended? Then it may be silent without being missed.
    pub(crate) fn any_emptied(&self) -> bool {
        !self.emptied.is_empty()
    }

    /// A client of this life has connected.
    pub(crate) fn connects(&mut self, node: Node, id: ConnectionId, life: u64) {
        self.lives.insert(id, life);
        self.connected.insert(node);
    }

    /// The master lets `new` take over from `old`. If that is a word of an earlier life of the same process, which came late,
    /// then nobody can know; whoever looks after the process starts it again.
    pub(crate) fn takes_over(&mut self, framework: usize, old: ConnectionId, new: ConnectionId) {
        if self.lives.get(&new) < self.lives.get(&old) {
            self.robbed.insert(framework);
        }
    }

    /// Was this framework thrown out by an earlier life of its own?
    pub(crate) fn is_robbed(&mut self, framework: usize) -> bool {
        self.robbed.remove(&framework)
    }

    /// Has it ever connected?
    pub(crate) fn has_connected(&self, node: Node) -> bool {
        self.connected.contains(&node)
    }

    /// INV-33, 34, 36: a task is killed only because somebody wants it ended. Silence, the end of a master and the end of
    /// an agent are no reasons.
    pub(crate) fn is_wanted(&self, agent: usize, task: &TaskKey) -> Result<(), Broken> {
        if self.kills.contains(task) || self.teardowns.contains(&task.0) || self.emptied.contains(&agent) {
            return Ok(());
        }
        let what = format!("agent {agent} kills task {} of {}, and nobody wants that", task.1, task.0);
        Err(Broken::new("INV-33", what))
    }

    /// Has nothing befallen `node`, its link or the master for long?
    fn is_calm(&self, node: Node, now: Timestamp) -> bool {
        let long_ago = |node: Node| self.disturbed.get(&node).is_none_or(|at| now.since(*at) > BACK_WITHIN);
        long_ago(node) && long_ago(Node::Master)
    }

    /// Takes in what the two ends disagree about now. What they have disagreed about for longer than a message may be on
    /// its way breaks INV-33.
    fn take_differences(&mut self, now: Timestamp, differences: Vec<String>) -> Result<(), Broken> {
        let before = std::mem::take(&mut self.differences);
        for what in differences {
            let since = before.get(&what).copied().unwrap_or(now);
            if now.since(since) > ON_ITS_WAY {
                return Err(Broken::new("INV-33", format!("long after all is well again, {what}")));
            }
            self.differences.insert(what, since);
        }
        Ok(())
    }
}

impl World {
    /// What silence has brought about, and what both ends of links know. Cheap but for now and then.
    pub(crate) fn judge_partitions(&mut self) -> Result<(), Broken> {
        if self.now < self.partitions.judge_at {
            return Ok(());
        }
        self.partitions.judge_at = self.now + JUDGED_EVERY;
        self.judge_silence()?;
        if self.now < self.partitions.compare_at {
            return Ok(());
        }
        self.partitions.compare_at = self.now + COMPARED_EVERY;
        let differences = self.differences();
        self.partitions.take_differences(self.now, differences)
    }

    /// What the master and those whose links are well disagree about.
    fn differences(&self) -> Vec<String> {
        let mut all = Vec::new();
        let is_stopped = self.stalled_until(Node::Master).is_some();
        let (Some(process), false) = (&self.master.process, is_stopped) else { return all };
        let calm = |node: Node| {
            self.partitions.is_calm(node, self.now)
                && self.stalled_until(node).is_none()
                && !self.network.weather.is_troubled(node)
        };
        let agents: Vec<usize> = (0..self.agents.len()).filter(|i| calm(Node::Agent(*i))).collect();
        let frameworks: Vec<usize> =
            (0..self.frameworks.len()).filter(|i| calm(Node::Framework(*i))).collect();
        if agents.is_empty() && frameworks.is_empty() {
            return all;
        }
        let snapshot = process.core.snapshot();
        for index in agents {
            all.extend(self.agent_differs(index, &snapshot));
        }
        for index in frameworks {
            all.extend(self.framework_differs(index, &snapshot));
        }
        all
    }

    fn agent_differs(&self, index: usize, snapshot: &Snapshot) -> Option<String> {
        let process = self.agents[index].process.as_ref()?;
        let refused = self.partitions.refused.get(&index);
        if refused.is_some_and(|at| self.now.since(*at) < BACK_WITHIN) {
            return None;
        }
        let Some(id) = process.core.id().filter(|_| process.core.is_registered()) else {
            return Some(format!("agent {index} is not registered"));
        };
        let view = snapshot.agents.iter().find(|view| view.id == *id);
        if !view.is_some_and(|view| matches!(view.presence, Presence::Connected(_))) {
            return Some(format!("the master does not count agent {index} as connected"));
        }
        let theirs: Vec<_> = snapshot.tasks.iter().filter(|task| task.info.agent == *id).collect();
        if let Some(task) = theirs.iter().find(|task| task.state == TaskState::Unreachable) {
            return Some(format!("agent {index} is back and its task {} is unreachable", task.info.id));
        }
        let unknown = process.core.tasks().find(|task| {
            let runs = task.state() == TaskState::Running;
            let wanted = !self.partitions.teardowns.contains(task.framework());
            runs && wanted && !theirs.iter().any(|known| known.info.id == *task.id())
        });
        unknown.map(|task| format!("agent {index} runs {}, which the master does not know", task.id()))
    }

    fn framework_differs(&self, index: usize, snapshot: &Snapshot) -> Option<String> {
        let host = &self.frameworks[index];
        if host.is_over() {
            return None;
        }
        let Some(id) = host.speaks_as.as_ref().filter(|_| host.process.is_some()) else {
            return Some(format!("framework {index} is not subscribed"));
        };
        let of = |task: &TaskId| {
            snapshot.tasks.iter().find(|known| known.framework == *id && known.info.id == *task)
        };
        host.unreachable().into_iter().find_map(|task| {
            let known = of(&task).map(|known| known.state);
            let differs = known.is_some_and(|known| known != TaskState::Unreachable && !known.is_terminal());
            differs.then(|| format!("framework {index} takes {task} for unreachable, which is {known:?}"))
        })
    }

    /// An agent is about to kill containers. Those of which it has no record, because its disk was lost, are to go
    /// (INV-26).
    pub(crate) fn judge_kills(&mut self, agent: usize, kills: &[KillContainer]) -> Result<(), Broken> {
        let host = &self.agents[agent];
        let (pods, committed) = (&self.pods, host.disk.committed());
        for kill in kills {
            if let Some(task) = host.kernel.task_of(&kill.container)
                && let Some(record) = committed.tasks.get(task)
            {
                let has_fallen = |other: &TaskId| {
                    self.partitions.kills.contains(&(task.0.clone(), other.clone()))
                        || fell_with(committed, task, other)
                };
                if pods.companions(task).any(has_fallen) {
                    self.partitions.wants_killed(task);
                }
                match host.health_watch.judge(record, self.local(Node::Agent(agent))) {
                    Some(judged) => judged?,
                    None => self.partitions.is_wanted(agent, task)?,
                }
            }
        }
        Ok(())
    }
}

/// Has `other`, of the group of `task`, ended in a way that ends the group? Once its own record is gone, that of the task
/// tells.
fn fell_with(checkpoint: &Checkpoint, task: &TaskKey, other: &TaskId) -> bool {
    match checkpoint.tasks.get(&(task.0.clone(), other.clone())) {
        Some(record) => record.state.is_terminal() && record.state != TaskState::Finished,
        None => {
            let group = checkpoint.tasks.get(task).and_then(|record| record.group.as_ref());
            group.is_some_and(|group| group.fell_with.as_ref() == Some(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_that_nobody_wants_is_noticed() {
        let task = (FrameworkId::new("f").expect("an id"), TaskId::new("t").expect("an id"));
        let mut partitions = Partitions::default();
        assert!(partitions.is_wanted(0, &task).is_err());
        partitions.wants_empty(1);
        assert!(partitions.is_wanted(0, &task).is_err() && partitions.is_wanted(1, &task).is_ok());
        partitions.wants_killed(&task);
        assert!(partitions.is_wanted(0, &task).is_ok());
    }

    #[test]
    fn a_difference_that_lasts_is_noticed_and_one_on_its_way_is_not() {
        let (mut partitions, now) = (Partitions::default(), Timestamp::ZERO);
        let one = || vec!["one".to_owned()];
        assert!(partitions.take_differences(now, one()).is_ok());
        assert!(partitions.take_differences(now + Duration::from_secs(30), vec!["other".to_owned()]).is_ok());
        assert!(partitions.take_differences(now + Duration::from_secs(60), one()).is_ok());
        assert!(partitions.take_differences(now + Duration::from_secs(90), one()).is_err());
    }
}
