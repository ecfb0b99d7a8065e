//! What is wrong with networks and ports.

use super::Found;
use crate::definition::{App, Engine, Network, NetworkMode, PortMapping, Protocol};

pub(super) fn of_app(found: &mut Found, app: &App) {
    let engine = app.container.as_ref().map(|container| container.engine);
    networks(found, &app.networks);
    let many = app.networks.len() > 1 && engine == Some(Engine::Docker);
    found.when(many, "/networks", "must have one element at most with a container of type DOCKER");
    let on_host = app.networks.iter().any(|network| network.mode == NetworkMode::Host);
    let mappings = app.container.as_ref().and_then(|container| container.port_mappings.as_deref());
    let definitions = app.port_definitions.as_deref().unwrap_or_default();
    let words = "may be given with the host network only; on others use container.portMappings";
    found.when(!on_host && !definitions.is_empty(), "/portDefinitions", words);
    let words = "may not be given with the host network; there use portDefinitions";
    found.when(on_host && mappings.is_some(), "/container/portMappings", words);
    let path = |index: usize, field: &str| format!("/portDefinitions({index})/{field}");
    let ports = definitions.iter().enumerate().filter(|(_, one)| one.port != 0);
    let twice = "is there twice; ports other than 0 must differ";
    found.twice(ports.map(|(index, one)| (path(index, "port"), one.port)), twice);
    let names = definitions.iter().enumerate().filter_map(|(index, one)| Some((index, one.name.as_ref()?)));
    found.twice(names.map(|(index, name)| (path(index, "name"), name)), "is there twice; names must differ");
    port_mappings(found, mappings.unwrap_or_default(), &app.networks);
}

/// Exactly one host's, or exactly one bridge, or some of containers.
pub(super) fn networks(found: &mut Found, networks: &[Network]) {
    let alone = networks.iter().any(|network| network.mode != NetworkMode::Container);
    let words = "must be one of the host, or one bridge, or one or more of containers";
    found.when(networks.is_empty() || (alone && networks.len() > 1), "/networks", words);
    for (index, network) in networks.iter().enumerate() {
        let path = |field: &str| format!("/networks({index})/{field}");
        match network.mode {
            NetworkMode::Host => {
                found.when(network.name.is_some(), path("name"), "may not be given with the mode host");
                let words = "may not be given with the mode host";
                found.when(!network.labels.is_empty(), path("labels"), words);
            }
            NetworkMode::Bridge => {
                let words = "may not be given with the mode container/bridge";
                found.when(network.name.is_some(), path("name"), words);
            }
            NetworkMode::Container => {
                let words = "is missing; a network of containers is found by its name";
                found.when(network.name.is_none(), path("name"), words);
            }
        }
    }
    let names =
        networks.iter().enumerate().filter_map(|(index, network)| Some((index, network.name.as_ref()?)));
    let each = names.map(|(index, name)| (format!("/networks({index})/name"), name));
    found.twice(each, "is there twice; names must differ");
}

fn port_mappings(found: &mut Found, mappings: &[PortMapping], networks: &[Network]) {
    let path = |index: usize, field: &str| format!("/container/portMappings({index})/{field}");
    let each = || mappings.iter().enumerate();
    let names = each().filter_map(|(index, one)| Some((path(index, "name"), one.name.as_ref()?)));
    found.twice(names, "is there twice; names must differ");
    let outside =
        each().filter_map(|(index, one)| Some((index, one, one.host_port.filter(|port| *port != 0)?)));
    let outside = outside.flat_map(|(index, one, port)| {
        protocols(one.protocol).iter().map(move |protocol| (path(index, "hostPort"), (port, *protocol)))
    });
    found.twice(outside, "is there twice; host ports other than 0 must differ");
    let service = each().filter(|(_, one)| one.service_port != 0);
    let service = service.map(|(index, one)| (path(index, "servicePort"), one.service_port));
    found.twice(service, "is there twice; service ports other than 0 must differ");
    for (index, mapping) in each() {
        network_names(found, &path(index, "networkNames"), &mapping.network_names, networks);
        let many = networks.len() > 1 && mapping.host_port.is_some() && mapping.network_names.len() != 1;
        let words = "must name exactly one network where there are several and a host port leads here";
        found.when(many, path(index, "networkNames"), words);
    }
}

/// Networks that are named must be there.
pub(super) fn network_names(found: &mut Found, path: &str, names: &[String], networks: &[Network]) {
    for (index, name) in names.iter().enumerate() {
        let known = networks.iter().any(|network| network.name.as_ref() == Some(name));
        let words = format!("names the network {name:?}, which is not in networks");
        found.when(!known, format!("{path}({index})"), words);
    }
}

/// As words of the transport.
pub(super) fn protocols(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Tcp => &["tcp"],
        Protocol::Udp => &["udp"],
        Protocol::Both => &["tcp", "udp"],
    }
}
