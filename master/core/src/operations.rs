//! Operations on resources: those on their way to an agent, and those whose outcome is not acknowledged.
//!
//! A conversion is counted as done when it is sent, for what rests on it is sent behind it; but nobody is
//! offered what came of it before its agent has made it durable. What nobody used stays held until then
//! ([`Hold`]). An agent keeps each outcome until it is acknowledged: by the framework that gave the operation
//! an id, or at once by the master, where nobody asked for news.
//!
//! Invariants
//! - An operation is pending exactly while it has a hold, and its agent is connected or expected back (INV-10).
//! - An operation that is known and neither pending nor unreachable waits for its framework's acknowledgement.
//! - A uuid is used once in a cluster: it carries the epoch and a number that only grows.
//!
//! Source: Mesos v1 `Offer.Operation`, `OperationStatus`; scheduler API, ACKNOWLEDGE_OPERATION_STATUS.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lonja_model::operation::{AgentOperation, OperationRecord, OperationState, OperationStatus};
use lonja_model::registry::Epoch;
use lonja_model::{AgentId, FrameworkId, OperationId, OperationUuid, Resources, Role, Timestamp, UpdateId};

use crate::effects::RequestId;

/// One operation as the master knows it.
#[derive(Clone, Debug)]
pub struct KnownOperation {
    /// Whose resources it is about.
    pub agent: AgentId,
    /// What was asked.
    pub operation: AgentOperation,
    /// Where it stands.
    pub status: OperationStatus,
    /// What nobody is offered until the agent has answered; only while it is pending.
    pub hold: Option<Hold>,
    /// The operator that waits for the outcome.
    pub(crate) waiting: Option<RequestId>,
    /// When the master first knew it.
    pub since: Timestamp,
}

/// What is left of what an operation makes, kept from everyone until it is durable. The allocator counts it
/// for `framework` in `role`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The framework, or a name of the master's own for operators.
    pub framework: FrameworkId,
    /// The role of the offers that it came from.
    pub role: Role,
    /// What; may be nothing.
    pub resources: Resources,
}

impl KnownOperation {
    /// Its name over all its deliveries.
    pub fn uuid(&self) -> OperationUuid {
        self.operation.uuid
    }

    /// Has its agent not answered yet, and will it?
    pub fn is_pending(&self) -> bool {
        self.status.state == OperationState::Pending
    }

    /// The update that its framework is to acknowledge.
    pub fn awaiting(&self) -> Option<UpdateId> {
        self.status.update
    }

    /// As those who watch the cluster are told of it.
    pub(crate) fn record(&self) -> Arc<OperationRecord> {
        Arc::new(OperationRecord { operation: self.operation.clone(), status: self.status.clone() })
    }
}

/// Operations of one owner: without an id first, then by id.
type ByName = BTreeSet<(Option<OperationId>, OperationUuid)>;

/// All known operations, found by uuid, by agent or by framework.
#[derive(Debug, Default)]
pub struct Operations {
    known: BTreeMap<OperationUuid, Arc<KnownOperation>>,
    /// In the order in which they were sent, or told of.
    by_agent: BTreeMap<AgentId, VecDeque<OperationUuid>>,
    by_framework: BTreeMap<FrameworkId, ByName>,
    named: u64,
}

impl Operations {
    /// The uuid of the next operation that the master of this epoch names: four bytes for the cluster, four for the
    /// epoch, eight for a number that only grows.
    pub(crate) fn next_uuid(&mut self, epoch: &Epoch) -> OperationUuid {
        self.named += 1;
        // FNV-1a, so that an agent that is moved between clusters does not take one's operations for the other's.
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let cluster = epoch.cluster.bytes().fold(0x811c_9dc5, mix);
        let low = u32::try_from(epoch.number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let mut uuid = [0; 16];
        uuid[..4].copy_from_slice(&cluster.to_be_bytes());
        uuid[4..8].copy_from_slice(&low.to_be_bytes());
        uuid[8..].copy_from_slice(&self.named.to_be_bytes());
        OperationUuid(uuid)
    }

    /// One operation.
    pub fn get(&self, uuid: &OperationUuid) -> Option<&Arc<KnownOperation>> {
        self.known.get(uuid)
    }

    /// One operation, to change anything but its names and its agent.
    pub(crate) fn get_mut(&mut self, uuid: &OperationUuid) -> Option<&mut KnownOperation> {
        self.known.get_mut(uuid).map(Arc::make_mut)
    }

    /// All operations in order of their uuids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KnownOperation>> {
        self.known.values()
    }

