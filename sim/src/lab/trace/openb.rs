//! The openb trace of 2023: a GPU cluster with shared GPUs.
//!
//! As a plain trace: a task arrives at its `creation_time` and runs for `deletion_time - creation_time`, to the end of
//! the run if it was never deleted; the first arrival is time 0. In the published lists the deletion of a task is
//! known for all, and a tenth were deleted before they ran (`Pending`, no `scheduled_time`): they arrive like
//! the others, for the policy could have placed them. What happened then (`pod_phase`, `scheduled_time`) and the class of
//! service (`qos`) are not read: placement and waiting are what is simulated.
//!
//! Source: Alibaba, clusterdata, folder cluster-trace-gpu-v2023; Weng et al., "Beware of Fragmentation", USENIX ATC 2023.

use std::io::BufRead;

use lonja_model::resources::Devices;
use lonja_sdk_core::placement::{Ask, Gpus};
use lonja_sdk_core::task::Need;

use super::build::Building;
use super::error::TraceError;
use super::table::{Column, Row, Table, optional, required};
use super::values;
use crate::lab::Arrival;
use crate::lab::fleet::Size;

const MACHINES: &[Column] =
    &[required("sn"), required("cpu_milli"), required("memory_mib"), required("gpu"), required("model")];

const TASKS: &[Column] = &[
    required("name"),
    required("cpu_milli"),
    required("memory_mib"),
    required("num_gpu"),
    required("gpu_milli"),
    optional("gpu_spec"),
    optional("qos"),
    optional("pod_phase"),
    required("creation_time"),
    required("deletion_time"),
    optional("scheduled_time"),
];

/// The one framework of the trace.
const FRAMEWORK: &str = "openb";

/// Reads the list of machines.
pub(super) fn machines<R: BufRead>(building: &mut Building, file: &str, lines: R) -> Result<(), TraceError> {
    let mut table = Table::open(file, lines, MACHINES)?;
    while let Some(row) = table.next_row()? {
        let size = Size {
            cpus: values::thousandths(&row, "cpu_milli")?,
            mem: values::units(&row, "memory_mib")?,
            gpus: values::devices(&row, "gpu")?,
            model: row.get("model").to_owned(),
            ..Size::default()
        };
        building.machines(&row, values::name(&row, "sn")?, &size, 1)?;
    }
    Ok(())
}

/// Reads a list of tasks.
pub(super) fn tasks<R: BufRead>(building: &mut Building, file: &str, lines: R) -> Result<(), TraceError> {
    let mut table = Table::open(file, lines, TASKS)?;
    let framework = building.framework(FRAMEWORK);
    while let Some(row) = table.next_row()? {
        let created = values::seconds(&row, "creation_time")?;
        let created =
            created.ok_or_else(|| row.wrong("creation_time", "the seconds at which it was created"))?;
        let deleted = values::seconds(&row, "deletion_time")?;
        if deleted.is_some_and(|deleted| deleted < created) {
            let expected = format!("no time before creation_time, {}", row.get("creation_time"));
            return Err(row.wrong("deletion_time", &expected));
        }
        let need = Need {
            cpus: values::thousandths(&row, "cpu_milli")?,
            mem: values::units(&row, "memory_mib")?,
            gpus: gpus(&row)?,
            ..Need::default()
        };
        let task = Arrival {
            name: values::name(&row, "name")?.to_owned(),
            framework,
            ask: Ask { need, models: values::models(&row, "gpu_spec")? },
            at: created,
            runs: deleted.map(|deleted| deleted - created),
        };
        building.arrivals(&row, &task, 1)?;
    }
    building.begin_with_the_first_arrival();
    Ok(())
}

/// `num_gpu` devices; of one alone `gpu_milli` thousandths, of several all.
fn gpus(row: &Row<'_>) -> Result<Gpus, TraceError> {
    let count = values::devices(row, "num_gpu")?;
    let whole = u64::from(Devices::WHOLE);
    let (least, most) = match count {
        0 => (0, 0),
        1 => (1, whole),
        2.. => (whole, whole),
    };
    let part = values::whole(row, "gpu_milli", least, most).map_err(|_| match count {
        0 => row.wrong("gpu_milli", "0, as num_gpu is 0"),
        1 => row.wrong("gpu_milli", "a whole number from 1 to 1000, as num_gpu is 1"),
        2.. => row.wrong("gpu_milli", "1000, as num_gpu is above 1"),
    })?;
    Ok(match (count, u16::try_from(part)) {
        (0, _) => Gpus::None,
        (1, Ok(part)) if part < Devices::WHOLE => Gpus::Share(part),
        (count, _) => Gpus::Whole(count),
    })
}
