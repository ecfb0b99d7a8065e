//! `lonja bench`: that it measures what it says, not how fast this machine is.

use std::collections::BTreeSet;
use std::process::Command;

use lonja_tests::{lonja, run, stderr, stdout};
use serde_json::Value;

/// What every figure says of itself.
const KEYS: [&str; 15] = [
    "measure",
    "figure",
    "door",
    "agents",
    "tasks",
    "frameworks",
    "median",
    "unit",
    "runs",
    "cpu_for",
    "master_cpu_ms",
    "generator_cpu_ms",
    "master_resident_mib",
    "master_peak_mib",
    "mesos_1_11_0_elsewhere",
];

#[test]
fn a_master_is_measured_through_every_door() {
    let output = run(&[
        "bench",
        "master",
        "--agents",
        "4",
        "--tasks",
        "41",
        "--frameworks",
        "1,3",
        "--in-flight",
        "9",
        "--calls",
        "300",
        "--rest",
        "0.1",
        "--seconds",
        "0.1",
        "--runs",
        "1",
        "-o",
        "json",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["schema"], 1);
    let figures = told["figures"].as_array().unwrap();
    for figure in figures {
        assert!(KEYS.iter().all(|key| figure.get(key).is_some()), "{figure}");
        let median = figure["median"].as_f64().unwrap_or(-1.0);
        // Rates and times are above 0; an agent at rest may have cost nothing, and no call been refused.
        let may_be_none = ["idle", "limited"].contains(&figure["figure"].as_str().unwrap());
        assert!(median > 0.0 || may_be_none && median >= 0.0, "{figure}");
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let names: BTreeSet<String> = figures
        .iter()
        .map(|one| [&one["measure"], &one["figure"], &one["door"]].map(text).join(" "))
        .collect();
    let mut expected = BTreeSet::from(
        [
            "agents registered -",
            "agents idle -",
            "state took -",
            "state loaded -",
            "state size -",
            "state offer_p99 -",
            "state offer_p99_before -",
        ]
        .map(str::to_owned),
    );
    for door in ["grpc", "http-protobuf", "http-json"] {
        for name in [
            "launch rate",
            "churn rate",
            "offers subscribed",
            "offers declined",
            "pipelined answered",
            "pipelined limited",
        ] {
            expected.insert(format!("{name} {door}"));
        }
    }
    assert_eq!(names, expected);
    let answered = figures.iter().filter(|one| one["figure"] == "answered");
    assert!(answered.into_iter().all(|one| one["median"] == 300.0), "{figures:?}");
}

#[test]
fn what_a_bench_cannot_do_is_said_before_it_begins() {
    let output = run(&["bench", "master", "--agents", "2", "--tasks", "601"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("2 agents have room for 600 tasks"), "{}", stderr(&output));
    let few = "ulimit -n 300; exec \"$0\" bench master --agents 200 --only agents";
    let output = Command::new("sh").arg("-c").arg(few).arg(lonja()).output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("raise the limit (ulimit -Hn)"), "{}", stderr(&output));
}
