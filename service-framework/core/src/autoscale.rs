//! How the number of an app's instances follows what they do.
//!
//! A measurement recommends the number at which each instance would be at its target. More are taken at once; fewer only
//! when fewer would have done all through the stabilisation window, and then the highest number that was recommended in it.
//! What is within a tenth of the target is left alone.
//!
//! Invariants
//! - What is decided lies between the minimum and the maximum.
//! - Between two decisions lies the cool-down, unless somebody else set a number out of bounds.
//! - Where nothing was measured nothing is taken away: time that nobody looked at counts as full use.
//! - An app of 0 instances was switched off by somebody, and stays so.
//!
//! Source: the algorithm and the stabilisation window of Kubernetes' horizontal pod autoscaler; its tolerance of 0.1.

use std::collections::VecDeque;
use std::time::Duration;

use lonja_model::Timestamp;

use crate::definition::{Autoscale, Measure};

/// The fraction of the target that a measurement may be off without effect.
const TOLERANCE: f64 = 0.1;

/// Measurements further apart than this leave a time that nobody looked at.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);

/// The most recommendations that are remembered. In a window longer than so many measurements, neighbours are joined.
const MAX_REMEMBERED: usize = 512;

/// Decides how many instances an app is to have.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    rule: Autoscale,
    // In order of time. Each holds from its time to that of the next.
    recommended: VecDeque<(Timestamp, u32)>,
    measured: Option<Timestamp>,
    instances: Option<u32>,
    changed: Option<Timestamp>,
}

impl Autoscaler {
    /// One that has seen nothing yet.
    pub fn new(rule: Autoscale) -> Self {
        Self { rule, recommended: VecDeque::new(), measured: None, instances: None, changed: None }
    }

    /// What it goes by.
    pub fn rule(&self) -> &Autoscale {
        &self.rule
    }

    /// Goes by another rule from now on, and remembers what is common to both.
    pub fn set_rule(&mut self, rule: Autoscale) {
        if rule.measure != self.rule.measure || rule.target.to_bits() != self.rule.target.to_bits() {
            // Recommendations for another target say nothing of this one.
            self.recommended.clear();
            self.measured = None;
        }
        self.rule = rule;
    }

    /// Takes in a measurement of an app that is to have `instances`: for CPU and memory the used fraction of what all
    /// asked for, for a query its answer. How many there are to be, if not so many: tell [`Self::changed`] once that is done.
    /// What is no number, or negative, counts as not measured.
    pub fn measured(&mut self, now: Timestamp, value: f64, instances: u32) -> Option<u32> {
        if instances == 0 {
            self.instances = Some(0);
            self.forget(now);
            return None;
        }
        if self.instances.replace(instances).is_some_and(|before| before != instances) {
            self.changed = Some(now);
        }
        let bounded = self.bounded(instances);
        if bounded != instances {
            return Some(bounded);
        }
        if !(value.is_finite() && value >= 0.0) {
            return None;
        }
        self.remember(now, self.recommendation(value, instances), instances);
        self.wanted(now, instances)
    }

    /// There are to be so many from now on: what it said was done.
    pub fn changed(&mut self, now: Timestamp, instances: u32) {
        (self.changed, self.instances) = (Some(now), Some(instances));
    }

    /// The number that would bring each instance to its target, within the bounds.
    fn recommendation(&self, value: f64, instances: u32) -> u32 {
        let in_all = match self.rule.measure {
            Measure::Cpu | Measure::Memory => value * f64::from(instances),
            Measure::Prometheus { .. } => value,
        };
        let needed = in_all / self.rule.target;
        let off = (needed / f64::from(instances) - 1.0).abs();
        if needed.is_nan() || off <= TOLERANCE {
            return self.bounded(instances);
        }
        // A target of 0 that anything is above asks for all there may be.
        let needed = needed.ceil().clamp(0.0, f64::from(u32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and within the range"
        )]
        let needed = needed as u32;
        self.bounded(needed)
    }

    fn bounded(&self, instances: u32) -> u32 {
        // A minimum above the maximum is refused at the door; here the maximum holds.
        instances.max(self.rule.minimum).min(self.rule.maximum)
    }

