use std::path::PathBuf;

use lonja_agent_core::{Stage, Tally};
use lonja_model::agent::AgentInfo;
use lonja_model::attributes::Attributes;
use lonja_model::container::{Command, ContainerInfo, Program, Volume};
use lonja_model::executor::ExecutorInfo;
use lonja_model::files::{Secret, SecretBytes, VolumeSource};
use lonja_model::framework::FrameworkInfo;
use lonja_model::labels::Labels;
use lonja_model::role::Role;
use lonja_model::task::{Source, TaskInfo};
use lonja_model::{
    AgentId, ContainerId, ExecutorId, FrameworkId, Resources, TaskId, TaskState, TaskStatus, Timestamp,
};

use super::*;
use crate::counts::{Counts, Executors};
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
        info: info.into(),
        role: role("web"),
        state,
        stage,
        home: ContainerId::new(if executor.is_some() { "c-own" } else { container.as_str() }).unwrap(),
        container,
        pid: Some(77),
        latest: Some(latest.into()),
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
        total: resources("cpus:4;mem:1024;ports:[31000-32000]"),
        promised: resources("cpus:1;mem:512"),
        registered: true,
        instance: "i".to_owned(),
        operations: Vec::new(),
        frameworks: vec![(framework.clone(), FrameworkInfo::named("f"))],
        executors: vec![ExecutorPicture {
            framework,
            info: own.clone().into(),
            role: role("web"),
            container: ContainerId::new("c-own").unwrap(),
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
    let picture = picture();
    let counts = Counts {
        started: picture.started,
        now: Timestamp::from_nanos(61_000_000_000),
        registered: true,
        frameworks: 1,
        total: picture.total,
        promised: picture.promised,
        tasks: [(TaskState::Running, 2), (TaskState::Staging, 1), (TaskState::Finished, 1)].into(),
        executors: Executors { registering: 0, running: 2, terminating: 0 },
        tally: Tally { ended: [(TaskState::Finished, 3)].into(), updates: 9, ..Tally::default() },
    };
    let mut figures = figures::figures(&counts, Collected { pending: 1, removed: 2, failed: 0 });
    figures.retain(|name, _| !name.starts_with("system/"));
    is_golden("snapshot.json", &Value::Object(figures));
}

fn state_of(picture: &Picture) -> Value {
    let flags = Map::new();
    let endpoint = "10.0.0.2:5051".to_owned();
    let beside = Beside { flags: &flags, endpoint, master: "http://master:5050", disk_limit: "nothing" };
    state::state(picture, &beside)
}

fn ids(tasks: &Value) -> Vec<&str> {
    tasks.as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect()
}

#[test]
fn an_executor_shows_the_tasks_of_its_own_run_and_no_others_of_its_name() {
    let mut picture = picture();
    let own = picture.executors[0].info.clone();
    let before = ContainerId::new("c-before").unwrap();
    let earlier = |id: &str| TaskPicture {
        home: before.clone(),
        ..task(id, Some(&*own), TaskState::Finished, Stage::Ended)
    };
    picture.completed_executors =
        vec![ExecutorPicture { container: before.clone(), ..picture.executors[0].clone() }];
    picture.completed_tasks.push(earlier("long-ago"));
    picture.tasks.push(earlier("unacknowledged"));
    let state = state_of(&picture);
    let framework = &state["frameworks"][0];
    assert_eq!(ids(&framework["executors"][0]["completed_tasks"]), ["ended"]);
    assert_eq!(ids(&framework["completed_executors"][0]["completed_tasks"]), ["unacknowledged", "long-ago"]);
    assert_eq!(ids(&framework["completed_executors"][0]["tasks"]), [""; 0]);
}

/// A picture in which all tasks have a secret.
pub(crate) fn with_secrets() -> Picture {
    let mut picture = picture();
    let secret = Secret::Value(SecretBytes::new(b"hunter2".to_vec()).unwrap());
    let source = VolumeSource::Secret(secret);
    let volume = Volume { source, container_path: "secret".to_owned(), read_only: true };
    for task in picture.tasks.iter_mut().chain(&mut picture.completed_tasks) {
        Arc::make_mut(&mut task.info).container.volumes = vec![volume.clone()];
    }
    picture
}

/// It shows that there is a secret, and not what it is.
#[track_caller]
pub(crate) fn is_without(shown: &str) {
    // In Base64, as bytes are written.
    let secret = "aHVudGVyMg";
    assert!(shown.contains("\"SECRET\"") && !shown.contains(secret), "{shown}");
}

#[test]
fn no_listing_shows_a_secret() {
    is_without(&state_of(&with_secrets()).to_string());
}

#[test]
fn sets_of_one_name_are_shown_as_one() {
    let all = resources("disks:{a,b};disks(web):{c}");
    assert_eq!(shapes::resources(&all)["disks"], "{a,b,c}");
}
