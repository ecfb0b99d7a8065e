//! Axes: from where to where, with round ticks.

use super::panel::Series;

/// One axis of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// What it counts, with the unit.
    pub(super) label: String,
    /// Its lower end.
    pub(super) least: f64,
    /// Its upper end, above `least`.
    pub(super) most: f64,
    /// What numbers are divided by to be shown: 3,600 where seconds are shown as hours.
    pub(super) scale: f64,
    /// Where it may end at most; what lies beyond is cut off.
    limit: f64,
}

impl Axis {
    /// Virtual time from 0 to `span` seconds, in the unit that makes the numbers short.
    pub(super) fn time(span: f64) -> Self {
        let units = [(86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")];
        let (scale, unit) =
            units.into_iter().find(|(scale, _)| span >= 3.0 * scale).unwrap_or((1.0, "seconds"));
        Self { label: format!("time, {unit}"), most: span.max(1.0), scale, ..Self::count("") }
    }

    /// Percent of `what`, up to 100.
    pub(super) fn percent(what: &str) -> Self {
        Self { label: format!("% of {what}"), limit: 100.0, ..Self::count("") }
    }

    /// A count of `what`.
    pub(super) fn count(what: &str) -> Self {
        Self { label: what.to_owned(), least: 0.0, most: 1.0, scale: 1.0, limit: f64::INFINITY }
    }

    /// A number from 0 to 1.
    pub(super) fn index(what: &str) -> Self {
        Self { label: what.to_owned(), limit: 1.0, ..Self::count("") }
    }

    /// Percent of `kind` asked for, as far as the lines go.
    pub(super) fn asked(kind: &str, series: &[Series]) -> Self {
        let points = series.iter().flat_map(|series| &series.curve);
        let most = points.map(|point| point.x).fold(0.0, f64::max);
        Self { label: format!("asked for, % of {kind}"), most: most.max(1.0), ..Self::count("") }
    }

    /// The axis made long enough for the lines and their bands, to a round number.
    pub(super) fn reach(mut self, series: &[Series]) -> Self {
        let points = series.iter().flat_map(|series| &series.curve);
        let most = points.map(|point| point.y.interval().1).fold(0.0, f64::max);
        let step = round_step(most.max(self.least) - self.least);
        self.most = ((most / step).ceil() * step).min(self.limit);
        if self.most <= self.least {
            self.most = self.least + 1.0;
        }
        self
    }

    /// Where `value` lies on the axis: 0 at its lower end, 1 at its upper one.
    pub(super) fn part(&self, value: f64) -> f64 {
        (value - self.least) / (self.most - self.least)
    }

    /// Round numbers along the axis, each with what is written there.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let step = round_step((self.most - self.least) / self.scale);
        let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil().max(0.0) as usize };
        let first = (self.least / self.scale / step).ceil();
        // A hair's breadth more than the end, so that rounding does not lose the last one.
        let steps = ((self.most / self.scale / step) - first + 1e-9).floor().max(0.0) as usize;
        let tick = |number: usize| {
            let shown = (first + number as f64) * step;
            (shown * self.scale, format!("{shown:.decimals$}"))
        };
        (0..=steps).map(tick).collect()
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts `length` into 3 to 7 parts.
fn round_step(length: f64) -> f64 {
    if !length.is_finite() || length <= 0.0 {
        return 1.0;
    }
    let rough = length / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = rough / power;
    let round = if factor < 1.5 {
        1.0
    } else if factor < 3.5 {
        2.0
    } else if factor < 7.5 {
        5.0
    } else {
        10.0
    };
    round * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for length in [0.003, 0.7, 1.0, 3.0, 12.0, 99.0, 100.0, 130.0, 8152.0, 1e6] {
            let axis = Axis { most: length, ..Axis::count("x") };
            let ticks = axis.ticks();
            assert!((3..=8).contains(&ticks.len()), "{length}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| (0.0..=length * 1.0001).contains(at)), "{length}: {ticks:?}");
        }
        let texts = |most| Axis { most, ..Axis::count("x") }.ticks().into_iter().map(|(_, text)| text);
        assert!(texts(100.0).eq(["0", "20", "40", "60", "80", "100"]));
        assert!(texts(1.0).eq(["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]));
    }

    #[test]
    fn time_has_the_unit_that_makes_short_numbers() {
        assert_eq!(Axis::time(100.0).label, "time, seconds");
        assert_eq!(Axis::time(3600.0).label, "time, minutes");
        assert_eq!(Axis::time(86_400.0 * 150.0).label, "time, days");
        let last = Axis::time(3600.0).ticks().pop().unwrap();
        assert_eq!((last.0, last.1.as_str()), (3600.0, "60"));
    }
}
