//! Checks that the agent runs.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::check::{Check, Family, HealthCheck, HttpProbe, Pace, Probe, Scheme};
use lonja_model::container::{Command, Program};

use super::Port;
use crate::definition::{
    App, Check as AppCheck, CheckKind, CheckTarget, HealthCheck as AppHealthCheck, HealthProtocol,
    IpProtocol, PodCheck, PodHealthCheck, PodProbe,
};

/// The health check of an app that its agents run: the first of them, a task has one. Errors: it names a port that is none.
pub(super) fn health_of(app: &App, ports: &[Port]) -> Result<Option<Box<HealthCheck>>, String> {
    let Some(check) = app.health_checks.iter().find(|check| check.protocol.is_by_agent()) else {
        return Ok(None);
    };
    let Some(probe) = health_probe(check, ports)? else { return Ok(None) };
    Ok(Some(Box::new(HealthCheck {
        probe,
        pace: pace(check.delay, check.interval, check.timeout),
        grace: check.grace,
        consecutive_failures: check.max_consecutive_failures,
    })))
}

fn health_probe(check: &AppHealthCheck, ports: &[Port]) -> Result<Option<Probe>, String> {
    let family = match check.ip_protocol {
        IpProtocol::IPv4 => Family::IPv4,
        IpProtocol::IPv6 => Family::IPv6,
    };
    let http = |scheme| -> Result<Probe, String> {
        let (port, path) = (port_of(check.target, ports)?, check.path.clone());
        Ok(Probe::Http(HttpProbe { port, path, scheme, family, statuses: BTreeSet::new() }))
    };
    Ok(Some(match check.protocol {
        HealthProtocol::Command => {
            let line = check.command.clone().ok_or("the health check names no command")?;
            Probe::Command(Box::new(Command::new(Program::Shell(line))))
        }
        HealthProtocol::MesosHttp => http(Scheme::Http)?,
        HealthProtocol::MesosHttps => http(Scheme::Https)?,
        HealthProtocol::MesosTcp => Probe::Tcp { port: port_of(check.target, ports)?, family },
        HealthProtocol::Http | HealthProtocol::Https | HealthProtocol::Tcp => return Ok(None),
    }))
}

/// An app's check that only reports.
pub(super) fn check_of(check: &AppCheck, ports: &[Port]) -> Result<Box<Check>, String> {
    let probe = match &check.kind {
        CheckKind::Http { target, path, https } => Probe::Http(HttpProbe {
            port: port_of(*target, ports)?,
            path: path.clone(),
            scheme: if *https { Scheme::Https } else { Scheme::Http },
            ..HttpProbe::default()
        }),
        CheckKind::Tcp { target } => Probe::tcp(port_of(*target, ports)?),
        CheckKind::Shell(line) => Probe::Command(Box::new(Command::new(Program::Shell(line.clone())))),
        CheckKind::Argv(words) => argv(words)?,
    };
    Ok(Box::new(Check { probe, pace: pace(check.delay, check.interval, check.timeout) }))
}

/// The health check of a pod's container.
pub(super) fn pod_health(check: &PodHealthCheck, ports: &[Port]) -> Result<Box<HealthCheck>, String> {
    Ok(Box::new(HealthCheck {
        probe: pod_probe(&check.probe, ports)?,
        pace: pace(check.delay, check.interval, check.timeout),
        grace: check.grace,
        consecutive_failures: check.max_consecutive_failures,
    }))
}

/// The check of a pod's container.
pub(super) fn pod_check(check: &PodCheck, ports: &[Port]) -> Result<Box<Check>, String> {
    let probe = pod_probe(&check.probe, ports)?;
    Ok(Box::new(Check { probe, pace: pace(check.delay, check.interval, check.timeout) }))
}

fn pod_probe(probe: &PodProbe, ports: &[Port]) -> Result<Probe, String> {
    let port = |endpoint: &str| {
        let found = ports.iter().find(|port| port.name.as_deref() == Some(endpoint));
        found
            .map(|port| port.number)
            .ok_or_else(|| format!("a check names the endpoint {endpoint:?}, which is none"))
    };
    Ok(match probe {
        PodProbe::Http { endpoint, path, https } => Probe::Http(HttpProbe {
            port: port(endpoint)?,
            path: path.clone(),
            scheme: if *https { Scheme::Https } else { Scheme::Http },
            ..HttpProbe::default()
        }),
        PodProbe::Tcp { endpoint } => Probe::tcp(port(endpoint)?),
        PodProbe::Shell(line) => Probe::Command(Box::new(Command::new(Program::Shell(line.clone())))),
        PodProbe::Argv(words) => argv(words)?,
    })
}

fn argv(words: &[String]) -> Result<Probe, String> {
    let path = words.first().ok_or("a check names no command")?.clone();
    Ok(Probe::Command(Box::new(Command::new(Program::Exec { path, arguments: words.to_vec() }))))
}

/// The port that the program uses for the one that is named.
fn port_of(target: CheckTarget, ports: &[Port]) -> Result<u16, String> {
    let index = match target {
        CheckTarget::Port(port) => return Ok(port),
        CheckTarget::Default => 0,
        CheckTarget::Index(index) => index,
    };
    let found = usize::try_from(index).ok().and_then(|index| ports.get(index));
    found.map(|port| port.number).ok_or_else(|| format!("a check looks at port {index} of {}", ports.len()))
}

fn pace(delay: Duration, interval: Duration, timeout: Duration) -> Pace {
    Pace { delay, interval, timeout }
}
