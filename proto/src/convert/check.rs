//! Health checks, checks, and what they saw.
//!
//! A health check without a type is of the kind that is set, as a Mesos master takes it; a check must name its type.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::check::{Check, CheckStatus, Family, HealthCheck, HttpProbe, Pace, Probe, Scheme};

use lonja_model::container::Command;

use super::container::{command_from_wire, command_to_wire};
use super::ids::LONGEST;
use super::refusal::{At, Fault, Refusal, at_most, known, required, seconds, text, unsupported};
use crate::limits;
use crate::mesos::{self, check_info, check_status_info, health_check, network_info};

/// A health check.
///
/// Errors: its type is unknown, or nothing of that type is set; a time is negative; a port, path, scheme or status that
/// is none; the command is not well formed.
pub fn health_check_from_wire(wire: mesos::HealthCheck) -> Result<HealthCheck, Refusal> {
    let kind = match wire.r#type {
        Some(number) => known(number, "HealthCheck.Type").at("type")?,
        None => inferred(&wire),
    };
    let pace = Pace {
        delay: time(wire.delay_seconds(), "delay_seconds")?,
        interval: time(wire.interval_seconds(), "interval_seconds")?,
        timeout: time(wire.timeout_seconds(), "timeout_seconds")?,
    };
    let grace = time(wire.grace_period_seconds(), "grace_period_seconds")?;
    let consecutive_failures = wire.consecutive_failures();
    let probe = match kind {
        health_check::Type::Command => {
            Probe::Command(Box::new(required(wire.command).and_then(command).at("command")?))
        }
        health_check::Type::Http => {
            Probe::Http(required(wire.http).and_then(health_http_from_wire).at("http")?)
        }
        health_check::Type::Tcp => {
            let tcp = required(wire.tcp).at("tcp")?;
            let family = family_from_wire(tcp.protocol.unwrap_or(IPV4)).at("tcp.protocol")?;
            Probe::Tcp { port: port(tcp.port).at("tcp.port")?, family }
        }
        health_check::Type::Unknown => return Err(untyped("command, http or tcp")),
    };
    Ok(HealthCheck { probe, pace, grace, consecutive_failures })
}

/// The health check's form on the wire.
pub fn health_check_to_wire(check: &HealthCheck) -> mesos::HealthCheck {
    let mut wire = mesos::HealthCheck {
        delay_seconds: Some(check.pace.delay.as_secs_f64()),
        interval_seconds: Some(check.pace.interval.as_secs_f64()),
        timeout_seconds: Some(check.pace.timeout.as_secs_f64()),
        grace_period_seconds: Some(check.grace.as_secs_f64()),
        consecutive_failures: Some(check.consecutive_failures),
        ..Default::default()
    };
    match &check.probe {
        Probe::Command(command) => {
            wire.r#type = Some(health_check::Type::Command.into());
            wire.command = Some(command_to_wire(command));
        }
        Probe::Http(http) => {
            wire.r#type = Some(health_check::Type::Http.into());
            wire.http = Some(health_check::HttpCheckInfo {
                port: u32::from(http.port),
                path: http.path.clone(),
                scheme: (http.scheme == Scheme::Https).then(|| "https".to_owned()),
                statuses: http.statuses.iter().map(|status| u32::from(*status)).collect(),
                protocol: family_to_wire(http.family),
            });
        }
        Probe::Tcp { port, family } => {
            wire.r#type = Some(health_check::Type::Tcp.into());
            wire.tcp = Some(health_check::TcpCheckInfo {
                port: u32::from(*port),
                protocol: family_to_wire(*family),
            });
        }
    }
    wire
}

