//! What always holds, as plain checks over the whole state.
//!
//! Source: `docs/invariants.md`, INV-1, INV-4 and INV-8.

use std::collections::BTreeMap;
use std::fmt;

use lonja_model::{AgentId, FrameworkId, Resources, Role};

use crate::Allocator;
use crate::agents::Agent;
use crate::amounts::Sums;
use crate::holdings::{Holdings, overlap};
use crate::quotas::is_limited;
use crate::round::parts_of;

/// A promise of the allocator that does not hold: a fault of its own, never of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// free + allocated is not total + debt (INV-1).
    Conservation {
        /// The agent.
        agent: AgentId,
        /// Both sides, for people.
        books: String,
    },
    /// Something is both free and in debt: it could be promised while it is in use.
    FreeInDebt {
        /// The agent.
        agent: AgentId,
    },
    /// A holder stands twice, or holds nothing (INV-4).
    Holders {
        /// The agent.
        agent: AgentId,
    },
    /// The list of agents with something free is wrong about this one.
    FreeList {
        /// The agent.
        agent: AgentId,
    },
    /// The cluster's total, or what is free in it for anyone, is not the sum over the agents.
    ClusterTotal,
    /// What counts against a role's quota is not the sum of what is reserved and held in it and below it (INV-5).
    Consumed {
        /// The role.
        role: Role,
    },
    /// What a role, or a framework in it, is said to hold is not the sum over the agents.
    Allocated {
        /// The role.
        role: Role,
        /// The framework; `None`: the role as a whole.
        framework: Option<FrameworkId>,
    },
    /// An order of shares does not follow from what is allocated.
    Order {
        /// The role whose frameworks are out of order; `None`: the roles.
        role: Option<Role>,
    },
    /// Someone stands in line who does not want offers, or the other way round.
    Line {
        /// The role.
        role: Role,
        /// The framework.
        framework: FrameworkId,
    },
    /// A filter of a framework that is not served in the role, or on an agent that is not there.
    Filter {
        /// The framework.
        framework: FrameworkId,
        /// The role.
        role: Role,
        /// The agent.
        agent: AgentId,
    },
    /// The indexes of the filters differ.
    FilterIndex,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conservation { agent, books } => write!(f, "the books of agent {agent} are wrong: {books}"),
            Self::FreeInDebt { agent } => write!(f, "agent {agent} has something both free and in debt"),
            Self::Holders { agent } => write!(f, "the holders on agent {agent} do not add up"),
            Self::FreeList { agent } => write!(f, "agent {agent} is wrongly listed as with or without free"),
            Self::ClusterTotal => f.write_str("the cluster's total is not the sum of its agents"),
            Self::Consumed { role } => write!(f, "what counts against the quota of role {role} is wrong"),
            Self::Allocated { role, framework: None } => write!(f, "what role {role} holds is wrong"),
            Self::Allocated { role, framework: Some(framework) } => {
                write!(f, "what framework {framework} holds in role {role} is wrong")
            }
            Self::Order { role: None } => f.write_str("the order of the roles is wrong"),
            Self::Order { role: Some(role) } => {
                write!(f, "the order of the frameworks of role {role} is wrong")
            }
            Self::Line { role, framework } => {
                write!(f, "framework {framework} is wrongly in or out of line in role {role}")
            }
            Self::Filter { framework, role, agent } => {
                write!(f, "a filter of framework {framework} in role {role} on agent {agent} has no ground")
            }
            Self::FilterIndex => f.write_str("the indexes of the filters differ"),
        }
    }
}

impl std::error::Error for Violation {}

impl Allocator {
    /// Does the agent's account balance? An unknown agent's does. O(holders on this agent): cheap enough
    /// to assert in release, where stepping down beats promising memory twice.
    pub fn check_agent(&self, agent: &AgentId) -> Result<(), Violation> {
        self.agents.find(agent).map_or(Ok(()), |known| check_books(agent, known))
    }

