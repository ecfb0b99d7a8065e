//! What always holds, as plain checks over the whole state.
//!
//! Source: `docs/invariants.md`, INV-1, INV-4 and INV-8.

use std::collections::BTreeMap;
use std::fmt;

use lonja_model::resources::Quantities;
use lonja_model::{AgentId, FrameworkId, Role};

use crate::Allocator;
use crate::agents::Agent;
use crate::holdings::{Holdings, overlap};
use crate::role_tree::Interest;
use crate::shares::Sums;

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
    /// What frameworks hold does not add up to what is allocated (INV-4).
    Holders {
        /// The agent.
        agent: AgentId,
    },
    /// The list of agents with something free is wrong about this one.
    FreeList {
        /// The agent.
        agent: AgentId,
    },
    /// The cluster's total is not the sum over the agents.
    ClusterTotal,
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
        self.agents.get(agent).map_or(Ok(()), |known| check_books(agent, known))
    }

    /// Does everything hold that the allocator promises? O(everything): for tests and simulation.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_agents()?;
        self.check_sums()?;
        self.check_orders()?;
        self.check_filters()
    }

    fn check_agents(&self) -> Result<(), Violation> {
        let mut total = Sums::default();
        for (id, agent) in self.agents.iter() {
            check_books(id, agent)?;
            total.add(&agent.total().quantities());
            let listed = self.agents.is_with_free(id);
            let has_free = agent.is_active() && !agent.free().is_empty();
            if listed != has_free || (self.agents.is_dirty(id) && !has_free) {
                return Err(Violation::FreeList { agent: id.clone() });
            }
        }
        if total == *self.agents.totals().sums() { Ok(()) } else { Err(Violation::ClusterTotal) }
    }

    fn check_sums(&self) -> Result<(), Violation> {
        let mut by_role: BTreeMap<&Role, Sums> = BTreeMap::new();
        let mut by_framework: BTreeMap<(&Role, &FrameworkId), Sums> = BTreeMap::new();
        for ((framework, role), held) in self.agents.iter().flat_map(|(_, agent)| agent.holders()) {
            let quantities: Quantities = held.quantities();
            by_role.entry(role).or_default().add(&quantities);
            by_framework.entry((role, framework)).or_default().add(&quantities);
        }
        for (role, client) in self.roles.roles().iter() {
            if by_role.remove(role).unwrap_or_default() != *client.allocated() {
                return Err(Violation::Allocated { role: role.clone(), framework: None });
            }
        }
        for (role, ranking) in self.roles.frameworks() {
            for (framework, client) in ranking.iter() {
                if by_framework.remove(&(role, framework)).unwrap_or_default() != *client.allocated() {
                    let framework = Some(framework.clone());
                    return Err(Violation::Allocated { role: role.clone(), framework });
                }
            }
        }
        // Those that hold only ports and the like need not be known: they hold nothing that is summed.
        let missed = by_framework.into_iter().find(|(_, sums)| !sums.is_empty());
        missed.map_or(Ok(()), |((role, framework), _)| {
            Err(Violation::Allocated { role: role.clone(), framework: Some(framework.clone()) })
        })
    }

    fn check_orders(&self) -> Result<(), Violation> {
        let totals = self.agents.totals();
        if !self.roles.roles().is_consistent(totals) {
            return Err(Violation::Order { role: None });
        }
        for (role, ranking) in self.roles.frameworks() {
            let role_in_line = self.roles.roles().get(role).is_some_and(|client| client.is_in_line());
            if !ranking.is_consistent(totals) || ranking.is_anyone_in_line() != role_in_line {
                return Err(Violation::Order { role: Some(role.clone()) });
            }
            for (framework, client) in ranking.iter() {
                let wants = self.frameworks.interest(framework, role) == Interest::InLine;
                if client.is_in_line() != wants {
                    return Err(Violation::Line { role: role.clone(), framework: framework.clone() });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_filters(&self) -> Result<(), Violation> {
        for (framework, role, agent) in self.filters.iter() {
            let served = self.frameworks.get(framework).is_some_and(|known| known.is_served_in(role));
            if !served || self.agents.get(agent).is_none() {
                let (framework, role, agent) = (framework.clone(), role.clone(), agent.clone());
                return Err(Violation::Filter { framework, role, agent });
            }
        }
        if self.filters.is_consistent() { Ok(()) } else { Err(Violation::FilterIndex) }
    }
}

fn check_books(id: &AgentId, agent: &Agent) -> Result<(), Violation> {
    let mut there = Holdings::of(agent.free());
    there.add_all(agent.allocated());
    let mut due = Holdings::of(agent.total());
    due.add_all(agent.debt());
    if !there.equals(&due) {
        let (free, allocated, total, debt) = (agent.free(), agent.allocated(), agent.total(), agent.debt());
        let books = format!("free {free}, allocated {allocated}, total {total}, debt {debt}");
        return Err(Violation::Conservation { agent: id.clone(), books });
    }
    if agent.debt().layers().any(|layer| !overlap(layer, agent.free()).is_empty()) {
        return Err(Violation::FreeInDebt { agent: id.clone() });
    }
    let mut held = Holdings::default();
    agent.holders().for_each(|(_, holdings)| held.add_all(holdings));
    if held.equals(agent.allocated()) { Ok(()) } else { Err(Violation::Holders { agent: id.clone() }) }
}
