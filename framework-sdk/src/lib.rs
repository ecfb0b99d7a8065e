//! Write your own scheduler for a Lonja cluster.
//!
//! Implement [`Scheduler`]: offers and news of tasks in, a [`Plan`] out. [`Driver`] speaks to the master for
//! you: it subscribes, comes back after a lost connection, acknowledges updates, declines what you leave.
//!
//! ```no_run
//! use lonja_sdk::prelude::*;
//!
//! /// Runs one command and stops.
//! struct Once(Option<Task>);
//!
//! impl Scheduler for Once {
//!     fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
//!         let Some(task) = &self.0 else { return Plan::new() };
//!         let id = TaskId::new("once").expect("a plain name");
//!         for offer in offers {
//!             if let Some(task) = task.on(offer, id.clone()) {
//!                 self.0 = None;
//!                 return Plan::new().launch(offer, [task]);
//!             }
//!         }
//!         Plan::new()
//!     }
//!
//!     fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
//!         if status.state.is_terminal() { Plan::new().tear_down() } else { Plan::new() }
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let task = Task::shell("echo hello")?.cpus(0.1)?.mem_mib(32.0)?;
//! let driver = Driver::new("http://127.0.0.1:5050", FrameworkOptions::named("once"));
//! let (_scheduler, outcome) = driver.run(Once(Some(task))).await?;
//! println!("{outcome:?}");
//! # Ok(())
//! # }
//! ```
//!
//! # Concepts
//!
//! - An **offer** is a lease on part of one agent. It ends once: a plan uses it, you or the library decline it, the master
//!   takes it back, or it expires. [`Plan::hold`] keeps one for later, for a bounded time.
//! - A **task** goes out with a plan under an id that you choose and never use again. News of it come by
//!   [`Scheduler::update`]; the library acknowledges them, and asks for what it may have missed.
//! - What a scheduler must not forget it says by [`Scheduler::changes`]. That is durable ([`store`]) before anything is sent
//!   that rests on it; a scheduler that is started anew is made of it ([`Driver::run_from`]).
//! - A scheduler does no I/O. What comes from outside reaches it through the driver, by a [`Handle`] or by typed commands.
//! - Why a task has no place: `Plan::unplaced`, and operators see it by `lonja explain`.
//!
//! # What is guaranteed, and what is not
//!
//! No plan is sent that goes over its offers or that uses an id of a live task. Every update is shown to the scheduler at
//! least once, and now and then again: write `update` so that twice does no harm. Of each task that was launched one hears in the end, also
//! when its launch was lost. A start after a crash is the same framework, and a tear-down that was begun goes on.
//!
//! Not guaranteed: that a task runs once, if you launch another in its place while its agent is unreachable; that
//! TASK_FAILED is the task's own doing, for a machine that loses power fails what ran there; that anything is remembered
//! after a tear-down, which ends the framework and all it kept.
//!
//! # How to test
//!
//! With the feature `testing`, `testing::TestCluster` is a whole cluster in virtual time whose parts fail as you say or as
//! chance has it; `testing::fuzz` tries hundreds of seeds and tells the story of the smallest that fails; `testing::simulate`
//! runs a fleet; `testing::LocalCluster` real daemons. `lonja init NAME` writes a crate with a scheduler and such tests, and
//! `docs/sdk-guide.md` leads through it in half an hour.
//!
//! # Features
//!
//! - `driver`, on by default: [`Driver`], its [stores](store) and [executors](executor); brings a network stack.
//! - `testing`: see above; alone it brings no network stack and no runtime.
//!
//! The least version of Rust is that of `rust-version` in the package's manifest: 1.95. It is raised with a minor version
//! only.

mod options;

#[cfg(feature = "driver")]
mod connection;
#[cfg(feature = "driver")]
mod driver;
#[cfg(feature = "driver")]
mod telling;

#[cfg(feature = "driver")]
pub mod store;

#[cfg(feature = "driver")]
pub mod executor;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "driver")]
pub use driver::{
    Driver, DriverError, Ended, Events, Handle, InteractiveDriver, Link, Metrics, Missed, Notice, Reply,
    Unanswered, master_url,
};
pub use lonja_sdk_core::{
    Change, Counts, ExecutorTask, Interactive, InvalidTask, MAX_HOLD, MAX_TASKS, Outcome, Plan, PlanError,
    Problem, Record, Scheduler, State, Step, Task, TaskBuilder, TaskGroup, placement, task, task::Need,
};
pub use options::FrameworkOptions;

/// The values that schedulers deal in. What only daemons and operators deal in is not among them.
pub mod model {
    pub use lonja_model::ids::{InvalidId, OperationUuid, ResourceProviderId};
    pub use lonja_model::maintenance::Unavailability;
    pub use lonja_model::role::{self, Role};
    pub use lonja_model::scheduler::{MasterInfo, Refusal, RefusalCode};
    pub use lonja_model::{
        AgentId, AgentInfo, ContainerId, ExecutorId, FrameworkId, FrameworkInfo, Offer, OfferId, OperationId,
        Resources, TaskId, TaskInfo, TaskState, TaskStatus, Timestamp, UpdateId,
    };
    pub use lonja_model::{
        agent, attributes, check, constraints, container, executor, files, framework, io_limits, labels,
        offer, operation, pattern, privileges, profile, resources, task, time, unplaced,
    };
}

/// What the driver and a master, and an executor and its agent, say to one another, for tests that play one of them. It
/// changes with the protocol: no promise of compatibility is made here.
pub mod wire {
    pub use lonja_model::{execution, scheduler};
}

/// All that most schedulers need.
pub mod prelude {
    pub use crate::model::MasterInfo;
    pub use crate::model::unplaced::Unplaced;
    pub use crate::model::{
        AgentId, ExecutorId, FrameworkId, Offer, OfferId, Resources, TaskId, TaskInfo, TaskState, TaskStatus,
        Timestamp,
    };
    pub use crate::{
        Change, ExecutorTask, FrameworkOptions, Interactive, Need, Outcome, Plan, Problem, Record, Scheduler,
        State, Step, Task, TaskBuilder, TaskGroup,
        task::{Units, cpus, disk, gpus, mem, ports},
    };
    #[cfg(feature = "driver")]
    pub use crate::{
        Driver, Handle,
        store::{FileStore, MemoryStore, Store},
    };
}
