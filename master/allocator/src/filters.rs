//! Declined offers, and when they expire.
//!
//! While a filter lasts, no offer of its agent is made to its framework in its role whose resources the
//! refused ones contain: more than was refused gets through, less stays away. Several may apply.
//!
//! Invariants
//! - Of the filters for one framework, role and agent none is made idle by another: where one refuses all
//!   that the other does, for as long, only that one is kept. There are at most [`MOST_ALIKE`].
//! - Every filter stands once under its time and once under its agent.
//!
//! Source: Mesos v1 `Filters.refuse_seconds`; `docs/design.md`, section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::offer::Filters as Limits;
use lonja_model::{AgentId, FrameworkId, Resources, Role, Timestamp};

/// The most filters for one framework, role and agent; the one that would end first gives way, so that a
/// framework that refuses ever new shapes costs itself an offer too many and nobody memory.
pub(crate) const MOST_ALIKE: usize = 32;

#[derive(Debug)]
struct Filter {
    refused: Resources,
    until: Timestamp,
}

/// Filters by their number, which tells those of one instant apart.
type Alike = BTreeMap<u64, Filter>;
type ByRole = BTreeMap<Role, BTreeMap<AgentId, Alike>>;
type Place = (FrameworkId, Role, AgentId);

#[derive(Debug, Default)]
pub(crate) struct Filters {
    filters: BTreeMap<FrameworkId, ByRole>,
    by_agent: BTreeMap<AgentId, BTreeSet<(FrameworkId, Role)>>,
    by_time: BTreeMap<(Timestamp, u64), Place>,
    next_number: u64,
}

