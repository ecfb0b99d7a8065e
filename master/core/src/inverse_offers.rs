//! Inverse offers: asking frameworks to leave agents before their machines are maintained.
//!
//! Every framework that is connected and holds something on an agent of a scheduled machine, be it offered or in use,
//! is asked once to leave that agent. Nothing is forced by it; what it answers is kept with its time and shown
//! to operators, who decide when to start. Who declines is asked again once its filter has passed; who accepts is not,
//! until the machine's window changes.
//!
//! Invariants
//! - There is at most one outstanding inverse offer for each framework and agent, and it ends once: answered, or
//!   rescinded because the window changed, the agent went or is being drained, or the framework has
//!   nothing there any more.
//! - Who uses such an agent has been asked: an offer is outstanding, or it has accepted, or its filter runs.
//! - Inverse offers and answers are not durable: after a restart of the master everyone is asked anew.
//!
//! Where this differs from Mesos: one who has accepted is not asked again and again. And they do not expire, for
//! they hold back nothing from anyone.
//!
//! Source: Mesos v1 scheduler API, INVERSE_OFFERS, RESCIND_INVERSE_OFFER, ACCEPT_INVERSE_OFFERS,
//! DECLINE_INVERSE_OFFERS; maintenance, `ClusterStatus`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::maintenance::{Duty, MachineMode, Unavailability};
use lonja_model::offer::{Filters, InverseOffer};
use lonja_model::scheduler::Event;
use lonja_model::{AgentId, FrameworkId, OfferId, TaskState, Timestamp};

use crate::deadlines::Timer;
use crate::effects::{Effects, StreamId};
use crate::{State, maintenance, registry};

/// Nobody is asked again sooner than this, whatever filter it names: nothing changes by asking faster.
const SOONEST: Duration = Duration::from_secs(1);

/// What a framework says to the wish that it leave an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Willingness {
    /// Nothing as yet.
    Unanswered,
    /// That it will.
    Accepted,
    /// That it will not, in time or at all.
    Declined,
}

/// Where one framework stands with leaving one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOfferStatus {
    /// Who was asked.
    pub framework: FrameworkId,
    /// To leave what.
    pub agent: AgentId,
    /// What it has said last.
    pub willingness: Willingness,
    /// When it said so; unanswered: when it was asked first.
    pub at: Timestamp,
}

/// All outstanding inverse offers, and what was answered to earlier ones.
#[derive(Debug, Default)]
pub struct InverseOffers {
    outstanding: BTreeMap<OfferId, Arc<InverseOffer>>,
    by_agent: BTreeMap<AgentId, BTreeMap<FrameworkId, OfferId>>,
    by_framework: BTreeMap<FrameworkId, BTreeSet<OfferId>>,
    /// As long as the window stands for which it was asked.
    said: BTreeMap<FrameworkId, BTreeMap<AgentId, (Willingness, Timestamp)>>,
    said_of: BTreeMap<AgentId, BTreeSet<FrameworkId>>,
    /// Agents where something may have changed for those who use them.
    touched: BTreeSet<AgentId>,
}

