//! The daemon's loop with real folders, containers from a script, and a master that is played by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use lonja_agent_core::{Config as CoreConfig, Entropy, Policy};
use lonja_model::checkpoint::{ExecutorRecord, Identity};
use lonja_model::container::{Command, ContainerInfo, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::FrameworkInfo;
use lonja_model::labels::Labels;
use lonja_model::link::ToAgent;
use lonja_model::operation::{AgentOperation, Conversion, OperationRecord, OperationState};
use lonja_model::resources::{Disk, Metadata, Persistence, Reservation, ReservationKind, Resource};
use lonja_model::role::Role;
use lonja_model::{AgentId, AgentInfo, ExecutorId, OperationUuid, Resources, TaskInfo, TaskState};
use lonja_storage::{MemoryStore, Store};
use tokio::task::JoinHandle;

use super::*;
use crate::containerizer::{
    ContainerSpec, Failure, FailureReason, InstanceId, LaunchOutcome, RecordedCall, RecordedContainerizer,
};
use crate::disk::{DiskMeans, DiskSettings, Disks};
use crate::fetcher::{Fetcher, Fetching};
use crate::sandbox::Sandboxes;

/// A work dir, a store, and whatever agent runs on them.
struct Host {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    containerizer: Arc<RecordedContainerizer>,
    disk: DiskSettings,
}

/// An agent, and the master's end of its link.
struct Life {
    handle: Handle,
    stop: watch::Sender<bool>,
    driver: JoinHandle<Result<(), AgentError>>,
    said: mpsc::Receiver<FromAgent>,
}

/// The number of the test's own link, which no link of the agent's has.
const LINK: u64 = u64::MAX;

impl Host {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let disk = DiskSettings { floor_bytes: 0, ..Default::default() };
        Self { dir: tempfile::tempdir().unwrap(), store, containerizer: Arc::default(), disk }
    }

    fn work(&self, below: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(below)
    }

    fn config(&self) -> crate::Config {
        crate::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            hostname: None,
            // Nobody listens there: the test plays the master.
            master: "http://127.0.0.1:1".to_owned(),
            work_dir: self.work(""),
            info: info(),
            reconfiguration: Policy::Equal,
            kill_grace: Duration::from_secs(3),
            logs: None,
            pids_limit: 100,
            host_paths: crate::HostPaths::Below(Vec::new()),
            separation: crate::Separation::default(),
            require_isolation: false,
            secrets: None,
            fetching: Fetching::default(),
            limits: crate::LimitSettings::default(),
            disk: self.disk.clone(),
            grants: Default::default(),
            executors: Default::default(),
        }
    }

    /// An agent on what there is, that does not run yet.
    fn driver(&self) -> (Handle, Driver) {
        let config = self.config();
        let instance = InstanceId::new("test").unwrap();
        let volumes = Volumes::new(&self.work(""), instance.clone(), &config.info.resources);
        let disks = Arc::new(Disks::open(&self.work(""), config.disk.clone()).unwrap());
        let sandboxes = Sandboxes::open(&self.work(""), disks).unwrap();
        let fetcher = Fetcher::new(Fetching::default(), config.host_paths.clone(), &self.work("")).unwrap();
        let containers = Containers::new(
            self.containerizer.clone(),
            sandboxes,
            volumes.clone(),
            fetcher,
            &config,
            instance,
            Arc::new(
                crate::executors::Executors::open(
                    &self.work(""),
                    config.executors.clone(),
                    ([127, 0, 0, 1], 5051).into(),
                )
                .unwrap(),
            ),
        );
        let checkpoints = Checkpoints::new(self.store.clone());
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        let agent = Agent::new(CoreConfig::new(info(), "0.1.0", "test"), Entropy(seed.0, seed.1));
        Driver::new(Clock::start(), agent, checkpoints, Arc::new(containers), volumes, config.master)
    }

    /// Starts an agent on what there is, and registers it.
    async fn start(&self) -> Life {
        let (handle, driver) = self.driver();
        let checkpoint = driver.checkpoints.load().await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let driver = tokio::spawn(driver.run(checkpoint, stopped));
        let (sender, said) = mpsc::channel(1_000);
        assert!(handle.put(Input::LinkUp(LINK, sender)).await.is_ok());
        let life = Life { handle, stop, driver, said };
        let ping_interval = Duration::from_secs(15);
        let agent = AgentId::new("a1").unwrap();
        life.say(ToAgent::Registered { agent, ping_interval, max_missed_pings: 5 }).await;
        life
    }

    fn launched(&self) -> Vec<ContainerSpec> {
        let calls = self.containerizer.calls().into_iter();
        calls
            .filter_map(|call| if let RecordedCall::Launch(spec) = call { Some(*spec) } else { None })
            .collect()
    }
}

impl Life {
    async fn say(&self, message: ToAgent) {
        assert!(self.handle.put(Input::Received(LINK, message)).await.is_ok());
    }

    async fn apply(&self, number: u8, conversion: Conversion) {
        let operation = AgentOperation { uuid: uuid(number), framework: None, id: None, conversion };
        self.say(ToAgent::Apply { operation: Box::new(operation) }).await;
    }

