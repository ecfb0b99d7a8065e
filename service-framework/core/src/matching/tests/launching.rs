//! What an app's task is launched with.

use std::time::Duration;

use lonja_model::TaskInfo;
use lonja_model::check::{Probe, Scheme};
use lonja_model::container::Program;
use lonja_model::files::{Secret, VolumeSource};
use lonja_model::task::Limit;

use super::*;
use crate::definition::{
    AppVolume, Check, CheckKind, CheckTarget, Container, Docker, Engine, EnvValue, Fetch, HealthCheck,
    HealthProtocol, IpProtocol, PortDefinition, PortMapping, Protocol, ResourceLimit, ResourceLimits,
    VolumeKind,
};

const ROOM: &str = "cpus:4;mem:1024;disk:1024;ports:[31000-31001]";

fn launched(spec: &RunSpec) -> TaskInfo {
    let (matched, _, used) = Case::new(spec).on(&[offer("a", ROOM, "")]);
    assert!(matched.is_some(), "it was not placed");
    only_task(&used)
}

fn env(task: &TaskInfo) -> String {
    let mut lines = String::new();
    for (name, value) in &task.command.environment {
        lines.push_str(&format!("{name}={value}\n"));
    }
    lines
}

fn container(port_mappings: Option<Vec<PortMapping>>, volumes: Vec<AppVolume>) -> Option<Container> {
    Some(Container { engine: Engine::Mesos, docker: None, volumes, port_mappings, linux_info: None })
}

fn tcp(name: &str, container_port: u16, host_port: Option<u16>) -> PortMapping {
    PortMapping { container_port, host_port, name: Some(name.to_owned()), ..PortMapping::default() }
}

#[test]
fn the_environment_of_an_app_is_this() {
    let spec = app(|app| {
        app.env.insert("GREETING".to_owned(), EnvValue::Text("hello".to_owned()));
        app.env.insert("HOST".to_owned(), EnvValue::Text("mine".to_owned()));
        app.labels.insert("HAPROXY_0-vhost".to_owned(), "example.org".to_owned());
        app.labels.insert("long".to_owned(), "x".repeat(512));
        app.labels.insert("tier".to_owned(), "front".to_owned());
        app.cpus = Scalar::from_thousandths(500).unwrap();
        app.port_definitions = Some(vec![
            PortDefinition { port: 10_004, name: Some("http-api".to_owned()), ..PortDefinition::default() },
            PortDefinition { protocol: Protocol::Udp, ..PortDefinition::default() },
        ]);
    });
    let task = launched(&spec);
    let found = task.resources.ranges("ports");
    assert_eq!(found.to_string(), "[31000-31001]");
    let ports: Vec<&str> = ["PORT0", "PORT1"].map(|name| task.command.environment[name].as_str()).to_vec();
    let (first, second) = (ports[0], ports[1]);
    let golden = format!(
        "GREETING=hello\n\
         HOST=mine\n\
         MARATHON_APP_ENFORCE_GROUP_ROLE=FALSE\n\
         MARATHON_APP_ID=/prod/web\n\
         MARATHON_APP_LABELS=HAPROXY_0_VHOST TIER\n\
         MARATHON_APP_LABEL_HAPROXY_0_VHOST=example.org\n\
         MARATHON_APP_LABEL_TIER=front\n\
         MARATHON_APP_RESOURCE_CPUS=0.5\n\
         MARATHON_APP_RESOURCE_DISK=0.0\n\
         MARATHON_APP_RESOURCE_GPUS=0\n\
         MARATHON_APP_RESOURCE_MEM=128.0\n\
         MARATHON_APP_VERSION=2015-09-30T09:09:17.614Z\n\
         MESOS_TASK_ID=prod_web.instance-00000000-0000-4000-8000-000000000001._app.1\n\
         PORT={first}\n\
         PORT0={first}\n\
         PORT1={second}\n\
         PORTS={first},{second}\n\
         PORT_10004={first}\n\
         PORT_{second}={second}\n\
         PORT_HTTP-API={first}\n"
    );
    assert_eq!(env(&task), golden);
}

#[test]
fn ports_of_mappings_without_one_of_the_agent_are_their_own_or_drawn() {
    let mappings =
        vec![tcp("a", 8_080, Some(0)), tcp("b", 9_090, None), tcp("c", 0, None), tcp("d", 0, Some(31_001))];
    let task = launched(&app(|app| app.container = container(Some(mappings), Vec::new())));
    let env = &task.command.environment;
    assert_eq!(
        (env["PORT0"].as_str(), env["PORT_8080"].as_str(), env["PORT_A"].as_str()),
        ("31000", "31000", "31000")
    );
    assert_eq!((env["PORT1"].as_str(), env["PORT_9090"].as_str()), ("9090", "9090"));
    let drawn: u16 = env["PORT2"].parse().unwrap();
    assert!(drawn >= 1_025 && ![31_000, 31_001, 9_090].contains(&drawn));
    assert_eq!(env["PORT_31001"], "31001");
    assert_eq!((env["PORT"].as_str(), env["PORTS"].clone()), ("31000", format!("31000,31001,{drawn}")));
    let discovery = task.discovery.unwrap();
    let ports: Vec<u32> = discovery.ports.iter().map(|port| port.number).collect();
    assert_eq!(ports, [31_000, 9_090, u32::from(drawn), 31_001]);
    assert_eq!(discovery.name.as_deref(), Some("web.prod"));
}

