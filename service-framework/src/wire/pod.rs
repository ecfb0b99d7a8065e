//! Pods: read and shown.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_services_core::PathId;
use lonja_services_core::definition::{
    Backoff, Endpoint, Fetch, KillSelection, Network, NetworkMode, Pod, PodCheck, PodContainer,
    PodHealthCheck, PodImage, PodProbe, PodVolume, PodVolumeKind, Preference, Protocol, Rollout,
    SINGLE_INSTANCE, UnreachableStrategy, UpgradeStrategy, VersionInfo, VolumeMount,
};
use lonja_services_core::validate;
use serde_json::Value;

use super::change::{
    MAX_FACTOR, kill_selection, rollout, show_kill_selection, show_rollout, show_unreachable, show_upgrade,
    unreachable, upgrade,
};
use super::checks::{Command, SCHEMES, command, one_of, pace, patience, show_argv, show_shell};
use super::common::{
    env_value, executor_resources, fetch, least_executor, limits, linux_info, name, path_id, persistent,
    protocol, protocol_name, secret, set, show_env_value, show_executor_resources, show_fetch, show_limits,
    show_linux_info, show_persistent, show_secret,
};
use super::container::pull_config;
use super::networks::{network, show_network};
use super::placement::{pod_constraint, preference, show_pod_constraint, show_preference};
use super::reader::{At, Faults, Fields};
use super::writer::{Object, amount, list, number, seconds, text};
use super::{Defaults, Rejected, oversize, version};

/// A pod, complete: what is absent is as it is by default. The `id` of the document must be that of the path, if there is
/// one. Errors: what is wrong with it, all of it at once; [`Rejected::BadQuery`] where the ids differ.
pub fn pod(body: &Value, id: Option<&PathId>, defaults: &Defaults) -> Result<Pod, Rejected> {
    if !body.is_object() {
        return Err(Rejected::NotAnObject("an object is expected: the definition of a pod".to_owned()));
    }
    let faults = Faults::default();
    let read = pod_at(&At::root(body, &faults), &defaults.role);
    let pod = faults.settle(read, |pod| {
        let mut found = validate::pod(pod);
        found.extend(oversize(&show_pod(pod)));
        found
    })?;
    match id {
        Some(id) if *id != pod.id => {
            Err(Rejected::BadQuery(format!("the pod's id is {}, and that of the path {id}", pod.id)))
        }
        Some(_) | None => Ok(pod),
    }
}

fn pod_at(at: &At<'_>, role: &str) -> Option<Pod> {
    let fields = at.object()?;
    let id = fields.need("id").and_then(|at| path_id(&at, &PathId::root()));
    let mut pod = bare(id.unwrap_or_else(PathId::root), role.to_owned());
    read(&fields, &mut pod);
    complete(&fields, &mut pod);
    Some(pod)
}

/// A pod as it was shown, with nothing filled in: what is kept is read so.
pub(crate) fn kept_pod(at: &At<'_>, id: PathId) -> Option<Pod> {
    let fields = at.object()?;
    let mut pod = bare(id, String::new());
    read(&fields, &mut pod);
    Some(pod)
}

fn bare(id: PathId, role: String) -> Pod {
    Pod {
        id,
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        user: None,
        containers: Vec::new(),
        volumes: Vec::new(),
        networks: Vec::new(),
        instances: 1,
        backoff: Backoff::default(),
        upgrade: UpgradeStrategy::default(),
        constraints: Vec::new(),
        accepted_resource_roles: None,
        kill_selection: KillSelection::default(),
        unreachable: UnreachableStrategy::default(),
        executor_resources: least_executor(),
        role,
        secrets: BTreeMap::new(),
        linux_info: None,
        legacy_shared_cgroups: None,
        preference: Preference::default(),
        rollout: Rollout::default(),
        version: VersionInfo::default(),
    }
}