    /// Does everything hold that the allocator promises? O(everything): for tests and simulation.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_agents()?;
        self.check_sums()?;
        self.check_orders()?;
        self.check_filters()
    }

    fn check_agents(&self) -> Result<(), Violation> {
        let (mut total, mut available) = (Sums::default(), Sums::default());
        for (id, number, agent) in self.agents.iter() {
            check_books(id, agent)?;
            total.add(&parts_of(&self.kinds, agent.total()));
            if agent.is_active() {
                available.add(&parts_of(&self.kinds, &agent.free().filter(is_limited)));
            }
            let listed = self.agents.is_with_free(number);
            let has_free = agent.is_active() && !agent.free().is_empty();
            if listed != has_free || (self.agents.is_dirty(number) && !has_free) {
                return Err(Violation::FreeList { agent: id.clone() });
            }
        }
        if total != *self.agents.all() || available != *self.agents.available() {
            return Err(Violation::ClusterTotal);
        }
        Ok(())
    }

    fn check_sums(&self) -> Result<(), Violation> {
        let mut by_client: BTreeMap<u32, Sums> = BTreeMap::new();
        let mut consumed: BTreeMap<Role, Sums> = BTreeMap::new();
        for (_, _, agent) in self.agents.iter() {
            for resource in agent.total().iter() {
                if let Some(owner) = resource.reserved_for() {
                    let one = Resources::of([resource.clone()]).expect("one resource can be held");
                    consumed.entry(owner.clone()).or_default().add(&parts_of(&self.kinds, &one));
                }
            }
            for (client, held) in agent.holders() {
                let (_, role) = self.clients.name(client);
                for layer in held.layers() {
                    by_client.entry(client).or_default().add(&parts_of(&self.kinds, layer));
                    let limited = parts_of(&self.kinds, &layer.filter(is_limited));
                    consumed.entry(role.clone()).or_default().add(&limited);
                }
            }
        }
        for ((framework, role), client) in self.clients.iter() {
            let place = self.tree.place(self.clients.get(client).entry);
            if by_client.remove(&client).unwrap_or_default() != place.allocated {
                let (role, framework) = (role.clone(), Some(framework.clone()));
                return Err(Violation::Allocated { role, framework });
            }
        }
        for (role, entry) in self.tree.roles() {
            let mut sum = Sums::default();
            let within = consumed.iter().filter(|(other, _)| *other == role || other.is_below(role));
            within.for_each(|(_, consumed)| sum.add_all(consumed));
            if sum != self.tree.place(entry).books.consumed {
                return Err(Violation::Consumed { role: role.clone() });
            }
        }
        Ok(())
    }

    fn check_orders(&self) -> Result<(), Violation> {
        if let Err(entry) = self.tree.is_consistent(self.agents.totals()) {
            let role = self.tree.roles().find(|(_, other)| *other == entry).map(|(role, _)| role.clone());
            return Err(Violation::Order { role });
        }
        for ((framework, role), client) in self.clients.iter() {
            let wants = self.frameworks.wants(framework, role);
            let entry = self.clients.get(client).entry;
            if self.tree.is_in_line(entry) != wants || self.clients.in_line.get(client) != wants {
                return Err(Violation::Line { role: role.clone(), framework: framework.clone() });
            }
        }
        Ok(())
    }

    pub(crate) fn check_filters(&self) -> Result<(), Violation> {
        for (agent, client) in self.filters.iter() {
            let (framework, role) = self.clients.name(client);
            let served = self.frameworks.get(framework).is_some_and(|known| known.is_served_in(role));
            if !served || self.agents.get(agent).is_none() {
                let agent = self.agents.id(agent).clone();
                return Err(Violation::Filter { framework: framework.clone(), role: role.clone(), agent });
            }
        }
        if !self.filters.is_consistent() {
            return Err(Violation::FilterIndex);
        }
        for (id, number, agent) in self.agents.iter() {
            for client in agent.refused_by.iter() {
                if !self.filters.refuse(number, client, &self.shown(agent, client)) {
                    let (framework, role) = self.clients.name(client).clone();
                    return Err(Violation::Filter { framework, role, agent: id.clone() });
                }
            }
        }
        Ok(())
    }
}

fn check_books(id: &AgentId, agent: &Agent) -> Result<(), Violation> {
    if agent.holders().next().is_none() && agent.debt().is_empty() && *agent.free() == agent.books_total() {
        return Ok(());
    }
    let mut there = Holdings::of(agent.free());
    there.add_all(&agent.allocated());
    let mut due = Holdings::of(&agent.books_total());
    due.add_all(agent.debt());
    if !there.equals(&due) {
        let (free, allocated, total, debt) = (agent.free(), agent.allocated(), agent.total(), agent.debt());
        let books = format!("free {free}, allocated {allocated}, total {total}, debt {debt}");
        return Err(Violation::Conservation { agent: id.clone(), books });
    }
    if agent.debt().layers().any(|layer| !overlap(layer, agent.free()).is_empty()) {
        return Err(Violation::FreeInDebt { agent: id.clone() });
    }
    let mut holders: Vec<u32> = agent.holders().map(|(client, _)| client).collect();
    holders.sort_unstable();
    holders.dedup();
    let each_once = holders.len() == agent.holders().count();
    let holds = agent.holders().all(|(_, held)| !held.is_empty());
    if each_once && holds { Ok(()) } else { Err(Violation::Holders { agent: id.clone() }) }
}
