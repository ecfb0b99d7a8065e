//! Agents coming, coming back, and losing their link.
//!
//! A new agent is admitted durably before it is offered: the registry change and the answer leave in one
//! batch, change first (INV-10). An agent that comes back tells of its tasks, and what it tells holds, once it has
//! answered a ping over the same link: a registration may have waited in the network while its agent gave that link up,
//! came back over another and was given tasks of which the first knows nothing (INV-21).
//!
//! Source: Mesos master, registration and re-registration of agents; `docs/invariants.md` INV-9, 10, 22.

use std::collections::BTreeSet;
use std::sync::Arc;

use lonja_model::agent::AgentCapability;
use lonja_model::link::{AgentExecutor, AgentTask, FromAgent, ToAgent};
use lonja_model::maintenance::Duty;
use lonja_model::operation::OperationRecord;
use lonja_model::registry::{AgentStanding, FrameworkStanding};
use lonja_model::task::{Reason, Source};
use lonja_model::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resources, Role, TaskState, TaskStatus, Timestamp,
};

use crate::agents::{Agent, Presence};
use crate::deadlines::Timer;
use crate::effects::{ClusterEvent, Effects, LinkId, Outbound};
use crate::tasks::Task;
use crate::{
    State, draining, executors, feedback, inverse_offers, liveness, maintenance, offers, registry, snapshot,
    subscription, totals, updates, validate,
};

/// Everything that an agent says comes through here.
pub(crate) fn message(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    message: FromAgent,
) {
    let known = state.agents.on_link(link).cloned();
    if let Some(id) = &known {
        heard(state, now, id, &message);
    }
    match (message, known) {
        (FromAgent::Register { .. } | FromAgent::Reregister { .. }, Some(id)) => {
            // Asked again because our answer was slow. What it says now may be older than what we sent since.
            welcome(state, effects, link, &id);
        }
        (FromAgent::Register { info, version, capabilities }, None) => {
            register(state, effects, now, link, *info, (version, capabilities));
        }
        (
            FromAgent::Reregister {
                agent,
                info,
                version,
                tasks,
                frameworks,
                total,
                operations,
                executors,
                capabilities,
            },
            None,
        ) => {
            let back = Returning {
                info: *info,
                version,
                total,
                tasks,
                frameworks,
                operations,
                executors,
                capabilities,
            };
            hold(state, effects, now, link, agent, back);
        }
        (FromAgent::Update { framework, status, latest }, Some(id)) => {
            updates::from_agent(state, effects, now, link, &id, &framework, *status, latest);
        }
        (FromAgent::Message { framework, executor, data }, Some(id)) => {
            if let Some(stream) = state.frameworks.get(&framework).and_then(|framework| framework.stream) {
                let event = lonja_model::scheduler::Event::Message { agent: id, executor, data };
                effects.framework(stream, event);
                state.counters.count_valid(Some("executor_to_framework"));
            }
        }
        (FromAgent::ExecutorEnded { framework, executor, status }, Some(id)) => {
            executors::ended(state, effects, now, &id, &(framework, executor), status);
        }
        (FromAgent::OperationUpdate { record, total }, Some(id)) => {
            feedback::from_agent(state, effects, now, link, &id, *record, total);
        }
        (FromAgent::Pong { .. }, Some(_)) => {}
        (FromAgent::Pong { .. }, None) if state.returning.contains_key(&link) => {
            if let Some((agent, back)) = let_go(state, link) {
                reregister(state, effects, now, link, agent, back);
            }
        }
        (
            FromAgent::Update { .. }
            | FromAgent::OperationUpdate { .. }
            | FromAgent::Message { .. }
            | FromAgent::ExecutorEnded { .. }
            | FromAgent::Pong { .. },
            None,
        ) => {
            refuse(effects, link, "register before anything else", false);
        }
    }
}