impl InverseOffers {
    /// All outstanding inverse offers in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<InverseOffer>> {
        self.outstanding.values()
    }

    /// How many are outstanding.
    pub fn len(&self) -> usize {
        self.outstanding.len()
    }

    /// Is none outstanding?
    pub fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// The one that asks this framework to leave this agent.
    pub fn between(&self, framework: &FrameworkId, agent: &AgentId) -> Option<&InverseOffer> {
        let id = self.by_agent.get(agent)?.get(framework)?;
        self.outstanding.get(id).map(|offer| &**offer)
    }

    /// All that were asked for a window that still stands, framework by framework.
    pub fn statuses(&self) -> impl Iterator<Item = InverseOfferStatus> {
        self.said.iter().flat_map(|(framework, agents)| {
            agents.iter().map(|(agent, (willingness, at))| InverseOfferStatus {
                framework: framework.clone(),
                agent: agent.clone(),
                willingness: *willingness,
                at: *at,
            })
        })
    }

    /// What this framework has said about this agent; `None`: it was not asked.
    pub fn willingness(&self, framework: &FrameworkId, agent: &AgentId) -> Option<Willingness> {
        self.said.get(framework)?.get(agent).map(|(willingness, _)| *willingness)
    }

    fn say(&mut self, framework: &FrameworkId, agent: &AgentId, said: Willingness, now: Timestamp) {
        self.said.entry(framework.clone()).or_default().insert(agent.clone(), (said, now));
        self.said_of.entry(agent.clone()).or_default().insert(framework.clone());
    }

    fn unsay(&mut self, framework: &FrameworkId, agent: &AgentId) {
        unlist(&mut self.said, framework, |agents| agents.remove(agent).is_some());
        unlist(&mut self.said_of, agent, |frameworks| frameworks.remove(framework));
    }

    pub(crate) fn insert(&mut self, offer: InverseOffer) {
        let (id, framework, agent) = (offer.id.clone(), offer.framework.clone(), offer.agent.clone());
        self.by_framework.entry(framework.clone()).or_default().insert(id.clone());
        let before = self.by_agent.entry(agent).or_default().insert(framework, id.clone());
        assert!(before.is_none(), "a framework is asked once to leave an agent");
        self.outstanding.insert(id, Arc::new(offer));
    }

    pub(crate) fn take(&mut self, id: &OfferId) -> Option<Arc<InverseOffer>> {
        let offer = self.outstanding.remove(id)?;
        unlist(&mut self.by_agent, &offer.agent, |asked| asked.remove(&offer.framework).is_some());
        unlist(&mut self.by_framework, &offer.framework, |ids| ids.remove(id));
        Some(offer)
    }
}

/// Takes something out of the entry of `key`, and the entry away if nothing is left in it.
fn unlist<K: Ord, V: Default + PartialEq>(
    index: &mut BTreeMap<K, V>,
    key: &K,
    take: impl FnOnce(&mut V) -> bool,
) {
    if let Some(entry) = index.get_mut(key)
        && take(entry)
        && *entry == V::default()
    {
        index.remove(key);
    }
}

/// Something has changed on the agent that may matter to who is asked to leave it. Cheap while the schedule is empty.
pub(crate) fn touch(state: &mut State, agent: &AgentId) {
    if !state.registry.machines.is_empty() || state.inverse_offers.by_agent.contains_key(agent) {
        state.inverse_offers.touched.insert(agent.clone());
    }
}

/// A framework is there again: it may have to be asked about every agent it uses.
pub(crate) fn touch_all_of(state: &mut State, framework: &FrameworkId) {
    let mut agents = state.tasks.agents_of(framework);
    agents.extend(state.operations.of_framework(framework).map(|known| known.agent.clone()));
    for agent in agents {
        touch(state, &agent);
    }
}

/// The agent's window is another, or over: what was said to the old one is void.
pub(crate) fn begin_anew(state: &mut State, agent: &AgentId) {
    forget_agent(state, agent);
    touch(state, agent);
}

/// The agent is no more: what was said of it is of no use.
pub(crate) fn forget_agent(state: &mut State, agent: &AgentId) {
    for framework in state.inverse_offers.said_of.get(agent).cloned().unwrap_or_default() {
        forget(state, &framework, agent);
    }
}

/// The framework is no more, and all that it said.
pub(crate) fn forget_framework(state: &mut State, framework: &FrameworkId) {
    for agent in state.inverse_offers.said.get(framework).cloned().unwrap_or_default().into_keys() {
        forget(state, framework, &agent);
    }
}

fn forget(state: &mut State, framework: &FrameworkId, agent: &AgentId) {
    state.inverse_offers.unsay(framework, agent);
    state.deadlines.cancel(Timer::AskAgain(framework.clone(), agent.clone()));
}

