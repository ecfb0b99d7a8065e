//! How instances are reached: where requests for an app or pod go, what looks at its instances, and the ports that balancers
//! open for it.
//!
//! Invariants
//! - An endpoint accepts requests only while its instance runs, is healthy if that is asked for, is ready, and is not hidden.
//! - What takes no new requests but may have some under way stays listed until it has ended, so that they can end too.
//! - Only what runs is looked at, each instance by the checks of its own version.
//!
//! Source: Marathon's health checks (target of `port` and `portIndex`), readiness checks and service ports; `docs/service-discovery.md`.

use crate::definition::{
    App, CheckTarget, HealthCheck, Pod, PortMapping, Protocol, ReadinessCheck, RunSpec, Version,
};
use crate::event::{Endpoint, EndpointPort, Watch, WatchKind};
use crate::instance::{Condition, Goal, Instance, Place};
use crate::service::Service;

/// The label of an app or of one of its ports that says how the balancer reads what passes: `http` or `tcp`.
pub const PROXY_LABEL: &str = "LONJA_PROXY";

/// A port that a balancer opens for an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    /// Its number; never 0.
    pub port: u16,
    /// Its name in the definition.
    pub name: Option<String>,
    /// Each request is balanced by itself; else each connection.
    pub http: bool,
}

/// One port of a definition, as far as it leads to the agent or has a number of its own there.
struct Defined<'a> {
    name: Option<&'a str>,
    /// The agent has a port for it.
    on_agent: bool,
    service_port: u16,
    tcp: bool,
    udp: bool,
    mode: Option<&'a str>,
}

impl Service {
    /// Where requests go: in the order of the instances' names. O(instances).
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.instances.values().filter_map(Instance::endpoint).collect()
    }

    /// What the framework itself is to look at. O(instances).
    pub fn watches(&self) -> Vec<Watch> {
        self.instances.values().flat_map(Instance::watches).collect()
    }

    /// The ports that a balancer opens for it, over TCP, in the order of the definition; also while no instance runs. Empty
    /// once the app is to go, and for pods.
    pub fn service_ports(&self) -> Vec<ServicePort> {
        let RunSpec::App(app) = &self.spec else { return Vec::new() };
        if self.removed {
            return Vec::new();
        }
        let mode = app.labels.get(PROXY_LABEL).map(String::as_str);
        let listed = defined(&self.spec).into_iter().filter(|port| port.tcp && port.service_port != 0);
        let opened = listed.map(|port| ServicePort {
            port: port.service_port,
            name: port.name.map(str::to_owned),
            http: port.mode.or(mode).is_some_and(|mode| mode.eq_ignore_ascii_case("http")),
        });
        opened.collect()
    }
}

