//! A scheduler at fleet scale: a workload on production cores in virtual time, without faults.

use std::sync::Arc;
use std::time::Duration;

use lonja_model::TaskInfo;
use lonja_model::attributes::Attributes;
use lonja_model::resources::ParseError;
use lonja_sdk_core::Scheduler;
use lonja_sdk_core::placement::Ask;
use lonja_sim::lab::run::Runs;

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

/// Runs a plain scheduler, one that knows by itself what it wants, on a fleet in virtual time without faults: the value
/// that also runs in a driver and in a [`TestCluster`](super::TestCluster). How long its tasks run says
/// [`Fleet::runs_for`]. Returns what came of it, and the scheduler as it was at the end.
///
/// In the result every launch counts as a task that arrived and was placed; nobody knows how many were waited for.
///
/// A scheduler that panics, or that plans over its offers, ends the run: [`RunResult::stopped`] says why. Errors: the fleet
/// cannot be run, such as one without machines, or it has tasks of its own ([`Fleet::task`]).
pub fn simulate_scheduler<S: Scheduler + 'static>(
    fleet: &Fleet,
    seed: u64,
    scheduler: S,
) -> Result<(RunResult, S), RunError> {
    let name = std::any::type_name::<S>().rsplit("::").next().unwrap_or("scheduler");
    let options = Options::default();
    lonja_sim::lab::run::run_scheduler(&fleet.workload, name, scheduler, fleet.runs.clone(), &options, seed)
}

/// A small workload, step by step: equal machines and one framework. For more fill in a [`Workload`].
#[derive(Clone)]
pub struct Fleet {
    workload: Workload,
    runs: Runs,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fleet").field(&self.workload).finish()
    }
}

impl Fleet {
    /// So many machines with these resources each, such as `cpus:8;mem:16384;gpus:{0:1000,1:1000}`, for an hour.
    pub fn of(machines: usize, each: &str) -> Result<Self, ParseError> {
        let total: lonja_model::Resources = each.parse()?;
        let machine = |number| Machine {
            name: format!("machine-{number}"),
            total: total.clone(),
            attributes: Default::default(),
        };
        let workload = Workload {
            source: format!("{machines} machines of {each}"),
            machines: (0..machines).map(machine).collect(),
            frameworks: vec![Tenant { name: "simulated".to_owned(), weight: 1_000 }],
            arrivals: Vec::new(),
            lasts: Duration::from_secs(3600),
        };
        Ok(Self { workload, runs: Arc::new(|_| None) })
    }

    /// How long the run lasts.
    #[must_use]
    pub fn lasts(mut self, time: Duration) -> Self {
        self.workload.lasts = time;
        self
    }

    /// How long the tasks of a plain scheduler run ([`simulate_scheduler`]): a time, or none for to the end. Without this
    /// all run to the end.
    #[must_use]
    pub fn runs_for<R: Into<Option<Duration>>>(
        mut self,
        rule: impl Fn(&TaskInfo) -> R + Send + Sync + 'static,
    ) -> Self {
        self.runs = Arc::new(move |task| rule(task).into());
        self
    }

    /// More machines, with these resources and attributes each. Errors: that is no amount of resources, or no list of
    /// attributes; in words.
    pub fn and(mut self, machines: usize, each: &str, attributes: &str) -> Result<Self, String> {
        let total: lonja_model::Resources =
            each.parse().map_err(|why: ParseError| format!("{each:?}: {why}"))?;
        let attributes = Attributes::parse(attributes).map_err(|why| format!("{attributes:?}: {why}"))?;
        for _ in 0..machines {
            let name = format!("machine-{}", self.workload.machines.len());
            self.workload.machines.push(Machine {
                name,
                total: total.clone(),
                attributes: attributes.clone(),
            });
        }
        Ok(self)
    }

    /// A task that is wanted `at` this time from the beginning, and then runs for so long; none: to the end.
    #[must_use]
    pub fn task(mut self, at: Duration, ask: impl Into<Ask>, runs: Option<Duration>) -> Self {
        let name = format!("task-{}", self.workload.arrivals.len());
        self.workload.arrivals.push(Arrival { name, framework: 0, ask: ask.into(), at, runs });
        self
    }
}

impl From<Fleet> for Workload {
    fn from(Fleet { mut workload, .. }: Fleet) -> Self {
        workload.arrivals.sort_by_key(|arrival| arrival.at);
        workload
    }
}
