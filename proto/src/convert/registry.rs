//! What the master remembers, as it is stored: one entry for each agent, framework and weight, and one
//! for the epoch.

use std::time::Duration;

use lonja_model::ids::{AgentId, FrameworkId};
use lonja_model::registry::{
    AgentRecord, AgentStanding, Epoch, FrameworkRecord, FrameworkStanding, RegistryOp,
};
use lonja_model::resources::Scalar;
use lonja_model::time::Timestamp;
use prost::Message;

use super::agent::{agent_info_from_wire, agent_info_to_wire};
use super::framework::framework_to_wire;
use super::ids::{agent_id_from_wire, agent_id_to_wire, role_from_wire};
use super::link::named_framework;
use super::refusal::{At, Fault, Refusal, required};
use super::stored::{FORMAT, StoredChange, Unreadable, check_format};
use crate::wire::lonja::registry::v1 as wire;
use wire::Entry;
use wire::entry::Entry as Kind;

/// A change of the registry as a change of the store. Keys are `epoch`, `agent/ID`, `framework/ID` and
/// `weight/ROLE`.
pub fn encode(change: &RegistryOp) -> StoredChange {
    let key = match change {
        RegistryOp::Epoch(_) => "epoch".to_owned(),
        RegistryOp::Agent(id, _) => format!("agent/{id}"),
        RegistryOp::Framework(id, _) => format!("framework/{id}"),
        RegistryOp::Weight(role, _) => format!("weight/{role}"),
    };
    let value = registry_op_to_entry(change).map(|entry| entry.encode_to_vec());
    StoredChange { key: key.into_bytes(), value }
}

/// The change that put this value into the store. Errors: [`Unreadable`].
pub fn decode(value: &[u8]) -> Result<RegistryOp, Unreadable> {
    registry_op_from_entry(Entry::decode(value)?)
}

/// The new value of the entry that changes; `None`: it is forgotten.
pub fn registry_op_to_entry(change: &RegistryOp) -> Option<Entry> {
    let entry = match change {
        RegistryOp::Epoch(epoch) => {
            Kind::Epoch(wire::Epoch { cluster: epoch.cluster.clone(), number: epoch.number })
        }
        RegistryOp::Agent(id, record) => Kind::Agent(agent_to_wire(id, record.as_ref()?)),
        RegistryOp::Framework(id, record) => Kind::Framework(framework_record_to_wire(id, record.as_ref()?)),
        RegistryOp::Weight(role, weight) => {
            let thousandths = weight.as_ref()?.thousandths();
            Kind::Weight(wire::Weight { role: role.to_string(), thousandths })
        }
    };
    Some(Entry { format: FORMAT, entry: Some(entry) })
}

/// The change that this entry is the new value of. Errors: [`Unreadable`].
pub fn registry_op_from_entry(entry: Entry) -> Result<RegistryOp, Unreadable> {
    check_format(entry.format)?;
    Ok(match required(entry.entry)? {
        Kind::Epoch(epoch) => RegistryOp::Epoch(Epoch { cluster: epoch.cluster, number: epoch.number }),
        Kind::Agent(agent) => {
            let (id, record) = agent_from_wire(agent).at("agent")?;
            RegistryOp::Agent(id, Some(Box::new(record)))
        }
        Kind::Framework(framework) => {
            let (id, record) = framework_from_wire(framework).at("framework")?;
            RegistryOp::Framework(id, Some(Box::new(record)))
        }
        Kind::Weight(weight) => {
            let role = role_from_wire(&weight.role).at("weight.role")?;
            let too_large = || Fault::Invalid("is above the largest weight".to_owned());
            let thousandths = Scalar::from_thousandths(weight.thousandths).ok_or_else(too_large);
            RegistryOp::Weight(role, Some(thousandths.at("weight.thousandths")?))
        }
    })
}

fn agent_to_wire(id: &AgentId, record: &AgentRecord) -> wire::Agent {
    use wire::agent::Standing;
    let standing = match record.standing {
        AgentStanding::Admitted => Standing::Admitted(wire::Admitted {}),
        AgentStanding::Unreachable { since } => {
            Standing::Unreachable(wire::Unreachable { since_ns: since.as_nanos() })
        }
        AgentStanding::Gone { since } => Standing::Gone(wire::Gone { since_ns: since.as_nanos() }),
    };
    wire::Agent {
        agent_id: Some(agent_id_to_wire(id)),
        info: Some(agent_info_to_wire(&record.info)),
        standing: Some(standing),
    }
}

fn agent_from_wire(wire: wire::Agent) -> Result<(AgentId, AgentRecord), Refusal> {
    use wire::agent::Standing;
    let since = Timestamp::from_nanos;
    let standing = match required(wire.standing).at("standing")? {
        Standing::Admitted(_) => AgentStanding::Admitted,
        Standing::Unreachable(wire) => AgentStanding::Unreachable { since: since(wire.since_ns) },
        Standing::Gone(wire) => AgentStanding::Gone { since: since(wire.since_ns) },
    };
    let info = required(wire.info).and_then(agent_info_from_wire).at("info")?;
    Ok((agent_id_from_wire(wire.agent_id).at("agent_id")?, AgentRecord { info, standing }))
}

fn framework_record_to_wire(id: &FrameworkId, record: &FrameworkRecord) -> wire::Framework {
    use wire::framework::Standing;
    let standing = match record.standing {
        FrameworkStanding::Connected => Standing::Connected(wire::Connected {}),
        FrameworkStanding::Disconnected { left } => {
            let left_ns = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            Standing::Disconnected(wire::Disconnected { left_ns })
        }
        FrameworkStanding::Removed => Standing::Removed(wire::Removed {}),
    };
    wire::Framework { info: Some(framework_to_wire(Some(id), &record.info)), standing: Some(standing) }
}

fn framework_from_wire(wire: wire::Framework) -> Result<(FrameworkId, FrameworkRecord), Refusal> {
    use wire::framework::Standing;
    let standing = match required(wire.standing).at("standing")? {
        Standing::Connected(_) => FrameworkStanding::Connected,
        Standing::Disconnected(wire) => {
            FrameworkStanding::Disconnected { left: Duration::from_nanos(wire.left_ns) }
        }
        Standing::Removed(_) => FrameworkStanding::Removed,
    };
    let (id, info) = required(wire.info).and_then(named_framework).at("info")?;
    Ok((id, FrameworkRecord { info, standing }))
}
