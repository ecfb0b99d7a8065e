//! What is wrong with an app or a job.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Found, checks, container, network};
use crate::definition::{
    App, Autoscale, Constraint, Engine, EnvValue, Measure, ResourceLimit, ResourceLimits, Rollout,
    SINGLE_INSTANCE, Strategy, UnreachableStrategy, UpgradeStrategy, VolumeKind,
};
use crate::job::Job;
use crate::jobs::calendar::Calendar;
use crate::path_id::PathId;
use lonja_model::resources::Scalar;

/// The most constraints of one app or pod.
const MAX_CONSTRAINTS: usize = 100;

/// What is wrong with an app. Empty: nothing.
pub fn app(app: &App) -> Vec<Fault> {
    let mut found = Found::default();
    id(&mut found, &app.id);
    program(&mut found, app);
    secrets(&mut found, "/env", &app.env, &app.secrets);
    roles(&mut found, app);
    let engine = app.container.as_ref().map(|container| container.engine);
    let wrong = app.gpus > 0 && engine == Some(Engine::Docker);
    found.when(wrong, "/gpus", "needs a container of type MESOS, or none; type DOCKER has no GPUs");
    limits(&mut found, "/resourceLimits", app.resource_limits.as_ref(), app.cpus, app.mem);
    network::of_app(&mut found, app);
    if let Some(one) = &app.container {
        container::check(&mut found, app, one);
    }
    checks::of_app(&mut found, app);
    constraints(&mut found, "/constraints", &app.constraints);
    dependencies(&mut found, app);
    changes(&mut found, app);
    found.0
}

/// What is wrong with a job. Empty: nothing.
pub fn job(job: &Job) -> Vec<Fault> {
    let inner = app(&job.run).into_iter().filter(|fault| fault.path != "/id");
    let mut found = Found(inner.map(|fault| inside("/run", fault)).collect());
    id(&mut found, &job.id);
    let calendar = job.schedule.as_ref().map(|schedule| Calendar::parse(&schedule.cron));
    if let Some(Err(error)) = calendar {
        found.when(true, "/schedule/cron", error.to_string());
    }
    found.when(job.retries > 1_000, "/retries", "must be 1000 at most");
    found.when(job.history > 1_000, "/history", "must be 1000 at most");
    found.when(
        job.run.is_resident(),
        "/run/container/volumes",
        "a job's runs cannot have persistent volumes; use a host or an external volume",
    );
    found.0
}

fn inside(path: &str, fault: Fault) -> Fault {
    if fault.path == "/" {
        Fault::at(path, fault.message)
    } else {
        Fault::at(format!("{path}{}", fault.path), fault.message)
    }
}

pub(super) fn id(found: &mut Found, id: &PathId) {
    found.when(id.is_root(), "/id", "must not be the root; give it a name");
    found.when(
        id.is_reserved(),
        "/id",
        "must not end in restart, tasks or versions: these are parts of the API's own paths",
    );
}

fn program(found: &mut Found, app: &App) {
    let by_itself = app.container.as_ref().is_some_and(|container| container.docker.is_some());
    let has_args = !app.args.is_empty();
    found.when(
        app.cmd.is_some() && has_args,
        "/",
        "must have either cmd or args, and not both; leave one of them out",
    );
    found.when(
        app.cmd.is_none() && !has_args && !by_itself,
        "/",
        "must have one of cmd and args, or a container with an image that runs by itself",
    );
}

/// Secrets that are named must be there.
pub(super) fn secrets(
    found: &mut Found,
    path: &str,
    env: &BTreeMap<String, EnvValue>,
    secrets: &BTreeMap<String, String>,
) {
    for (name, value) in env {
        found.when(name.is_empty(), format!("{path}()"), "the name of a variable must not be empty");
        found.when(
            name.contains('='),
            format!("{path}({name})"),
            "the name of a variable must not contain =",
        );
        let EnvValue::Secret(secret) = value else { continue };
        found.when(
            !secrets.contains_key(secret),
            format!("{path}({name})"),
            format!("names the secret {secret:?}, which is not in secrets"),
        );
    }
}

fn roles(found: &mut Found, app: &App) {
    role(found, &app.role, app.is_resident());
    accepted_roles(found, "/acceptedResourceRoles", app.accepted_resource_roles.as_ref(), &app.role);
    let Some(roles) = app.accepted_resource_roles.as_ref().filter(|_| app.is_resident()) else { return };
    let unreserved = roles.len() == 1 && roles.contains("*");
    found.when(!unreserved, "/acceptedResourceRoles", "must be [\"*\"] for an app with persistent volumes");
}

pub(super) fn role(found: &mut Found, role: &str, is_resident: bool) {
    let words = "with persistent volumes must not be *: volumes are reserved for a role";
    found.when(is_resident && role == "*", "/role", words);
    let bad = role.is_empty()
        || role.len() > 255
        || role.starts_with('-')
        || role.contains(['/', '\\', ' ', '\t', '\n'])
        || role == "."
        || role == "..";
    found.when(bad, "/role", "must be a name without slashes and spaces that does not begin with a hyphen");
}

pub(super) fn accepted_roles(found: &mut Found, path: &str, roles: Option<&BTreeSet<String>>, role: &str) {
    let Some(roles) = roles else { return };
    found.when(roles.is_empty(), path, "must not be empty; leave it out to take any");
    let strange: Vec<&str> =
        roles.iter().map(String::as_str).filter(|one| *one != "*" && *one != role).collect();
    found.when(
        !strange.is_empty(),
        path,
        format!("may hold * and the role {role:?} only, and holds {}", strange.join(", ")),
    );
}

