//! What follows from each change: who stands in line, who is kept from which agent, what counts for which role.

use std::time::Duration;

use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

use crate::agents::{Change, Reserved};
use crate::amounts::{Kind, Parts};
use crate::clients::Client;
use crate::eligibility::{self, Sight};
use crate::role_tree::Entry;
use crate::{Allocator, FrameworkFacts};

/// Clients that are passed over on one agent, at most; the first gives way.
const MOST_PASSED: usize = 64;

impl Allocator {
    /// The client, made if need be.
    pub(crate) fn client(&mut self, framework: &FrameworkId, role: &Role) -> u32 {
        let name = (framework.clone(), role.clone());
        let tree = &mut self.tree;
        let (client, is_new) = self.clients.intern(&name, |client| Client {
            entry: tree.add_client(role, framework, client),
            sight: Sight::of(&Default::default()),
            minimum: self.minimum.clone(),
            minimum_is_common: true,
            needs: Vec::new(),
            appetite: 1,
        });
        if is_new {
            self.tree.mark_client(self.clients.get(client).entry, &mut self.marks);
        }
        client
    }

    /// Forgets a client that nobody subscribes with and that holds nothing.
    pub(crate) fn forget_idle(&mut self, client: u32) {
        let (framework, role) = self.clients.name(client);
        let subscribed = self.frameworks.get(framework).is_some_and(|known| known.facts.roles.contains(role));
        let entry = self.clients.get(client).entry;
        if subscribed || self.agents_hold(client, entry) {
            return;
        }
        self.tree.remove_client(entry);
        self.clients.remove(client);
        self.marks.exhausted.set(client, false);
        self.marks.needy.set(client, false);
        for (_, agent) in self.agents.iter_mut() {
            agent.refused_by.set(client, false);
            agent.hidden_from.set(client, false);
            agent.passed.retain(|other| *other != client);
        }
    }

    /// Does the client hold anything, be it only ports? O(agents) where it holds no amounts.
    fn agents_hold(&self, client: u32, entry: Entry) -> bool {
        !self.tree.place(entry).allocated.is_empty()
            || self.agents.iter().any(|(_, _, agent)| agent.held_by(client).is_some())
    }

    pub(crate) fn replace_facts(&mut self, framework: &FrameworkId, facts: FrameworkFacts, active: bool) {
        let old = self.frameworks.insert(framework, facts, active);
        let left = old.map(|old| old.facts.roles).unwrap_or_default();
        for role in &left {
            if !self.frameworks.get(framework).is_some_and(|now| now.facts.roles.contains(role)) {
                self.drop_filters(framework, Some(role));
            }
        }
        let current = self.frameworks.get(framework).map(|now| now.facts.roles.clone());
        for role in left.union(&current.unwrap_or_default()) {
            self.sync_interest(framework, role);
            self.sync_needs(framework, role);
        }
    }

    pub(crate) fn set_framework_active(&mut self, framework: &FrameworkId, active: bool) {
        let Some(roles) = self.frameworks.set_active(framework, active) else { return };
        for role in roles {
            self.sync_interest(framework, &role);
        }
        if active {
            self.agents.all_are_dirty();
        }
    }

    /// Tells the tree whether the framework stands in line in `role`.
    pub(crate) fn sync_interest(&mut self, framework: &FrameworkId, role: &Role) {
        let subscribed = self.frameworks.get(framework).is_some_and(|known| known.facts.roles.contains(role));
        if !subscribed && self.clients.number(framework, role).is_none() {
            return;
        }
        let client = self.client(framework, role);
        let wants = self.frameworks.wants(framework, role);
        let entry = self.clients.get(client).entry;
        self.tree.set_in_line(entry, wants, self.agents.totals());
        self.clients.in_line.set(client, wants);
        if !subscribed {
            self.forget_idle(client);
        }
    }

    /// Takes in what the framework understands, has as its minimum, and says it needs.
    pub(crate) fn sync_needs(&mut self, framework: &FrameworkId, role: &Role) {
        let Some(client) = self.clients.number(framework, role) else { return };
        let Some(known) = self.frameworks.get(framework) else { return };
        let own = known.facts.minimum_offers.get(role);
        let minimum: Vec<Parts> = match own {
            Some(own) => own.iter().map(|one| self.kinds.parts_of(one)).collect(),
            None => self.minimum.clone(),
        };
        let needs = known.needs.of(role).iter().map(|one| self.kinds.parts_of(one)).collect();
        let sight = Sight::of(&known.facts.capabilities);
        let (minimum_is_common, has_constraints) = (own.is_none(), !known.facts.constraints.is_empty());
        let client_now = self.clients.get_mut(client);
        *client_now =
            Client { sight, minimum, minimum_is_common, needs, entry: client_now.entry, appetite: 1 };
        self.clients.note_particular(client);
        self.clients.constrained.set(client, has_constraints);
        self.judge_client(client);
    }

    /// Is the client kept from each agent for what it is?
    fn judge_client(&mut self, client: u32) {
        let (framework, role) = self.clients.name(client).clone();
        let Some(known) = self.frameworks.get(&framework) else { return };
        let (options, facts) = (&self.options, &known.facts);
        for (_, agent) in self.agents.iter_mut() {
            let fits = eligibility::is_eligible(options, facts, &role, &agent.facts, agent.has_gpus());
            agent.hidden_from.set(client, !fits);
            // What it refused rests on what it was shown, and that may be more by now.
            agent.refused_by.set(client, false);
        }
    }

