//! What an agent remembers, as it is stored: who it is, all it has, and one entry for each framework, task and
//! operation.

use std::time::Duration;

use lonja_model::Timestamp;
use lonja_model::check::Watched;
use lonja_model::checkpoint::{CheckpointOp, Delivery, Identity, TaskRecord};
use lonja_model::ids::{FrameworkId, TaskId};
use prost::Message;

use super::agent::{agent_info_from_wire, agent_info_to_wire};
use super::check::{check_status_from_wire, check_status_to_wire};
use super::executor::{executor_from_stored, executor_to_stored, group_from_stored, group_to_stored};
use super::framework::framework_to_wire;
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, container_id_from_wire, container_id_to_wire,
    framework_id_from_wire, framework_id_to_wire, role_from_wire, update_id_from_wire,
};
use super::link::named_framework;
use super::operation_status::{operation_record_from_wire, operation_record_to_wire};
use super::refusal::{At, Refusal, at_most, required};
use super::resources::{Shape, all_resources_from_wire, resources_to_wire};
use super::status::{state_from_wire, state_to_wire, status_from_wire, status_to_wire};
use super::stored::{FORMAT, StoredChange, Unreadable, check_format};
use super::task::{task_info_from_wire, task_info_to_wire};
use crate::limits;
use crate::wire::lonja::checkpoint::v1 as wire;
use wire::Entry;
use wire::entry::Entry as Kind;

/// A change of the checkpoint as a change of the store. Keys are `identity`, `framework/ID`, `task/FRAMEWORK/TASK`,
/// `total`, `operation/UUID` (32 hexadecimal digits) and `executor/FRAMEWORK/EXECUTOR`; no id contains a slash.
pub fn encode(change: &CheckpointOp) -> StoredChange {
    let key = match change {
        CheckpointOp::Identity(_) => "identity".to_owned(),
        CheckpointOp::Framework(id, _) => format!("framework/{id}"),
        CheckpointOp::Task(framework, task, _) => format!("task/{framework}/{task}"),
        CheckpointOp::Total(_) => "total".to_owned(),
        CheckpointOp::Operation(uuid, _) => format!("operation/{uuid}"),
        CheckpointOp::Executor(framework, executor, _) => format!("executor/{framework}/{executor}"),
    };
    let value = checkpoint_op_to_entry(change).map(|entry| entry.encode_to_vec());
    StoredChange { key: key.into_bytes(), value }
}

/// The change that put this value into the store. Errors: [`Unreadable`].
pub fn decode(value: &[u8]) -> Result<CheckpointOp, Unreadable> {
    checkpoint_op_from_entry(Entry::decode(value)?)
}

/// The new value of the entry that changes; `None`: it is forgotten.
pub fn checkpoint_op_to_entry(change: &CheckpointOp) -> Option<Entry> {
    let entry = match change {
        CheckpointOp::Identity(identity) => Kind::Identity(wire::Identity {
            agent_id: Some(agent_id_to_wire(&identity.agent)),
            info: Some(agent_info_to_wire(&identity.info)),
        }),
        CheckpointOp::Framework(id, info) => {
            Kind::Framework(wire::Framework { info: Some(framework_to_wire(Some(id), info.as_ref()?)) })
        }
        CheckpointOp::Task(framework, _, record) => Kind::Task(task_to_wire(framework, record.as_ref()?)),
        CheckpointOp::Total(total) => {
            Kind::Total(wire::Total { resources: resources_to_wire(total, None, Shape::FULL) })
        }
        CheckpointOp::Operation(_, record) => {
            Kind::Operation(wire::Operation { operation: Some(operation_record_to_wire(record.as_ref()?)) })
        }
        CheckpointOp::Executor(framework, _, record) => {
            Kind::Executor(executor_to_stored(framework, record.as_ref()?))
        }
    };
    Some(Entry { format: FORMAT, entry: Some(entry) })
}

