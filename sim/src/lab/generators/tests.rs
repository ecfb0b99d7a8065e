//! Generators: what they make keeps to what was asked for; what they refuse, they refuse by name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::resources::Scalar;
use lonja_sdk_core::placement::{Gpus, Room};
use proptest::prelude::*;

use super::*;
use crate::lab::Arrival;
use crate::lab::amounts::WEIGHT;

fn made(words: &str, seed: u64) -> Workload {
    generate(words, &Fleet::default(), seed).unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn error(words: &str) -> String {
    generate(words, &Fleet::default(), 1).expect_err("it is refused").to_string()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The mean over all, in seconds.
fn mean(times: impl Iterator<Item = Duration>) -> f64 {
    let (count, sum) = times.fold((0.0, 0.0), |(count, sum), time| (count + 1.0, sum + time.as_secs_f64()));
    sum / count
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected} +- {tolerance}");
}

/// Five standard deviations of a Poisson count or of a mean leave room for one unlucky seed in a million.
#[test]
fn poisson_arrivals_keep_to_their_rate_and_runs_to_their_mean() {
    for (runs, deviation) in [("exponential", 300.0), ("lognormal", 393.3), ("fixed", 0.0)] {
        let workload = made(&format!("poisson:rate=10,mean=300s,runs={runs},for=1h"), 7);
        let count = workload.arrivals.len() as f64;
        near(count, 36_000.0, 5.0 * 36_000_f64.sqrt());
        near(
            mean(workload.arrivals.iter().filter_map(|task| task.runs)),
            300.0,
            5.0 * deviation / count.sqrt() + 1e-6,
        );
        near(mean(workload.arrivals.iter().map(|task| task.at)), 1800.0, 5.0 * 1039.2 / count.sqrt());
        let gaps = workload.arrivals.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64());
        let squares: f64 = gaps.map(|gap| gap * gap).sum();
        // The second moment of an exponential gap is twice the square of its mean, 2 / 100.
        near(squares / count, 0.02, 5.0 * 0.0448 / count.sqrt());
        assert_eq!(workload.lasts, secs(3600));
        assert_eq!(workload.machines.len(), 100);
    }
}

#[test]
fn a_number_of_tasks_is_kept_exactly_and_spread_over_all_the_time() {
    let workload = made("poisson:tasks=20000,for=2h,frameworks=4", 3);
    assert_eq!(workload.arrivals.len(), 20_000);
    assert!(workload.arrivals.is_sorted_by_key(|task| task.at));
    near(mean(workload.arrivals.iter().map(|task| task.at)), 3600.0, 5.0 * 2078.0 / 141.4);
    let mut by_framework = [0_u32; 4];
    workload.arrivals.iter().for_each(|task| by_framework[task.framework] += 1);
    by_framework.into_iter().for_each(|count| near(f64::from(count), 5000.0, 5.0 * 61.3));
}

/// CPU seconds that tasks ask for, as a part of those there are.
fn load(workload: &Workload, tasks: impl Fn(&&Arrival) -> bool) -> f64 {
    let cpus: f64 = workload.machines.iter().map(|machine| machine.total.scalar("cpus").to_f64()).sum();
    let tasks = workload.arrivals.iter().filter(tasks);
    let asked: f64 = tasks
        .map(|task| task.ask.need.cpus.to_f64() * task.runs.unwrap_or(workload.lasts).as_secs_f64())
        .sum();
    asked / (cpus * workload.lasts.as_secs_f64())
}

#[test]
fn a_load_is_the_part_of_the_fleet_that_is_asked_for() {
    near(load(&made("poisson:load=0.6,cpus=1|3,for=2h", 5), |_| true), 0.6, 0.02);
    near(load(&made("poisson", 5), |_| true), 0.8, 0.03);
    let fleet = Fleet { machines: Some(500), each: Some("cpus:4;mem:100".to_owned()) };
    near(load(&generate("poisson:load=2", &fleet, 5).unwrap(), |_| true), 2.0, 0.1);
}

