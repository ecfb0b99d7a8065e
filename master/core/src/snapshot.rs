//! The read-only picture for APIs: taken when somebody asks, shared among all who ask at once.
//!
//! What is large stands behind an `Arc`, so that taking a picture copies pointers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_allocator::CompiledConstraints;
use lonja_model::agent::AgentCapability;
use lonja_model::maintenance::{Duty, Machine, MachineId, MachineMode, Machines};
use lonja_model::offer::InverseOffer;
use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Resource, Scalar};
use lonja_model::scheduler::MasterInfo;
use lonja_model::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Offer, Resources, Role, Timestamp};

use crate::agents::Presence;
use crate::config::Config;
use crate::counters::{Counters, FrameworkCounters};
use crate::effects::StreamId;
use crate::executors::Executor;
use crate::inverse_offers::InverseOfferStatus;
use crate::operations::KnownOperation;
use crate::rough::Rough;
use crate::tasks::Task;
use crate::volumes;
use crate::{State, registry};

/// All that an API may show.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The master it was taken of.
    pub master: MasterInfo,
    /// How that master is set.
    pub config: Arc<Config>,
    /// When that master started.
    pub started: Timestamp,
    /// Agents in order of their ids.
    pub agents: Vec<AgentView>,
    /// Frameworks that are subscribed or expected back.
    pub frameworks: Vec<FrameworkView>,
    /// Removed frameworks, oldest first.
    pub completed_frameworks: Vec<Arc<FrameworkView>>,
    /// Tasks that are known, unreachable ones among them.
    pub tasks: Vec<Arc<Task>>,
    /// Ended tasks.
    pub completed_tasks: Vec<Arc<Task>>,
    /// Executors that are there or about to be, agent by agent.
    pub executors: Vec<Arc<Executor>>,
    /// Operations that wait for their outcome or its acknowledgement.
    pub operations: Vec<Arc<KnownOperation>>,
    /// Outstanding offers.
    pub offers: Vec<Arc<Offer>>,
    /// Outstanding inverse offers.
    pub inverse_offers: Vec<Arc<InverseOffer>>,
    /// What frameworks say to leaving agents, framework by framework.
    pub inverse_offer_statuses: Vec<InverseOfferStatus>,
    /// Roles that somebody uses, or that have a weight, a quota or a reservation.
    pub roles: Vec<RoleView>,
    /// Machines in the maintenance schedule, and those that are down.
    pub machines: Machines,
    /// Nothing is offered yet after a restart; `None`: as usual.
    pub pause: Option<crate::recovery_pause::Pause>,
    /// What has happened so far.
    pub counters: Counters,
}

impl Snapshot {
    /// The scheduled machines with what the frameworks that were asked to leave their agents say; down ones are
    /// left out, for nobody is asked about them. O(agents and statuses).
    pub fn scheduled_machines(&self) -> BTreeMap<&MachineId, (&Machine, Vec<&InverseOfferStatus>)> {
        let machine_of: BTreeMap<&AgentId, MachineId> =
            self.agents.iter().map(|agent| (&agent.id, MachineId::named(&agent.info.hostname))).collect();
        let scheduled = self.machines.iter().filter(|(_, machine)| machine.mode == MachineMode::Scheduled);
        let mut all: BTreeMap<_, _> = scheduled.map(|(id, machine)| (id, (machine, Vec::new()))).collect();
        for status in &self.inverse_offer_statuses {
            let machine = machine_of.get(&status.agent).and_then(|id| all.get_mut(id));
            if let Some((_, statuses)) = machine {
                statuses.push(status);
            }
        }
        all
    }
}

/// One agent.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// As it last registered.
    pub info: Arc<AgentInfo>,
    /// The version it runs; empty if that is not known.
    pub version: String,
    /// What it can do beyond what every agent can.
    pub capabilities: BTreeSet<AgentCapability>,
    /// Whether it is there.
    pub presence: Presence,
    /// When it was first registered with this master.
    pub registered: Option<Timestamp>,
    /// When it last came back.
    pub reregistered: Option<Timestamp>,
    /// What its tasks and executors hold.
    pub allocated: Resources,
    /// What is offered.
    pub offered: Resources,
    /// What is free.
    pub free: Resources,
    /// All it has as it said last, reservations and volumes included; empty while it is not part of the cluster.
    pub total: Resources,
    /// Whether it takes on work.
    pub duty: Duty,
    /// When its drain began, if it is draining or drained; after a restart of the master, when the master did.
    pub drain_started: Option<Timestamp>,
}

