//! Health checks, checks and their results: as Mesos clients write them, and wrong in every way.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::check::{Check, CheckStatus, Family, HealthCheck, HttpProbe, Pace, Probe, Scheme, Watched};
use lonja_model::checkpoint::{CheckpointOp, Delivery, TaskRecord};
use lonja_model::container::{Command, ContainerInfo, Program};
use lonja_model::labels::Labels;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{Call, Event};
use lonja_model::task::{Reason, Source, TaskInfo, TaskState, TaskStatus};
use lonja_model::{ContainerId, OfferId, Resources, Role, TaskId, Timestamp, UpdateId, offer::Filters};
use lonja_proto::convert::check::{check_from_wire, check_status_from_wire, health_check_from_wire};
use lonja_proto::convert::checkpoint;
use lonja_proto::mesos::{self, check_info, check_status_info, health_check};

use super::golden::{agent, framework, golden, same_call, same_event};
use super::refusals::{task, why_invalid};

fn http(port: u32) -> health_check::HttpCheckInfo {
    health_check::HttpCheckInfo { port, ..Default::default() }
}

fn healthy_http(http: health_check::HttpCheckInfo) -> mesos::HealthCheck {
    mesos::HealthCheck { http: Some(http), ..Default::default() }
}

fn shell(line: &str) -> Command {
    Command::new(Program::Shell(line.to_owned()))
}

#[test]
fn a_health_check_without_type_or_times_is_taken_as_mesos_takes_it() {
    let check = health_check_from_wire(healthy_http(http(80))).unwrap();
    let probe = Probe::Http(HttpProbe { port: 80, ..HttpProbe::default() });
    assert_eq!(check, HealthCheck::new(probe));
    let tcp = health_check::TcpCheckInfo { port: 22, protocol: Some(2) };
    let wire = mesos::HealthCheck { tcp: Some(tcp), ..Default::default() };
    let tcp = health_check_from_wire(wire).unwrap();
    assert_eq!(tcp.probe, Probe::Tcp { port: 22, family: Family::IPv6 });
    let command = mesos::CommandInfo { value: Some("true".to_owned()), ..Default::default() };
    let wire = mesos::HealthCheck { command: Some(command), ..Default::default() };
    assert_eq!(health_check_from_wire(wire).unwrap().probe, Probe::Command(Box::new(shell("true"))));
}