#[test]
fn services_come_first_and_stay_and_batch_tasks_come_and_go() {
    let workload =
        made("services-and-batch:services-load=0.5,batch-load=0.3,ramp=5m,for=3h,services-weight=2.5", 11);

    let is_service = |task: &&Arrival| task.framework == 0;
    near(load(&workload, is_service), 0.5, 0.05);
    near(load(&workload, |task| task.framework == 1), 0.3, 0.03);
    let services = || workload.arrivals.iter().filter(is_service);
    assert!(services().all(|task| task.at <= secs(300) && task.runs.is_none()));
    assert!(workload.arrivals.iter().filter(|task| task.framework == 1).all(|task| task.runs.is_some()));
    assert!(workload.arrivals.is_sorted_by_key(|task| task.at));
    let weights: Vec<_> =
        workload.frameworks.iter().map(|tenant| (tenant.name.as_str(), tenant.weight)).collect();
    assert_eq!(weights, [("services", 2500), ("batch", 1000)]);
}

#[test]
fn the_mix_of_mesos_has_the_numbers_of_its_benchmark() {
    let workload = made("mesos-multi", 1);

    assert_eq!(
        (workload.machines.len(), workload.frameworks.len(), workload.arrivals.len()),
        (80, 554, 19_500)
    );
    assert_eq!(workload.machines[0].total, "cpus:64;mem:488000".parse().unwrap());
    let mut tasks: BTreeMap<(Scalar, Scalar), usize> = BTreeMap::new();
    for task in &workload.arrivals {
        *tasks.entry((task.ask.need.cpus, task.ask.need.mem)).or_default() += 1;
        assert_eq!((task.at, task.runs), (Duration::ZERO, None));
    }
    let amount = |text: &str| Scalar::parse(text).unwrap();
    let expected = [("0.07", "400", 16_000), ("0.1", "4000", 2_500), ("1", "1000", 1_000)];
    let expected = expected.map(|(cpus, mem, count)| ((amount(cpus), amount(mem)), count));
    assert_eq!(tasks, BTreeMap::from(expected));
    assert_eq!(made("mesos-multi:services=0,builds=2,batches=0,build-tasks=3,mean=9s", 1).arrivals.len(), 6);
}

#[test]
fn the_same_seed_makes_the_same_workload_and_another_makes_another() {
    for (name, _) in known() {
        assert_eq!(made(name, 4), made(name, 4));
        assert_ne!(made(name, 4), made(name, 5));
        let workload = made(name, 4);
        let names: BTreeSet<&str> = workload.arrivals.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names.len(), workload.arrivals.len());
        let machines: BTreeSet<&str> =
            workload.machines.iter().map(|machine| machine.name.as_str()).collect();
        assert_eq!(machines.len(), workload.machines.len());
    }
}

#[test]
fn gpus_of_a_machine_are_counted_device_by_device() {
    let fleet = Fleet { machines: Some(2), each: Some("cpus:8;mem:64;gpus:3;disk:5".to_owned()) };
    let workload = generate("poisson:rate=1,for=1m,gpus=0.25|2", &fleet, 1).unwrap();
    let room = Room::new(&workload.machines[1].total, &workload.machines[1].attributes);
    assert_eq!((room.whole_devices(), room.free_gpus()), (3, 3000));
    let asked: BTreeSet<Gpus> = workload.arrivals.iter().map(|task| task.ask.need.gpus).collect();
    assert_eq!(asked, BTreeSet::from([Gpus::Share(250), Gpus::Whole(2)]));
}

