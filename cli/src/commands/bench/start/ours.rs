//! Our own containers, made as an agent makes them: a durable record first, then the launch.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lonja_agent::containerizer::{
    Command, Confinement, ContainerExit, ContainerId, ContainerSpec, Containerizer, InstanceId, Isolation,
    LaunchOutcome, Limits, LinuxContainerizer, Mould, Network, Settings, TaskEnd,
};
use lonja_agent::isolation::Layout;
use lonja_agent::launcher::Launcher;
use lonja_model::profile::Profile;

/// As much as an agent writes down of a small task.
const RECORD: [u8; 1024] = [b'-'; 1024];

/// What one container took.
pub(super) struct Life {
    /// From the launch to the exec of its program: what a task waits for.
    pub(super) started: Duration,
    /// Until it has ended and nothing of it is left, as the peers' `run` does it.
    pub(super) whole: Duration,
}

/// A containerizer for a bench.
pub(super) struct Ours {
    containerizer: LinuxContainerizer,
    work_dir: PathBuf,
    journal: std::sync::Mutex<File>,
    made: std::sync::atomic::AtomicU64,
}

impl Ours {
    pub(super) fn start(launcher: &Launcher, work_dir: &Path) -> anyhow::Result<Self> {
        let instance = InstanceId::new(format!("bench{}", std::process::id()))?;
        let layout = Layout::detect();
        let mould = Mould::new(Profile::Default, Isolation::default());
        let settings = Settings { work_dir: work_dir.join("work"), instance, layout, mould };
        let containerizer = LinuxContainerizer::new(settings, launcher)?;
        let journal = OpenOptions::new().create(true).append(true).open(work_dir.join("journal"))?;
        Ok(Self { containerizer, work_dir: work_dir.to_owned(), journal: journal.into(), made: 0.into() })
    }

    fn spec(&self, program: &str, args: &[&str], network: Network) -> anyhow::Result<ContainerSpec> {
        let number = self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("bench-{number}");
        let sandbox = self.work_dir.join("sandboxes").join(&id);
        fs::create_dir_all(&sandbox)?;
        super::noop::write(&sandbox.join("noop"))?;
        Ok(ContainerSpec {
            container_id: ContainerId::new(id)?,
            sandbox,
            command: Command::Argv {
                program: program.to_owned(),
                args: args.iter().map(|one| (*one).to_owned()).collect(),
            },
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            user: None,
            hostname: None,
            volumes: Vec::new(),
            limits: Limits {
                cpus_thousandths: Some(1_000),
                memory_bytes: Some(64 << 20),
                pids_max: Some(256),
                ..Limits::default()
            },
            network,
            kill_grace: Duration::from_secs(1),
            logs: crate::args::log_limits(10.0, 5),
            confinement: Confinement::standard(),
            profile: Profile::Default,
            isolation: Isolation::default(),
            tty: None,
            joins: None,
            stdin: false,
        })
    }

    async fn launch(&self, spec: ContainerSpec) -> anyhow::Result<Duration> {
        let began = Instant::now();
        tokio::task::block_in_place(|| {
            let mut journal = self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            journal.write_all(&RECORD)?;
            journal.sync_data()
        })?;
        match self.containerizer.launch(spec).await {
            LaunchOutcome::Started { .. } => Ok(began.elapsed()),
            LaunchOutcome::Failed(failure) => bail!("a container does not start: {failure}"),
        }
    }

    /// One container of the no-op, from its launch to its last trace.
    pub(super) async fn once(&self, network: Network) -> anyhow::Result<Life> {
        let spec = self.spec("./noop", &[], network)?;
        let (id, sandbox) = (spec.container_id.clone(), spec.sandbox.clone());
        let began = Instant::now();
        let started = self.launch(spec).await?;
        match self.containerizer.wait(&id).await? {
            ContainerExit::Ended(record) if record.status == Some(TaskEnd::Exited(0)) => {}
            other => bail!("the no-op ended otherwise: {other:?}"),
        }
        self.containerizer.cleanup(&id).await?;
        let whole = began.elapsed();
        fs::remove_dir_all(&sandbox).context("the sandbox of the no-op")?;
        Ok(Life { started, whole })
    }

    /// Containers that sleep; ended with the launcher.
    pub(super) async fn sleepers(&self, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            let spec = self.spec("sleep", &["100000"], Network::Host)?;
            self.launch(spec).await?;
        }
        Ok(())
    }
}