/// Keeps what an agent that is back says until it has answered a ping: for so long as a ping may take, and of as many as
/// there may be agents.
fn hold(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    agent: AgentId,
    back: Returning,
) {
    if state.returning.len() >= state.config.max_agents {
        return refuse(effects, link, "too many agents are coming back at once; ask again", false);
    }
    state.returning.insert(link, (agent, back));
    state.deadlines.set(Timer::NoAnswer(link), now + state.config.ping_interval);
    effects.agent(link, ToAgent::Ping { sequence: 0 });
}

/// What is kept of an agent on this link is kept no longer.
fn let_go(state: &mut State, link: LinkId) -> Option<(AgentId, Returning)> {
    state.deadlines.cancel(Timer::NoAnswer(link));
    state.returning.remove(&link)
}

/// An agent that says it is back does not answer over the link by which it said so.
pub(crate) fn no_answer(state: &mut State, effects: &mut Effects, link: LinkId) {
    if let_go(state, link).is_some() {
        refuse(effects, link, "no answer to a ping after the registration; ask again", false);
    }
}

/// An agent has spoken. Its first word after its registration says that its id is durable with it: an agent
/// that dies before would come back as another, and tasks sent to it would be lost for ever.
fn heard(state: &mut State, now: Timestamp, id: &AgentId, message: &FromAgent) {
    let Some(agent) = state.agents.get_mut(id) else { return };
    agent.last_heard = now;
    let asks_again = matches!(message, FromAgent::Register { .. } | FromAgent::Reregister { .. });
    if !agent.confirmed && !asks_again {
        agent.confirmed = true;
        draining::allow_offers(state, id);
    }
}

/// Sends an agent away; `permanent`: to try again is no use.
pub(crate) fn refuse(effects: &mut Effects, link: LinkId, reason: impl Into<String>, permanent: bool) {
    effects.agent(link, ToAgent::Refused { reason: reason.into(), permanent });
    effects.send.push(Outbound::CloseLink(link));
}

fn welcome(state: &State, effects: &mut Effects, link: LinkId, agent: &AgentId) {
    let ping_interval = state.config.ping_interval;
    let max_missed_pings = state.config.max_missed_pings;
    effects.agent(link, ToAgent::Registered { agent: agent.clone(), ping_interval, max_missed_pings });
}

fn register(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    info: AgentInfo,
    (version, capabilities): (String, BTreeSet<AgentCapability>),
) {
    if let Err(reason) = validate::agent(&info) {
        return refuse(effects, link, reason, true);
    }
    if let Err(reason) = validate::place(&state.config, None, &info) {
        return refuse(effects, link, reason, false);
    }
    if let Some(reason) = full(state).or_else(|| maintenance::keeps_out(state, &info.hostname)) {
        return refuse(effects, link, reason, false);
    }
    let number = state.agents.next_number();
    let id = AgentId::new(format!("{}-S{number}", state.me.id)).expect("made of letters, digits and dashes");
    let info = AgentInfo { id: Some(id.clone()), ..info };
    registry::put_agent(state, effects, &id, &info, AgentStanding::Admitted);
    state.allocator.add_agent(id.clone(), info.resources.clone(), facts_of(&info));
    state.allocator.deactivate_agent(&id);
    let agent = Agent {
        total: info.resources.clone(),
        info: Arc::new(info),
        version,
        capabilities,
        presence: Presence::Connected(link),
        confirmed: false,
        last_heard: now,
        registered: Some(now),
        reregistered: None,
        pings: 0,
    };
    state.agents.insert(id.clone(), agent);
    state.counters.agents_registered += 1;
    liveness::watch(state, now, &id);
    welcome(state, effects, link, &id);
    publish_added(state, effects, &id);
}

/// What an agent that is back says of itself.
pub(crate) struct Returning {
    info: AgentInfo,
    version: String,
    total: Resources,
    tasks: Vec<AgentTask>,
    frameworks: Vec<(FrameworkId, FrameworkInfo)>,
    operations: Vec<OperationRecord>,
    executors: Vec<AgentExecutor>,
    capabilities: BTreeSet<AgentCapability>,
}

