//! The laboratory: placement policies beside each other on a fleet, with the code that then goes live.
//!
//! A [`Workload`] (a recorded trace or a generated one) runs through the production master core, its allocator and the
//! SDK's side of the protocol, in virtual time and without faults; what is asked is not whether it holds but how well a
//! policy places. [`RunResult`] is what came of one policy and one seed.

mod amounts;
mod fleet;
pub mod generators;
pub mod never;
pub mod report;
pub mod run;
pub mod statistics;
pub mod trace;

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::Resources;
use lonja_model::attributes::Attributes;
use lonja_sdk_core::placement::Ask;

/// The policies that can be run by name.
pub use lonja_sdk_core::placement::policies;

/// One machine of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its hostname; each machine has its own.
    pub name: String,
    /// All that it has.
    pub total: Resources,
    /// What else it says of itself, such as `gpu_model`.
    pub attributes: Attributes,
}

/// One task of a workload. 128 bytes, the bytes of its name, and about 340 more if it names models of GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name in the trace; no two tasks share one.
    pub name: String,
    /// Who wants it: an index into [`Workload::frameworks`].
    pub framework: usize,
    /// What it asks for.
    pub ask: Ask,
    /// When it is wanted, from the beginning of the run.
    pub at: Duration,
    /// How long it runs once it runs; `None`: to the end of the run.
    pub runs: Option<Duration>,
}

/// One framework of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, and its role's.
    pub name: String,
    /// Its role's weight, in thousandths; 1,000 is the usual one.
    pub weight: u64,
}

/// What a fleet is asked to run.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Workload {
    /// Where it comes from, in a few words: a path, or a generator with its numbers.
    pub source: String,
    /// The fleet.
    pub machines: Vec<Machine>,
    /// Who wants tasks, at least one.
    pub frameworks: Vec<Tenant>,
    /// The tasks, in the order of their arrival.
    pub arrivals: Vec<Arrival>,
    /// How long the run lasts.
    pub lasts: Duration,
}

/// The state of the fleet at one moment.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Sample {
    /// When, from the beginning of the run.
    pub at: Duration,
    /// What tasks hold of each kind (`cpus`, `mem`, `gpus`), as a part of all there is, 0 to 1.
    pub used: BTreeMap<String, f64>,
    /// The part of the free GPU thousandths (of the free CPUs, if the fleet has no GPU) that the typical waiting
    /// or placed task could not use where it lies: `docs/simulator.md` defines it. 0 to 1.
    pub fragmentation: f64,
    /// The dominant share of each framework, 0 to 1, by their order in the workload.
    pub shares: Vec<f64>,
    /// Tasks that have arrived and wait.
    pub waiting: u64,
    /// Tasks that run.
    pub running: u64,
}

/// What came of one policy with one seed.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RunResult {
    /// The policy's name.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Tasks that arrived.
    pub arrived: u64,
    /// Tasks that were launched.
    pub placed: u64,
    /// Tasks that were lost by the policy: it broke down or was told that its plan was impossible.
    pub failed: u64,
    /// Tasks that no machine of the fleet could ever hold, with the reason: at most 100.
    pub never: Vec<(String, String)>,
    /// How many there are of them.
    pub never_count: u64,
    /// How long each launched task waited, in seconds, in no order.
    pub waits: Vec<f64>,
    /// Tasks that were ended to make room for others.
    pub preempted: u64,
    /// The state of the fleet at even distances of time.
    pub samples: Vec<Sample>,
    /// The hash over all that happened: the same for the same workload, policy and seed.
    pub trace_hash: u64,
    /// Why the policy was stopped, if it was: it panicked, or planned over its offers.
    pub stopped: Option<String>,
}
