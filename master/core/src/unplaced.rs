//! What frameworks tell of tasks that they have no place for: kept for people who ask, and for nothing else.
//!
//! A report replaces the one before. It is kept in memory only, within the bounds of [`lonja_model::unplaced`], until the
//! framework subscribes anew or is removed. No decision reads it.
//!
//! Source: ours; Mesos has no such call.

use std::collections::BTreeMap;

use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::unplaced::{self, Unplaced};
use lonja_model::{FrameworkId, Timestamp};

use crate::State;

/// What one framework has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub at: Timestamp,
    /// Each task once.
    pub tasks: Vec<Word>,
}

/// What it has told of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When it was first told in just these words. Reports hold all tasks that wait, also those that nobody has looked at
    /// since the one before.
    pub at: Timestamp,
    /// What.
    pub said: Unplaced,
}

/// Takes a report in the place of the one before, or refuses it whole.
pub(crate) fn report(
    state: &mut State,
    now: Timestamp,
    id: &FrameworkId,
    tasks: Vec<Unplaced>,
) -> CallResult {
    unplaced::check(&tasks).map_err(|error| Refusal {
        field: Some(format!("unplaced.{}", error.field())),
        ..Refusal::new(RefusalCode::InvalidArgument, format!("unplaced.{error}; nothing was changed"))
    })?;
    if let Some(known) = state.frameworks.get_mut(id) {
        let mut before: BTreeMap<_, _> = match known.waiting.take() {
            Some(report) => report.tasks.into_iter().map(|word| (word.said.task.clone(), word)).collect(),
            None => BTreeMap::new(),
        };
        let word = |said: Unplaced| match before.remove(&said.task) {
            Some(word) if word.said == said => word,
            _ => Word { at: now, said },
        };
        let tasks: Vec<_> = tasks.into_iter().map(word).collect();
        known.waiting = (!tasks.is_empty()).then_some(Report { at: now, tasks });
    }
    Ok(())
}