/// The change that this entry is the new value of. Errors: [`Unreadable`].
pub fn checkpoint_op_from_entry(entry: Entry) -> Result<CheckpointOp, Unreadable> {
    check_format(entry.format)?;
    Ok(match required(entry.entry)? {
        Kind::Identity(wire) => CheckpointOp::Identity(Box::new(identity(wire).at("identity")?)),
        Kind::Framework(wire) => {
            let (id, info) = required(wire.info).and_then(named_framework).at("framework.info")?;
            CheckpointOp::Framework(id, Some(Box::new(info)))
        }
        Kind::Task(wire) => {
            let (framework, task, record) = task_from_wire(wire).at("task")?;
            CheckpointOp::Task(framework, task, Some(Box::new(record)))
        }
        Kind::Total(wire) => {
            CheckpointOp::Total(all_resources_from_wire(wire.resources).at("total.resources")?)
        }
        Kind::Operation(wire) => {
            let record = required(wire.operation).and_then(operation_record_from_wire);
            let record = record.at("operation").at("operation")?;
            CheckpointOp::Operation(record.operation.uuid, Some(Box::new(record)))
        }
        Kind::Executor(wire) => {
            let (framework, record) = executor_from_stored(wire).at("executor")?;
            CheckpointOp::Executor(framework, record.info.id.clone(), Some(Box::new(record)))
        }
    })
}

fn identity(wire: wire::Identity) -> Result<Identity, Refusal> {
    Ok(Identity {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        info: required(wire.info).and_then(agent_info_from_wire).at("info")?,
    })
}

fn task_to_wire(framework: &FrameworkId, record: &TaskRecord) -> wire::Task {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut wire = wire::Task {
        framework_id: Some(framework_id_to_wire(framework)),
        role: record.role.to_string(),
        info: Some(task_info_to_wire(&record.info)),
        container_id: Some(container_id_to_wire(&record.container)),
        state: Some(state_to_wire(record.state).into()),
        killing_ns: record.killing.map(nanoseconds),
        orphaned: record.orphaned,
        updates: record.updates.iter().map(status_to_wire).collect(),
        watched: (record.watched != Watched::default()).then(|| watched_to_wire(&record.watched)),
        handed_over: record.delivery.handed_over,
        heard: record.delivery.heard.iter().map(|update| update.0.to_vec()).collect(),
        ..Default::default()
    };
    group_to_stored(record.group.as_ref(), &mut wire);
    wire
}

fn task_from_wire(wire: wire::Task) -> Result<(FrameworkId, TaskId, TaskRecord), Refusal> {
    at_most(wire.updates.len(), limits::UPDATES_PER_TASK, "updates")?;
    at_most(wire.heard.len(), limits::HEARD_PER_TASK, "heard")?;
    let group = group_from_stored(&wire)?;
    let heard = |(index, id): (usize, &Vec<u8>)| update_id_from_wire(id).at_index("heard", index);
    let heard = wire.heard.iter().enumerate().map(heard).collect::<Result<_, _>>()?;
    let update = |(index, wire)| status_from_wire(wire).at_index("updates", index);
    let info = required(wire.info).and_then(task_info_from_wire).at("info")?.into();
    let framework = framework_id_from_wire(wire.framework_id).at("framework_id")?;
    let record = TaskRecord {
        role: role_from_wire(&wire.role).at("role")?,
        container: container_id_from_wire(wire.container_id).at("container_id")?,
        state: required(wire.state).and_then(state_from_wire).at("state")?,
        killing: wire.killing_ns.map(Duration::from_nanos),
        orphaned: wire.orphaned,
        updates: wire.updates.into_iter().enumerate().map(update).collect::<Result<_, _>>()?,
        watched: wire.watched.map(watched_from_wire).transpose().at("watched")?.unwrap_or_default(),
        delivery: Delivery { handed_over: wire.handed_over, heard },
        info,
        group,
    };
    Ok((framework, record.info.id.clone(), record))
}

fn watched_to_wire(watched: &Watched) -> wire::Watched {
    wire::Watched {
        started_ns: watched.started.map(Timestamp::as_nanos),
        healthy: watched.healthy,
        check_status: watched.check.map(check_status_to_wire),
        given_up: watched.given_up,
    }
}

fn watched_from_wire(wire: wire::Watched) -> Result<Watched, Refusal> {
    Ok(Watched {
        started: wire.started_ns.map(Timestamp::from_nanos),
        healthy: wire.healthy,
        check: wire.check_status.map(check_status_from_wire).transpose().at("check_status")?,
        given_up: wire.given_up,
    })
}
