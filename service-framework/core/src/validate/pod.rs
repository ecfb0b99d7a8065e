//! What is wrong with a pod.

use super::{Fault, Found, app, checks, container, network};
use crate::definition::{
    Endpoint, NetworkMode, Pod, PodContainer, PodProbe, PodVolumeKind, Protocol, SINGLE_INSTANCE,
};

/// What is wrong with a pod. Empty: nothing.
pub fn pod(pod: &Pod) -> Vec<Fault> {
    let mut found = Found::default();
    app::id(&mut found, &pod.id);
    app::role(&mut found, &pod.role, pod.is_resident());
    let roles = pod.accepted_resource_roles.as_ref();
    app::accepted_roles(&mut found, "/scheduling/placement/acceptedResourceRoles", roles, &pod.role);
    app::secrets(&mut found, "/environment", &pod.environment, &pod.secrets);
    app::constraints(&mut found, "/scheduling/placement/constraints", &pod.constraints);
    network::networks(&mut found, &pod.networks);
    found.when(pod.containers.is_empty(), "/containers", "must hold one container at least");
    let names = pod.containers.iter().enumerate();
    let names = names.map(|(index, one)| (format!("/containers({index})/name"), one.name.as_str()));
    found.twice(names, "is there twice; names must differ");
    for (index, one) in pod.containers.iter().enumerate() {
        of_container(&mut found, pod, &format!("/containers({index})"), one);
    }
    endpoints(&mut found, pod);
    volumes(&mut found, pod);
    changes(&mut found, pod);
    found.0
}

fn of_container(found: &mut Found, pod: &Pod, path: &str, one: &PodContainer) {
    app::secrets(found, &format!("{path}/environment"), &one.environment, &pod.secrets);
    let limits = one.resource_limits.as_ref();
    app::limits(found, &format!("{path}/resourceLimits"), limits, one.cpus, one.mem);
    let shared = pod.legacy_shared_cgroups == Some(true) && limits.is_some();
    let words = "may not be given with legacySharedCgroups: all containers have one limit";
    found.when(shared, format!("{path}/resourceLimits"), words);
    let runs = one.shell.is_some() || !one.argv.is_empty() || one.image.is_some();
    found.when(!runs, format!("{path}/exec"), "is missing; without an image there is nothing to run");
    if let Some(secret) = one.image.as_ref().and_then(|image| image.pull_secret.as_ref()) {
        let words = format!("names the secret {secret:?}, which is not in secrets");
        found.when(!pod.secrets.contains_key(secret), format!("{path}/image/pullConfig/secret"), words);
    }
    if let Some(check) = &one.health_check {
        probe(found, one, &format!("{path}/healthCheck"), &check.probe);
        let words = "must be less than intervalSeconds";
        found.when(check.timeout >= check.interval, format!("{path}/healthCheck/timeoutSeconds"), words);
    }
    if let Some(check) = &one.check {
        probe(found, one, &format!("{path}/check"), &check.probe);
    }
    for (index, mount) in one.volume_mounts.iter().enumerate() {
        let known = pod.volumes.iter().any(|volume| volume.name == mount.name);
        let words = format!("names the volume {:?}, which is not in volumes", mount.name);
        found.when(!known, format!("{path}/volumeMounts({index})/name"), words);
    }
    let places = one.volume_mounts.iter().enumerate();
    let places = places
        .map(|(index, mount)| (format!("{path}/volumeMounts({index})/mountPath"), mount.mount_path.as_str()));
    found.twice(places, "is there twice; each mount needs a place of its own");
}

fn probe(found: &mut Found, one: &PodContainer, path: &str, probe: &PodProbe) {
    let (kind, endpoint) = match probe {
        PodProbe::Http { endpoint, path: of_request, .. } => {
            checks::request_path(found, &format!("{path}/http/path"), of_request.as_deref());
            ("http", endpoint)
        }
        PodProbe::Tcp { endpoint } => ("tcp", endpoint),
        PodProbe::Shell(_) | PodProbe::Argv(_) => return,
    };
    let known = one.endpoints.iter().any(|known| known.name == *endpoint);
    let words = format!("names {endpoint:?}, which is no endpoint of this container");
    found.when(!known, format!("{path}/{kind}/endpoint"), words);
}

