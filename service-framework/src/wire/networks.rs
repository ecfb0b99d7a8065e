//! Networks and ports.

use lonja_services_core::definition::{Network, NetworkMode, PortDefinition, PortMapping};
use serde_json::Value;

use super::common::{name, protocol, protocol_name};
use super::reader::At;
use super::writer::{Object, text};

const MODES: [(&str, NetworkMode); 3] = [
    ("host", NetworkMode::Host),
    ("container", NetworkMode::Container),
    ("container/bridge", NetworkMode::Bridge),
];

/// A network; of containers where no mode is given.
pub(crate) fn network(at: &At<'_>) -> Option<Network> {
    let fields = at.object()?;
    let mode = fields.or("mode", |at| at.choice(&MODES), NetworkMode::Container);
    let name = fields.maybe("name", At::words);
    let labels = fields.or("labels", At::labels, Default::default());
    Some(Network { mode: mode?, name: name?, labels: labels? })
}

pub(crate) fn show_network(network: &Network) -> Value {
    let mode = match network.mode {
        NetworkMode::Host => "host",
        NetworkMode::Container => "container",
        NetworkMode::Bridge => "container/bridge",
    };
    Object::new()
        .with("mode", mode)
        .maybe("name", network.name.as_deref())
        .some_map("labels", &network.labels, text)
        .done()
}

/// A port on the host's network.
pub(crate) fn port_definition(at: &At<'_>) -> Option<PortDefinition> {
    let fields = at.object()?;
    let port = fields.or("port", At::port, 0);
    let protocol = fields.or("protocol", protocol, Default::default());
    let name = fields.maybe("name", name);
    let labels = fields.or("labels", At::labels, Default::default());
    Some(PortDefinition { port: port?, protocol: protocol?, name: name?, labels: labels? })
}

pub(crate) fn show_port_definition(port: &PortDefinition) -> Value {
    Object::new()
        .with("port", port.port)
        .maybe("name", port.name.as_deref())
        .with("protocol", protocol_name(port.protocol))
        .some_map("labels", &port.labels, text)
        .done()
}

/// A port of a container.
pub(crate) fn port_mapping(at: &At<'_>) -> Option<PortMapping> {
    let fields = at.object()?;
    let container_port = fields.or("containerPort", At::port, 0);
    let host_port = fields.maybe("hostPort", At::port);
    let service_port = fields.or("servicePort", At::port, 0);
    let protocol = fields.or("protocol", protocol, Default::default());
    let name = fields.maybe("name", name);
    let labels = fields.or("labels", At::labels, Default::default());
    let network_names = fields.or("networkNames", At::texts, Vec::new());
    Some(PortMapping {
        container_port: container_port?,
        host_port: host_port?,
        service_port: service_port?,
        protocol: protocol?,
        name: name?,
        labels: labels?,
        network_names: network_names?,
    })
}

pub(crate) fn show_port_mapping(mapping: &PortMapping) -> Value {
    Object::new()
        .with("containerPort", mapping.container_port)
        .maybe("hostPort", mapping.host_port)
        .with("servicePort", mapping.service_port)
        .with("protocol", protocol_name(mapping.protocol))
        .maybe("name", mapping.name.as_deref())
        .some_map("labels", &mapping.labels, text)
        .some("networkNames", &mapping.network_names, text)
        .done()
}
