use lonja_sdk_core::placement::Place;
use lonja_sdk_core::placement::policies::{NAMES, by_name};

use super::*;

const HEADERS: [&str; 2] =
    ["sn,cpu_milli,memory_mib,gpu,model\n", "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"];

/// What files of these lines are read as; lines are separated by `;`.
fn small(machines: &str, tasks: &str) -> Result<Workload, BadTrace> {
    let text = |header: &str, lines: &str| format!("{header}{}", lines.replace(';', "\n"));
    let (machines, tasks) = (text(HEADERS[0], machines), text(HEADERS[1], tasks));
    read(File { name: "machines", text: &machines }, File { name: "tasks", text: &tasks })
}

/// Ten machines with two GPUs each and one without; tasks with a whole GPU and with half of one.
fn small_trace() -> Trace {
    let machines: Vec<String> = (0..10).map(|n| format!("m{n},16000,65536,2,T4")).collect();
    let machines = format!("{};plain,64000,65536,0,", machines.join(";"));
    Trace::new(
        &small(&machines, "a,4000,1024,1,1000,,LS;b,2000,1024,1,500,T4|P100,LS;c,1000,1024,0,0,,BE").unwrap(),
    )
    .unwrap()
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
    let tasks = tasks_of(list);
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let machines = File { name: MACHINES, text: &text(MACHINES) };
    let workload = read(machines, File { name: &tasks, text: &text(&tasks) }).unwrap();
    Some(Trace::new(&workload).unwrap())
}

#[test]
fn a_trace_is_read_by_its_header() {
    let workload = small("m0,16000,65536,2,T4", "a,4000,1024,1,460,P100|T4,LS;b,0,0,8,1000,,BE").unwrap();
    assert_eq!(workload.machines[0].total.to_string(), "cpus:16;gpus:{0:1000,1:1000};mem:65536");
    assert_eq!(workload.machines[0].attributes.to_string(), "gpu_model:T4");
    let asks: Vec<_> =
        workload.arrivals.iter().map(|arrival| (&arrival.ask.models, arrival.ask.need.gpus)).collect();
    assert_eq!(asks[0].0.iter().collect::<Vec<_>>(), ["P100", "T4"]);
    assert_eq!([asks[0].1, asks[1].1], [Gpus::Share(460), Gpus::Whole(8)]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_line_and_field() {
    let refused = |machines: &str, tasks: &str| small(machines, tasks).unwrap_err().to_string();
    let machine = "m0,16000,65536,2,T4";
    assert_eq!(
        refused("m0,many,65536,2,T4", ""),
        "machines:2: cpu_milli: found \"many\", expected a whole number from 0 to 2251799813685247"
    );
    assert_eq!(
        refused("m0,16000,65536,2", ""),
        "machines:2: sn: found \"m0,16000,65536,2\", expected 5 fields as in the header, not 4"
    );
    assert_eq!(
        refused(machine, "a,1,1,0,0,,LS;b,4000,1024,1,1001,,LS"),
        "tasks:3: gpu_milli: found \"1001\", expected a whole number from 0 to 1000"
    );
    assert_eq!(
        refused(machine, "a,4000,1024,1,0,,LS"),
        "tasks:2: gpu_milli: found \"0\", expected 1 to 1000 thousandths, as the task asks for a GPU"
    );
    let empty = File { name: "machines", text: "" };
    let refused = read(empty, empty).unwrap_err().to_string();
    assert_eq!(refused, "machines:1: sn: found \"\", expected a header with this column");
}

#[test]
fn without_gpus_there_is_no_experiment() {
    let trace = |machines: &str, tasks: &str| Trace::new(&small(machines, tasks).unwrap()).unwrap_err();
    assert!(matches!(trace("m0,16000,65536,0,", "a,1,1,1,1000,,LS"), NoExperiment::NoGpus(_)));
    assert!(matches!(trace("m0,16000,65536,2,T4", "a,1,1,0,0,,LS"), NoExperiment::NoGpuTasks(_)));
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
            // Four runs of the published ten, so the mean may be off by some more than half a point.
            let runs: Vec<Run> =
                (1..=4).map(|seed| run(&trace, by_name(policy, seed).unwrap(), seed)).collect();
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
