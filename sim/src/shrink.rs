//! Of a run that breaks a promise: as few of its faults as still break it.
//!
//! Faults are left out in ever smaller groups, as long as the same promise stays broken; the seed draws the rest as
//! before. What is left is not the least of all, but nothing in it can be left out alone.
//!
//! Source: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28 (2002), the algorithm
//! `ddmin` without its tests of single groups.

use std::collections::BTreeSet;

use crate::{Mutant, Options, Outcome, run};

/// What became of shrinking a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest run that breaks the same promise; its `faults` are those that are left.
    pub outcome: Outcome,
    /// How many runs that took.
    pub runs: u64,
    /// Nothing that is left can be left out alone; `false`: it was broken off.
    pub complete: bool,
}

/// Shrinks a run that broke a promise. Before each of its runs it asks `go_on`, with how many faults are left.
pub fn shrink(failed: &Outcome, options: &Options, go_on: impl FnMut(usize) -> bool) -> Shrunk {
    shrink_mutant(failed, options, Mutant::None, go_on)
}

/// The same for a world with a mistake.
pub(crate) fn shrink_mutant(
    failed: &Outcome,
    options: &Options,
    mutant: Mutant,
    mut go_on: impl FnMut(usize) -> bool,
) -> Shrunk {
    let promise = promise(failed);
    // Faults that were to come after the end of the run broke nothing.
    let happened = failed.faults.iter().filter(|fault| fault.at_nanos <= failed.ended_at_nanos);
    let mut keep: Vec<usize> = happened.map(|fault| fault.number).collect();
    let mut best = failed.clone();
    let mut runs = 0;
    let mut groups = 1;
    while !keep.is_empty() {
        let size = keep.len().div_ceil(groups);
        let mut found = None;
        for group in keep.chunks(size) {
            if !go_on(keep.len()) {
                return Shrunk { outcome: best, runs, complete: false };
            }
            runs += 1;
            let rest: BTreeSet<usize> = keep.iter().copied().filter(|fault| !group.contains(fault)).collect();
            let options = Options { keep: Some(rest.clone()), ..options.clone() };
            let outcome = run(failed.seed, &options, mutant);
            if outcome.broken.is_some() && self::promise(&outcome) == promise {
                found = Some((rest, outcome));
                break;
            }
        }
        match found {
            Some((rest, outcome)) => {
                let ended = outcome.ended_at_nanos;
                let happened = |number: &usize| {
                    outcome.faults.iter().any(|fault| fault.number == *number && fault.at_nanos <= ended)
                };
                keep = rest.into_iter().filter(happened).collect();
                best = outcome;
                groups = (groups - 1).max(1).min(keep.len().max(1));
            }
            None if size == 1 => break,
            None => groups = (groups * 2).min(keep.len()),
        }
    }
    let ended = best.ended_at_nanos;
    best.faults.retain(|fault| fault.at_nanos <= ended);
    Shrunk { outcome: best, runs, complete: true }
}

/// Which promise a run broke, without how.
fn promise(outcome: &Outcome) -> &str {
    let broken = outcome.broken.as_deref().unwrap_or("");
    broken.split_once(':').map_or(broken, |(promise, _)| promise)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_many_faults_only_those_are_left_that_break_the_promise() {
        let options = Options {
            agents: Some(3),
            frameworks: Some(2),
            jobs: Some(12),
            duration: Duration::from_secs(600),
            ..Options::default()
        };
        // What a framework's disk forgets is not noticed until it is killed.
        let mutant = Mutant::FrameworkForgets;
        let failed = (1..20).map(|seed| run(seed, &options, mutant)).find(|outcome| outcome.broken.is_some());
        let failed = failed.expect("one of a few seeds notices");
        let shrunk = shrink_mutant(&failed, &options, mutant, |_| true);
        assert!(shrunk.complete);
        assert!(shrunk.outcome.faults.len() <= 3, "{:?}", shrunk.outcome.faults);
        assert_eq!(promise(&shrunk.outcome), promise(&failed));
        let keep = shrunk.outcome.faults.iter().map(|fault| fault.number).collect();
        let again = run(failed.seed, &Options { keep: Some(keep), ..options }, mutant);
        assert_eq!(again.broken, shrunk.outcome.broken, "what is left repeats it");
    }
}
