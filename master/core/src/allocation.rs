//! From allocations to offers: the window in which changes gather, and the offers that come of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::scheduler::Event;
use lonja_model::{Offer, Timestamp};

use crate::deadlines::Timer;
use crate::effects::{Effects, StreamId};
use crate::{State, inverse_offers, maintenance, offers, recovery_pause};

/// Opens the allocation window if something waits for it.
pub(crate) fn arm(state: &mut State, now: Timestamp) {
    if recovery_pause::holds(state) {
        return;
    }
    if state.allocator.needs_allocation() && state.deadlines.get(&Timer::Allocate).is_none() {
        state.deadlines.set(Timer::Allocate, now + state.config.allocation_window);
    }
}

/// Parts what is left for later from what is done now.
const NEXT: Duration = Duration::from_nanos(1);

/// The window closes: what changed is allocated, and offered framework by framework. Of much only a portion: offers of it
/// are on their way while the next is allocated, and nobody waits for all.
pub(crate) fn allocate(state: &mut State, effects: &mut Effects, now: Timestamp) {
    let mut batches: BTreeMap<StreamId, Vec<Offer>> = BTreeMap::new();
    state.counters.allocations += 1;
    for allocation in state.allocator.allocate_some(now, state.config.allocation_portion) {
        let stream = state.frameworks.get(&allocation.framework).and_then(|framework| framework.stream);
        let agent = state.agents.get(&allocation.agent);
        let (Some(stream), Some(agent)) = (stream, agent) else {
            unreachable!("only connected frameworks and agents are active in the allocator");
        };
        let info = agent.info.clone();
        let executors = state.executors.of(&allocation.agent, &allocation.framework);
        let offer = Offer {
            id: state.offers.next_id(&state.me.id),
            framework: allocation.framework,
            agent: allocation.agent,
            role: allocation.role,
            hostname: info.hostname.clone(),
            port: info.port,
            resources: allocation.resources,
            attributes: info.attributes.clone(),
            domain: info.domain.clone(),
            executors,
            unavailability: maintenance::unavailability(state, &info.hostname),
        };
        if let Some(timeout) = state.config.offer_timeout {
            let number = offers::number(&offer.id).expect("its id was made here");
            state.deadlines.set(Timer::OfferExpiry(number), now + timeout);
        }
        state.counters.offers_made += 1;
        if let Some(known) = state.frameworks.get_mut(&offer.framework) {
            known.counters.offers_made += 1;
        }
        state.offers.insert(Arc::new(offer.clone()));
        inverse_offers::touch(state, &offer.agent);
        batches.entry(stream).or_default().push(offer);
    }
    for (stream, offers) in batches {
        effects.framework(stream, Event::Offers(offers));
    }
    if state.allocator.needs_allocation() {
        state.deadlines.set(Timer::Allocate, now + NEXT);
    }
}
