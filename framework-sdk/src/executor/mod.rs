//! Write your own executor: a program that runs tasks of your framework inside itself.
//!
//! Implement [`Executor`]: tasks and kills in, a [`Plan`] out. [`Driver`] speaks to the agent for you: it reads the
//! environment that the agent has set, subscribes, comes back when the agent was away, repeats updates until they are
//! stored, and ends when it is told to. Work runs elsewhere, in a thread or a task of its own, and reports by a
//! [`Handle`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use lonja_sdk::executor::{Driver, Executor, Handle, Plan, Update};
//! use lonja_sdk::prelude::*;
//!
//! /// Adds up the bytes that each task carries.
//! struct Sums(Handle);
//!
//! impl Executor for Sums {
//!     fn launched(&mut self, _now: Timestamp, task: &TaskInfo) -> Plan {
//!         let (handle, id, data) = (self.0.clone(), task.id.clone(), task.data.clone());
//!         tokio::spawn(async move {
//!             let sum: u64 = data.iter().copied().map(u64::from).sum();
//!             handle.update(Update::finished(id).with_data(sum.to_string())).await;
//!         });
//!         Plan::new().running(task.id.clone())
//!     }
//!
//!     fn kill(&mut self, _now: Timestamp, task: &TaskId, _grace: Option<Duration>) -> Plan {
//!         Plan::new().update(Update::killed(task.clone()))
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let driver = Driver::from_environment()?;
//! let sums = Sums(driver.handle());
//! let (_sums, outcome) = driver.run(sums).await?;
//! eprintln!("{outcome:?}");
//! # Ok(())
//! # }
//! ```
//!
//! What is guaranteed: each task is shown once to one run of the executor; each update is stored by the agent, and
//! shown to the framework, at least once, unless the agent is away for good or the grace period is over before. What is
//! not: that a message arrives. An executor that ends takes its tasks along; the agent says so of each.
//!
//! How the framework launches one: [`ExecutorTask`](crate::ExecutorTask). More: `docs/executors.md`.

mod connection;
mod driver;
mod environment;

pub use driver::{Driver, DriverError, Handle};
pub use environment::{Address, Environment, EnvironmentError, Token};
pub use lonja_model::execution::Subscribed;
pub use lonja_sdk_core::executor::{
    Executor, MAX_DATA_BYTES, MAX_TASKS, MAX_UPDATES_PER_TASK, Outcome, Plan, Problem, Update,
};
