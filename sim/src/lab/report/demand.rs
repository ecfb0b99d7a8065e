//! What a workload asks for over time, were every task placed the moment it arrives.
//!
//! It depends on the workload alone, so it is the same for all policies: the line that allocation is held against. Tasks
//! that no machine could hold are part of it. `docs/simulator.md`, "asked", has the formula.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_sdk_core::task::Need;

use crate::lab::{Arrival, Workload};

/// The kinds that tasks ask for in amounts; ports are no amount.
const KINDS: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// A workload's demand, asked for at ever later moments.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    arrivals: Vec<&'a Arrival>,
    ends: Vec<(Duration, &'a Arrival)>,
    arrived: usize,
    ended: usize,
    /// Of each of [`KINDS`], in thousandths. Sums of a fleet's worth of tasks fit with much to spare.
    asked: [u128; 4],
    capacity: [u128; 4],
}

impl<'a> Demand<'a> {
    /// The demand before anything has arrived. O(n log n) in tasks.
    pub(super) fn new(workload: &'a Workload) -> Self {
        let mut arrivals: Vec<&Arrival> = workload.arrivals.iter().collect();
        arrivals.sort_by_key(|arrival| arrival.at);
        let end = |arrival: &'a Arrival| Some((would_end(arrival)?, arrival));
        let mut ends: Vec<_> = workload.arrivals.iter().filter_map(end).collect();
        ends.sort_by_key(|(at, _)| *at);
        let mut capacity = [0; 4];
        for machine in &workload.machines {
            let total = machine.total.quantities();
            for (sum, kind) in capacity.iter_mut().zip(KINDS) {
                *sum += u128::from(total.get(kind).thousandths());
            }
        }
        Self { arrivals, ends, arrived: 0, ended: 0, asked: [0; 4], capacity }
    }

    /// What is asked for at `at`, as a part of all there is, by kind; kinds that no machine has are left out. Above 1 it
    /// is more than the fleet has. `at` never goes back from call to call.
    pub(super) fn at(&mut self, at: Duration) -> BTreeMap<String, f64> {
        while let Some(arrival) = self.arrivals.get(self.arrived).filter(|arrival| arrival.at <= at) {
            let amounts = asked(&arrival.ask.need);
            self.asked.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
            self.arrived += 1;
        }
        while let Some((_, arrival)) = self.ends.get(self.ended).filter(|(end, _)| *end <= at) {
            let amounts = asked(&arrival.ask.need);
            self.asked.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum = sum.saturating_sub(amount));
            self.ended += 1;
        }
        let parts = KINDS.iter().zip(self.asked.iter().zip(&self.capacity));
        let present = parts.filter(|(_, (_, capacity))| **capacity > 0);
        present.map(|(kind, (asked, all))| ((*kind).to_owned(), *asked as f64 / *all as f64)).collect()
    }
}

/// From when to when each framework has something to ask for: from its first arrival to the last moment one of its tasks
/// would end; `None` for those who never ask. By their order in the workload.
pub(super) fn spans(workload: &Workload) -> Vec<Option<(Duration, Duration)>> {
    let mut spans: Vec<Option<(Duration, Duration)>> = vec![None; workload.frameworks.len()];
    for arrival in &workload.arrivals {
        let end = would_end(arrival).unwrap_or(Duration::MAX);
        let Some(span) = spans.get_mut(arrival.framework) else { continue };
        *span = Some(span.map_or((arrival.at, end), |(from, to)| (from.min(arrival.at), to.max(end))));
    }
    spans
}

fn would_end(arrival: &Arrival) -> Option<Duration> {
    arrival.runs.map(|runs| arrival.at.saturating_add(runs))
}

/// Of each of [`KINDS`], in thousandths, without a map for each of a million tasks.
fn asked(need: &Need) -> [u128; 4] {
    [need.cpus, need.mem, need.disk, need.gpus.thousandths()].map(|amount| u128::from(amount.thousandths()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{arrival, secs, workload};
    use super::*;

    #[test]
    fn demand_rises_with_arrivals_and_falls_with_would_be_ends() {
        let mut workload = workload(1, "cpus:10;mem:100");
        workload.arrivals.push(arrival("a", 0, 4, 10, Some(5)));
        workload.arrivals.push(arrival("b", 0, 8, 12, None));
        let mut demand = Demand::new(&workload);

        assert_eq!(demand.at(secs(9))["cpus"], 0.0);
        assert_eq!(demand.at(secs(10))["cpus"], 0.4);
        assert_eq!(demand.at(secs(12))["cpus"], 1.2);
        assert_eq!(demand.at(secs(15))["cpus"], 0.8);
        assert_eq!(demand.at(secs(15)).keys().collect::<Vec<_>>(), ["cpus", "mem"]);
    }

    #[test]
    fn a_framework_asks_from_its_first_arrival_to_its_last_would_be_end() {
        let mut workload = workload(3, "cpus:10;mem:100");
        workload.arrivals.push(arrival("a", 0, 1, 10, Some(50)));
        workload.arrivals.push(arrival("b", 0, 1, 20, Some(5)));
        workload.arrivals.push(arrival("c", 1, 1, 30, None));

        let spans = spans(&workload);

        assert_eq!(spans, [Some((secs(10), secs(60))), Some((secs(30), Duration::MAX)), None]);
    }
}
