//! A task as its framework describes it.

use std::collections::BTreeMap;

use lonja_model::container::Command;
use lonja_model::resources::Resources;
use lonja_model::task::{Discovery, DiscoveryPort, Limit, TaskInfo, Visibility};

use super::agent::not_a_port;
use super::check::{check_from_wire, check_to_wire, health_check_from_wire, health_check_to_wire};
use super::container::{command_from_wire, command_to_wire, container_from_wire, container_to_wire};
use super::executor::{executor_info_from_wire, executor_info_to_wire};
use super::ids::{
    agent_id_from_wire, agent_id_to_wire, duration_from_wire, duration_to_wire, grace_from_wire,
    grace_to_wire, labels_from_wire, labels_to_wire, task_id_from_wire, task_id_to_wire,
};
use super::refusal::{At, Fault, Refusal, at_most, data, known, optional_text, required, text, unsupported};
use super::resources::{Shape, resources_from_wire, resources_to_wire, scalar_from_wire, scalar_to_wire};
use crate::limits;
use crate::mesos::{self, discovery_info, value};

/// A task's description.
///
/// Errors: a field is missing or not well formed; it needs nothing; a limit is below the need or not of
/// cpus or mem; it asks for something that is not supported yet.
pub fn task_info_from_wire(wire: mesos::TaskInfo) -> Result<TaskInfo, Refusal> {
    let resources = resources_from_wire(wire.resources).at("resources")?;
    if resources.is_empty() {
        let reason = "holds nothing; a task needs some resource, such as cpus and mem";
        return Err(Fault::Invalid(reason.to_owned())).at("resources");
    }
    Ok(TaskInfo {
        name: text(wire.name, limits::TEXT_BYTES).at("name")?,
        id: task_id_from_wire(wire.task_id).at("task_id")?,
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        limits: limits_from_wire(wire.limits, &resources).at("limits")?,
        resources,
        command: command(wire.command, wire.executor.is_some()).at("command")?,
        container: container_from_wire(wire.container).at("container")?,
        kill_grace: grace_from_wire(wire.kill_policy).at("kill_policy")?,
        max_completion_time: wire
            .max_completion_time
            .map(duration_from_wire)
            .transpose()
            .at("max_completion_time")?,
        labels: labels_from_wire(wire.labels).at("labels")?,
        discovery: wire.discovery.map(discovery_from_wire).transpose().at("discovery")?,
        executor: wire.executor.map(executor_info_from_wire).transpose().at("executor")?.map(Box::new),
        data: data(wire.data.unwrap_or_default()).at("data")?,
        health_check: wire
            .health_check
            .map(health_check_from_wire)
            .transpose()
            .at("health_check")?
            .map(Box::new),
        check: wire.check.map(check_from_wire).transpose().at("check")?.map(Box::new),
    })
}

/// A task's description as the wire has it. Resources do not name the role they are allocated for: it
/// is that of the offers.
pub fn task_info_to_wire(task: &TaskInfo) -> mesos::TaskInfo {
    mesos::TaskInfo {
        name: task.name.clone(),
        task_id: task_id_to_wire(&task.id),
        agent_id: agent_id_to_wire(&task.agent),
        resources: resources_to_wire(&task.resources, None, Shape::FULL),
        command: (task.command != Command::none()).then(|| command_to_wire(&task.command)),
        container: container_to_wire(&task.container),
        labels: labels_to_wire(&task.labels),
        discovery: task.discovery.as_ref().map(discovery_to_wire),
        kill_policy: grace_to_wire(task.kill_grace),
        max_completion_time: task.max_completion_time.map(duration_to_wire),
        limits: limits_to_wire(&task.limits),
        executor: task.executor.as_deref().map(executor_info_to_wire),
        data: (!task.data.is_empty()).then(|| task.data.clone()),
        health_check: task.health_check.as_deref().map(health_check_to_wire),
        check: task.check.as_deref().map(check_to_wire),
    }
}

/// A task has a program, unless an executor knows by other means what to do.
fn command(wire: Option<mesos::CommandInfo>, has_executor: bool) -> Result<Command, Refusal> {
    match wire {
        None if has_executor => Ok(Command::none()),
        wire => required(wire).and_then(command_from_wire),
    }
}

