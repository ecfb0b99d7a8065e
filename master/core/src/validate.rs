//! Is this possible at all? Rules that need no more than the value itself and its target.

use std::collections::BTreeSet;

use lonja_allocator::CompiledConstraints;
use lonja_model::constraints::OfferConstraints;
use lonja_model::link::AgentTask;
use lonja_model::resources::Resource;
use lonja_model::resources::Scalar;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::task::Limit;
use lonja_model::{AgentId, AgentInfo, FrameworkInfo, Role, TaskInfo, TaskState};

use crate::{Config, checks};

/// May an agent of this description register? Errors: why not, and what to do.
pub(crate) fn agent(info: &AgentInfo) -> Result<(), String> {
    if info.hostname.is_empty() || info.hostname.len() > 255 {
        return Err("an agent's hostname has 1 to 255 bytes; set --hostname".to_owned());
    }
    if info.resources.is_empty() {
        return Err("an agent without resources has nothing to offer; set --resources".to_owned());
    }
    let kept = |resource: &Resource| resource.metadata().revocable && resource.reserved_for().is_some();
    if let Some(resource) = info.resources.iter().find(|resource| kept(resource)) {
        return Err(format!(
            "{resource} is both reserved and revocable; what can be taken back cannot be set aside"
        ));
    }
    Ok(())
}

/// May an agent be where it says it is? `known`: as it registered before. Errors: why not, and what to do. None of
/// them is for ever: the agent keeps its tasks and asks again, for it may be the master that was started wrongly.
pub(crate) fn place(config: &Config, known: Option<&AgentInfo>, info: &AgentInfo) -> Result<(), String> {
    match (known.and_then(|known| known.domain.as_ref()), &info.domain) {
        (_, Some(there)) if config.domain.is_none() => Err(format!(
            "the agent is in {there}, and this master does not say where it is, so that nobody can tell what is far; \
             start the master with --domain, or the agent without"
        )),
        (_, None) if config.require_agent_domain => {
            Err("this master takes only agents that say where they are; set --domain REGION/ZONE".to_owned())
        }
        (Some(before), Some(there)) if before != there => Err(format!(
            "the agent was in {before} and says it is in {there}; an agent does not move: set --domain {before}, or \
             remove its work dir to register it as a new agent"
        )),
        _ => Ok(()),
    }
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

/// May a framework be of this description? `call` begins the path of a field at fault.
pub(crate) fn framework(call: &str, info: &FrameworkInfo, suppressed: &BTreeSet<Role>) -> CallResult {
    let refuse = |field: &str, message: String| Err(refusal_of(format!("{call}.{field}"), message));
    if info.roles.is_empty() {
        let message = "a framework needs at least one role; use `*` for the default".to_owned();
        return refuse("framework_info.roles", message);
    }
    if let Some(role) = suppressed.iter().find(|role| !info.roles.contains(role)) {
        let message = format!("suppressed role {role} is not among the framework's roles");
        return refuse("suppressed_roles", message);
    }
    Ok(())
}

/// Makes a framework's offer constraints ready for use. Errors: the first at fault, with its path.
pub(crate) fn constraints(
    call: &str,
    info: &FrameworkInfo,
    constraints: OfferConstraints,
) -> Result<CompiledConstraints, Refusal> {
    if let Some(role) = constraints.0.keys().find(|role| !info.roles.contains(*role)) {
        let message =
            format!("the offer constraints name role {role}, which is not among the framework's roles");
        let field = format!("{call}.offer_constraints.role_constraints[{:?}]", role.as_str());
        return Err(refusal_of(field, message));
    }
    CompiledConstraints::compile(constraints).map_err(|invalid| {
        refusal_of(format!("{call}.offer_constraints.{}", invalid.path()), invalid.to_string())
    })
}

fn refusal_of(field: String, message: String) -> Refusal {
    Refusal { field: Some(field), ..Refusal::new(RefusalCode::InvalidArgument, message) }
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
    if info.command.is_none() && !info.is_in_custom_executor() {
        return Err(format!("task {id} has no command to run"));
    }
    if !info.container.parent_volumes.is_empty() && info.executor.is_none() {
        return Err(format!(
            "task {id} mounts a folder of its executor's sandbox and has no executor; launch it in a group"
        ));
    }
    checks::valid(info)?;
    for (name, limit) in &info.limits {
        if name != "cpus" && name != "mem" {
            return Err(format!("task {id} limits {name}; only cpus and mem can have limits of their own"));
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
