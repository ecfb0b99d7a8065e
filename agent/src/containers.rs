//! Between the core's words and the containerizer's: what to run for a task, and how it ended.

mod files;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lonja_agent_core as core;
use lonja_agent_core::{CheckOrder, LaunchContainer, LaunchFailure, ResizeContainer, Runs, WaitStatus};
use lonja_model::container::Program;
use lonja_model::files::Uri;
use lonja_model::profile::Profile;
use lonja_model::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId, Timestamp};
use tokio::sync::Notify;

use crate::breaches::DiskBreaches;
use crate::checks::Checks;
use crate::config::{Config, HostPaths};
use crate::containerizer::{
    self, Command, ContainerSpec, Containerizer, ContainerizerError, FailureReason, InstanceId,
    LaunchOutcome, LogLimits, Recovered, TaskEnd, WindowSize,
};
use crate::disk;
use crate::disk::watch::{DiskWatch, Look};
use crate::executors::Executors;
use crate::failpoint;
use crate::fetcher::Fetcher;
use crate::groups::{self, Shared};
use crate::handle::Handle;
use crate::isolation::Usage;
use crate::output_limits;
use crate::privileges::Grants;
use crate::sandbox::{Reach, Sandboxes};
use crate::secrets::SecretResolver;
use crate::separation::{self, Separation};
use crate::task_limits::{LimitSettings, gpu_variables, limits_of, limits_together};
use crate::volumes::{Volumes, volumes_of};

/// What a task's `PATH` is unless it sets its own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Launches, ends and finds containers for the driver.
pub(crate) struct Containers {
    containerizer: Arc<dyn Containerizer>,
    sandboxes: Sandboxes,
    volumes: Volumes,
    host_paths: HostPaths,
    secrets: Option<Arc<dyn SecretResolver>>,
    pids_limit: u64,
    limits: LimitSettings,
    kill_grace: Duration,
    logs: Option<LogLimits>,
    grants: Grants,
    separation: Separation,
    instance: InstanceId,
    fetcher: Fetcher,
    /// Launches that can still be called off, as long as their files are fetched.
    fetching: Mutex<BTreeMap<ContainerId, Arc<Notify>>>,
    /// Where the files of containers in use are.
    paths: Mutex<BTreeMap<ContainerId, PathBuf>>,
    checks: Checks,
    disk_watch: DiskWatch,
    disk_breaches: DiskBreaches,
    executors: Arc<Executors>,
}

/// What became of a launch, in the core's words.
pub(crate) enum Launched {
    Started { pid: u32 },
    Failed { reason: LaunchFailure, message: String },
}

impl Containers {
    pub(crate) fn new(
        containerizer: Arc<dyn Containerizer>,
        sandboxes: Sandboxes,
        volumes: Volumes,
        fetcher: Fetcher,
        config: &Config,
        instance: InstanceId,
        executors: Arc<Executors>,
    ) -> Self {
        let disk_watch = DiskWatch::new(sandboxes.disks().clone());
        let disk_breaches = DiskBreaches::new(config.work_dir.join("run"));
        Self {
            checks: Checks::new(containerizer.clone()),
            containerizer,
            sandboxes,
            volumes,
            host_paths: config.host_paths.clone(),
            secrets: config.secrets.clone(),
            pids_limit: config.pids_limit,
            limits: config.limits.clone(),
            kill_grace: config.kill_grace,
            logs: config.logs,
            grants: config.grants.clone(),
            separation: config.separation.clone(),
            instance,
            fetcher,
            fetching: Mutex::default(),
            paths: Mutex::new(BTreeMap::new()),
            disk_watch,
            disk_breaches,
            executors,
        }
    }

    /// Notes that a container is about to be launched, so that [`Self::cancel`] finds it.
    pub(crate) fn announce(&self, container: &ContainerId) {
        self.fetching().insert(container.clone(), Arc::default());
    }

    /// Calls a launch off if that is still possible; else nothing happens, and it goes on.
    pub(crate) fn cancel(&self, container: &ContainerId) {
        if let Some(cancelled) = self.fetching().get(container) {
            cancelled.notify_one();
        }
    }

    /// Makes the sandbox and the container, and runs the task's program in it.
    pub(crate) async fn launch(&self, order: LaunchContainer, agent: Option<AgentId>) -> Launched {
        let container = order.container.clone();
        let launched = self.make(order, agent).await;
        self.fetching().remove(&container);
        launched
    }

