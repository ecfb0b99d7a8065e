//! Launching containers, finding them again, ending them: what the agent's driver sees of them.
//!
//! [`LinuxContainerizer`] is the real one; [`RecordedContainerizer`] follows a script and starts no
//! process, for tests of what stands above.
//!
//! Invariants
//! - A container id is launched at most once, ever.
//! - `wait` tells an end only when nothing of the container is alive.
//! - After `recover` no container of this agent runs that was not asked for (INV-29).

mod linux;
mod nested;
mod recorded;
mod recovery;
pub(crate) mod running;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::isolation::{IsolationError, Usage};

pub use crate::isolation::{ContainerId, InstanceId, Limits, NameError};
pub use crate::supervisor::{
    Command, Confinement, ContainerSpec, ExitRecord, Failure, FailureReason, Isolation, MemoryBreach, Mould,
    Network, RefusedForks, TaskEnd, Volume, VolumeSource,
};
pub use crate::supervisor::{LogLimits, Nested, NestedEnd, WindowSize};
pub use linux::{LinuxContainerizer, Settings};
pub use nested::{Collected, NestedControl, NestedEvent, NestedInput, NestedProcess, OutputStream, Terminal};
pub use recorded::{RecordedCall, RecordedContainerizer};

/// What became of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchOutcome {
    /// The command was executed.
    Started {
        /// The task's process as the host counts.
        pid: i32,
    },
    /// It was not, and nothing of it runs.
    Failed(Failure),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerExit {
    /// As its supervisor recorded.
    Ended(ExitRecord),
    /// It was given up before anything of it ran.
    NeverStarted,
    /// Nothing of it runs, and how it ended nobody knows.
    Unknown {
        /// What is missing, for people.
        why: String,
    },
}

/// What recovery found of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It runs; `wait` and `kill` work as for one just launched.
    Running {
        /// The task's process as the host counts; `None` while the container is still being set up.
        pid: Option<i32>,
    },
    /// It ended, perhaps while no agent was there.
    Exited(ContainerExit),
    /// Nothing of it ever ran, and nothing will.
    NeverStarted,
}

/// What recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Each container asked for, in the order asked.
    pub containers: Vec<(ContainerId, Recovered)>,
    /// Containers of this agent that nobody asked for, now destroyed.
    pub destroyed: Vec<String>,
    /// For how long those that run have been running, where that is known; no jump of a clock bears on it.
    pub ages: BTreeMap<ContainerId, Duration>,
}

/// Why a container cannot be reached. None of these means that it has ended.
#[derive(Debug, thiserror::Error)]
pub enum ContainerizerError {
    /// No container of this id was launched here, or it was cleaned up.
    #[error("container {0} is not known here")]
    NotFound(ContainerId),
    /// The run directory cannot be read or written.
    #[error("cannot {what} of container {container}")]
    RunDirectory {
        /// What was tried.
        what: &'static str,
        /// Whose.
        container: String,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Its processes could not be ended.
    #[error("cannot destroy container {container}")]
    Destroy {
        /// Which.
        container: String,
        /// What the system said.
        #[source]
        source: Box<crate::isolation::IsolationError>,
    },
}

/// Runs containers. All methods may be called at any time, in any order, also concurrently.
pub trait Containerizer: Send + Sync {
    /// Starts a container. Resolves when its command was executed, or when it is certain never to be.
    ///
    /// Not to be dropped before it resolves: the container would run unnoticed until `recover`.
    fn launch(&self, spec: ContainerSpec) -> BoxFuture<'_, LaunchOutcome>;

    /// Asks the container to end: SIGTERM now, SIGKILL to all of it after `grace`, `None` for the
    /// grace in its description. A shorter grace shortens one under way. Does not wait for the end.
    /// A container that has ended is not an error.
    fn kill<'a>(
        &'a self,
        container: &'a ContainerId,
        grace: Option<Duration>,
    ) -> BoxFuture<'a, Result<(), ContainerizerError>>;

    /// Runs a process beside the task, with the same confinement. Resolves when its command was executed.
    /// An agent that stops, or drops what this returns, ends the process.
    ///
    /// Errors: the container does not run, or the command cannot be executed there; the message says why.
    fn run_inside<'a>(
        &'a self,
        container: &'a ContainerId,
        nested: Nested,
    ) -> BoxFuture<'a, Result<NestedProcess, Failure>>;

    /// The container's own terminal; `Ok(None)`: it has none.
    ///
    /// Errors: the container does not run, or does not answer.
    fn terminal<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<Option<Terminal>, ContainerizerError>>;

    /// The writing end of the container's standard input, for the first who asks; `Ok(None)`: it has none, or it was
    /// taken. Dropping it ends the input.
    ///
    /// Errors: the container does not run, or does not answer.
    fn take_input<'a>(
        &'a self,
        _container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<Option<NestedInput>, ContainerizerError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Resolves when nothing of the container is alive, with how it ended.
    fn wait<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerExit, ContainerizerError>>;

    /// Finds again the containers in `expected`, and destroys every other of this agent.
    fn recover<'a>(
        &'a self,
        expected: &'a [ContainerId],
    ) -> BoxFuture<'a, Result<Recovery, ContainerizerError>>;

    /// Kills the container at once, waits for its end, and forgets it.
    fn destroy<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerExit, ContainerizerError>>;

    /// Forgets a container that has ended: removes its run directory, not its sandbox. Twice is fine.
    fn cleanup<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<(), ContainerizerError>>;

    /// Holds a running container to other limits in cpus, memory and huge pages; nothing else of them is looked at. Memory that it
    /// may use is never taken away again. Nothing is done by default. Errors: it is gone, or the kernel refuses.
    fn resize(&self, _container: &ContainerId, _limits: &Limits) -> Result<(), IsolationError> {
        Ok(())
    }

    /// What the container uses now; nothing is known by default. Errors: it is gone, or the host cannot tell. Reads a few small
    /// files of the kernel's.
    fn usage(&self, _container: &ContainerId) -> Result<Usage, IsolationError> {
        Ok(Usage::default())
    }

    /// The host was short of memory: has the container ended if the kernel killed a process of it. Does not wait for that. One
    /// that has ended is not an error.
    fn look_for_breach(&self, _container: &ContainerId) -> Result<(), ContainerizerError> {
        Ok(())
    }
}
