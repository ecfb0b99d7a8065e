//! Fields of older Marathons: taken, turned into those of today, never shown.
//!
//! Source: Marathon's API, deprecated fields of apps.

use lonja_services_core::definition::{
    App, Container, Engine, Fetch, Network, NetworkMode, PortDefinition, PortMapping,
};

use super::common::{name, protocol};
use super::networks::port_mapping;
use super::reader::{At, Fields};

/// Endings of archives that the agent unpacks.
const ARCHIVES: [&str; 7] = [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip"];

/// Turns the deprecated fields that are there into those of today. Says whether they named networks.
pub(crate) fn fold(fields: &Fields<'_>, app: &mut App) -> bool {
    uris(fields, app);
    let by_docker = docker(fields, app);
    let by_address = ip_address(fields, app, by_docker);
    ports(fields, app);
    by_docker.is_some() || by_address
}

fn uris(fields: &Fields<'_>, app: &mut App) {
    let Some(at) = fields.get("uris") else { return };
    let Some(uris) = at.list(|one| one.text_within(1024)) else { return };
    if fields.has("fetch") {
        return at.meaning("may not be given together with fetch; use fetch alone");
    }
    app.fetch = uris.into_iter().map(fetch).collect();
}

fn fetch(uri: String) -> Fetch {
    let extract = ARCHIVES.iter().any(|ending| uri.ends_with(ending));
    Fetch { uri, extract, executable: false, cache: false, dest_path: None }
}

/// `container.docker.network` and `container.docker.portMappings`.
fn docker(fields: &Fields<'_>, app: &mut App) -> Option<NetworkMode> {
    let container = fields.get("container").filter(|at| at.value.is_object())?.object()?;
    let docker = container.get("docker").filter(|at| at.value.is_object())?.object()?;
    if let Some(at) = docker.get("portMappings")
        && let Some(mappings) = at.list(port_mapping)
        && let Some(into) = &mut app.container
    {
        if container.has("portMappings") {
            at.meaning("may not be given together with container.portMappings; use those alone");
        } else {
            into.port_mappings = Some(mappings);
        }
    }
    let at = docker.get("network")?;
    let modes =
        [("HOST", NetworkMode::Host), ("BRIDGE", NetworkMode::Bridge), ("USER", NetworkMode::Container)];
    let mode = at.choice(&modes)?;
    if fields.has("networks") {
        at.meaning("may not be given together with networks; use those alone");
        return None;
    }
    if mode == NetworkMode::Host
        && let Some(container) = &mut app.container
        && docker.has("portMappings")
    {
        // Old clients send an empty list along with the host's network.
        container.port_mappings = container.port_mappings.take().filter(|mappings| !mappings.is_empty());
    }
    app.networks = vec![Network { mode, ..Network::default() }];
    Some(mode)
}

/// `ipAddress`: the container's own address. Says whether it was there.
fn ip_address(fields: &Fields<'_>, app: &mut App, by_docker: Option<NetworkMode>) -> bool {
    let Some(at) = fields.get("ipAddress") else { return false };
    let Some(address) = at.object() else { return false };
    if fields.has("networks") {
        at.meaning("may not be given together with networks; use those alone");
        return false;
    }
    let network_name = address.maybe("networkName", At::words).flatten();
    let labels = address.or("labels", At::labels, Default::default()).unwrap_or_default();
    let mode = match by_docker {
        Some(NetworkMode::Bridge) => NetworkMode::Bridge,
        Some(NetworkMode::Host | NetworkMode::Container) | None => NetworkMode::Container,
    };
    app.networks = vec![Network { mode, name: network_name, labels }];
    let found = address.get("discovery").and_then(|at| at.object());
    let found = found.and_then(|discovery| discovery.get("ports")).and_then(|at| at.list(discovered));
    let Some(mappings) = found.filter(|mappings| !mappings.is_empty()) else { return true };
    let container = app.container.get_or_insert_with(bare_container);
    container.port_mappings.get_or_insert(mappings);
    true
}

fn discovered(at: &At<'_>) -> Option<PortMapping> {
    let fields = at.object()?;
    let port = fields.need("number").and_then(|at| at.port());
    let name = fields.maybe("name", name);
    let protocol = fields.or("protocol", protocol, Default::default());
    let labels = fields.or("labels", At::labels, Default::default());
    Some(PortMapping {
        container_port: port?,
        name: name?,
        protocol: protocol?,
        labels: labels?,
        ..PortMapping::default()
    })
}

fn ports(fields: &Fields<'_>, app: &mut App) {
    let Some(at) = fields.get("ports") else { return };
    let Some(ports) = at.list(At::port) else { return };
    if fields.has("portDefinitions") {
        let same = app.port_definitions.iter().flatten().map(|definition| definition.port).eq(ports);
        if !same {
            at.meaning("is not equal to the ports of portDefinitions; leave it out");
        }
        return;
    }
    let on_host = app.networks.iter().all(|network| network.mode == NetworkMode::Host);
    if on_host {
        let definition = |port| PortDefinition { port, ..PortDefinition::default() };
        app.port_definitions = Some(ports.into_iter().map(definition).collect());
        return;
    }
    // Ports of an app on another network were those of balancers.
    let mappings =
        app.container.iter_mut().flat_map(|container| container.port_mappings.iter_mut().flatten());
    for (mapping, port) in mappings.zip(ports) {
        if mapping.service_port == 0 {
            mapping.service_port = port;
        }
    }
}

/// A container that says nothing but that it is one.
pub(crate) fn bare_container() -> Container {
    Container {
        engine: Engine::Mesos,
        docker: None,
        volumes: Vec::new(),
        port_mappings: None,
        linux_info: None,
    }
}
