//! What operators ask.

use std::time::Duration;

use lonja_model::maintenance::{Drain, MachineId, Window};
use lonja_model::operation::Conversion;
use lonja_model::quota::Quota;
use lonja_model::resources::Scalar;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::{AgentId, FrameworkId, Role, TaskId, Timestamp};

use crate::effects::{Effects, Outbound, RequestId};
use crate::{State, calls, maintenance, operator_conversions, quotas, subscription};

/// A command of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorCommand {
    /// Kill a task as if its framework had asked.
    KillTask {
        /// Whose; may be left out if only one framework has a task of that id.
        framework: Option<FrameworkId>,
        /// Which.
        task: TaskId,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// Remove a framework and kill its tasks.
    Teardown {
        /// Which.
        framework: FrameworkId,
    },
    /// Give roles weights, all of them or none.
    SetWeights {
        /// Each role once; in thousandths, above zero.
        weights: Vec<(Role, Scalar)>,
    },
    /// Set quotas, all of them or none; `None`: the role has none from now on.
    UpdateQuotas {
        /// Each role once.
        quotas: Vec<(Role, Option<Quota>)>,
        /// Even if a limit is below what the role holds, or guarantees are above what the cluster has.
        force: bool,
    },
    /// Make an agent's resources into others; answered once the agent has made that durable.
    Convert {
        /// Whose.
        agent: AgentId,
        /// What is asked.
        conversion: Conversion,
    },
    /// A command about agents that are to be left, or taken back.
    Maintenance(MaintenanceCommand),
}

/// A command about agents that are to be left, or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaintenanceCommand {
    /// Offer the agent no more, and kill its tasks. Said again, it replaces how.
    Drain {
        /// Which.
        agent: AgentId,
        /// How.
        drain: Drain,
    },
    /// Offer the agent no more.
    Deactivate {
        /// Which.
        agent: AgentId,
    },
    /// Offer the agent again: the way back from deactivation and from draining. Kills already asked for are not
    /// called back.
    Reactivate {
        /// Which.
        agent: AgentId,
    },
    /// The agent will never return. Said again, it changes nothing.
    MarkGone {
        /// Which.
        agent: AgentId,
    },
    /// Replace the whole schedule.
    Schedule {
        /// Each machine in one window.
        windows: Vec<Window>,
    },
    /// Machines of the schedule go down: their agents are drained.
    Start {
        /// Each once.
        machines: Vec<MachineId>,
    },
    /// Machines that are down come up again, out of the schedule, and their agents are active.
    Stop {
        /// Each once.
        machines: Vec<MachineId>,
    },
}

/// Carries out a command and answers it.
pub(crate) fn command(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    request: RequestId,
    command: OperatorCommand,
) {
    let result = match command {
        OperatorCommand::KillTask { framework, task, grace } => {
            kill_task(state, effects, now, framework, &task, grace)
        }
        OperatorCommand::Teardown { framework } => {
            if state.frameworks.get(&framework).is_some() {
                subscription::remove(state, effects, now, &framework, "an operator tore it down");
                Ok(())
            } else {
                not_found(format!("no framework {framework} is subscribed or expected back"))
            }
        }
        OperatorCommand::SetWeights { weights } => quotas::set_weights(state, effects, weights),
        OperatorCommand::UpdateQuotas { quotas, force } => quotas::update(state, effects, now, quotas, force),
        OperatorCommand::Maintenance(command) => maintenance::command(state, effects, now, command),
        OperatorCommand::Convert { agent, conversion } => {
            // Answered when its agent has answered.
            return operator_conversions::convert(state, effects, now, request, &agent, conversion);
        }
    };
    effects.send.push(Outbound::Operator(request, result));
}

fn not_found(message: String) -> CallResult {
    Err(Refusal::new(RefusalCode::NotFound, message))
}

fn kill_task(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    framework: Option<FrameworkId>,
    task: &TaskId,
    grace: Option<Duration>,
) -> CallResult {
    let framework = match framework {
        Some(framework) => framework,
        None => {
            let mut owners = state.tasks.named(task).into_iter();
            match (owners.next(), owners.next()) {
                (Some((owner, _)), None) => owner,
                (None, _) => return not_found(format!("no task {task} is known; `lonja tasks` lists them")),
                (Some((one, _)), Some((other, _))) => {
                    let message =
                        format!("frameworks {one} and {other} both have a task {task}: name the framework");
                    return Err(Refusal::new(RefusalCode::Conflict, message));
                }
            }
        }
    };
    match state.tasks.get(&framework, task) {
        None => not_found(format!("framework {framework} has no task {task}")),
        Some(known) if known.state.is_terminal() => {
            Err(Refusal::new(RefusalCode::Conflict, format!("task {task} has ended: {}", known.state)))
        }
        Some(_) => calls::kill(state, effects, now, &framework, task, None, grace),
    }
}
