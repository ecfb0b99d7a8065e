//! What is wrong with the checks of an app.

use super::Found;
use crate::definition::{App, CheckKind, CheckTarget, Engine, HealthCheck, HealthProtocol, IpProtocol};

pub(super) fn of_app(found: &mut Found, app: &App) {
    let ports = Ports::of(app);
    for (index, check) in app.health_checks.iter().enumerate() {
        health_check(found, app, &ports, &format!("/healthChecks({index})"), check);
    }
    let by_agent = app.health_checks.iter().filter(|check| check.protocol.is_by_agent());
    let words =
        "may hold one check at most that the agent makes: MESOS_HTTP, MESOS_HTTPS, MESOS_TCP or COMMAND";
    found.when(by_agent.count() > 1, "/healthChecks", words);
    if let Some(check) = &app.check {
        let is_docker = app.container.as_ref().is_some_and(|container| container.engine == Engine::Docker);
        found.when(is_docker, "/check", "needs a container of type MESOS, or none");
        match &check.kind {
            CheckKind::Http { target, path, .. } => {
                request_path(found, "/check/http/path", path.as_deref());
                ports.target(found, "/check/http", *target);
            }
            CheckKind::Tcp { target } => ports.target(found, "/check/tcp", *target),
            CheckKind::Shell(_) | CheckKind::Argv(_) => {}
        }
    }
    let words = "must have one element at most";
    found.when(app.readiness_checks.len() > 1, "/readinessChecks", words);
    for (index, check) in app.readiness_checks.iter().enumerate() {
        let path = |field: &str| format!("/readinessChecks({index})/{field}");
        request_path(found, &path("path"), Some(&check.path));
        let known = ports.names.contains(&check.port_name.as_str());
        let words = format!("{:?} must be the name of a port of the app; {}", check.port_name, ports.told());
        found.when(!known, path("portName"), words);
        let words = "must be less than intervalSeconds";
        found.when(check.timeout >= check.interval, path("timeoutSeconds"), words);
        let good = check.statuses.iter().all(|status| (100..=999).contains(status));
        let words = "must hold one status at least, each from 100 to 999";
        found.when(check.statuses.is_empty() || !good, path("httpStatusCodesForReady"), words);
    }
}

/// The ports that checks can look at.
struct Ports<'a> {
    count: usize,
    names: Vec<&'a str>,
}

impl<'a> Ports<'a> {
    fn of(app: &'a App) -> Self {
        let mapped = app.container.as_ref().and_then(|container| container.port_mappings.as_ref());
        let names: Vec<Option<&str>> = match mapped {
            Some(mappings) => mappings.iter().map(|mapping| mapping.name.as_deref()).collect(),
            None => app.port_definitions.iter().flatten().map(|one| one.name.as_deref()).collect(),
        };
        Self { count: names.len(), names: names.into_iter().flatten().collect() }
    }

    fn told(&self) -> String {
        if self.names.is_empty() {
            "no port has a name".to_owned()
        } else {
            format!("there are {}", self.names.join(", "))
        }
    }

    fn target(&self, found: &mut Found, path: &str, target: CheckTarget) {
        match target {
            CheckTarget::Port(port) => {
                found.when(port == 0, format!("{path}/port"), "must be from 1 to 65535");
            }
            CheckTarget::Index(index) => {
                let known = usize::try_from(index).is_ok_and(|index| index < self.count);
                let words = format!("must be less than the number of the app's ports, {}", self.count);
                found.when(!known, format!("{path}/portIndex"), words);
            }
            CheckTarget::Default => {
                let words = format!(
                    "must have a port or a portIndex: without them the app must have exactly one port, and it has {}",
                    self.count
                );
                found.when(self.count != 1, path, words);
            }
        }
    }
}

/// It stands in the first line of a request.
pub(super) fn request_path(found: &mut Found, at: &str, path: Option<&str>) {
    let good = path.is_none_or(|path| path.bytes().all(|byte| byte.is_ascii_graphic()));
    found.when(!good, at, "must be of ASCII without spaces; write others as %20");
}

fn health_check(found: &mut Found, app: &App, ports: &Ports<'_>, path: &str, check: &HealthCheck) {
    let at = |field: &str| format!("{path}/{field}");
    let is_command = check.protocol == HealthProtocol::Command;
    let words = "is missing; the protocol COMMAND runs it";
    found.when(is_command && check.command.is_none(), at("command"), words);
    let words = "may be given with the protocol COMMAND only";
    found.when(!is_command && check.command.is_some(), at("command"), words);
    let has_target = check.target != CheckTarget::Default;
    if is_command {
        let words = "may not be given with the protocol COMMAND, which looks at no port";
        let field = if matches!(check.target, CheckTarget::Port(_)) { "port" } else { "portIndex" };
        found.when(has_target, at(field), words);
        found.when(check.path.is_some(), at("path"), "may not be given with the protocol COMMAND");
    } else {
        ports.target(found, path, check.target);
        request_path(found, &at("path"), check.path.as_deref());
    }
    if check.ip_protocol == IpProtocol::IPv6 {
        let by_agent = check.protocol.is_by_agent() && !is_command;
        let in_docker = app.container.as_ref().is_some_and(|container| container.engine == Engine::Docker);
        let words =
            "IPv6 needs the protocol MESOS_HTTP, MESOS_HTTPS or MESOS_TCP and a container of type DOCKER";
        found.when(!by_agent || !in_docker, at("ipProtocol"), words);
    }
}