impl Filters {
    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|((until, _), _)| *until)
    }

    /// Is an offer of `resources` to stay away?
    pub(crate) fn refuse(
        &self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        resources: &Resources,
    ) -> bool {
        let alike = self.alike(framework, role, agent);
        alike.is_some_and(|alike| alike.values().any(|filter| filter.refused.contains(resources)))
    }

    /// No filter if `refuse` is zero; cut to [`Limits::MAX`]. O(filters alike).
    pub(crate) fn add(
        &mut self,
        now: Timestamp,
        refuse: Duration,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        refused: &Resources,
    ) {
        if refuse.is_zero() || refused.is_empty() {
            return;
        }
        let until = now + refuse.min(Limits::MAX);
        let held = self.alike(framework, role, agent);
        let covered = |filter: &Filter| filter.until >= until && filter.refused.contains(refused);
        if held.is_some_and(|alike| alike.values().any(covered)) {
            return;
        }
        for number in held.map(|alike| idle_beside(alike, refused, until)).unwrap_or_default() {
            self.remove_one(framework, role, agent, number);
        }
        let number = self.next_number;
        self.next_number += 1;
        let by_role = self.filters.entry(framework.clone()).or_default();
        let alike = by_role.entry(role.clone()).or_default().entry(agent.clone()).or_default();
        alike.insert(number, Filter { refused: refused.clone(), until });
        let place = (framework.clone(), role.clone(), agent.clone());
        self.by_time.insert((until, number), place);
        self.by_agent.entry(agent.clone()).or_default().insert((framework.clone(), role.clone()));
    }

    /// Ends those whose time has come, and says on which agents.
    pub(crate) fn expire(&mut self, now: Timestamp) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        while let Some(entry) = self.by_time.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), (framework, role, agent)) = entry.remove_entry();
            self.forget(&framework, &role, &agent, number);
            agents.insert(agent);
        }
        agents
    }

    /// Ends those of the framework, in one role or in all, and says on which agents. O(what ends).
    pub(crate) fn remove_framework(
        &mut self,
        framework: &FrameworkId,
        role: Option<&Role>,
    ) -> BTreeSet<AgentId> {
        let mut agents = BTreeSet::new();
        let Some(by_role) = self.filters.get_mut(framework) else { return agents };
        let ended: ByRole = match role {
            Some(role) => by_role.remove_entry(role).into_iter().collect(),
            None => std::mem::take(by_role),
        };
        if by_role.is_empty() {
            self.filters.remove(framework);
        }
        for (role, by_agent) in ended {
            for (agent, alike) in by_agent {
                for (number, filter) in alike {
                    self.by_time.remove(&(filter.until, number));
                }
                self.forget_under_agent(framework, &role, &agent);
                agents.insert(agent);
            }
        }
        agents
    }

    /// Ends those on the agent. O(what ends).
    pub(crate) fn remove_agent(&mut self, agent: &AgentId) {
        for (framework, role) in self.by_agent.remove(agent).unwrap_or_default() {
            let alike = self.alike(&framework, &role, agent);
            let numbers: Vec<u64> = alike.into_iter().flat_map(BTreeMap::keys).copied().collect();
            for number in numbers {
                self.remove_one(&framework, &role, agent, number);
            }
        }
    }

    fn alike(&self, framework: &FrameworkId, role: &Role, agent: &AgentId) -> Option<&Alike> {
        self.filters.get(framework)?.get(role)?.get(agent)
    }

    fn remove_one(&mut self, framework: &FrameworkId, role: &Role, agent: &AgentId, number: u64) {
        if let Some(until) = self.forget(framework, role, agent, number) {
            self.by_time.remove(&(until, number));
        }
    }

    /// Takes one filter out everywhere but under its time.
    fn forget(
        &mut self,
        framework: &FrameworkId,
        role: &Role,
        agent: &AgentId,
        number: u64,
    ) -> Option<Timestamp> {
        let by_role = self.filters.get_mut(framework)?;
        let by_agent = by_role.get_mut(role)?;
        let alike = by_agent.get_mut(agent)?;
        let filter = alike.remove(&number)?;
        if alike.is_empty() {
            by_agent.remove(agent);
            if by_agent.is_empty() {
                by_role.remove(role);
            }
            if by_role.is_empty() {
                self.filters.remove(framework);
            }
            self.forget_under_agent(framework, role, agent);
        }
        Some(filter.until)
    }

    fn forget_under_agent(&mut self, framework: &FrameworkId, role: &Role, agent: &AgentId) {
        if let Some(places) = self.by_agent.get_mut(agent) {
            places.remove(&(framework.clone(), role.clone()));
            if places.is_empty() {
                self.by_agent.remove(agent);
            }
        }
    }

    /// For whom, in which role and on which agent there are any.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FrameworkId, &Role, &AgentId)> {
        self.filters.iter().flat_map(|(framework, by_role)| {
            by_role
                .iter()
                .flat_map(move |(role, by_agent)| by_agent.keys().map(move |agent| (framework, role, agent)))
        })
    }

    /// Breaks the index on purpose, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn forge_no_deadlines(&mut self) {
        self.by_time.clear();
    }

    /// Does every filter stand once under its time and under its agent, and nothing else there?
    pub(crate) fn is_consistent(&self) -> bool {
        let mut count = 0;
        let mut places = 0;
        for (framework, by_role) in &self.filters {
            for (role, by_agent) in by_role {
                for (agent, alike) in by_agent {
                    let place = (framework.clone(), role.clone(), agent.clone());
                    let timed = |(number, filter): (&u64, &Filter)| {
                        self.by_time.get(&(filter.until, *number)) == Some(&place)
                    };
                    let named = self.by_agent.get(agent);
                    if !alike.iter().all(timed)
                        || !named.is_some_and(|named| named.contains(&(framework.clone(), role.clone())))
                    {
                        return false;
                    }
                    count += alike.len();
                    places += 1;
                }
            }
        }
        count == self.by_time.len() && places == self.by_agent.values().map(BTreeSet::len).sum::<usize>()
    }
}

/// Those that a new filter makes idle, and if there would be too many also the one that ends first.
fn idle_beside(alike: &Alike, refused: &Resources, until: Timestamp) -> Vec<u64> {
    let idle = |filter: &Filter| filter.until <= until && refused.contains(&filter.refused);
    let idle: Vec<u64> = alike.iter().filter(|(_, filter)| idle(filter)).map(|(number, _)| *number).collect();
    if idle.is_empty() && alike.len() >= MOST_ALIKE {
        let first = alike.iter().min_by_key(|(number, filter)| (filter.until, **number));
        return first.map(|(number, _)| *number).into_iter().collect();
    }
    idle
}
