//! Apps: read, whole or in part, and shown.

use std::collections::BTreeSet;

use lonja_model::resources::Scalar;
use lonja_services_core::PathId;
use lonja_services_core::definition::{
    App, Backoff, KillSelection, Network, NetworkMode, PortDefinition, PortMapping, Preference, Rollout,
    SINGLE_INSTANCE, UnreachableStrategy, UpgradeStrategy, VersionInfo, VolumeKind,
};
use lonja_services_core::validate::{self, Fault};
use serde_json::Value;

use super::change::{
    MAX_FACTOR, autoscale, kill_selection, rollout, show_autoscale, show_kill_selection, show_rollout,
    show_unreachable, show_upgrade, unreachable, upgrade,
};
use super::checks::{
    check, health_check, readiness_check, show_check, show_health_check, show_readiness_check,
};
use super::common::{
    env_value, executor_resources, fetch, limits, path_id, secret, set, show_env_value,
    show_executor_resources, show_fetch, show_limits, show_secret,
};
use super::container::{container, show_container};
use super::deprecated::{bare_container, fold};
use super::networks::{network, port_definition, show_network, show_port_definition};
use super::placement::{constraint, placement, show_constraint, show_placement};
use super::reader::{At, Faults, Fields};
use super::writer::{Object, amount, list, map, number, seconds, text};
use super::{Defaults, Rejected, oversize, version};

/// An app, complete or, over a `base`, in part: a field that is absent stays as it is, one that is there replaces all of it.
/// The `id` of the path wins over that of the document; relative ones are resolved against `parent`. Errors: what is wrong
/// with it, all of it at once; never [`Rejected::NotJson`].
pub fn app(
    body: &Value,
    id: Option<&PathId>,
    base: Option<&App>,
    parent: &PathId,
    defaults: &Defaults,
) -> Result<App, Rejected> {
    if !body.is_object() {
        return Err(Rejected::NotAnObject("an object is expected: the definition of an app".to_owned()));
    }
    let faults = Faults::default();
    let read = app_at(&At::root(body, &faults), id, base, parent, defaults);
    faults.settle(read, check_app)
}

/// What is wrong with an app that was read.
pub(crate) fn check_app(app: &App) -> Vec<Fault> {
    let mut found = validate::app(app);
    found.extend(oversize(&show_app(app)));
    found
}

/// Apps of a list, each with its id, over what `base` knows of it. Errors: as [`app`].
pub fn apps<'b>(
    body: &Value,
    base: impl Fn(&PathId) -> Option<&'b App>,
    defaults: impl Fn(&PathId) -> Defaults,
) -> Result<Vec<App>, Rejected> {
    if !body.is_array() {
        return Err(Rejected::NotAnObject("a list is expected: definitions of apps".to_owned()));
    }
    let faults = Faults::default();
    let root = PathId::root();
    let read = At::root(body, &faults).list(|at| {
        let id = path_id(&at.object()?.need("id")?, &root)?;
        app_at(at, Some(&id), base(&id), &root, &defaults(&id))
    });
    faults.settle(read, |apps| {
        let mut seen = BTreeSet::new();
        let twice = apps.iter().enumerate().filter(|(_, app)| !seen.insert(&app.id));
        let twice = twice
            .map(|(index, app)| Fault::at(format!("/({index})/id"), format!("{} is there twice", app.id)));
        let mut faults: Vec<Fault> = twice.collect();
        let each = apps.iter().enumerate();
        faults.extend(each.flat_map(|(index, app)| below(format!("/({index})"), check_app(app))));
        faults
    })
}

/// Faults of something that stands at `path`.
pub(crate) fn below(path: String, faults: Vec<Fault>) -> impl Iterator<Item = Fault> {
    faults.into_iter().map(move |fault| {
        let inner = if fault.path == "/" { "" } else { fault.path.as_str() };
        Fault::at(format!("{path}{inner}"), fault.message)
    })
}

/// An app at its place in a document; whether it makes sense is not looked at as yet.
pub(crate) fn app_at(
    at: &At<'_>,
    id: Option<&PathId>,
    base: Option<&App>,
    parent: &PathId,
    defaults: &Defaults,
) -> Option<App> {
    let fields = at.object()?;
    let id = match id {
        Some(id) => id.clone(),
        None => path_id(&fields.need("id")?, parent)?,
    };
    let mut app = match base {
        Some(base) => App { id, ..base.clone() },
        None => bare(id, defaults.role.clone()),
    };
    let before = Kind::of(&app);
    let given = read(&fields, &mut app);
    complete(&mut app, &given, before, base.is_none());
    app.name_ports_of_checks();
    Some(app)
}

