//! What containers use, as metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

use crate::sandbox::collection::Collected;
use crate::statistics::ContainerStatistics;

/// Containers that metrics tell of; those beyond are only counted.
const MOST_LABELLED: usize = 1_000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTask {
    framework: String,
    task: String,
}

type Figures = Family<OfTask, Gauge<f64, AtomicU64>>;

/// One figure of every container.
struct Figure {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    of: fn(&ContainerStatistics) -> Option<f64>,
}

const FIGURES: [Figure; 8] = [
    Figure {
        name: "container_cpu",
        help: "CPU time used since the start of the container",
        unit: Some(Unit::Seconds),
        of: |one| one.cpu_ns().map(|time| time as f64 / 1e9),
    },
    Figure {
        name: "container_memory",
        help: "Memory in use, page cache included",
        unit: Some(Unit::Bytes),
        of: |one| one.usage.memory_bytes.map(|bytes| bytes as f64),
    },
    Figure {
        name: "container_memory_limit",
        help: "Memory that the container may use",
        unit: Some(Unit::Bytes),
        of: |one| one.usage.memory.limit_bytes.map(|bytes| bytes as f64),
    },
    Figure {
        name: "container_pids",
        help: "Processes and threads",
        unit: None,
        of: |one| one.usage.pids.map(|pids| pids as f64),
    },
    Figure {
        name: "container_disk",
        help: "Use of the sandbox when it was last measured",
        unit: Some(Unit::Bytes),
        of: |one| one.disk_used.map(|(used, _)| used as f64),
    },
    Figure {
        name: "container_disk_limit",
        help: "What the sandbox may hold",
        unit: Some(Unit::Bytes),
        of: |one| one.disk_limit.map(|limit| limit as f64),
    },
    Figure {
        name: "container_throttled",
        help: "CPU time that the hard limit made the container wait since its start",
        unit: Some(Unit::Seconds),
        of: |one| one.usage.cpu.throttled_ns.map(|time| time as f64 / 1e9),
    },
    Figure {
        name: "container_io_written",
        help: "Bytes written to block devices since the start of the container",
        unit: Some(Unit::Bytes),
        of: |one| {
            let devices = &one.usage.io;
            (!devices.is_empty()).then(|| devices.iter().map(|device| device.write_bytes as f64).sum())
        },
    },
];

/// Adds what containers use, and what became of old sandboxes.
pub(super) fn register(registry: &mut Registry, all: &[ContainerStatistics], collected: Collected) {
    for figure in FIGURES {
        let family = Figures::default();
        for one in all.iter().take(MOST_LABELLED) {
            let Some(value) = (figure.of)(one) else { continue };
            let label = OfTask {
                framework: one.task.framework.as_str().to_owned(),
                task: one.task.task.as_str().to_owned(),
            };
            family.get_or_create(&label).set(value);
        }
        match figure.unit {
            Some(unit) => registry.register_with_unit(figure.name, figure.help, unit, family),
            None => registry.register(figure.name, figure.help, family),
        }
    }
    let mut number = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let left_out = all.len().saturating_sub(MOST_LABELLED) as u64;
    number("containers_left_out", "Containers beyond those that metrics tell of one by one", left_out);
    number("gc_path_removals_pending", "Sandboxes of ended tasks that are there", collected.pending);
    number("gc_path_removals_succeeded", "Sandboxes removed since the start", collected.removed);
    number("gc_path_removals_failed", "Removals that failed since the start", collected.failed);
}
