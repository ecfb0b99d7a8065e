//! Containers of Linux namespaces and control groups, each under a supervisor of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;

use super::nested::{self, Leftovers, NestedInput, NestedProcess, Terminal};
use super::running::{self, Found, Supervisor};
use super::{ContainerExit, ContainerId, Containerizer, ContainerizerError, LaunchOutcome, Recovery};
use crate::failpoint;
use crate::isolation::{
    Cgroup, Enforcement, GroupName, InstanceId, IsolationError, Layout, Limits, network_of,
};
use crate::launcher::{self, Launcher};
use crate::supervisor::{
    ContainerSpec, ExitRecord, ExitRecordError, Failure, FailureReason, LARGEST_ORDER, LARGEST_REPORT, Mould,
    Nested, Order, Owner, Report, SpecError, sys, tty_door,
};

/// How long spares may take to be gone before their groups are removed under them.
const SPARES_PATIENCE: Duration = Duration::from_secs(10);

/// Where and for whom containers run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The agent's work directory; run directories are made in `run/` below it.
    pub work_dir: PathBuf,
    /// The agent instance: the same for as long as the work directory is.
    pub instance: InstanceId,
    /// The host's control groups, usually [`Layout::detect`].
    pub layout: Layout,
    /// What most containers will be made of: some of it is made ahead of time.
    pub mould: Mould,
}

/// The containerizer of a Linux agent.
pub struct LinuxContainerizer {
    pub(super) run_root: PathBuf,
    pub(super) instance: InstanceId,
    pub(super) layout: Layout,
    launcher: AsyncFd<OwnedFd>,
    /// The launcher in the names of its spares' control groups.
    pub(super) launcher_name: String,
    /// Supervisors known to be ours; others are found by their run directory.
    supervisors: Mutex<BTreeMap<ContainerId, Arc<Supervisor>>>,
    /// Whether the launcher keeps spares on our behalf.
    warm: AtomicBool,
}

