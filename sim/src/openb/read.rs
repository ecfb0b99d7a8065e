//! The files of the openb trace, as far as the experiment needs them: machines and tasks without their times.
//!
//! Columns are found by the names in the header, in any order; others are passed over. Bounded: at most a million rows
//! a file and 1 KiB a line.
//!
//! Source: the repository alibaba/clusterdata, folder cluster-trace-gpu-v2023, and its description of the columns.

use std::fmt;
use std::time::Duration;

use lonja_model::Resources;
use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::resources::{DeviceId, Devices, Resource, Scalar, Value};
use lonja_sdk_core::placement::{Ask, Gpus};
use lonja_sdk_core::task::Need;

use crate::lab::{Arrival, Machine, Tenant, Workload};

/// The file of the machines in the trace's folder.
pub const MACHINES: &str = "openb_node_list_all_node.csv";

/// The file of a list of tasks, such as `default` or `gpuspec33`, in the trace's folder.
pub fn tasks_of(list: &str) -> String {
    format!("openb_pod_list_{list}.csv")
}

const MAX_ROWS: usize = 1_000_000;
const MAX_LINE: usize = 1024;
const MAX_GPUS: u64 = 64;
const MAX_SHOWN: usize = 64;

/// What a file holds, and its name for errors.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
}

/// A file is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {field}: found {found:?}, expected {expected}")]
pub struct BadTrace {
    /// The file's name.
    pub file: String,
    /// The line, from 1 on.
    pub line: usize,
    /// The column.
    pub field: &'static str,
    /// What stands there, its first 64 characters.
    pub found: String,
    /// What should stand there.
    pub expected: String,
}

/// The workload of the two files. Errors: a missing column, a field that is no number or too large.
pub fn read(machines: File<'_>, tasks: File<'_>) -> Result<Workload, BadTrace> {
    Ok(Workload {
        source: format!("{} and {}", machines.name, tasks.name),
        machines: rows(machines, ["sn", "cpu_milli", "memory_mib", "gpu", "model"], machine)?,
        frameworks: vec![Tenant { name: "openb".to_owned(), weight: 1000 }],
        arrivals: rows(
            tasks,
            ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec"],
            arrival,
        )?,
        lasts: Duration::ZERO,
    })
}

fn machine(row: &Row<'_, 5>) -> Result<Machine, BadTrace> {
    let count = row.number(3, MAX_GPUS)?;
    let devices = (0..count).map(|index| (DeviceId::from(index.to_string()), Devices::WHOLE));
    let mut total = vec![("cpus", Value::Scalar(row.milli(1)?)), ("mem", Value::Scalar(row.units(2)?))];
    if count > 0 {
        total.push(("gpus", Value::Devices(Devices::new(devices).unwrap_or_default())));
    }
    let total: Result<Vec<_>, _> =
        total.into_iter().map(|(name, value)| Resource::new(name, value)).collect();
    let total = total.ok().and_then(|total| Resources::of(total).ok());
    let total = total.ok_or_else(|| row.bad(0, "a machine with CPUs and memory".to_owned()))?;
    let model = row.fields[4];
    let models = if model.is_empty() { None } else { Some(model.to_owned()) };
    let attributes = models.map(|model| ("gpu_model".to_owned(), AttributeValue::Text(model)));
    Ok(Machine {
        name: row.fields[0].to_owned(),
        total,
        attributes: Attributes(attributes.into_iter().collect()),
    })
}

fn arrival(row: &Row<'_, 6>) -> Result<Arrival, BadTrace> {
    let count = u16::try_from(row.number(3, MAX_GPUS)?).unwrap_or_default();
    let share = u16::try_from(row.number(4, u64::from(Devices::WHOLE))?).unwrap_or_default();
    let gpus = match (count, share) {
        (0, _) => Gpus::None,
        (1, 0) => return Err(row.bad(4, "1 to 1000 thousandths, as the task asks for a GPU".to_owned())),
        (1, share) if share < Devices::WHOLE => Gpus::Share(share),
        (count, _) => Gpus::Whole(count),
    };
    let models = row.fields[5].split('|').filter(|model| !model.is_empty()).map(str::to_owned).collect();
    let need = Need { cpus: row.milli(1)?, mem: row.units(2)?, gpus, ..Need::default() };
    let ask = Ask { need, models };
    Ok(Arrival { name: row.fields[0].to_owned(), framework: 0, ask, at: Duration::ZERO, runs: None })
}

/// The wanted fields of one line.
struct Row<'a, const N: usize> {
    file: &'a str,
    line: usize,
    names: [&'static str; N],
    fields: [&'a str; N],
}

impl<const N: usize> Row<'_, N> {
    fn bad(&self, field: usize, expected: String) -> BadTrace {
        bad(self.file, self.line, self.names[field], self.fields[field], expected)
    }

    fn number(&self, field: usize, most: u64) -> Result<u64, BadTrace> {
        let number = self.fields[field].parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| self.bad(field, format!("a whole number from 0 to {most}")))
    }

    /// Thousandths.
    fn milli(&self, field: usize) -> Result<Scalar, BadTrace> {
        let number = self.number(field, Scalar::MAX.thousandths())?;
        Ok(Scalar::from_thousandths(number).unwrap_or(Scalar::MAX))
    }

    /// Whole units.
    fn units(&self, field: usize) -> Result<Scalar, BadTrace> {
        let number = self.number(field, Scalar::MAX.whole_units())?;
        Ok(Scalar::from_units(number).unwrap_or(Scalar::MAX))
    }
}

fn bad(file: &str, line: usize, field: &'static str, found: &str, expected: impl fmt::Display) -> BadTrace {
    let found = found.chars().take(MAX_SHOWN).collect();
    BadTrace { file: file.to_owned(), line, field, found, expected: expected.to_string() }
}

/// What `make` makes of each line after the header.
fn rows<T, const N: usize>(
    file: File<'_>,
    names: [&'static str; N],
    make: impl Fn(&Row<'_, N>) -> Result<T, BadTrace>,
) -> Result<Vec<T>, BadTrace> {
    let mut lines = file.text.lines();
    let header = lines.next().unwrap_or_default();
    let columns: Vec<&str> = header.trim_start_matches('\u{feff}').split(',').map(str::trim).collect();
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(names) {
        let found = columns.iter().position(|column| *column == name);
        *place = found.ok_or_else(|| bad(file.name, 1, name, header, "a header with this column"))?;
    }
    let mut made = Vec::new();
    for (index, text) in lines.enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = index + 2;
        if text.len() > MAX_LINE {
            return Err(bad(
                file.name,
                line,
                names[0],
                text,
                format_args!("at most {MAX_LINE} bytes a line"),
            ));
        }
        if made.len() == MAX_ROWS {
            return Err(bad(file.name, line, names[0], text, format_args!("at most {MAX_ROWS} rows")));
        }
        let all: Vec<&str> = text.split(',').map(str::trim).collect();
        if all.len() != columns.len() {
            let expected = format_args!("{} fields as in the header, not {}", columns.len(), all.len());
            return Err(bad(file.name, line, names[0], text, expected));
        }
        made.push(make(&Row { file: file.name, line, names, fields: places.map(|place| all[place]) })?);
    }
    Ok(made)
}
