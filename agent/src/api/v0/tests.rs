use std::path::PathBuf;

use lonja_agent_core::{Stage, Tally};
use lonja_model::agent::AgentInfo;
use lonja_model::attributes::Attributes;
use lonja_model::container::{Command, ContainerInfo, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::labels::Labels;
use lonja_model::role::Role;
use lonja_model::task::{Source, TaskInfo};
use lonja_model::{
    AgentId, ContainerId, ExecutorId, FrameworkId, Resources, TaskId, TaskState, TaskStatus, Timestamp,
};

use super::*;
use crate::picture::{ExecutorPicture, Picture, TaskPicture};
use crate::sandbox::collection::Collected;

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn resources(text: &str) -> Resources {
    Resources::parse(text).unwrap()
}

fn command(line: &str) -> Command {
    Command { program: Program::Shell(line.to_owned()), ..Command::none() }
}

fn task(id: &str, executor: Option<&ExecutorInfo>, state: TaskState, stage: Stage) -> TaskPicture {
    let info = TaskInfo {
        name: format!("{id}'s name"),
        id: TaskId::new(id).unwrap(),
        agent: AgentId::new("m-S0").unwrap(),
        resources: resources(if executor.is_some() {
            "cpus:0.5;mem:64"
        } else {
            "cpus:0.5;mem:64;ports:[31000-31001]"
        }),
        limits: Default::default(),
        command: if executor.is_some() { Command::none() } else { command("sleep 9") },
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels(vec![("tier".to_owned(), Some("front".to_owned()))]),
        discovery: None,
        executor: executor.map(|executor| Box::new(executor.clone())),
        data: Vec::new(),
        health_check: None,
        check: None,
    };
    let at = Timestamp::from_nanos(1_500_000_000);
    let container = ContainerId::new(format!("c-{id}")).unwrap();
    let latest = TaskStatus {
        container: Some(container.clone()),
        healthy: Some(true),
        ..TaskStatus::new(info.id.clone(), state, Source::Agent, at)
    };
    TaskPicture {
        framework: FrameworkId::new("m-0000").unwrap(),
        info,
        role: role("web"),
        state,
        stage,
        container,
        pid: Some(77),
        latest: Some(latest),
        sandbox: PathBuf::from(format!("/var/lib/lonja/sandboxes/m-0000/{id}/c-{id}")),
    }
}

fn picture() -> Picture {
    let framework = FrameworkId::new("m-0000").unwrap();
    let own = ExecutorInfo::custom(ExecutorId::new("own").unwrap(), command("./own"), resources("cpus:0.1"));
    Picture {
        id: Some(AgentId::new("m-S0").unwrap()),
        info: AgentInfo {
            hostname: "host".to_owned(),
            port: 5051,
            resources: resources("cpus:4;mem:1024"),
            attributes: Attributes::parse("rack:r1;cores:8").unwrap(),
            domain: None,
            id: None,
        },
        started: Timestamp::from_nanos(1_000_000_000),
        now: Timestamp::from_nanos(61_000_000_000),
        total: resources("cpus:4;mem:1024;ports:[31000-32000]"),
        promised: resources("cpus:1;mem:512"),
        registered: true,
        instance: "i".to_owned(),
        operations: Vec::new(),
        frameworks: vec![(framework.clone(), FrameworkInfo::named("f"))],
        executors: vec![ExecutorPicture {
            framework,
            info: own.clone(),
            role: role("web"),
            container: ContainerId::new("c-own").unwrap(),
            is_subscribed: true,
            is_ending: false,
            sandbox: PathBuf::from("/var/lib/lonja/sandboxes/m-0000/own/c-own"),
        }],
        tasks: vec![
            task("alone", None, TaskState::Running, Stage::Launched),
            task("begun", Some(&own), TaskState::Running, Stage::Launched),
            task("ended", Some(&own), TaskState::Finished, Stage::Ended),
            task("waits", Some(&own), TaskState::Staging, Stage::Queued),
        ],
        completed_frameworks: vec![(FrameworkId::new("m-0001").unwrap(), FrameworkInfo::named("gone"))],
        completed_executors: Vec::new(),
        completed_tasks: vec![TaskPicture {
            framework: FrameworkId::new("m-0001").unwrap(),
            ..task("over", None, TaskState::Failed, Stage::Ended)
        }],
        tally: Tally { ended: [(TaskState::Finished, 3)].into(), updates: 9, ..Tally::default() },
    }
}

/// The golden file of that name, written anew where `LONJA_BLESS` is set.
fn is_golden(name: &str, value: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/api/v0/golden").join(name);
    let text = format!("{value:#}\n");
    if std::env::var_os("LONJA_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{}: differs; if that is meant, run with LONJA_BLESS=1", path.display());
}

#[test]
fn the_state_has_the_shape_of_mesos() {
    let flags = json!({ "work_dir": "/var/lib/lonja" });
    let beside = Beside {
        flags: flags.as_object().unwrap(),
        endpoint: "10.0.0.2:5051".to_owned(),
        master: "http://master:5050",
        disk_limit: "nothing",
    };
    is_golden("state.json", &state::state(&picture(), &beside));
}

#[test]
fn containers_have_the_shape_of_mesos() {
    let task = &picture().tasks[0];
    let one = ContainerStatistics {
        task: crate::handle::TaskLine {
            framework: task.framework.clone(),
            task: task.info.id.clone(),
            state: task.state,
            container: task.container.clone(),
            pid: task.pid,
            name: task.info.name.clone(),
            resources: task.info.resources.clone(),
            sandbox: task.sandbox.clone(),
        },
        at: std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_500),
        usage: Default::default(),
        disk_limit: Some(1 << 20),
        disk_used: None,
    };
    is_golden("containers.json", &json!([one.to_container_json()]));
    is_golden("statistics.json", &json!([one.to_json()]));
}

#[test]
fn the_figures_have_the_names_of_mesos() {
    let mut figures = figures::figures(&picture(), Collected { pending: 1, removed: 2, failed: 0 });
    figures.retain(|name, _| !name.starts_with("system/"));
    is_golden("snapshot.json", &Value::Object(figures));
}
