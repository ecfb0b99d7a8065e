//! What the master remembers, as it is stored: one entry for each agent, framework, weight, quota and machine, and
//! one for the epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::ids::{AgentId, FrameworkId};
use lonja_model::maintenance::{Duty, MachineId};
use lonja_model::quota::Quota;
use lonja_model::registry::{
    AgentRecord, AgentStanding, Epoch, FrameworkRecord, FrameworkStanding, RegistryOp,
};
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::role::Role;
use lonja_model::time::Timestamp;
use prost::Message;

use super::agent::{agent_info_from_wire, agent_info_to_wire};
use super::framework::framework_to_wire;
use super::ids::{agent_id_from_wire, agent_id_to_wire, role_from_wire};
use super::link::named_framework;
use super::maintenance::{drain_from_wire, drain_to_wire, machine_from_wire, machine_to_wire};
use super::refusal::{At, Fault, Refusal, required};
use super::stored::{FORMAT, StoredChange, Unreadable, check_format};
use crate::wire::lonja::registry::v1 as wire;
use wire::Entry;
use wire::entry::Entry as Kind;

/// A change of the registry as a change of the store. Keys are `epoch`, `agent/ID`, `framework/ID`, `weight/ROLE`,
/// `quota/ROLE` and `machine/HOSTNAME`.
pub fn encode(change: &RegistryOp) -> StoredChange {
    let key = match change {
        RegistryOp::Epoch(_) => "epoch".to_owned(),
        RegistryOp::Agent(id, _) => format!("agent/{id}"),
        RegistryOp::Framework(id, _) => format!("framework/{id}"),
        RegistryOp::Weight(role, _) => format!("weight/{role}"),
        RegistryOp::Quota(role, _) => format!("quota/{role}"),
        RegistryOp::Machine(MachineId { hostname, .. }, _) => format!("machine/{hostname}"),
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
        RegistryOp::Quota(role, quota) => Kind::Quota(quota_to_wire(role, quota.as_ref()?)),
        RegistryOp::Machine(id, machine) => {
            Kind::Machine(wire::Machine { info: Some(machine_to_wire(id, machine.as_ref()?)) })
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
        Kind::Quota(quota) => {
            let (role, quota) = quota_from_wire(quota).at("quota")?;
            RegistryOp::Quota(role, Some(quota))
        }
        Kind::Machine(machine) => {
            let machine = required(machine.info).and_then(machine_from_wire);
            let (id, machine) = machine.at("info").at("machine")?;
            RegistryOp::Machine(id, Some(machine))
        }
    })
}

fn quota_to_wire(role: &Role, quota: &Quota) -> wire::Quota {
    let thousandths = |amounts: &Quantities| {
        amounts.iter().map(|(name, amount)| (name.to_owned(), amount.thousandths())).collect()
    };
    wire::Quota {
        role: role.to_string(),
        guarantees: thousandths(&quota.guarantees),
        limits: thousandths(&quota.limits),
    }
}

fn quota_from_wire(wire: wire::Quota) -> Result<(Role, Quota), Refusal> {
    let role = role_from_wire(&wire.role).at("role")?;
    let guarantees = quantities(&wire.guarantees).at("guarantees")?;
    Ok((role, Quota { guarantees, limits: quantities(&wire.limits).at("limits")? }))
}

/// Amounts of what is never 0: to read a limit of 0 as none would lift it.
fn quantities(thousandths: &BTreeMap<String, u64>) -> Result<Quantities, Refusal> {
    let mut quantities = Quantities::default();
    for (name, thousandths) in thousandths {
        let amount = Scalar::from_thousandths(*thousandths).filter(|amount| *amount > Scalar::ZERO);
        let fault = || Fault::Invalid(format!("{thousandths} thousandths is no amount of a quota"));
        let here = format!("[{:?}]", name.chars().take(64).collect::<String>());
        quantities.set(name, amount.ok_or_else(fault).at(&here)?);
    }
    Ok(quantities)
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
        duty: duty_to_wire(&record.duty),
    }
}

/// `None` for what is offered, as nearly all are.
fn duty_to_wire(duty: &Duty) -> Option<wire::agent::Duty> {
    use wire::agent::Duty as Wire;
    match duty {
        Duty::Active => None,
        Duty::Deactivated => Some(Wire::Deactivated(wire::Deactivated {})),
        Duty::Draining(drain) => Some(Wire::Draining(drain_to_wire(drain))),
        Duty::Drained(drain) => Some(Wire::Drained(drain_to_wire(drain))),
    }
}

fn duty_from_wire(wire: Option<wire::agent::Duty>) -> Result<Duty, Refusal> {
    use wire::agent::Duty as Wire;
    Ok(match wire {
        None => Duty::Active,
        Some(Wire::Deactivated(_)) => Duty::Deactivated,
        Some(Wire::Draining(drain)) => Duty::Draining(drain_from_wire(drain).at("draining")?),
        Some(Wire::Drained(drain)) => Duty::Drained(drain_from_wire(drain).at("drained")?),
    })
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
    let duty = duty_from_wire(wire.duty)?;
    Ok((agent_id_from_wire(wire.agent_id).at("agent_id")?, AgentRecord { info, standing, duty }))
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
