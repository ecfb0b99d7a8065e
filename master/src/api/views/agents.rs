//! Agents, whether they are there, and whether they take on work.

use lonja_master_core::Snapshot;
use lonja_master_core::agents::Presence;
use lonja_master_core::snapshot::AgentView;
use lonja_proto::convert::agent::{agent_capabilities_to_wire, agent_info_to_wire};
use lonja_proto::convert::ids::{pid, time_to_wire};
use lonja_proto::convert::maintenance::duty_to_wire;
use lonja_proto::convert::resources::{Shape, resources_to_wire};
use lonja_proto::mesos::master::response::{self, get_agents};

pub(super) fn get_agents(snapshot: &Snapshot) -> response::GetAgents {
    let mut agents = response::GetAgents::default();
    for view in &snapshot.agents {
        match view.presence {
            Presence::Connected(_) | Presence::Disconnected => agents.agents.push(agent(view)),
            Presence::Recovered => agents.recovered_agents.push(agent_info_to_wire(&view.info)),
            Presence::Unreachable { .. } | Presence::Gone { .. } => {
                agents.unreachable_agents.push(agent(view))
            }
        }
    }
    agents
}

pub(super) fn agent(view: &AgentView) -> get_agents::Agent {
    // One that is not part of the cluster has no total of its own.
    let (deactivated, drain_info) = duty_to_wire(&view.duty);
    let total = if view.total.is_empty() { &view.info.resources } else { &view.total };
    get_agents::Agent {
        agent_info: agent_info_to_wire(&view.info),
        active: view.is_connected() && view.duty.is_active(),
        version: view.version.clone(),
        pid: Some(pid("slave(1)", &view.info.hostname, view.info.port)),
        capabilities: agent_capabilities_to_wire(&view.capabilities),
        registered_time: view.registered.map(time_to_wire),
        reregistered_time: view.reregistered.map(time_to_wire),
        total_resources: resources_to_wire(total, None, Shape::OPERATOR),
        allocated_resources: resources_to_wire(&view.allocated, None, Shape::OPERATOR),
        offered_resources: resources_to_wire(&view.offered, None, Shape::OPERATOR),
        deactivated: Some(deactivated),
        drain_info,
        estimated_drain_start_time: view.drain_started.map(time_to_wire),
        connected: Some(view.is_connected()),
        gone: Some(matches!(view.presence, Presence::Gone { .. })),
        ..Default::default()
    }
}