#[test]
fn words_are_refused_with_the_parameter_and_what_is_allowed() {
    let time = "expected a time above 0 with its unit (ms, s, m, h or d), such as 300s, up to 31 years";
    let amounts = "expected a number with up to three decimals, or several with `|` between them";
    let cases = [
        ("possion", "no generator \"possion\"; there are poisson, services-and-batch, mesos-multi".to_owned()),
        ("", "no generator \"\"; there are poisson, services-and-batch, mesos-multi".to_owned()),
        (
            "poisson:rat=1",
            "poisson: no parameter \"rat\"; there are rate, tasks, load, mean, runs, sigma, cpus, mem, disk, gpus, \
             frameworks, for"
                .to_owned(),
        ),
        ("poisson:rate", "poisson: rate: found \"rate\", expected rate=VALUE".to_owned()),
        ("poisson:rate=1,rate=2", "poisson: rate: found \"2\", expected each parameter once".to_owned()),
        ("poisson:rate=-1", "poisson: rate: found \"-1\", expected a number above 0, up to 1000000".to_owned()),
        ("poisson:rate=0", "poisson: rate: found \"0\", expected a number above 0, up to 1000000".to_owned()),
        ("poisson:rate=inf", "poisson: rate: found \"inf\", expected a number above 0, up to 1000000".to_owned()),
        ("poisson:rate=1,load=1", "poisson: load: found \"1\", expected one of rate, tasks and load, not two".to_owned()),
        (
            "poisson:rate=1000000",
            "poisson: rate: found \"1000000\", expected at most 9000000 tasks in all, not 3600000000".to_owned(),
        ),
        ("poisson:tasks=0", "poisson: tasks: found \"0\", expected a whole number from 1 to 9000000".to_owned()),
        ("poisson:mean=300", format!("poisson: mean: found \"300\", {time}")),
        ("poisson:mean=0s", format!("poisson: mean: found \"0s\", {time}")),
        ("poisson:for=1y", format!("poisson: for: found \"1y\", {time}")),
        ("poisson:for=99999d", format!("poisson: for: found \"99999d\", {time}")),
        ("poisson:runs=x", "poisson: runs: found \"x\", expected exponential, lognormal or fixed".to_owned()),
        ("poisson:sigma=1", "poisson: sigma: found \"1\", expected it only with runs=lognormal".to_owned()),
        (
            "poisson:runs=lognormal,sigma=9",
            "poisson: sigma: found \"9\", expected a number above 0, up to 4".to_owned(),
        ),
        ("poisson:cpus=1||2", format!("poisson: cpus: found \"1||2\", {amounts}")),
        ("poisson:mem=1GB", format!("poisson: mem: found \"1GB\", {amounts}")),
        (
            "poisson:gpus=1.5",
            "poisson: gpus: found \"1.5\", expected a whole number up to 1024 or a part of one below 1, or several \
             with `|` between them"
                .to_owned(),
        ),
        (
            "poisson:cpus=0|1,mem=0",
            "poisson: cpus: found \"0|1\", expected tasks that ask for something, each of them".to_owned(),
        ),
        (
            "poisson:cpus=0",
            "poisson: load: found \"0.8\", expected tasks with CPUs, or rate or tasks in its place".to_owned(),
        ),
        (
            "poisson:frameworks=10001",
            "poisson: frameworks: found \"10001\", expected a whole number from 1 to 10000".to_owned(),
        ),
        (
            "services-and-batch:services-weight=0",
            format!("services-and-batch: services-weight: found \"0\", expected {}", WEIGHT),
        ),
        (
            "services-and-batch:services-cpus=0",
            "services-and-batch: services-cpus: found \"0\", expected services with CPUs".to_owned(),
        ),
        (
            "services-and-batch:services-cpus=0.001,services-load=100",
            "services-and-batch: services-load: found \"100\", expected at most 9000000 services, not 320000000"
                .to_owned(),
        ),
        (
            "mesos-multi:services=0,builds=0,batches=0",
            "mesos-multi: services: found \"0\", expected at least one framework: of services, builds or batches"
                .to_owned(),
        ),
        (
            "mesos-multi:service-tasks=9000000",
            "mesos-multi: service-tasks: found \"9000000\", expected at most 9000000 tasks in all".to_owned(),
        ),
    ];
    for (words, expected) in cases {
        assert_eq!(error(words), expected, "{words}");
    }
}

#[test]
fn machines_are_refused_with_what_they_could_be() {
    let each = |text: &str| Fleet { machines: Some(1), each: Some(text.to_owned()) };
    let refused = |fleet: Fleet| generate("poisson", &fleet, 1).expect_err("it is refused").to_string();
    let none = Fleet { machines: Some(0), each: None };
    assert_eq!(refused(none), "machines: found \"0\", expected a number from 1 to 1000000");
    assert_eq!(refused(each("mem:5")), "machine: found \"mem:5\", expected CPUs, such as cpus:32;mem:262144");
    assert_eq!(
        refused(each("cpus:1;gpus:1.5")),
        "machine: found \"cpus:1;gpus:1.5\", expected a whole number of gpus up to 1024"
    );
    let found = refused(each("cpus=1"));
    assert!(
        found
            .starts_with("machine: found \"cpus=1\", expected resources such as cpus:32;mem:262144;gpus:8: ")
    );
}

