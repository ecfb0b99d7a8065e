//! What was so, and what was done about it: further promises over all lives of all processes.
//!
//! The [`oracle`](crate::oracle) compares words with words; here words are compared with what became of containers, and
//! what the master does with what it did before. Each promise is a function of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_agent_core::{ContainerExit, LaunchFailure, WaitStatus};
use lonja_model::checkpoint::CheckpointOp;
use lonja_model::link::ToAgent;
use lonja_model::registry::{AgentStanding, FrameworkStanding, RegistryOp};
use lonja_model::task::Reason;
use lonja_model::{AgentId, FrameworkId, OfferId, TaskState, TaskStatus, Timestamp};

use crate::hosts::kernel::TaskKey;
use crate::invariants::Broken;
use crate::network::ConnectionId;

/// So much later than its grace period a kill may take effect: a stall of the agent's disk, twice, and a little.
const KILL_SLACK: Duration = Duration::from_secs(70);

/// What really became of a task's container. A task that never ran has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Runs,
    Ended(ContainerExit),
    Failed(LaunchFailure),
}

/// INV-27, INV-29: what an agent says of a task's end is what became of its container. A task that is called dropped never
/// ran.
pub(crate) fn end_is_true(task: &TaskKey, truth: Option<&Truth>, status: &TaskStatus) -> Result<(), Broken> {
    let wrong = |invariant: &str| {
        let (why, what) = (status.reason, format!("task {} of {}", task.1, task.0));
        Err(Broken::new(
            invariant,
            format!("{what} is told as {} ({why:?}), the truth is {truth:?}", status.state),
        ))
    };
    let label =
        |name: &str| status.labels.0.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.clone());
    if let Some(Truth::Ended(exit)) = truth {
        let (exited, signaled) = match exit.status {
            WaitStatus::Exited(code) => (Some(code.to_string()), None),
            WaitStatus::Signaled(signal) => (None, Some(signal.to_string())),
            WaitStatus::Unknown { .. } => (None, None),
        };
        let said = (label("exit_status"), label("signal"));
        let none = said.0.is_none() && said.1.is_none();
        if status.state.is_terminal() && !none && said != (exited, signaled) {
            return wrong("INV-27");
        }
    }
    let holds = match (status.state, truth) {
        (TaskState::Finished, Some(Truth::Ended(exit))) => {
            exit.status == WaitStatus::Exited(0) && exit.memory_breach.is_none()
        }
        (TaskState::Failed, Some(Truth::Failed(failure))) => {
            let expected = match failure {
                LaunchFailure::Container => Reason::ContainerLaunchFailed,
                LaunchFailure::Command => Reason::CommandExecutorFailed,
                // Then it was dropped.
                LaunchFailure::NoRoom => return wrong("INV-27"),
            };
            status.reason == Some(expected)
        }
        (TaskState::Failed, Some(Truth::Ended(exit))) => match &exit.memory_breach {
            Some(_) => {
                status.reason == Some(Reason::ContainerLimitationMemory) && status.limitation.is_some()
            }
            None => {
                status.reason != Some(Reason::ContainerLimitationMemory)
                    && (exit.status != WaitStatus::Exited(0) || out_of_time(exit, status))
            }
        },
        (TaskState::Killed, Some(Truth::Ended(exit))) => {
            let by_signal = !matches!(exit.status, WaitStatus::Exited(_));
            exit.killed_by_request || by_signal
        }
        (TaskState::Killed, Some(Truth::Failed(_)) | None) => true,
        (TaskState::Dropped, Some(Truth::Runs | Truth::Ended(_))) => return wrong("INV-29"),
        (TaskState::Finished | TaskState::Failed | TaskState::Killed, _) => false,
        (_, _) => true,
    };
    if holds { Ok(()) } else { wrong("INV-27") }
}

/// A program that was ended for its time may leave as if nothing were.
fn out_of_time(exit: &ContainerExit, status: &TaskStatus) -> bool {
    exit.killed_by_request && status.reason == Some(Reason::MaxCompletionTimeReached)
}