impl Instance {
    /// Where its requests go; none: nowhere, as no task of it is alive or can be reached.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let place = self.place.as_ref()?;
        let accepts = match self.condition {
            Condition::Running => self.is_serving() && !self.hidden && self.goal == Goal::Running,
            Condition::Killing => false,
            Condition::Scheduled
            | Condition::Provisioned
            | Condition::Staging
            | Condition::Starting
            | Condition::Unreachable
            | Condition::UnreachableInactive
            | Condition::Finished
            | Condition::Failed
            | Condition::Killed
            | Condition::Error
            | Condition::Gone
            | Condition::Dropped
            | Condition::Unknown => return None,
        };
        let ports = self.ports(place);
        let host = place.hostname.clone();
        Some(Endpoint { instance: self.id.clone(), spec: self.spec.id().clone(), host, ports, accepts })
    }

    /// What the framework itself is to look at here: its health checks, and the readiness check until that has said yes.
    pub fn watches(&self) -> Vec<Watch> {
        let (RunSpec::App(app), Condition::Running, Some(place)) = (&self.spec, self.condition, &self.place)
        else {
            return Vec::new();
        };
        let watch = |port: u16, check: WatchKind| Watch {
            instance: self.id.clone(),
            incarnation: self.incarnation,
            spec: self.spec.clone(),
            host: place.hostname.clone(),
            port,
            check,
        };
        let own = app.health_checks.iter().filter(|check| !check.protocol.is_by_agent()).enumerate();
        let health = own.filter_map(|(number, check)| {
            let port = self.health_port(check, place)?;
            Some(watch(port, WatchKind::Health(number, check.clone())))
        });
        let readiness = app.readiness_checks.first().filter(|_| !self.ready).and_then(|check| {
            let port = self.readiness_port(check, place)?;
            Some(watch(port, WatchKind::Readiness(check.clone())))
        });
        health.chain(readiness).collect()
    }

    /// The version that it runs.
    pub fn version(&self) -> Version {
        self.spec.version().version
    }

    fn ports(&self, place: &Place) -> Vec<EndpointPort> {
        let mut numbers = place.ports.iter();
        let mut ports = Vec::new();
        for defined in defined(&self.spec).into_iter().filter(|port| port.on_agent) {
            let Some(&port) = numbers.next() else { break };
            let named = |udp, service_port| EndpointPort {
                name: defined.name.map(str::to_owned),
                port,
                service_port,
                udp,
            };
            if defined.tcp {
                ports.push(named(false, defined.service_port));
            }
            if defined.udp {
                ports.push(named(true, defined.service_port));
            }
        }
        ports
    }

    /// Where a health check looks: a port given by number, else the agent's port of that place in the definition's list.
    fn health_port(&self, check: &HealthCheck, place: &Place) -> Option<u16> {
        match check.target {
            CheckTarget::Port(port) => Some(port),
            CheckTarget::Default => self.agent_port_of(0, place),
            CheckTarget::Index(index) => self.agent_port_of(usize::try_from(index).ok()?, place),
        }
    }

    fn readiness_port(&self, check: &ReadinessCheck, place: &Place) -> Option<u16> {
        let named = |port: &Defined<'_>| port.name == Some(check.port_name.as_str());
        self.agent_port_of(defined(&self.spec).iter().position(named)?, place)
    }

    /// The agent's port for the definition's port of this number.
    fn agent_port_of(&self, index: usize, place: &Place) -> Option<u16> {
        let defined = defined(&self.spec);
        defined.get(index).filter(|port| port.on_agent)?;
        let before = defined.iter().take(index).filter(|port| port.on_agent).count();
        place.ports.get(before).copied()
    }
}

/// The ports of a definition, in its order.
fn defined(spec: &RunSpec) -> Vec<Defined<'_>> {
    match spec {
        RunSpec::App(app) => of_app(app),
        RunSpec::Pod(pod) => of_pod(pod),
    }
}

fn of_app(app: &App) -> Vec<Defined<'_>> {
    let mapped = app.container.as_ref().and_then(|container| container.port_mappings.as_ref());
    if let Some(mappings) = mapped {
        return mappings.iter().map(of_mapping).collect();
    }
    let definitions = app.port_definitions.iter().flatten().map(|definition| Defined {
        name: definition.name.as_deref(),
        on_agent: true,
        service_port: definition.port,
        tcp: definition.protocol != Protocol::Udp,
        udp: definition.protocol != Protocol::Tcp,
        mode: definition.labels.get(PROXY_LABEL).map(String::as_str),
    });
    definitions.collect()
}

fn of_mapping(mapping: &PortMapping) -> Defined<'_> {
    Defined {
        name: mapping.name.as_deref(),
        on_agent: mapping.host_port.is_some(),
        service_port: mapping.service_port,
        tcp: mapping.protocol != Protocol::Udp,
        udp: mapping.protocol != Protocol::Tcp,
        mode: mapping.labels.get(PROXY_LABEL).map(String::as_str),
    }
}

fn of_pod(pod: &Pod) -> Vec<Defined<'_>> {
    let endpoints = pod.containers.iter().flat_map(|container| &container.endpoints);
    let ports = endpoints.map(|endpoint| {
        let speaks = |one: Protocol| endpoint.protocol.iter().any(|is| *is == one || *is == Protocol::Both);
        Defined {
            name: Some(endpoint.name.as_str()),
            on_agent: endpoint.host_port.is_some(),
            service_port: 0,
            tcp: endpoint.protocol.is_empty() || speaks(Protocol::Tcp),
            udp: speaks(Protocol::Udp),
            mode: None,
        }
    });
    ports.collect()
}

#[cfg(test)]
#[path = "reaching_tests.rs"]
mod tests;