fn read(fields: &Fields<'_>, pod: &mut Pod) {
    set(fields, "labels", &mut pod.labels, At::labels);
    set(fields, "environment", &mut pod.environment, |at| at.map(env_value));
    set(fields, "secrets", &mut pod.secrets, |at| at.map(secret));
    set(fields, "user", &mut pod.user, |at| at.words().map(Some));
    set(fields, "role", &mut pod.role, At::words);
    if let Some(at) = fields.need("containers")
        && let Some(containers) = at.list(container)
    {
        pod.containers = containers;
    }
    set(fields, "volumes", &mut pod.volumes, |at| at.list(volume));
    set(fields, "networks", &mut pod.networks, |at| at.list(network));
    set(fields, "executorResources", &mut pod.executor_resources, executor_resources);
    set(fields, "linuxInfo", &mut pod.linux_info, |at| linux_info(at, true).map(Some));
    set(fields, "legacySharedCgroups", &mut pod.legacy_shared_cgroups, |at| at.flag().map(Some));
    if let Some(scaling) = fields.get("scaling").and_then(|at| at.object()) {
        let _ = scaling.or("kind", |at| at.choice(&[("fixed", ())]), ());
        set(&scaling, "instances", &mut pod.instances, At::count);
    }
    if let Some(scheduling) = fields.get("scheduling").and_then(|at| at.object()) {
        read_scheduling(&scheduling, pod);
    }
}

fn read_scheduling(fields: &Fields<'_>, pod: &mut Pod) {
    if let Some(backoff) = fields.get("backoff").and_then(|at| at.object()) {
        set(&backoff, "backoff", &mut pod.backoff.initial, At::seconds);
        set(&backoff, "backoffFactor", &mut pod.backoff.factor, |at| at.number(1.0..=MAX_FACTOR));
        set(&backoff, "maxLaunchDelay", &mut pod.backoff.max, At::seconds);
    }
    set(fields, "upgrade", &mut pod.upgrade, |at| upgrade(at, UpgradeStrategy::default()));
    set(fields, "killSelection", &mut pod.kill_selection, kill_selection);
    set(fields, "unreachableStrategy", &mut pod.unreachable, unreachable);
    set(fields, "rollout", &mut pod.rollout, rollout);
    let Some(placement) = fields.get("placement").and_then(|at| at.object()) else { return };
    set(&placement, "constraints", &mut pod.constraints, |at| at.list(pod_constraint));
    set(&placement, "acceptedResourceRoles", &mut pod.accepted_resource_roles, |at| {
        Some(Some(at.texts()?.into_iter().collect()))
    });
    pod.preference = preference(&placement).unwrap_or_default();
}

/// Fills in what depends on other fields.
fn complete(fields: &Fields<'_>, pod: &mut Pod) {
    let scheduling = fields.get("scheduling").and_then(|at| at.value.as_object().map(|_| at.object()));
    let given = |name: &str| scheduling.clone().flatten().is_some_and(|fields| fields.has(name));
    let is_single = pod.labels.get(SINGLE_INSTANCE).is_some_and(|value| value == "true");
    if !given("upgrade") && is_single {
        pod.upgrade = UpgradeStrategy { minimum_health_capacity: 0.0, maximum_over_capacity: 0.0 };
    } else if !given("upgrade") && pod.is_resident() {
        pod.upgrade = UpgradeStrategy::RESIDENT;
    }
    if !given("unreachableStrategy") && pod.is_resident() {
        pod.unreachable = UnreachableStrategy::Disabled;
    }
    if pod.networks.is_empty() {
        pod.networks = vec![Network { mode: NetworkMode::Host, ..Network::default() }];
    }
}

/// What a container needs: CPUs, memory, disk, GPUs.
type Needs = (Scalar, Scalar, Scalar, u32);

fn container(at: &At<'_>) -> Option<PodContainer> {
    let fields = at.object()?;
    let exec = fields.maybe("exec", exec);
    let needs = fields.get("resources").map_or_else(|| Some(default_needs()), |at| needs(&at));
    let name = fields.need("name").and_then(|at| name(&at));
    let resource_limits = fields.maybe("resourceLimits", limits);
    let endpoints = fields.or("endpoints", |at| at.list(endpoint), Vec::new());
    let image = fields.maybe("image", image);
    let environment = fields.or("environment", |at| at.map(env_value), BTreeMap::new());
    let user = fields.maybe("user", At::words);
    let health_check = fields.maybe("healthCheck", health_check);
    let check = fields.maybe("check", check);
    let volume_mounts = fields.or("volumeMounts", |at| at.list(mount), Vec::new());
    let artifacts: Option<Vec<Fetch>> = fields.or("artifacts", |at| at.list(fetch), Vec::new());
    let labels = fields.or("labels", At::labels, BTreeMap::new());
    let kill_grace = fields.maybe("lifecycle", |at| at.object()?.maybe("killGracePeriodSeconds", grace));
    let linux_info = fields.maybe("linuxInfo", |at| linux_info(at, false));
    let tty = fields.maybe("tty", At::flag);
    let (cpus, mem, disk, gpus) = needs?;
    let (shell, argv, override_entrypoint) = exec?.unwrap_or_default();
    Some(PodContainer {
        name: name?,
        shell,
        argv,
        override_entrypoint,
        cpus,
        mem,
        disk,
        gpus,
        resource_limits: resource_limits?,
        endpoints: endpoints?,
        image: image?,
        environment: environment?,
        user: user?,
        health_check: health_check?,
        check: check?,
        volume_mounts: volume_mounts?,
        artifacts: artifacts?,
        labels: labels?,
        kill_grace: kill_grace?.flatten(),
        linux_info: linux_info?,
        tty: tty?,
    })
}