/// INV-22: an answer to RECONCILE does not call running what never ran, or what has ended and was told to have.
pub(crate) fn answer_is_true(
    task: &TaskKey,
    truth: Option<&Truth>,
    end_was_told: bool,
    status: &TaskStatus,
) -> Result<(), Broken> {
    if status.reason != Some(Reason::Reconciliation) || status.state != TaskState::Running {
        return Ok(());
    }
    let runs = matches!(truth, Some(Truth::Runs | Truth::Ended(_))) && !end_was_told;
    if runs {
        return Ok(());
    }
    let what = format!("task {} of {} is said to run, the truth is {truth:?}", task.1, task.0);
    Err(Broken::new("INV-22", what))
}

/// What an agent was asked to kill, and since when it could have.
#[derive(Debug, Default)]
pub(crate) struct KillWatch(BTreeMap<TaskKey, (Timestamp, Duration)>);

impl KillWatch {
    /// The agent makes these changes durable.
    pub(crate) fn committed(&mut self, now: Timestamp, ops: &[CheckpointOp]) {
        for op in ops {
            let CheckpointOp::Task(framework, task, record) = op else { continue };
            let key = (framework.clone(), task.clone());
            let live = record.as_ref().filter(|record| !record.state.is_terminal());
            match live.and_then(|record| record.killing) {
                Some(grace) => self.0.entry(key).or_insert((now, grace)).1 = grace,
                None => {
                    self.0.remove(&key);
                }
            }
        }
    }

    /// The agent starts: what it was asked before it is asked again.
    pub(crate) fn restarted(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|(since, _)| *since = now);
    }

    /// The agent has lost its memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// INV-23: what was asked to end has ended soon after its grace period. `running` says since when a task runs.
    pub(crate) fn check(
        &self,
        now: Timestamp,
        running: impl Fn(&TaskKey) -> Option<Timestamp>,
    ) -> Result<(), Broken> {
        for (task, (since, grace)) in &self.0 {
            let Some(started) = running(task) else { continue };
            if now > started.max(*since) + *grace + KILL_SLACK {
                let what =
                    format!("task {} of {} was asked to end within {grace:?} and runs on", task.1, task.0);
                return Err(Broken::new("INV-23", what));
            }
        }
        Ok(())
    }
}

/// What the master has done.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    gone: BTreeSet<AgentId>,
    /// Those that the last commit made so: what the same batch said to them before that still follows.
    just_gone: BTreeSet<AgentId>,
    run: BTreeSet<TaskKey>,
    leaving: BTreeSet<FrameworkId>,
    /// Over which connection each offer that is outstanding, as far as is known, was made.
    offered: BTreeMap<OfferId, ConnectionId>,
}

impl Witness {
    /// A framework asks to be torn down.
    pub(crate) fn leaves(&mut self, framework: &FrameworkId) {
        self.leaving.insert(framework.clone());
    }