/// Ends every inverse offer of a framework without a word: its stream is no more. What it has said stands.
pub(crate) fn discard_of(state: &mut State, framework: &FrameworkId) {
    for id in state.inverse_offers.by_framework.get(framework).cloned().unwrap_or_default() {
        let _ended = state.inverse_offers.take(&id);
    }
}

/// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS. Ids that are no longer outstanding, or not the framework's, are
/// ignored: an inverse offer may have been rescinded while the call was on its way.
pub(crate) fn answer(
    state: &mut State,
    now: Timestamp,
    framework: &FrameworkId,
    ids: &[OfferId],
    said: Willingness,
    filters: Filters,
) {
    for id in ids {
        if state.inverse_offers.outstanding.get(id).is_none_or(|offer| offer.framework != *framework) {
            continue;
        }
        let Some(offer) = state.inverse_offers.take(id) else { continue };
        state.inverse_offers.say(framework, &offer.agent, said, now);
        if said == Willingness::Declined {
            let again = now + filters.refuse.clamp(SOONEST, Filters::MAX);
            state.deadlines.set(Timer::AskAgain(framework.clone(), offer.agent.clone()), again);
        }
    }
}

/// REVIVE: whoever has declined is asked again at once.
pub(crate) fn revive(state: &mut State, framework: &FrameworkId) {
    let Some(agents) = state.inverse_offers.said.get(framework) else { return };
    for agent in agents.keys().cloned().collect::<Vec<_>>() {
        let again = Timer::AskAgain(framework.clone(), agent.clone());
        if state.deadlines.get(&again).is_some() {
            state.deadlines.cancel(again);
            touch(state, &agent);
        }
    }
}

/// Since when, and for how long, those who use this agent are to have left it; `None`: nobody is asked to. An agent
/// that is being drained needs nobody's leave.
fn wanted(state: &State, agent: &AgentId) -> Option<Unavailability> {
    let (_, machine) = maintenance::machine_of(state, agent)?;
    let is_there = state.agents.get(agent).is_some_and(|agent| agent.link().is_some());
    let is_used = match registry::duty(state, agent) {
        Duty::Active | Duty::Deactivated => true,
        Duty::Draining(_) | Duty::Drained(_) => false,
    };
    (machine.mode == MachineMode::Scheduled && is_there && is_used).then_some(machine.unavailability)
}

/// The connected frameworks that hold something on the agent: offered, in use, or being converted for them.
/// O(offers, tasks and operations there).
fn users(state: &State, agent: &AgentId) -> BTreeMap<FrameworkId, StreamId> {
    let offered = state.offers.on_agent(agent).into_iter().filter_map(|offer| {
        let offer = state.offers.get(&offer)?;
        Some(offer.framework.clone())
    });
    let used = state.tasks.on_agent(agent).into_iter().filter_map(|(framework, task)| {
        let known = state.tasks.get(&framework, &task)?;
        (!known.state.is_terminal() && known.state != TaskState::Unreachable).then_some(framework)
    });
    let converted = state.operations.on_agent(agent).filter_map(|known| {
        let holds = known.hold.as_ref().is_some_and(|hold| !hold.resources.is_empty());
        known.operation.framework.clone().filter(|_| holds)
    });
    let users = offered.chain(used).chain(converted);
    users.filter_map(|user| Some((user.clone(), state.frameworks.get(&user)?.stream?))).collect()
}

/// Asks who is to be asked and rescinds what has lost its ground, on the agents where something has changed.
pub(crate) fn settle(state: &mut State, effects: &mut Effects, now: Timestamp) {
    let mut batches: BTreeMap<StreamId, Vec<InverseOffer>> = BTreeMap::new();
    while let Some(agent) = state.inverse_offers.touched.pop_first() {
        let wanted = wanted(state, &agent);
        let users = if wanted.is_some() { users(state, &agent) } else { BTreeMap::new() };
        for (framework, id) in state.inverse_offers.by_agent.get(&agent).cloned().unwrap_or_default() {
            let stands =
                state.inverse_offers.outstanding.get(&id).map(|offer| offer.unavailability) == wanted;
            if !(stands && users.contains_key(&framework)) {
                rescind(state, effects, &id);
            }
        }
        let Some(unavailability) = wanted else { continue };
        for (framework, stream) in users {
            if is_due(state, &framework, &agent) {
                let offer = ask(state, now, framework, agent.clone(), unavailability);
                batches.entry(stream).or_default().push(offer);
            }
        }
    }
    for (stream, offers) in batches {
        effects.framework(stream, Event::InverseOffers(offers));
    }
}