/// A check. Errors: as those of [`health_check_from_wire`], and that no type is named.
pub fn check_from_wire(wire: mesos::CheckInfo) -> Result<Check, Refusal> {
    let kind: check_info::Type = known(required(wire.r#type).at("type")?, "CheckInfo.Type").at("type")?;
    let pace = Pace {
        delay: time(wire.delay_seconds(), "delay_seconds")?,
        interval: time(wire.interval_seconds(), "interval_seconds")?,
        timeout: time(wire.timeout_seconds(), "timeout_seconds")?,
    };
    let probe = match kind {
        check_info::Type::Command => {
            let wire = required(wire.command).at("command")?.command;
            Probe::Command(Box::new(command(wire).at("command.command")?))
        }
        check_info::Type::Http => {
            let http = required(wire.http).at("http")?;
            let port = port(http.port).at("http.port")?;
            Probe::Http(HttpProbe { port, path: path(http.path).at("http.path")?, ..HttpProbe::default() })
        }
        check_info::Type::Tcp => Probe::tcp(port(required(wire.tcp).at("tcp")?.port).at("tcp.port")?),
        check_info::Type::Unknown => return Err(untyped("COMMAND, HTTP or TCP")),
    };
    Ok(Check { probe, pace })
}

/// The check's form on the wire, which has no words for https, IPv6 and expected statuses.
pub fn check_to_wire(check: &Check) -> mesos::CheckInfo {
    let mut wire = mesos::CheckInfo {
        delay_seconds: Some(check.pace.delay.as_secs_f64()),
        interval_seconds: Some(check.pace.interval.as_secs_f64()),
        timeout_seconds: Some(check.pace.timeout.as_secs_f64()),
        ..Default::default()
    };
    match &check.probe {
        Probe::Command(command) => {
            wire.r#type = Some(check_info::Type::Command.into());
            wire.command = Some(check_info::Command { command: command_to_wire(command) });
        }
        Probe::Http(http) => {
            wire.r#type = Some(check_info::Type::Http.into());
            wire.http = Some(check_info::Http { port: u32::from(http.port), path: http.path.clone() });
        }
        Probe::Tcp { port, family: _ } => {
            wire.r#type = Some(check_info::Type::Tcp.into());
            wire.tcp = Some(check_info::Tcp { port: u32::from(*port) });
        }
    }
    wire
}

/// The result of a check. Errors: it names no type; the status of an answer is none.
pub fn check_status_from_wire(wire: mesos::CheckStatusInfo) -> Result<CheckStatus, Refusal> {
    let kind: check_info::Type = known(required(wire.r#type).at("type")?, "CheckInfo.Type").at("type")?;
    Ok(match kind {
        check_info::Type::Command => CheckStatus::Command(wire.command.and_then(|command| command.exit_code)),
        check_info::Type::Http => {
            let status = wire.http.and_then(|http| http.status_code).map(u16::try_from).transpose();
            CheckStatus::Http(status.map_err(|_| no_status()).at("http.status_code")?)
        }
        check_info::Type::Tcp => CheckStatus::Tcp(wire.tcp.and_then(|tcp| tcp.succeeded)),
        check_info::Type::Unknown => return Err(untyped("COMMAND, HTTP or TCP")),
    })
}

/// The result's form on the wire.
pub fn check_status_to_wire(status: CheckStatus) -> mesos::CheckStatusInfo {
    let mut wire = mesos::CheckStatusInfo::default();
    match status {
        CheckStatus::Command(exit_code) => {
            wire.r#type = Some(check_info::Type::Command.into());
            wire.command = Some(check_status_info::Command { exit_code });
        }
        CheckStatus::Http(status) => {
            wire.r#type = Some(check_info::Type::Http.into());
            wire.http = Some(check_status_info::Http { status_code: status.map(u32::from) });
        }
        CheckStatus::Tcp(succeeded) => {
            wire.r#type = Some(check_info::Type::Tcp.into());
            wire.tcp = Some(check_status_info::Tcp { succeeded });
        }
    }
    wire
}

const IPV4: i32 = network_info::Protocol::IPv4 as i32;

/// What a health check without a type is.
fn inferred(wire: &mesos::HealthCheck) -> health_check::Type {
    match (&wire.command, &wire.http, &wire.tcp) {
        (Some(_), _, _) => health_check::Type::Command,
        (None, Some(_), _) => health_check::Type::Http,
        (None, None, Some(_)) => health_check::Type::Tcp,
        (None, None, None) => health_check::Type::Unknown,
    }
}

fn health_http_from_wire(wire: health_check::HttpCheckInfo) -> Result<HttpProbe, Refusal> {
    let scheme = match wire.scheme.as_deref() {
        None | Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            let reason = format!("{shown:?} is neither http nor https");
            return Err(Fault::Invalid(reason)).at("scheme");
        }
    };
    at_most(wire.statuses.len(), limits::STATUSES, "statuses")?;
    let status = |(index, status): (usize, u32)| {
        let known = u16::try_from(status).ok().filter(|status| (100..600).contains(status));
        known.ok_or_else(no_status).at_index("statuses", index)
    };
    let statuses: BTreeSet<u16> =
        wire.statuses.into_iter().enumerate().map(status).collect::<Result<_, _>>()?;
    Ok(HttpProbe {
        port: port(wire.port).at("port")?,
        path: path(wire.path).at("path")?,
        scheme,
        family: family_from_wire(wire.protocol.unwrap_or(IPV4)).at("protocol")?,
        statuses,
    })
}

/// A command beside a task, whose files and secrets are there for it as well.
fn command(wire: mesos::CommandInfo) -> Result<Command, Refusal> {
    let command = command_from_wire(wire)?;
    unsupported(!command.uris.is_empty(), "uris", "fetching files for a check")?;
    unsupported(!command.secrets.is_empty(), "environment", "a secret for a check")?;
    Ok(command)
}

fn port(number: u32) -> Result<u16, Refusal> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| Fault::Invalid(format!("{number} is no port; name one from 1 to 65535")).into())
}

fn path(path: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    let path = text(path, limits::TEXT_BYTES)?;
    match Probe::http(1, path.as_str()).fault() {
        None => Ok(Some(path)),
        Some(fault) => Err(Fault::Invalid(fault).into()),
    }
}

fn family_from_wire(number: i32) -> Result<Family, Refusal> {
    Ok(match known(number, "NetworkInfo.Protocol")? {
        network_info::Protocol::IPv4 => Family::IPv4,
        network_info::Protocol::IPv6 => Family::IPv6,
    })
}

fn family_to_wire(family: Family) -> Option<i32> {
    match family {
        Family::IPv4 => None,
        Family::IPv6 => Some(network_info::Protocol::IPv6.into()),
    }
}

fn time(value: f64, name: &str) -> Result<Duration, Refusal> {
    seconds(value, LONGEST).at(name)
}

fn untyped(kinds: &str) -> Refusal {
    let reason = format!("says nothing of how to look; set {kinds}");
    Refusal { field: "type".to_owned(), fault: Fault::Invalid(reason) }
}

fn no_status() -> Fault {
    Fault::Invalid("is no status of an answer; name one from 100 to 599".to_owned())
}
