//! What a run comes to: one number for each measure, and its course over time.
//!
//! A [`RunResult`] holds a waiting time for each launched task; its figures hold some hundreds of moments, so that many
//! runs can be kept beside each other. `docs/simulator.md` defines what is computed here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Measure;
use super::demand::{Demand, spans};
use crate::lab::statistics::{jain_index, mean, percentiles};
use crate::lab::{RunResult, Sample, Workload};

/// The state of the fleet at one moment, beside what was asked for and how evenly it was shared.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Moment {
    /// What the run sampled.
    pub sample: Sample,
    /// What the workload asks for of each kind, as a part of all there is, were everything placed when it arrives.
    pub asked: BTreeMap<String, f64>,
    /// Jain's index of the weighted dominant shares of the frameworks that ask for something; `None` if nobody has
    /// anything.
    pub jain: Option<f64>,
    /// The largest of these shares less the smallest; `None` if fewer than two frameworks ask.
    pub gap: Option<f64>,
}

/// What came of one policy with one seed, in figures.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Figures {
    /// The policy's name.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// The hash over all that happened.
    pub trace_hash: u64,
    /// Tasks that arrived.
    pub arrived: u64,
    /// Why the policy was stopped before the end, if it was. The figures then tell of the time before.
    pub stopped: Option<String>,
    /// Some of the tasks that no machine could hold, each with the reason.
    pub never: Vec<(String, String)>,
    /// Each measure that is defined for this run: no waiting time if nothing was launched, for example.
    pub values: BTreeMap<Measure, f64>,
    /// The run over time, in order.
    pub course: Vec<Moment>,
}

impl Figures {
    /// The figures of `result`, a run of `workload`. O(n log n) in tasks.
    pub fn of(result: RunResult, workload: &Workload) -> Self {
        let course = course(&result.samples, workload);
        let values = values(&result, &course, workload.lasts);
        let RunResult { policy, seed, trace_hash, arrived, stopped, mut never, .. } = result;
        never.truncate(super::NEVER_KEPT);
        Self { policy, seed, trace_hash, arrived, stopped, never, values, course }
    }
}

fn values(result: &RunResult, course: &[Moment], lasts: Duration) -> BTreeMap<Measure, f64> {
    let settled = result.placed.saturating_add(result.failed).saturating_add(result.never_count);
    let counts = [
        (Measure::Placed, result.placed),
        (Measure::Never, result.never_count),
        (Measure::StillWaiting, result.arrived.saturating_sub(settled)),
        (Measure::Failed, result.failed),
        (Measure::Preempted, result.preempted),
    ];
    let mut values: BTreeMap<Measure, f64> =
        counts.into_iter().map(|(measure, count)| (measure, count as f64)).collect();
    let mut set = |measure, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            values.insert(measure, value);
        }
    };
    let seconds = lasts.as_secs_f64();
    set(Measure::LaunchesPerSecond, (seconds > 0.0).then(|| result.placed as f64 / seconds));
    let waits = percentiles(&result.waits, [50.0, 99.0]);
    set(Measure::WaitP50, waits.map(|[half, _]| half));
    set(Measure::WaitP99, waits.map(|[_, most]| most));
    for kind in kinds(course) {
        let used = |moment: &Moment| moment.sample.used.get(&kind).copied();
        set(Measure::UtilisationMean(kind.clone()), mean_over_time(course, used));
        set(Measure::UtilisationFinal(kind.clone()), course.last().and_then(used));
    }
    set(Measure::Fragmentation, mean_over_time(course, |moment| Some(moment.sample.fragmentation)));
    set(Measure::Jain, mean_over_time(course, |moment| moment.jain));
    let gaps = course.iter().filter_map(|moment| moment.gap);
    set(Measure::LargestGap, gaps.reduce(f64::max));
    values
}