#[test]
fn an_app_without_ports_has_no_variable_of_one() {
    let task = launched(&app(|app| app.port_definitions = Some(Vec::new())));
    assert!(task.command.environment.keys().all(|name| !name.starts_with("PORT")));
    assert_eq!(task.command.environment["MARATHON_APP_LABELS"], "");
}

#[test]
fn a_prefix_stands_before_host_and_ports_alone() {
    let spec = app(|app| app.port_definitions = Some(vec![PortDefinition::default()]));
    let config = Config { env_vars_prefix: "M_".to_owned(), ..Config::default() };
    let (_, _, used) = Case { config, ..Case::new(&spec) }.on(&[offer("a", ROOM, "")]);
    let task = only_task(&used);
    let env = &task.command.environment;
    assert!(env.contains_key("M_HOST") && env.contains_key("M_PORT0") && env.contains_key("MARATHON_APP_ID"));
    assert!(!env.contains_key("HOST") && !env.contains_key("PORT0"));
}

#[test]
fn both_protocols_are_told_of_a_port_that_has_both() {
    let both = PortDefinition { protocol: Protocol::Both, ..PortDefinition::default() };
    let task = launched(&app(|app| app.port_definitions = Some(vec![both])));
    let protocols: Vec<_> =
        task.discovery.unwrap().ports.into_iter().map(|port| port.protocol.unwrap()).collect();
    assert_eq!(protocols, ["udp", "tcp"]);
    assert_eq!(task.resources.ranges("ports").count(), 1);
}

#[test]
fn fixed_ports_are_those_of_the_definition() {
    let spec = app(|app| {
        app.port_definitions = Some(vec![PortDefinition { port: 31_001, ..PortDefinition::default() }]);
        app.require_ports = true;
    });
    assert_eq!(launched(&spec).resources.ranges("ports").to_string(), "[31001-31001]");
}

#[test]
fn a_line_is_for_the_shell_and_words_are_a_program() {
    assert_eq!(launched(&app(|_| ())).command.program, Program::Shell("serve".to_owned()));
    let words = ["serve", "--all"].map(str::to_owned).to_vec();
    let task = launched(&app(|app| (app.cmd, app.args) = (None, words.clone())));
    assert_eq!(task.command.program, Program::Exec { path: "serve".to_owned(), arguments: words });
    let image = app(|app| {
        app.cmd = None;
        let docker = Some(Docker { image: "nginx".to_owned(), ..Docker::default() });
        app.container = Some(Container {
            engine: Engine::Mesos,
            docker,
            volumes: Vec::new(),
            port_mappings: None,
            linux_info: None,
        });
    });
    let refused = Case::new(&image).agent(&[offer("a", ROOM, "")]).unwrap_err();
    assert!(refused.contains("give cmd or args"), "{refused}");
}

#[test]
fn all_that_is_said_of_the_task_is_in_it() {
    let limits =
        ResourceLimits { cpus: Some(ResourceLimit::Unlimited), mem: Some(ResourceLimit::Amount(units(256))) };
    let fetch = |uri: &str, dest: Option<&str>| Fetch {
        uri: uri.to_owned(),
        extract: false,
        executable: true,
        cache: true,
        dest_path: dest.map(str::to_owned),
    };
    let volume = |path: &str, kind| AppVolume { container_path: path.to_owned(), read_only: true, kind };
    let spec = app(|app| {
        app.user = Some("web".to_owned());
        app.resource_limits = Some(limits);
        app.kill_grace = Some(Duration::from_secs(9));
        app.tty = Some(true);
        app.fetch = vec![fetch("http://h/a", None), fetch("http://h/a", Some("b/c"))];
        app.secrets.insert("password".to_owned(), "db/password".to_owned());
        app.env.insert("PASSWORD".to_owned(), EnvValue::Secret("password".to_owned()));
        app.container = container(
            None,
            vec![
                volume("/etc/pages", VolumeKind::Host("/srv/pages".to_owned())),
                volume("cache", VolumeKind::Host("cache".to_owned())),
                volume("key", VolumeKind::Secret("password".to_owned())),
            ],
        );
    });
    let task = launched(&spec);
    assert_eq!((task.name.as_str(), task.command.user.as_deref()), ("web.prod", Some("web")));
    assert_eq!(task.limits["cpus"], Limit::Infinite);
    assert_eq!(task.limits["mem"], Limit::Amount(units(256)));
    assert_eq!(task.kill_grace, Some(Duration::from_secs(9)));
    assert!(task.container.tty.is_some());
    let names: Vec<&str> = task.command.uris.iter().map(|uri| uri.file_name()).collect();
    assert_eq!(names, ["a", "b/c"]);
    assert!(task.command.uris.iter().all(|uri| uri.executable && uri.cache && !uri.extract));
    let secret = Secret::Reference { name: "db/password".to_owned(), key: None };
    assert_eq!(task.command.secrets["PASSWORD"], secret);
    assert!(!task.command.environment.contains_key("PASSWORD"));
    let sources: Vec<_> = task.container.volumes.into_iter().map(|volume| volume.source).collect();
    let expected = [
        VolumeSource::Host("/srv/pages".to_owned()),
        VolumeSource::Sandbox("cache".to_owned()),
        VolumeSource::Secret(secret),
    ];
    assert_eq!(sources, expected);
}