/// Fractions of a second are taken and rounded down.
fn grace(at: &At<'_>) -> Option<Duration> {
    at.number(0.0..=super::reader::MAX_SECONDS as f64).map(|seconds| Duration::from_secs(seconds as u64))
}

fn default_needs() -> Needs {
    let units = |units| Scalar::from_units(units).unwrap_or_default();
    (units(1), units(128), Scalar::ZERO, 0)
}

fn needs(at: &At<'_>) -> Option<Needs> {
    let fields = at.object()?;
    let (cpus, mem, disk, gpus) = default_needs();
    let cpus = fields.or("cpus", |at| at.amount(1), cpus);
    let mem = fields.or("mem", |at| at.amount(0), mem);
    let disk = fields.or("disk", |at| at.amount(0), disk);
    let gpus = fields.or("gpus", At::count, gpus);
    Some((cpus?, mem?, disk?, gpus?))
}

/// A shell line, or a program with its arguments, and whether they stand in place of the image's own.
type Exec = (Option<String>, Vec<String>, Option<bool>);

fn exec(at: &At<'_>) -> Option<Exec> {
    let fields = at.object()?;
    let override_entrypoint = fields.maybe("overrideEntrypoint", At::flag);
    match command(&fields.need("command")?)? {
        Command::Shell(line) => Some((Some(line), Vec::new(), override_entrypoint?)),
        Command::Argv(argv) => Some((None, argv, override_entrypoint?)),
    }
}

fn endpoint(at: &At<'_>) -> Option<Endpoint> {
    let fields = at.object()?;
    let name = fields.need("name").and_then(|at| name(&at));
    let container_port =
        fields.maybe("containerPort", |at| at.integer(1..=65_535).and_then(|port| u16::try_from(port).ok()));
    let host_port = fields.maybe("hostPort", At::port);
    let protocol = fields.or("protocol", protocols, Vec::new());
    let labels = fields.or("labels", At::labels, BTreeMap::new());
    let network_names = fields.or("networkNames", At::texts, Vec::new());
    Some(Endpoint {
        name: name?,
        container_port: container_port?,
        host_port: host_port?,
        protocol: protocol?,
        labels: labels?,
        network_names: network_names?,
    })
}

/// One, or a list of different ones.
fn protocols(at: &At<'_>) -> Option<Vec<Protocol>> {
    if at.value.is_string() {
        return protocol(at).map(|one| vec![one]);
    }
    let protocols = at.list(protocol)?;
    let twice = protocols.iter().enumerate().any(|(index, one)| protocols[..index].contains(one));
    if twice { at.form("must not hold the same protocol twice") } else { Some(protocols) }
}

fn image(at: &At<'_>) -> Option<PodImage> {
    let fields = at.object()?;
    let kind = fields.need("kind").and_then(|at| at.choice(&[("DOCKER", ())]));
    let id = fields.need("id").and_then(|at| at.words());
    let force_pull = fields.or("forcePull", At::flag, false);
    let pull_secret = fields.maybe("pullConfig", pull_config);
    let labels = fields.or("labels", At::labels, BTreeMap::new());
    kind?;
    Some(PodImage { id: id?, force_pull: force_pull?, pull_secret: pull_secret?, labels: labels? })
}

fn probe(at: &At<'_>, fields: &Fields<'_>) -> Option<PodProbe> {
    match one_of(at, fields, &["http", "tcp", "exec"])? {
        "http" => {
            let http = fields.need("http")?.object()?;
            let endpoint = http.need("endpoint").and_then(|at| name(&at));
            let path = http.maybe("path", At::text);
            let https = http.or("scheme", |at| at.choice(&SCHEMES), false);
            Some(PodProbe::Http { endpoint: endpoint?, path: path?, https: https? })
        }
        "tcp" => Some(PodProbe::Tcp { endpoint: name(&fields.need("tcp")?.object()?.need("endpoint")?)? }),
        _ => Some(match command(&fields.need("exec")?.object()?.need("command")?)? {
            Command::Shell(line) => PodProbe::Shell(line),
            Command::Argv(argv) => PodProbe::Argv(argv),
        }),
    }
}