impl LinuxContainerizer {
    /// Makes the run directory, and has the launcher prepare for launches. Call inside the tokio runtime that will drive the containers.
    ///
    /// Errors: the directory cannot be made, or the launcher's line not be watched.
    pub fn new(settings: Settings, launcher: &Launcher) -> io::Result<Self> {
        let run_root = settings.work_dir.join("run");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&run_root)?;
        // Supervisors have another working directory.
        let run_root = fs::canonicalize(run_root)?;
        let line = launcher.connect()?;
        // Without spares launches just take longer, so whatever stands in the way may.
        let warm = !matches!(settings.layout, Layout::Unlimited { .. })
            && launcher::send_warm_up(line.as_fd(), &settings.instance, &settings.layout, &settings.mould)
                .is_ok();
        Ok(Self {
            run_root,
            instance: settings.instance,
            layout: settings.layout,
            launcher: running::watched(line, Interest::READABLE | Interest::WRITABLE)?,
            launcher_name: launcher.name().to_owned(),
            supervisors: Mutex::new(BTreeMap::new()),
            warm: AtomicBool::new(warm),
        })
    }

    /// For each limit whether this host enforces it; for the agent's info and `--require-isolation`.
    pub fn what_is_enforced(&self) -> Vec<Enforcement> {
        self.layout.what_is_enforced()
    }

    /// What the container uses now. Errors: it is gone, or the host cannot tell.
    pub fn usage(&self, container: &ContainerId) -> Result<crate::isolation::Usage, IsolationError> {
        let cgroup = self.cgroup_of(container);
        let mut usage = cgroup.usage()?;
        // All of a container's processes share its network, so any of them tells.
        usage.network = cgroup.members()?.first().and_then(|pid| network_of(*pid));
        Ok(usage)
    }

    fn cgroup_of(&self, container: &ContainerId) -> Box<dyn Cgroup> {
        self.layout.container(&self.instance, &self.group_name(container))
    }

    fn group_name(&self, container: &ContainerId) -> GroupName {
        let known = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        let group = known.get(container).map(|supervisor| supervisor.group().clone());
        drop(known);
        let group = group.or_else(|| self.group_of(container.as_str()));
        group.unwrap_or_else(|| container.clone().into())
    }

    /// Resolves when there is no launcher any more: nothing can be launched then by this process. Errors: its line cannot be
    /// watched.
    pub async fn launcher_gone(&self) -> io::Result<()> {
        loop {
            let mut ready = self.launcher.readable().await?;
            let mut entry = [sys::poll_entry(Some(self.launcher.get_ref().as_fd()), libc::POLLIN)];
            sys::poll(&mut entry, Some(Duration::ZERO))?;
            if entry[0].revents & (libc::POLLHUP | libc::POLLERR) != 0 {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Removes every control group of this instance, killing what runs in them. For the end of a
    /// throw-away agent or the removal of its work directory. Launches still work, and take longer. Blocks.
    pub fn remove_instance(&self) -> Result<(), IsolationError> {
        if let Ok(gone) = self.cool_down() {
            let mut entry = [sys::poll_entry(Some(gone.as_fd()), libc::POLLIN)];
            let _ = sys::poll(&mut entry, Some(SPARES_PATIENCE));
        }
        self.layout.remove_instance(&self.instance)
    }

    /// Has the launcher end our spares; what is returned hangs up when they are gone.
    fn cool_down(&self) -> io::Result<OwnedFd> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        if !self.warm.swap(false, Ordering::Relaxed) {
            return Ok(read);
        }
        launcher::send_cool_down(self.launcher.get_ref().as_fd(), &self.instance, write.as_fd())?;
        Ok(read)
    }

    pub(super) fn run_dir(&self, container: &str) -> PathBuf {
        self.run_root.join(container)
    }

    pub(super) fn group_of(&self, container: &str) -> Option<GroupName> {
        running::group_of(&self.run_dir(container), container)
    }

    fn remember(&self, container: &ContainerId, supervisor: Supervisor) -> Arc<Supervisor> {
        let supervisor = Arc::new(supervisor);
        let mut known = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(container.clone(), Arc::clone(&supervisor));
        supervisor
    }

    fn forget(&self, container: &ContainerId) {
        let mut known = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(container);
    }

    /// The container's supervisor: `Ok(None)` when it was given up, or ended.
    ///
    /// An unclaimed container is given up here and now, since nobody could be asked to end it.
    pub(super) fn supervisor(
        &self,
        container: &ContainerId,
    ) -> Result<Option<Arc<Supervisor>>, ContainerizerError> {
        let known = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(supervisor) = known.get(container) {
            return Ok(Some(Arc::clone(supervisor)));
        }
        drop(known);
        match self.find_or_abandon(container.as_str())? {
            Found::NoDirectory => Err(ContainerizerError::NotFound(container.clone())),
            Found::Supervised(Some(supervisor)) => Ok(Some(self.remember(container, supervisor))),
            Found::Supervised(None) | Found::Unclaimed | Found::Abandoned | Found::OtherBoot => Ok(None),
        }
    }

    /// Never `Unclaimed`: what nobody owns is abandoned.
    pub(super) fn find_or_abandon(&self, container: &str) -> Result<Found, ContainerizerError> {
        let run_dir = self.run_dir(container);
        let found = running::find(&run_dir, container)?;
        if !matches!(found, Found::Unclaimed) {
            return Ok(found);
        }
        let claimed = Owner::Abandoned.claim(&run_dir).map_err(|error| ContainerizerError::RunDirectory {
            what: "abandon the launch",
            container: container.to_owned(),
            source: error.into(),
        })?;
        if claimed {
            return Ok(Found::Abandoned);
        }
        // A supervisor was faster, and an owner never changes.
        running::find(&run_dir, container)
    }

    async fn start(&self, spec: ContainerSpec) -> Result<i32, Failure> {
        let container = spec.container_id.clone();
        spec.validate().map_err(|error| invalid(&error))?;
        let mould = Mould::of(&spec);
        let run_dir = self.prepare(spec).await?;
        let report = match self.request(&mould, &run_dir).await {
            Ok(pipe) => read_report(pipe).await,
            Err(error) => {
                let what = "cannot reach the launcher; restart the agent to launch anything again";
                let failure = Failure::from_error(FailureReason::LauncherGone, what, &error);
                self.give_up(&container).await;
                return Err(failure);
            }
        };
        match report {
            Some(Report::Started { pid, supervisor }) => {
                // Gone already is fine: the exit record tells.
                if let Ok(Some(supervisor)) = Supervisor::find(&supervisor) {
                    self.remember(&container, supervisor);
                }
                Ok(pid)
            }
            Some(Report::Failed(failure)) => Err(failure),
            None => Err(self.explain_silence(&container).await),
        }
    }

    /// Makes the run directory and writes the order into it.
    async fn prepare(&self, spec: ContainerSpec) -> Result<PathBuf, Failure> {
        let run_dir = self.run_dir(spec.container_id.as_str());
        let order = Order { container: spec, instance: self.instance.clone(), layout: self.layout.clone() };
        // The disk may be slow; the other tasks of this process go on.
        let prepared = tokio::task::spawn_blocking(move || prepare(run_dir, &order)).await;
        prepared.unwrap_or_else(|error| {
            Err(Failure::from_error(FailureReason::Internal, "preparing the container failed", &error))
        })
    }

    async fn request(&self, mould: &Mould, run_dir: &Path) -> io::Result<pipe::Receiver> {
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (read, write) = rustix::pipe::pipe_with(flags)?;
        self.launcher
            .async_io(Interest::WRITABLE, |socket| {
                launcher::send_request(socket.as_fd(), &self.instance, mould, run_dir, write.as_fd())
                    .map_err(io::Error::from)
            })
            .await?;
        failpoint::reach("agent: launcher asked");
        pipe::Receiver::from_owned_fd(read)
    }

    async fn start_inside(&self, container: &ContainerId, nested: Nested) -> Result<NestedProcess, Failure> {
        let refuse = |error: io::Error| {
            let what = "cannot run anything in the container";
            Failure::from_error(FailureReason::LauncherGone, what, &error)
        };
        let prepared = nested::Prepared::new(&nested).map_err(refuse)?;
        let run_dir = self.run_dir(container.as_str());
        let requested = self.launcher.async_io(Interest::WRITABLE, |socket| {
            launcher::send_nested(socket.as_fd(), &self.instance, &run_dir, prepared.line.as_fd())
                .map_err(io::Error::from)
        });
        requested.await.map_err(refuse)?;
        let (layout, instance) = (self.layout.clone(), self.instance.clone());
        let leftovers = Leftovers { layout, instance, group: self.group_name(container), made: None };
        prepared.started(leftovers).await
    }

    /// Asks the supervisor for an end of its task's terminal or input.
    async fn take(
        &self,
        container: &ContainerId,
        what: tty_door::What,
    ) -> Result<Option<OwnedFd>, ContainerizerError> {
        let run_dir = self.run_dir(container.as_str());
        let asked = tokio::task::spawn_blocking(move || tty_door::take_from(&run_dir, what)).await;
        let refuse = |error| cannot_reach(container, error);
        asked.map_err(|error| refuse(io::Error::other(error)))?.map_err(refuse)
    }

    /// The supervisor closed its pipe without a word.
    async fn explain_silence(&self, container: &ContainerId) -> Failure {
        match self.give_up(container).await {
            Some(ContainerExit::NeverStarted) => {
                let message = "given up before a supervisor took it on";
                Failure::new(FailureReason::Abandoned, message)
            }
            Some(ContainerExit::Ended(ExitRecord { failure: Some(failure), .. })) => failure,
            _ => {
                let message = "the container's supervisor ended without a word";
                Failure::new(FailureReason::Internal, message)
            }
        }
    }

    async fn give_up(&self, container: &ContainerId) -> Option<ContainerExit> {
        if let Ok(Some(supervisor)) = self.supervisor(container) {
            let _ = supervisor.request_kill(Some(Duration::ZERO));
        }
        self.end_of(container).await.ok()
    }

    pub(super) async fn end_of(&self, container: &ContainerId) -> Result<ContainerExit, ContainerizerError> {
        if let Some(supervisor) = self.supervisor(container)? {
            supervisor.ended().await.map_err(|error| ContainerizerError::RunDirectory {
                what: "watch the supervisor",
                container: container.to_string(),
                source: error.into(),
            })?;
        }
        self.read_end(container).await
    }

    /// How a container without a living supervisor ended; kills what a dead one left behind.
    pub(super) async fn read_end(
        &self,
        container: &ContainerId,
    ) -> Result<ContainerExit, ContainerizerError> {
        let run_dir = self.run_dir(container.as_str());
        match ExitRecord::load(&run_dir) {
            Ok(record) => Ok(ContainerExit::Ended(record)),
            Err(error @ (ExitRecordError::Missing(_) | ExitRecordError::Damaged(_))) => {
                self.destroy_group(container.as_str()).await?;
                self.sweep_groups();
                Ok(match running::find(&run_dir, container.as_str()) {
                    Ok(Found::Abandoned) => ContainerExit::NeverStarted,
                    Ok(Found::OtherBoot) => {
                        ContainerExit::Unknown { why: "the host was restarted while it ran".to_owned() }
                    }
                    _ => {
                        ContainerExit::Unknown { why: format!("its supervisor left no exit record: {error}") }
                    }
                })
            }
            Err(error) => Err(ContainerizerError::RunDirectory {
                what: "read the exit record",
                container: container.to_string(),
                source: error.into(),
            }),
        }
    }

    /// Kills and removes the control group of a container or a spare. Waits in a thread of its own.
    pub(super) async fn destroy_group(&self, container: &str) -> Result<(), ContainerizerError> {
        let (layout, instance) = (self.layout.clone(), self.instance.clone());
        let Some(group) = self.group_of(container) else {
            // Nothing that could name a group of ours.
            return Ok(());
        };
        let destroyed = tokio::task::spawn_blocking(move || layout.destroy(&instance, &group)).await;
        match destroyed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => {
                Err(ContainerizerError::Destroy { container: container.to_owned(), source: Box::new(source) })
            }
            Err(error) => Err(ContainerizerError::RunDirectory {
                what: "destroy the control group",
                container: container.to_owned(),
                source: error.into(),
            }),
        }
    }

    pub(super) fn remove_run_dir(&self, container: &str) -> Result<(), ContainerizerError> {
        match fs::remove_dir_all(self.run_dir(container)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ContainerizerError::RunDirectory {
                what: "remove the run directory",
                container: container.to_owned(),
                source: error.into(),
            }),
            _ => Ok(()),
        }
    }
}

