//! What was measured, for people and for programs.

use serde_json::{Map, Value, json};

use super::cost::{Cost, Memory};
use super::door::DoorKind;
use crate::args::Format;
use crate::output::{Listing, Row};

/// One figure of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) value: f64,
    pub(super) cost: Option<Cost>,
    pub(super) memory: Option<Memory>,
}

impl Run {
    pub(super) fn of(value: f64) -> Self {
        Self { value, cost: None, memory: None }
    }

    pub(super) fn costing(self, cost: Cost) -> Self {
        Self { cost: Some(cost), ..self }
    }

    pub(super) fn with(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }
}

/// One line: the same figure of several runs.
#[derive(Debug, Default)]
pub(super) struct Figure {
    /// The measure and the figure in it, such as `launch` and `rate`.
    pub(super) name: (&'static str, &'static str),
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) door: Option<DoorKind>,
    pub(super) agents: usize,
    pub(super) tasks: u64,
    pub(super) frameworks: usize,
    pub(super) runs: Vec<Run>,
    /// Costs are told for each of the tasks that ended or began, not as a whole.
    pub(super) per_task: bool,
    /// How many tasks the costs of each run are for.
    pub(super) counts: Vec<f64>,
    pub(super) goal: &'static str,
    /// The last Mesos, on another machine like this one: reference figures, not taken here.
    pub(super) mesos: &'static str,
}

/// The one in the middle; of none there is none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    percentile(values, 50)
}

/// The least value that so many per cent of all do not exceed.
pub(super) fn percentile(values: impl Iterator<Item = f64>, percent: usize) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
}

/// Three digits that mean something.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.places$}")
}

impl Figure {
    /// Milliseconds of processor time, of the master or of the load, for a task or in all.
    fn processor(&self, of: impl Fn(&Cost) -> f64) -> Option<f64> {
        let one = |(index, run): (usize, &Run)| {
            let count =
                if self.per_task { self.counts.get(index).copied().unwrap_or(1.0).max(1.0) } else { 1.0 };
            run.cost.as_ref().map(|cost| of(cost) * 1000.0 / count)
        };
        median(self.runs.iter().enumerate().filter_map(one))
    }

    fn memory(&self, of: impl Fn(&Memory) -> f64) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| run.memory.as_ref().map(&of)))
    }

    fn row(&self) -> Row {
        let value = median(self.runs.iter().map(|run| run.value));
        let master = self.processor(|cost| cost.master.as_secs_f64());
        let generator = self.processor(|cost| cost.generator.as_secs_f64());
        let (resident, peak) = (self.memory(|memory| memory.now), self.memory(|memory| memory.peak));
        let (measure, figure) = self.name;
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("measure", json!(measure));
        put("figure", json!(figure));
        put("door", json!(self.door.map(DoorKind::name)));
        put("agents", json!(self.agents));
        put("tasks", json!(self.tasks));
        put("frameworks", json!(self.frameworks));
        put("median", json!(value));
        put("unit", json!(self.unit));
        put("runs", json!(self.runs.iter().map(|run| run.value).collect::<Vec<_>>()));
        put("cpu_for", json!(if self.per_task { "task" } else { "run" }));
        put("master_cpu_ms", json!(master));
        put("generator_cpu_ms", json!(generator));
        put("master_resident_mib", json!(resident));
        put("master_peak_mib", json!(peak));
        put("goal", json!(Some(self.goal).filter(|goal| !goal.is_empty())));
        put("mesos_1_11_0_elsewhere", json!(Some(self.mesos).filter(|mesos| !mesos.is_empty())));
        let dash = || "-".to_owned();
        let time = |value: Option<f64>| {
            let per = if self.per_task { " ms a task" } else { " ms" };
            value.map_or_else(dash, |value| format!("{}{per}", digits(value)))
        };
        let memory = match (resident, peak) {
            (Some(now), Some(peak)) => format!("{now:.0} MiB, {peak:.0}"),
            _ => dash(),
        };
        let door = self.door.map_or(String::new(), |door| format!("{}, ", door.name()));
        let text = |text: &str| if text.is_empty() { dash() } else { text.to_owned() };
        Row {
            id: format!("{measure}.{figure}"),
            cells: vec![
                format!("{measure}: {door}{}", self.what),
                value.map_or_else(dash, |value| format!("{} {}", digits(value), self.unit)),
                text(self.goal),
                time(master),
                time(generator),
                memory,
                text(self.mesos),
            ],
            object: Value::Object(object),
        }
    }
}

/// Prints all figures.
pub(super) fn print(figures: &[Figure], format: Format) {
    let columns = vec![
        "figure",
        "median",
        "goal",
        "master cpu",
        "generator cpu",
        "master memory, peak",
        "Mesos 1.11.0 (elsewhere)",
    ];
    let rows = figures.iter().map(Figure::row).collect();
    Listing { what: "figures", wide_from: columns.len(), columns, rows }.print(format, false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_values_that_were_measured() {
        let values = || (1..=200).rev().map(f64::from);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!((percentile(values(), 99), percentile(values(), 100)), (Some(199.0), Some(200.0)));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn figures_have_three_digits() {
        let told = [20_123.4, 99.44, 1.234, 0.0456].map(digits);
        assert_eq!(told, ["20123", "99.4", "1.23", "0.046"]);
    }
}