fn health_check(at: &At<'_>) -> Option<PodHealthCheck> {
    let fields = at.object()?;
    let (pace, patience) = (pace(&fields), patience(&fields));
    let probe = probe(at, &fields);
    let (pace, (grace, max_consecutive_failures)) = (pace?, patience?);
    Some(PodHealthCheck {
        probe: probe?,
        grace,
        interval: pace.interval,
        timeout: pace.timeout,
        max_consecutive_failures,
        delay: pace.delay,
    })
}

fn check(at: &At<'_>) -> Option<PodCheck> {
    let fields = at.object()?;
    let pace = pace(&fields);
    let probe = probe(at, &fields);
    let pace = pace?;
    Some(PodCheck { probe: probe?, interval: pace.interval, timeout: pace.timeout, delay: pace.delay })
}

fn mount(at: &At<'_>) -> Option<VolumeMount> {
    let fields = at.object()?;
    let name = fields.need("name").and_then(|at| at.words());
    let mount_path = fields.need("mountPath").and_then(|at| at.text_within(1024));
    let read_only = fields.or("readOnly", At::flag, false);
    Some(VolumeMount { name: name?, mount_path: mount_path?, read_only: read_only? })
}

fn volume(at: &At<'_>) -> Option<PodVolume> {
    let fields = at.object()?;
    let name = fields.need("name").and_then(|at| at.words());
    let kinds = ["host", "persistent", "secret"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| fields.has(kind)).collect();
    let kind = match given.as_slice() {
        [] => Some(PodVolumeKind::Ephemeral),
        ["host"] => fields.need("host").and_then(|at| at.words()).map(PodVolumeKind::Host),
        ["persistent"] => {
            fields.need("persistent").and_then(|at| persistent(&at)).map(PodVolumeKind::Persistent)
        }
        ["secret"] => fields.need("secret").and_then(|at| at.words()).map(PodVolumeKind::Secret),
        _ => at.form("must have at most one of host, persistent and secret"),
    };
    Some(PodVolume { name: name?, kind: kind? })
}

/// A pod as the API shows it, with its version.
pub fn show_pod(pod: &Pod) -> Value {
    Object::new()
        .with("id", pod.id.as_str())
        .with("version", version(pod.version.version))
        .some_map("labels", &pod.labels, text)
        .some_map("environment", &pod.environment, show_env_value)
        .some_map("secrets", &pod.secrets, show_secret)
        .maybe("user", pod.user.as_deref())
        .with("role", pod.role.as_str())
        .with("containers", list(&pod.containers, show_container))
        .some("volumes", &pod.volumes, show_volume)
        .some("networks", &pod.networks, show_network)
        .with("scaling", Object::new().with("kind", "fixed").with("instances", pod.instances).done())
        .with("scheduling", show_scheduling(pod))
        .with("executorResources", show_executor_resources(&pod.executor_resources))
        .maybe("linuxInfo", pod.linux_info.as_ref().map(show_linux_info))
        .maybe("legacySharedCgroups", pod.legacy_shared_cgroups)
        .done()
}

fn show_scheduling(pod: &Pod) -> Value {
    let backoff = Object::new()
        .with("backoff", seconds(pod.backoff.initial))
        .with("backoffFactor", number(pod.backoff.factor))
        .with("maxLaunchDelay", seconds(pod.backoff.max));
    let roles = pod.accepted_resource_roles.as_ref();
    let roles = roles.map(|roles| roles.iter().map(String::as_str).collect::<Vec<_>>());
    let placement = Object::new()
        .with("constraints", list(&pod.constraints, show_pod_constraint))
        .maybe("acceptedResourceRoles", roles)
        .maybe("strategy", show_preference(pod.preference));
    Object::new()
        .with("backoff", backoff.done())
        .with("upgrade", show_upgrade(&pod.upgrade))
        .with("placement", placement.done())
        .with("killSelection", show_kill_selection(pod.kill_selection))
        .with("unreachableStrategy", show_unreachable(pod.unreachable))
        .maybe("rollout", show_rollout(&pod.rollout))
        .done()
}

