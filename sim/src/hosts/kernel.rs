//! The containers of one agent's machine: they run on when the agent dies, and end when they like.
//!
//! What a task does is written in its command as a [`Script`]; the kernel reads it and plays the program. Most launches
//! take milliseconds, a few up to a minute, and some fail. A program that is asked to end does so within its grace
//! period, exits as if nothing were, or waits for the SIGKILL at its end. What is left of a container is removed when the
//! agent forgets it; a control group that cannot be removed stays until the agent starts again, as in
//! `agent/src/containers.rs`.
//!
//! A machine that loses power loses every process. How a container ended that had ended before is known for ever, for
//! its supervisor synced the record; of the others nobody saw the end. Process ids begin anew and mean nobody from before
//! (INV-28).

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_agent_core::{ContainerExit, KillContainer, LaunchContainer, LaunchFailure, Recovery, WaitStatus};
use lonja_model::{ContainerId, FrameworkId, Resources, TaskId, Timestamp};

use crate::invariants::Broken;
use crate::random::Random;
use crate::witness::Truth;
use crate::workload::Script;

/// A task's full name.
pub(crate) type TaskKey = (FrameworkId, TaskId);

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) task: TaskKey,
    needs: Resources,
    script: Script,
    life: Life,
    killed: Option<Killed>,
    /// The agent has forgotten it, and its control group could not be removed.
    left_behind: bool,
}

/// A program was asked to end.
#[derive(Clone, Debug)]
struct Killed {
    /// When it ends by that at the latest.
    at: Timestamp,
    status: WaitStatus,
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
    /// It could not be made, and nothing of it is left.
    Failed(LaunchFailure),
    /// It is no longer to be launched.
    Moot,
}

/// All containers of one machine.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    containers: BTreeMap<ContainerId, Container>,
    pids: u32,
    /// What became of each task, for those who judge.
    truths: BTreeMap<TaskKey, Truth>,
}

impl Kernel {
    /// Begins a launch of a program that does what `script` says; returns how long it takes. `smooth`: not for long.
    pub(crate) fn launch(
        &mut self,
        random: &mut Random,
        wanted: &LaunchContainer,
        script: Script,
        smooth: bool,
    ) -> Result<Duration, Broken> {
        let task = (wanted.framework.clone(), wanted.task.id.clone());
        let container = Container {
            task,
            needs: wanted.task.resources.clone(),
            script,
            life: Life::Launching,
            killed: None,
            left_behind: false,
        };
        if self.containers.insert(wanted.container.clone(), container).is_some() {
            return Err(Broken::new("INV-15", format!("container {} is launched twice", wanted.container)));
        }
        Ok(match random.below(100) {
            _ if smooth => random.millis(1, 20),
            // An image that must be fetched first.
            0 => random.millis(1_000, 60_000),
            1..6 => random.millis(20, 1_000),
            _ => random.millis(1, 20),
        })
    }

    /// The time for a launch has passed. `surroundings`: sandbox and control group could be made.
    pub(crate) fn launched(&mut self, now: Timestamp, id: &ContainerId, surroundings: bool) -> Launched {
        let Some(container) = self.containers.get(id) else { return Launched::Moot };
        if !matches!(container.life, Life::Launching) {
            return Launched::Moot;
        }
        let failure = match (surroundings, &container.script) {
            (false, _) => Some(LaunchFailure::Container),
            (true, Script::NoSuchCommand) => Some(LaunchFailure::Command),
            (true, _) => None,
        };
        if let Some(failure) = failure {
            self.truths.insert(container.task.clone(), Truth::Failed(failure));
            self.containers.remove(id);
            return Launched::Failed(failure);
        }
        Launched::Running { pid: self.run(now, id) }
    }

    fn run(&mut self, now: Timestamp, id: &ContainerId) -> u32 {
        self.pids += 1;
        if let Some(container) = self.containers.get_mut(id) {
            self.truths.insert(container.task.clone(), Truth::Runs);
            container.life = Life::Running { pid: self.pids, since: now };
        }
        self.pids
    }

