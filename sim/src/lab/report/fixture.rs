//! Small workloads and results for the tests of reports.

use std::time::Duration;

use lonja_model::Resources;
use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::Ask;
use lonja_sdk_core::task::Need;

use super::{About, Comparison, Figures};
use crate::lab::{Arrival, Machine, RunResult, Sample, Tenant, Workload};

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One machine, some frameworks of weight 1, no tasks, 100 seconds.
pub(super) fn workload(frameworks: usize, total: &str) -> Workload {
    let total = total.parse::<Resources>().unwrap();
    let machine = Machine { name: "m1".into(), total, attributes: Default::default() };
    let tenant = |number| Tenant { name: format!("f{number}"), weight: 1000 };
    Workload {
        source: "a test".into(),
        machines: vec![machine],
        frameworks: (1..=frameworks).map(tenant).collect(),
        arrivals: Vec::new(),
        lasts: secs(100),
    }
}

pub(super) fn arrival(name: &str, framework: usize, cpus: u64, at: u64, runs: Option<u64>) -> Arrival {
    let need = Need { cpus: Scalar::from_units(cpus).unwrap(), ..Need::default() };
    Arrival { name: name.into(), framework, ask: Ask::from(need), at: secs(at), runs: runs.map(secs) }
}

pub(super) fn sample(at: u64, cpus: f64, shares: &[f64], waiting: u64) -> Sample {
    Sample {
        at: secs(at),
        used: [("cpus".to_owned(), cpus)].into(),
        fragmentation: 0.25,
        shares: shares.to_vec(),
        waiting,
        running: 1,
    }
}

pub(super) fn run_result(policy: &str, seed: u64) -> RunResult {
    RunResult { policy: policy.into(), seed, trace_hash: 0xab00 + seed, ..RunResult::default() }
}

/// Two policies with two seeds each on two frameworks; and a third one that broke down with one of its seeds.
pub(super) fn comparison() -> Comparison {
    let mut workload = workload(2, "cpus:10;mem:100");
    workload.arrivals.push(arrival("a", 0, 5, 0, None));
    workload.arrivals.push(arrival("b", 1, 8, 30, Some(60)));
    let result = |policy: &str, seed: u64, used: f64| RunResult {
        arrived: 2,
        placed: seed,
        waits: vec![1.0, used * 10.0],
        never: vec![("c<1>".into(), "asks for 99 cpus, the largest machine has 10".into())],
        never_count: 0,
        samples: vec![
            sample(0, 0.0, &[0.0, 0.0], 2),
            sample(50, used, &[used, used / 2.0], 1),
            sample(100, used, &[used, used], 0),
        ],
        ..run_result(policy, seed)
    };
    let mut broken = result("broken", 2, 0.1);
    broken.stopped = Some("panicked: index 3 is out of bounds, \"so\"".into());
    let results = [
        result("tight", 1, 0.8),
        result("tight", 2, 0.9),
        result("loose", 1, 0.5),
        result("loose", 2, 0.5),
        result("broken", 1, 0.25),
        broken,
    ];
    let figures = results.into_iter().map(|result| Figures::of(result, &workload)).collect();
    let command = "lonja sim run t --policy tight,loose,broken --seeds 2".into();
    Comparison::new(About::of(&workload, "1.2.3".into(), command, vec![1, 2]), figures)
}