#[test]
fn tasks_are_dealt_out_by_parts_and_weights_are_kept() {
    let workload = mix(made("poisson:tasks=30000", 1), "prod=2:0.3, batch=0.5,rest=1", 9).unwrap();

    let weights: Vec<_> =
        workload.frameworks.iter().map(|tenant| (tenant.name.as_str(), tenant.weight)).collect();
    assert_eq!(weights, [("prod", 2000), ("batch", 500), ("rest", 1000)]);
    let mut counts = [0_u32; 3];
    workload.arrivals.iter().for_each(|task| counts[task.framework] += 1);
    for (count, part) in counts.into_iter().zip([0.3, 0.35, 0.35]) {
        near(f64::from(count), 30_000.0 * part, 5.0 * (30_000.0 * part * (1.0 - part)).sqrt());
    }
    let again = |seed| mix(made("poisson:tasks=30000", 1), "prod=2:0.3, batch=0.5,rest=1", seed).unwrap();
    assert_eq!(again(9), workload);
    assert_ne!(again(8), workload);
}

#[test]
fn a_mix_changes_nothing_but_whose_a_task_is() {
    let before = made("poisson:tasks=1000", 1);
    let mut after = mix(before.clone(), "a=1,b=1,c=1", 2).unwrap();
    after.arrivals.iter_mut().for_each(|task| task.framework = 0);
    assert_eq!(after.arrivals, before.arrivals);
    assert_eq!((after.machines, after.lasts), (before.machines, before.lasts));
}

#[test]
fn mixes_are_refused_with_the_framework_and_what_is_allowed() {
    let weight = WEIGHT;
    let part = "a part of the tasks above 0 and up to 1, with up to three decimals";
    let form = "NAME=WEIGHT or NAME=WEIGHT:PART, with commas between them";
    let cases = [
        ("", format!("words: found \"\", expected {form}")),
        ("a", format!("words: found \"a\", expected {form}")),
        ("a=1,", format!("words: found \"\", expected {form}")),
        ("a=0", format!("a: found \"0\", expected {weight}")),
        ("a=1e3", format!("a: found \"1e3\", expected {weight}")),
        ("a=1000001", format!("a: found \"1000001\", expected {weight}")),
        ("a=1:0", format!("a: found \"0\", expected {part}")),
        ("a=1:1.5", format!("a: found \"1.5\", expected {part}")),
        ("a=1:30%", format!("a: found \"30%\", expected {part}")),
        ("a=1,a=2", "a: found \"a=2\", expected each framework once".to_owned()),
        ("a=1:0.5,b=1:0.4", "parts: found \"0.9\", expected parts that make 1 together".to_owned()),
        (
            "a=1:0.5,b=1:0.5,c=1",
            "parts: found \"1\", expected parts that leave something to those that name none".to_owned(),
        ),
    ];
    for (words, expected) in cases {
        let found = mix(Workload::default(), words, 1).expect_err("it is refused").to_string();
        assert_eq!(found, format!("framework-mix: {expected}"), "{words}");
    }
    let found = mix(Workload::default(), "a//b=1", 1).expect_err("it is refused").to_string();
    assert!(
        found.starts_with("framework-mix: a//b: found \"a//b\", expected the name of a role: "),
        "{found}"
    );
}

/// A million tasks without models of GPU are below 200 MB: the size of an arrival, and a name of up to 24 bytes.
#[test]
fn an_arrival_is_small() {
    assert!(size_of::<Arrival>() <= 136, "{} bytes", size_of::<Arrival>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No words make the generators panic.
    #[test]
    fn whatever_is_asked_for_is_made_or_refused(words in "[a-z0-9=:,.|-]{0,40}", seed: u64) {
        let fleet = Fleet { machines: Some(2), each: Some(words.clone()) };
        for (name, _) in known() {
            let _ = generate(&format!("{name}:{words}"), &Fleet { machines: Some(2), each: None }, seed);
            let _ = generate(&format!("{name}:for=1s"), &fleet, seed);
        }
        let _ = mix(Workload::default(), &words, seed);
    }
}