impl Returning {
    fn check(&self, id: &AgentId) -> Result<(), String> {
        validate::agent(&self.info)?;
        totals::check(&self.info.resources, &self.total)?;
        validate::reported(id, &self.tasks)?;
        let outcome = |record: &OperationRecord| feedback::an_agent_may_say(record.status.state);
        match self.operations.iter().find(|record| !outcome(record)) {
            None => Ok(()),
            Some(record) => Err(format!(
                "agent {id} reports operation {} as {:?}, which is the master's to say",
                record.operation.uuid, record.status.state
            )),
        }
    }
}

fn reregister(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    link: LinkId,
    id: AgentId,
    back: Returning,
) {
    if let Err(reason) = back.check(&id) {
        return refuse(effects, link, reason, true);
    }
    let Returning { info, version, total, tasks, frameworks, operations, executors, capabilities } = back;
    let info = AgentInfo { id: Some(id.clone()), ..info };
    if let Some(reason) = unheard_of(state, &id).or_else(|| kept_out(state, &id, &info, &tasks)) {
        return refuse(effects, link, reason, false);
    }
    let before = state.agents.get(&id).map(|agent| (agent.presence, agent.info.clone()));
    match &before {
        Some((Presence::Gone { .. }, _)) => {
            let reason =
                format!("agent {id} was declared gone; remove its work dir to register it as a new agent");
            return refuse(effects, link, reason, true);
        }
        Some((Presence::Connected(_), known))
            if (&known.hostname, known.port) != (&info.hostname, info.port) =>
        {
            let reason = format!(
                "agent {id} is connected from {}:{}; is this work dir a copy? remove it to register a new agent",
                known.hostname, known.port
            );
            return refuse(effects, link, reason, false);
        }
        Some(_) | None => {}
    }
    let known = before.as_ref().map(|(_, known)| &**known);
    if let Err(reason) = validate::place(&state.config, known, &info) {
        return refuse(effects, link, reason, false);
    }
    registry::put_agent(state, effects, &id, &info, AgentStanding::Admitted);
    // Known or not: what it holds stays charged, what it says of itself is new.
    state.allocator.add_agent(id.clone(), total.clone(), facts_of(&info));
    take_back(state, now, link, &id, info, total, (version, capabilities));
    if let Some((Presence::Connected(old), _)) = &before {
        offers::rescind_on(state, effects, now, &id);
        effects.send.push(Outbound::CloseLink(*old));
    }
    state.counters.agents_reregistered += 1;
    liveness::watch(state, now, &id);
    welcome(state, effects, link, &id);
    for (framework, info) in frameworks {
        learn_framework(state, effects, now, &framework, info);
    }
    executors::returned(state, effects, now, link, &id, executors);
    feedback::returned(state, effects, now, link, &id, operations);
    let was_unreachable = matches!(before, Some((Presence::Unreachable { .. }, _)));
    reconcile(state, effects, now, &Back { link, agent: &id, was_unreachable }, tasks);
    draining::returned(state, effects, now, &id);
    publish_added(state, effects, &id);
}

/// An id that this master does not know may come from an older registry; why not, if it cannot.
fn unheard_of(state: &State, id: &AgentId) -> Option<String> {
    if state.agents.get(id).is_some() {
        return None;
    }
    if id.as_str().starts_with(&format!("{}-", state.me.id)) {
        return Some(format!(
            "this master has never given the id {id}; remove the work dir to register anew"
        ));
    }
    full(state)
}

/// Why an agent is not let in from a machine that is down. One with tasks is: they are to be ended.
fn kept_out(state: &State, id: &AgentId, info: &AgentInfo, reported: &[AgentTask]) -> Option<String> {
    let is_draining = matches!(registry::duty(state, id), Duty::Draining(_));
    if state.agents.get(id).is_some_and(|agent| matches!(agent.presence, Presence::Gone { .. })) {
        // There is a better reason.
        return None;
    }
    let keeps_out = || maintenance::keeps_out(state, &info.hostname);
    (reported.is_empty() && !is_draining).then(keeps_out).flatten()
}

