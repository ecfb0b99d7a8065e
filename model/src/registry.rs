//! What the master remembers across a restart, as values; `proto` gives them a form on disk.
//!
//! Agents, frameworks, weights, quotas, the maintenance schedule and the epoch are durable; tasks are not: agents tell of them when they
//! come back (`docs/design.md`, D3).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::AgentInfo;
use crate::framework::FrameworkInfo;
use crate::ids::{AgentId, FrameworkId};
use crate::maintenance::{Duty, Machine, MachineId, Machines};
use crate::quota::Quota;
use crate::resources::Scalar;
use crate::role::Role;
use crate::time::Timestamp;

/// Everything the master remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// Which cluster and which start of its master; `None` in a new registry.
    pub epoch: Option<Epoch>,
    /// Every agent ever admitted and not yet forgotten.
    pub agents: BTreeMap<AgentId, AgentRecord>,
    /// Every framework that may come back, and those removed, so that they stay removed.
    pub frameworks: BTreeMap<FrameworkId, FrameworkRecord>,
    /// Weights other than 1, in thousandths.
    pub weights: BTreeMap<Role, Scalar>,
    /// Quotas of those roles that have one.
    pub quotas: BTreeMap<Role, Quota>,
    /// Machines in the maintenance schedule, and those that are down.
    pub machines: Machines,
}

/// One start of a master. Ids that the master gives carry it, so that none is ever given twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Drawn once, when the cluster is made; 1 to 64 letters, digits and `-`.
    pub cluster: String,
    /// 1 for the first start, then one more for each.
    pub number: u64,
}

/// What is remembered of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRecord {
    /// As it last registered.
    pub info: AgentInfo,
    /// Where it stands.
    pub standing: AgentStanding,
    /// Whether it takes on work.
    pub duty: Duty,
}

/// Where an agent stands with the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStanding {
    /// Part of the cluster.
    Admitted,
    /// Silent for too long; may return at any time.
    Unreachable {
        /// When it was declared so.
        since: Timestamp,
    },
    /// Will never return; its id is refused for ever (INV-13).
    Gone {
        /// When it was declared so.
        since: Timestamp,
    },
}

/// What is remembered of one framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkRecord {
    /// As it last subscribed.
    pub info: FrameworkInfo,
    /// Where it stands.
    pub standing: FrameworkStanding,
}

/// Where a framework stands with the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameworkStanding {
    /// Subscribed when this was written.
    Connected,
    /// Away. The time is what was left of its failover timeout when this was written: after a restart
    /// the master counts on from there, so that it is never removed early (INV-37).
    Disconnected {
        /// Time left.
        left: Duration,
    },
    /// Removed; its id stays refused while remembered.
    Removed,
}

/// One change of the registry: the new value of one entry. Applying a change twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryOp {
    /// A master starts.
    Epoch(Epoch),
    /// An agent's record; `None`: forgotten.
    Agent(AgentId, Option<Box<AgentRecord>>),
    /// A framework's record; `None`: forgotten.
    Framework(FrameworkId, Option<Box<FrameworkRecord>>),
    /// A role's weight in thousandths; `None`: 1.
    Weight(Role, Option<Scalar>),
    /// A role's quota; `None`: none.
    Quota(Role, Option<Quota>),
    /// A machine's place in the maintenance schedule; `None`: it is up.
    Machine(MachineId, Option<Machine>),
}

impl Registry {
    /// Takes in one change.
    pub fn apply(&mut self, change: RegistryOp) {
        match change {
            RegistryOp::Epoch(epoch) => self.epoch = Some(epoch),
            RegistryOp::Agent(id, record) => put(&mut self.agents, id, record.map(|record| *record)),
            RegistryOp::Framework(id, record) => put(&mut self.frameworks, id, record.map(|record| *record)),
            RegistryOp::Weight(role, weight) => put(&mut self.weights, role, weight),
            RegistryOp::Quota(role, quota) => put(&mut self.quotas, role, quota),
            RegistryOp::Machine(id, machine) => {
                // An equal name may come with another address: that of the latest change is kept.
                self.machines.remove(&id);
                put(&mut self.machines, id, machine);
            }
        }
    }
}

fn put<K: Ord, V>(entries: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => entries.insert(key, value),
        None => entries.remove(&key),
    };
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::any_registry_op;

    proptest! {
        /// A log may be played again from any point before its end.
        #[test]
        fn applying_changes_twice_does_no_harm(changes in vec(any_registry_op(), 0..8), from in 0..8_usize) {
            let mut once = Registry::default();
            changes.iter().for_each(|change| once.apply(change.clone()));
            let mut twice = once.clone();
            changes.iter().skip(from).for_each(|change| twice.apply(change.clone()));
            prop_assert_eq!(twice, once);
        }
    }
}