    /// Those on one agent, in the order in which they were sent.
    pub fn on_agent(&self, agent: &AgentId) -> impl Iterator<Item = &Arc<KnownOperation>> {
        self.by_agent.get(agent).into_iter().flatten().filter_map(|uuid| self.known.get(uuid))
    }

    /// Those of one framework: without an id first, then in order of their ids.
    pub fn of_framework(&self, framework: &FrameworkId) -> impl Iterator<Item = &Arc<KnownOperation>> {
        let all = self.by_framework.get(framework).into_iter().flatten();
        all.filter_map(|(_, uuid)| self.known.get(uuid))
    }

    /// Those that a framework calls `id`: as a rule at most one.
    pub fn named<'a>(
        &'a self,
        framework: &FrameworkId,
        id: &OperationId,
    ) -> impl Iterator<Item = &'a Arc<KnownOperation>> {
        let (first, last) =
            ((Some(id.clone()), OperationUuid([0; 16])), (Some(id.clone()), OperationUuid([255; 16])));
        let all = self
            .by_framework
            .get(framework)
            .into_iter()
            .flat_map(move |all| all.range(first.clone()..=last.clone()));
        all.filter_map(|(_, uuid)| self.known.get(uuid))
    }

    /// How many are known on one agent.
    pub fn count_on_agent(&self, agent: &AgentId) -> usize {
        self.by_agent.get(agent).map_or(0, VecDeque::len)
    }

    /// How many of one framework are known.
    pub fn count_of_framework(&self, framework: &FrameworkId) -> usize {
        self.by_framework.get(framework).map_or(0, BTreeSet::len)
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Is none known?
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn insert(&mut self, known: KnownOperation) {
        let uuid = known.uuid();
        self.by_agent.entry(known.agent.clone()).or_default().push_back(uuid);
        if let Some(framework) = &known.operation.framework {
            let name = (known.operation.id.clone(), uuid);
            self.by_framework.entry(framework.clone()).or_default().insert(name);
        }
        let before = self.known.insert(uuid, Arc::new(known));
        assert!(before.is_none(), "an operation is made known once");
    }

    pub(crate) fn remove(&mut self, uuid: &OperationUuid) -> Option<Arc<KnownOperation>> {
        let known = self.known.remove(uuid)?;
        if let Some(all) = self.by_agent.get_mut(&known.agent) {
            // Nearly always the oldest: agents answer in order.
            if let Some(index) = all.iter().position(|other| other == uuid) {
                all.remove(index);
            }
            if all.is_empty() {
                self.by_agent.remove(&known.agent);
            }
        }
        if let Some(framework) = &known.operation.framework
            && let Some(all) = self.by_framework.get_mut(framework)
        {
            all.remove(&(known.operation.id.clone(), *uuid));
            if all.is_empty() {
                self.by_framework.remove(framework);
            }
        }
        Some(known)
    }
}

/// Breaks the books on purpose, to see that it is noticed.
#[cfg(test)]
impl Operations {
    pub(crate) fn forge_unlisted(&mut self, agent: &AgentId) {
        self.by_agent.remove(agent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_used_once_over_restarts_and_clusters() {
        let epoch = |cluster: &str, number| Epoch { cluster: cluster.to_owned(), number };
        let mut drawn = BTreeSet::new();
        for epoch in [epoch("a", 1), epoch("a", 2), epoch("b", 1)] {
            let mut operations = Operations::default();
            drawn.extend((0..100).map(|_| operations.next_uuid(&epoch)));
        }
        assert_eq!(drawn.len(), 300);
    }
}
