//! Who holds what, as anyone could write it down who hears every word at the master's door (INV-1, INV-4, INV-5).
//!
//! The books know nothing of how the master and its allocator count. An amount is held from the moment the master gives
//! it, in an offer or to a task, until the holder or the agent has said at the door that it is given back, or the master
//! itself takes it back. What was said and not yet handled counts as given back, so the books never hold more than the
//! master may; a master that gives away more than the books have free has counted something twice.
//!
//! Amounts are those with one number for a kind that no operation makes into another: cpus and mem. Who has which port is
//! seen on the machines themselves (INV-2), and what becomes of disk in [`volumes`](crate::volumes).

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::quota::Quota;
use lonja_model::{AgentId, ExecutorId, FrameworkId, Offer, OfferId, Resources, Role, TaskId, TaskState};

use crate::hosts::kernel::TaskKey;
use crate::invariants::Broken;
use crate::network::ConnectionId;

/// The kinds that are counted.
const KINDS: [&str; 2] = ["cpus", "mem"];

/// Thousandths of each of [`KINDS`].
type Amounts = [u64; 2];

fn amounts(resources: &Resources) -> Amounts {
    KINDS.map(|kind| resources.scalar(kind).thousandths())
}

fn add(sum: &mut Amounts, part: Amounts) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum = sum.saturating_add(part));
}

fn take(sum: &mut Amounts, part: Amounts) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum = sum.saturating_sub(part));
}

/// What somebody holds.
#[derive(Clone, Debug)]
struct Held {
    role: Role,
    framework: FrameworkId,
    amounts: Amounts,
}

/// An executor holds what it needs as a task does, under a name that no task has here.
fn as_task(framework: &FrameworkId, executor: &ExecutorId) -> TaskKey {
    let name =
        TaskId::new(format!("executor:{executor}")).expect("an id with a few letters before it is one");
    (framework.clone(), name)
}

/// One agent's page.
#[derive(Debug, Default)]
struct Page {
    link: Option<ConnectionId>,
    total: Amounts,
    held: Amounts,
    offers: BTreeMap<OfferId, Held>,
    tasks: BTreeMap<TaskKey, Held>,
}

impl Page {
    fn end_offer(&mut self, offer: &OfferId, roles: &mut Roles) -> bool {
        let Some(held) = self.offers.remove(offer) else { return false };
        take(&mut self.held, held.amounts);
        roles.give_back(&held);
        true
    }

    fn end_task(&mut self, task: &TaskKey, roles: &mut Roles) {
        if let Some(held) = self.tasks.remove(task) {
            take(&mut self.held, held.amounts);
            roles.give_back(&held);
        }
    }

    fn start_task(&mut self, task: TaskKey, held: Held, roles: &mut Roles) {
        self.end_task(&task, roles);
        add(&mut self.held, held.amounts);
        roles.take(&held);
        self.tasks.insert(task, held);
    }
}

/// What each role holds, and may.
#[derive(Debug, Default)]
struct Roles {
    held: BTreeMap<Role, Amounts>,
    /// Limits that a master has confirmed; `None` for a kind: none.
    limits: BTreeMap<Role, [Option<u64>; 2]>,
}

impl Roles {
    fn take(&mut self, held: &Held) {
        add(self.held.entry(held.role.clone()).or_default(), held.amounts);
    }

    fn give_back(&mut self, held: &Held) {
        take(self.held.entry(held.role.clone()).or_default(), held.amounts);
    }
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pages: BTreeMap<AgentId, Page>,
    roles: Roles,
    /// What an agent said that has asked to be admitted over this connection.
    asking: BTreeMap<ConnectionId, Vec<(TaskKey, Held)>>,
    /// Whose stream each connection is.
    streams: BTreeMap<ConnectionId, FrameworkId>,
    /// Frameworks that agents were told to end: what their tasks hold is nobody's, and told of no more.
    shut_down: BTreeSet<FrameworkId>,
    /// Quotas that an operator has asked for, by the number of the request.
    asked: BTreeMap<u64, Vec<(Role, Option<Quota>)>>,
}

impl Ledger {
    /// The master is no more: it takes everything back that it has not given to tasks, and hears of those anew.
    pub(crate) fn master_died(&mut self) {
        self.pages.clear();
        self.roles.held.clear();
        self.asking.clear();
        self.asked.clear();
        self.streams.clear();
    }

