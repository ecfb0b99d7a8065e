//! `lonja explain`, of tasks that wait, run and have ended.

use lonja_tests::{Cluster, Gate, eventually, needs_root, stderr, stdout};
use serde_json::{Value, json};

fn explained(cluster: &Cluster, arguments: &[&str]) -> Option<Value> {
    let output = cluster.lonja(&[&["explain", "-o", "json"], arguments].concat());
    output.status.success().then(|| serde_json::from_str(&stdout(&output)).expect("one object"))
}

/// The tasks that any framework has told of as waiting.
fn waiting(cluster: &Cluster) -> Vec<String> {
    let role = explained(cluster, &["--role", "*"]).unwrap_or_default();
    let frameworks = role["frameworks"].as_array().cloned().unwrap_or_default();
    let names = frameworks.iter().flat_map(|framework| framework["waiting_tasks"].as_array().cloned());
    names.flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

#[test]
fn a_task_that_waits_is_explained_until_it_runs_and_ends() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let gate = cluster.gate();
    let volume = gate.volume();
    let wants_most = ["--cpus", "3", "--mem", "64", "-v", &volume, "--", "sh", "-c", Gate::WAIT];
    let mut first = cluster.spawn_run(&wants_most);
    let running = cluster.task_in("TASK_RUNNING");
    let running = running["id"].as_str().unwrap();
    let mut second = cluster.spawn_run(&wants_most);

    let waits = eventually("the second says that it waits", || waiting(&cluster).pop());
    let why = explained(&cluster, &[&waits]).unwrap();
    let [task] = &why["tasks"].as_array().unwrap()[..] else { panic!("{why}") };
    assert_eq!((&task["waiting"]["task"], &task["state"]), (&json!(waits), &Value::Null));
    assert!(task["waiting"]["told_seconds_ago"].as_f64().is_some(), "{why}");
    let obstacles = why["frameworks"][0]["obstacles"].as_array().unwrap();
    assert!(!obstacles.is_empty(), "and what the master sees in its way: {why}");
    let said = stdout(&cluster.lonja(&["explain", &waits]));
    assert!(said.contains(&format!("Task {waits} of framework run sh")), "{said}");
    assert!(said.contains("has no place as yet") && said.contains("in the way"), "{said}");

    let of_running = explained(&cluster, &["--task", running]).unwrap();
    assert_eq!(of_running["tasks"][0]["state"], "TASK_RUNNING");

    gate.open();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(second.wait().unwrap().code(), Some(0), "it had its turn");
    let ended = explained(&cluster, &[&waits]).unwrap();
    assert_eq!(
        (&ended["tasks"][0]["state"], &ended["tasks"][0]["waiting"]),
        (&json!("TASK_FINISHED"), &Value::Null)
    );
}

#[test]
fn what_nobody_knows_is_said_with_what_to_do() {
    let cluster = Cluster::without_agent(&[]);
    let output = cluster.lonja(&["explain", "nobody-1"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nobody-1") && said.contains("lonja tasks") && said.contains("Plan::unplaced"),
        "{said}"
    );
    let said = stderr(&cluster.lonja(&["explain", "--task", "nobody-1"]));
    assert!(said.contains("no task has the id"), "{said}");
}
