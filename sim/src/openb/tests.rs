use std::io::{BufReader, Cursor};

use lonja_sdk_core::placement::Place;
use lonja_sdk_core::placement::policies::{NAMES, by_name};

use super::*;
use crate::lab::trace;

const MACHINES: &str = "sn,cpu_milli,memory_mib,gpu,model\n";
const TASKS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time\n";

/// What files of these lines are read as; lines are separated by `;`.
fn small(machines: &str, tasks: &str) -> Workload {
    let files = trace::choose(["openb_node_list_all_node.csv", "openb_pod_list_default.csv"], None).unwrap();
    let text = |header: &str, lines: &str| Cursor::new(format!("{header}{}", lines.replace(';', "\n")));
    let open =
        |file: &str| Ok(if file == files.machines { text(MACHINES, machines) } else { text(TASKS, tasks) });
    trace::read(&files, "a small trace", open).unwrap()
}

/// Ten machines with two GPUs each and one without; tasks with a whole GPU and with half of one.
fn small_trace() -> Trace {
    let machines: Vec<String> = (0..10).map(|n| format!("m{n},16000,65536,2,T4")).collect();
    let machines = format!("{};plain,64000,65536,0,", machines.join(";"));
    let tasks = "a,4000,1024,1,1000,,0,;b,2000,1024,1,500,T4|P100,0,;c,1000,1024,0,0,,0,";
    Trace::new(&small(&machines, tasks)).unwrap()
}

/// What is in the folder that LONJA_TRACES names; `None`, said loudly, if it names none.
fn published_trace(list: &str) -> Option<Trace> {
    let Ok(folder) = std::env::var("LONJA_TRACES") else {
        println!("skipped: LONJA_TRACES is not set");
        return None;
    };
    let mut folder = std::path::PathBuf::from(folder);
    if folder.join("openb-2023").is_dir() {
        folder.push("openb-2023");
    }
    let names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let files = trace::choose(names.iter().map(String::as_str), Some(list)).unwrap();
    let open = |file: &str| Ok(BufReader::new(std::fs::File::open(folder.join(file))?));
    Some(Trace::new(&trace::read(&files, "openb", open).unwrap()).unwrap())
}

#[test]
fn without_gpus_there_is_no_experiment() {
    let trace = |machines: &str, tasks: &str| Trace::new(&small(machines, tasks)).unwrap_err();
    assert!(matches!(trace("m0,16000,65536,0,", "a,1,1,1,1000,,0,"), NoExperiment::NoGpus(_)));
    assert!(matches!(trace("m0,16000,65536,2,T4", "a,1,1,0,0,,0,"), NoExperiment::NoGpuTasks(_)));
}

#[test]
fn machines_without_gpus_are_left_out() {
    let trace = small_trace();
    assert_eq!((trace.machines(), trace.gpus(), trace.tasks()), (10, 20_000, 3));
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let trace = small_trace();
    for name in NAMES {
        let of = |seed| run(&trace, by_name(name, seed).unwrap(), seed);
        assert_eq!(of(7), of(7), "{name}");
        assert_ne!(of(7).allocated, of(8).allocated, "{name}");
    }
}

#[test]
fn every_policy_sees_the_same_tasks_and_fills_no_more_than_there_is() {
    let trace = small_trace();
    let runs: Vec<Run> = NAMES.iter().map(|name| run(&trace, by_name(name, 3).unwrap(), 3)).collect();
    for run in &runs {
        assert_eq!(run.allocated.len(), ASKED_PERCENT + 1);
        assert_eq!(run.placed + run.failed, runs[0].placed + runs[0].failed);
        assert!(run.allocated.is_sorted() && run.allocated.iter().all(|allocated| *allocated <= 100.0));
        // While there is room for all everything that is asked for is allocated.
        assert!((run.allocated[50] - 50.0).abs() < 5.0, "{run:?}");
    }
}

/// Places nothing.
struct Refusing;

impl lonja_sdk_core::placement::Scorer for Refusing {
    fn name(&self) -> &str {
        "refusing"
    }

    fn score(&mut self, _: &Ask, _: &Room) -> Option<Place> {
        None
    }
}

#[test]
fn a_policy_that_wants_no_place_allocates_nothing() {
    let run = run(&small_trace(), Box::new(Refusing), 1);
    assert_eq!((run.placed, run.allocated[ASKED_PERCENT]), (0, 0.0));
}

#[test]
fn a_summary_has_mean_and_deviation_and_the_published_figure() {
    let of = |allocated: f64| Run {
        policy: "fgd".to_owned(),
        seed: 0,
        allocated: vec![allocated; ASKED_PERCENT + 1],
        placed: 0,
        failed: 0,
    };
    let summary = Summary::of("default", &[of(94.0), of(95.0), of(96.0)]).unwrap();
    let last = summary.cells.last().unwrap();
    assert_eq!((summary.runs, last.asked, last.mean, last.deviation), (3, 130, 95.0, 1.0));
    assert!(last.difference().is_some_and(|difference| (difference + 0.39).abs() < 1e-9));
    assert_eq!(Summary::of("default", &[]), None);
    assert!(Summary::of("mine", &[of(94.0)]).unwrap().cells.iter().all(|cell| cell.published.is_none()));
}

#[test]
fn the_published_figures_come_out_again() {
    for list in ["default", "gpuspec33"] {
        let Some(trace) = published_trace(list) else { return };
        let policies = ["fgd", "binpack", "gpu-packing", "dot", "gpu-clustering", "random"];
        for policy in policies {
            // Two runs where ten were published, so the mean may be off by some more than half a point.
            let runs: Vec<Run> =
                (1..=2).map(|seed| run(&trace, by_name(policy, seed).unwrap(), seed)).collect();
            for cell in Summary::of(list, &runs).unwrap().cells {
                let difference = cell.difference().unwrap_or(0.0);
                assert!(difference.abs() <= 1.0, "{policy} on {list} at {} %: {difference:+.2}", cell.asked);
            }
        }
    }
}

#[test]
fn fill_allocates_more_than_fgd_with_every_seed() {
    for list in ["default", "gpuspec33"] {
        let Some(trace) = published_trace(list) else { return };
        for seed in 1..=3 {
            let at_the_end =
                |policy| run(&trace, by_name(policy, seed).unwrap(), seed).allocated[ASKED_PERCENT];
            let (fill, fgd) = (at_the_end("fill"), at_the_end("fgd"));
            assert!(fill > fgd + 0.1, "{list}, seed {seed}: {fill:.2} against {fgd:.2}");
        }
    }
}
