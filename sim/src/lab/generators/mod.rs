//! Workloads that are made up: words and a seed in, a [`Workload`] out.
//!
//! [`generate`] takes words such as `poisson:load=0.9,mean=10m`: the name of a generator and its parameters, which
//! `docs/traces.md` lists. [`mix`](mix()) deals the tasks of any workload out to several frameworks.
//!
//! Invariants
//! - The same words, fleet and seed make the same workload.
//! - Arrivals stand in the order of their times; no two tasks or machines share a name.
//! - Bounded: 9,000,000 expected tasks, 1,000,000 machines, 10,000 frameworks; more is refused before it is made.

mod fleet;
mod kinds;
mod mix;
mod spec;
mod stream;

#[cfg(test)]
mod tests;

use super::Workload;
use crate::random::Random;
use kinds::KINDS;
use spec::{Parameters, shown};

pub use fleet::Fleet;
pub use mix::mix;
pub use spec::InvalidWords;

/// The generators: their names, and each in a few words.
pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|kind| (kind.name, kind.about))
}

/// Makes a workload: `words` are a generator's name and perhaps a colon and its parameters, `fleet` says what the
/// caller wants of the machines. O(tasks + machines).
///
/// Errors: [`InvalidWords`]: what is wrong and what is allowed.
pub fn generate(words: &str, fleet: &Fleet, seed: u64) -> Result<Workload, InvalidWords> {
    let (name, parameters) = words.split_once(':').unwrap_or((words, ""));
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name.trim()) else {
        let known = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        return Err(InvalidWords::UnknownGenerator { name: shown(name), known });
    };
    let parameters = Parameters::parse(kind.name, parameters, kind.parameters)?;
    let mut workload = (kind.generate)(&parameters, fleet, &mut Random::new(seed))?;
    workload.source = words.trim().to_owned();
    Ok(workload)
}
