use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::{AgentId, Timestamp};

use super::*;
use crate::definition::{Container, Engine, HealthProtocol, IpProtocol, PortDefinition};
use crate::instance::{HealthState, InstanceId};
use crate::path_id::PathId;

/// An app with two ports, `web` over TCP and `log` over UDP.
fn app() -> App {
    let port = |name: &str, port, protocol| PortDefinition {
        name: Some(name.to_owned()),
        port,
        protocol,
        labels: BTreeMap::new(),
    };
    App {
        cmd: Some("run".to_owned()),
        port_definitions: Some(vec![port("web", 10_000, Protocol::Tcp), port("log", 10_001, Protocol::Udp)]),
        ..App::new(PathId::absolute("/shop").unwrap())
    }
}

/// The same with ports inside that lead, but for the second, to ports of the agent.
fn mapped() -> App {
    let mapping = |name: &str, host_port, service_port| PortMapping {
        container_port: 80,
        host_port,
        service_port,
        name: Some(name.to_owned()),
        ..PortMapping::default()
    };
    let mappings = vec![
        mapping("web", Some(0), 10_000),
        mapping("inner", None, 10_001),
        mapping("admin", Some(0), 10_002),
    ];
    let container = Container {
        engine: Engine::Mesos,
        docker: None,
        volumes: Vec::new(),
        port_mappings: Some(mappings),
        linux_info: None,
    };
    App { container: Some(container), port_definitions: None, ..app() }
}

fn health(protocol: HealthProtocol, target: CheckTarget) -> HealthCheck {
    HealthCheck {
        protocol,
        path: None,
        command: None,
        target,
        grace: Duration::ZERO,
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(20),
        max_consecutive_failures: 3,
        delay: Duration::ZERO,
        ip_protocol: IpProtocol::IPv4,
    }
}

fn readiness(port_name: &str) -> ReadinessCheck {
    ReadinessCheck {
        name: "ready".to_owned(),
        https: false,
        path: "/".to_owned(),
        port_name: port_name.to_owned(),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(10),
        statuses: BTreeSet::from([200]),
        preserve_last_response: false,
    }
}

/// A running instance with the agent's ports 31000 and 31001.
fn running(app: &App) -> Instance {
    Instance {
        id: InstanceId::new(&app.id, 1),
        spec: RunSpec::App(Arc::new(app.clone())),
        goal: Goal::Running,
        settled: true,
        condition: Condition::Running,
        since: Timestamp::from_nanos(0),
        incarnation: 3,
        place: Some(Place {
            agent: AgentId::new("a1").unwrap(),
            hostname: "host1".to_owned(),
            agent_port: 5051,
            region: None,
            zone: None,
            values: Vec::new(),
            ports: vec![31_000, 31_001],
            volumes: Vec::new(),
        }),
        tasks: Vec::new(),
        health: Vec::new(),
        ready: true,
        last_response: None,
        unreachable_since: None,
        hidden: false,
        confirmed: true,
    }
}

fn ports(instance: &Instance) -> Vec<(Option<String>, u16, u16, bool)> {
    let endpoint = instance.endpoint().unwrap();
    endpoint.ports.into_iter().map(|port| (port.name, port.port, port.service_port, port.udp)).collect()
}

#[test]
fn an_endpoint_has_the_agents_ports_in_the_order_of_the_definition() {
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(
        ports(&running(&app())),
        [(named("web"), 31_000, 10_000, false), (named("log"), 31_001, 10_001, true)]
    );
    assert_eq!(
        ports(&running(&mapped())),
        [(named("web"), 31_000, 10_000, false), (named("admin"), 31_001, 10_002, false)]
    );
}

