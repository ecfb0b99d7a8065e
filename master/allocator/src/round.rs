//! One allocation over what changed.
//!
//! The agents to be looked at, in the order in which they came, are gone through once, or a part of them. Of each, again and again, the
//! first client in line that may be offered something of it is given that: to whom something is owed by a guarantee
//! comes first, and among these, as among the others, whose share is the smallest ([`crate::role_tree`]). How much one
//! is given at once is told by [`crate::slices`]; what is left goes on to the next. Orders are brought up to date
//! after each step.
//!
//! Clients that cannot be given anything are not looked at one by one: those hidden from the agent, those that have
//! refused what is free there, and those whose quota is used up are single bits, 64 to a word.
//!
//! Where this differs from Mesos: returned resources do not wait for an interval; roles are not sorted anew for each
//! agent; the first framework is not handed the whole agent while others wait; guarantees are looked after on each
//! agent before fair shares, in one pass, with the headroom of the whole cluster kept exactly at each step.
//!
//! Invariants
//! - Reserved resources go only to the role they are reserved for and to roles below it (INV-8).
//! - After a round, no agent that was looked at has anything free that someone in line may be offered.

use lonja_model::Resources;
use lonja_model::resources::{Resource, Value};

use crate::agents::Agent;
use crate::amounts::{Kind, Kinds, Parts, part};
use crate::clients::Client;
use crate::ids::{Bits, index};
use crate::quotas::is_limited;
use crate::role_tree::Entry;
use crate::shapes::SharedParts;
use crate::{Allocation, Allocator, slices};

/// Fewer open clients than this are compared with one another; of more the first is looked for in the tree.
const FEW: u32 = 48;

/// What holds for one round.
struct Round {
    slices: u32,
    /// Has any role a quota?
    quotas: bool,
    /// Room for the words of each agent, so that none is made for each.
    open: Bits,
}

/// What a client would be given of an agent.
enum Offer {
    /// All that is free.
    Everything,
    Part(Resources),
}

impl Allocator {
    pub(crate) fn run_round(&mut self, most: u32) -> Vec<Allocation> {
        self.tree.refresh(self.agents.totals());
        let in_line = self.clients.in_line.count();
        let (dirty, waiting) = self.agents.take_dirty(if in_line == 0 { u32::MAX } else { most });
        let mut allocations = Vec::with_capacity(index(dirty.count()));
        if in_line == 0 {
            return allocations;
        }
        // The last agents of many are not few agents for everybody.
        let slices = slices::number(in_line, waiting, self.options.most_slices).min(self.slices_of_rest);
        self.slices_of_rest = if dirty.count() < waiting { slices } else { u32::MAX };
        let mut round = Round { slices, quotas: !self.quotas.is_empty(), open: Bits::default() };
        for agent in dirty.iter() {
            self.fill(&mut round, agent, &mut allocations);
        }
        self.bound_by_quota |= round.quotas;
        allocations
    }

    /// Gives away what is free on one agent.
    fn fill(&mut self, round: &mut Round, agent: u32, allocations: &mut Vec<Allocation>) {
        let first = allocations.len();
        let mut given: Vec<u32> = Vec::new();
        while let Some((client, offer)) = self.next(round, agent, &given) {
            let (resources, parts) = match offer {
                Offer::Everything => self.agents.give_all(agent, client),
                Offer::Part(resources) => {
                    let change = self.agents.charge(agent, client, &resources, &mut self.kinds);
                    let change = change.expect("it was looked at just now");
                    self.account_limited(client, &change.limited_more, &change.limited_less);
                    let entry = self.clients.get(client).entry;
                    self.tree.account(entry, &change.more, &change.less, self.agents.totals());
                    (resources, SharedParts::default())
                }
            };
            let entry = self.clients.get(client).entry;
            self.tree.serve(entry, &parts, self.agents.totals());
            if !parts.is_empty() {
                self.account_limited(client, &parts, &[]);
            }
            if given.is_empty() {
                // Somebody was offered it: those who had given it back may come again.
                if let Some(known) = self.agents.get_mut(agent) {
                    known.passed.clear();
                }
            }
            let (framework, role) = self.clients.name(client).clone();
            let so_far = given.iter().position(|other| *other == client);
            match so_far {
                Some(at) => {
                    let held = &mut allocations[first + at].resources;
                    *held =
                        held.checked_add(&resources).expect("parts of what was free can be held together");
                }
                None => {
                    given.push(client);
                    let agent = self.agents.id(agent).clone();
                    allocations.push(Allocation { framework, role, agent, resources });
                }
            }
        }
    }

