//! Is this possible at all? Rules that need no more than the value itself and its target.

use std::collections::BTreeSet;

use lonja_model::container::Program;
use lonja_model::link::AgentTask;
use lonja_model::resources::Scalar;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::task::Limit;
use lonja_model::{AgentId, AgentInfo, FrameworkInfo, Role, TaskInfo, TaskState};

/// May an agent of this description register? Errors: why not, and what to do.
pub(crate) fn agent(info: &AgentInfo) -> Result<(), String> {
    if info.hostname.is_empty() || info.hostname.len() > 255 {
        return Err("an agent's hostname has 1 to 255 bytes; set --hostname".to_owned());
    }
    if info.resources.is_empty() {
        return Err("an agent without resources has nothing to offer; set --resources".to_owned());
    }
    if info.resources.iter().any(|resource| resource.metadata().revocable) {
        return Err("an agent's own resources cannot be revocable".to_owned());
    }
    Ok(())
}

/// May an agent come back with these tasks? They must be its own, in states that an agent can know.
/// Errors: which is not.
pub(crate) fn reported(agent: &AgentId, tasks: &[AgentTask]) -> Result<(), String> {
    for task in tasks {
        let id = &task.info.id;
        if task.info.agent != *agent {
            return Err(format!("agent {agent} reports task {id}, which is on agent {}", task.info.agent));
        }
        if !an_agent_may_say(task.state) {
            return Err(format!(
                "agent {agent} reports task {id} as {}, which is the master's to say",
                task.state
            ));
        }
    }
    Ok(())
}

/// Is this a state that an agent can know its task to be in? The others are the master's word for silence.
pub(crate) fn an_agent_may_say(state: TaskState) -> bool {
    match state {
        TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Dropped
        | TaskState::Gone => true,
        TaskState::Unreachable | TaskState::Lost | TaskState::GoneByOperator | TaskState::Unknown => false,
    }
}

/// May a framework of this description subscribe?
pub(crate) fn framework(info: &FrameworkInfo, suppressed: &BTreeSet<Role>) -> CallResult {
    let refuse = |field: &str, message: String| {
        Err(Refusal { field: Some(field.to_owned()), ..Refusal::new(RefusalCode::InvalidArgument, message) })
    };
    if info.roles.is_empty() {
        let message = "a framework needs at least one role; use `*` for the default".to_owned();
        return refuse("subscribe.framework_info.roles", message);
    }
    if let Some(role) = suppressed.iter().find(|role| !info.roles.contains(role)) {
        let message = format!("suppressed role {role} is not among the framework's roles");
        return refuse("subscribe.suppressed_roles", message);
    }
    Ok(())
}

/// May this task run on `agent`? Errors: why not, and what to do.
pub(crate) fn task(info: &TaskInfo, agent: &AgentId) -> Result<(), String> {
    let id = &info.id;
    if info.agent != *agent {
        return Err(format!("task {id} names agent {}, the offers are of {agent}", info.agent));
    }
    if info.resources.is_empty() {
        return Err(format!("task {id} asks for no resources; give it at least some cpus and mem"));
    }
    let empty = match &info.command.program {
        Program::Shell(line) => line.trim().is_empty(),
        Program::Exec { path, .. } => path.is_empty(),
    };
    if empty {
        return Err(format!("task {id} has no command to run"));
    }
    for (name, limit) in &info.limits {
        if name != "mem" {
            return Err(format!("task {id} limits {name}; only mem can have a limit of its own so far"));
        }
        let need: Scalar = info.resources.scalar(name);
        match limit {
            Limit::Amount(amount) if *amount < need => {
                return Err(format!("task {id} limits {name} to {amount}, below the {need} it asks for"));
            }
            Limit::Amount(_) | Limit::Infinite => {}
        }
    }
    Ok(())
}
