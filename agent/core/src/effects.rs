//! What the shell must do about an event.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lonja_model::check::{CheckKind, Probe};
use lonja_model::checkpoint::CheckpointOp;
use lonja_model::execution;
use lonja_model::executor::ExecutorInfo;
use lonja_model::link::FromAgent;
use lonja_model::role::Role;
use lonja_model::task::Limit;
use lonja_model::{ContainerId, ExecutorId, FrameworkId, OperationUuid, Resources, TaskId, TaskInfo};

/// What the shell must do, in field order: nothing is launched, killed, forgotten or sent before what it
/// rests on is durable (`docs/design.md`, D3).
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Changes of the checkpoint, to be applied in this order, all or none, and durable before
    /// anything below.
    pub persist: Vec<CheckpointOp>,
    /// What is to be done about the folders of volumes, in this order, each after the one before.
    pub volumes: Vec<VolumeOrder>,
    /// Containers to make. Each is answered by `ContainerStarted` or `ContainerFailed`, once.
    pub launch: Vec<LaunchContainer>,
    /// Containers to end. Each has been reported as started or running.
    pub kill: Vec<KillContainer>,
    /// Looks at running tasks to begin, each answered by `CheckEnded`, and to give up, in this order.
    pub checks: Vec<CheckOrder>,
    /// Containers that nobody asks about any more: their run directories may go (sandboxes have their own
    /// time). Perhaps never made, perhaps forgotten before; then there is nothing to do.
    pub forget: Vec<ContainerId>,
    /// For the master, over the present link, in this order. Without a link they are dropped.
    pub send: Vec<FromAgent>,
    /// The link has changed: what earlier effects of the same batch wanted to send is void, for the next
    /// link begins with a registration. [`Effects::append`] sees to it; a shell need not look.
    pub new_link: bool,
    /// Drop the link, if there is one, and connect anew. `LinkDown` need not be reported, `LinkUp` must.
    pub reconnect: bool,
    /// The agent cannot go on, for this reason. Its tasks keep running.
    pub shutdown: Option<String>,
    /// For the log.
    pub notes: Vec<Note>,
    /// Containers that are still being made and whose tasks are to be killed: what takes long of it, such as fetching
    /// files, may be given up, before or after any of the above but a launch of the same batch. They are answered like
    /// any launch; one that starts all the same is killed then.
    pub cancel: Vec<ContainerId>,
    /// Running containers of custom executors that are to hold more or less from now on; before what is said to them.
    pub resize: Vec<ResizeContainer>,
    /// For custom executors, in this order.
    pub executors: Vec<ExecutorOrder>,
}

impl Effects {
    /// Adds what is to be done after what is to be done already.
    pub fn append(&mut self, later: Self) {
        let Self {
            persist,
            volumes,
            launch,
            kill,
            checks,
            forget,
            send,
            new_link,
            reconnect,
            shutdown,
            notes,
            cancel,
            resize,
            executors,
        } = later;
        if new_link || reconnect {
            self.send.clear();
        }
        self.persist.extend(persist);
        self.volumes.extend(volumes);
        self.launch.extend(launch);
        self.kill.extend(kill);
        self.checks.extend(checks);
        self.forget.extend(forget);
        self.send.extend(send);
        self.new_link |= new_link;
        self.reconnect = (self.reconnect && !new_link) || reconnect;
        self.shutdown = self.shutdown.take().or(shutdown);
        self.notes.extend(notes);
        self.cancel.extend(cancel);
        // Only the last word on a container counts.
        self.resize.retain(|before| resize.iter().all(|after| after.container != before.container));
        self.resize.extend(resize);
        self.executors.extend(executors);
    }
}

/// Something to be done about the folders of persistent volumes.
///
/// The volumes are disk resources with a persistence id. A folder is known by its disk's source, the role its
/// disk is reserved for, and that id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeOrder {
    /// Make the folders of volumes that are about to be, empty whatever lay there before. Answered by
    /// `VolumesMade`, once.
    Make {
        /// To be repeated in the answer; every order of an agent's life has another, also for an operation that comes
        /// a second time after the first was given up.
        number: u64,
        /// The volumes.
        volumes: Resources,
    },
    /// These volumes are no more: their folders go with all that is in them.
    Remove(Resources),
    /// At the start: the folders of all volumes but these go. Those of these are kept as they are.
    Sweep {
        /// The volumes there are.
        keep: Resources,
    },
}

