//! The master's decisions as a deterministic state machine.
//!
//! [`Master::handle`] takes one event and says what the shell must do about it; nothing in here knows a
//! socket, a disk or a clock. The same code runs in the daemon and in the simulator
//! (`docs/design.md`, D2).
//!
//! Reading order: [`registry`] (what is durable), [`agents`], [`frameworks`], [`offers`], [`operations`]
//! (what is on its way to agents), `accept` (what an ACCEPT does: `launches`, `groups`, `conversions`), [`tasks`],
//! [`executors`], `updates`,
//! `feedback` (how operations went), `reconcile`; `liveness` watches for silence; `maintenance`,
//! [`inverse_offers`], `draining` and `departures` take agents out of use; `quotas` and [`recovery_pause`]
//! say who may have how much; [`invariants`] holds what is always true.

mod accept;
pub mod agents;
mod allocation;
pub mod budget;
mod calls;
mod checks;
pub mod config;
mod conversions;
pub mod counters;
mod deadlines;
mod departures;
mod descriptions;
mod draining;
pub mod effects;
pub mod executors;
pub mod explain;
mod feedback;
pub mod frameworks;
mod groups;
pub mod history;
pub mod invariants;
pub mod inverse_offers;
mod launches;
mod liveness;
mod maintenance;
pub mod offers;
pub mod operations;
mod operator;
mod operator_conversions;
mod quotas;
mod reconcile;
pub mod recovery_pause;
mod registration;
pub mod registry;
mod requests;
pub mod rough;
pub mod snapshot;
mod subscription;
pub mod tasks;
mod totals;
pub mod unplaced;
mod updates;
mod validate;
mod volumes;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_allocator::Allocator;
use lonja_model::link::FromAgent;
use lonja_model::registry::{Epoch, Registry, RegistryOp};
use lonja_model::scheduler::{Call, CallResult, MasterInfo};
use lonja_model::{AgentId, FrameworkId, Timestamp};

pub use config::Config;
pub use effects::{ClusterEvent, Effects, LinkId, Outbound, RequestId, StreamId};
pub use lonja_allocator::{Options as AllocatorOptions, Sorter};
pub use operator::{MaintenanceCommand, OperatorCommand};
pub use snapshot::Snapshot;

use agents::Agents;
use counters::Counters;
use deadlines::{Deadlines, Timer};
use frameworks::Frameworks;
use history::History;
use inverse_offers::InverseOffers;
use offers::Offers;
use operations::Operations;
use tasks::Tasks;

/// The master: what it knows and what it has promised.
pub struct Master {
    state: State,
}

/// All of the master's state, parted by concern. Each part keeps its own promises; what spans several is
/// in [`invariants`].
pub(crate) struct State {
    pub(crate) config: Arc<Config>,
    pub(crate) me: MasterInfo,
    pub(crate) started: Timestamp,
    pub(crate) registry: Registry,
    pub(crate) allocator: Allocator,
    pub(crate) agents: Agents,
    /// What agents that are back have said, until they answer a ping: one for each link at most.
    pub(crate) returning: BTreeMap<LinkId, (AgentId, registration::Returning)>,
    pub(crate) frameworks: Frameworks,
    pub(crate) offers: Offers,
    pub(crate) inverse_offers: InverseOffers,
    pub(crate) tasks: Tasks,
    pub(crate) executors: executors::Executors,
    pub(crate) drains: draining::Drains,
    pub(crate) operations: Operations,
    pub(crate) history: History,
    pub(crate) deadlines: Deadlines,
    pub(crate) brake: liveness::Brake,
    pub(crate) pause: Option<recovery_pause::Pause>,
    pub(crate) counters: Counters,
}

/// What happens to a master.
#[derive(Clone, Debug)]
pub enum Event {
    /// An agent says something on its link.
    Agent {
        /// The link it came by.
        link: LinkId,
        /// What it says.
        message: FromAgent,
    },
    /// An agent's link is no more. Comes once for each link, also for one that the master closed.
    LinkClosed {
        /// Which.
        link: LinkId,
    },
    /// A framework asks for something on its stream.
    Call {
        /// The stream it came by.
        stream: StreamId,
        /// The call's number, for the answer; 0: only a refusal is answered.
        id: u64,
        /// The framework's id, if the call names one.
        framework: Option<FrameworkId>,
        /// What it asks.
        call: Call,
    },
    /// A framework's stream is no more. Comes once for each stream, also for one that the master closed.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// An operator asks for something.
    Operator {
        /// For the answer.
        request: RequestId,
        /// What is asked.
        command: OperatorCommand,
    },
    /// Time has passed; see [`Master::next_deadline`].
    Tick,
}

