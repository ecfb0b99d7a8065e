//! Health checks, checks and readiness checks of apps.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_services_core::definition::{
    Check, CheckKind, CheckTarget, HealthCheck, HealthProtocol, IpProtocol, ReadinessCheck,
};
use serde_json::Value;

use super::reader::{At, Fields};
use super::writer::{Object, list, seconds, text};

pub(crate) const HEALTH_PROTOCOLS: [(&str, HealthProtocol); 7] = [
    ("HTTP", HealthProtocol::Http),
    ("HTTPS", HealthProtocol::Https),
    ("TCP", HealthProtocol::Tcp),
    ("COMMAND", HealthProtocol::Command),
    ("MESOS_HTTP", HealthProtocol::MesosHttp),
    ("MESOS_HTTPS", HealthProtocol::MesosHttps),
    ("MESOS_TCP", HealthProtocol::MesosTcp),
];

/// `HTTP` or `HTTPS`; true for the second.
pub(crate) const SCHEMES: [(&str, bool); 2] = [("HTTP", false), ("HTTPS", true)];

const GRACE: Duration = Duration::from_secs(300);
const INTERVAL: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(20);
const DELAY: Duration = Duration::from_secs(15);

/// From look to look, how long one may take, and how long before the first.
pub(crate) struct Pace {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) delay: Duration,
}

/// The pace of a check, with Marathon's defaults.
pub(crate) fn pace(fields: &Fields<'_>) -> Option<Pace> {
    let interval = fields.or("intervalSeconds", At::some_seconds, INTERVAL);
    let timeout = fields.or("timeoutSeconds", At::some_seconds, TIMEOUT);
    let delay = fields.or("delaySeconds", At::seconds, DELAY);
    Some(Pace { interval: interval?, timeout: timeout?, delay: delay? })
}

/// When failures begin to count, and how many in a row are too many.
pub(crate) fn patience(fields: &Fields<'_>) -> Option<(Duration, u32)> {
    let grace = fields.or("gracePeriodSeconds", At::seconds, GRACE);
    let failures = fields.or("maxConsecutiveFailures", At::count, 3);
    Some((grace?, failures?))
}

fn target(fields: &Fields<'_>) -> Option<CheckTarget> {
    let port = fields.maybe("port", At::port);
    let index = fields.maybe("portIndex", At::count);
    match (port?, index?) {
        (None, None) => Some(CheckTarget::Default),
        (Some(port), None) => Some(CheckTarget::Port(port)),
        (None, Some(index)) => Some(CheckTarget::Index(index)),
        (Some(_), Some(index)) => {
            fields.meaning("port", "may not be given together with portIndex; leave one of them out");
            Some(CheckTarget::Index(index))
        }
    }
}

fn with_target(shown: Object, target: CheckTarget) -> Object {
    match target {
        CheckTarget::Default => shown,
        CheckTarget::Port(port) => shown.with("port", port),
        CheckTarget::Index(index) => shown.with("portIndex", index),
    }
}

fn shell_line(at: &At<'_>) -> Option<String> {
    at.object()?.need("value")?.words()
}

/// A health check.
pub(crate) fn health_check(at: &At<'_>) -> Option<HealthCheck> {
    let fields = at.object()?;
    let protocol = fields.or("protocol", |at| at.choice(&HEALTH_PROTOCOLS), HealthProtocol::Http);
    let path = fields.maybe("path", At::text);
    let command = fields.maybe("command", shell_line);
    let target = target(&fields);
    let pace = pace(&fields);
    let patience = patience(&fields);
    let families = [("IPv4", IpProtocol::IPv4), ("IPv6", IpProtocol::IPv6)];
    let ip_protocol = fields.or("ipProtocol", |at| at.choice(&families), IpProtocol::IPv4);
    // Without effect since Marathon 1.5, and still sent.
    let ignored = fields.or("ignoreHttp1xx", At::flag, false);
    let (pace, (grace, max_consecutive_failures)) = (pace?, patience?);
    ignored?;
    Some(HealthCheck {
        protocol: protocol?,
        path: path?,
        command: command?,
        target: target?,
        grace,
        interval: pace.interval,
        timeout: pace.timeout,
        max_consecutive_failures,
        delay: pace.delay,
        ip_protocol: ip_protocol?,
    })
}

/// A health check as the API and its events have it.
pub fn show_health_check(check: &HealthCheck) -> Value {
    let name = HEALTH_PROTOCOLS.iter().find(|(_, protocol)| *protocol == check.protocol);
    let family = match check.ip_protocol {
        IpProtocol::IPv4 => "IPv4",
        IpProtocol::IPv6 => "IPv6",
    };
    let command = check.command.as_ref();
    let shown = Object::new()
        .with("protocol", name.map_or("HTTP", |(name, _)| *name))
        .maybe("path", check.path.as_deref())
        .maybe("command", command.map(|line| Object::new().with("value", line.as_str()).done()))
        .with("gracePeriodSeconds", seconds(check.grace))
        .with("intervalSeconds", seconds(check.interval))
        .with("timeoutSeconds", seconds(check.timeout))
        .with("maxConsecutiveFailures", check.max_consecutive_failures)
        .with("delaySeconds", seconds(check.delay))
        .with("ipProtocol", family);
    with_target(shown, check.target).done()
}