#[test]
fn a_secret_that_is_none_is_no_launch() {
    let spec = app(|app| {
        app.env.insert("A".to_owned(), EnvValue::Secret("nobody".to_owned()));
    });
    let refused = Case::new(&spec).agent(&[offer("a", ROOM, "")]).unwrap_err();
    assert!(refused.contains("no secret \"nobody\""), "{refused}");
}

fn health(protocol: HealthProtocol, target: CheckTarget) -> HealthCheck {
    HealthCheck {
        protocol,
        path: Some("/health".to_owned()),
        command: Some("test -f up".to_owned()),
        target,
        grace: Duration::from_secs(300),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(20),
        max_consecutive_failures: 3,
        delay: Duration::from_secs(15),
        ip_protocol: IpProtocol::IPv4,
    }
}

#[test]
fn the_agent_runs_the_checks_that_are_its_own_where_the_task_listens() {
    let probe = |protocol, target| {
        let spec = app(|app| {
            app.port_definitions = Some(vec![PortDefinition::default(), PortDefinition::default()]);
            app.health_checks =
                vec![health(HealthProtocol::Http, CheckTarget::Default), health(protocol, target)];
        });
        let task = launched(&spec);
        let ports = ["PORT0", "PORT1"].map(|name| task.command.environment[name].parse::<u16>().unwrap());
        (task.health_check, ports)
    };
    assert_eq!(probe(HealthProtocol::Tcp, CheckTarget::Default).0, None);
    let (check, ports) = probe(HealthProtocol::MesosHttps, CheckTarget::Index(1));
    let check = check.unwrap();
    assert_eq!((check.grace.as_secs(), check.pace.delay.as_secs(), check.consecutive_failures), (300, 15, 3));
    let Probe::Http(http) = check.probe else { panic!("{check:?}") };
    assert_eq!((http.port, http.scheme, http.path.as_deref()), (ports[1], Scheme::Https, Some("/health")));
    let (check, _) = probe(HealthProtocol::MesosTcp, CheckTarget::Port(99));
    assert_eq!(check.unwrap().probe, Probe::tcp(99));
    let (check, _) = probe(HealthProtocol::Command, CheckTarget::Default);
    let Probe::Command(command) = check.unwrap().probe else { panic!("no command") };
    assert_eq!(command.program, Program::Shell("test -f up".to_owned()));
}

#[test]
fn a_check_that_only_reports_is_the_agents_too() {
    let times = Duration::from_secs(7);
    let kind = CheckKind::Argv(vec!["test".to_owned(), "-f".to_owned()]);
    let spec = app(|app| app.check = Some(Check { kind, interval: times, timeout: times, delay: times }));
    let check = launched(&spec).check.unwrap();
    assert_eq!(check.pace.interval, times);
    assert!(
        matches!(check.probe, Probe::Command(command) if matches!(command.program, Program::Exec { .. }))
    );
}

#[test]
fn a_task_of_a_custom_executor_is_told_its_line_and_pays_for_both() {
    let spec = app(|app| {
        app.executor = "/opt/exec".to_owned();
        app.executor_resources = Some(ExecutorResources {
            cpus: Scalar::from_thousandths(100).unwrap(),
            mem: units(32),
            disk: units(10),
        });
    });
    let task = launched(&spec);
    let executor = task.executor.unwrap();
    assert!(executor.is_custom() && task.command.is_none());
    assert_eq!(task.data, b"serve");
    assert_eq!(task.resources.to_string(), "cpus:1;mem:128");
    assert_eq!(executor.resources.to_string(), "cpus:0.1;disk:10;mem:32");
    let command = executor.command().unwrap();
    assert_eq!(
        command.program,
        Program::Shell("chmod ug+rx '/opt/exec' && exec '/opt/exec' serve".to_owned())
    );
    assert_eq!(command.environment["MARATHON_APP_ID"], "/prod/web");
}

#[test]
fn a_group_that_enforces_its_role_is_told() {
    let (spec, mut notes) = (app(|_| ()), ProcessedOffers::default());
    let mut hand = Hand::new(&[offer("a", ROOM, "")], now()).enforcing(["prod".to_owned()]);
    assert!(Case::new(&spec).put(&mut hand, &mut notes).is_some());
    assert_eq!(only_task(&hand.used()).command.environment["MARATHON_APP_ENFORCE_GROUP_ROLE"], "TRUE");
}