/// Why no more agents are taken, if none are.
fn full(state: &State) -> Option<String> {
    let known = state.agents.len();
    (known >= state.config.max_agents)
        .then(|| format!("this master knows {known} agents and takes no more; see --max-agents"))
}

fn facts_of(info: &AgentInfo) -> lonja_allocator::AgentFacts {
    lonja_allocator::AgentFacts {
        hostname: info.hostname.clone(),
        attributes: info.attributes.clone(),
        domain: info.domain.clone(),
    }
}

/// Counts what a returning agent's task holds; what the agent no longer has becomes its debt.
fn charge(state: &mut State, agent: &AgentId, framework: &FrameworkId, role: &Role, resources: &Resources) {
    let charged = state.allocator.charge(agent, framework, role, resources);
    charged.expect("an agent that comes back is known to the allocator");
    inverse_offers::touch(state, agent);
}

fn take_back(
    state: &mut State,
    now: Timestamp,
    link: LinkId,
    id: &AgentId,
    info: AgentInfo,
    total: Resources,
    (version, capabilities): (String, BTreeSet<AgentCapability>),
) {
    let registered = state.agents.get(id).and_then(|agent| agent.registered);
    let pings = state.agents.get(id).map_or(0, |agent| agent.pings);
    state.agents.set_presence(id, Presence::Disconnected);
    let agent = Agent {
        info: Arc::new(info),
        total,
        version,
        capabilities,
        presence: Presence::Connected(link),
        // It came with its id.
        confirmed: true,
        last_heard: now,
        registered: registered.or(Some(now)),
        reregistered: Some(now),
        pings,
    };
    state.agents.insert(id.clone(), agent);
}

/// A framework that only an agent remembers: this registry is newer than the framework. It is expected
/// back like any other that lost its connection.
fn learn_framework(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    id: &FrameworkId,
    info: FrameworkInfo,
) {
    if state.registry.frameworks.contains_key(id) {
        return;
    }
    if state.frameworks.len() >= state.config.max_frameworks
        || validate::framework("framework", &info, &Default::default()).is_err()
    {
        // Its tasks are then nobody's, and end.
        return;
    }
    let left =
        info.failover_timeout.min(state.config.max_failover_timeout).max(state.config.framework_return);
    registry::put_framework(state, effects, id, &info, FrameworkStanding::Disconnected { left });
    subscription::await_return(state, now, id, &info, left);
    registry::expect_back(state, now, id, info);
}

/// Who is back, and from where.
struct Back<'a> {
    link: LinkId,
    agent: &'a AgentId,
    /// Declared unreachable, by this master or an earlier one: its tasks may have been called so to their frameworks.
    was_unreachable: bool,
}

/// Brings what the master knows of an agent's tasks and what the agent reports together.
fn reconcile(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    back: &Back<'_>,
    reported: Vec<AgentTask>,
) {
    let &Back { link, agent, .. } = back;
    let mut missing: std::collections::BTreeSet<_> = state.tasks.on_agent(agent).into_iter().collect();
    let mut orphaned = std::collections::BTreeSet::new();
    for task in reported {
        missing.remove(&(task.framework.clone(), task.info.id.clone()));
        if state.frameworks.get(&task.framework).is_none() {
            // Nobody asks for it any more: the agent ends it without a word.
            orphaned.insert(task.framework.clone());
            continue;
        }
        returned(state, effects, now, back, task);
    }
    for (framework, task) in missing {
        let Some(known) = state.tasks.get(&framework, &task) else { continue };
        if known.state.is_terminal() {
            // The agent has forgotten it, so its last update was acknowledged: that word was lost, not the task.
            updates::forget(state, &framework, &task);
            continue;
        }
        // What never left STAGING never reached the agent; anything else did, and is no more.
        let state_now = if known.state == TaskState::Staging { TaskState::Dropped } else { TaskState::Gone };
        let status = TaskStatus::new(task, state_now, Source::Master, now)
            .because(Reason::AgentReregistered)
            .saying("its agent came back without it")
            .on(agent.clone());
        updates::from_master(state, effects, now, &framework, status);
    }
    for framework in orphaned {
        effects.agent(link, ToAgent::ShutdownFramework { framework });
    }
}