    /// Adds a recommendation, and what nobody has seen before it as one of what there is.
    fn remember(&mut self, now: Timestamp, recommended: u32, instances: u32) {
        let silent_since = match self.measured.replace(now) {
            None => Some(now),
            Some(last) if now.since(last) > LONGEST_SILENCE => Some(last),
            Some(_) => None,
        };
        if let Some(since) = silent_since {
            self.push(since, instances.max(recommended));
        }
        self.push(now, recommended);
        let window = now - self.rule.stabilisation;
        // The one before the window holds at its beginning.
        while self.recommended.get(1).is_some_and(|(at, _)| *at <= window) {
            self.recommended.pop_front();
        }
    }

    fn push(&mut self, at: Timestamp, recommended: u32) {
        if self.recommended.back().is_some_and(|(_, last)| *last == recommended) {
            return;
        }
        if self.recommended.len() >= MAX_REMEMBERED {
            // The two oldest become the higher of them, for the time of both.
            if let (Some((at, one)), Some((_, other))) =
                (self.recommended.pop_front(), self.recommended.pop_front())
            {
                self.recommended.push_front((at, one.max(other)));
            }
        }
        self.recommended.push_back((at, recommended));
    }

    /// What the recommendations come to now, if a change, and if it may be made.
    fn wanted(&self, now: Timestamp, instances: u32) -> Option<u32> {
        let (_, latest) = *self.recommended.back()?;
        let highest = self.recommended.iter().map(|(_, recommended)| *recommended).max()?;
        let wanted = if latest >= instances { latest } else { highest.min(instances) };
        let cools = self.changed.is_some_and(|changed| changed + self.rule.cooldown > now);
        (wanted != instances && !cools).then_some(wanted)
    }

