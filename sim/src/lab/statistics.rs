//! What many numbers say together: means with their intervals, percentiles, evenness.
//!
//! Pure functions on slices; an empty slice has no mean and no percentile, so they return `Option`. Numbers that are
//! not finite have no place here: the measures leave out what is not defined.
//!
//! Sources: Student (W. S. Gosset), "The probable error of a mean", Biometrika 6, 1908; the distribution for whole
//! degrees of freedom from Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4; Jain, Chiu,
//! Hawe, "A quantitative measure of fairness and discrimination for resource allocation", DEC TR-301, 1984.

/// How sure an [`Estimate`]'s interval is, as a part of 1.
pub const CONFIDENCE: f64 = 0.95;

/// From here on the normal distribution stands in for Student's: its quantile is off by less than 0.0003.
const NORMAL_FROM: usize = 10_000;
/// The quantile of the normal distribution for [`CONFIDENCE`] on both sides.
const NORMAL_QUANTILE: f64 = 1.959_963_984_540_054;

/// A mean of some runs, and how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation of the sample (divided by n − 1); 0 for a single number.
    pub deviation: f64,
    /// Half the width of the 95 % confidence interval of the mean by Student's t; `None` for a single number, which says
    /// nothing of how others would fall.
    pub half_width: Option<f64>,
    /// Of how many numbers.
    pub count: usize,
}

impl Estimate {
    /// The estimate from `values`, each from a seed of its own; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mean = mean(values)?;
        let deviation = standard_deviation(values).unwrap_or(0.0);
        let count = values.len();
        let half_width =
            (count > 1).then(|| student_t_quantile(count - 1) * deviation / (count as f64).sqrt());
        Some(Self { mean, deviation, half_width, count })
    }

    /// The interval's ends; both are the mean where there is no interval.
    pub fn interval(&self) -> (f64, f64) {
        let half = self.half_width.unwrap_or(0.0);
        (self.mean - half, self.mean + half)
    }
}

/// The arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of a sample, Σ(x − mean)² / (n − 1) under the root; `None` of fewer than two numbers.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The percentiles (each 0 to 100) of `values` by nearest rank: the smallest number such that at least so many percent
/// of all are not above it. It is always one of the numbers, never something between two. O(n log n) for all together.
pub fn percentiles<const N: usize>(values: &[f64], percents: [f64; N]) -> Option<[f64; N]> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (last, count) = (sorted.len().checked_sub(1)?, sorted.len() as f64);
    Some(percents.map(|percent| {
        // Too large or negative ranks saturate in the cast and end at the ends.
        let rank = (percent / 100.0 * count).ceil() as usize;
        sorted[rank.saturating_sub(1).min(last)]
    }))
}

/// Jain's index of how even amounts are: (Σx)² / (n · Σx²), from 1/n (one has everything) to 1 (all have the same).
/// `None` of nothing, and where everybody has nothing.
pub fn jain_index(amounts: &[f64]) -> Option<f64> {
    let sum: f64 = amounts.iter().sum();
    let squares: f64 = amounts.iter().map(|amount| amount * amount).sum();
    (squares > 0.0).then(|| sum * sum / (amounts.len() as f64 * squares))
}

/// The t beyond which, on both sides together, 5 % of Student's distribution lies. `degrees` is at least 1.
pub fn student_t_quantile(degrees: usize) -> f64 {
    if degrees >= NORMAL_FROM {
        return NORMAL_QUANTILE;
    }
    // The quantile falls from 12.71 (one degree) towards 1.96; halving 60 times leaves nothing to be wished for.
    let (mut low, mut high) = (1.9, 13.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, degrees.max(1)) < CONFIDENCE { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The part of Student's distribution between −t and t (Abramowitz and Stegun, 26.7.3 for odd, 26.7.4 for even degrees).
fn within(t: f64, degrees: usize) -> f64 {
    let freedom = degrees as f64;
    let (sine, cosine) = (t / (freedom + t * t).sqrt(), (freedom / (freedom + t * t)).sqrt());
    // The series' terms: each is the one before times cos² and (k − 1) / k, for k of the other parity than the degrees.
    let series = |first: f64, from: usize| {
        let (mut term, mut sum) = (first, first);
        for k in (from..degrees.saturating_sub(1)).step_by(2) {
            term *= cosine * cosine * (k as f64) / (k as f64 + 1.0);
            sum += term;
        }
        sum
    };
    if degrees.is_multiple_of(2) {
        return sine * series(1.0, 1);
    }
    let angle = (t / freedom.sqrt()).atan();
    let rest = if degrees == 1 { 0.0 } else { sine * series(cosine, 2) };
    (angle + rest) * std::f64::consts::FRAC_2_PI
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 5e-4
    }

    #[test]
    fn quantiles_of_student_are_those_of_the_printed_tables() {
        let printed = [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228)];
        let more = [(19, 2.093), (29, 2.045), (30, 2.042), (60, 2.000), (120, 1.980), (99_999, 1.960)];
        for (degrees, quantile) in printed.into_iter().chain(more) {
            assert!(close(student_t_quantile(degrees), quantile), "{degrees} degrees of freedom");
        }
        assert!((student_t_quantile(9_999) - student_t_quantile(10_000)).abs() < 3e-4);
    }

    #[test]
    fn an_estimate_has_mean_deviation_and_interval() {
        let estimate = Estimate::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();

        assert!(close(estimate.mean, 5.0));
        assert!(close(estimate.deviation, 2.138));
        // 2.365 (7 degrees of freedom) × 2.138 / √8
        assert!(close(estimate.half_width.unwrap(), 1.7876));
        assert!(close(estimate.interval().0, 3.2124) && close(estimate.interval().1, 6.7876));
    }

    #[test]
    fn one_number_has_no_interval_and_none_has_no_mean() {
        assert_eq!(Estimate::of(&[]), None);
        let alone = Estimate::of(&[3.0]).unwrap();
        assert_eq!((alone.mean, alone.deviation, alone.half_width, alone.count), (3.0, 0.0, None, 1));
        assert_eq!(alone.interval(), (3.0, 3.0));
        assert_eq!(standard_deviation(&[3.0]), None);
    }

    #[test]
    fn a_percentile_by_nearest_rank_is_one_of_the_numbers() {
        let values = [15.0, 50.0, 20.0, 40.0, 35.0];
        assert_eq!(
            percentiles(&values, [5.0, 30.0, 40.0, 50.0, 100.0]),
            Some([15.0, 20.0, 20.0, 35.0, 50.0])
        );
        assert_eq!(percentiles(&values, [0.0, 99.0, 200.0]), Some([15.0, 50.0, 50.0]));
        assert_eq!(percentiles(&[], [50.0]), None);

        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentiles(&hundred, [50.0, 99.0]), Some([50.0, 99.0]));
    }

    #[test]
    fn jains_index_goes_from_one_nth_to_one() {
        assert_eq!(jain_index(&[0.25, 0.25, 0.25, 0.25]), Some(1.0));
        assert_eq!(jain_index(&[1.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert!(close(jain_index(&[1.0, 2.0, 3.0]).unwrap(), 0.8571));
        assert_eq!(jain_index(&[]), None);
        assert_eq!(jain_index(&[0.0, 0.0]), None);
    }
}
