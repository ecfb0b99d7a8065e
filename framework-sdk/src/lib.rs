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
//! What is guaranteed: every update is shown to the scheduler at least once over the framework's life and
//! once within one run; no plan is sent that goes over its offers. What is not: that a task runs exactly
//! once if you launch it anew under another id while its agent is unreachable.

mod options;

#[cfg(feature = "driver")]
mod connection;
#[cfg(feature = "driver")]
mod driver;

#[cfg(feature = "driver")]
pub mod store;

#[cfg(feature = "driver")]
pub mod executor;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "driver")]
pub use driver::{
    Driver, DriverError, Ended, Events, Handle, InteractiveDriver, Link, Metrics, Missed, Notice, Reply,
    Unanswered,
};
pub use lonja_sdk_core::{
    Change, Counts, ExecutorTask, Interactive, InvalidTask, MAX_HOLD, MAX_TASKS, Outcome, Plan, PlanError,
    Problem, Scheduler, State, Step, Task, TaskBuilder, TaskGroup, placement, task, task::Need,
};
pub use options::FrameworkOptions;

/// The values that schedulers deal in.
pub mod model {
    pub use lonja_model::*;
}

/// All that most schedulers need.
pub mod prelude {
    pub use crate::model::scheduler::MasterInfo;
    pub use crate::model::unplaced::Unplaced;
    pub use crate::model::{
        AgentId, ExecutorId, FrameworkId, Offer, OfferId, Resources, TaskId, TaskInfo, TaskState, TaskStatus,
        Timestamp,
    };
    pub use crate::{
        Change, ExecutorTask, FrameworkOptions, Need, Outcome, Plan, Problem, Scheduler, State, Step, Task,
        TaskBuilder, TaskGroup,
        task::{Units, cpus, disk, gpus, mem, ports},
    };
    #[cfg(feature = "driver")]
    pub use crate::{
        Driver, Handle,
        store::{FileStore, MemoryStore, Store},
    };
}
