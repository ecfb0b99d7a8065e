//! Your scheduler on a cluster in virtual time: the feature `testing`, for tests and for trying policies out.
//!
//! [`simulate`] runs any scheduler against the production master, its allocator and production agents, all in this
//! process: no network, no containers, no waiting; an hour of a thousand machines takes seconds. The same seed gives the
//! same run. What is modelled and what is not: `docs/simulator.md`.
//!
//! A scheduler learns of its work from outside (a queue, an API, a file). Here the outside is a [`Workload`], and what
//! carries it in is one method more: [`Client::arrive`].
//!
//! ```
//! use std::time::Duration;
//!
//! use lonja_sdk::placement::{Ask, fit};
//! use lonja_sdk::prelude::*;
//! use lonja_sdk::testing::{Client, Fleet, simulate};
//!
//! /// Puts each task where it fits first.
//! #[derive(Default)]
//! struct FirstCome {
//!     waiting: Vec<(TaskId, Need)>,
//! }
//!
//! impl Scheduler for FirstCome {
//!     fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
//!         let command = Task::shell("sleep 60").expect("a command");
//!         let mut plan = Plan::new();
//!         for offer in offers {
//!             let mut left = offer.resources.clone();
//!             let mut tasks = Vec::new();
//!             self.waiting.retain(|(id, need)| {
//!                 let Some(taken) = fit(&left, need) else { return true };
//!                 left = left.checked_sub(&taken).expect("it fits");
//!                 tasks.push(command.with_resources(&offer.agent, id.clone(), taken));
//!                 false
//!             });
//!             if !tasks.is_empty() {
//!                 plan = plan.launch(offer, tasks);
//!             }
//!         }
//!         plan
//!     }
//!
//!     fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
//!         Plan::new()
//!     }
//!
//!     fn wants_offers(&self) -> bool {
//!         !self.waiting.is_empty()
//!     }
//! }
//!
//! impl Client for FirstCome {
//!     fn arrive(&mut self, _now: Timestamp, id: TaskId, ask: &Ask) {
//!         self.waiting.push((id, ask.need));
//!     }
//! }
//!
//! // Ten machines, and every second a task that runs for a minute.
//! let task = Task::shell("sleep 60")?.cpus(2.0)?.mem_mib(512.0)?;
//! let mut fleet = Fleet::of(10, "cpus:8;mem:16384")?.lasts(Duration::from_secs(600));
//! for second in 0..500 {
//!     fleet = fleet.task(Duration::from_secs(second), *task.need(), Some(Duration::from_secs(60)));
//! }
//!
//! let result = simulate(&fleet.into(), 1, |_tenant| FirstCome::default())?;
//!
//! assert_eq!((result.arrived, result.stopped), (500, None));
//! // Ten machines hold forty such tasks, so only two in three find room.
//! assert!((380..=420).contains(&result.placed), "{} placed", result.placed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod local;
mod made_up;

use std::time::Duration;

use lonja_model::resources::ParseError;
use lonja_sdk_core::placement::Ask;

pub use local::{Builder as LocalClusterBuilder, LocalCluster, LocalClusterError};
pub use lonja_sim::lab::run::{Client, Options, RunError};
pub use lonja_sim::lab::trace;
pub use lonja_sim::lab::{Arrival, Machine, RunResult, Sample, Tenant, Workload};
pub use made_up::{offer, status};

/// Runs a scheduler on a cluster in virtual time: each framework of the workload gets one made by `scheduler`.
///
/// A scheduler that panics, or that plans over its offers, ends the run: [`RunResult::stopped`] says why. Errors:
/// the workload cannot be run, such as one without machines.
pub fn simulate<C: Client + 'static>(
    workload: &Workload,
    seed: u64,
    mut scheduler: impl FnMut(&Tenant) -> C,
) -> Result<RunResult, RunError> {
    let name = std::any::type_name::<C>().rsplit("::").next().unwrap_or("scheduler");
    let client = |_: usize, tenant: &Tenant| Box::new(scheduler(tenant)) as Box<dyn Client>;
    lonja_sim::lab::run::run_with(workload, name, client, &Options::default(), seed)
}

/// A small workload, step by step: equal machines and one framework. For more fill in a [`Workload`].
#[derive(Clone, Debug)]
pub struct Fleet(Workload);

impl Fleet {
    /// So many machines with these resources each, such as `cpus:8;mem:16384;gpus:{0:1000,1:1000}`, for an hour.
    pub fn of(machines: usize, each: &str) -> Result<Self, ParseError> {
        let total: lonja_model::Resources = each.parse()?;
        let machine = |number| Machine {
            name: format!("machine-{number}"),
            total: total.clone(),
            attributes: Default::default(),
        };
        Ok(Self(Workload {
            source: format!("{machines} machines of {each}"),
            machines: (0..machines).map(machine).collect(),
            frameworks: vec![Tenant { name: "simulated".to_owned(), weight: 1_000 }],
            arrivals: Vec::new(),
            lasts: Duration::from_secs(3600),
        }))
    }

    /// How long the run lasts.
    #[must_use]
    pub fn lasts(mut self, time: Duration) -> Self {
        self.0.lasts = time;
        self
    }

    /// A task that is wanted `at` this time from the beginning, and then runs for so long; none: to the end.
    #[must_use]
    pub fn task(mut self, at: Duration, ask: impl Into<Ask>, runs: Option<Duration>) -> Self {
        let name = format!("task-{}", self.0.arrivals.len());
        self.0.arrivals.push(Arrival { name, framework: 0, ask: ask.into(), at, runs });
        self
    }
}

impl From<Fleet> for Workload {
    fn from(Fleet(mut workload): Fleet) -> Self {
        workload.arrivals.sort_by_key(|arrival| arrival.at);
        workload
    }
}
