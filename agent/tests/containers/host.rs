//! A host for one check: a work directory, an instance, sandboxes; all gone afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lonja_agent::containerizer::{
    Command, Confinement, ContainerExit, ContainerId, ContainerSpec, Containerizer, ExitRecord, Failure,
    InstanceId, Isolation, LaunchOutcome, Limits, LinuxContainerizer, LogLimits, Mould, Network, Settings,
};
use lonja_agent::isolation::{GroupName, Layout};
use lonja_agent::launcher::Launcher;
use lonja_agent::supervisor::{Owner, Supervisor};
use lonja_model::profile::Profile;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

pub const ROOT_NEEDED: &str = "needs root";

/// How long a supervisor that was killed may take to be gone.
const ENDS_WITHIN: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Skips a check that only root can make.
pub fn need_root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(ROOT_NEEDED.to_owned()) }
}

pub struct Host {
    pub dir: tempfile::TempDir,
    pub instance: InstanceId,
    pub layout: Layout,
    pub containerizer: LinuxContainerizer,
}

impl Host {
    pub fn new(launcher: &Launcher) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Tasks of other users have to reach their sandboxes.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        let instance = InstanceId::new(format!("test{}", name.trim_start_matches('.'))).unwrap();
        Self::in_directory(launcher, dir, instance)
    }

    fn in_directory(launcher: &Launcher, dir: tempfile::TempDir, instance: InstanceId) -> Self {
        let layout = Layout::detect();
        let containerizer = containerizer(dir.path(), &instance, launcher);
        Self { dir, instance, layout, containerizer }
    }

    /// Whether this agent can do what root can.
    pub fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    pub fn sandbox(&self, id: &str) -> PathBuf {
        sandbox(self.dir.path(), id)
    }

    pub fn spec(&self, id: &str, line: &str) -> ContainerSpec {
        spec(self.dir.path(), id, line)
    }

    pub async fn start(&self, spec: ContainerSpec) -> i32 {
        match self.containerizer.launch(spec).await {
            LaunchOutcome::Started { pid } => pid,
            LaunchOutcome::Failed(failure) => panic!("not started: {failure:?}"),
        }
    }

    /// Another containerizer for this work directory, on this host's `layout` as it was set.
    pub fn containerizer_of_its_own(&self, launcher: &Launcher) -> LinuxContainerizer {
        let settings = Settings { layout: self.layout.clone(), ..settings(self.dir.path(), &self.instance) };
        LinuxContainerizer::new(settings, launcher).unwrap()
    }

    pub async fn start_with(&self, containerizer: &LinuxContainerizer, spec: ContainerSpec) -> i32 {
        match containerizer.launch(spec).await {
            LaunchOutcome::Started { pid } => pid,
            LaunchOutcome::Failed(failure) => panic!("not started: {failure:?}"),
        }
    }

    pub async fn start_shell(&self, id: &str, line: &str) -> i32 {
        self.start(self.spec(id, line)).await
    }

    pub async fn fail(&self, spec: ContainerSpec) -> Failure {
        match self.containerizer.launch(spec).await {
            LaunchOutcome::Started { .. } => panic!("started, expected to fail"),
            LaunchOutcome::Failed(failure) => failure,
        }
    }

    pub async fn end_of(&self, id: &str) -> ExitRecord {
        match self.exit_of(id).await {
            ContainerExit::Ended(record) => record,
            other => panic!("ended without a record: {other:?}"),
        }
    }

    pub async fn exit_of(&self, id: &str) -> ContainerExit {
        self.containerizer.wait(&name(id)).await.unwrap()
    }

    pub async fn kill(&self, id: &str, grace: Duration) {
        let id = name(id);
        self.containerizer.kill(&id, Some(grace)).await.unwrap();
    }

    /// Runs a shell line to its end and returns what it wrote.
    pub async fn output(&self, spec: ContainerSpec) -> String {
        let id = spec.container_id.to_string();
        self.start(spec).await;
        self.end_of(&id).await;
        self.log(&id, "stdout")
    }

    pub fn log(&self, id: &str, stream: &str) -> String {
        fs::read_to_string(self.sandbox(id).join(stream)).unwrap()
    }

    /// The container's supervisor and control group.
    pub fn owner(&self, id: &str) -> Supervisor {
        match Owner::read(&self.dir.path().join("work/run").join(id)).unwrap() {
            Some(Owner::Supervisor(supervisor)) => supervisor,
            other => panic!("not under a supervisor: {other:?}"),
        }
    }

    /// The supervisors that live, of all containers that have a run directory.
    fn supervisors(&self) -> Vec<OwnedFd> {
        let run_dirs = fs::read_dir(self.dir.path().join("work/run")).into_iter().flatten().flatten();
        let owners = run_dirs.filter_map(|run_dir| Owner::read(&run_dir.path()).ok().flatten());
        let open = |owner| match owner {
            Owner::Supervisor(supervisor) => supervisor.process.open().ok().flatten(),
            Owner::Abandoned => None,
        };
        owners.filter_map(open).collect()
    }

    /// The groups of all containers that have a run directory.
    fn used_groups(&self) -> BTreeSet<GroupName> {
        let run_dirs = fs::read_dir(self.dir.path().join("work/run")).into_iter().flatten().flatten();
        let owners = run_dirs.filter_map(|run_dir| Owner::read(&run_dir.path()).ok().flatten());
        let groups = owners.filter_map(|owner| match owner {
            Owner::Supervisor(supervisor) => Some(supervisor.group),
            Owner::Abandoned => None,
        });
        groups.collect()
    }

    /// The groups of spares, used or not.
    pub fn spares(&self) -> BTreeSet<GroupName> {
        let mut groups = self.layout.groups(&self.instance).unwrap();
        groups.retain(GroupName::is_spare);
        groups
    }

    /// A named pipe in the sandbox, by which a task tells that it has come to some point.
    pub fn make_fifo(&self, id: &str) -> PathBuf {
        let path = self.sandbox(id).join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        // Whatever the mask, and for every user: where files cannot be shown as the container's own they stay ours.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        path
    }

    /// After a check: nothing of this instance is left anywhere.
    pub fn assert_no_traces(&self) {
        // Spares wait for the next container; those that had one are as much a trace as any other.
        let mut left = self.layout.groups(&self.instance).unwrap();
        let used = self.used_groups();
        left.retain(|group| !group.is_spare() || used.contains(group));
        assert!(left.is_empty(), "control groups left: {left:?}");
        let mark = self.dir.path().to_str().unwrap();
        assert_eq!(processes_with(mark), Vec::<i32>::new(), "processes left");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Also after a failed check. Known by their run directories, which go with the folder.
        let supervisors = self.supervisors();
        if let Err(error) = self.containerizer.remove_instance() {
            eprintln!("cannot clean up: {error}");
        }
        // Without control groups nothing else ends them, and their containers with them; with them they may still be
        // writing the end down, in a folder that is about to be removed.
        for supervisor in supervisors {
            let _ended = pidfd_send_signal(&supervisor, Signal::KILL);
            let gone = poll(&mut [PollFd::new(&supervisor, PollFlags::IN)], Some(&ENDS_WITHIN));
            if !gone.is_ok_and(|count| count > 0) {
                eprintln!("a supervisor has not ended within {ENDS_WITHIN:?}");
            }
        }
    }
}