/// A running container that is to hold more or less from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeContainer {
    /// Which; its program runs.
    pub container: ContainerId,
    /// What the executor and its tasks need together, and their limits.
    pub together: Together,
}

/// What an executor and the tasks it has need together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// What they need.
    pub resources: Resources,
    /// Hard limits above that, as of a task.
    pub limits: BTreeMap<String, Limit>,
}

/// Something to be done about a custom executor's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorOrder {
    /// Tell it something. Where it does not keep up its connection is ended, and `ExecutorLeft` reported.
    Say {
        /// The executor's container.
        container: ContainerId,
        /// The number of its connection.
        connection: u64,
        /// What.
        event: Box<execution::Event>,
    },
    /// End a connection after all that was said before. `ExecutorLeft` need not be reported.
    HangUp {
        /// The executor's container.
        container: ContainerId,
        /// The connection's number.
        connection: u64,
        /// Why.
        why: HangUp,
    },
}

/// Why a connection of a custom executor is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The executor is no more, or is not known here.
    Over,
    /// It has a newer connection.
    Replaced,
    /// What it said makes no sense, and why.
    Invalid(String),
    /// It says more than its framework takes in: to be said again over a new connection, later.
    Busy(String),
}

/// What runs in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// A task by itself.
    Task,
    /// A task of a group, beside the others of its executor.
    InGroup {
        /// The container of the executor: the tasks share its sandbox, and whatever else it has.
        parent: ContainerId,
        /// The executor.
        executor: Box<ExecutorInfo>,
    },
    /// A custom executor. The order's `task` describes it as if it were one, under the executor's id and with what it
    /// and its first tasks need together.
    Executor(Box<ExecutorInfo>),
}

impl Runs {
    /// The container that this one joins.
    pub fn parent(&self) -> Option<&ContainerId> {
        match self {
            Self::InGroup { parent, .. } => Some(parent),
            Self::Task | Self::Executor(_) => None,
        }
    }
}

/// Something to be done about looking at a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOrder {
    /// Look now.
    Run(Box<RunCheck>),
    /// Give up a look that has no result yet; one that comes all the same is dropped.
    Stop {
        /// Whose container.
        container: ContainerId,
        /// Which of its checks.
        kind: CheckKind,
    },
}

/// One look at a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCheck {
    /// Whose container; its program runs.
    pub container: ContainerId,
    /// Whose task.
    pub framework: FrameworkId,
    /// Which of its checks.
    pub kind: CheckKind,
    /// To be repeated in the answer.
    pub number: u64,
    /// The process id of the container's program, as the host sees it.
    pub pid: u32,
    /// How to look.
    pub probe: Probe,
    /// How long it may take; the answer is then `Failed`. From 0 to [`crate::LONGEST_TIMEOUT`], 0 excluded.
    pub timeout: Duration,
}

/// One container to make, for one run of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchContainer {
    /// Its name, never used before.
    pub container: ContainerId,
    /// Whose task.
    pub framework: FrameworkId,
    /// For which of the framework's roles.
    pub role: Role,
    /// The task.
    pub task: TaskInfo,
    /// Who the program runs as: the task's user, else the framework's, else the agent's default;
    /// `None`: the agent's own.
    pub user: Option<String>,
    /// What it is for.
    pub runs: Runs,
}

/// One container to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillContainer {
    /// Which.
    pub container: ContainerId,
    /// Ask with SIGTERM, and force with SIGKILL this much later; zero: force at once. If a kill is under
    /// way already, the earlier of the two forcings holds.
    pub grace: Duration,
}