fn cannot_reach(container: &ContainerId, source: io::Error) -> ContainerizerError {
    ContainerizerError::RunDirectory {
        what: "reach the terminal or the input",
        container: container.to_string(),
        source: source.into(),
    }
}

fn invalid(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(FailureReason::InvalidSpec, "cannot run the container", error)
}

/// Makes the run directory and writes the order into it. Blocks.
fn prepare(run_dir: PathBuf, order: &Order) -> Result<PathBuf, Failure> {
    let text = serde_json::to_vec(order).map_err(|error| invalid(&error))?;
    if text.len() > LARGEST_ORDER {
        return Err(invalid(&SpecError::TooLarge(text.len())));
    }
    let refuse = |error: &io::Error| {
        let what = format!("cannot prepare '{}'", run_dir.display());
        Failure::from_error(FailureReason::Sandbox, what, error)
    };
    match fs::DirBuilder::new().mode(0o700).create(&run_dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("container {} was launched before", order.container.container_id);
            return Err(Failure::new(FailureReason::Duplicate, message));
        }
        other => other.map_err(|error| refuse(&error))?,
    }
    failpoint::reach("agent: run directory made");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(run_dir.join(Order::FILE))
        .map_err(|error| refuse(&error))?;
    file.write_all(&text).map_err(|error| refuse(&error))?;
    failpoint::reach("agent: order written");
    Ok(run_dir)
}

