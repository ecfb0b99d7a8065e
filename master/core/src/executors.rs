//! Executors: what runs tasks on an agent in the name of a framework, and holds resources of its own meanwhile.
//!
//! The master sets aside what an executor needs with the first task that names it, and gives it back when its agent
//! says that it has ended. Nothing of it is durable or acknowledged: what an agent brings when it registers again is
//! the truth, and replaces what was thought (INV-21).
//!
//! Invariants
//! - What an executor needs is charged to its agent from its first launch to its end, once (INV-2, INV-4).
//! - An executor's agent is one that the allocator knows.
//!
//! Source: Mesos master, executors of agents; `launch_executor` of its RunTask message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::container::Command;
use lonja_model::executor::ExecutorInfo;
use lonja_model::link::{AgentExecutor, ToAgent};
use lonja_model::resources::Quantities;
use lonja_model::scheduler::{CallResult, Event, Refusal, RefusalCode};
use lonja_model::{AgentId, ContainerId, ExecutorId, FrameworkId, Resources, Role, TaskInfo, Timestamp};

use crate::accept::Pool;
use crate::conversions::or_nothing;
use crate::effects::{Effects, LinkId};
use crate::{State, offers, volumes};

/// One executor as the master knows it.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Whose.
    pub framework: FrameworkId,
    /// For which of its roles.
    pub role: Role,
    /// Where.
    pub agent: AgentId,
    /// What was asked for.
    pub info: ExecutorInfo,
    /// Its container, once its agent has told of it.
    pub container: Option<ContainerId>,
}

/// An executor's name on one agent.
pub type ExecutorKey = (FrameworkId, ExecutorId);

/// All executors, by their agents.
#[derive(Debug, Default)]
pub struct Executors {
    by_agent: BTreeMap<AgentId, BTreeMap<ExecutorKey, Arc<Executor>>>,
    /// What those of each framework hold, over all agents.
    held: BTreeMap<FrameworkId, Quantities>,
}

impl Executors {
    /// One executor.
    pub fn get(&self, agent: &AgentId, framework: &FrameworkId, id: &ExecutorId) -> Option<&Arc<Executor>> {
        self.by_agent.get(agent)?.get(&(framework.clone(), id.clone()))
    }

    /// The executors on one agent, framework by framework.
    pub fn on_agent(&self, agent: &AgentId) -> impl Iterator<Item = &Arc<Executor>> {
        self.by_agent.get(agent).into_iter().flat_map(|executors| executors.values())
    }

    /// All executors, agent by agent.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Executor>> {
        self.by_agent.values().flat_map(|executors| executors.values())
    }

    /// The names of a framework's executors on one agent.
    pub(crate) fn of(&self, agent: &AgentId, framework: &FrameworkId) -> Vec<ExecutorId> {
        let own = self.on_agent(agent).filter(|executor| executor.framework == *framework);
        own.map(|executor| executor.info.id.clone()).collect()
    }

    /// The agents that hold executors of one framework. O(agents with executors).
    pub(crate) fn agents_of(&self, framework: &FrameworkId) -> BTreeSet<AgentId> {
        let own = self.iter().filter(|executor| executor.framework == *framework);
        own.map(|executor| executor.agent.clone()).collect()
    }

    fn insert(&mut self, executor: Executor) {
        let key = (executor.framework.clone(), executor.info.id.clone());
        self.held.entry(key.0.clone()).or_default().add(&executor.info.resources.quantities());
        let before = self.by_agent.entry(executor.agent.clone()).or_default().insert(key, Arc::new(executor));
        if let Some(before) = before {
            self.release(&before);
        }
    }

    fn release(&mut self, executor: &Executor) {
        let Some(held) = self.held.get_mut(&executor.framework) else { return };
        held.subtract(&executor.info.resources.quantities());
        if held.is_empty() {
            self.held.remove(&executor.framework);
        }
    }

    fn remove(&mut self, agent: &AgentId, key: &ExecutorKey) -> Option<Arc<Executor>> {
        let executors = self.by_agent.get_mut(agent)?;
        let executor = executors.remove(key);
        if executors.is_empty() {
            self.by_agent.remove(agent);
        }
        if let Some(executor) = &executor {
            self.release(executor);
        }
        executor
    }

    /// The agent has left the allocator, and what it held with it.
    pub(crate) fn forget_agent(&mut self, agent: &AgentId) {
        for executor in self.by_agent.remove(agent).into_iter().flat_map(BTreeMap::into_values) {
            self.release(&executor);
        }
    }

    /// What a framework's executors hold, over all agents.
    pub(crate) fn held_by(&self, framework: &FrameworkId) -> Quantities {
        self.held.get(framework).cloned().unwrap_or_default()
    }
}

/// What a launch in an executor needs beside its tasks.
pub(crate) enum Need {
    /// The executor is there.
    Nothing,
    /// The executor is started with the launch.
    Start(Box<Executor>),
}

impl Need {
    /// Is the executor started with the launch?
    pub(crate) fn starts(&self) -> bool {
        matches!(self, Self::Start(_))
    }
}