/// Something that is worth a line in the log and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A message that makes no sense now was ignored.
    Unexpected {
        /// Its name.
        message: &'static str,
    },
    /// A task came that is known already; it was ignored (INV-15).
    DuplicateTask {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
    },
    /// A task was not taken on; its framework is told.
    TaskRefused {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// Why.
        reason: String,
    },
    /// A kill of a task that is not here was ignored: the master answers those.
    KillOfUnknownTask {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
    },
    /// An acknowledgement that nothing waits for was ignored.
    StaleAcknowledgement {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
    },
    /// Bytes came for an executor that is not here.
    NoExecutor {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
    },
    /// A custom executor said something of a task that is not its own, or that makes no sense any more: confirmed to
    /// it, and forgotten.
    StrangeUpdate {
        /// Whose.
        framework: FrameworkId,
        /// Which executor.
        executor: ExecutorId,
        /// Of which task.
        task: TaskId,
        /// What is strange.
        why: String,
    },
    /// A custom executor is ended by the agent.
    ExecutorGivenUp {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        executor: ExecutorId,
        /// Why.
        why: String,
    },
    /// The master refused the agent for now.
    Refused {
        /// Why.
        reason: String,
    },
    /// The master has been silent for too long.
    Silence,
    /// A container without a record was found and is being destroyed (INV-26).
    Stranger {
        /// Which.
        container: ContainerId,
    },
    /// News of a container that its record does not expect was ignored.
    UnexpectedNews {
        /// Which.
        container: ContainerId,
        /// What was said.
        news: &'static str,
    },
    /// An operation was not carried out; whoever asked is told.
    OperationFailed {
        /// Which.
        operation: OperationUuid,
        /// As the wire names it.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// Orders of a link that is gone were dropped before their turn came: the next registration tells the master
    /// that nothing came of them.
    OrdersDropped {
        /// How many.
        orders: usize,
    },
    /// The recovered tasks need more than the agent has: nothing fits until enough of them end.
    Overcommitted {
        /// What they need.
        needed: String,
        /// What there is.
        total: String,
    },
}

impl Note {
    /// Is this out of the ordinary, so that an operator may want to see it? The rest explains decisions.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::TaskRefused { .. }
            | Self::Refused { .. }
            | Self::Silence
            | Self::Stranger { .. }
            | Self::UnexpectedNews { .. }
            | Self::OperationFailed { .. }
            | Self::OrdersDropped { .. }
            | Self::StrangeUpdate { .. }
            | Self::ExecutorGivenUp { .. }
            | Self::Overcommitted { .. } => true,
            Self::Unexpected { .. }
            | Self::DuplicateTask { .. }
            | Self::KillOfUnknownTask { .. }
            | Self::StaleAcknowledgement { .. }
            | Self::NoExecutor { .. } => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { message } => write!(f, "{message} ignored: it makes no sense now"),
            Self::DuplicateTask { framework, task } => {
                write!(f, "task {task} of {framework} is known already: not launched again")
            }
            Self::TaskRefused { framework, task, reason } => {
                write!(f, "task {task} of {framework} not taken on: {reason}")
            }
            Self::KillOfUnknownTask { framework, task } => {
                write!(f, "kill of task {task} of {framework} ignored: it is not known here")
            }
            Self::StaleAcknowledgement { framework, task } => {
                write!(f, "acknowledgement for task {task} of {framework} ignored: nothing waits for it")
            }
            Self::NoExecutor { framework, executor } => {
                write!(f, "message for executor {executor} of {framework} dropped: it is not known here")
            }
            Self::StrangeUpdate { framework, executor, task, why } => {
                write!(f, "update of task {task} by executor {executor} of {framework} ignored: {why}")
            }
            Self::ExecutorGivenUp { framework, executor, why } => {
                write!(f, "executor {executor} of {framework} is ended: {why}")
            }
            Self::Refused { reason } => write!(f, "the master refused this agent for now: {reason}"),
            Self::Silence => f.write_str("no ping from the master for too long: connecting anew"),
            Self::Stranger { container } => write!(f, "container {container} has no record: destroyed"),
            Self::UnexpectedNews { container, news } => {
                write!(f, "container {container} {news}: ignored, its record says otherwise")
            }
            Self::OperationFailed { operation, name, reason } => {
                write!(f, "{name} ({operation}) not carried out: {reason}")
            }
            Self::OrdersDropped { orders } => {
                write!(f, "{orders} orders of a link that is gone dropped before their turn came")
            }
            Self::Overcommitted { needed, total } => {
                write!(f, "recovered tasks need {needed}, this agent has {total}")
            }
        }
    }
}
