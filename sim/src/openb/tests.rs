use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::Resources;
use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::resources::{DeviceId, Devices, Resource, Scalar, Value};
use lonja_sdk_core::placement::policies::by_name;
use lonja_sdk_core::task::Need;

use super::*;
use crate::lab::{Arrival, Machine, Tenant};

/// What is in the folder that LONJA_TRACES names; `None`, said loudly, if it names none.
pub(super) fn read(list: &str) -> Option<Workload> {
    let Ok(folder) = std::env::var("LONJA_TRACES") else {
        println!("skipped: LONJA_TRACES is not set");
        return None;
    };
    let mut folder = std::path::PathBuf::from(folder);
    if folder.join("openb-2023").is_dir() {
        folder.push("openb-2023");
    }
    let tasks = tasks_of(list);
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let machines = File { name: MACHINES, text: &text(MACHINES) };
    Some(super::read(machines, File { name: &tasks, text: &text(&tasks) }).unwrap())
}

#[test]
#[ignore = "a look at the figures"]
fn figures() {
    let policies =
        std::env::var("POLICIES").unwrap_or_else(|_| lonja_sdk_core::placement::policies::NAMES.join(","));
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10);
    for list in ["default", "gpuspec33"] {
        let Some(workload) = read(list) else { return };
        let trace = Trace::new(&workload).unwrap();
        for policy in policies.split(',') {
            let start = std::time::Instant::now();
            let runs: Vec<Run> = std::thread::scope(|scope| {
                let half = |first: u64| {
                    let trace = &trace;
                    scope.spawn(move || {
                        (first..=seeds)
                            .step_by(2)
                            .map(|seed| run(trace, by_name(policy, seed).unwrap(), seed))
                            .collect::<Vec<_>>()
                    })
                };
                let halves = [half(1), half(2)];
                halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
            });
            let summary = Summary::of(list, &runs).unwrap();
            let cells: Vec<String> = summary
                .cells
                .iter()
                .map(|cell| {
                    format!(
                        "{:6.2} ±{:.2} ({:+.2})",
                        cell.mean,
                        cell.deviation,
                        cell.difference().unwrap_or(f64::NAN)
                    )
                })
                .collect();
            println!(
                "{list:10} {policy:15} {}  {:.2}s a run",
                cells.join(" | "),
                start.elapsed().as_secs_f64() * 2.0 / seeds as f64
            );
        }
    }
    let _ = BTreeMap::<u8, u8>::new();
}