/// All kinds that samples speak of, in order of their names.
pub(super) fn kinds(course: &[Moment]) -> Vec<String> {
    let mut kinds: Vec<String> =
        course.iter().flat_map(|moment| moment.sample.used.keys()).cloned().collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The mean of what `value` says, weighted by time: each moment stands until the next one. Moments for which there is no
/// value weigh nothing. With no time between the moments, their plain mean.
fn mean_over_time(course: &[Moment], value: impl Fn(&Moment) -> Option<f64>) -> Option<f64> {
    let (mut sum, mut time) = (0.0, 0.0);
    for pair in course.windows(2) {
        let [moment, next] = pair else { continue };
        let stands = next.sample.at.saturating_sub(moment.sample.at).as_secs_f64();
        if let Some(value) = value(moment) {
            sum += value * stands;
            time += stands;
        }
    }
    if time > 0.0 {
        return Some(sum / time);
    }
    mean(&course.iter().filter_map(value).collect::<Vec<_>>())
}

fn course(samples: &[Sample], workload: &Workload) -> Vec<Moment> {
    let mut demand = Demand::new(workload);
    let spans = spans(workload);
    let moment = |sample: &Sample| {
        let asked = demand.at(sample.at);
        let shares = asking_shares(sample, &spans, workload);
        let largest = shares.iter().copied().reduce(f64::max);
        let smallest = shares.iter().copied().reduce(f64::min);
        let gap = largest.zip(smallest).filter(|_| shares.len() > 1);
        let jain = jain_index(&shares);
        Moment { sample: sample.clone(), asked, jain, gap: gap.map(|(largest, smallest)| largest - smallest) }
    };
    samples.iter().map(moment).collect()
}

/// The dominant shares, divided by their frameworks' weights, of those who ask for something or still have something:
/// who wants nothing is not treated unfairly by getting nothing.
fn asking_shares(sample: &Sample, spans: &[Option<(Duration, Duration)>], workload: &Workload) -> Vec<f64> {
    let frameworks = workload.frameworks.iter().zip(spans).zip(&sample.shares);
    let asking = frameworks.filter(|((_, span), share)| {
        **share > 0.0 || span.is_some_and(|(from, to)| from <= sample.at && sample.at < to)
    });
    // A weight of zero is none that a role can have; dividing by one thousandth at least keeps the numbers finite.
    asking.map(|((framework, _), share)| share * 1000.0 / framework.weight.max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{arrival, run_result, sample, secs, workload};
    use super::*;

    #[test]
    fn utilisation_is_weighted_by_how_long_it_stood() {
        let mut result = run_result("tight", 1);
        result.samples =
            vec![sample(0, 0.0, &[0.0], 0), sample(10, 1.0, &[1.0], 0), sample(40, 0.5, &[0.5], 0)];

        let figures = Figures::of(result, &workload(1, "cpus:10;mem:100"));

        // (0 · 10 s + 1 · 30 s) / 40 s; the last sample only ends the one before.
        assert_eq!(figures.values[&Measure::UtilisationMean("cpus".into())], 0.75);
        assert_eq!(figures.values[&Measure::UtilisationFinal("cpus".into())], 0.5);
    }

    #[test]
    fn who_was_neither_launched_nor_lost_nor_impossible_still_waits() {
        let result =
            RunResult { arrived: 10, placed: 5, failed: 1, never_count: 2, ..run_result("tight", 1) };

        let figures = Figures::of(result, &workload(1, "cpus:10;mem:100"));

        assert_eq!(figures.values[&Measure::StillWaiting], 2.0);
        assert_eq!(figures.values[&Measure::LaunchesPerSecond], 0.05, "5 in 100 s");
        assert_eq!(figures.values.get(&Measure::WaitP50), None, "no times of launched tasks were told");
    }

    #[test]
    fn only_who_asks_counts_for_fairness_and_weights_count() {
        let mut workload = workload(3, "cpus:10;mem:100");
        workload.frameworks[1].weight = 2000;
        workload.arrivals.push(arrival("a", 0, 1, 0, Some(50)));
        workload.arrivals.push(arrival("b", 1, 1, 0, None));
        let mut result = run_result("tight", 1);
        result.samples = vec![sample(0, 0.3, &[0.1, 0.2, 0.0], 0), sample(60, 0.4, &[0.0, 0.4, 0.0], 0)];

        let figures = Figures::of(result, &workload);

        assert_eq!(figures.course[0].jain, Some(1.0), "1:2 by weights 1:2 is even");
        assert_eq!(figures.course[0].gap, Some(0.0));
        assert_eq!(figures.course[1].jain, Some(1.0), "the first one has got all it asked for");
        assert_eq!(figures.course[1].gap, None);
        assert_eq!(figures.course[1].sample.at, secs(60));
    }
}
