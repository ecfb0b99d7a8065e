//! What can happen to an agent.

use lonja_model::check::CheckKind;
use lonja_model::checkpoint::Checkpoint;
use lonja_model::execution::Call;
use lonja_model::link::ToAgent;
use lonja_model::{ContainerId, Timestamp};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first event ever, also on the very first start, when both are empty: what the agent remembers
    /// and what the shell found of its containers.
    ///
    /// A container that the checkpoint does not know is answered by a kill without grace or by
    /// [`crate::Effects::forget`]; a record whose container is not listed counts as
    /// [`Recovery::NeverStarted`].
    Recovered {
        /// Every change ever made durable.
        checkpoint: Checkpoint,
        /// Every container of this agent that left a trace on the host, each once.
        containers: Vec<(ContainerId, Recovery)>,
    },
    /// There is a link to the leading master.
    LinkUp,
    /// The link is gone. What was sent over it may or may not have arrived.
    LinkDown,
    /// The master says something.
    Received(ToAgent),
    /// A container's program runs. Comes at most once for each launch, before its exit.
    ContainerStarted {
        /// Which.
        container: ContainerId,
        /// The process id as the host sees it.
        pid: u32,
    },
    /// A container could not be made, and nothing of it is left (INV-29).
    ContainerFailed {
        /// Which.
        container: ContainerId,
        /// At which step.
        reason: LaunchFailure,
        /// For people; names the command or the step that failed.
        message: String,
    },
    /// A container's program has ended, and every process of the container with it.
    ContainerExited {
        /// Which.
        container: ContainerId,
        /// How.
        exit: ContainerExit,
    },
    /// The answer to [`crate::VolumeOrder::Make`].
    VolumesMade {
        /// The number of the order.
        number: u64,
        /// All of them are there, empty, and will be after a power loss; or none is, and why.
        result: Result<(), String>,
    },
    /// A look at a task has come to its end; the answer to [`crate::CheckOrder::Run`], once, unless it was stopped.
    CheckEnded {
        /// Whose container.
        container: ContainerId,
        /// Which of its checks.
        kind: CheckKind,
        /// The number of the order.
        number: u64,
        /// What it saw.
        result: CheckResult,
    },
    /// A custom executor says something over one of its connections. [`Call::Subscribe`] comes first and makes that
    /// connection the executor's only one; what comes over another one is dropped.
    ExecutorCalled {
        /// The executor's container.
        container: ContainerId,
        /// The connection's number; every connection to this agent since its start has another.
        connection: u64,
        /// What it says.
        call: Box<Call>,
    },
    /// A connection of a custom executor is gone. What was sent over it may or may not have arrived.
    ExecutorLeft {
        /// The executor's container.
        container: ContainerId,
        /// The connection's number.
        connection: u64,
    },
    /// A deadline may have come; see [`crate::Agent::next_deadline`].
    Tick,
}

/// What a restarted agent finds of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Its program still runs, the same process as before (INV-25, INV-28).
    Running {
        /// The process id as the host sees it.
        pid: u32,
        /// When the program started, by the present clock; `None`: not known, then what was remembered counts.
        since: Option<Timestamp>,
    },
    /// Its program ended while the agent was away (INV-27).
    Exited(ContainerExit),
    /// It was never whole, and nothing of it is left (INV-29).
    NeverStarted,
}

/// What one look at a task saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The command exited with this status; 128 and the signal's number if one ended it.
    Exited(i32),
    /// The request was answered with this status.
    Answered(u16),
    /// The connection opened, or was refused.
    Connected(bool),
    /// It came to no end, or to none that says something: too slow, no answer, nonsense. For people.
    Failed(String),
    /// The agent could not even begin: it says nothing about the task. For people.
    NotBegun(String),
}

/// At which step a launch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchFailure {
    /// The surroundings could not be made: sandbox, namespaces, cgroup. REASON_CONTAINER_LAUNCH_FAILED.
    Container,
    /// The command could not be executed: not there, not executable. REASON_COMMAND_EXECUTOR_FAILED.
    Command,
    /// The agent's disk is nearly full, so nothing was tried: TASK_DROPPED, REASON_CONTAINER_LAUNCH_FAILED.
    NoRoom,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerExit {
    /// What became of its program.
    pub status: WaitStatus,
    /// A signal of ours was sent to the program, for [`crate::Effects::kill`], before it ended.
    pub killed_by_request: bool,
    /// The kernel ended a process of the container because its memory limit was reached.
    pub memory_breach: Option<MemoryBreach>,
    /// More, for people; cut to 1,000 characters.
    pub message: Option<String>,
    /// The shell ended the container because its sandbox held more than it may.
    pub disk_breach: Option<DiskBreach>,
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// It exited with this status, 0 to 255.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
    /// Nobody saw it end.
    Unknown {
        /// Why nobody did, such as `the host was restarted`.
        why: String,
    },
}

/// The end of memory: a limit that was reached, or the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBreach {
    /// The limit, in bytes.
    pub limit_bytes: u64,
    /// The most that was in use, in bytes.
    pub peak_bytes: u64,
    /// It was within its limit, and the host had no more to give. `limit_bytes` is 0 then if it has none.
    pub host_was_short: bool,
}

/// A disk limit that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskBreach {
    /// The limit, in bytes.
    pub limit_bytes: u64,
    /// What was in use when it was noticed, in bytes; perhaps more.
    pub used_bytes: u64,
    /// Why the use cannot be told, if that is why the limit counts as passed.
    pub hidden: Option<HiddenUse>,
}

/// Why nobody can say what a sandbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenUse {
    /// Folders lie deeper in it than is measured.
    TooDeep,
    /// The agent may not look into folders of it.
    Forbidden,
}

impl ContainerExit {
    /// The program ended by itself, as `status` says.
    pub fn new(status: WaitStatus) -> Self {
        Self { status, killed_by_request: false, memory_breach: None, message: None, disk_breach: None }
    }
}