    /// A connection has come to its end, as the master hears.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.asking.remove(&connection);
        let closed = self.pages.iter().find(|(_, page)| page.link == Some(connection));
        if let Some(agent) = closed.map(|(agent, _)| agent.clone()) {
            self.tear_out(&agent);
        }
        if let Some(framework) = self.streams.remove(&connection) {
            self.end_offers_of(&framework);
        }
    }

    fn tear_out(&mut self, agent: &AgentId) {
        if let Some(page) = self.pages.remove(agent) {
            page.offers.values().chain(page.tasks.values()).for_each(|held| self.roles.give_back(held));
        }
    }

    /// A framework has subscribed over this connection: its earlier offers are no more.
    pub(crate) fn subscribed(&mut self, connection: ConnectionId, framework: &FrameworkId) {
        self.end_offers_of(framework);
        self.streams.insert(connection, framework.clone());
    }

    /// No offer of this framework is outstanding any more.
    fn end_offers_of(&mut self, framework: &FrameworkId) {
        for page in self.pages.values_mut() {
            let of = page.offers.iter().filter(|(_, held)| held.framework == *framework);
            for offer in of.map(|(offer, _)| offer.clone()).collect::<Vec<_>>() {
                page.end_offer(&offer, &mut self.roles);
            }
        }
    }

    /// These offers are outstanding no more.
    pub(crate) fn end_offers(&mut self, offers: &[OfferId]) {
        for offer in offers {
            let _known = self.pages.values_mut().any(|page| page.end_offer(offer, &mut self.roles));
        }
    }

    /// An agent says something at the master's door.
    pub(crate) fn agent_says(&mut self, connection: ConnectionId, message: &FromAgent) {
        match message {
            FromAgent::Register { .. } => {
                self.asking.insert(connection, Vec::new());
            }
            FromAgent::Reregister { tasks, executors, .. } => {
                let live = tasks.iter().filter(|task| !task.state.is_terminal()).map(|task| {
                    let (role, framework) = (task.role.clone(), task.framework.clone());
                    let held = Held { role, framework, amounts: amounts(&task.info.resources) };
                    ((task.framework.clone(), task.info.id.clone()), held)
                });
                let executors = executors.iter().map(|executor| {
                    let (role, framework) = (executor.role.clone(), executor.framework.clone());
                    let held = Held { role, framework, amounts: amounts(&executor.info.resources) };
                    (as_task(&executor.framework, &executor.info.id), held)
                });
                self.asking.insert(connection, live.chain(executors).collect());
            }
            FromAgent::ExecutorEnded { framework, executor, .. } => {
                let page = self.pages.values_mut().find(|page| page.link == Some(connection));
                if let Some(page) = page {
                    page.end_task(&as_task(framework, executor), &mut self.roles);
                }
            }
            FromAgent::Update { framework, status, latest } if latest.is_terminal() => {
                let task = (framework.clone(), status.task.clone());
                let page = self.pages.values_mut().find(|page| page.link == Some(connection));
                if let Some(page) = page {
                    page.end_task(&task, &mut self.roles);
                }
            }
            FromAgent::Update { .. }
            | FromAgent::OperationUpdate { .. }
            | FromAgent::Pong { .. }
            | FromAgent::Message { .. } => {}
        }
    }

    /// The master says something to an agent, whose machine has `total`.
    pub(crate) fn master_tells_agent(
        &mut self,
        connection: ConnectionId,
        total: &Resources,
        message: &ToAgent,
    ) {
        match message {
            ToAgent::Registered { agent, .. }
                if self.pages.get(agent).is_some_and(|page| page.link == Some(connection)) =>
            {
                // It has asked again, and what it says now may be older than what it was told since.
                self.asking.remove(&connection);
            }
            ToAgent::Registered { agent, .. } => {
                self.tear_out(agent);
                let mut page = Page { link: Some(connection), total: amounts(total), ..Page::default() };
                let mut told = self.asking.remove(&connection).unwrap_or_default();
                told.retain(|(_, held)| !self.shut_down.contains(&held.framework));
                for (task, held) in told {
                    page.start_task(task, held, &mut self.roles);
                }
                self.pages.insert(agent.clone(), page);
            }
            ToAgent::Run { framework, role, tasks, .. }
            | ToAgent::RunInExecutor { framework, role, tasks, .. } => {
                let Some(page) = self.pages.values_mut().find(|page| page.link == Some(connection)) else {
                    return;
                };
                for task in tasks {
                    let (role, framework) = (role.clone(), framework.clone());
                    let key = (framework.clone(), task.id.clone());
                    let held = Held { role, framework, amounts: amounts(&task.resources) };
                    page.start_task(key, held, &mut self.roles);
                }
                if let (ToAgent::RunInExecutor { starts_executor: true, .. }, Some(executor)) =
                    (message, tasks.first().and_then(|task| task.executor.as_deref()))
                {
                    let (role, framework) = (role.clone(), framework.clone());
                    let key = as_task(&framework, &executor.id);
                    let held = Held { role, framework, amounts: amounts(&executor.resources) };
                    page.start_task(key, held, &mut self.roles);
                }
            }
            ToAgent::ShutdownFramework { framework } => {
                self.shut_down.insert(framework.clone());
                let Some(page) = self.pages.values_mut().find(|page| page.link == Some(connection)) else {
                    return;
                };
                let of = page.tasks.keys().filter(|(owner, _)| owner == framework);
                for task in of.cloned().collect::<Vec<_>>() {
                    page.end_task(&task, &mut self.roles);
                }
            }
            ToAgent::Refused { .. }
            | ToAgent::Kill { .. }
            | ToAgent::Acknowledge { .. }
            | ToAgent::Apply { .. }
            | ToAgent::AcknowledgeOperation { .. }
            | ToAgent::ResendUpdates { .. }
            | ToAgent::Message { .. }
            | ToAgent::ShutdownExecutor { .. }
            | ToAgent::Ping { .. } => {}
        }
    }

    /// The master says itself that a task has ended.
    pub(crate) fn master_tells_end(&mut self, task: &TaskKey, state: TaskState) {
        if state.is_terminal() {
            for page in self.pages.values_mut() {
                page.end_task(task, &mut self.roles);
            }
        }
    }

    /// The master makes an offer. INV-1, INV-4: the agent has as much that nobody holds. INV-5: the role's limit is not
    /// passed by it.
    pub(crate) fn offered(&mut self, offer: &Offer) -> Result<(), Broken> {
        let Some(page) = self.pages.get_mut(&offer.agent) else { return Ok(()) };
        let offered = amounts(&offer.resources);
        let held = Held { role: offer.role.clone(), framework: offer.framework.clone(), amounts: offered };
        fits(&offer.id, page.total, page.held, offered)?;
        add(&mut page.held, offered);
        page.offers.insert(offer.id.clone(), held.clone());
        self.roles.take(&held);
        let sum = self.roles.held.get(&offer.role).copied().unwrap_or_default();
        within(&offer.role, self.roles.limits.get(&offer.role).copied().unwrap_or_default(), sum, offered)
    }

    /// An operator asks for quotas. Until a master confirms them, nobody knows which hold.
    pub(crate) fn quotas_asked(&mut self, request: u64, quotas: &[(Role, Option<Quota>)]) {
        for (role, _) in quotas {
            self.roles.limits.remove(role);
        }
        self.asked.insert(request, quotas.to_vec());
    }

    /// The master answers a request.
    pub(crate) fn answered(&mut self, request: u64, done: bool) {
        for (role, quota) in self.asked.remove(&request).unwrap_or_default() {
            // What was asked later may hold by now.
            let asked_again = self.asked.values().flatten().any(|(other, _)| *other == role);
            let Some(quota) = quota.filter(|_| done && !asked_again) else { continue };
            let named = |kind: &str| quota.limits.iter().find(|(name, _)| *name == kind);
            let limits = KINDS.map(|kind| named(kind).map(|(_, limit)| limit.thousandths()));
            self.roles.limits.insert(role, limits);
        }
    }
}