pub(super) fn limits(
    found: &mut Found,
    path: &str,
    limits: Option<&ResourceLimits>,
    cpus: Scalar,
    mem: Scalar,
) {
    let Some(limits) = limits else { return };
    for (name, limit, asked) in [("cpus", limits.cpus, cpus), ("mem", limits.mem, mem)] {
        let Some(ResourceLimit::Amount(limit)) = limit else { continue };
        let words =
            format!("must be at least the {name} that are asked for, {}, or \"unlimited\"", asked.to_f64());
        found.when(limit < asked, format!("{path}/{name}"), words);
    }
}

/// Each is looked at for each offer.
pub(super) fn constraints(found: &mut Found, path: &str, constraints: &[Constraint]) {
    let words = format!("must have {MAX_CONSTRAINTS} elements at most");
    found.when(constraints.len() > MAX_CONSTRAINTS, path, words);
}

fn dependencies(found: &mut Found, app: &App) {
    for (index, on) in app.dependencies.iter().enumerate() {
        let path = format!("/dependencies({index})");
        found.when(*on == app.id, path.clone(), "an app cannot depend on itself");
        found.when(app.id.is_below(on), path, "an app cannot depend on a group that it is in");
    }
    for (index, affinity) in app.affinity.iter().enumerate() {
        let path = format!("/placement/affinity({index})/app");
        let words = "must be another app; for instances of the same one use constraints";
        found.when(affinity.app == app.id, path, words);
    }
}

fn changes(found: &mut Found, app: &App) {
    let is_single = app.labels.get(SINGLE_INSTANCE).is_some_and(|value| value == "true");
    let is_external = app.volumes().any(|volume| matches!(volume.kind, VolumeKind::External(_)));
    upgrade(found, "/upgradeStrategy", &app.upgrade, app.is_resident() || is_external);
    if is_single {
        let words = format!("must be 1 at most with the label {SINGLE_INSTANCE}");
        found.when(app.instances > 1, "/instances", words);
        let zero = app.upgrade.minimum_health_capacity == 0.0 && app.upgrade.maximum_over_capacity == 0.0;
        let words = format!("must have both values 0 with the label {SINGLE_INSTANCE}");
        found.when(!zero, "/upgradeStrategy", words);
    }
    unreachable(found, "/unreachableStrategy", app.unreachable, app.is_resident());
    rollout(found, "/rollout", &app.rollout, app.is_resident() || is_external || is_single);
    if let Some(rule) = &app.autoscale {
        autoscale(found, rule);
        let words = format!("cannot be scaled with the label {SINGLE_INSTANCE}");
        found.when(is_single && rule.maximum > 1, "/autoscale/maximum", words);
    }
}

pub(super) fn upgrade(found: &mut Found, path: &str, upgrade: &UpgradeStrategy, bound: bool) {
    for (name, value) in [
        ("minimumHealthCapacity", upgrade.minimum_health_capacity),
        ("maximumOverCapacity", upgrade.maximum_over_capacity),
    ] {
        found.when(!(0.0..=1.0).contains(&value), format!("{path}/{name}"), "must be from 0 to 1");
    }
    let words = "must be 0 with persistent or external volumes: no two instances can have the same";
    found.when(bound && upgrade.maximum_over_capacity != 0.0, format!("{path}/maximumOverCapacity"), words);
}

pub(super) fn unreachable(found: &mut Found, path: &str, strategy: UnreachableStrategy, is_resident: bool) {
    let UnreachableStrategy::Enabled { inactive_after, expunge_after } = strategy else { return };
    found.when(is_resident, path, "must be \"disabled\" with persistent volumes: their data are there only");
    found.when(
        inactive_after > expunge_after,
        format!("{path}/inactiveAfterSeconds"),
        "must not be more than expungeAfterSeconds",
    );
}

pub(super) fn rollout(found: &mut Found, path: &str, rollout: &Rollout, bound: bool) {
    let beside = match rollout.strategy {
        Strategy::Rolling => false,
        Strategy::Canary { fraction, .. } => {
            let good = fraction > 0.0 && fraction <= 1.0;
            found.when(!good, format!("{path}/canaryFraction"), "must be above 0 and at most 1");
            true
        }
        Strategy::BlueGreen { .. } => true,
    };
    let words = "must be rolling where no new instance may run beside the old ones: with volumes that stay, or the label of a \
                 single instance";
    found.when(bound && beside, format!("{path}/strategy"), words);
}

fn autoscale(found: &mut Found, rule: &Autoscale) {
    let words = "must not be less than minimum";
    found.when(rule.maximum < rule.minimum, "/autoscale/maximum", words);
    found.when(rule.maximum == 0, "/autoscale/maximum", "must be 1 at least");
    let good = rule.target.is_finite() && rule.target > 0.0;
    found.when(!good, "/autoscale/target", "must be above 0");
    let of_load = matches!(rule.measure, Measure::Cpu | Measure::Memory);
    let words = "cannot begin at 0 by cpu or memory: what does not run has no load; set it to 1";
    found.when(of_load && rule.minimum == 0, "/autoscale/minimum", words);
    if let Measure::Prometheus { server, .. } = &rule.measure {
        let host =
            server.strip_prefix("http://").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
        let words = "must be the URL of a server as http://HOST:PORT; https:// is not spoken";
        found.when(host.is_none_or(str::is_empty), "/autoscale/prometheus/server", words);
    }
}