/// Which fields were there, of those that others depend on.
struct Given {
    networks: bool,
    container: bool,
    definitions: bool,
    upgrade: bool,
    unreachable: bool,
}

/// What defaults depend on.
#[derive(Clone, Copy)]
struct Kind {
    resident: bool,
    external: bool,
    single: bool,
}

impl Kind {
    fn of(app: &App) -> Self {
        Self {
            resident: app.is_resident(),
            external: app.volumes().any(|volume| matches!(volume.kind, VolumeKind::External(_))),
            single: app.labels.get(SINGLE_INSTANCE).is_some_and(|value| value == "true"),
        }
    }

    fn upgrade(self) -> UpgradeStrategy {
        if self.single {
            UpgradeStrategy { minimum_health_capacity: 0.0, maximum_over_capacity: 0.0 }
        } else if self.resident || self.external {
            UpgradeStrategy::RESIDENT
        } else {
            UpgradeStrategy::default()
        }
    }

    fn unreachable(self) -> UnreachableStrategy {
        if self.resident { UnreachableStrategy::Disabled } else { UnreachableStrategy::default() }
    }
}

/// An app of which nothing is said; what depends on other fields is not filled in.
pub(crate) fn bare(id: PathId, role: String) -> App {
    App {
        id,
        cmd: None,
        args: Vec::new(),
        instances: 1,
        cpus: Scalar::from_units(1).unwrap_or_default(),
        mem: Scalar::from_units(128).unwrap_or_default(),
        disk: Scalar::ZERO,
        gpus: 0,
        resource_limits: None,
        executor: String::new(),
        executor_resources: None,
        user: None,
        env: Default::default(),
        labels: Default::default(),
        constraints: Vec::new(),
        accepted_resource_roles: None,
        role,
        backoff: Backoff::default(),
        container: None,
        networks: Vec::new(),
        port_definitions: None,
        require_ports: false,
        fetch: Vec::new(),
        health_checks: Vec::new(),
        check: None,
        readiness_checks: Vec::new(),
        dependencies: Vec::new(),
        upgrade: UpgradeStrategy::default(),
        kill_selection: KillSelection::default(),
        unreachable: UnreachableStrategy::default(),
        kill_grace: None,
        secrets: Default::default(),
        tty: None,
        residency: None,
        preference: Preference::default(),
        affinity: Vec::new(),
        rollout: Rollout::default(),
        autoscale: None,
        version: VersionInfo::default(),
    }
}

/// Reads the fields that are there into an app, as they are written.
fn read(fields: &Fields<'_>, app: &mut App) -> Given {
    read_program(fields, app);
    read_changes(fields, app);
    read_checks(fields, app);
    set(fields, "env", &mut app.env, |at| at.map(env_value));
    set(fields, "labels", &mut app.labels, At::labels);
    set(fields, "secrets", &mut app.secrets, |at| at.map(secret));
    set(fields, "constraints", &mut app.constraints, |at| at.list(constraint));
    set(fields, "acceptedResourceRoles", &mut app.accepted_resource_roles, |at| {
        Some(Some(at.texts()?.into_iter().collect::<BTreeSet<_>>()))
    });
    set(fields, "role", &mut app.role, At::words);
    // As a service's own id is: relative to the group that it is in.
    let group = app.id.parent().unwrap_or_else(PathId::root);
    set(fields, "dependencies", &mut app.dependencies, |at| at.list(|one| path_id(one, &group)));
    let mut placed = (app.preference, std::mem::take(&mut app.affinity));
    set(fields, "placement", &mut placed, |at| placement(at, &group));
    (app.preference, app.affinity) = placed;
    let container = set(fields, "container", &mut app.container, |at| container(at).map(Some));
    let networks = set(fields, "networks", &mut app.networks, |at| at.list(network));
    set(fields, "requirePorts", &mut app.require_ports, At::flag);
    let definitions =
        set(fields, "portDefinitions", &mut app.port_definitions, |at| at.list(port_definition).map(Some));
    let folded = fold(fields, app);
    Given {
        networks: networks || folded,
        container,
        definitions,
        upgrade: fields.has("upgradeStrategy"),
        unreachable: fields.has("unreachableStrategy"),
    }
}