    fn forget(&mut self, now: Timestamp) {
        self.recommended.clear();
        self.measured = None;
        self.changed = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: u64 = 15;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + secs(1_000_000 + seconds)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rule() -> Autoscale {
        Autoscale {
            minimum: 2,
            maximum: 20,
            measure: Measure::Cpu,
            target: 0.5,
            cooldown: secs(60),
            stabilisation: secs(300),
        }
    }

    /// An app under a load, given as the number of instances that would be busy all the time.
    struct App {
        scaler: Autoscaler,
        instances: u32,
        changes: Vec<(u64, u32)>,
    }

    impl App {
        fn new(rule: Autoscale, instances: u32) -> Self {
            Self { scaler: Autoscaler::new(rule), instances, changes: Vec::new() }
        }

        fn feel(&mut self, second: u64, load: f64) {
            let used = (load / f64::from(self.instances)).min(1.0);
            if let Some(wanted) = self.scaler.measured(at(second), used, self.instances) {
                assert_ne!(wanted, self.instances, "a change changes something");
                self.scaler.changed(at(second), wanted);
                self.instances = wanted;
                self.changes.push((second, wanted));
            }
        }

        fn run(&mut self, seconds: std::ops::Range<u64>, load: impl Fn(u64) -> f64) {
            for second in seconds.step_by(usize::try_from(SAMPLE).unwrap()) {
                self.feel(second, load(second));
            }
        }
    }

    #[test]
    fn more_come_at_once_and_what_is_near_the_target_is_left_alone() {
        let mut app = App::new(rule(), 4);
        app.feel(0, 2.1);
        assert_eq!(app.instances, 4, "5 % above the target");
        app.feel(15, 3.0);
        assert_eq!(app.instances, 6);
    }

    #[test]
    fn nothing_follows_a_change_until_the_cool_down_is_over() {
        let mut app = App::new(rule(), 4);
        app.feel(0, 3.0);
        app.feel(15, 6.0);
        assert_eq!(app.instances, 6);
        app.feel(60, 6.0);
        assert_eq!(app.instances, 12, "all of six were busy, which is twice the target");
    }

    #[test]
    fn what_was_refused_is_said_again_and_starts_no_cool_down() {
        let mut scaler = Autoscaler::new(rule());
        assert_eq!(scaler.measured(at(0), 1.0, 4), Some(8));
        assert_eq!(scaler.measured(at(15), 1.0, 4), Some(8));
        scaler.changed(at(15), 8);
        assert_eq!(scaler.measured(at(30), 1.0, 8), None);
    }

    #[test]
    fn fewer_come_only_when_the_whole_window_says_so_and_as_few_as_it_allows() {
        let mut app = App::new(rule(), 10);
        app.run(0..120, |_| 5.0);
        app.run(120..240, |_| 3.0);
        app.run(240..420, |_| 1.0);
        assert_eq!(app.instances, 10);
        app.feel(420, 1.0);
        assert_eq!(app.instances, 6, "of the last 300 s, the first asked for six");
        app.run(435..600, |_| 1.0);
        assert_eq!(app.instances, 2);
    }

    #[test]
    fn what_was_not_measured_takes_nothing_away() {
        let mut app = App::new(rule(), 10);
        app.run(0..120, |_| 1.0);
        app.feel(1_000, 1.0);
        assert_eq!(app.instances, 10, "nobody knows what was between");
        app.run(1_015..1_300, |_| 1.0);
        assert_eq!(app.instances, 10);
        app.feel(1_305, 1.0);
        assert_eq!(app.instances, 2);

        let mut app = App::new(rule(), 10);
        for second in (0..3_600).step_by(15) {
            assert_eq!(app.scaler.measured(at(second), f64::NAN, 10), None);
        }
    }

    #[test]
    fn a_number_out_of_bounds_comes_back_at_once_and_none_stays_none() {
        let mut app = App::new(rule(), 100);
        app.feel(0, 0.0);
        assert_eq!(app.instances, 20);
        app.instances = 1;
        app.feel(15, 0.0);
        assert_eq!(app.instances, 2);
        app.instances = 0;
        assert_eq!(app.scaler.measured(at(30), 1.0, 0), None);
    }

    #[test]
    fn a_query_is_answered_for_all_instances_together() {
        let measure =
            Measure::Prometheus { server: "http://127.0.0.1:9090".into(), query: "sum(requests)".into() };
        let mut scaler = Autoscaler::new(Autoscale { measure, target: 100.0, ..rule() });
        assert_eq!(scaler.measured(at(0), 750.0, 4), Some(8));
    }

    #[test]
    fn a_day_of_load_is_followed_without_flapping() {
        // One slow wave an hour, between 2 and 8, with a fast ripple on it.
        let load = |second: u64| {
            let second = f64::from(u32::try_from(second).unwrap());
            5.0 + 3.0 * (second / 3_600.0 * std::f64::consts::TAU).sin() + 0.5 * (second / 37.0).sin()
        };
        let mut app = App::new(rule(), 10);

        app.run(0..6 * 3_600, load);

        let turns =
            app.changes.windows(3).filter(|three| (three[0].1 < three[1].1) != (three[1].1 < three[2].1));
        assert!(turns.count() <= 2 * 6 + 2, "up and down once for each wave: {:?}", app.changes);
        assert!(app.changes.len() < 6 * 25, "{:?}", app.changes.len());
        let (most, fewest) =
            (app.changes.iter().map(|one| one.1).max(), app.changes.iter().map(|one| one.1).min());
        assert!(most >= Some(16) && fewest <= Some(8), "it follows: {most:?} {fewest:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Bounds and cool-down hold for any load, and a load that stays is settled.
        #[test]
        fn bounds_hold_and_a_steady_load_comes_to_rest(
            minimum in 1..6_u32,
            more in 0..30_u32,
            start in 1..60_u32,
            loads in vec((0.0..50.0_f64, 1..200_u64), 1..40),
        ) {
            let rule = Autoscale { minimum, maximum: minimum + more, ..rule() };
            let mut app = App::new(rule.clone(), start);
            let mut second = 0;
            for (load, seconds) in &loads {
                second += seconds;
                app.feel(second, *load);
            }
            for (_, instances) in &app.changes {
                prop_assert!((rule.minimum..=rule.maximum).contains(instances));
            }
            for two in app.changes.windows(2) {
                prop_assert!(two[1].0 - two[0].0 >= 60, "{:?}", app.changes);
            }

            let steady = loads[0].0;
            app.run(second + 1..second + 3_600, |_| steady);
            let settled = app.changes.len();
            app.run(second + 3_600..second + 7_200, |_| steady);
            prop_assert_eq!(app.changes.len(), settled);
            let per_instance = steady / f64::from(app.instances);
            prop_assert!(per_instance <= 0.5 * 1.1 + 1e-9 || app.instances == rule.maximum);
        }

        /// Nothing is taken away before the window has been seen once.
        #[test]
        fn fewer_only_after_the_window(loads in vec(0.0..20.0_f64, 30..80)) {
            let mut app = App::new(rule(), 10);
            for (sample, load) in (0_u64..).zip(&loads) {
                let before = app.instances;
                app.feel(sample * SAMPLE, *load);
                prop_assert!(app.instances >= before || sample * SAMPLE >= 300);
            }
        }
    }
}