/// Is this framework, which uses the agent, to be asked now?
fn is_due(state: &State, framework: &FrameworkId, agent: &AgentId) -> bool {
    state.inverse_offers.between(framework, agent).is_none()
        && state.inverse_offers.willingness(framework, agent) != Some(Willingness::Accepted)
        && state.deadlines.get(&Timer::AskAgain(framework.clone(), agent.clone())).is_none()
}

fn ask(
    state: &mut State,
    now: Timestamp,
    framework: FrameworkId,
    agent: AgentId,
    unavailability: Unavailability,
) -> InverseOffer {
    let offer = InverseOffer { id: state.offers.next_id(&state.me.id), framework, agent, unavailability };
    if state.inverse_offers.willingness(&offer.framework, &offer.agent).is_none() {
        state.inverse_offers.say(&offer.framework, &offer.agent, Willingness::Unanswered, now);
    }
    state.inverse_offers.insert(offer.clone());
    state.counters.inverse_offers_made += 1;
    offer
}

fn rescind(state: &mut State, effects: &mut Effects, id: &OfferId) {
    let Some(offer) = state.inverse_offers.take(id) else { return };
    if let Some(stream) = state.frameworks.get(&offer.framework).and_then(|framework| framework.stream) {
        effects.framework(stream, Event::RescindInverse(id.clone()));
    }
}

/// What always holds between events. Errors: what does not, in words.
pub(crate) fn check(state: &State) -> Result<(), String> {
    let all = &state.inverse_offers;
    let asked: usize = all.by_agent.values().map(BTreeMap::len).sum();
    let listed: usize = all.by_framework.values().map(BTreeSet::len).sum();
    let said: usize = all.said.values().map(BTreeMap::len).sum();
    let said_of: usize = all.said_of.values().map(BTreeSet::len).sum();
    if said != said_of {
        return Err(format!("{said} answers by framework, {said_of} by agent"));
    }
    let is_there = |agent: &AgentId| state.agents.get(agent).is_some_and(|agent| agent.is_present());
    if let Some(agent) = all.said_of.keys().find(|agent| !is_there(agent)) {
        return Err(format!("answers are kept about agent {agent}, which is not there"));
    }
    if let Some(framework) = all.said.keys().find(|framework| state.frameworks.get(framework).is_none()) {
        return Err(format!("answers are kept of framework {framework}, which is no more"));
    }
    if asked != all.len() || listed != all.len() {
        return Err(format!("{} inverse offers, {asked} by agent, {listed} by framework", all.len()));
    }
    for offer in all.iter() {
        let InverseOffer { id, framework, agent, unavailability } = &**offer;
        if all.between(framework, agent).is_none_or(|other| other.id != *id) {
            return Err(format!("framework {framework} is asked twice to leave agent {agent}"));
        }
        if wanted(state, agent) != Some(*unavailability) {
            return Err(format!("inverse offer {id} has no ground: agent {agent} is not to be left then"));
        }
        if !users(state, agent).contains_key(framework) {
            return Err(format!("inverse offer {id}: framework {framework} uses nothing of agent {agent}"));
        }
    }
    for (agent, _) in state.agents.iter().filter(|(agent, _)| wanted(state, agent).is_some()) {
        if let Some(user) = users(state, agent).keys().find(|user| is_due(state, user, agent)) {
            return Err(format!("framework {user} uses agent {agent} and has not been asked to leave it"));
        }
    }
    Ok(())
}