    /// When the program of a running container ends by itself or by a kill; `None`: not by itself.
    pub(crate) fn ends(&self, id: &ContainerId) -> Option<Timestamp> {
        let container = self.containers.get(id)?;
        let Life::Running { since, .. } = container.life else { return None };
        let by_itself = container.script.lasts().map(|time| since + time);
        lonja_model::time::earliest(by_itself, container.killed.as_ref().map(|killed| killed.at))
    }

    /// The time for an end may have come: how the container ended, if it did just now.
    pub(crate) fn end(&mut self, now: Timestamp, id: &ContainerId) -> Option<ContainerExit> {
        let due = self.ends(id).is_some_and(|at| at <= now);
        let container = self.containers.get_mut(id).filter(|_| due)?;
        // MiB fit into bytes many times over.
        let limit = container.needs.scalar("mem").thousandths().saturating_mul(1024 * 1024) / 1_000;
        let by_itself = container.script.ending(limit);
        let exit = match (&container.killed, by_itself) {
            (Some(killed), _) if killed.at <= now => ContainerExit::new(killed.status.clone()),
            (_, Some(exit)) => exit,
            (_, None) => return None,
        };
        let exit = ContainerExit { killed_by_request: container.killed.is_some(), ..exit };
        self.truths.insert(container.task.clone(), Truth::Ended(exit.clone()));
        container.life = Life::Ended(exit.clone());
        Some(exit)
    }

    /// The task of each container that runs a program now.
    pub(crate) fn running(&self) -> impl Iterator<Item = &TaskKey> {
        let runs = |container: &&Container| matches!(container.life, Life::Running { .. });
        self.containers.values().filter(runs).map(|container| &container.task)
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
        let forced = now + wanted.grace;
        let killed = match random.below(10) {
            // It hears nothing, or means to finish first.
            0..3 => Killed { at: forced, status: WaitStatus::Signaled(SIGKILL) },
            // It tidies up.
            3..5 => Killed { at: soon(random, now, wanted.grace), status: WaitStatus::Exited(0) },
            5 => Killed { at: soon(random, now, wanted.grace), status: WaitStatus::Exited(128 + SIGTERM) },
            _ => Killed { at: soon(random, now, wanted.grace), status: WaitStatus::Signaled(SIGTERM) },
        };
        container.killed = Some(match container.killed.take() {
            // It has its mind made up; only the force can come earlier.
            Some(before) if before.at <= forced => before,
            Some(_) => Killed { at: forced, status: WaitStatus::Signaled(SIGKILL) },
            None => killed,
        });
        Ok(())
    }

    /// Removes what is left of a container; `fails`: its control group cannot be removed.
    pub(crate) fn forget(&mut self, id: &ContainerId, fails: bool) -> Result<(), Broken> {
        match self.containers.get_mut(id) {
            None => Ok(()),
            Some(Container { life: Life::Ended(_), left_behind, .. }) if fails => {
                *left_behind = true;
                Ok(())
            }
            Some(Container { life: Life::Ended(_), .. }) => {
                self.containers.remove(id);
                Ok(())
            }
            Some(Container { life: Life::Launching | Life::Running { .. }, .. }) => {
                Err(Broken::new("INV-26", format!("container {id} is forgotten while it runs")))
            }
        }
    }

    /// The agent died: launches under way come out whole or leave nothing (INV-29). Returns the whole ones.
    pub(crate) fn agent_died(&mut self, random: &mut Random, now: Timestamp) -> Vec<ContainerId> {
        let mut whole = Vec::new();
        for id in self.launching() {
            let fails =
                self.containers.get(&id).is_some_and(|container| container.script == Script::NoSuchCommand);
            if fails || random.chance(50) {
                self.containers.remove(&id);
            } else {
                self.run(now, &id);
                whole.push(id);
            }
        }
        whole
    }

    /// The machine lost power: no process is left. Of launches under way nothing is, or a run directory that says
    /// nothing.
    pub(crate) fn lose_power(&mut self, random: &mut Random) {
        for id in self.launching() {
            if random.chance(50) {
                self.containers.remove(&id);
            }
        }
        self.pids = 0;
        for container in self.containers.values_mut() {
            if !matches!(container.life, Life::Ended(_)) {
                let why = "the host was restarted while it ran".to_owned();
                let exit = ContainerExit::new(WaitStatus::Unknown { why });
                self.truths.insert(container.task.clone(), Truth::Ended(exit.clone()));
                container.life = Life::Ended(exit);
            }
        }
    }