impl AgentView {
    /// Has it a link to the master?
    pub fn is_connected(&self) -> bool {
        matches!(self.presence, Presence::Connected(_))
    }
}

/// One framework.
#[derive(Clone, Debug)]
pub struct FrameworkView {
    /// Its id.
    pub id: FrameworkId,
    /// As it last subscribed.
    pub info: Arc<FrameworkInfo>,
    /// Its stream, if it is connected.
    pub stream: Option<StreamId>,
    /// The roles it wants no offers for.
    pub suppressed: BTreeSet<Role>,
    /// Of which agents it wants offers.
    pub constraints: CompiledConstraints,
    /// When it first subscribed; unknown after a restart of the master.
    pub registered: Option<Timestamp>,
    /// When it last came back.
    pub reregistered: Option<Timestamp>,
    /// When it was removed.
    pub unregistered: Option<Timestamp>,
    /// When it will be removed unless it comes back.
    pub removal: Option<Timestamp>,
    /// What its tasks and executors hold, over all agents.
    pub allocated: Quantities,
    /// What it is offered.
    pub offered: Quantities,
    /// What has happened to it so far.
    pub counters: FrameworkCounters,
}

/// One role.
#[derive(Clone, Debug)]
pub struct RoleView {
    /// Its name.
    pub role: Role,
    /// Its weight in thousandths.
    pub weight: Scalar,
    /// What it is sure of and what it may never exceed, if that was set.
    pub quota: Option<Quota>,
    /// What counts against its quota: all reservations of it and of roles below it, and what these hold beyond.
    pub consumed: Quantities,
    /// The frameworks that subscribe with it.
    pub frameworks: Vec<FrameworkId>,
    /// What its frameworks' tasks and executors hold.
    pub allocated: Quantities,
    /// What its frameworks are offered.
    pub offered: Quantities,
}

/// Takes the picture, but for its sums. O(cluster), by copies of pointers.
pub(crate) fn take(state: &State) -> Rough {
    let ids: Vec<AgentId> = state.agents.iter().map(|(id, _)| id.clone()).collect();
    let frameworks: Vec<FrameworkId> = state.frameworks.iter().map(|(id, _)| id.clone()).collect();
    let frameworks: Vec<FrameworkView> =
        frameworks.iter().filter_map(|id| rough_framework(state, id)).collect();
    Rough::new(Snapshot {
        master: state.me.clone(),
        config: state.config.clone(),
        started: state.started,
        agents: ids.iter().filter_map(|id| rough_agent(state, id)).collect(),
        roles: roles(state, &frameworks),
        frameworks,
        completed_frameworks: state.history.frameworks().cloned().collect(),
        tasks: state.tasks.iter().cloned().collect(),
        completed_tasks: state.history.tasks().cloned().collect(),
        executors: state.executors.iter().cloned().collect(),
        operations: state.operations.iter().cloned().collect(),
        offers: state.offers.iter().cloned().collect(),
        inverse_offers: state.inverse_offers.iter().cloned().collect(),
        inverse_offer_statuses: state.inverse_offers.statuses().collect(),
        machines: state.registry.machines.clone(),
        pause: state.pause,
        counters: state.counters.clone(),
    })
}

/// One agent as APIs show it.
pub(crate) fn agent(state: &State, id: &AgentId) -> Option<AgentView> {
    let rough = rough_agent(state, id)?;
    let offered = state
        .offers
        .on_agent(id)
        .iter()
        .filter_map(|offer| state.offers.get(offer))
        .fold(Resources::new(), |sum, offer| {
            sum.checked_add(&offer.resources).expect("two offers on one agent do not overlap")
        });
    let held = state.tasks.on_agent(id).into_iter().filter_map(|(framework, task)| {
        state.tasks.get(&framework, &task).filter(|task| !task.state.is_terminal())
    });
    let executors = state.executors.on_agent(id).map(|executor| &executor.info.resources);
    // An agent may come back with more tasks than resources; its debt then has no place in a sum.
    let allocated = held
        .map(|task| &task.info.resources)
        .chain(executors)
        .fold(Resources::new(), |sum, resources| sum.checked_add(resources).unwrap_or(sum));
    Some(AgentView { allocated, offered, free: volumes::each_once(&rough.free), ..rough })
}