    /// Who comes next for what is free on the agent, and what it is given.
    fn next(&mut self, round: &mut Round, agent: u32, given: &[u32]) -> Option<(u32, Offer)> {
        let known = self.agents.get(agent).filter(|known| known.is_active() && !known.free().is_empty())?;
        self.open_clients(round, known);
        if round.open.is_empty() {
            return None;
        }
        let mut turned_down: Vec<u32> = Vec::new();
        let passed = !known.passed.is_empty();
        let owed = round.quotas && !self.marks.needy.is_empty();
        // Those to whom something is owed come first; those passed over come last.
        let stages = [(true, false), (false, false), (true, true), (false, true)];
        let mut found = None;
        for (only_needy, only_passed) in stages {
            if (only_needy && !owed) || (only_passed && !passed) {
                continue;
            }
            let mut takes = |client: u32| {
                let is_passed = passed && known.passed.contains(&client);
                if is_passed != only_passed || (only_needy && !self.is_owed_any_of(client, known)) {
                    return None;
                }
                let offer = self.offer(round, agent, known, client, given);
                if offer.is_none() {
                    turned_down.push(client);
                }
                offer.map(|offer| (client, offer))
            };
            found = self.first_open(&round.open, &mut takes);
            if found.is_some() {
                break;
            }
        }
        self.remember_refusals(agent, &turned_down);
        found
    }

    /// The clients that may be worth looking at for this agent.
    fn open_clients(&self, round: &mut Round, known: &Agent) {
        let words = self.clients.in_line.words();
        // What is reserved has no limit, so that a used-up quota says nothing about an agent that has some.
        let quotas = round.quotas && known.is_plain();
        let cannot_spare = quotas && self.spares_too_little();
        round.open.fill(words, |at| {
            let mut open = self.clients.in_line.word(at);
            open &= !known.hidden_from.word(at) & !known.refused_by.word(at);
            if quotas {
                open &= !self.marks.exhausted.word(at) | self.clients.particular.word(at);
            }
            if cannot_spare {
                open &= self.marks.needy.word(at) | self.clients.particular.word(at);
            }
            open
        });
    }

    /// Is what guarantees leave over less than any offer must hold?
    fn spares_too_little(&self) -> bool {
        let owed = self.tree.owed_in_all();
        !owed.is_empty()
            && !self.minimum.is_empty()
            && self
                .minimum
                .iter()
                .all(|least| least.iter().any(|(kind, amount)| self.spare(*kind) < u128::from(*amount)))
    }

    /// What is free in the cluster beyond what is owed by guarantees.
    pub(crate) fn spare(&self, kind: Kind) -> u128 {
        self.agents.available().get(kind).saturating_sub(self.tree.owed_in_all().get(kind))
    }

    /// Is something there that is owed to the client and that limits let it have?
    fn is_owed_any_of(&self, client: u32, known: &Agent) -> bool {
        let entry = self.clients.get(client).entry;
        self.marks.needy.get(client)
            && known.open().iter().any(|(kind, _)| self.tree.allowance(entry, *kind, 0) > 0)
    }