    /// Is each client kept from the agent for what that is? O(clients with offer constraints) for an agent that is
    /// open to all others, as most are.
    pub(crate) fn judge_agent(&mut self, agent: u32) {
        let Some(known) = self.agents.get_mut(agent) else { return };
        let everyone = eligibility::is_for_everyone(&self.options, &known.facts, known.has_gpus());
        let mut is_new_to_someone = everyone && !known.hidden_from.is_empty();
        if everyone {
            known.hidden_from.clear();
        }
        let judged: &mut dyn Iterator<Item = u32> = if everyone {
            &mut self.clients.constrained.iter()
        } else {
            &mut self.clients.iter().map(|(_, client)| client)
        };
        for client in judged {
            let (framework, role) = self.clients.name(client);
            let Some(owner) = self.frameworks.get(framework) else { continue };
            let fits =
                eligibility::is_eligible(&self.options, &owner.facts, role, &known.facts, known.has_gpus());
            is_new_to_someone |= fits && known.hidden_from.get(client);
            known.hidden_from.set(client, !fits);
        }
        if is_new_to_someone {
            // What is free may be less than before, and yet somebody may have it only now.
            self.agents.mark_dirty(agent);
        }
    }

    /// Ends the filters of one role, or of all, and has their agents looked at again.
    pub(crate) fn drop_filters(&mut self, framework: &FrameworkId, role: Option<&Role>) {
        let clients: Vec<u32> = match role {
            Some(role) => self.clients.number(framework, role).into_iter().collect(),
            None => self.clients.of(framework).map(|(_, client)| client).collect(),
        };
        for client in clients {
            for agent in self.filters.remove_client(client) {
                self.reopen(agent, client);
            }
        }
    }

    /// A filter has ended: what it kept away may be offered again.
    pub(crate) fn reopen(&mut self, agent: u32, client: u32) {
        if let Some(known) = self.agents.get_mut(agent) {
            known.refused_by.set(client, false);
        }
        self.agents.mark_dirty(agent);
    }

    /// A client gave back what it was offered on an agent, or a part of it.
    pub(crate) fn turned_down(
        &mut self,
        now: Timestamp,
        agent: u32,
        client: u32,
        refused: &Resources,
        refuse: Duration,
        holds_more: bool,
    ) {
        self.filters.add(now, refuse, (agent, client), refused);
        let asks = self.clients.get_mut(client);
        asks.appetite =
            if holds_more { 1 } else { asks.appetite.saturating_mul(2).min(self.options.most_slices.max(1)) };
        let Some(known) = self.agents.get_mut(agent) else { return };
        if !known.passed.contains(&client) {
            if known.passed.len() >= MOST_PASSED {
                known.passed.remove(0);
            }
            known.passed.push(client);
        }
        let Some(known) = self.agents.get(agent) else { return };
        let refused = if known.is_plain() {
            self.filters.refuse(agent, client, known.free())
        } else {
            self.filters.has_any(agent, client)
                && self.filters.refuse(agent, client, &self.shown(known, client))
        };
        if let Some(known) = self.agents.get_mut(agent).filter(|_| refused) {
            known.refused_by.set(client, true);
        }
    }

    /// The framework made use of what it was offered of the agent: it is not one that turns offers down, though a part
    /// may have come back, and its turn there is not to be passed over. Said after that came back.
    pub fn made_use(&mut self, agent: &AgentId, framework: &FrameworkId, role: &Role) {
        let (agent, client) = (self.agents.number(agent), self.clients.number(framework, role));
        let (Some(agent), Some(client)) = (agent, client) else { return };
        self.clients.get_mut(client).appetite = 1;
        if let Some(known) = self.agents.get_mut(agent) {
            known.passed.retain(|other| *other != client);
        }
    }

    /// What a client holds has changed.
    pub(crate) fn account(&mut self, client: u32, change: &Change) {
        let entry = self.clients.get(client).entry;
        self.tree.account(entry, &change.more, &change.less, self.agents.totals());
        self.account_limited(client, &change.limited_more, &change.limited_less);
    }

    /// What a client holds that counts for quotas has changed.
    pub(crate) fn account_limited(&mut self, client: u32, more: &[(Kind, u64)], less: &[(Kind, u64)]) {
        let leaf = self.tree.above(self.clients.get(client).entry);
        let role = self.tree.above(leaf);
        let has_quotas = !self.quotas.is_empty();
        self.tree.consume(role, more, less, has_quotas, &mut self.marks, &self.minimum);
    }

    /// An agent's total has changed: what is reserved in it counts for its roles, used or not.
    pub(crate) fn account_reserved(&mut self, reserved: &Reserved) {
        for (total, is_after) in [(&reserved.after, true), (&reserved.before, false)] {
            for resource in total.iter() {
                let Some(owner) = resource.reserved_for() else { continue };
                let Some(amount) = crate::amounts::amount_of(resource) else { continue };
                let part = [(self.kinds.intern(resource.name()), amount)];
                let (more, less): (&[_], &[_]) = if is_after { (&part, &[]) } else { (&[], &part) };
                let role = self.tree.role(owner);
                let has_quotas = !self.quotas.is_empty();
                self.tree.consume(role, more, less, has_quotas, &mut self.marks, &self.minimum);
                self.tree.prune(role);
            }
        }
    }

    /// Something came back, there is more, or a guarantee was met: where quotas bind, that may open what is free elsewhere.
    pub(crate) fn more_room(&mut self) {
        if std::mem::take(&mut self.bound_by_quota) {
            self.agents.all_are_dirty();
        }
    }
}