/// What is run, and with what.
fn read_program(fields: &Fields<'_>, app: &mut App) {
    let line = set(fields, "cmd", &mut app.cmd, |at| at.words().map(Some));
    let program = set(fields, "args", &mut app.args, At::texts);
    // Who goes over from one to the other need not take the first away.
    match (line, program) {
        (true, false) => app.args.clear(),
        (false, true) if !app.args.is_empty() => app.cmd = None,
        (true, true) | (false, _) => {}
    }
    set(fields, "instances", &mut app.instances, At::count);
    set(fields, "cpus", &mut app.cpus, |at| at.amount(1));
    set(fields, "mem", &mut app.mem, |at| at.amount(0));
    set(fields, "disk", &mut app.disk, |at| at.amount(0));
    set(fields, "gpus", &mut app.gpus, At::count);
    set(fields, "resourceLimits", &mut app.resource_limits, |at| limits(at).map(Some));
    set(fields, "executor", &mut app.executor, executor);
    set(fields, "executorResources", &mut app.executor_resources, |at| executor_resources(at).map(Some));
    set(fields, "user", &mut app.user, |at| at.words().map(Some));
    set(fields, "tty", &mut app.tty, |at| at.flag().map(Some));
    set(fields, "fetch", &mut app.fetch, |at| at.list(fetch));
    set(fields, "taskKillGracePeriodSeconds", &mut app.kill_grace, |at| at.seconds().map(Some));
}

fn executor(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let bare = text.trim_start_matches('/');
    let good = text.is_empty()
        || text == "//cmd"
        || (!bare.is_empty() && !text.starts_with("//") && !text.ends_with('/'));
    if good { Some(text) } else { at.form("must be empty, \"//cmd\" or the path of a program") }
}

/// How it changes, and what is done about failures.
fn read_changes(fields: &Fields<'_>, app: &mut App) {
    set(fields, "backoffSeconds", &mut app.backoff.initial, At::seconds);
    set(fields, "backoffFactor", &mut app.backoff.factor, |at| at.number(1.0..=MAX_FACTOR));
    set(fields, "maxLaunchDelaySeconds", &mut app.backoff.max, At::seconds);
    set(fields, "upgradeStrategy", &mut app.upgrade, |at| upgrade(at, UpgradeStrategy::default()));
    set(fields, "killSelection", &mut app.kill_selection, kill_selection);
    set(fields, "unreachableStrategy", &mut app.unreachable, unreachable);
    set(fields, "residency", &mut app.residency, |at| residency(at).map(Some));
    set(fields, "rollout", &mut app.rollout, rollout);
    set(fields, "autoscale", &mut app.autoscale, |at| autoscale(at).map(Some));
}

fn read_checks(fields: &Fields<'_>, app: &mut App) {
    set(fields, "healthChecks", &mut app.health_checks, |at| at.list(health_check));
    set(fields, "check", &mut app.check, |at| check(at).map(Some));
    set(fields, "readinessChecks", &mut app.readiness_checks, |at| {
        let checks = at.list(readiness_check)?;
        if checks.len() > 1 { at.form("must have one element at most") } else { Some(checks) }
    });
}

fn residency(at: &At<'_>) -> Option<(u64, String)> {
    let fields = at.object()?;
    let timeout = fields.or("relaunchEscalationTimeoutSeconds", |at| at.integer(0..=1 << 40), 3600);
    let kinds = [("WAIT_FOREVER", "WAIT_FOREVER"), ("RELAUNCH_AFTER_TIMEOUT", "RELAUNCH_AFTER_TIMEOUT")];
    let lost = fields.or("taskLostBehavior", |at| at.choice(&kinds), "WAIT_FOREVER");
    Some((timeout?, lost?.to_owned()))
}

/// Fills in what depends on other fields.
fn complete(app: &mut App, given: &Given, before: Kind, is_new: bool) {
    let after = Kind::of(app);
    // Of an app that becomes another kind, what nobody has said follows the new kind.
    if !given.upgrade && (is_new || app.upgrade == before.upgrade()) {
        app.upgrade = after.upgrade();
    }
    if !given.unreachable && (is_new || app.unreachable == before.unreachable()) {
        app.unreachable = after.unreachable();
    }
    if app.networks.is_empty() {
        app.networks = vec![Network::default()];
    }
    let has_host = app.networks.iter().any(|network| network.mode == NetworkMode::Host);
    if has_host {
        // Mappings of an earlier network have no meaning here; those that were given with it are a fault.
        if given.networks
            && !given.container
            && let Some(container) = &mut app.container
        {
            container.port_mappings = None;
        }
        let mapped = app.container.as_ref().is_some_and(|container| container.port_mappings.is_some());
        if !mapped && app.port_definitions.is_none() {
            let definition = PortDefinition { name: Some("default".to_owned()), ..PortDefinition::default() };
            app.port_definitions = Some(vec![definition]);
        }
        return;
    }
    // Those of an earlier network have no meaning here; those that were given with this one are a fault.
    if !given.definitions || app.port_definitions.as_ref().is_some_and(Vec::is_empty) {
        app.port_definitions = None;
    }
    let bridged = app.networks.iter().any(|network| network.mode == NetworkMode::Bridge);
    let container = app.container.get_or_insert_with(bare_container);
    let mappings = container.port_mappings.get_or_insert_with(|| {
        vec![PortMapping { name: Some("default".to_owned()), ..PortMapping::default() }]
    });
    for mapping in mappings.iter_mut().filter(|_| bridged) {
        mapping.host_port.get_or_insert(0);
    }
}