    /// The first of the open clients, in order, of which `takes` makes something.
    ///
    /// Where many are open, one of them stands near the head of the line as a rule, and the tree leads to it. Where many
    /// that are not stand before it, such as those whose quota is used up, the open ones are compared with one another.
    fn first_open<T>(&self, open: &Bits, takes: &mut impl FnMut(u32) -> Option<T>) -> Option<T> {
        let count = open.count();
        let mut tried: Vec<u32> = Vec::new();
        if count >= FEW {
            let mut takes_if_open = |client: u32| {
                if !open.get(client) {
                    return None;
                }
                let taken = takes(client);
                if taken.is_none() {
                    tried.push(client);
                }
                taken
            };
            let mut most = FEW.max(count / 4);
            if let Ok(found) = self.tree.first(&mut most, &mut takes_if_open) {
                return found;
            }
        }
        if tried.is_empty() {
            let mut open = open.iter();
            let (first, second) = (open.next(), open.next());
            return match (first, second) {
                (Some(only), None) => takes(only),
                _ => {
                    let open = first.into_iter().chain(second).chain(open);
                    self.tree.first_among(open.map(|client| self.clients.get(client).entry), takes)
                }
            };
        }
        let mut rest = open.clone();
        tried.iter().for_each(|client| rest.set(*client, false));
        self.tree.first_among(rest.iter().map(|client| self.clients.get(client).entry), takes)
    }

    /// Of those that did not take it, who has a filter will refuse it until the filter ends or more is free.
    fn remember_refusals(&mut self, agent: u32, turned_down: &[u32]) {
        for client in turned_down.iter().filter(|client| self.filters.has_any(agent, **client)) {
            let Some(known) = self.agents.get(agent) else { return };
            let everything = self.shown(known, *client);
            if self.filters.refuse(agent, *client, &everything)
                && let Some(known) = self.agents.get_mut(agent)
            {
                known.refused_by.set(*client, true);
            }
        }
    }

    /// What of an agent's free resources a client may see: what is anyone's, or its role's, and of a kind that it
    /// understands; of a shared volume one copy.
    pub(crate) fn shown(&self, known: &Agent, client: u32) -> Resources {
        if known.is_plain() {
            return known.free().clone();
        }
        let (_, role) = self.clients.name(client);
        let sight = self.clients.get(client).sight;
        let usable = known.free().iter().filter(|resource| sight.sees(resource));
        let usable = usable.filter(|resource| {
            resource.reserved_for().is_none_or(|owner| owner == role || role.is_below(owner))
        });
        Resources::of(usable.map(|resource| resource.with_copies(1))).expect("parts of what is free")
    }

    /// What the client would be given now; `None`: nothing that it may be offered.
    fn offer(&self, round: &Round, agent: u32, known: &Agent, client: u32, given: &[u32]) -> Option<Offer> {
        let asks = self.clients.get(client);
        if known.is_plain() && round.slices == 1 && !round.quotas {
            let enough = reaches_one(known.open(), &asks.minimum) && reaches_one(known.open(), &asks.needs);
            let refused = || self.filters.refuse(agent, client, known.free());
            return (enough && !refused()).then_some(Offer::Everything);
        }
        let mut usable = self.shown(known, client);
        if given.contains(&client) {
            // Of a shared volume one copy is in its offer already.
            usable = usable.filter(|resource| !resource.metadata().shared);
        }
        if round.quotas {
            usable = self.within_quota(&usable, asks.entry);
        }
        // What only adds to an offer that is large enough already may be small.
        let adds = given.contains(&client);
        let mut pieces = round.slices.div_ceil(asks.appetite.max(1));
        let there = parts_of(&self.kinds, &usable);
        loop {
            let (slice, parts) = self.slice(pieces, known, asks, &usable, &there);
            let enough = adds || (reaches_one(&parts, &asks.minimum) && reaches_one(&parts, &asks.needs));
            if !slice.is_empty() && enough && !self.filters.refuse(agent, client, &slice) {
                return Some(Offer::Part(slice));
            }
            // Of a slice that is too small for it, or that it has refused, it may have the double, up to all.
            if pieces <= 1 {
                return None;
            }
            pieces /= 2;
        }
    }