    async fn run(&self, task: &str, needs: Resources) {
        let (framework, role) = (FrameworkId::new("f1").unwrap(), Role::new("eng").unwrap());
        let (info, tasks) = (Box::new(framework_info()), vec![task_info(task, needs)]);
        self.say(ToAgent::Run { framework, info, role, tasks }).await;
    }

    /// The next thing said that `wanted` picks; others are passed over.
    async fn hears<T>(&mut self, wanted: impl Fn(FromAgent) -> Option<T>) -> T {
        let listen = async {
            loop {
                let said = self.said.recv().await.expect("the agent still speaks");
                if let Some(found) = wanted(said) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listen).await.expect("the agent says it")
    }

    async fn outcome(&mut self, number: u8) -> OperationRecord {
        self.hears(|said| match said {
            FromAgent::OperationUpdate { record, .. } if record.operation.uuid == uuid(number) => {
                Some(*record)
            }
            _ => None,
        })
        .await
    }

    async fn task_state(&mut self) -> (TaskState, Option<String>) {
        self.hears(|said| match said {
            FromAgent::Update { status, .. } => Some((status.state, status.message)),
            _ => None,
        })
        .await
    }

    /// Ends it. It tidies nothing up: what the next one finds is what a kill would have left.
    async fn ends(self) {
        self.stop.send_replace(true);
        self.driver.await.unwrap().unwrap();
    }
}

fn uuid(number: u8) -> OperationUuid {
    OperationUuid([number; 16])
}

fn info() -> AgentInfo {
    AgentInfo {
        hostname: "host".to_owned(),
        port: 5051,
        resources: Resources::parse("cpus:4;disk:100").unwrap(),
        attributes: Default::default(),
        domain: None,
        id: None,
    }
}

fn framework_info() -> FrameworkInfo {
    FrameworkInfo {
        user: String::new(),
        name: "test".to_owned(),
        failover_timeout: Duration::ZERO,
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::new(),
        labels: Labels::default(),
        roles: BTreeSet::from([Role::new("eng").unwrap()]),
        minimum_offers: BTreeMap::new(),
    }
}

fn task_info(id: &str, resources: Resources) -> TaskInfo {
    TaskInfo {
        name: id.to_owned(),
        id: TaskId::new(id).unwrap(),
        agent: AgentId::new("a1").unwrap(),
        resources,
        limits: BTreeMap::new(),
        command: Command::new(Program::Shell("true".to_owned())),
        container: ContainerInfo::default(),
        kill_grace: None,
        max_completion_time: None,
        labels: Labels::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    }
}

/// Disk reserved for `eng`; with an id, a volume on it.
fn disk(size: u64, id: Option<&str>) -> Resources {
    let kind = ReservationKind::Dynamic;
    let role = Role::new("eng").unwrap();
    let reservations = vec![Reservation { kind, role, principal: None, labels: Labels::default() }];
    let disk = id.map(|id| Disk {
        persistence: Some(Persistence { id: id.to_owned(), principal: None }),
        container_path: Some("data".to_owned()),
        ..Disk::default()
    });
    let metadata = Metadata { reservations, disk, ..Metadata::default() };
    let plain = Resources::parse(&format!("disk:{size}")).unwrap();
    let value = plain.iter().next().unwrap().value().clone();
    Resources::of([Resource::with_metadata("disk", value, metadata).unwrap()]).unwrap()
}

fn needs_volume() -> Resources {
    disk(20, Some("v1")).checked_add(&Resources::parse("cpus:1").unwrap()).unwrap()
}

/// RESERVE, CREATE and LAUNCH in one breath, as an ACCEPT has them.
async fn reserve_create_launch(life: &Life) {
    life.apply(1, Conversion::reserve(disk(20, None), None).unwrap()).await;
    life.apply(2, Conversion::create(disk(20, Some("v1"))).unwrap()).await;
    life.run("t1", needs_volume()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_patience_with_executors_begins_when_recovery_is_done() {
    let host = Host::new();
    let (framework, executor) = (FrameworkId::new("f1").unwrap(), ExecutorId::new("e1").unwrap());
    let container = ContainerId::new("c1").unwrap();
    let command = Command::new(Program::Shell("true".to_owned()));
    let record = ExecutorRecord {
        info: ExecutorInfo::custom(executor.clone(), command, Resources::new()).into(),
        role: Role::new("eng").unwrap(),
        container: container.clone(),
        shutting_down: None,
        orphaned: false,
        launched: true,
    };
    let checkpoint = Checkpoint {
        identity: Some(Identity { agent: AgentId::new("a1").unwrap(), info: info() }),
        frameworks: BTreeMap::from([(framework.clone(), framework_info())]),
        executors: BTreeMap::from([((framework, executor), record)]),
        ..Checkpoint::default()
    };
    host.containerizer.add_running(crate::containerizer::ContainerId::new("c1").unwrap());
    let (_handle, mut driver) = host.driver();

    driver.recover(checkpoint).await.unwrap();

    let patience = CoreConfig::new(info(), "0.1.0", "test").executor_reregistration_timeout;
    let deadline = driver.clock.instant(driver.agent.next_deadline().unwrap());
    assert!(deadline >= host.containerizer.recovered_at().unwrap() + patience);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_finds_the_volume_that_was_made_for_it_in_one_breath() {
    let host = Host::new();
    let mut life = host.start().await;

    reserve_create_launch(&life).await;

    assert_eq!(life.outcome(1).await.status.state, OperationState::Finished);
    assert_eq!(life.outcome(2).await.status.state, OperationState::Finished);
    assert_eq!(life.task_state().await.0, TaskState::Starting);
    let folder = host.work("volumes/roles/eng/v1");
    assert!(folder.is_dir());
    // STARTING is said once the order for the container is given, so it comes.
    while host.launched().is_empty() {
        tokio::task::yield_now().await;
    }
    let spec = host.launched().remove(0);
    let mounts: Vec<_> = spec.volumes.iter().map(|volume| volume.source.clone()).collect();
    assert_eq!(mounts, [crate::containerizer::VolumeSource::Host { path: folder, identity: None }]);
    life.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_cannot_be_made_fails_and_its_task_is_dropped() {
    let host = Host::new();
    std::fs::write(host.work("volumes"), "in the way").unwrap();
    let mut life = host.start().await;

    reserve_create_launch(&life).await;

    let failed = life.outcome(2).await.status;
    assert_eq!(failed.state, OperationState::Failed);
    let said = failed.message.unwrap();
    assert!(said.contains("volumes/roles/eng/v1") && said.contains("Not a directory"), "{said}");
    let (state, said) = life.task_state().await;
    assert_eq!(state, TaskState::Dropped);
    assert!(said.unwrap().contains("which this agent does not have"));
    assert!(host.launched().is_empty());
    life.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_and_reservations_outlive_the_agent_and_orphans_do_not() {
    let host = Host::new();
    let mut life = host.start().await;
    reserve_create_launch(&life).await;
    life.outcome(2).await;
    life.ends().await;
    std::fs::write(host.work("volumes/roles/eng/v1/file"), "kept").unwrap();
    std::fs::create_dir(host.work("volumes/roles/eng/orphan")).unwrap();

    let mut life = host.start().await;

    assert_eq!(life.outcome(2).await.status.state, OperationState::Finished, "told until acknowledged");
    let described = life.handle.describe().await.unwrap();
    assert!(described.total.contains(&disk(20, Some("v1"))), "{}", described.total);
    // The answer to this comes after all that was ordered at the start.
    life.apply(3, Conversion::reserve(disk(10, None), None).unwrap()).await;
    life.apply(4, Conversion::create(disk(10, Some("v2"))).unwrap()).await;
    life.outcome(4).await;
    assert!(!host.work("volumes/roles/eng/orphan").exists());
    assert_eq!(std::fs::read_to_string(host.work("volumes/roles/eng/v1/file")).unwrap(), "kept");
    life.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destroyed_volume_goes_with_its_data_and_its_name_is_free_again() {
    let host = Host::new();
    let mut life = host.start().await;
    life.apply(1, Conversion::reserve(disk(20, None), None).unwrap()).await;
    life.apply(2, Conversion::create(disk(20, Some("v1"))).unwrap()).await;
    life.outcome(2).await;
    std::fs::write(host.work("volumes/roles/eng/v1/file"), "of another").unwrap();

    life.apply(3, Conversion::destroy(disk(20, Some("v1"))).unwrap()).await;
    life.apply(4, Conversion::create(disk(20, Some("v1"))).unwrap()).await;

    assert_eq!(life.outcome(3).await.status.state, OperationState::Finished);
    assert_eq!(life.outcome(4).await.status.state, OperationState::Finished);
    assert_eq!(std::fs::read_dir(host.work("volumes/roles/eng/v1")).unwrap().count(), 0);
    life.ends().await;
}

/// INV-42: until the framework has heard of the failure may take any time, and a loop device is held meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_fails_leaves_nothing_mounted_though_nobody_has_heard_of_it() {
    let mut host = Host::new();
    host.disk.means = DiskMeans::Loop;
    let disks = match Disks::open(&host.work(""), host.disk.clone()) {
        Ok(disks) if nix::unistd::geteuid().is_root() => disks,
        _ => return eprintln!("skipped: needs root, loop devices and e2fsprogs"),
    };
    let failure = Failure::new(FailureReason::Internal, "as the script says");
    host.containerizer.script_launch(LaunchOutcome::Failed(failure));
    let life = host.start().await;

    life.run("t1", Resources::parse("cpus:1;disk:20").unwrap()).await;

    let below = host.work("").display().to_string();
    let ends = async {
        // It was mounted before.
        while host.launched().is_empty() {
            tokio::task::yield_now().await;
        }
        while std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&below) {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(10), ends).await;
    life.ends().await;
    disks.sweep(&[], &[]).unwrap();
    assert!(ended.is_ok(), "its sandbox is mounted still");
}
