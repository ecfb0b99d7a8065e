//! The containers of one agent's machine: they run on when the agent dies, and end when they like.
//!
//! What a task does is written in its command as a [`Script`]; the kernel reads it and plays the program.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_agent_core::{ContainerExit, KillContainer, LaunchContainer, Recovery, WaitStatus};
use lonja_model::{ContainerId, FrameworkId, Resources, TaskId, Timestamp};

use crate::invariants::Broken;
use crate::random::Random;
use crate::workload::Script;

/// A task's full name.
pub(crate) type TaskKey = (FrameworkId, TaskId);

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) task: TaskKey,
    needs: Resources,
    script: Script,
    life: Life,
    /// A signal was sent to it on request; it ends by it then.
    killed_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum Life {
    Launching,
    Running { pid: u32, since: Timestamp },
    Ended(ContainerExit),
}

/// How far a launch came when its container is looked at.
#[derive(Debug)]
pub(crate) enum Launched {
    /// Its program runs.
    Running { pid: u32 },
    /// Its command could not be executed.
    Failed,
    /// It is no longer to be launched.
    Moot,
}

/// All containers of one machine.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    containers: BTreeMap<ContainerId, Container>,
    pids: u32,
}

impl Kernel {
    /// Begins a launch; returns how long it takes.
    pub(crate) fn launch(
        &mut self,
        random: &mut Random,
        wanted: &LaunchContainer,
    ) -> Result<Duration, Broken> {
        let task = (wanted.framework.clone(), wanted.task.id.clone());
        let container = Container {
            task,
            needs: wanted.task.resources.clone(),
            script: Script::read(&wanted.task.command),
            life: Life::Launching,
            killed_at: None,
        };
        if self.containers.insert(wanted.container.clone(), container).is_some() {
            return Err(Broken::new("INV-15", format!("container {} is launched twice", wanted.container)));
        }
        Ok(random.millis(1, 20))
    }

    /// The time for a launch has passed.
    pub(crate) fn launched(&mut self, now: Timestamp, id: &ContainerId) -> Launched {
        let Some(container) = self.containers.get(id) else { return Launched::Moot };
        if !matches!(container.life, Life::Launching) {
            return Launched::Moot;
        }
        if container.script == Script::NoSuchCommand {
            self.containers.remove(id);
            return Launched::Failed;
        }
        Launched::Running { pid: self.run(now, id) }
    }

    fn run(&mut self, now: Timestamp, id: &ContainerId) -> u32 {
        self.pids += 1;
        if let Some(container) = self.containers.get_mut(id) {
            container.life = Life::Running { pid: self.pids, since: now };
        }
        self.pids
    }

    /// When the program of a running container ends by itself or by a kill; `None`: not by itself.
    pub(crate) fn ends(&self, id: &ContainerId) -> Option<Timestamp> {
        let container = self.containers.get(id)?;
        let Life::Running { since, .. } = container.life else { return None };
        let by_itself = container.script.lasts().map(|time| since + time);
        lonja_model::time::earliest(by_itself, container.killed_at)
    }

    /// The time for an end may have come: how the container ended, if it did just now.
    pub(crate) fn end(&mut self, now: Timestamp, id: &ContainerId) -> Option<ContainerExit> {
        let due = self.ends(id).is_some_and(|at| at <= now);
        let container = self.containers.get_mut(id).filter(|_| due)?;
        let killed = container.killed_at.is_some_and(|at| at <= now);
        let exit = match (killed, container.script.exit_status()) {
            (false, Some(status)) => ContainerExit::new(WaitStatus::Exited(status)),
            (_, _) => {
                ContainerExit { killed_by_request: true, ..ContainerExit::new(WaitStatus::Signaled(15)) }
            }
        };
        container.life = Life::Ended(exit.clone());
        Some(exit)
    }

    /// Asks a program to end. It takes its time, within the grace period.
    pub(crate) fn kill(
        &mut self,
        random: &mut Random,
        now: Timestamp,
        wanted: &KillContainer,
    ) -> Result<(), Broken> {
        let Some(container) = self.containers.get_mut(&wanted.container) else {
            let what = format!("container {} is to be killed and does not exist", wanted.container);
            return Err(Broken::new("INV-28", what));
        };
        if matches!(container.life, Life::Launching) {
            let what = format!("container {} is to be killed before it runs", wanted.container);
            return Err(Broken::new("INV-28", what));
        }
        let ends = now + random.between(Duration::ZERO, wanted.grace.min(Duration::from_secs(10)));
        container.killed_at = Some(container.killed_at.map_or(ends, |at| at.min(ends)));
        Ok(())
    }

    /// Removes what is left of a container.
    pub(crate) fn forget(&mut self, id: &ContainerId) -> Result<(), Broken> {
        match self.containers.remove(id).map(|container| container.life) {
            None | Some(Life::Ended(_)) => Ok(()),
            Some(Life::Launching | Life::Running { .. }) => {
                Err(Broken::new("INV-26", format!("container {id} is forgotten while it runs")))
            }
        }
    }

    /// The agent died: launches under way come out whole or leave nothing (INV-29).
    pub(crate) fn agent_died(&mut self, random: &mut Random, now: Timestamp) -> Vec<ContainerId> {
        let ids: Vec<ContainerId> = self.containers.keys().cloned().collect();
        let mut whole = Vec::new();
        for id in ids {
            let Some(container) = self.containers.get(&id) else { continue };
            if !matches!(container.life, Life::Launching) {
                continue;
            }
            if container.script == Script::NoSuchCommand || random.chance(50) {
                self.containers.remove(&id);
            } else {
                self.run(now, &id);
                whole.push(id);
            }
        }
        whole
    }

    /// What an agent finds that starts at `now` by its clock; like the real one it takes what runs to have begun then.
    pub(crate) fn found(&self, now: Timestamp) -> Vec<(ContainerId, Recovery)> {
        let fate = |life: &Life| match life {
            Life::Launching => Recovery::NeverStarted,
            Life::Running { pid, .. } => Recovery::Running { pid: *pid, since: now },
            Life::Ended(exit) => Recovery::Exited(exit.clone()),
        };
        self.containers.iter().map(|(id, container)| (id.clone(), fate(&container.life))).collect()
    }

    /// Is any container of `task` alive here?
    pub(crate) fn has_live(&self, task: &TaskKey) -> bool {
        self.live().any(|container| container.task == *task)
    }

    /// Whose a container is.
    pub(crate) fn task_of(&self, id: &ContainerId) -> Option<&TaskKey> {
        self.containers.get(id).map(|container| &container.task)
    }

    /// How many containers have left a trace.
    pub(crate) fn len(&self) -> usize {
        self.containers.len()
    }

    /// What all live containers need together. Errors: something that has one holder has two (INV-2).
    pub(crate) fn in_use(&self) -> Result<Resources, Broken> {
        self.live().try_fold(Resources::new(), |sum, container| {
            let both = sum.checked_add(&container.needs);
            both.map_err(|error| Broken::new("INV-2", format!("two containers hold the same: {error}")))
        })
    }

    /// The containers whose programs run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &ContainerId> {
        let runs =
            |(_, container): &(&ContainerId, &Container)| matches!(container.life, Life::Running { .. });
        self.containers.iter().filter(runs).map(|(id, _)| id)
    }

    fn live(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| !matches!(container.life, Life::Ended(_)))
    }
}
