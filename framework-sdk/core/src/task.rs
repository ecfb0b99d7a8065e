//! Describing a task.

mod builder;
mod executor;
mod files;
mod group;
mod invalid;
mod lacking;
mod place;
mod possible;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::container::{Command, ContainerInfo, ParentVolume, Program, Volume, WindowSize};
use lonja_model::files::VolumeSource;
use lonja_model::io_limits::IoLimits;
use lonja_model::labels::Labels;
use lonja_model::privileges::Privileges;
use lonja_model::profile::{Network, Profile};
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::task::Limit;
use lonja_model::{AgentId, Offer, Resources, TaskId, TaskInfo};

use crate::placement::predicate::Predicate;
use crate::placement::{Gpus, fit};
use crate::watching::Watch;

pub use builder::TaskBuilder;
pub use executor::ExecutorTask;
pub use group::{GroupIds, TaskGroup, TaskGroupBuilder};
pub use invalid::InvalidTask;
pub use lacking::Lack;
pub use request::{Request, Size, Units, cpus, disk, gpus, mem, ports};

/// What a task needs. Amounts in thousandths; mem and disk of MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// CPUs.
    pub cpus: Scalar,
    /// Memory.
    pub mem: Scalar,
    /// Disk.
    pub disk: Scalar,
    /// How many ports, whichever.
    pub ports: usize,
    /// GPUs, whole or a share of one.
    pub gpus: Gpus,
}

impl Need {
    /// Its amounts, as [`Scheduler::needs`](crate::Scheduler::needs) tells them; ports are no amount.
    pub fn quantities(&self) -> Quantities {
        let gpus = self.gpus.thousandths();
        [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("gpus", gpus)].into_iter().collect()
    }
}

/// A task to be placed: a program and what it needs, without an agent as yet. Described step by step here, each amount
/// checked where it is given; or as a whole by a [`TaskBuilder`], which also checks that its parts go together.
///
/// ```
/// use lonja_sdk_core::Task;
/// let task = Task::shell("echo hello")?.cpus(0.5)?.mem_mib(64.0)?.env("LANG", "C");
/// # Ok::<(), lonja_sdk_core::InvalidTask>(())
/// ```
#[derive(Clone, Debug)]
pub struct Task {
    name: Option<String>,
    command: Command,
    container: ContainerInfo,
    need: Need,
    kill_grace: Option<Duration>,
    labels: Labels,
    place: Predicate,
    pub(crate) watch: Watch,
    limits: BTreeMap<String, Limit>,
}

fn limit(what: &'static str, amount: f64) -> Result<Limit, InvalidTask> {
    if amount == f64::INFINITY {
        return Ok(Limit::Infinite);
    }
    Scalar::from_f64(amount).map(Limit::Amount).map_err(|why| InvalidTask::Amount { what, why })
}

impl Task {
    /// A line for `/bin/sh -c`, with 0.1 CPUs and 32 MiB unless told otherwise.
    pub fn shell(line: impl Into<String>) -> Result<Self, InvalidTask> {
        let line = line.into();
        if line.trim().is_empty() {
            return Err(InvalidTask::NoCommand);
        }
        Ok(Self::with(Program::Shell(line)))
    }

    /// A program and its arguments, the program's own name first; no shell sees them.
    pub fn argv<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Result<Self, InvalidTask> {
        let arguments: Vec<String> = words.into_iter().map(Into::into).collect();
        match arguments.first() {
            Some(path) if !path.is_empty() => Ok(Self::with(Program::Exec { path: path.clone(), arguments })),
            Some(_) | None => Err(InvalidTask::NoCommand),
        }
    }

    fn with(program: Program) -> Self {
        let thousandths = |amount| Scalar::from_thousandths(amount).unwrap_or_default();
        Self {
            name: None,
            command: Command::new(program),
            container: ContainerInfo::default(),
            need: Need { cpus: thousandths(100), mem: thousandths(32_000), ..Need::default() },
            kill_grace: None,
            labels: Labels::default(),
            place: Predicate::always(),
            watch: Watch::default(),
            limits: BTreeMap::new(),
        }
    }

    /// For people; without this, the task's id.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What it needs, in the place of what it needed of the resources that `request` names. Errors: an amount that is none.
    ///
    /// ```
    /// use lonja_sdk_core::Task;
    /// use lonja_sdk_core::task::{Units, cpus, mem, ports};
    /// let task = Task::shell("serve $PORT0")?.needs(cpus(0.5) + mem(128.mib()) + ports(1))?;
    /// # Ok::<(), lonja_sdk_core::InvalidTask>(())
    /// ```
    pub fn needs(mut self, request: impl Into<Request>) -> Result<Self, InvalidTask> {
        self.need = request.into().over(self.need)?;
        Ok(self)
    }

    /// So many CPUs. Errors: negative, not a number, too large.
    pub fn cpus(mut self, cpus: f64) -> Result<Self, InvalidTask> {
        self.need.cpus = Scalar::from_f64(cpus).map_err(|why| InvalidTask::Amount { what: "cpus", why })?;
        Ok(self)
    }