#[test]
fn an_endpoint_accepts_while_it_serves_and_nothing_hides_it() {
    let checked = App { health_checks: vec![health(HealthProtocol::Http, CheckTarget::Default)], ..app() };
    let accepts = |change: fn(&mut Instance)| {
        let mut instance = running(&checked);
        instance.health =
            vec![HealthState { last_success: Some(Timestamp::from_nanos(5)), ..HealthState::default() }];
        change(&mut instance);
        instance.endpoint().map(|endpoint| endpoint.accepts)
    };
    assert_eq!(accepts(|_| {}), Some(true));
    assert_eq!(accepts(|instance| instance.health.clear()), Some(false));
    assert_eq!(
        accepts(|instance| instance.health[0].last_failure = Some(Timestamp::from_nanos(6))),
        Some(false)
    );
    assert_eq!(accepts(|instance| instance.ready = false), Some(false));
    assert_eq!(accepts(|instance| instance.hidden = true), Some(false));
    assert_eq!(accepts(|instance| instance.goal = Goal::Decommissioned), Some(false));
    assert_eq!(accepts(|instance| instance.condition = Condition::Killing), Some(false));
    assert_eq!(accepts(|instance| instance.condition = Condition::Unreachable), None);
    assert_eq!(accepts(|instance| instance.condition = Condition::Failed), None);
    assert_eq!(accepts(|instance| instance.place = None), None);
}

#[test]
fn a_check_looks_at_its_port_or_at_the_agents_port_of_its_index() {
    let at = |app: App, target| {
        let checked = App { health_checks: vec![health(HealthProtocol::Tcp, target)], ..app };
        running(&checked).watches().first().map(|watch| watch.port)
    };
    assert_eq!(at(app(), CheckTarget::Default), Some(31_000));
    assert_eq!(at(app(), CheckTarget::Index(1)), Some(31_001));
    assert_eq!(at(app(), CheckTarget::Index(2)), None);
    assert_eq!(at(app(), CheckTarget::Port(8_080)), Some(8_080));
    assert_eq!(at(mapped(), CheckTarget::Index(1)), None, "no port of the agent leads there");
    assert_eq!(at(mapped(), CheckTarget::Index(2)), Some(31_001));
}

#[test]
fn the_frameworks_own_checks_are_counted_alone() {
    let checks = vec![
        health(HealthProtocol::MesosHttp, CheckTarget::Default),
        health(HealthProtocol::Http, CheckTarget::Default),
        health(HealthProtocol::Command, CheckTarget::Default),
        health(HealthProtocol::Tcp, CheckTarget::Index(1)),
    ];
    let watches = running(&App { health_checks: checks, ..app() }).watches();
    let seen: Vec<_> = watches.iter().map(|watch| (watch.port, watch.incarnation, &watch.check)).collect();
    assert_eq!(seen.len(), 2);
    assert!(matches!(
        seen[0],
        (31_000, 3, WatchKind::Health(0, HealthCheck { protocol: HealthProtocol::Http, .. }))
    ));
    assert!(matches!(
        seen[1],
        (31_001, 3, WatchKind::Health(1, HealthCheck { protocol: HealthProtocol::Tcp, .. }))
    ));
}

#[test]
fn readiness_is_asked_for_until_it_has_said_yes_and_only_of_what_runs() {
    let checked = App { readiness_checks: vec![readiness("admin")], ..mapped() };
    let mut instance = running(&checked);
    assert_eq!(instance.watches(), []);
    instance.ready = false;
    let watches = instance.watches();
    assert_eq!(watches.len(), 1);
    assert!(matches!((&watches[0].check, watches[0].port), (WatchKind::Readiness(_), 31_001)));
    instance.condition = Condition::Killing;
    assert_eq!(instance.watches(), []);
}

#[test]
fn a_balancer_opens_the_ports_over_tcp_in_the_way_their_labels_say() {
    let opened = |app: App| {
        let service = Service::new(RunSpec::App(Arc::new(app)));
        service.service_ports().into_iter().map(|port| (port.port, port.http)).collect::<Vec<_>>()
    };
    assert_eq!(opened(app()), [(10_000, false)]);
    let label = |value: &str| BTreeMap::from([(PROXY_LABEL.to_owned(), value.to_owned())]);
    assert_eq!(
        opened(App { labels: label("HTTP"), ..mapped() }),
        [(10_000, true), (10_001, true), (10_002, true)]
    );
    let mut mixed = mapped();
    mixed.labels = label("http");
    if let Some(mappings) = mixed.container.as_mut().and_then(|container| container.port_mappings.as_mut()) {
        mappings[0].labels = label("tcp");
        mappings[1].service_port = 0;
    }
    assert_eq!(opened(mixed), [(10_000, false), (10_002, true)]);
}
