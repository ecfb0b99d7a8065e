//! Groups of tasks on real daemons: started together, sharing a folder, fallen together.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_sdk::model::ExecutorId;
use lonja_sdk::model::container::ParentVolume;
use lonja_sdk::model::executor::ExecutorInfo;
use lonja_sdk::prelude::*;
use lonja_tests::{Cluster, eventually, needs_root};

/// Launches one group and waits until all of it has ended.
struct Pod {
    tasks: Vec<(&'static str, &'static str)>,
    launched: bool,
    told: BTreeMap<String, TaskStatus>,
}

impl Pod {
    fn of(tasks: &[(&'static str, &'static str)]) -> Self {
        Self { tasks: tasks.to_vec(), launched: false, told: BTreeMap::new() }
    }
}

fn shared() -> ParentVolume {
    ParentVolume { path: "meeting/point".into(), container_path: "shared".into(), read_only: false }
}

impl Scheduler for Pod {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let Some(offer) = offers.first().filter(|_| !self.launched) else { return Plan::new() };
        self.launched = true;
        let task = |(name, script): &(&str, &str)| {
            let task = Task::shell(*script).unwrap().cpus(0.1).unwrap().mem_mib(32.0).unwrap();
            let resources = Resources::parse("cpus:0.1;mem:32").unwrap();
            let mut task = task.with_resources(&offer.agent, TaskId::new(*name).unwrap(), resources);
            task.container.parent_volumes.push(shared());
            task
        };
        let executor = ExecutorInfo {
            resources: Resources::parse("cpus:0.1;mem:32").unwrap(),
            ..ExecutorInfo::builtin(ExecutorId::new("pod").unwrap())
        };
        Plan::new().launch_group(offer, executor, self.tasks.iter().map(task))
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.told.insert(status.task.to_string(), status.clone());
        let ended = self.told.values().filter(|status| status.state.is_terminal()).count();
        if ended == self.tasks.len() { Plan::new().tear_down() } else { Plan::new() }
    }

    fn wants_offers(&self) -> bool {
        !self.launched
    }
}

fn run(cluster: &Cluster, pod: Pod) -> BTreeMap<String, TaskStatus> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let driver = Driver::new(cluster.url(), FrameworkOptions::named("groups"));
    let ended = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), driver.run(pod)).await.expect("it ends in time")
    });
    ended.unwrap().0.told
}

#[test]
fn tasks_of_a_group_meet_in_a_folder_of_their_executor() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let told = run(
        &cluster,
        Pod::of(&[
            ("writer", "echo hello > shared/word && while [ ! -e shared/read ]; do sleep 0.05; done"),
            (
                "reader",
                "while [ ! -s shared/word ]; do sleep 0.05; done; grep -q hello shared/word && touch shared/read",
            ),
        ]),
    );
    for (task, status) in &told {
        assert_eq!(status.state, TaskState::Finished, "{task}: {:?}", status.message);
        assert_eq!(status.executor.as_ref().unwrap().as_str(), "pod");
    }
    assert_eq!(told.len(), 2);
    // What the executor held is free again.
    eventually("the executor's part is free", || {
        let agents = cluster.list("agents");
        (agents[0]["resources"]["free"]["cpus"] == agents[0]["resources"]["total"]["cpus"]).then_some(())
    });
}

#[test]
fn a_group_falls_as_one_and_says_because_of_whom() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let told = run(
        &cluster,
        Pod::of(&[("web", "sleep 1000"), ("sidecar", "sleep 1000"), ("worker", "sleep 0.3; exit 7")]),
    );
    assert_eq!(told["worker"].state, TaskState::Failed);
    for other in ["web", "sidecar"] {
        assert_eq!(told[other].state, TaskState::Killed);
        let message = told[other].message.clone().unwrap();
        assert!(message.starts_with("killed with its group, because task worker had ended"), "{message}");
    }
}

#[test]
fn a_group_outlives_its_agent_and_falls_under_the_next() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let url = cluster.url().to_owned();
    let framework = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pod = Pod::of(&[
            ("lasting", "sleep 1000"),
            ("failing", "while [ ! -e shared/now ]; do sleep 0.05; done; exit 3"),
        ]);
        let driver = Driver::new(url, FrameworkOptions::named("groups"));
        let ended = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(90), driver.run(pod)).await.expect("it ends in time")
        });
        ended.unwrap().0.told
    });
    eventually("both run", || {
        let tasks = cluster.list("tasks");
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING").count();
        (running == 2).then_some(())
    });
    cluster.agent.take().unwrap().kill9();
    let sandboxes = std::path::PathBuf::from(cluster.path("agent")).join("sandboxes");
    let shared = eventually("the shared folder", || find(&sandboxes, "point"));
    std::fs::write(shared.join("now"), "").unwrap();
    cluster.start_agent("cpus:4;mem:2048;ports:[31000-31010]");
    let told = framework.join().unwrap();
    assert_eq!(told["failing"].state, TaskState::Failed, "{:?}", told["failing"].message);
    assert_eq!(told["lasting"].state, TaskState::Killed, "{:?}", told["lasting"].message);
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name() == name {
            return Some(entry.path());
        }
        if let Some(found) = find(&entry.path(), name) {
            return Some(found);
        }
    }
    None
}