    /// So much memory, in MiB. Errors: negative, not a number, too large.
    pub fn mem_mib(mut self, mib: f64) -> Result<Self, InvalidTask> {
        self.need.mem = Scalar::from_f64(mib).map_err(|why| InvalidTask::Amount { what: "mem", why })?;
        Ok(self)
    }

    /// Stopped at so many CPUs, also when others are idle; `f64::INFINITY`: never, whatever the agent's rule is.
    /// Without this, the agent's rule. Errors: negative, not a number, too large.
    pub fn cpu_limit(mut self, cpus: f64) -> Result<Self, InvalidTask> {
        self.limits.insert("cpus".to_owned(), limit("limit of cpus", cpus)?);
        Ok(self)
    }

    /// Ended above so much memory, in MiB; `f64::INFINITY`: never. Without this, above what it needs. Errors:
    /// negative, not a number, too large.
    pub fn mem_limit_mib(mut self, mib: f64) -> Result<Self, InvalidTask> {
        self.limits.insert("mem".to_owned(), limit("limit of mem", mib)?);
        Ok(self)
    }

    /// How fast it may use block devices.
    #[must_use]
    pub fn io_limits(mut self, limits: IoLimits) -> Self {
        self.container.io = limits;
        self
    }

    /// So much disk, in MiB. Errors: negative, not a number, too large.
    pub fn disk_mib(mut self, mib: f64) -> Result<Self, InvalidTask> {
        self.need.disk = Scalar::from_f64(mib).map_err(|why| InvalidTask::Amount { what: "disk", why })?;
        Ok(self)
    }

    /// So many ports, whichever the offer has; the task finds them in `PORT0`, `PORT1` and so on.
    #[must_use]
    pub fn ports(mut self, count: usize) -> Self {
        self.need.ports = count;
        self
    }

    /// GPUs, whole or a share of one.
    #[must_use]
    pub fn gpus(mut self, gpus: Gpus) -> Self {
        self.need.gpus = gpus;
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.command.environment.insert(name.into(), value.into());
        self
    }

    /// The user it runs as; without this, the framework's.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.command.user = Some(user.into());
        self
    }

    /// Kept apart from its host this strictly, not as its agent does by default. Agents refuse what is less strict
    /// than their own.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.container.profile = Some(profile);
        self
    }

    /// With these capabilities and limits of each process, and not those of its profile. Agents refuse capabilities that
    /// their operator has not allowed.
    #[must_use]
    pub fn privileges(mut self, privileges: Privileges) -> Self {
        self.container.privileges = privileges;
        self
    }

    /// With this network.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.container.network = network;
        self
    }

    /// Shows a path of the agent's host inside. Errors: the host's path is not absolute.
    pub fn volume(
        mut self,
        host: impl Into<String>,
        inside: impl Into<String>,
        read_only: bool,
    ) -> Result<Self, InvalidTask> {
        let host_path = host.into();
        if !host_path.starts_with('/') {
            return Err(InvalidTask::Volume(host_path));
        }
        self.container.volumes.push(Volume {
            source: VolumeSource::Host(host_path),
            container_path: inside.into(),
            read_only,
        });
        Ok(self)
    }

    /// Mounts a folder that all tasks of its group have together: `path` below their executor's sandbox, made if it is
    /// not there, at `inside`; a relative one is below the task's sandbox. For tasks of groups only.
    #[must_use]
    pub fn group_volume(
        mut self,
        path: impl Into<String>,
        inside: impl Into<String>,
        read_only: bool,
    ) -> Self {
        self.container.parent_volumes.push(ParentVolume {
            path: path.into(),
            container_path: inside.into(),
            read_only,
        });
        self
    }

    /// Gives it a terminal of this size for its three streams.
    #[must_use]
    pub fn terminal(mut self, size: WindowSize) -> Self {
        self.container.tty = Some(size);
        self
    }

    /// Gives it a standard input, which the first who attaches to it writes. Without, it reads nothing.
    #[must_use]
    pub fn stdin(mut self) -> Self {
        self.container.stdin = true;
        self
    }

    /// How long a kill waits between asking and forcing; without this, the agent's default.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = Some(grace);
        self
    }

    /// A label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.0.push((key.into(), Some(value.into())));
        self
    }

    /// What it needs.
    pub fn need(&self) -> &Need {
        &self.need
    }

    /// The task as `id` on `offer`, with what it needs taken from the offer; `None` if it does not fit.
    pub fn on(&self, offer: &Offer, id: TaskId) -> Option<TaskInfo> {
        let resources = fit(&offer.resources, &self.need)?;
        Some(self.with_resources(&offer.agent, id, resources))
    }

    /// The task as `id` on `agent`, with resources that were chosen already.
    pub fn with_resources(&self, agent: &AgentId, id: TaskId, resources: Resources) -> TaskInfo {
        TaskInfo {
            name: self.name.clone().unwrap_or_else(|| id.to_string()),
            id,
            agent: agent.clone(),
            health_check: self.watch.health_on(&resources),
            check: self.watch.check_on(&resources),
            resources,
            limits: self.limits.clone(),
            command: self.command.clone(),
            container: self.container.clone(),
            kill_grace: self.kill_grace,
            max_completion_time: self.watch.longest,
            labels: self.labels.clone(),
            discovery: None,
            executor: None,
            data: Vec::new(),
        }
    }
}