    /// The master makes these changes durable. INV-13: an agent that is gone stays gone. INV-37: no framework is removed
    /// that has not asked for it; in the simulator none stays away for as long as its failover timeout.
    pub(crate) fn master_commits(&mut self, ops: &[RegistryOp]) -> Result<(), Broken> {
        self.just_gone.clear();
        for op in ops {
            match op {
                RegistryOp::Agent(agent, Some(record)) => {
                    if matches!(record.standing, AgentStanding::Gone { .. }) {
                        if self.gone.insert(agent.clone()) {
                            self.just_gone.insert(agent.clone());
                        }
                    } else if self.gone.contains(agent) {
                        let what = format!("agent {agent} is gone and becomes {:?}", record.standing);
                        return Err(Broken::new("INV-13", what));
                    }
                }
                RegistryOp::Framework(framework, Some(record))
                    if record.standing == FrameworkStanding::Removed && !self.leaving.contains(framework) =>
                {
                    let what = format!("framework {framework} is removed, and its time is not up");
                    return Err(Broken::new("INV-37", what));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The master says this to an agent. INV-13: an agent that is gone is not welcomed; INV-16: a task is run once under
    /// its id, which these frameworks never use again.
    pub(crate) fn master_tells_agent(&mut self, message: &ToAgent) -> Result<(), Broken> {
        match message {
            ToAgent::Registered { agent, .. } if self.is_long_gone(agent) => {
                Err(Broken::new("INV-13", format!("agent {agent} is gone and is welcomed")))
            }
            ToAgent::Run { framework, tasks, .. } | ToAgent::RunInExecutor { framework, tasks, .. } => {
                tasks.iter().try_for_each(|task| {
                    if self.run.insert((framework.clone(), task.id.clone())) {
                        return Ok(());
                    }
                    Err(Broken::new("INV-16", format!("task {} of {framework} is to be run twice", task.id)))
                })
            }
            _ => Ok(()),
        }
    }

    /// The master makes an offer. INV-13: none of an agent that is gone.
    pub(crate) fn offered(
        &mut self,
        offer: &OfferId,
        agent: &AgentId,
        connection: ConnectionId,
    ) -> Result<(), Broken> {
        self.offered.insert(offer.clone(), connection);
        if self.is_long_gone(agent) {
            return Err(Broken::new("INV-13", format!("offer {offer} is of {agent}, which is gone")));
        }
        Ok(())
    }

    /// A framework uses offers over this connection. INV-39: they were made over it.
    pub(crate) fn accepted(&mut self, offers: &[OfferId], connection: ConnectionId) -> Result<(), Broken> {
        for offer in offers {
            if self.offered.remove(offer).is_some_and(|made| made != connection) {
                let what = format!("offer {offer} is used, and was made to an earlier subscription");
                return Err(Broken::new("INV-39", what));
            }
        }
        Ok(())
    }

    fn is_long_gone(&self, agent: &AgentId) -> bool {
        self.gone.contains(agent) && !self.just_gone.contains(agent)
    }

    /// Did the last commit declare this agent gone?
    pub(crate) fn is_just_gone(&self, agent: &AgentId) -> bool {
        self.just_gone.contains(agent)
    }

    /// Offers that are outstanding no more.
    pub(crate) fn ended(&mut self, offers: &[OfferId]) {
        for offer in offers {
            self.offered.remove(offer);
        }
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::TaskId;
    use lonja_model::task::Source;

    use super::*;

    fn key() -> TaskKey {
        (FrameworkId::new("f").unwrap(), TaskId::new("t").unwrap())
    }

    fn status(state: TaskState) -> TaskStatus {
        TaskStatus::new(key().1, state, Source::Agent, Timestamp::ZERO)
    }

    fn ended(status: WaitStatus) -> Truth {
        Truth::Ended(ContainerExit::new(status))
    }

    #[test]
    fn an_end_that_is_not_what_happened_is_noticed() {
        let says = |truth: Option<Truth>, status| end_is_true(&key(), truth.as_ref(), &status).is_ok();
        let failed = ended(WaitStatus::Exited(3));
        assert!(says(Some(ended(WaitStatus::Exited(0))), status(TaskState::Finished)));
        assert!(!says(Some(failed.clone()), status(TaskState::Finished)));
        assert!(!says(Some(Truth::Runs), status(TaskState::Failed)));
        assert!(!says(None, status(TaskState::Failed)));
        assert!(!says(Some(failed.clone()), status(TaskState::Killed)), "nobody signalled it");
        assert!(says(None, status(TaskState::Dropped)));
        assert!(!says(Some(Truth::Runs), status(TaskState::Dropped)));
        let mut wrong = status(TaskState::Failed);
        wrong.labels.0.push(("exit_status".to_owned(), Some("4".to_owned())));
        assert!(says(Some(failed.clone()), status(TaskState::Failed)) && !says(Some(failed), wrong));
    }

    #[test]
    fn an_answer_that_calls_the_dead_alive_is_noticed() {
        let running = status(TaskState::Running).because(Reason::Reconciliation);
        assert!(answer_is_true(&key(), Some(&Truth::Runs), false, &running).is_ok());
        assert!(answer_is_true(&key(), None, false, &running).is_err());
        assert!(answer_is_true(&key(), Some(&ended(WaitStatus::Exited(0))), true, &running).is_err());
    }
}