/// INV-1, INV-4: of an agent that has `total`, of which others hold `held`, `offered` can be offered.
fn fits(offer: &OfferId, total: Amounts, held: Amounts, offered: Amounts) -> Result<(), Broken> {
    for (kind, name) in KINDS.iter().enumerate() {
        let more = held[kind].saturating_add(offered[kind]);
        if offered[kind] > 0 && more > total[kind] {
            let invariant = if offered[kind] > total[kind] { "INV-1" } else { "INV-4" };
            let what = format!(
                "offer {offer} has {} thousandths of {name}, {} of {} are held",
                offered[kind], held[kind], total[kind]
            );
            return Err(Broken::new(invariant, what));
        }
    }
    Ok(())
}

/// INV-5: a role that holds `held`, `offered` of which has just been offered, is not lifted above its limits.
fn within(role: &Role, limits: [Option<u64>; 2], held: Amounts, offered: Amounts) -> Result<(), Broken> {
    for (kind, name) in KINDS.iter().enumerate() {
        let Some(limit) = limits[kind] else { continue };
        if offered[kind] > 0 && held[kind] > limit {
            let what = format!(
                "role {role} is offered {} thousandths of {name} and has {} of at most {limit}",
                offered[kind], held[kind]
            );
            return Err(Broken::new("INV-5", what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_and_more_than_is_free_are_noticed() {
        let id = OfferId::new("o").unwrap();
        let broken =
            |total, held, offered| fits(&id, total, held, offered).err().map(|broken| broken.invariant);
        assert_eq!(broken([4, 4], [2, 0], [2, 4]), None);
        assert_eq!(broken([4, 4], [0, 0], [5, 0]).as_deref(), Some("INV-1"));
        assert_eq!(broken([4, 4], [2, 0], [3, 0]).as_deref(), Some("INV-4"));
        assert_eq!(broken([4, 4], [9, 0], [0, 1]), None, "a debt of another kind");
    }

    #[test]
    fn a_limit_that_is_passed_is_noticed() {
        let role = Role::new("web").unwrap();
        assert!(within(&role, [Some(4), None], [4, 9], [1, 1]).is_ok());
        assert!(within(&role, [Some(4), None], [5, 0], [1, 0]).is_err());
        assert!(within(&role, [Some(4), None], [5, 9], [0, 1]).is_ok(), "nothing of it is added");
    }
}