    fn launching(&self) -> Vec<ContainerId> {
        let launching =
            self.containers.iter().filter(|(_, container)| matches!(container.life, Life::Launching));
        launching.map(|(id, _)| id.clone()).collect()
    }

    /// What an agent finds that starts at `now`, when its clock shows `local`. What was left behind is removed first.
    pub(crate) fn found(&mut self, now: Timestamp, local: Timestamp) -> Vec<(ContainerId, Recovery)> {
        self.containers.retain(|_, container| !container.left_behind);
        let fate = |life: &Life| match life {
            Life::Launching => Recovery::NeverStarted,
            Life::Running { pid, since } => {
                Recovery::Running { pid: *pid, since: Some(local - now.since(*since)) }
            }
            Life::Ended(exit) => Recovery::Exited(exit.clone()),
        };
        self.containers.iter().map(|(id, container)| (id.clone(), fate(&container.life))).collect()
    }

    /// Is any container of `task` alive here?
    pub(crate) fn has_live(&self, task: &TaskKey) -> bool {
        self.live().any(|container| container.task == *task)
    }

    /// Does a look at that container fail at `now`?
    pub(crate) fn is_sick(&self, id: &ContainerId, now: Timestamp) -> bool {
        let Some(container) = self.containers.get(id) else { return true };
        match (&container.script, &container.life) {
            (Script::Sicken { after }, Life::Running { since, .. }) => now >= *since + *after,
            (_, Life::Running { .. }) => false,
            (_, Life::Launching | Life::Ended(_)) => true,
        }
    }

    /// Whose a container is.
    pub(crate) fn task_of(&self, id: &ContainerId) -> Option<&TaskKey> {
        self.containers.get(id).map(|container| &container.task)
    }

    /// What became of a task's container.
    pub(crate) fn truth(&self, task: &TaskKey) -> Option<&Truth> {
        self.truths.get(task)
    }

    /// Since when a task runs.
    pub(crate) fn running_since(&self, task: &TaskKey) -> Option<Timestamp> {
        self.containers.values().find_map(|container| match container.life {
            Life::Running { since, .. } if container.task == *task => Some(since),
            Life::Launching | Life::Running { .. } | Life::Ended(_) => None,
        })
    }

    /// Is there a program with this process id in that container, or was there one since the machine started?
    pub(crate) fn is_pid_of(&self, pid: u32, id: &ContainerId) -> bool {
        self.containers.get(id).is_some_and(|container| match &container.life {
            Life::Running { pid: runs, .. } => *runs == pid,
            // Its agent has not heard yet. An end that nobody saw was in an earlier boot.
            Life::Ended(exit) => !matches!(exit.status, WaitStatus::Unknown { .. }),
            Life::Launching => false,
        })
    }

    /// Containers with a running program that nobody has asked to end, each with its task.
    pub(crate) fn undisturbed(&self) -> impl Iterator<Item = (&ContainerId, &TaskKey)> {
        let runs = |container: &Container| matches!(container.life, Life::Running { .. });
        let undisturbed =
            move |(_, container): &(&ContainerId, &Container)| runs(container) && container.killed.is_none();
        self.containers.iter().filter(undisturbed).map(|(id, container)| (id, &container.task))
    }

    /// How many containers have left a trace, those apart that wait for their agent's next start.
    pub(crate) fn len(&self) -> usize {
        self.containers.values().filter(|container| !container.left_behind).count()
    }

    /// What all live containers need together. Errors: something that has one holder has two (INV-2).
    pub(crate) fn in_use(&self) -> Result<Resources, Broken> {
        self.live().try_fold(Resources::new(), |sum, container| {
            let both = sum.checked_add(&container.needs);
            both.map_err(|error| Broken::new("INV-2", format!("two containers hold the same: {error}")))
        })
    }

    fn live(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| !matches!(container.life, Life::Ended(_)))
    }
}

/// A moment within the grace period; programs that take long are rare.
fn soon(random: &mut Random, now: Timestamp, grace: Duration) -> Timestamp {
    now + random.between(Duration::ZERO, grace.min(Duration::from_secs(10)))
}