fn show_container(container: &PodContainer) -> Value {
    let resources = Object::new()
        .with("cpus", amount(container.cpus))
        .with("mem", amount(container.mem))
        .with("disk", amount(container.disk))
        .with("gpus", container.gpus);
    let shell = container.shell.as_deref().map(show_shell);
    let program = shell.or_else(|| Some(show_argv(&container.argv)).filter(|_| !container.argv.is_empty()));
    let exec = program.map(|program| {
        Object::new()
            .with("command", program)
            .maybe("overrideEntrypoint", container.override_entrypoint)
            .done()
    });
    let lifecycle =
        container.kill_grace.map(|grace| Object::new().with("killGracePeriodSeconds", seconds(grace)).done());
    Object::new()
        .with("name", container.name.as_str())
        .maybe("exec", exec)
        .with("resources", resources.done())
        .maybe("resourceLimits", container.resource_limits.as_ref().map(show_limits))
        .some("endpoints", &container.endpoints, show_endpoint)
        .maybe("image", container.image.as_ref().map(show_image))
        .some_map("environment", &container.environment, show_env_value)
        .maybe("user", container.user.as_deref())
        .maybe("healthCheck", container.health_check.as_ref().map(show_health_check))
        .maybe("check", container.check.as_ref().map(show_check))
        .some("volumeMounts", &container.volume_mounts, show_mount)
        .some("artifacts", &container.artifacts, show_fetch)
        .some_map("labels", &container.labels, text)
        .maybe("lifecycle", lifecycle)
        .maybe("linuxInfo", container.linux_info.as_ref().map(show_linux_info))
        .maybe("tty", container.tty)
        .done()
}

fn show_endpoint(endpoint: &Endpoint) -> Value {
    Object::new()
        .with("name", endpoint.name.as_str())
        .maybe("containerPort", endpoint.container_port)
        .maybe("hostPort", endpoint.host_port)
        .some("protocol", &endpoint.protocol, |one| Value::from(protocol_name(*one)))
        .some_map("labels", &endpoint.labels, text)
        .some("networkNames", &endpoint.network_names, text)
        .done()
}

fn show_image(image: &PodImage) -> Value {
    let secret = image.pull_secret.as_ref();
    Object::new()
        .with("kind", "DOCKER")
        .with("id", image.id.as_str())
        .with("forcePull", image.force_pull)
        .maybe("pullConfig", secret.map(|secret| Object::new().with("secret", secret.as_str()).done()))
        .some_map("labels", &image.labels, text)
        .done()
}

fn show_probe(probe: &PodProbe) -> Object {
    let exec = |command: Value| Object::new().with("exec", Object::new().with("command", command).done());
    match probe {
        PodProbe::Http { endpoint, path, https } => Object::new().with(
            "http",
            Object::new()
                .with("endpoint", endpoint.as_str())
                .maybe("path", path.as_deref())
                .with("scheme", if *https { "HTTPS" } else { "HTTP" })
                .done(),
        ),
        PodProbe::Tcp { endpoint } => {
            Object::new().with("tcp", Object::new().with("endpoint", endpoint.as_str()).done())
        }
        PodProbe::Shell(line) => exec(show_shell(line)),
        PodProbe::Argv(argv) => exec(show_argv(argv)),
    }
}

fn show_health_check(check: &PodHealthCheck) -> Value {
    show_probe(&check.probe)
        .with("gracePeriodSeconds", seconds(check.grace))
        .with("intervalSeconds", seconds(check.interval))
        .with("timeoutSeconds", seconds(check.timeout))
        .with("maxConsecutiveFailures", check.max_consecutive_failures)
        .with("delaySeconds", seconds(check.delay))
        .done()
}

fn show_check(check: &PodCheck) -> Value {
    show_probe(&check.probe)
        .with("intervalSeconds", seconds(check.interval))
        .with("timeoutSeconds", seconds(check.timeout))
        .with("delaySeconds", seconds(check.delay))
        .done()
}

fn show_mount(mount: &VolumeMount) -> Value {
    Object::new()
        .with("name", mount.name.as_str())
        .with("mountPath", mount.mount_path.as_str())
        .with("readOnly", mount.read_only)
        .done()
}

fn show_volume(volume: &PodVolume) -> Value {
    let shown = Object::new().with("name", volume.name.as_str());
    match &volume.kind {
        PodVolumeKind::Ephemeral => shown,
        PodVolumeKind::Host(path) => shown.with("host", path.as_str()),
        PodVolumeKind::Persistent(data) => shown.with("persistent", show_persistent(data)),
        PodVolumeKind::Secret(name) => shown.with("secret", name.as_str()),
    }
    .done()
}