    async fn make(&self, mut order: LaunchContainer, agent: Option<AgentId>) -> Launched {
        if let Err(message) = tokio::task::block_in_place(|| self.sandboxes.disks().has_room()) {
            self.sandboxes.collection().hurry();
            return Launched::Failed { reason: LaunchFailure::NoRoom, message };
        }
        let (container, disk_limit) = (order.container.clone(), disk::limit_of(&order.task));
        let path = self.sandboxes.path(&order.framework, &order.task.id, &order.container);
        self.paths().insert(order.container.clone(), path.clone());
        let (uris, framework) = (order.task.command.uris.clone(), order.framework.clone());
        // Users and volumes may lie on a network that does not answer: the other tasks of this process go on.
        let prepared = tokio::task::block_in_place(|| {
            let allowed = self.separation.profile(order.task.container.profile);
            // Who asks for a profile and does not get it has a sandbox all the same, with nothing in it.
            let profile = *allowed.as_ref().unwrap_or(&Profile::Default);
            order.user = separation::user(profile, order.user);
            // Only who shares the host's root comes in by the path outside.
            let reach = if profile == Profile::Host { Reach::Everyone } else { Reach::Agent };
            let made = self.sandboxes.create(&path, order.user.as_deref(), reach, disk_limit);
            made.map_err(|error| format!("cannot make the sandbox: {error}"))?;
            failpoint::reach("agent: sandbox made");
            let profile = allowed?;
            let shared = groups::share(&order, &self.sandboxes, reach)?;
            if let (Runs::InGroup { parent, .. }, Some(sandbox)) = (&order.runs, &shared.sandbox) {
                self.paths().insert(parent.clone(), sandbox.clone());
            }
            self.spec(order, profile, path.clone(), shared, agent)
        });
        let cancelled = self.fetching().get(&container).cloned();
        let fetched = match &prepared {
            Ok(spec) => {
                let is_held = self.sandboxes.disks().enforcement().not_enforced.is_none();
                self.fetch(&framework, &uris, spec, disk_limit.filter(|_| is_held), cancelled).await
            }
            Err(_) => Ok(()),
        };
        let launched = match fetched.and(prepared) {
            Ok(spec) => self.run(spec).await,
            Err(message) => Launched::Failed { reason: LaunchFailure::Container, message },
        };
        match &launched {
            Launched::Started { .. } => self.disk_watch.add(container, path, disk_limit),
            // Nothing lives in it, and until the framework has heard that may take any time.
            Launched::Failed { .. } => tokio::task::block_in_place(|| self.sandboxes.release(&path)),
        }
        launched
    }

    async fn run(&self, spec: ContainerSpec) -> Launched {
        match self.containerizer.launch(spec).await {
            LaunchOutcome::Started { pid } => {
                Launched::Started { pid: u32::try_from(pid).unwrap_or_default() }
            }
            LaunchOutcome::Failed(failure) => {
                let reason = match failure.reason {
                    FailureReason::Command => LaunchFailure::Command,
                    _ => LaunchFailure::Container,
                };
                Launched::Failed { reason, message: failure.message }
            }
        }
    }

