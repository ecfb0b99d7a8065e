//! Reports of the laboratory: policies beside each other, as a table, JSON, CSV or plots.
//!
//! A run's [`RunResult`](super::RunResult) is reduced to its [`Figures`] as soon as it ends; a [`Comparison`] puts those of
//! many policies and seeds beside each other, each mean with its interval over the seeds. All output is text made from
//! numbers that follow from workload, policy and seed: the same runs make the same bytes. What a run took on this host is
//! no such number; JSON has it apart, under `host`, and only if it is given.
//!
//! The measures, the JSON schema and the columns of the CSV are in `docs/simulator.md`.
//!
//! Reading order: `measure`, `demand`, `figures`, `comparison`; then the forms: `table`, `json`, `csv`, `svg`.

mod comparison;
mod csv;
mod demand;
mod figures;
mod json;
mod measure;
mod svg;
mod table;

#[cfg(test)]
mod fixture;

pub use comparison::{About, Comparison, Curve, Line, Point};
pub use figures::{Figures, Moment};
pub use json::Host;
pub use measure::Measure;

/// The form of the JSON; it changes when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// How many tasks that can never be placed a report names, with the reason; the measure `never` counts all.
const NEVER_KEPT: usize = 20;

/// How many points a curve over time has.
const POINTS: usize = 240;
