//! A cluster in virtual time, made of the production cores.
//!
//! What a daemon's driver does with sockets, disk and clock, this crate does with queues; the decisions
//! are those of `lonja-master-core`, `lonja-agent-core` and `lonja-sdk-core`, unchanged. Everything is drawn from one seed:
//! the same seed and options give the same events, in debug and release builds.
//!
//! [`fuzz`] tries many seeds: processes are killed at any moment, promises are checked after every step,
//! and once the faults have ended everything must settle. [`replay`] tells one seed's story.
//!
//! Modelled so far: a lossless network with delays, connections that break with their processes, disks
//! that keep exactly what was committed, containers that outlive their agent. Not yet: partitions, lost or
//! doubled messages, torn or full disks, skewed clocks, traces and placement policies.
//!
//! Reading order: `world`, `life`, `hosts`, `network`, `disk`, `faults`, `operator`, `workload`, `batch`; then what
//! judges: `invariants`, `oracle`, `volumes`, `liveness`; then `journal` and [`report`].

mod batch;
mod disk;
mod faults;
mod hosts;
mod invariants;
mod journal;
pub mod lab;
mod life;
mod liveness;
mod network;
pub mod openb;
mod operator;
mod oracle;
mod random;
pub mod report;
mod volumes;
mod words;
mod workload;
mod world;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use report::{Activity, Kills, Outcome, Report};

use world::World;

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many seeds to try.
    pub seeds: u64,
    /// The first of them; the others follow.
    pub first_seed: u64,
    /// Agents in each cluster, at least 1.
    pub agents: usize,
    /// Frameworks in each cluster, at least 1.
    pub frameworks: usize,
    /// Jobs that each framework must bring to an end, at least 1; each takes one task or more.
    pub tasks: usize,
    /// How long the faults go on, in virtual time; then everything has an hour to settle.
    pub duration: Duration,
}

impl Default for Options {
    /// 100 seeds from 1 on; 3 agents, 2 frameworks with 12 jobs each, 15 minutes of faults.
    fn default() -> Self {
        Self {
            seeds: 100,
            first_seed: 1,
            agents: 3,
            frameworks: 2,
            tasks: 12,
            duration: Duration::from_secs(900),
        }
    }
}

/// A deliberate mistake in the world around the cores, for tests that prove that it is noticed (INV-M3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests plant mistakes"))]
pub(crate) enum Mutant {
    None,
    /// The disk of each agent loses commits that it called durable.
    AgentForgets,
    /// The disk of the master does.
    MasterForgets,
    /// The disk of the master keeps nothing but the first epoch.
    MasterForgetsEpochs,
    /// The disk of each framework loses commits.
    FrameworkForgets,
    /// What is left of containers is never removed.
    AgentKeepsContainers,
    /// Agents are not told when a container ends while they are up.
    AgentMissesExits,
    /// Each RUN arrives again, minutes later.
    NetworkRepeatsRun,
}

/// Tries many seeds. See [`fuzz_with`].
pub fn fuzz(options: Options) -> Report {
    fuzz_with(&options, |_| true)
}

/// Tries many seeds, one after the other; after each one `progress` sees the report so far and says whether to
/// go on. Not one seed of the report was tried in part.
pub fn fuzz_with(options: &Options, mut progress: impl FnMut(&Report) -> bool) -> Report {
    let mut report = Report::default();
    for number in 0..options.seeds {
        report.take(run(options.first_seed.wrapping_add(number), options, Mutant::None));
        if !progress(&report) {
            break;
        }
    }
    report.judge_activity(options);
    report
}

/// Runs one seed and tells its story; `options` must be those that [`fuzz`] had, but for the seeds.
pub fn replay(seed: u64, options: &Options) -> Outcome {
    run(seed, options, Mutant::None)
}

/// Runs one seed until all has settled or a promise is broken. A core that panics has broken one.
pub(crate) fn run(seed: u64, options: &Options, mutant: Mutant) -> Outcome {
    let mut world = World::new(seed, options, mutant);
    let began = world.now;
    let broken = loop {
        match catch_unwind(AssertUnwindSafe(|| world.step())) {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => break None,
            Ok(Err(broken)) => break Some(broken.to_string()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
                break Some(format!("panic: {text}"));
            }
        }
    };
    Outcome {
        seed,
        trace_hash: world.journal.hash(),
        virtual_time: world.now.since(began),
        events: world.journal.events(),
        activity: world.activity,
        broken,
        last_events: world.journal.last(),
    }
}
