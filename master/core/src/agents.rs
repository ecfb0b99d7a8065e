//! Who is registered, reachable, how large.
//!
//! Invariants
//! - A link belongs to at most one agent, and an agent has at most one link.
//! - An agent with a link is known to the allocator, and active there once it is confirmed; without a link it
//!   is not offered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::agent::AgentCapability;
use lonja_model::{AgentId, AgentInfo, Resources, Timestamp};

use crate::effects::LinkId;

/// One agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// As it last registered.
    pub info: Arc<AgentInfo>,
    /// All it has as it said last: what `info` has, with the reservations and volumes made since.
    pub total: Resources,
    /// The version it runs; empty until it has come back after a restart of the master.
    pub version: String,
    /// What it can do beyond what every agent can; nothing until it has come back after a restart of the master.
    pub capabilities: BTreeSet<AgentCapability>,
    /// Where it is.
    pub presence: Presence,
    /// It has spoken since it was registered, so it knows its id for good and may be offered.
    pub confirmed: bool,
    /// When it last said anything, or when the master began to wait for it.
    pub last_heard: Timestamp,
    /// When it was first registered with this master.
    pub registered: Option<Timestamp>,
    /// When it last came back.
    pub reregistered: Option<Timestamp>,
    /// The number of the last ping.
    pub pings: u64,
}

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// On this link.
    Connected(LinkId),
    /// Its link broke; it is expected back.
    Disconnected,
    /// Known from the registry; not yet back after a restart of the master.
    Recovered,
    /// Silent for too long; may return at any time.
    Unreachable {
        /// When it was declared so.
        since: Timestamp,
    },
    /// Will never return.
    Gone {
        /// When it was declared so.
        since: Timestamp,
    },
}

impl Presence {
    /// Is the agent part of the cluster, be it only expected?
    pub fn is_there(self) -> bool {
        match self {
            Self::Connected(_) | Self::Disconnected | Self::Recovered => true,
            Self::Unreachable { .. } | Self::Gone { .. } => false,
        }
    }
}

impl Agent {
    /// The link, if there is one.
    pub fn link(&self) -> Option<LinkId> {
        match self.presence {
            Presence::Connected(link) => Some(link),
            Presence::Disconnected
            | Presence::Recovered
            | Presence::Unreachable { .. }
            | Presence::Gone { .. } => None,
        }
    }

    /// Is it part of the cluster, be it only expected?
    pub fn is_present(&self) -> bool {
        self.presence.is_there()
    }
}

/// All agents.
#[derive(Debug, Default)]
pub struct Agents {
    agents: BTreeMap<AgentId, Agent>,
    by_link: BTreeMap<LinkId, AgentId>,
    recovered: usize,
    named: u64,
}

impl Agents {
    /// The number of the next agent that this master names.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.named += 1;
        self.named - 1
    }

    /// One agent.
    pub fn get(&self, agent: &AgentId) -> Option<&Agent> {
        self.agents.get(agent)
    }

    /// One agent, to change anything but its presence.
    pub(crate) fn get_mut(&mut self, agent: &AgentId) -> Option<&mut Agent> {
        self.agents.get_mut(agent)
    }

    /// So much of everybody's silence does not count. O(agents).
    pub(crate) fn forgive(&mut self, time: Duration) {
        self.agents.values_mut().for_each(|agent| agent.last_heard = agent.last_heard + time);
    }

    /// The agent on `link`.
    pub fn on_link(&self, link: LinkId) -> Option<&AgentId> {
        self.by_link.get(&link)
    }

    /// All agents in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&AgentId, &Agent)> {
        self.agents.iter()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub(crate) fn insert(&mut self, id: AgentId, agent: Agent) {
        let presence = agent.presence;
        let before = self.agents.insert(id.clone(), agent).map(|before| before.presence);
        self.count_recovered(before, Some(presence));
        self.set_presence(&id, presence);
    }

    /// Moves an agent; returns the link it had before, if it had another.
    pub(crate) fn set_presence(&mut self, id: &AgentId, presence: Presence) -> Option<LinkId> {
        let agent = self.agents.get_mut(id)?;
        let (before, presence_before) = (agent.link(), agent.presence);
        agent.presence = presence;
        let after = agent.link();
        self.count_recovered(Some(presence_before), Some(presence));
        if let Some(link) = before {
            self.by_link.remove(&link);
        }
        if let Some(link) = after {
            self.by_link.insert(link, id.clone());
        }
        before.filter(|link| Some(*link) != after)
    }

    pub(crate) fn forget(&mut self, id: &AgentId) {
        self.set_presence(id, Presence::Recovered);
        let before = self.agents.remove(id).map(|before| before.presence);
        self.count_recovered(before, None);
    }

    /// How many have not come back since this master started. O(1).
    pub(crate) fn recovered(&self) -> usize {
        self.recovered
    }

    fn count_recovered(&mut self, before: Option<Presence>, after: Option<Presence>) {
        let counts = |presence| usize::from(presence == Some(Presence::Recovered));
        self.recovered = self.recovered + counts(after) - counts(before);
    }
}