#[test]
fn a_check_that_is_none_is_refused_with_its_field() {
    type Change = fn(&mut mesos::HealthCheck);
    let cases: [(Change, &str); 13] = [
        (|check| check.http = None, "type: says nothing of how to look"),
        (|check| check.r#type = Some(9), "type: 9 is no HealthCheck.Type"),
        (|check| check.r#type = Some(0), "type: says nothing"),
        (|check| check.r#type = Some(1), "command: is missing"),
        (|check| check.r#type = Some(3), "tcp: is missing"),
        (|check| check.http = Some(http(0)), "http.port: 0 is no port"),
        (|check| check.http = Some(http(65_536)), "http.port: 65536 is no port"),
        (|check| check.http.as_mut().unwrap().path = Some("x".to_owned()), "http.path: \"x\" is no path"),
        (|check| check.http.as_mut().unwrap().scheme = Some("ftp".to_owned()), "http.scheme: \"ftp\""),
        (|check| check.http.as_mut().unwrap().statuses = vec![200, 99], "http.statuses[1]: is no status"),
        (|check| check.http.as_mut().unwrap().protocol = Some(7), "http.protocol: 7 is no NetworkInfo"),
        (|check| check.delay_seconds = Some(-1.0), "delay_seconds: -1 seconds"),
        (|check| check.grace_period_seconds = Some(f64::NAN), "grace_period_seconds: NaN seconds"),
    ];
    for (change, expected) in cases {
        let mut check = healthy_http(http(80));
        change(&mut check);
        let mut task = task("t");
        task.health_check = Some(check);
        let reason = why_invalid(task);
        assert!(reason.starts_with(&format!("health_check.{expected}")), "{reason} / {expected}");
    }
}

#[test]
fn a_check_names_its_type_and_nothing_more_than_it_can() {
    let none = mesos::CheckInfo::default();
    assert_eq!(check_from_wire(none).unwrap_err().field, "type");
    let typed = |kind: check_info::Type| mesos::CheckInfo { r#type: Some(kind.into()), ..Default::default() };
    assert_eq!(check_from_wire(typed(check_info::Type::Http)).unwrap_err().field, "http");
    assert_eq!(check_from_wire(typed(check_info::Type::Unknown)).unwrap_err().field, "type");
    let command = mesos::CommandInfo::default();
    let command = Some(check_info::Command { command });
    let wire = mesos::CheckInfo { command, ..typed(check_info::Type::Command) };
    assert_eq!(check_from_wire(wire).unwrap_err().field, "command.command.value");
    let wire = mesos::CheckInfo { interval_seconds: Some(-0.5), ..typed(check_info::Type::Tcp) };
    assert_eq!(check_from_wire(wire).unwrap_err().field, "interval_seconds");
}

#[test]
fn a_command_of_a_check_brings_no_files_and_no_secrets() {
    let reason = |change: fn(&mut mesos::CommandInfo)| {
        let mut command = mesos::CommandInfo { value: Some("true".to_owned()), ..Default::default() };
        change(&mut command);
        let mut task = task("t");
        task.health_check = Some(mesos::HealthCheck { command: Some(command), ..Default::default() });
        why_invalid(task)
    };
    let uri = |command: &mut mesos::CommandInfo| {
        let value = "http://files.example/x".to_owned();
        command.uris.push(mesos::command_info::Uri { value, ..Default::default() });
    };
    assert!(reason(uri).starts_with("health_check.command.uris: "), "{}", reason(uri));
}

#[test]
fn a_result_names_its_type_and_a_status_that_can_be() {
    let http = check_status_info::Http { status_code: Some(70_000) };
    let wire = mesos::CheckStatusInfo { r#type: Some(2), http: Some(http), ..Default::default() };
    assert_eq!(check_status_from_wire(wire).unwrap_err().field, "http.status_code");
    assert_eq!(check_status_from_wire(mesos::CheckStatusInfo::default()).unwrap_err().field, "type");
    let wire = mesos::CheckStatusInfo { r#type: Some(3), ..Default::default() };
    assert_eq!(check_status_from_wire(wire), Ok(CheckStatus::Tcp(None)));
}

fn watched_task() -> TaskInfo {
    let pace = Pace {
        delay: Duration::ZERO,
        interval: Duration::from_millis(1500),
        timeout: Duration::from_secs(2),
    };
    let probe = HttpProbe {
        port: 8443,
        path: Some("/health?full".to_owned()),
        scheme: Scheme::Https,
        family: Family::IPv6,
        statuses: BTreeSet::from([200, 204]),
    };
    let probe = Probe::Http(probe);
    let grace = Duration::from_secs(60);
    let health = HealthCheck { probe, pace, grace, consecutive_failures: 5 };
    TaskInfo {
        name: "web".to_owned(),
        id: TaskId::new("t1").unwrap(),
        agent: agent(),
        resources: Resources::parse("cpus:0.5;mem:32").unwrap(),
        limits: Default::default(),
        command: shell("serve"),
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: Some(Box::new(health)),
        check: Some(Box::new(Check { probe: Probe::Command(Box::new(shell("ready"))), pace })),
    }
}

#[test]
fn a_task_with_checks_keeps_its_bytes() {
    let operations = vec![Operation::Launch(vec![LaunchTask::Valid(Box::new(watched_task()))])];
    let offers = vec![OfferId::new("c-1-O0").unwrap()];
    same_call("accept_checks.bin", &Call::Accept { offers, operations, filters: Filters::DEFAULT });
}

#[test]
fn an_update_about_health_keeps_its_bytes() {
    let now = Timestamp::from_nanos(1_700_000_000_123_456_789);
    let status = TaskStatus::new(TaskId::new("t1").unwrap(), TaskState::Running, Source::Executor, now)
        .because(Reason::TaskHealthCheckStatusUpdated)
        .on(agent());
    let update = Some(UpdateId(*b"0123456789abcdef"));
    let check = Some(CheckStatus::Command(Some(1)));
    same_event(
        "update_health.bin",
        &Event::Update(Box::new(TaskStatus { update, check, healthy: Some(false), ..status })),
    );
}

#[test]
fn what_looking_at_a_task_has_shown_keeps_its_bytes_in_the_checkpoint() {
    let info = watched_task();
    let watched = Watched {
        started: Some(Timestamp::from_nanos(1_700_000_000_000_000_001)),
        healthy: Some(false),
        check: Some(CheckStatus::Http(Some(503))),
        given_up: true,
    };
    let record = TaskRecord {
        role: Role::new("web").unwrap(),
        container: ContainerId::new("c1").unwrap(),
        state: TaskState::Running,
        killing: Some(Duration::from_secs(3)),
        orphaned: false,
        updates: Vec::new(),
        group: None,
        watched,
        delivery: Delivery::default(),
        info: info.into(),
    };
    let change = CheckpointOp::Task(framework(), record.info.id.clone(), Some(Box::new(record)));
    let kept = golden("checkpoint_watched.bin", &checkpoint::encode(&change).value.unwrap());
    assert_eq!(checkpoint::decode(&kept), Ok(change));
}
