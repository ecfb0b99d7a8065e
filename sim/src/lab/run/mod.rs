//! One policy on one workload: the production master and its allocator, the production SDK and the production agents,
//! in virtual time, without faults.
//!
//! What is real. Every machine is an agent core, every framework an SDK core with its scheduler, and between them
//! stands a master core. They say to each other what they say in production: registration, offers, ACCEPT, RUN, updates
//! and acknowledgements. A policy is run by the SDK's own [`Placer`], the one that goes live; any other scheduler by
//! [`run_with`], one that knows by itself what it wants by [`run_scheduler`].
//!
//! What is not. Nothing is lost and nobody fails. A message takes 500 µs, a commit (the master's registry, an agent's
//! checkpoint) 2 ms, a container 50 ms to start and 10 ms to be killed. Some settings of the master are others than in
//! production, for what they are for cannot happen here and would cost time: agents are not pinged and frameworks
//! hear no heartbeat (nobody falls silent), no offer expires (nobody forgets one), calls are not limited (nobody is
//! out to harm), ended tasks are not remembered.
//!
//! Offers. A framework that has the fleet to itself holds all of it, so that the policy always sees the whole: that is
//! what is measured. Several frameworks share by the allocator's rules, and what one holds the others cannot have:
//! each holds a few machines, the four-times-Nth part of M machines for N frameworks and at most five minutes, so that
//! most tasks start at once; gives the rest back, and asks for more when a task fits nowhere. [`Options::offers`] sets
//! another way.
//!
//! Tasks that no machine could ever hold are not handed to the scheduler, and are told of in the result.
//!
//! Reading order: `client`, `queue`, `books`, `setup`, `world`, `containers`.

mod books;
mod client;
mod containers;
mod queue;
mod setup;
mod world;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::TaskInfo;
use lonja_model::role::InvalidRole;
use lonja_sdk_core::Scheduler;
use lonja_sdk_core::placement::Placer;
use lonja_sdk_core::placement::placer;
use lonja_sdk_core::placement::{Ask, Cluster, Room, Scorer, Spec};

use crate::lab::never::never_placeable;
use crate::lab::{RunResult, Tenant, Workload};

pub use client::Client;

use client::Seated;
use world::World;

/// Tasks that can never be placed which are told of one by one.
const MAX_NEVER: usize = 100;

/// How a workload is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many samples are taken, besides the one at the beginning.
    pub samples: u32,
    /// Is a policy told beforehand what all machines and all tasks of the workload are like? If not, it learns as they
    /// come. Default: yes, as the published experiments have it.
    pub foresight: bool,
    /// How offers are dealt with; none: as the module says, by the number of frameworks.
    pub offers: Option<placer::Options>,
}

impl Default for Options {
    fn default() -> Self {
        Self { samples: 200, foresight: true, offers: None }
    }
}

impl Options {
    fn offers_for(&self, workload: &Workload) -> placer::Options {
        let tenants = workload.frameworks.len();
        let part = workload.machines.len() / (4 * tenants.max(1));
        let usual =
            if tenants == 1 { placer::Options::exclusive() } else { placer::Options::shared(part.max(1)) };
        self.offers.unwrap_or(usual)
    }
}

/// Why a workload cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is nothing to run it on.
    #[error("a fleet without machines runs nothing; give it at least one")]
    NoMachines,
    /// More than the simulator takes.
    #[error("{0} machines are more than the simulator takes, {max}", max = MAX_MACHINES)]
    TooManyMachines(usize),
    /// A machine that has nothing.
    #[error("machine {0:?} has no resources, or no name")]
    EmptyMachine(String),
    /// Nobody wants anything.
    #[error("a workload without frameworks has nobody to run it; give it at least one")]
    NoFrameworks,
    /// A framework's name is no role.
    #[error("framework {name:?} cannot have a role of that name")]
    NoRole {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        why: InvalidRole,
    },
    /// A weight of zero would leave a framework without a share.
    #[error("framework {0:?} has weight 0; the smallest is 1, a thousandth of the usual one")]
    NoWeight(String),
    /// A task is of a framework that is not there.
    #[error("task {task:?} is of framework number {framework}, and there are {frameworks}")]
    NobodysTask {
        /// The task.
        task: String,
        /// Whose it is said to be.
        framework: usize,
        /// How many there are.
        frameworks: usize,
    },
    /// Tasks are to stand in the order of their arrival.
    #[error("task {0:?} stands behind a task that arrives later")]
    OutOfOrder(String),
    /// A plain scheduler cannot be told of tasks that come from outside, and has the fleet to itself.
    #[error(
        "a plain scheduler knows by itself what it wants: give the workload no tasks and one framework, or implement Client"
    )]
    NobodyToTell,
    /// The run has no length.
    #[error("a run of no time runs nothing")]
    NoTime,
}

/// Machines that can be simulated at once.
const MAX_MACHINES: usize = 1_000_000;

/// Runs a policy: each framework of the workload is a [`Placer`] with a scorer of its own, made by `scorer`.
///
/// A policy that panics or names an impossible place ends its run and no other; [`RunResult::stopped`] says so.
/// Errors: the workload cannot be run.
pub fn run(
    workload: &Workload,
    mut scorer: impl FnMut() -> Box<dyn Scorer>,
    options: &Options,
    seed: u64,
) -> Result<RunResult, RunError> {
    check(workload)?;
    let offers = options.offers_for(workload);
    let policy = scorer().name().to_owned();
    let cluster = options.foresight.then(|| foresee(workload));
    let client = |_: usize, _: &Tenant| -> Box<dyn Client> {
        let placer = Placer::new(scorer(), offers);
        Box::new(match &cluster {
            Some(cluster) => placer.expecting(cluster),
            None => placer,
        })
    };
    run_with(workload, &policy, client, options, seed)
}

