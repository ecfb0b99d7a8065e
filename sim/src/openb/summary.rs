//! What came of one policy over its seeds.

use super::published::{Published, published};
use super::{ASKED_PERCENT, Run};

/// One policy on one list.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The list, such as `default`.
    pub list: String,
    /// The policy's name.
    pub policy: String,
    /// The number of runs.
    pub runs: usize,
    /// At 90, 100 and 130 percent asked for.
    pub cells: Vec<Cell>,
}

/// Allocated GPUs, in percent of all, when so much was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Percent of the GPUs.
    pub asked: usize,
    /// Mean over the runs.
    pub mean: f64,
    /// Standard deviation over the runs, as of a sample; 0 for one run.
    pub deviation: f64,
    /// What was published, if anything was.
    pub published: Option<Published>,
}

impl Cell {
    /// By how much the mean is above what was published.
    pub fn difference(&self) -> Option<f64> {
        self.published.map(|published| self.mean - published.mean)
    }
}

impl Summary {
    /// Of runs of one policy on `list`; `None` if there are none.
    pub fn of(list: &str, runs: &[Run]) -> Option<Self> {
        let policy = runs.first()?.policy.clone();
        let cell = |asked: usize| {
            let values: Vec<f64> = runs.iter().filter_map(|run| run.allocated.get(asked).copied()).collect();
            let (mean, deviation) = mean_and_deviation(&values);
            Cell { asked, mean, deviation, published: published(list, &policy, asked) }
        };
        let cells = [90, 100, ASKED_PERCENT].into_iter().map(cell).collect();
        Some(Self { list: list.to_owned(), policy, runs: runs.len(), cells })
    }
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 })
}