    async fn fetch(
        &self,
        framework: &FrameworkId,
        uris: &[Uri],
        spec: &ContainerSpec,
        disk: Option<u64>,
        cancelled: Option<Arc<Notify>>,
    ) -> Result<(), String> {
        if uris.is_empty() {
            return Ok(());
        }
        let called_off = async {
            match cancelled {
                Some(cancelled) => cancelled.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            fetched = self.fetcher.fetch(framework, uris, &spec.sandbox, spec.user.as_deref(), disk) => fetched,
            () = called_off => Err("killed while its files were fetched".to_owned()),
        }
    }

    fn spec(
        &self,
        order: LaunchContainer,
        profile: Profile,
        sandbox: PathBuf,
        shared: Shared,
        agent: Option<AgentId>,
    ) -> Result<ContainerSpec, String> {
        let mut environment = environment(&order, &sandbox, agent, self.executors.endpoint());
        let logs = output_limits::of_task(self.logs, &environment)?;
        let limits = limits_of(&order.task, &self.limits, self.pids_limit, &sandbox)?;
        let LaunchContainer { container, task, user, runs, .. } = order;
        let command = match &task.command.program {
            Program::Shell(line) => Command::Shell(line.clone()),
            Program::Exec { path, arguments } => {
                Command::Argv { program: path.clone(), args: arguments.iter().skip(1).cloned().collect() }
            }
        };
        let mut volumes = Vec::with_capacity(task.container.volumes.len());
        for volume in volumes_of(&task.resources) {
            let prepared = self.volumes.prepare(volume, user.as_deref());
            volumes.push(prepared.map_err(|error| format!("volume {volume}: {error}"))?);
        }
        let store = self.secrets.as_deref();
        volumes.extend(files::volumes(&task, limits.memory_bytes, &self.host_paths, store)?);
        files::reveal_variables(&task, &mut environment, store)?;
        volumes.extend(shared.volumes);
        if let Runs::Executor(_) = runs {
            let grace = task.kill_grace.unwrap_or(self.kill_grace);
            let surroundings = self.executors.surroundings(&container);
            surroundings.furnish(profile, grace, &mut environment, &mut volumes);
        }
        Ok(ContainerSpec {
            container_id: containerizer::ContainerId::new(container.as_str())
                .map_err(|error| error.to_string())?,
            sandbox,
            command,
            environment,
            user,
            hostname: task.container.hostname,
            volumes,
            limits,
            network: separation::network(task.container.network),
            kill_grace: task.kill_grace.unwrap_or(self.kill_grace),
            logs,
            tty: task.container.tty.map(|size| WindowSize { rows: size.rows, columns: size.columns }),
            confinement: self
                .grants
                .confine(self.separation.confinement(profile), &task.container.privileges)?,
            profile,
            isolation: self.separation.isolation.clone(),
            joins: shared.joins,
            stdin: task.container.stdin && task.container.tty.is_none(),
        })
    }

    /// Custom executors, and what is said to them.
    pub(crate) fn executors(&self) -> &Arc<Executors> {
        &self.executors
    }

    /// Holds a running executor to what it and its tasks need by now.
    pub(crate) fn resize(&self, order: &ResizeContainer) {
        let limits = limits_together(&order.together.resources, &order.together.limits, &self.limits);
        let Ok(id) = named(&order.container) else { return };
        self.disk_watch.relimit(&order.container, disk::limit_in(&order.together.resources));
        if let Err(error) = tokio::task::block_in_place(|| self.containerizer.resize(&id, &limits)) {
            let error = chain(&error);
            tracing::warn!(container = %order.container, error, "container is not held to what it needs by now");
        }
    }

    /// Looks at a task, or gives a look up.
    pub(crate) fn look(&self, order: CheckOrder, handle: Handle) {
        self.checks.carry_out(order, handle);
    }

    /// Resolves when nothing of the container is alive, with how it ended.
    pub(crate) async fn wait(&self, container: &ContainerId) -> core::ContainerExit {
        let exit = match named(container) {
            Ok(id) => self.containerizer.wait(&id).await.map_err(|error| chain(&error)),
            Err(error) => Err(error),
        };
        match exit {
            Ok(exit) => {
                self.disk_watch.remove(container);
                let path = self.paths().get(container).cloned();
                if let Some(path) = path {
                    tokio::task::block_in_place(|| self.sandboxes.release(&path));
                }
                core::ContainerExit { disk_breach: self.disk_breaches.of(container), ..exit_of(exit) }
            }
            // Perhaps something of it is alive.
            Err(why) => core::ContainerExit::new(WaitStatus::Unknown { why }),
        }
    }

    /// Looks at what running containers have on disk, and ends those that have too much, for ever.
    pub(crate) async fn watch_disks(&self) {
        loop {
            let (container, breach) = self.disk_watch.next_breach().await;
            tracing::info!(
                %container,
                limit_bytes = breach.limit_bytes,
                used_bytes = breach.used_bytes,
                "disk limit exceeded: ending the container"
            );
            tokio::task::block_in_place(|| self.disk_breaches.note(&container, breach));
            self.kill(&container, Duration::ZERO).await;
        }
    }

    /// The host was short of memory: containers that the kernel took a process of are ended whole.
    pub(crate) fn look_for_breaches(&self) {
        for container in self.disk_watch.containers() {
            let looked = named(&container).map(|id| self.containerizer.look_for_breach(&id));
            if let Ok(Err(error)) = looked {
                tracing::debug!(%container, error = chain(&error), "cannot look for a breach of memory");
            }
        }
    }

    /// A container that runs on after a restart of the agent is looked at again.
    pub(crate) fn watch_disk_of(&self, container: &ContainerId, limit: Option<u64>) {
        let path = self.paths().get(container).cloned();
        if let Some(path) = path {
            self.disk_watch.add(container.clone(), path, limit);
        }
        // Perhaps the host was short of memory while nobody looked.
        if let Ok(id) = named(container) {
            let _ended = self.containerizer.look_for_breach(&id);
        }
    }

    /// What the container's sandbox may hold, in bytes, and what it was last found to hold.
    pub(crate) fn disk_use(&self, container: &ContainerId) -> (Option<u64>, Option<Look>) {
        self.disk_watch.last(container)
    }

    /// What the container uses now. Errors: it is gone, or the host cannot tell.
    pub(crate) fn usage(&self, container: &ContainerId) -> Result<Usage, String> {
        self.containerizer.usage(&named(container)?).map_err(|error| chain(&error))
    }

    /// Where the files of a container are.
    pub(crate) fn path(&self, framework: &FrameworkId, task: &TaskId, container: &ContainerId) -> PathBuf {
        self.sandboxes.path(framework, task, container)
    }

    /// The files of tasks.
    pub(crate) fn sandboxes(&self) -> &Sandboxes {
        &self.sandboxes
    }

    /// Asks the container to end.
    pub(crate) async fn kill(&self, container: &ContainerId, grace: Duration) {
        let Ok(id) = named(container) else { return };
        failpoint::reach("agent: kill begun");
        let asked = self.containerizer.kill(&id, Some(grace)).await;
        failpoint::reach("agent: kill asked");
        match asked {
            Ok(()) | Err(ContainerizerError::NotFound(_)) => {}
            Err(error) => tracing::error!(%container, error = chain(&error), "container cannot be killed"),
        }
    }

    /// Nobody asks about the container any more: its run directory goes, its files begin to age.
    pub(crate) async fn forget(&self, container: &ContainerId) {
        let Ok(id) = named(container) else { return };
        failpoint::reach("agent: before the clean-up");
        match self.containerizer.cleanup(&id).await {
            Ok(()) | Err(ContainerizerError::NotFound(_)) => {}
            Err(error) => tracing::warn!(%container, error = chain(&error), "run directory stays behind"),
        }
        self.disk_watch.remove(container);
        self.disk_breaches.forget(container);
        let path = self.paths().remove(container);
        if let Some(path) = path {
            tokio::task::block_in_place(|| self.sandboxes.ended(path));
        }
        failpoint::reach("agent: cleaned up");
    }

    /// Finds containers again after a restart of the agent; those that no record names are destroyed.
    pub(crate) async fn recover(
        &self,
        expected: &[(ContainerId, FrameworkId, TaskId)],
        shared: &[(ContainerId, FrameworkId, ExecutorId)],
        now: Timestamp,
    ) -> Result<Vec<(ContainerId, core::Recovery)>, ContainerizerError> {
        let mut ids = Vec::with_capacity(expected.len());
        let mut names = BTreeMap::new();
        for (container, framework, task) in expected {
            self.paths().insert(container.clone(), self.sandboxes.path(framework, task, container));
            if let Ok(id) = named(container) {
                names.insert(id.clone(), container.clone());
                ids.push(id);
            }
        }
        for (container, framework, executor) in shared {
            let path = self.sandboxes.path(framework, &groups::as_task(executor), container);
            self.paths().insert(container.clone(), path);
        }
        let recovery = self.containerizer.recover(&ids).await?;
        for stranger in &recovery.destroyed {
            tracing::warn!(container = stranger, "a container without a record was destroyed");
        }
        let own = expected.iter().map(|(container, _, _)| container);
        let in_use: Vec<ContainerId> =
            own.chain(shared.iter().map(|(container, _, _)| container)).cloned().collect();
        let running =
            recovery.containers.iter().filter(|(_, state)| matches!(state, Recovered::Running { .. }));
        let living: Vec<PathBuf> = running
            .filter_map(|(id, _)| names.get(id))
            .filter_map(|container| self.paths().get(container).cloned())
            .collect();
        tokio::task::block_in_place(|| self.sandboxes.find_ended(&in_use, &living));
        let found = recovery.containers.into_iter().filter_map(|(id, state)| {
            let container = names.get(&id)?.clone();
            let state = match state {
                Recovered::Running { pid } => {
                    let pid = pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
                    let age = recovery.ages.get(&id);
                    core::Recovery::Running { pid, since: age.map(|age| now - *age) }
                }
                Recovered::Exited(exit) => core::Recovery::Exited(core::ContainerExit {
                    disk_breach: self.disk_breaches.of(&container),
                    ..exit_of(exit)
                }),
                Recovered::NeverStarted => core::Recovery::NeverStarted,
            };
            Some((container, state))
        });
        Ok(found.collect())
    }

    /// The files of a task: of its container in use, else of its newest run.
    pub(crate) fn sandbox(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
        container: Option<&ContainerId>,
    ) -> Option<PathBuf> {
        match container {
            Some(container) => Some(self.sandboxes.path(framework, task, container)),
            None => self.sandboxes.newest(framework, task),
        }
    }

    fn fetching(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Arc<Notify>>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paths(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, PathBuf>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the control groups of this agent on the host.
    pub(crate) fn instance(&self) -> &str {
        self.instance.as_str()
    }
}

fn named(container: &ContainerId) -> Result<containerizer::ContainerId, String> {
    containerizer::ContainerId::new(container.as_str()).map_err(|error| error.to_string())
}

/// What a task finds in its environment beside its own variables; its own win.
///
/// Source: Mesos, environment of executors and command tasks.
fn environment(
    order: &LaunchContainer,
    sandbox: &std::path::Path,
    agent: Option<AgentId>,
    endpoint: SocketAddr,
) -> BTreeMap<String, String> {
    let task = &order.task;
    let sandbox = sandbox.display().to_string();
    let agent = agent.map(|agent| agent.to_string()).unwrap_or_default();
    let mut environment: BTreeMap<String, String> = [
        ("PATH", PATH.to_owned()),
        ("HOME", sandbox.clone()),
        ("PWD", sandbox.clone()),
        ("MESOS_SANDBOX", sandbox.clone()),
        ("MESOS_DIRECTORY", sandbox),
        ("MESOS_TASK_ID", task.id.to_string()),
        ("MESOS_EXECUTOR_ID", task.executor_id().map_or(task.id.as_str(), ExecutorId::as_str).to_owned()),
        ("MESOS_FRAMEWORK_ID", order.framework.to_string()),
        ("MESOS_AGENT_ID", agent.clone()),
        ("MESOS_SLAVE_ID", agent),
        ("MESOS_SLAVE_PID", format!("slave(1)@{endpoint}")),
        ("MESOS_AGENT_ENDPOINT", endpoint.to_string()),
        ("MESOS_CONTAINER_ID", order.container.to_string()),
        ("MESOS_ALLOCATION_ROLE", order.role.to_string()),
        ("MESOS_CHECKPOINT", "1".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let ports: Vec<String> =
        task.resources.ranges("ports").numbers().take(256).map(|port| port.to_string()).collect();
    for (index, port) in ports.iter().enumerate() {
        environment.insert(format!("PORT{index}"), port.clone());
    }
    if let Some(first) = ports.first() {
        environment.insert("PORT".to_owned(), first.clone());
        environment.insert("PORTS".to_owned(), ports.join(","));
    }
    if let Runs::Executor(_) = order.runs {
        environment.remove("MESOS_TASK_ID");
    }
    environment.extend(gpu_variables(&task.resources));
    environment.extend(task.command.environment.clone());
    environment
}

fn exit_of(exit: containerizer::ContainerExit) -> core::ContainerExit {
    let unknown = |why: String| core::ContainerExit::new(WaitStatus::Unknown { why });
    match exit {
        containerizer::ContainerExit::NeverStarted => unknown("it was given up before it ran".to_owned()),
        containerizer::ContainerExit::Unknown { why } => unknown(why),
        containerizer::ContainerExit::Ended(record) => {
            let status = match record.status {
                Some(TaskEnd::Exited(code)) => WaitStatus::Exited(code),
                Some(TaskEnd::Signaled(signal)) => WaitStatus::Signaled(signal),
                None => WaitStatus::Unknown { why: "its program did not run".to_owned() },
            };
            let refused = record.refused_forks.map(|refused| {
                format!("{} forks failed: it may have {} processes", refused.count, refused.limit)
            });
            core::ContainerExit {
                status,
                killed_by_request: record.kill_requested,
                memory_breach: record.memory_breach.map(|breach| core::MemoryBreach {
                    limit_bytes: breach.limit_bytes,
                    peak_bytes: breach.peak_bytes,
                    host_was_short: breach.host_was_short,
                }),
                message: record.failure.map(|failure| failure.message).or(refused),
                disk_breach: None,
            }
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