/// Takes what the executor needs out of the pool, unless it is there already. Errors: why it cannot run; nothing is
/// taken.
pub(crate) fn set_aside(state: &State, pool: &mut Pool, info: &ExecutorInfo) -> Result<Need, String> {
    let id = &info.id;
    if !info.container.parent_volumes.is_empty() {
        return Err(format!(
            "executor {id} has no executor's sandbox to mount from; leave volumes of type PARENT out"
        ));
    }
    if info.command().is_some_and(Command::is_none) {
        return Err(format!("executor {id} is a program of the framework's own and names none; set command"));
    }
    if info.framework.as_ref().is_some_and(|whose| *whose != pool.framework) {
        return Err(format!("executor {id} names another framework; leave framework_id out"));
    }
    if let Some(known) = state.executors.get(&pool.agent, &pool.framework, id) {
        let named = |info: &ExecutorInfo| ExecutorInfo { framework: None, ..info.clone() };
        if named(&known.info) != named(info) {
            return Err(format!(
                "executor {id} is on this agent already and was described otherwise; use the same description, or \
                 another id"
            ));
        }
        if known.role != pool.role {
            return Err(format!(
                "executor {id} runs for role {}, the offers are for {}",
                known.role, pool.role
            ));
        }
        return Ok(Need::Nothing);
    }
    if let Some(volume) = volumes::of(&info.resources).next() {
        let name = volumes::name_of(volume);
        return Err(format!("executor {id} asks for volume {name}; let a task ask for it"));
    }
    let Some(left) = pool.left.checked_sub(&info.resources) else {
        return Err(format!(
            "executor {id} needs {}, and the offers hold {} for it; ask for less or accept more offers",
            info.resources,
            or_nothing(&pool.left)
        ));
    };
    pool.left = left;
    Ok(Need::Start(Box::new(Executor {
        framework: pool.framework.clone(),
        role: pool.role.clone(),
        agent: pool.agent.clone(),
        info: info.clone(),
        container: None,
    })))
}

/// The launch goes ahead.
pub(crate) fn begin(state: &mut State, need: Need) {
    if let Need::Start(executor) = need {
        state.executors.insert(*executor);
    }
}

/// What may be asked of the executor of a task that is launched for itself. Errors: why it cannot be had.
pub(crate) fn check_alone(task: &TaskInfo) -> Result<(), String> {
    match &task.executor {
        Some(executor) if !executor.is_custom() => Err(format!(
            "task {} names the built-in executor {}, which takes groups; launch it with LAUNCH_GROUP",
            task.id, executor.id
        )),
        Some(executor) if !task.command.is_none() => Err(format!(
            "task {} has both a command and executor {}; leave one of them out",
            task.id, executor.id
        )),
        Some(_) | None => Ok(()),
    }
}

/// A framework wants one of its executors ended. Nothing is given back before its agent says that it has.
pub(crate) fn shut_down(
    state: &State,
    effects: &mut Effects,
    framework: &FrameworkId,
    agent: &AgentId,
    executor: ExecutorId,
) -> CallResult {
    let Some(link) = state.agents.get(agent).and_then(|agent| agent.link()) else {
        return Err(Refusal::new(RefusalCode::NotFound, format!("agent {agent} is not connected")));
    };
    let known = state.executors.get(agent, framework, &executor);
    if known.is_none_or(|known| !known.info.is_custom()) {
        let reason = format!("no executor {executor} of this framework's own runs on agent {agent}");
        return Err(Refusal::new(RefusalCode::NotFound, reason));
    }
    effects.agent(link, ToAgent::ShutdownExecutor { framework: framework.clone(), executor });
    Ok(())
}

/// An agent says that an executor is no more.
pub(crate) fn ended(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
    key: &ExecutorKey,
    status: Option<i32>,
) {
    let Some(executor) = give_back(state, now, agent, key) else { return };
    if !executor.info.is_custom() {
        return;
    }
    if let Some(stream) = state.frameworks.get(&key.0).and_then(|framework| framework.stream) {
        let (agent, executor) = (agent.clone(), Some(key.1.clone()));
        effects.framework(stream, Event::Failure { agent, executor, status });
    }
}

fn give_back(state: &mut State, now: Timestamp, agent: &AgentId, key: &ExecutorKey) -> Option<Arc<Executor>> {
    let executor = state.executors.remove(agent, key)?;
    if !executor.info.resources.is_empty() {
        offers::recover(state, now, agent, &key.0, &executor.role, &executor.info.resources, None);
    }
    Some(executor)
}

/// The framework is no more, and its executors are told with its tasks.
pub(crate) fn framework_removed(state: &mut State, now: Timestamp, framework: &FrameworkId) {
    for agent in state.executors.agents_of(framework) {
        for executor in state.executors.of(&agent, framework) {
            give_back(state, now, &agent, &(framework.clone(), executor));
        }
    }
}

/// Brings what the master knows of an agent's executors and what the agent reports together.
pub(crate) fn returned(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    agent: &AgentId,
    reported: Vec<AgentExecutor>,
) {
    let known: Vec<ExecutorKey> = state
        .executors
        .on_agent(agent)
        .map(|executor| (executor.framework.clone(), executor.info.id.clone()))
        .collect();
    let still: BTreeSet<ExecutorKey> =
        reported.iter().map(|executor| (executor.framework.clone(), executor.info.id.clone())).collect();
    for key in known.iter().filter(|key| !still.contains(key)) {
        ended(state, effects, now, agent, key, None);
    }
    for AgentExecutor { framework, role, info, container } in reported {
        if state.frameworks.get(&framework).is_none() {
            // Nobody asks for it any more: the agent ends it without a word.
            effects.agent(link, ToAgent::ShutdownFramework { framework });
            continue;
        }
        if state.executors.get(agent, &framework, &info.id).is_none() {
            charge(state, agent, &framework, &role, &info.resources);
        }
        let container = Some(container);
        state.executors.insert(Executor { framework, role, agent: agent.clone(), info, container });
    }
}

fn charge(state: &mut State, agent: &AgentId, framework: &FrameworkId, role: &Role, resources: &Resources) {
    if !resources.is_empty() {
        let charged = state.allocator.charge(agent, framework, role, resources);
        charged.expect("an agent that comes back is known to the allocator");
    }
}
