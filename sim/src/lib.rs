//! A cluster in virtual time, made of the production cores.
//!
//! What a daemon's driver does with sockets, disk and clock, this crate does with queues; the decisions
//! are those of `lonja-master-core`, `lonja-agent-core` and `lonja-sdk-core`, unchanged. Everything is drawn from one seed:
//! the same seed and options give the same events, in debug and release builds.
//!
//! [`fuzz`] tries many seeds: processes are killed at any moment, promises are checked after every step,
//! and once the faults have ended everything must settle. [`replay`] tells one seed's story.
//!
//! Modelled so far: a network that delays, parts, breaks and repeats; clocks that run at their own rates, leap and jump, and
//! processes that are stopped; disks that fill up, fail, slow down and rot; hosts that lose power; processes killed at any
//! of the named [`steps`]; containers that outlive their agent, break their limits, are struck by strangers, or are there
//! when the agent is not.
//!
//! Reading order: `world`, `life`, `hosts`, `network`, `clocks`, `stalls`, `disk`, `faults`, [`steps`], `operator`, `workload`,
//! `batch`; then what judges: `invariants`, `oracle`, `witness`, `ledger`, `volumes`, `silence`, `streams`, `partitions`,
//! `liveness`; then `mutants`, `troubles`, `journal` and [`report`].

mod batch;
mod clocks;
pub mod cluster;
mod coverage;
mod disk;
mod faults;
mod happening;
mod health;
mod hosts;
mod invariants;
mod journal;
pub mod lab;
mod ledger;
mod life;
mod liveness;
mod mutants;
mod network;
mod notes;
pub mod openb;
mod operator;
mod oracle;
mod partitions;
mod pods;
mod profile;
mod random;
pub mod report;
mod shrink;
mod silence;
mod stalls;
pub mod steps;
mod streams;
mod troubles;
mod volumes;
mod witness;
mod words;
mod workload;
mod world;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

pub use coverage::Coverage;
pub use journal::{Entry, Reader};
pub use report::{Activity, Fault, Kills, Outcome, Report};
pub use shrink::{Shrunk, shrink};
pub use troubles::{ClockTroubles, NetworkTroubles};

pub use profile::{Profile, UnknownProfile};

pub(crate) use mutants::Mutant;
use world::World;

/// Events told of a run that broke a promise.
const LAST_EVENTS: usize = 80;

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many seeds to try.
    pub seeds: u64,
    /// The first of them; the others follow.
    pub first_seed: u64,
    /// Agents in each cluster, at least 1; none: each seed draws 5 to 10.
    pub agents: Option<usize>,
    /// Frameworks in each cluster, at least 1; none: each seed draws 1 to 4.
    pub frameworks: Option<usize>,
    /// Jobs that each framework must bring to an end, at least 1; each takes one task or more. None: each seed draws
    /// about 80 to 160 an hour for all frameworks together.
    pub jobs: Option<usize>,
    /// How long the faults go on, in virtual time; then everything has an hour to settle.
    pub duration: Duration,
    /// Which faults there are.
    pub faults: Profile,
    /// Of the faults that the seed draws only these, by their numbers; none: all.
    pub keep: Option<BTreeSet<usize>>,
}

impl Default for Options {
    /// 100 seeds from 1 on, an hour of all faults each; the seed draws the rest.
    fn default() -> Self {
        Self {
            seeds: 100,
            first_seed: 1,
            agents: None,
            frameworks: None,
            jobs: None,
            duration: Duration::from_secs(3600),
            faults: Profile::default(),
            keep: None,
        }
    }
}

/// Tries many seeds. See [`fuzz_with`].
pub fn fuzz(options: &Options) -> Report {
    fuzz_with(options, |_| true)
}

/// Tries many seeds, one after the other; after each one `progress` sees the report so far and says whether to
/// go on. Not one seed of the report was tried in part.
pub fn fuzz_with(options: &Options, mut progress: impl FnMut(&Report) -> bool) -> Report {
    let mut report = Report::default();
    for number in 0..options.seeds {
        report.take(try_seed(options.first_seed.wrapping_add(number), options));
        if !progress(&report) {
            break;
        }
    }
    report.judge_activity(options);
    report
}

/// Runs one seed; if it breaks a promise, tells its last events.
pub fn try_seed(seed: u64, options: &Options) -> Outcome {
    run(seed, options, Mutant::None)
}

/// Runs one seed and tells every event to `reader`; `options` must be those that [`try_seed`] had, but for the seeds.
pub fn replay(seed: u64, options: &Options, reader: Reader) -> Outcome {
    attempt(seed, options, Mutant::None, Some(reader))
}

/// Runs one seed, and once more with somebody who reads along if it breaks a promise.
pub(crate) fn run(seed: u64, options: &Options, mutant: Mutant) -> Outcome {
    let outcome = attempt(seed, options, mutant, None);
    if outcome.broken.is_none() {
        return outcome;
    }
    let last = Rc::new(RefCell::new(VecDeque::new()));
    let kept = last.clone();
    let reader = move |entry: Entry| {
        let mut last = kept.borrow_mut();
        if last.len() == LAST_EVENTS {
            last.pop_front();
        }
        last.push_back(entry);
    };
    let again = attempt(seed, options, mutant, Some(Box::new(reader)));
    let last_events = last.borrow().iter().map(Entry::to_string).collect();
    if again.trace_hash == outcome.trace_hash {
        return Outcome { last_events, ..outcome };
    }
    let broken = format!(
        "INV-M1: the same seed ran twice to different ends, trace hashes {:016x} and {:016x}; before that: {}",
        outcome.trace_hash,
        again.trace_hash,
        outcome.broken.unwrap_or_default()
    );
    Outcome { last_events, broken: Some(broken), ..again }
}

/// Runs one seed until all has settled or a promise is broken. A core that panics has broken one.
fn attempt(seed: u64, options: &Options, mutant: Mutant, reader: Option<Reader>) -> Outcome {
    let mut world = World::new(seed, options, mutant, reader);
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
    let mut activity = world.activity;
    activity.kinds = world.journal.kinds().clone();
    Outcome {
        seed,
        trace_hash: world.journal.hash(),
        virtual_time: world.now.since(began),
        ended_at_nanos: world.now.as_nanos(),
        events: world.journal.events(),
        jobs: world.frameworks.iter().map(|host| host.resident.jobs()).sum(),
        activity,
        broken,
        faults: world.faults,
        last_events: Vec::new(),
    }
}