/// Without sums, and with each copy of what is shared.
fn rough_agent(state: &State, id: &AgentId) -> Option<AgentView> {
    let agent = state.agents.get(id)?;
    Some(AgentView {
        id: id.clone(),
        info: agent.info.clone(),
        version: agent.version.clone(),
        capabilities: agent.capabilities.clone(),
        presence: agent.presence,
        registered: agent.registered,
        reregistered: agent.reregistered,
        allocated: Resources::new(),
        offered: Resources::new(),
        free: state.allocator.agent_free(id).cloned().unwrap_or_default(),
        total: state.allocator.agent_total(id).map(|_| agent.total.clone()).unwrap_or_default(),
        duty: registry::duty(state, id).clone(),
        drain_started: state.drains.started(id),
    })
}

/// One framework as APIs show it.
pub(crate) fn framework(state: &State, id: &FrameworkId) -> Option<FrameworkView> {
    let rough = rough_framework(state, id)?;
    let mut offered = Quantities::default();
    for offer in state.offers.of_framework(id).iter().filter_map(|offer| state.offers.get(offer)) {
        offered.add(&offer.resources.quantities());
    }
    let mut allocated = state.executors.held_by(id);
    for task in state.tasks.of_framework(id).filter(|task| !task.state.is_terminal()) {
        allocated.add(&task.info.resources.quantities());
    }
    Some(FrameworkView { allocated, offered, ..rough })
}

/// Without sums.
fn rough_framework(state: &State, id: &FrameworkId) -> Option<FrameworkView> {
    let framework = state.frameworks.get(id)?;
    let removal = crate::deadlines::Timer::FrameworkRemoval(id.clone());
    Some(FrameworkView {
        id: id.clone(),
        info: framework.info.clone(),
        stream: framework.stream,
        suppressed: framework.suppressed.clone(),
        constraints: framework.constraints.clone(),
        registered: framework.registered,
        reregistered: framework.reregistered,
        unregistered: None,
        removal: state.deadlines.get(&removal),
        allocated: Quantities::default(),
        offered: Quantities::default(),
        counters: framework.counters.clone(),
    })
}

/// Without sums, but with every role that has some.
fn roles(state: &State, frameworks: &[FrameworkView]) -> Vec<RoleView> {
    let mut roles: BTreeMap<Role, RoleView> = BTreeMap::new();
    let weights = &state.registry.weights;
    let empty = |role: &Role| RoleView {
        role: role.clone(),
        weight: weights.get(role).copied().or(Scalar::from_units(1)).unwrap_or_default(),
        quota: state.registry.quotas.get(role).cloned(),
        consumed: Quantities::default(),
        frameworks: Vec::new(),
        allocated: Quantities::default(),
        offered: Quantities::default(),
    };
    for role in weights.keys().chain(state.registry.quotas.keys()) {
        roles.entry(role.clone()).or_insert_with(|| empty(role));
    }
    let totals = state.agents.iter().filter_map(|(id, _)| state.allocator.agent_total(id));
    for role in totals.flat_map(|total| total.iter()).filter_map(Resource::reserved_for) {
        if !roles.contains_key(role) {
            roles.insert(role.clone(), empty(role));
        }
    }
    for framework in frameworks {
        for role in &framework.info.roles {
            let view = roles.entry(role.clone()).or_insert_with(|| empty(role));
            view.frameworks.push(framework.id.clone());
        }
    }
    let tasks = state.tasks.iter().filter(|task| !task.state.is_terminal()).map(|task| &task.role);
    let executors = state.executors.iter().map(|executor| &executor.role);
    let mut last = None;
    for role in tasks.chain(executors).chain(state.offers.iter().map(|offer| &offer.role)) {
        // Nearly always that of the one before.
        if last != Some(role) && !roles.contains_key(role) {
            roles.insert(role.clone(), empty(role));
        }
        last = Some(role);
    }
    for view in roles.values_mut() {
        view.consumed = state.allocator.quota_consumed(&view.role);
    }
    roles.into_values().collect()
}
