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
fn read(list: &str) -> Option<Workload> {
    let Ok(folder) = std::env::var("LONJA_TRACES") else {
        println!("skipped: LONJA_TRACES is not set");
        return None;
    };
    let mut folder = std::path::PathBuf::from(folder);
    if folder.join("openb-2023").is_dir() {
        folder.push("openb-2023");
    }
    let nodes = std::fs::read_to_string(folder.join("openb_node_list_all_node.csv")).unwrap();
    let pods = std::fs::read_to_string(folder.join(format!("openb_pod_list_{list}.csv"))).unwrap();
    Some(parse(&nodes, &pods))
}

fn parse(nodes: &str, pods: &str) -> Workload {
    let rows = |text: &str| -> Vec<Vec<String>> {
        text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let machines = rows(nodes).into_iter().map(|row| {
        let gpus = Devices::new((0..number(&row[3])).map(|i| (DeviceId::from(i.to_string()), 1000))).unwrap();
        let mut total = vec![
            Resource::new("cpus", Value::Scalar(Scalar::from_thousandths(number(&row[1])).unwrap())).unwrap(),
            Resource::new("mem", Value::Scalar(Scalar::from_units(number(&row[2])).unwrap())).unwrap(),
        ];
        if !gpus.is_empty() {
            total.push(Resource::new("gpus", Value::Devices(gpus)).unwrap());
        }
        let attributes = Attributes(vec![("gpu_model".to_owned(), AttributeValue::Text(row[4].clone()))]);
        Machine { name: row[0].clone(), total: Resources::of(total).unwrap(), attributes }
    });
    let arrivals = rows(pods).into_iter().map(|row| {
        let gpus = match (number(&row[3]), number(&row[4])) {
            (0, _) => Gpus::None,
            (1, share) if share < 1000 => Gpus::Share(u16::try_from(share).unwrap()),
            (count, _) => Gpus::Whole(u16::try_from(count).unwrap()),
        };
        let need = Need {
            cpus: Scalar::from_thousandths(number(&row[1])).unwrap(),
            mem: Scalar::from_units(number(&row[2])).unwrap(),
            gpus,
            ..Need::default()
        };
        let models = row[5].split('|').filter(|model| !model.is_empty()).map(str::to_owned).collect();
        let ask = Ask { need, models };
        Arrival { name: row[0].clone(), framework: 0, ask, at: Duration::ZERO, runs: None }
    });
    Workload {
        source: "openb-2023".to_owned(),
        machines: machines.collect(),
        frameworks: vec![Tenant { name: "openb".to_owned(), weight: 1000 }],
        arrivals: arrivals.collect(),
        lasts: Duration::ZERO,
    }
}

#[test]
#[ignore = "a look at the figures"]
fn figures() {
    let policies = std::env::var("POLICIES").unwrap_or_else(|_| {
        lonja_sdk_core::placement::policies::NAMES.join(",")
    });
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
                        (first..=seeds).step_by(2).map(|seed| run(trace, by_name(policy, seed).unwrap(), seed)).collect::<Vec<_>>()
                    })
                };
                let halves = [half(1), half(2)];
                halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
            });
            let summary = Summary::of(list, &runs).unwrap();
            let cells: Vec<String> = summary.cells.iter().map(|cell| {
                format!("{:6.2} ±{:.2} ({:+.2})", cell.mean, cell.deviation, cell.difference().unwrap_or(f64::NAN))
            }).collect();
            println!("{list:10} {policy:15} {}  {:.2}s a run", cells.join(" | "), start.elapsed().as_secs_f64() * 2.0 / seeds as f64);
        }
    }
    let _ = BTreeMap::<u8, u8>::new();
}
