//! Policies beside each other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Figures, Measure, Moment, POINTS, figures};
use crate::lab::statistics::Estimate;
use crate::lab::{Tenant, Workload};

/// What was run: enough to run it again.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct About {
    /// The version of the simulator.
    pub version: String,
    /// The command line.
    pub command: String,
    /// Where the workload comes from.
    pub source: String,
    /// How many machines.
    pub machines: usize,
    /// How many tasks arrive; of generated workloads, with the first seed.
    pub arrivals: usize,
    /// Who wants them.
    pub frameworks: Vec<Tenant>,
    /// How long a run lasts, in virtual time.
    pub lasts: Duration,
    /// The seeds, in order.
    pub seeds: Vec<u64>,
}

impl About {
    /// What there is to say of runs of `workload`.
    pub fn of(workload: &Workload, version: String, command: String, seeds: Vec<u64>) -> Self {
        Self {
            version,
            command,
            source: workload.source.clone(),
            machines: workload.machines.len(),
            arrivals: workload.arrivals.len(),
            frameworks: workload.frameworks.clone(),
            lasts: workload.lasts,
            seeds,
        }
    }
}

/// One policy with all its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The policy's name.
    pub policy: String,
    /// Its runs, in order of their seeds.
    pub runs: Vec<Figures>,
}

impl Line {
    /// The runs that went on to the end. Those that were stopped are in no mean: they tell of a shorter time.
    pub fn ended(&self) -> impl Iterator<Item = &Figures> {
        self.runs.iter().filter(|run| run.stopped.is_none())
    }

    /// The mean of `measure` over the seeds whose runs ended and have it; `None` if no run has it.
    pub fn estimate(&self, measure: &Measure) -> Option<Estimate> {
        let values: Vec<f64> = self.ended().filter_map(|run| run.values.get(measure).copied()).collect();
        Estimate::of(&values)
    }

    /// The runs that were stopped, each seed with the reason.
    pub fn stopped(&self) -> impl Iterator<Item = (u64, &str)> {
        self.runs.iter().filter_map(|run| Some((run.seed, run.stopped.as_deref()?)))
    }
}

/// One point of a curve: what the runs of a policy say at `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds of virtual time, or what was asked for.
    pub x: f64,
    /// The mean over the seeds, with its interval.
    pub y: Estimate,
}

/// A policy's course, means over its seeds.
pub type Curve = Vec<Point>;

/// Many policies on one workload, each with the same seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What was run.
    pub about: About,
    /// A line for each policy, in the order in which they were first given.
    pub lines: Vec<Line>,
}