/// Exactly one of these fields. None: none or several are there, which is noted.
pub(crate) fn one_of<'a>(at: &At<'_>, fields: &Fields<'_>, names: &[&'a str]) -> Option<&'a str> {
    let given: Vec<&str> = names.iter().copied().filter(|name| fields.has(name)).collect();
    match given.as_slice() {
        [one] => Some(one),
        _ => at.form(format!("must have exactly one of {}", names.join(", "))),
    }
}

/// A shell line or a program with its arguments.
pub(crate) enum Command {
    /// A line.
    Shell(String),
    /// A program.
    Argv(Vec<String>),
}

/// `{"shell": "…"}` or `{"argv": […]}`.
pub(crate) fn command(at: &At<'_>) -> Option<Command> {
    let fields = at.object()?;
    if one_of(at, &fields, &["shell", "argv"])? == "shell" {
        return fields.need("shell")?.words().map(Command::Shell);
    }
    let at = fields.need("argv")?;
    let argv = at.texts()?;
    if argv.is_empty() { at.form("must name a program at least") } else { Some(Command::Argv(argv)) }
}

pub(crate) fn show_shell(line: &str) -> Value {
    Object::new().with("shell", line).done()
}

pub(crate) fn show_argv(argv: &[String]) -> Value {
    Object::new().with("argv", list(argv, text)).done()
}

/// A check that only reports.
pub(crate) fn check(at: &At<'_>) -> Option<Check> {
    let fields = at.object()?;
    let pace = pace(&fields);
    let kind = check_kind(at, &fields);
    let pace = pace?;
    Some(Check { kind: kind?, interval: pace.interval, timeout: pace.timeout, delay: pace.delay })
}

fn check_kind(at: &At<'_>, fields: &Fields<'_>) -> Option<CheckKind> {
    match one_of(at, fields, &["http", "tcp", "exec"])? {
        "http" => {
            let http = fields.need("http")?.object()?;
            let target = target(&http);
            let path = http.maybe("path", At::text);
            let https = http.or("scheme", |at| at.choice(&SCHEMES), false);
            Some(CheckKind::Http { target: target?, path: path?, https: https? })
        }
        "tcp" => Some(CheckKind::Tcp { target: target(&fields.need("tcp")?.object()?)? }),
        _ => Some(match command(&fields.need("exec")?.object()?.need("command")?)? {
            Command::Shell(line) => CheckKind::Shell(line),
            Command::Argv(argv) => CheckKind::Argv(argv),
        }),
    }
}

pub(crate) fn show_check(check: &Check) -> Value {
    let exec = |command: Value| ("exec", Object::new().with("command", command).done());
    let (name, kind) = match &check.kind {
        CheckKind::Http { target, path, https } => {
            let scheme = if *https { "HTTPS" } else { "HTTP" };
            let shown = Object::new().maybe("path", path.as_deref()).with("scheme", scheme);
            ("http", with_target(shown, *target).done())
        }
        CheckKind::Tcp { target } => ("tcp", with_target(Object::new(), *target).done()),
        CheckKind::Shell(line) => exec(show_shell(line)),
        CheckKind::Argv(argv) => exec(show_argv(argv)),
    };
    Object::new()
        .with(name, kind)
        .with("intervalSeconds", seconds(check.interval))
        .with("timeoutSeconds", seconds(check.timeout))
        .with("delaySeconds", seconds(check.delay))
        .done()
}

/// A readiness check.
pub(crate) fn readiness_check(at: &At<'_>) -> Option<ReadinessCheck> {
    let fields = at.object()?;
    let name = fields.or("name", At::words, "readinessCheck".to_owned());
    let https = fields.or("protocol", |at| at.choice(&SCHEMES), false);
    let path = fields.or("path", At::words, "/".to_owned());
    let port_name = fields.or("portName", At::words, "http-api".to_owned());
    let interval = fields.or("intervalSeconds", At::some_seconds, Duration::from_secs(30));
    let timeout = fields.or("timeoutSeconds", At::some_seconds, Duration::from_secs(10));
    let statuses = fields.or("httpStatusCodesForReady", statuses, BTreeSet::from([200]));
    let preserve = fields.or("preserveLastResponse", At::flag, false);
    Some(ReadinessCheck {
        name: name?,
        https: https?,
        path: path?,
        port_name: port_name?,
        interval: interval?,
        timeout: timeout?,
        statuses: statuses?,
        preserve_last_response: preserve?,
    })
}

fn statuses(at: &At<'_>) -> Option<BTreeSet<u16>> {
    let statuses = at.list(|one| one.integer(100..=999).and_then(|status| u16::try_from(status).ok()))?;
    if statuses.is_empty() {
        return at.form("must hold one status at least, such as 200");
    }
    Some(statuses.into_iter().collect())
}

pub(crate) fn show_readiness_check(check: &ReadinessCheck) -> Value {
    let statuses: Vec<u16> = check.statuses.iter().copied().collect();
    Object::new()
        .with("name", check.name.as_str())
        .with("protocol", if check.https { "HTTPS" } else { "HTTP" })
        .with("path", check.path.as_str())
        .with("portName", check.port_name.as_str())
        .with("intervalSeconds", seconds(check.interval))
        .with("timeoutSeconds", seconds(check.timeout))
        .with("httpStatusCodesForReady", statuses)
        .with("preserveLastResponse", check.preserve_last_response)
        .done()
}