/// One task that a returning agent reports.
fn returned(state: &mut State, effects: &mut Effects, now: Timestamp, back: &Back<'_>, task: AgentTask) {
    let &Back { link, agent, .. } = back;
    let (framework, id) = (task.framework.clone(), task.info.id.clone());
    if let Some(known) = state.tasks.get(&framework, &id) {
        if known.agent() != agent {
            return;
        }
        let was_unreachable = known.state == TaskState::Unreachable;
        let killing = known.killing;
        let pid = task.pid;
        if was_unreachable {
            // Its resources left with the agent; they are back with it.
            if !task.state.is_terminal() {
                let (role, resources) = (known.role.clone(), known.info.resources.clone());
                charge(state, agent, &framework, &role, &resources);
            }
            let mut status = TaskStatus::new(id.clone(), task.state, Source::Master, now)
                .because(Reason::AgentReregistered)
                .on(agent.clone());
            (status.container, status.pid) = (task.container, pid);
            (status.healthy, status.check) = (task.healthy, task.check);
            updates::returned(state, effects, &framework, status);
        } else if known.state.may_become(task.state) && !known.state.is_terminal() {
            updates::learn_state(state, now, &framework, &id, task.state);
        }
        if let (Some(grace), false) = (killing, task.state.is_terminal()) {
            effects.agent(link, ToAgent::Kill { framework, task: id, grace });
        }
        return;
    }
    learn_task(state, effects, now, back, task);
}

/// A task that this master did not know: it has been started again since the launch.
fn learn_task(state: &mut State, effects: &mut Effects, now: Timestamp, back: &Back<'_>, task: AgentTask) {
    let agent = back.agent;
    let (framework, id) = (task.framework.clone(), task.info.id.clone());
    if !task.state.is_terminal() {
        charge(state, agent, &framework, &task.role, &task.info.resources);
    }
    state.history.task_returned(&framework, &id);
    // Where it stood when its agent came back; what ended it comes as an update of its own.
    let mut status = TaskStatus::new(id, task.state, Source::Agent, now).on(agent.clone());
    (status.container, status.pid) = (task.container.clone(), task.pid);
    (status.healthy, status.check) = (task.healthy, task.check);
    if back.was_unreachable && !task.state.is_terminal() {
        // Told before the restart that it is unreachable, or since then in answer to RECONCILE.
        let told = TaskStatus { source: Source::Master, ..status.clone() };
        updates::deliver(state, effects, &framework, told.because(Reason::AgentReregistered));
    }
    let statuses = if task.state.is_terminal() { Vec::new() } else { vec![status] };
    let record = Arc::new(Task {
        framework,
        role: task.role,
        info: Arc::new(task.info),
        state: task.state,
        statuses,
        awaiting: None,
        killing: None,
        drained: false,
        container: task.container,
        since: now,
    });
    state.tasks.insert(record.clone());
    effects.publish.push(ClusterEvent::TaskAdded(record));
}

/// An agent's link is no more. It keeps its tasks and loses its offers until it is back.
pub(crate) fn link_closed(state: &mut State, effects: &mut Effects, now: Timestamp, link: LinkId) {
    let_go(state, link);
    let Some(id) = state.agents.on_link(link).cloned() else { return };
    state.agents.set_presence(&id, Presence::Disconnected);
    state.allocator.deactivate_agent(&id);
    offers::rescind_on(state, effects, now, &id);
    state.deadlines.cancel(Timer::Ping(id));
}

fn publish_added(state: &State, effects: &mut Effects, id: &AgentId) {
    if let Some(view) = snapshot::agent(state, id) {
        effects.publish.push(ClusterEvent::AgentAdded(Arc::new(view)));
    }
}