impl Comparison {
    /// Puts runs beside each other: those of one policy form a line, in order of their seeds.
    pub fn new(about: About, figures: Vec<Figures>) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for run in figures {
            match lines.iter_mut().find(|line| line.policy == run.policy) {
                Some(line) => line.runs.push(run),
                None => lines.push(Line { policy: run.policy.clone(), runs: vec![run] }),
            }
        }
        for line in &mut lines {
            line.runs.sort_by_key(|run| run.seed);
        }
        Self { about, lines }
    }

    /// All measures that some run has, in the order of tables.
    pub fn measures(&self) -> Vec<Measure> {
        let measures: BTreeSet<&Measure> = self.runs().flat_map(|run| run.values.keys()).collect();
        measures.into_iter().cloned().collect()
    }

    /// All kinds of resources that samples speak of, in order of their names.
    pub fn kinds(&self) -> Vec<String> {
        let kinds: BTreeSet<String> = self.runs().flat_map(|run| figures::kinds(&run.course)).collect();
        kinds.into_iter().collect()
    }

    /// Every run of every policy.
    pub fn runs(&self) -> impl Iterator<Item = &Figures> {
        self.lines.iter().flat_map(|line| &line.runs)
    }

    /// The last moment that was sampled in any run, seconds.
    pub(super) fn span(&self) -> f64 {
        let last = |run: &Figures| run.course.last().map_or(0.0, |moment| moment.sample.at.as_secs_f64());
        self.runs().map(last).fold(0.0, f64::max)
    }

    /// The course of `value` over time: at even distances the mean over the runs of `line` that ended. At each moment a
    /// run says what it last sampled; before its first sample and after its last one it says nothing.
    pub fn over_time(&self, line: &Line, value: impl Fn(&Moment) -> Option<f64>) -> Curve {
        let span = self.span();
        let at = |run: &Figures, x: f64| {
            let next = run.course.partition_point(|moment| moment.sample.at.as_secs_f64() <= x);
            let within = next < run.course.len() || x <= run.course.last()?.sample.at.as_secs_f64();
            value(run.course.get(next.checked_sub(1)?)?).filter(|_| within)
        };
        let point = |number: usize| {
            let x = span * number as f64 / (POINTS - 1) as f64;
            let values: Vec<f64> = line.ended().filter_map(|run| at(run, x)).collect();
            Some(Point { x, y: Estimate::of(&values)? })
        };
        (0..POINTS).filter_map(point).collect()
    }

    /// What was allocated of `kind` against what was asked for, both as parts of all there is: the moments of a run are
    /// put into 100 bins of equal width by what was asked for, and in each bin the run's mean counts once.
    pub fn allocated_against_asked(&self, line: &Line, kind: &str) -> Curve {
        const BINS: usize = 100;
        let asked = |moment: &Moment| moment.asked.get(kind).copied();
        let most = self.runs().flat_map(|run| &run.course).filter_map(asked).fold(0.0, f64::max);
        let width = most / BINS as f64;
        let mut bins: Vec<Vec<f64>> = vec![Vec::new(); BINS];
        for run in line.ended() {
            let mut sums = vec![(0.0, 0.0); BINS];
            for moment in &run.course {
                let Some((asked, used)) = asked(moment).zip(moment.sample.used.get(kind)) else { continue };
                // The cast cannot go astray: the quotient is 0 to BINS, and no number where nothing is ever asked for.
                let bin = ((asked / width) as usize).min(BINS - 1);
                sums[bin].0 += used;
                sums[bin].1 += 1.0;
            }
            let means = sums.into_iter().map(|(sum, count)| sum / count);
            bins.iter_mut()
                .zip(means)
                .filter(|(_, mean)| mean.is_finite())
                .for_each(|(bin, mean)| bin.push(mean));
        }
        let middle = |bin: usize| width * (bin as f64 + 0.5);
        let points = bins.iter().enumerate();
        points.filter_map(|(bin, values)| Some(Point { x: middle(bin), y: Estimate::of(values)? })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::comparison;
    use super::*;

    #[test]
    fn a_line_is_the_mean_of_its_seeds_without_those_that_were_stopped() {
        let comparison = comparison();
        let [tight, _, broken] = &comparison.lines[..] else { panic!("three lines") };

        let placed = tight.estimate(&Measure::Placed).unwrap();
        assert_eq!((placed.mean, placed.count), (1.5, 2));
        let placed = broken.estimate(&Measure::Placed).unwrap();
        assert_eq!((placed.mean, placed.count, placed.half_width), (1.0, 1, None));
        assert_eq!(broken.stopped().count(), 1);
    }

    #[test]
    fn a_curve_says_at_each_moment_what_was_last_sampled() {
        let comparison = comparison();

        let curve = comparison.over_time(&comparison.lines[0], |moment| Some(moment.sample.used["cpus"]));

        assert_eq!(curve.len(), POINTS);
        assert_eq!((curve[0].x, curve[0].y.mean), (0.0, 0.0));
        let before = curve.iter().rfind(|point| point.x < 50.0).unwrap();
        assert_eq!(before.y.mean, 0.0);
        let last = curve.last().unwrap();
        assert!(last.x == 100.0 && (last.y.mean - 0.85).abs() < 1e-9);
    }

    #[test]
    fn allocated_is_held_against_asked() {
        let comparison = comparison();

        let curve = comparison.allocated_against_asked(&comparison.lines[1], "cpus");

        // Asked for: 0.5 at first and at the end, 1.3 in the middle.
        let points: Vec<(f64, f64)> = curve.iter().map(|point| (point.x, point.y.mean)).collect();
        assert_eq!(points.len(), 2);
        assert!((points[0].0 - 0.5).abs() < 0.013 && points[0].1 == 0.25);
        assert!((points[1].0 - 1.3).abs() < 0.013 && points[1].1 == 0.5);
    }
}
