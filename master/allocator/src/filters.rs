//! Declined offers and when they may come again.
//!
//! A filter keeps away what the refused resources contain: more than was refused gets through, less
//! stays away. Several may hold for one agent, framework and role.
//!
//! Source: Mesos, decline filters and the superset rule.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

type Key = (FrameworkId, Role, AgentId);

/// Refusals for one agent, framework and role at most; a newer one then takes the place of the one that
/// would have expired first.
const MOST_PER_KEY: usize = 16;

/// All filters that have not expired.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    filters: BTreeMap<Key, Vec<(Timestamp, Resources)>>,
    by_expiry: BTreeSet<(Timestamp, Key)>,
    by_agent: BTreeMap<AgentId, BTreeSet<(FrameworkId, Role)>>,
}

impl Filters {
    pub(crate) fn add(
        &mut self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        refused: Resources,
        until: Timestamp,
    ) {
        let key = (framework.clone(), role.clone(), agent.clone());
        let held = self.filters.entry(key.clone()).or_default();
        // One refusal that contains another and lasts longer makes it needless.
        held.retain(|(expires, earlier)| *expires > until || !refused.contains(earlier));
        held.push((until, refused));
        held.sort_by_key(|(expires, _)| *expires);
        if held.len() > MOST_PER_KEY {
            held.remove(0);
        }
        self.by_expiry.insert((until, key));
        self.by_agent.entry(agent.clone()).or_default().insert((framework.clone(), role.clone()));
    }

    /// Does a filter keep `resources` of `agent` away?
    pub(crate) fn keep_away(
        &self,
        agent: &AgentId,
        framework: &FrameworkId,
        role: &Role,
        resources: &Resources,
    ) -> bool {
        let held = self.filters.get(&(framework.clone(), role.clone(), agent.clone()));
        held.is_some_and(|held| held.iter().any(|(_, refused)| refused.contains(resources)))
    }

    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.by_expiry.first().map(|(expires, _)| *expires)
    }

    /// Drops what has expired by `now`; returns the agents that it was about.
    pub(crate) fn expire(&mut self, now: Timestamp) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        while let Some((_, key)) = self.by_expiry.first().filter(|(expires, _)| *expires <= now).cloned() {
            self.by_expiry.pop_first();
            if let Some(held) = self.filters.get_mut(&key) {
                held.retain(|(expires, _)| *expires > now);
                agents.insert(key.2.clone());
                if held.is_empty() {
                    self.drop_key(&key);
                }
            }
        }
        agents
    }

    pub(crate) fn remove_agent(&mut self, agent: &AgentId) {
        for (framework, role) in self.by_agent.get(agent).cloned().unwrap_or_default() {
            self.drop_key(&(framework, role, agent.clone()));
        }
    }

    pub(crate) fn remove_framework(&mut self, framework: &FrameworkId) {
        let keys: Vec<Key> = self.of(framework).cloned().collect();
        keys.iter().for_each(|key| self.drop_key(key));
    }

    pub(crate) fn remove_roles(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) {
        let keys: Vec<Key> =
            self.of(framework).filter(|(_, role, _)| roles.contains(role)).cloned().collect();
        keys.iter().for_each(|key| self.drop_key(key));
    }

    fn of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a Key> {
        // The keys of one framework stand together: they begin with its id, and `*` is the least role.
        let least = (framework.clone(), Role::default_role(), lowest_agent());
        let from_first =
            self.filters.range(..least.clone()).rev().take_while(move |(key, _)| key.0 == *framework);
        let rest = self.filters.range(least..).take_while(move |(key, _)| key.0 == *framework);
        from_first.chain(rest).map(|(key, _)| key)
    }

    fn drop_key(&mut self, key: &Key) {
        for (expires, _) in self.filters.remove(key).unwrap_or_default() {
            self.by_expiry.remove(&(expires, key.clone()));
        }
        if let Some(listed) = self.by_agent.get_mut(&key.2) {
            listed.remove(&(key.0.clone(), key.1.clone()));
            if listed.is_empty() {
                self.by_agent.remove(&key.2);
            }
        }
    }

    /// Filters are of known agents and frameworks, and each will expire.
    pub(crate) fn check(
        &self,
        agent_known: impl Fn(&AgentId) -> bool,
        framework_known: impl Fn(&FrameworkId) -> bool,
    ) -> Result<(), String> {
        for (key @ (framework, _, agent), held) in &self.filters {
            if !agent_known(agent) || !framework_known(framework) {
                return Err(format!("a filter names {framework} and {agent}, not both of which are known"));
            }
            if let Some((expires, _)) =
                held.iter().find(|(expires, _)| !self.by_expiry.contains(&(*expires, key.clone())))
            {
                return Err(format!("a filter of {framework} on {agent} would never expire ({expires:?})"));
            }
        }
        Ok(())
    }
}

fn lowest_agent() -> AgentId {
    AgentId::new("!").expect("one plain character")
}