/// Runs any scheduler: each framework of the workload is a [`Client`] made by `client`, which is given the framework's
/// number in the workload. `policy` is what the result calls it.
///
/// A scheduler that panics, or makes a plan that goes over its offers, ends its run. Errors: the workload cannot be run.
pub fn run_with(
    workload: &Workload,
    policy: &str,
    mut client: impl FnMut(usize, &Tenant) -> Box<dyn Client>,
    options: &Options,
    seed: u64,
) -> Result<RunResult, RunError> {
    check(workload)?;
    let asks = counts(workload);
    let never = never_placeable(workload);
    let clients = workload.frameworks.iter().enumerate().map(|(index, tenant)| client(index, tenant));
    let seated = clients.map(Seated::Client).collect();
    let mut world = World::new(workload, &asks, &never, seated, None, options, seed)?;
    let mut result = go_on(&mut world, policy);
    (result.policy, result.seed) = (policy.to_owned(), seed);
    result.never_count = never.len() as u64;
    result.never = never
        .into_iter()
        .take(MAX_NEVER)
        .map(|(index, why)| (workload.arrivals[index].name.clone(), why))
        .collect();
    Ok(result)
}

/// How long a task runs that is not of the workload; none: to the end.
pub type Runs = Arc<dyn Fn(&TaskInfo) -> Option<Duration> + Send + Sync>;

/// Runs a scheduler that knows by itself what it wants, on the fleet of `workload` as its only framework; `runs` says how
/// long its tasks run. Every launch counts as a task that arrived and was placed. Returns the scheduler as it was at the end.
///
/// A scheduler that panics, or makes a plan that goes over its offers, ends its run. Errors: the workload cannot be run,
/// has tasks of its own, or has several frameworks.
pub fn run_scheduler<S: Scheduler + 'static>(
    workload: &Workload,
    name: &str,
    scheduler: S,
    runs: Runs,
    options: &Options,
    seed: u64,
) -> Result<(RunResult, S), RunError> {
    check(workload)?;
    if !workload.arrivals.is_empty() || workload.frameworks.len() > 1 {
        return Err(RunError::NobodyToTell);
    }
    let seated = vec![Seated::Plain(Box::new(scheduler))];
    let mut world = World::new(workload, &[], &[], seated, Some(runs), options, seed)?;
    let mut result = go_on(&mut world, name);
    (result.policy, result.seed) = (name.to_owned(), seed);
    let Seated::Plain(plain) = world.into_seated(0) else { unreachable!("it was seated just now") };
    let scheduler = plain.into_any().downcast().expect("it is what was seated");
    Ok((result, *scheduler))
}

/// Goes on to the end, or to the first mistake.
fn go_on(world: &mut World<'_>, policy: &str) -> RunResult {
    let stopped = match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            let who = if world.policy_has_the_word() {
                format!("policy {policy}")
            } else {
                "the simulator".to_owned()
            };
            Some(format!("{who} panicked: {text}"))
        }
    };
    world.take_result(stopped)
}

fn check(workload: &Workload) -> Result<(), RunError> {
    let Workload { machines, frameworks, arrivals, lasts, .. } = workload;
    if machines.is_empty() {
        return Err(RunError::NoMachines);
    }
    if machines.len() > MAX_MACHINES {
        return Err(RunError::TooManyMachines(machines.len()));
    }
    if let Some(machine) = machines.iter().find(|machine| machine.total.is_empty() || machine.name.is_empty())
    {
        return Err(RunError::EmptyMachine(machine.name.clone()));
    }
    if frameworks.is_empty() {
        return Err(RunError::NoFrameworks);
    }
    if let Some(tenant) = frameworks.iter().find(|tenant| tenant.weight == 0) {
        return Err(RunError::NoWeight(tenant.name.clone()));
    }
    if *lasts == Duration::ZERO {
        return Err(RunError::NoTime);
    }
    if let Some(task) = arrivals.iter().find(|task| task.framework >= frameworks.len()) {
        let (framework, frameworks) = (task.framework, frameworks.len());
        return Err(RunError::NobodysTask { task: task.name.clone(), framework, frameworks });
    }
    match arrivals.windows(2).find(|pair| pair[1].at < pair[0].at) {
        Some(pair) => Err(RunError::OutOfOrder(pair[1].name.clone())),
        None => Ok(()),
    }
}

/// What is asked for, with how many of each.
fn counts(workload: &Workload) -> Vec<(Ask, u64)> {
    let mut counts: BTreeMap<&Ask, u64> = BTreeMap::new();
    workload.arrivals.iter().for_each(|arrival| *counts.entry(&arrival.ask).or_default() += 1);
    counts.into_iter().map(|(ask, count)| (ask.clone(), count)).collect()
}

/// What there is to know beforehand.
fn foresee(workload: &Workload) -> Cluster {
    let largest = workload.machines.iter().fold(Spec::default(), |largest, machine| {
        let spec = Room::new(&machine.total, &machine.attributes).spec;
        let devices = largest.devices.max(spec.devices);
        Spec { cpus: largest.cpus.max(spec.cpus), mem: largest.mem.max(spec.mem), devices }
    });
    Cluster { largest, workload: counts(workload) }
}