fn limits_from_wire(
    wire: BTreeMap<String, value::Scalar>,
    need: &Resources,
) -> Result<BTreeMap<String, Limit>, Refusal> {
    let mut limits = BTreeMap::new();
    for (name, wire) in wire {
        if name != "cpus" && name != "mem" {
            let shown: String = name.chars().take(64).collect();
            let reason = format!("{shown:?} has no limit above the need; only cpus and mem have");
            return Err(Fault::Invalid(reason).into());
        }
        let here = format!("[{name:?}]");
        let limit = if wire.value == f64::INFINITY {
            Limit::Infinite
        } else {
            let amount = scalar_from_wire(wire).at(&here)?;
            let need = need.scalar(&name);
            if amount < need {
                let reason = format!("{amount} is below the need of {need}; raise it to that at least");
                return Err(Fault::Invalid(reason)).at(&here);
            }
            Limit::Amount(amount)
        };
        limits.insert(name, limit);
    }
    Ok(limits)
}

fn limits_to_wire(limits: &BTreeMap<String, Limit>) -> BTreeMap<String, value::Scalar> {
    let limit = |(name, limit): (&String, &Limit)| {
        let wire = match limit {
            Limit::Amount(amount) => scalar_to_wire(*amount),
            Limit::Infinite => value::Scalar { value: f64::INFINITY },
        };
        (name.clone(), wire)
    };
    limits.iter().map(limit).collect()
}

fn discovery_from_wire(wire: mesos::DiscoveryInfo) -> Result<Discovery, Refusal> {
    let visibility = match known(wire.visibility, "DiscoveryInfo.Visibility").at("visibility")? {
        discovery_info::Visibility::Framework => Visibility::Framework,
        discovery_info::Visibility::Cluster => Visibility::Cluster,
        discovery_info::Visibility::External => Visibility::External,
    };
    let ports = wire.ports.unwrap_or_default().ports;
    at_most(ports.len(), limits::DISCOVERY_PORTS, "ports.ports")?;
    let port = |(index, wire)| port_from_wire(wire).at_index("ports.ports", index);
    Ok(Discovery {
        visibility,
        name: optional_text(wire.name, "name")?,
        environment: optional_text(wire.environment, "environment")?,
        location: optional_text(wire.location, "location")?,
        version: optional_text(wire.version, "version")?,
        ports: ports.into_iter().enumerate().map(port).collect::<Result<_, _>>()?,
        labels: labels_from_wire(wire.labels).at("labels")?,
    })
}

fn port_from_wire(wire: mesos::Port) -> Result<DiscoveryPort, Refusal> {
    unsupported(wire.visibility.is_some(), "visibility", "a visibility for one port")?;
    unsupported(wire.labels.is_some_and(|labels| !labels.labels.is_empty()), "labels", "labels on a port")?;
    if wire.number > u32::from(u16::MAX) {
        return Err(not_a_port(wire.number)).at("number");
    }
    Ok(DiscoveryPort {
        number: wire.number,
        name: optional_text(wire.name, "name")?,
        protocol: optional_text(wire.protocol, "protocol")?,
    })
}

fn discovery_to_wire(discovery: &Discovery) -> mesos::DiscoveryInfo {
    let visibility = match discovery.visibility {
        Visibility::Framework => discovery_info::Visibility::Framework,
        Visibility::Cluster => discovery_info::Visibility::Cluster,
        Visibility::External => discovery_info::Visibility::External,
    };
    let port = |port: &DiscoveryPort| mesos::Port {
        number: port.number,
        name: port.name.clone(),
        protocol: port.protocol.clone(),
        visibility: None,
        labels: None,
    };
    let ports: Vec<_> = discovery.ports.iter().map(port).collect();
    mesos::DiscoveryInfo {
        visibility: visibility.into(),
        name: discovery.name.clone(),
        environment: discovery.environment.clone(),
        location: discovery.location.clone(),
        version: discovery.version.clone(),
        ports: (!ports.is_empty()).then_some(mesos::Ports { ports }),
        labels: labels_to_wire(&discovery.labels),
    }
}