/// An app as the API shows it, with its version.
pub fn show_app(app: &App) -> Value {
    let info = Object::new()
        .with("lastScalingAt", version(app.version.last_scaling))
        .with("lastConfigChangeAt", version(app.version.last_config));
    show_definition(app)
        .with("id", app.id.as_str())
        .with("instances", app.instances)
        .with("version", version(app.version.version))
        .with("versionInfo", info.done())
        .done()
}

/// All of an app but its id, number of instances and version.
pub(crate) fn show_definition(app: &App) -> Object {
    let roles: Option<Vec<&str>> =
        app.accepted_resource_roles.as_ref().map(|roles| roles.iter().map(String::as_str).collect());
    let ports = app.port_definitions.as_ref();
    let shown = Object::new()
        .maybe("cmd", app.cmd.as_deref())
        .some("args", &app.args, text)
        .with("cpus", amount(app.cpus))
        .with("mem", amount(app.mem))
        .with("disk", amount(app.disk))
        .with("gpus", app.gpus)
        .maybe("resourceLimits", app.resource_limits.as_ref().map(show_limits))
        .with("executor", app.executor.as_str())
        .maybe("executorResources", app.executor_resources.as_ref().map(show_executor_resources))
        .maybe("user", app.user.as_deref())
        .some_map("env", &app.env, show_env_value)
        .with("labels", map(&app.labels, text))
        .some("constraints", &app.constraints, show_constraint)
        .maybe("acceptedResourceRoles", roles)
        .with("role", app.role.as_str())
        .maybe("container", app.container.as_ref().map(show_container))
        .with("networks", list(&app.networks, show_network))
        .maybe("portDefinitions", ports.map(|ports| list(ports, show_port_definition)))
        .with("requirePorts", app.require_ports)
        .some("fetch", &app.fetch, show_fetch)
        .some("healthChecks", &app.health_checks, show_health_check)
        .maybe("check", app.check.as_ref().map(show_check))
        .some("readinessChecks", &app.readiness_checks, show_readiness_check)
        .some("dependencies", &app.dependencies, |id| Value::from(id.as_str()))
        .some_map("secrets", &app.secrets, show_secret)
        .maybe("tty", app.tty);
    show_changes(shown, app)
}

/// How it changes, and what is done about failures.
fn show_changes(shown: Object, app: &App) -> Object {
    let residency = app.residency.as_ref().map(|(timeout, lost)| {
        Object::new()
            .with("relaunchEscalationTimeoutSeconds", *timeout)
            .with("taskLostBehavior", lost.as_str())
            .done()
    });
    shown
        .with("backoffSeconds", seconds(app.backoff.initial))
        .with("backoffFactor", number(app.backoff.factor))
        .with("maxLaunchDelaySeconds", seconds(app.backoff.max))
        .with("upgradeStrategy", show_upgrade(&app.upgrade))
        .with("killSelection", show_kill_selection(app.kill_selection))
        .with("unreachableStrategy", show_unreachable(app.unreachable))
        .maybe("taskKillGracePeriodSeconds", app.kill_grace.map(seconds))
        .maybe("residency", residency)
        .maybe("placement", show_placement(app.preference, &app.affinity))
        .maybe("rollout", show_rollout(&app.rollout))
        .maybe("autoscale", app.autoscale.as_ref().map(show_autoscale))
}

/// An app as it was shown, with nothing filled in: what is kept is read so.
pub(crate) fn kept_app(at: &At<'_>, id: PathId) -> Option<App> {
    let mut app = bare(id, String::new());
    read(&at.object()?, &mut app);
    Some(app)
}
