//! A scheduler at fleet scale: a workload on production cores in virtual time, without faults.

use std::time::Duration;

use lonja_model::resources::ParseError;
use lonja_sdk_core::placement::Ask;

pub use lonja_sim::lab::run::{Client, Options, RunError};
pub use lonja_sim::lab::{Arrival, Machine, RunResult, Sample, Tenant, Workload};

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
