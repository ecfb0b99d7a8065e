//! Services for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_model::{AgentId, TaskState, Timestamp};
use lonja_services_core::PathId;
use lonja_services_core::definition::{
    App, CheckTarget, ExecutorResources, HealthCheck, HealthProtocol, IpProtocol, KillSelection, Pod,
    ReadinessCheck, RunSpec,
};
use lonja_services_core::event::{Endpoint, EndpointPort, Watch, WatchKind};
use lonja_services_core::instance::{Condition, Goal, Instance, InstanceId, InstanceTask, Place};

/// An id.
pub(crate) fn id(text: &str) -> PathId {
    PathId::absolute(text).unwrap()
}

/// The instance of this number.
pub(crate) fn instance(spec: &str, number: u128) -> InstanceId {
    InstanceId::new(&id(spec), number)
}

/// An instance of this number, reached at one port.
pub(crate) fn endpoint(spec: &str, number: u128, host: &str, port: u16, service_port: u16) -> Endpoint {
    Endpoint {
        instance: instance(spec, number),
        spec: id(spec),
        host: host.to_owned(),
        ports: vec![EndpointPort { name: Some("web".to_owned()), port, service_port, udp: false }],
        accepts: true,
    }
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A definition of which nothing matters but that there is one.
pub(crate) fn any_spec(spec: &str) -> RunSpec {
    RunSpec::Pod(Arc::new(Pod {
        id: id(spec),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        user: None,
        containers: Vec::new(),
        volumes: Vec::new(),
        networks: Vec::new(),
        instances: 1,
        backoff: Default::default(),
        upgrade: Default::default(),
        constraints: Vec::new(),
        accepted_resource_roles: None,
        kill_selection: KillSelection::default(),
        unreachable: Default::default(),
        executor_resources: ExecutorResources { cpus: Scalar::ZERO, mem: Scalar::ZERO, disk: Scalar::ZERO },
        role: "*".to_owned(),
        secrets: BTreeMap::new(),
        linux_info: None,
        legacy_shared_cgroups: None,
        preference: Default::default(),
        rollout: Default::default(),
        version: Default::default(),
    }))
}

/// An app as somebody writes it.
pub(crate) fn app(definition: &serde_json::Value) -> App {
    let defaults = crate::wire::Defaults { role: "*".to_owned() };
    crate::wire::app(definition, None, None, &PathId::root(), &defaults).unwrap()
}

/// The instance of this number of an app: it runs at a host with the ports from 31000 on, and was checked by nobody.
pub(crate) fn running(app: &App, number: u128) -> Instance {
    let id = InstanceId::new(&app.id, number);
    let task = InstanceTask {
        id: id.task(None, 1).unwrap(),
        container: None,
        state: Some(TaskState::Running),
        since: Timestamp::ZERO,
        staged_at: Timestamp::ZERO,
        started_at: Some(Timestamp::ZERO),
        healthy: None,
        check: None,
        message: None,
    };
    let ports = (31_000..).take(app.service_ports().len()).collect();
    Instance {
        id,
        spec: RunSpec::App(Arc::new(app.clone())),
        goal: Goal::Running,
        condition: Condition::Running,
        since: Timestamp::ZERO,
        incarnation: 1,
        place: Some(Place {
            agent: AgentId::new("a1").unwrap(),
            hostname: "10.0.0.1".to_owned(),
            agent_port: 5051,
            region: None,
            zone: None,
            values: Vec::new(),
            ports,
            volumes: Vec::new(),
        }),
        tasks: vec![task],
        health: Vec::new(),
        ready: true,
        last_response: None,
        unreachable_since: None,
        settled: true,
        hidden: false,
        confirmed: true,
    }
}

/// A health check that looks so often.
pub(crate) fn health(protocol: HealthProtocol, interval: Duration) -> WatchKind {
    let check = HealthCheck {
        protocol,
        path: Some("/health".to_owned()),
        command: None,
        target: CheckTarget::Default,
        grace: Duration::ZERO,
        interval,
        timeout: Duration::from_secs(5),
        max_consecutive_failures: 3,
        delay: Duration::ZERO,
        ip_protocol: IpProtocol::IPv4,
    };
    WatchKind::Health(0, check)
}

/// A readiness check that wants 200.
pub(crate) fn readiness(interval: Duration) -> WatchKind {
    WatchKind::Readiness(ReadinessCheck {
        name: "ready".to_owned(),
        https: false,
        path: "/ready".to_owned(),
        port_name: "web".to_owned(),
        interval,
        timeout: Duration::from_secs(5),
        statuses: BTreeSet::from([200]),
        preserve_last_response: true,
    })
}

/// A check at the instance of this number.
pub(crate) fn watch(spec: &str, number: u128, port: u16, check: WatchKind) -> Watch {
    let instance = instance(spec, number);
    Watch { instance, incarnation: 1, spec: any_spec(spec), host: "127.0.0.1".to_owned(), port, check }
}