fn endpoints(found: &mut Found, pod: &Pod) {
    let on_host = pod.networks.iter().any(|network| network.mode == NetworkMode::Host);
    let each: Vec<(String, &Endpoint)> = pod
        .containers
        .iter()
        .enumerate()
        .flat_map(|(index, one)| {
            let each = one.endpoints.iter().enumerate();
            each.map(move |(number, endpoint)| {
                (format!("/containers({index})/endpoints({number})"), endpoint)
            })
        })
        .collect();
    let names = each.iter().map(|(path, endpoint)| (format!("{path}/name"), endpoint.name.as_str()));
    found.twice(names, "is there twice; names must differ in the pod");
    for (field, port_of) in [
        ("containerPort", (|one| one.container_port) as fn(&Endpoint) -> Option<u16>),
        ("hostPort", |one| one.host_port),
    ] {
        let ports =
            each.iter().filter_map(|(path, one)| Some((path, one, port_of(one).filter(|port| *port != 0)?)));
        let ports = ports.flat_map(|(path, one, port)| {
            let protocols = if one.protocol.is_empty() { &[Protocol::Tcp][..] } else { &one.protocol[..] };
            let words = protocols.iter().flat_map(|protocol| network::protocols(*protocol));
            words.map(move |protocol| (format!("{path}/{field}"), (port, *protocol))).collect::<Vec<_>>()
        });
        found.twice(ports, "is there twice; ports other than 0 must differ in the pod");
    }
    for (path, endpoint) in &each {
        let inner = format!("{path}/containerPort");
        let words = "may not be given with the host network: the container has the host's ports";
        found.when(on_host && endpoint.container_port.is_some(), inner.clone(), words);
        let words = "is missing; on a network of containers an endpoint needs it";
        found.when(!on_host && endpoint.container_port.is_none(), inner, words);
        let names = format!("{path}/networkNames");
        network::network_names(found, &names, &endpoint.network_names, &pod.networks);
        let many =
            pod.networks.len() > 1 && endpoint.host_port.is_some() && endpoint.network_names.len() != 1;
        let words = "must name exactly one network where there are several and a host port leads here";
        found.when(many, names, words);
    }
}

fn volumes(found: &mut Found, pod: &Pod) {
    let names = pod.volumes.iter().enumerate();
    let names = names.map(|(index, volume)| (format!("/volumes({index})/name"), volume.name.as_str()));
    found.twice(names, "is there twice; names must differ");
    for (index, volume) in pod.volumes.iter().enumerate() {
        let path = format!("/volumes({index})");
        let mounts = pod.containers.iter().flat_map(|one| &one.volume_mounts);
        let used = mounts.clone().any(|mount| mount.name == volume.name);
        let words = "is mounted by no container; mount it, or leave it out";
        found.when(!used, format!("{path}/name"), words);
        match &volume.kind {
            PodVolumeKind::Ephemeral | PodVolumeKind::Host(_) => {}
            PodVolumeKind::Persistent(data) => container::persistent(found, &path, data),
            PodVolumeKind::Secret(name) => {
                let words = format!("names the secret {name:?}, which is not in secrets");
                found.when(!pod.secrets.contains_key(name), format!("{path}/secret"), words);
            }
        }
    }
}

fn changes(found: &mut Found, pod: &Pod) {
    let is_resident = pod.is_resident();
    let is_single = pod.labels.get(SINGLE_INSTANCE).is_some_and(|value| value == "true");
    app::upgrade(found, "/scheduling/upgrade", &pod.upgrade, is_resident);
    app::unreachable(found, "/scheduling/unreachableStrategy", pod.unreachable, is_resident);
    app::rollout(found, "/scheduling/rollout", &pod.rollout, is_resident || is_single);
    if is_single {
        let words = format!("must be 1 at most with the label {SINGLE_INSTANCE}");
        found.when(pod.instances > 1, "/scaling/instances", words);
        let zero = pod.upgrade.minimum_health_capacity == 0.0 && pod.upgrade.maximum_over_capacity == 0.0;
        let words = format!("must have both values 0 with the label {SINGLE_INSTANCE}");
        found.when(!zero, "/scheduling/upgrade", words);
    }
}
