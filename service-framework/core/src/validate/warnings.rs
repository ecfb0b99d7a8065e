//! What is taken and does not do what one may think: no fault, and worth a word.

use super::Fault;
use crate::definition::{Network, NetworkMode, PortMapping, RunSpec};
use crate::path_id::PathId;

const IMAGE: &str = "images are kept and not run yet: the command runs on the files of the agent's host";
const OWN_NETWORK: &str =
    "containers have no network of their own yet: the command runs on the network of the agent's host";

/// What of a definition is taken without the effect that it has in Marathon, and which of its dependencies are not there.
/// Empty: nothing. `exists`: is there an app, a pod or a group of this name?
pub fn warnings(spec: &RunSpec, exists: impl Fn(&PathId) -> bool) -> Vec<Fault> {
    let mut found = match spec {
        RunSpec::App(app) => {
            let container = app.container.as_ref();
            let image = container.and_then(|container| container.docker.as_ref());
            let mut found: Vec<Fault> =
                image.map(|_| Fault::at("/container/docker/image", IMAGE)).into_iter().collect();
            found.extend(of_networks(&app.networks));
            let mappings = container.and_then(|container| container.port_mappings.as_deref());
            found.extend(of_mappings(mappings.unwrap_or_default()));
            found
        }
        RunSpec::Pod(pod) => {
            let images = pod.containers.iter().enumerate().filter(|(_, one)| one.image.is_some());
            let mut found: Vec<Fault> =
                images.map(|(index, _)| Fault::at(format!("/containers({index})/image"), IMAGE)).collect();
            found.extend(of_networks(&pod.networks));
            let inside = pod.containers.iter().enumerate().flat_map(|(container, one)| {
                let ports = one.endpoints.iter().enumerate();
                ports.map(move |(index, port)| (container, index, port.container_port, port.host_port))
            });
            found.extend(inside.filter_map(|(container, index, inside, outside)| {
                let words = elsewhere(inside?, outside)?;
                Some(Fault::at(format!("/containers({container})/endpoints({index})/containerPort"), words))
            }));
            found
        }
    };
    let unknown = spec.dependencies().iter().enumerate().filter(|(_, on)| !exists(on));
    found.extend(unknown.map(|(index, on)| {
        let words = format!("there is no {on} to wait for: it is started without it");
        Fault::at(format!("/dependencies({index})"), words)
    }));
    found
}

fn of_networks(networks: &[Network]) -> impl Iterator<Item = Fault> {
    let own = networks.iter().enumerate().filter(|(_, network)| network.mode == NetworkMode::Container);
    own.map(|(index, _)| Fault::at(format!("/networks({index})/mode"), OWN_NETWORK))
}

fn of_mappings(mappings: &[PortMapping]) -> impl Iterator<Item = Fault> {
    mappings.iter().enumerate().filter_map(|(index, mapping)| {
        let words = elsewhere(mapping.container_port, mapping.host_port)?;
        Some(Fault::at(format!("/container/portMappings({index})/containerPort"), words))
    })
}

/// Nothing leads from the agent's port to another one inside.
fn elsewhere(inside: u16, outside: Option<u16>) -> Option<String> {
    let outside = outside.filter(|outside| inside != 0 && *outside != inside)?;
    let outside = if outside == 0 { "one that is chosen".to_owned() } else { outside.to_string() };
    Some(format!(
        "nothing leads from the agent's port, {outside}, to {inside}: containers have no network of their own yet; use 0, and \
         listen on $PORT0 and so on"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::definition::{App, Container, Docker, Engine};
    use crate::planning::tests::{app, id};

    fn paths(app: App) -> Vec<String> {
        let found = warnings(&RunSpec::App(Arc::new(app)), |on| *on == id("/db"));
        found.into_iter().map(|warning| warning.path).collect()
    }

    fn container(ports: &[(u16, Option<u16>)]) -> Option<Container> {
        let mapping = |(container_port, host_port): &(u16, Option<u16>)| PortMapping {
            container_port: *container_port,
            host_port: *host_port,
            ..PortMapping::default()
        };
        Some(Container {
            engine: Engine::Docker,
            docker: Some(Docker { image: "nginx".to_owned(), ..Docker::default() }),
            volumes: Vec::new(),
            port_mappings: Some(ports.iter().map(mapping).collect()),
            linux_info: None,
        })
    }

    #[test]
    fn what_is_taken_without_effect_is_warned_of() {
        assert_eq!(paths(app("/web")), [""; 0]);
        let ports = [(0, Some(0)), (80, Some(80)), (80, None), (80, Some(0)), (80, Some(8080))];
        let network = |mode| Network { mode, ..Network::default() };
        let bridged =
            App { container: container(&ports), networks: vec![network(NetworkMode::Bridge)], ..app("/web") };
        let mapping = |index: usize| format!("/container/portMappings({index})/containerPort");
        assert_eq!(paths(bridged), ["/container/docker/image".to_owned(), mapping(3), mapping(4)]);
        let named = App {
            networks: vec![network(NetworkMode::Container)],
            dependencies: vec![id("/db"), id("/none")],
            ..app("/web")
        };
        assert_eq!(paths(named), ["/networks(0)/mode", "/dependencies(1)"]);
    }
}