pub fn containerizer(work: &Path, instance: &InstanceId, launcher: &Launcher) -> LinuxContainerizer {
    LinuxContainerizer::new(settings(work, instance), launcher).unwrap()
}

fn settings(work: &Path, instance: &InstanceId) -> Settings {
    Settings {
        work_dir: work.join("work"),
        instance: instance.clone(),
        layout: Layout::detect(),
        mould: Mould::new(Profile::Default, Isolation::default()),
    }
}

pub fn sandbox(work: &Path, id: &str) -> PathBuf {
    let sandbox = work.join("sandboxes").join(id);
    fs::create_dir_all(&sandbox).unwrap();
    sandbox
}

/// A shell line whose processes carry the work directory in their environment, to be found by it.
pub fn spec(work: &Path, id: &str, line: &str) -> ContainerSpec {
    let variables = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("MARK", work.to_str().unwrap())];
    ContainerSpec {
        container_id: name(id),
        sandbox: sandbox(work, id),
        command: Command::Shell(line.to_owned()),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        user: None,
        hostname: None,
        volumes: Vec::new(),
        limits: Limits { cpus_thousandths: Some(1_000), pids_max: Some(256), ..Limits::default() },
        network: Network::Host,
        kill_grace: Duration::from_secs(30),
        tty: None,
        logs: Some(LogLimits { stdout_bytes: 1 << 20, stderr_bytes: 1 << 20, files: 3 }),
        confinement: Confinement::standard(),
        profile: Profile::Default,
        isolation: Isolation::default(),
        joins: None,
        stdin: false,
    }
}

pub fn name(id: &str) -> ContainerId {
    ContainerId::new(id).unwrap()
}

/// Processes of this host with `MARK=mark` in their environment.
pub fn processes_with(mark: &str) -> Vec<i32> {
    let wanted = format!("MARK={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|text| text == wanted.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// Looks again and again until the condition holds; for what the kernel has no event for.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn read_fifo(path: &Path) -> String {
    tokio::fs::read_to_string(path).await.unwrap()
}
