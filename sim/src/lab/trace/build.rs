//! A workload as it grows, row by row.
//!
//! Always: names are told apart, arrivals stand in the order of their times (those of one moment in the order of the
//! file), and no more than [`MOST_ROWS`] machines and tasks each.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Place, TraceError, shown};
use super::table::{MOST_ROWS, Row};
use crate::lab::fleet::{Size, Sizes};
use crate::lab::{Arrival, Machine, Tenant, Workload};

/// How long a run lasts behind its last arrival if no task of it ends.
pub(super) const ENDLESS: Duration = Duration::from_secs(3600);

/// A workload that is being read.
#[derive(Default)]
pub(super) struct Building {
    workload: Workload,
    sizes: Sizes,
    frameworks: BTreeMap<String, usize>,
    /// Where each machine and each task stands.
    machine_lines: Vec<u64>,
    arrival_lines: Vec<u64>,
}

impl Building {
    /// A machine, or several that differ in the number behind their name.
    pub(super) fn machines(
        &mut self,
        row: &Row<'_>,
        name: &str,
        size: &Size,
        count: u64,
    ) -> Result<(), TraceError> {
        if !has_room(self.workload.machines.len(), count) {
            return Err(row.too_much("more machines", MOST_ROWS));
        }
        for name in numbered(name, count) {
            let (total, attributes) = self.sizes.made(size);
            self.workload.machines.push(Machine { name, total, attributes });
            self.machine_lines.push(row.place().line);
        }
        Ok(())
    }

    /// A task, or several that differ in the number behind their name.
    pub(super) fn arrivals(&mut self, row: &Row<'_>, task: &Arrival, count: u64) -> Result<(), TraceError> {
        if !has_room(self.workload.arrivals.len(), count) {
            return Err(row.too_much("more tasks", MOST_ROWS));
        }
        for name in numbered(&task.name, count) {
            self.workload.arrivals.push(Arrival { name, ..task.clone() });
            self.arrival_lines.push(row.place().line);
        }
        Ok(())
    }

    /// The index of a framework, which is made with the usual weight if it is new.
    pub(super) fn framework(&mut self, name: &str) -> usize {
        match self.frameworks.get(name) {
            Some(index) => *index,
            None => self.tenant(name, 1000),
        }
    }

    /// Does a framework of this name stand there already?
    pub(super) fn knows(&self, name: &str) -> bool {
        self.frameworks.contains_key(name)
    }

    /// Makes a framework that is new.
    pub(super) fn tenant(&mut self, name: &str, weight: u64) -> usize {
        let index = self.workload.frameworks.len();
        self.workload.frameworks.push(Tenant { name: name.to_owned(), weight });
        self.frameworks.insert(name.to_owned(), index);
        index
    }

    /// Takes the time before the first arrival away.
    pub(super) fn begin_with_the_first_arrival(&mut self) {
        let first = self.workload.arrivals.iter().map(|arrival| arrival.at).min().unwrap_or_default();
        self.workload.arrivals.iter_mut().for_each(|arrival| arrival.at -= first);
    }

    /// The workload. Errors: no machine, no task, a name twice.
    pub(super) fn finish(
        mut self,
        source: &str,
        machines: &str,
        tasks: &str,
    ) -> Result<Workload, TraceError> {
        let names = self.workload.machines.iter().map(|machine| machine.name.as_str());
        each_once(machines, names, &self.machine_lines)?;
        let names = self.workload.arrivals.iter().map(|arrival| arrival.name.as_str());
        each_once(tasks, names, &self.arrival_lines)?;
        self.workload.arrivals.sort_by_key(|arrival| arrival.at);
        self.workload.lasts = lasts(&self.workload.arrivals);
        self.workload.source = source.to_owned();
        Ok(self.workload)
    }
}

/// Until the last task has ended that does; if none does, an hour behind the last arrival.
pub(super) fn lasts(arrivals: &[Arrival]) -> Duration {
    let end = arrivals.iter().filter_map(|arrival| Some(arrival.at + arrival.runs?)).max();
    let last = arrivals.iter().map(|arrival| arrival.at).max().unwrap_or_default();
    end.map_or(last + ENDLESS, |end| end.max(last))
}

/// Are `count` more few enough? Asked before any of them is made.
fn has_room(there: usize, count: u64) -> bool {
    usize::try_from(count).is_ok_and(|count| count <= MOST_ROWS.saturating_sub(there))
}

/// `name` alone, or `name-1` to `name-count`.
fn numbered(name: &str, count: u64) -> impl Iterator<Item = String> {
    (1..=count).map(move |number| if count == 1 { name.to_owned() } else { format!("{name}-{number}") })
}

/// Errors: nothing at all, or the first row whose name stood before.
fn each_once<'n>(file: &str, names: impl Iterator<Item = &'n str>, lines: &[u64]) -> Result<(), TraceError> {
    let wrong = |line, field: &str, found: &str, expected: &str| {
        let place = Place { file: file.to_owned(), line };
        let (field, found, expected) = (field.to_owned(), shown(found), expected.to_owned());
        Err(TraceError::Malformed { place, field, found, expected })
    };
    let mut sorted: Vec<(&str, u64)> = names.zip(lines.iter().copied()).collect();
    if sorted.is_empty() {
        return wrong(2, "row", "", "at least one row below the header");
    }
    sorted.sort_unstable();
    let twice = sorted.windows(2).filter(|pair| pair[0].0 == pair[1].0).min_by_key(|pair| pair[1].1);
    match twice {
        Some(pair) => {
            wrong(pair[1].1, "name", pair[1].0, &format!("another name: line {} has this one", pair[0].1))
        }
        None => Ok(()),
    }
}