    /// One of so many pieces of the agent for the client, or all that it may use where that leaves no offer's worth
    /// behind.
    fn slice(
        &self,
        pieces: u32,
        known: &Agent,
        asks: &Client,
        usable: &Resources,
        there: &Parts,
    ) -> (Resources, Parts) {
        if pieces <= 1 {
            return (usable.clone(), there.clone());
        }
        let need = asks.needs.iter().find(|need| reaches(there, need));
        let amount = |kind: Kind| {
            let even = part(known.size(), kind).div_ceil(u64::from(pieces));
            even.max(need.map_or(0, |need| part(need, kind)))
        };
        let slice = slices::cut(usable, pieces, |name| self.kinds.find(name).map_or(u64::MAX, amount));
        let parts = parts_of(&self.kinds, &slice);
        let rest = |(kind, amount): &(Kind, u64)| (*kind, amount - part(&parts, *kind).min(*amount));
        let rest: Parts = there.iter().map(rest).collect();
        if reaches_one(&rest, &self.minimum) { (slice, parts) } else { (usable.clone(), there.clone()) }
    }

    /// What of `usable` the client may have under quotas.
    pub(crate) fn within_quota(&self, usable: &Resources, entry: Entry) -> Resources {
        let shrink = |resource: &Resource| {
            if !is_limited(resource) {
                return Some(resource.clone());
            }
            let Some(kind) = self.kinds.find(resource.name()) else { return Some(resource.clone()) };
            let allowed = self.tree.allowance(entry, kind, self.spare(kind));
            match resource.value() {
                Value::Scalar(held) => {
                    let allowed = u64::try_from(allowed).unwrap_or(u64::MAX).min(held.thousandths());
                    let value = Value::Scalar(lonja_model::resources::Scalar::from_thousandths(allowed)?);
                    let part = resource.with_value(value);
                    (allowed > 0).then_some(part)
                }
                // Devices are not cut by a quota: all of them, or as many from the first as it allows.
                Value::Devices(devices) => {
                    let mut left = allowed;
                    let some = devices.iter().take_while(|(_, part)| {
                        let fits = u128::from(*part) <= left;
                        left = left.saturating_sub(u128::from(*part));
                        fits
                    });
                    let some = some.map(|(device, part)| (device.clone(), part));
                    let value = Value::Devices(lonja_model::resources::Devices::new(some)?);
                    let part = resource.with_value(value);
                    (!part.is_empty()).then_some(part)
                }
                Value::Ranges(_) | Value::Set(_) => Some(resource.clone()),
            }
        };
        Resources::of(usable.iter().filter_map(shrink)).expect("parts of what can be held can be held")
    }
}

/// The amounts of resources, of names that are known; all names of agents are.
pub(crate) fn parts_of(kinds: &Kinds, resources: &Resources) -> Parts {
    let mut parts = Parts::with_capacity(4);
    for resource in resources.iter() {
        let amount = crate::amounts::amount_of(resource);
        if let (Some(kind), Some(amount)) = (kinds.find(resource.name()), amount) {
            match parts.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, held)) => *held += amount,
                None => parts.push((kind, amount)),
            }
        }
    }
    parts
}

/// Is there at least as much of everything as in `least`?
pub(crate) fn reaches(parts: &[(Kind, u64)], least: &Parts) -> bool {
    least.iter().all(|(kind, amount)| part(parts, *kind) >= *amount)
}

/// Is one of the alternatives reached in full? With none there is nothing to reach.
pub(crate) fn reaches_one(parts: &[(Kind, u64)], alternatives: &[Parts]) -> bool {
    alternatives.is_empty() || alternatives.iter().any(|least| reaches(parts, least))
}
