//! Changes, as those who watch the cluster read them.
//!
//! What Mesos has no word for comes with a type and a field of Lonja's own, above 10,000: quotas, weights, agents and
//! machines that change, operations, alerts. A client that knows only Mesos' types reads UNKNOWN and may pass
//! over it.

use lonja_master_core::ClusterEvent;
use lonja_proto::convert::framework::framework_to_wire;
use lonja_proto::convert::ids::{agent_id_to_wire, framework_id_to_wire};
use lonja_proto::convert::maintenance::{machine_id_to_wire, machine_to_wire};
use lonja_proto::convert::operation_status::operation_record_to_wire;
use lonja_proto::convert::quota::quota_to_wire;
use lonja_proto::convert::status::{state_to_wire, status_to_wire};
use lonja_proto::mesos;
use lonja_proto::mesos::master::{Event, event};

use super::agents::agent;
use super::{framework, task};

/// A change as the event stream tells it.
pub(crate) fn event(change: ClusterEvent) -> Event {
    let event = |kind: event::Type| Event { r#type: Some(kind.into()), ..Event::default() };
    match change {
        ClusterEvent::AgentAdded(view) => Event {
            agent_added: Some(event::AgentAdded { agent: agent(&view) }),
            ..event(event::Type::AgentAdded)
        },
        ClusterEvent::AgentRemoved(id) => Event {
            agent_removed: Some(event::AgentRemoved { agent_id: agent_id_to_wire(&id) }),
            ..event(event::Type::AgentRemoved)
        },
        ClusterEvent::FrameworkAdded(view) => Event {
            framework_added: Some(event::FrameworkAdded { framework: framework(&view) }),
            ..event(event::Type::FrameworkAdded)
        },
        ClusterEvent::FrameworkUpdated(view) => Event {
            framework_updated: Some(event::FrameworkUpdated { framework: framework(&view) }),
            ..event(event::Type::FrameworkUpdated)
        },
        ClusterEvent::FrameworkRemoved(view) => Event {
            framework_removed: Some(event::FrameworkRemoved {
                framework_info: framework_to_wire(Some(&view.id), &view.info),
            }),
            ..event(event::Type::FrameworkRemoved)
        },
        ClusterEvent::TaskAdded(known) => Event {
            task_added: Some(event::TaskAdded { task: task(&known) }),
            ..event(event::Type::TaskAdded)
        },
        ClusterEvent::TaskUpdated { framework, state, status } => Event {
            task_updated: Some(event::TaskUpdated {
                framework_id: framework_id_to_wire(&framework),
                status: status_to_wire(&status),
                state: state_to_wire(state).into(),
            }),
            ..event(event::Type::TaskUpdated)
        },
        ClusterEvent::AgentUpdated(view) => Event {
            agent_updated: Some(event::AgentUpdated { agent: agent(&view) }),
            ..event(event::Type::AgentUpdated)
        },
        ClusterEvent::WeightUpdated(role, weight) => {
            let weight = mesos::WeightInfo { weight: weight.to_f64(), role: Some(role.to_string()) };
            let weight_updated = Some(event::WeightUpdated { weight });
            Event { weight_updated, ..event(event::Type::WeightUpdated) }
        }
        ClusterEvent::QuotaUpdated(role, quota) => {
            let config = quota.map(|quota| quota_to_wire(&role, Some(&quota)));
            let quota_updated = Some(event::QuotaUpdated { role: role.to_string(), config });
            Event { quota_updated, ..event(event::Type::QuotaUpdated) }
        }
        ClusterEvent::MachineUpdated(id, machine) => {
            let up = || mesos::MachineInfo {
                id: machine_id_to_wire(&id),
                mode: Some(mesos::machine_info::Mode::Up.into()),
                unavailability: None,
            };
            let machine = machine.map_or_else(up, |machine| machine_to_wire(&id, &machine));
            let machine_updated = Some(event::MachineUpdated { machine });
            Event { machine_updated, ..event(event::Type::MachineUpdated) }
        }
        ClusterEvent::OperationUpdated(record) => {
            let operation = operation_record_to_wire(&record);
            let operation_updated = Some(event::OperationUpdated { operation });
            Event { operation_updated, ..event(event::Type::OperationUpdated) }
        }
        // Told one by one, by who reads the changes.
        ClusterEvent::Several(_) => super::heartbeat(),
        ClusterEvent::Alert(message) => {
            Event { alert: Some(event::Alert { message }), ..event(event::Type::Alert) }
        }
    }
}
