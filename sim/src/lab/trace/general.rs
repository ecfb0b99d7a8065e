//! The general format: `machines.csv`, `tasks.csv` and, if there is more to say of frameworks, `frameworks.csv`.
//!
//! `docs/traces.md` documents it, column by column.

use std::io::{self, BufRead, Write};

use lonja_model::attributes::AttributeValue;
use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::{Ask, Gpus, Room};
use lonja_sdk_core::task::Need;

use super::build::Building;
use super::error::TraceError;
use super::table::{Column, MOST_ROWS, Row, Table, optional, required};
use super::values;
use crate::lab::amounts::{WEIGHT, weight};
use crate::lab::fleet::Size;
use crate::lab::{Arrival, Tenant, Workload};

const MACHINES: &[Column] = &[
    required("name"),
    required("cpus"),
    required("mem_mib"),
    optional("disk_mib"),
    optional("gpus"),
    optional("gpu_model"),
    optional("count"),
];

const TASKS: &[Column] = &[
    required("name"),
    required("at_s"),
    optional("runs_s"),
    required("cpus"),
    required("mem_mib"),
    optional("disk_mib"),
    optional("gpus"),
    optional("gpu_models"),
    optional("framework"),
    optional("count"),
];

const FRAMEWORKS: &[Column] = &[required("name"), required("weight")];

/// The framework of tasks that name none.
const FRAMEWORK: &str = "default";

/// Reads `frameworks.csv`: names and weights.
pub(super) fn frameworks<R: BufRead>(
    building: &mut Building,
    file: &str,
    lines: R,
) -> Result<(), TraceError> {
    let mut table = Table::open(file, lines, FRAMEWORKS)?;
    while let Some(row) = table.next_row()? {
        let name = values::role(&row, "name")?;
        let weight = weight(row.get("weight")).ok_or_else(|| row.wrong("weight", WEIGHT))?;
        if building.knows(name) {
            return Err(row.wrong("name", "each framework once"));
        }
        building.tenant(name, weight);
    }
    Ok(())
}

/// Reads `machines.csv`.
pub(super) fn machines<R: BufRead>(building: &mut Building, file: &str, lines: R) -> Result<(), TraceError> {
    let mut table = Table::open(file, lines, MACHINES)?;
    while let Some(row) = table.next_row()? {
        let size = Size {
            cpus: values::amount(&row, "cpus")?,
            mem: values::amount(&row, "mem_mib")?,
            disk: values::amount_if_any(&row, "disk_mib")?,
            gpus: if row.get("gpus").is_empty() { 0 } else { values::devices(&row, "gpus")? },
            model: row.get("gpu_model").to_owned(),
        };
        building.machines(&row, values::name(&row, "name")?, &size, count(&row)?)?;
    }
    Ok(())
}

/// Reads `tasks.csv`.
pub(super) fn tasks<R: BufRead>(building: &mut Building, file: &str, lines: R) -> Result<(), TraceError> {
    let mut table = Table::open(file, lines, TASKS)?;
    while let Some(row) = table.next_row()? {
        let at = values::seconds(&row, "at_s")?;
        let at = at.ok_or_else(|| row.wrong("at_s", "seconds from the beginning of the run"))?;
        let need = Need {
            cpus: values::amount(&row, "cpus")?,
            mem: values::amount(&row, "mem_mib")?,
            disk: values::amount_if_any(&row, "disk_mib")?,
            ports: 0,
            gpus: values::gpus(&row, "gpus")?,
        };
        if need == Need::default() {
            return Err(row.wrong_row("cpus, mem_mib, disk_mib or gpus above 0: a task asks for something"));
        }
        let framework = match row.get("framework") {
            "" => building.framework(FRAMEWORK),
            _ => building.framework(values::role(&row, "framework")?),
        };
        let task = Arrival {
            name: values::name(&row, "name")?.to_owned(),
            framework,
            ask: Ask { need, models: values::models(&row, "gpu_models")? },
            at,
            runs: values::seconds(&row, "runs_s")?,
        };
        building.arrivals(&row, &task, count(&row)?)?;
    }
    Ok(())
}

fn count(row: &Row<'_>) -> Result<u64, TraceError> {
    match row.get("count") {
        "" => Ok(1),
        _ => values::whole(row, "count", 1, u64::try_from(MOST_ROWS).unwrap_or(u64::MAX)),
    }
}

/// Writes the machines of a workload as `machines.csv`. What the format has no column for (other attributes, ports,
/// reservations) is left out. Errors: those of `out`.
pub fn write_machines(workload: &Workload, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "name,cpus,mem_mib,disk_mib,gpus,gpu_model")?;
    for machine in &workload.machines {
        let room = Room::new(&machine.total, &machine.attributes);
        let model = match machine.attributes.get("gpu_model") {
            Some(AttributeValue::Text(text)) => field(text),
            Some(other @ (AttributeValue::Scalar(_) | AttributeValue::Ranges(_))) => {
                field(&other.to_string())
            }
            None => String::new(),
        };
        let (name, gpus) = (field(&machine.name), room.devices.len());
        writeln!(out, "{name},{},{},{},{gpus},{model}", room.cpus, room.mem, room.disk)?;
    }
    Ok(())
}

/// Writes the tasks of a workload as `tasks.csv`; ports are left out. Errors: those of `out`.
pub fn write_tasks(workload: &Workload, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "name,at_s,runs_s,cpus,mem_mib,disk_mib,gpus,gpu_models,framework")?;
    for arrival in &workload.arrivals {
        let Need { cpus, mem, disk, gpus, .. } = &arrival.ask.need;
        let at = values::seconds_text(arrival.at);
        let runs = arrival.runs.map(values::seconds_text).unwrap_or_default();
        let gpus = match gpus {
            Gpus::None => String::new(),
            Gpus::Share(_) | Gpus::Whole(_) => gpus.thousandths().to_string(),
        };
        let models = arrival.ask.models.iter().map(String::as_str).collect::<Vec<_>>().join("|");
        let framework = workload.frameworks.get(arrival.framework).map_or(FRAMEWORK, |tenant| &tenant.name);
        let (name, models, framework) = (field(&arrival.name), field(&models), field(framework));
        writeln!(out, "{name},{at},{runs},{cpus},{mem},{disk},{gpus},{models},{framework}")?;
    }
    Ok(())
}

/// Writes the frameworks of a workload, with their weights, as `frameworks.csv`. Errors: those of `out`.
pub fn write_frameworks(workload: &Workload, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "name,weight")?;
    for Tenant { name, weight } in &workload.frameworks {
        let weight = Scalar::from_thousandths(*weight).unwrap_or(Scalar::MAX);
        writeln!(out, "{},{weight}", field(name))?;
    }
    Ok(())
}

/// A field as it stands in a file: in quotes if it has to be.
fn field(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