async fn read_report(pipe: pipe::Receiver) -> Option<Report> {
    let mut text = Vec::new();
    let mut pipe = pipe.take(LARGEST_REPORT as u64);
    pipe.read_to_end(&mut text).await.ok()?;
    serde_json::from_slice(&text).ok()
}

impl Drop for LinuxContainerizer {
    fn drop(&mut self) {
        // A launcher may serve others after us. When it is gone itself, so are its spares.
        let _ = self.cool_down();
    }
}

impl Containerizer for LinuxContainerizer {
    fn launch(&self, spec: ContainerSpec) -> BoxFuture<'_, LaunchOutcome> {
        self.start(spec)
            .map(|started| match started {
                Ok(pid) => LaunchOutcome::Started { pid },
                Err(failure) => LaunchOutcome::Failed(failure),
            })
            .boxed()
    }

    fn kill<'a>(
        &'a self,
        container: &'a ContainerId,
        grace: Option<Duration>,
    ) -> BoxFuture<'a, Result<(), ContainerizerError>> {
        async move {
            let Some(supervisor) = self.supervisor(container)? else {
                return Ok(());
            };
            let asked = supervisor.request_kill(grace);
            asked.map_err(|error| ContainerizerError::RunDirectory {
                what: "signal the supervisor",
                container: container.to_string(),
                source: error.into(),
            })
        }
        .boxed()
    }

    fn run_inside<'a>(
        &'a self,
        container: &'a ContainerId,
        nested: Nested,
    ) -> BoxFuture<'a, Result<NestedProcess, Failure>> {
        self.start_inside(container, nested).boxed()
    }

    fn terminal<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<Option<Terminal>, ContainerizerError>> {
        async move {
            let master = self.take(container, tty_door::What::Terminal).await?;
            master.map(Terminal::new).transpose().map_err(|error| cannot_reach(container, error))
        }
        .boxed()
    }

    fn take_input<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<Option<NestedInput>, ContainerizerError>> {
        async move {
            let input = self.take(container, tty_door::What::Input).await?;
            input.map(NestedInput::of).transpose().map_err(|error| cannot_reach(container, error))
        }
        .boxed()
    }

    fn wait<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerExit, ContainerizerError>> {
        self.end_of(container).boxed()
    }

    fn recover<'a>(
        &'a self,
        expected: &'a [ContainerId],
    ) -> BoxFuture<'a, Result<Recovery, ContainerizerError>> {
        self.find_again(expected).boxed()
    }

    fn destroy<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerExit, ContainerizerError>> {
        async move {
            self.kill(container, Some(Duration::ZERO)).await?;
            let exit = self.end_of(container).await?;
            self.cleanup(container).await?;
            Ok(exit)
        }
        .boxed()
    }

    fn cleanup<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<(), ContainerizerError>> {
        async move {
            // A supervisor that could not remove its container's group leaves that to us.
            let group = self.group_of(container.as_str());
            if group.is_some_and(|group| self.layout.has_group(&self.instance, &group)) {
                self.destroy_group(container.as_str()).await?;
            }
            failpoint::reach("agent: group is gone");
            self.forget(container);
            self.remove_run_dir(container.as_str())?;
            failpoint::reach("agent: run directory removed");
            Ok(())
        }
        .boxed()
    }

    fn resize(&self, container: &ContainerId, limits: &Limits) -> Result<(), IsolationError> {
        self.cgroup_of(container).resize(limits)
    }

    fn usage(&self, container: &ContainerId) -> Result<crate::isolation::Usage, IsolationError> {
        Self::usage(self, container)
    }

    fn look_for_breach(&self, container: &ContainerId) -> Result<(), ContainerizerError> {
        let Some(supervisor) = self.supervisor(container)? else {
            return Ok(());
        };
        supervisor.look_for_breach().map_err(|error| ContainerizerError::RunDirectory {
            what: "signal the supervisor",
            container: container.to_string(),
            source: error.into(),
        })
    }
}