impl Master {
    /// A master that takes up where `registry` left off. `cluster` names the cluster if the registry is
    /// new: 1 to 64 letters, digits and `-`, drawn by the shell.
    ///
    /// The effects record the new epoch: no id may leave before they are durable.
    pub fn start(now: Timestamp, config: Config, mut registry: Registry, cluster: &str) -> (Self, Effects) {
        let epoch = match &registry.epoch {
            Some(last) => Epoch { cluster: last.cluster.clone(), number: last.number + 1 },
            None => Epoch { cluster: cluster.to_owned(), number: 1 },
        };
        registry.apply(RegistryOp::Epoch(epoch.clone()));
        let effects = Effects { persist: vec![RegistryOp::Epoch(epoch.clone())], ..Effects::default() };
        let me = MasterInfo {
            id: format!("{}-{}", epoch.cluster, epoch.number),
            hostname: config.hostname.clone(),
            port: config.port,
            version: config.version.clone(),
            domain: config.domain.clone(),
        };
        let allocator =
            lonja_allocator::Options { domain: config.domain.clone(), ..config.allocator.clone() };
        let mut state = State {
            allocator: Allocator::new(allocator),
            agents: Agents::default(),
            returning: BTreeMap::new(),
            frameworks: Frameworks::default(),
            offers: Offers::default(),
            inverse_offers: InverseOffers::default(),
            tasks: Tasks::default(),
            executors: executors::Executors::default(),
            drains: draining::Drains::default(),
            operations: Operations::default(),
            history: History::new(config.completed_frameworks, config.completed_tasks),
            deadlines: Deadlines::default(),
            brake: liveness::Brake::new(now, &config),
            pause: None,
            counters: Counters::default(),
            started: now,
            me,
            registry,
            config: Arc::new(config),
        };
        registry::recover(&mut state, now);
        (Self { state }, effects)
    }

    /// Takes in one event and says what the shell must do about it. Never panics on what a peer sends.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        let mut effects = Effects::default();
        let state = &mut self.state;
        liveness::wake_up(state, now);
        match event {
            Event::Agent { link, message } => {
                state.counters.count_message(counters::agent_message(&message));
                registration::message(state, &mut effects, now, link, message);
            }
            Event::LinkClosed { link } => registration::link_closed(state, &mut effects, now, link),
            Event::Call { stream, id, framework, call } => {
                calls::call(state, &mut effects, now, stream, id, framework, call);
            }
            Event::StreamClosed { stream } => subscription::stream_closed(state, &mut effects, now, stream),
            Event::Operator { request, command } => {
                operator::command(state, &mut effects, now, request, command);
            }
            Event::Tick => self.tick(now, &mut effects),
        }
        draining::settle(&mut self.state, &mut effects, now);
        inverse_offers::settle(&mut self.state, &mut effects, now);
        allocation::arm(&mut self.state, now);
        effects
    }

    /// When to send [`Event::Tick`], should nothing happen before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        lonja_model::time::earliest(self.state.deadlines.next(), self.state.allocator.next_deadline())
    }

    /// Whether a call on this stream in this framework's name would be looked at; why not.
    pub fn may_call(&self, stream: StreamId, framework: Option<&FrameworkId>) -> CallResult {
        calls::may_call(&self.state, stream, framework)
    }

    /// The read-only picture for APIs. O(cluster), but shares what is large.
    pub fn snapshot(&self) -> Snapshot {
        self.rough_snapshot().finished()
    }

    /// The same in the rough, for who cannot stand still for long.
    pub fn rough_snapshot(&self) -> rough::Rough {
        snapshot::take(&self.state)
    }

    /// Who this master says it is.
    pub fn info(&self) -> &MasterInfo {
        &self.state.me
    }

    /// Checks all that always holds. O(cluster). Errors: the first promise found broken, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        invariants::check(&self.state)
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Effects) {
        let state = &mut self.state;
        let mut silent = Vec::new();
        while let Some(timer) = state.deadlines.pop_due(now) {
            match timer {
                Timer::Ping(agent) => liveness::ping(state, effects, now, &agent),
                Timer::AgentSilent(agent) => silent.push(agent),
                Timer::NoAnswer(link) => registration::no_answer(state, effects, link),
                Timer::Heartbeat(framework) => subscription::heartbeat(state, effects, now, &framework),
                Timer::FrameworkRemoval(framework) => {
                    subscription::remove(state, effects, now, &framework, "its failover timeout has passed");
                }
                Timer::StoreTimeLeft(framework) => {
                    subscription::store_time_left(state, effects, now, &framework)
                }
                Timer::OfferExpiry(offer) => offers::expire(state, effects, now, offer),
                Timer::AskAgain(_, agent) => inverse_offers::touch(state, &agent),
                Timer::Allocate => allocation::allocate(state, effects, now),
                Timer::RecoveryPause => recovery_pause::end(state),
                Timer::RegistryGc => registry::collect(state, effects, now),
            }
        }
        liveness::silent(state, effects, now, silent);
        state.allocator.expire(now);
    }
}
