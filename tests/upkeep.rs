//! Draining, deactivation and maintenance, with tasks that run.

use lonja_tests::{Cluster, eventually, needs_root, stderr};
use serde_json::json;

#[test]
fn a_drain_ends_the_tasks_and_undo_takes_the_agent_back() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let running = cluster.spawn_run(&["--", "sleep", "1000"]);
    cluster.task_in("TASK_RUNNING");

    let drained = cluster.done_as("agents", &["drain", "S0", "--grace", "1s", "--wait"]);

    assert_eq!((&drained[0]["duty"], &drained[0]["state"]), (&json!("drained"), &json!("connected")));
    assert_eq!(drained[0]["drain"]["max_grace_seconds"], json!(1.0));
    let output = running.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(0), "its task was killed: {}", stderr(&output));
    let waits = cluster.spawn_run(&["--", "true"]);
    assert_eq!(cluster.done_as("agents", &["drain", "S0", "--undo"])[0]["duty"], json!("active"));
    assert_eq!(waits.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_drain_is_remembered_over_kill_9_of_the_master() {
    let mut cluster = Cluster::start(&[]);
    cluster.done_as("agents", &["drain", "S0", "--wait"]);

    cluster.restart_master(&[]);
    cluster.until_connected();

    assert_eq!(cluster.done(&["agents"])[0]["duty"], json!("drained"));
}

#[test]
fn a_deactivated_agent_keeps_its_tasks_and_gets_no_new_ones() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mut running = cluster.spawn_run(&["--", "sleep", "1000"]);
    let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();

    assert_eq!(cluster.done(&["agents", "deactivate", "S0"])[0]["duty"], json!("deactivated"));
    cluster.task_in("TASK_RUNNING");
    assert!(cluster.list("offers").is_empty());
    let again = cluster.done(&["agents", "reactivate", "S0"]);

    assert_eq!(again[0]["duty"], json!("active"));
    cluster.lonja(&["kill", &task]);
    running.wait().unwrap();
}

#[test]
fn a_machine_goes_through_its_maintenance() {
    let cluster = Cluster::start(&[]);
    let scheduled =
        cluster.done(&["maintenance", "schedule", "--start", "+2h", "--duration", "1h", "127.0.0.1"]);
    assert_eq!(
        (&scheduled[0]["mode"], &scheduled[0]["duration_seconds"]),
        (&json!("scheduled"), &json!(3600.0))
    );
    let said = cluster.refused(&["drain", "S0"]);
    assert!(said.contains("127.0.0.1") && said.contains("schedule"), "{said}");
    let said = cluster.refused(&["maintenance", "stop", "127.0.0.1"]);
    assert!(said.contains("127.0.0.1"), "{said}");

    assert_eq!(cluster.done(&["maintenance", "start", "127.0.0.1"])[0]["mode"], json!("down"));
    eventually("its agent is drained", || (cluster.list("agents")[0]["duty"] == "drained").then_some(()));
    let said = cluster.refused(&["maintenance", "clear", "127.0.0.1"]);
    assert!(said.contains("127.0.0.1"), "a machine that is down stays in the schedule: {said}");
    cluster.done(&["maintenance", "stop", "127.0.0.1"]);

    assert!(cluster.done(&["maintenance"]).is_empty());
    assert_eq!(cluster.done(&["agents"])[0]["duty"], json!("active"));
}

#[test]
fn an_agent_that_nobody_knows_is_named() {
    let cluster = Cluster::start(&[]);
    for arguments in [&["drain", "S7"][..], &["agents", "deactivate", "S7"], &["agents", "gone", "S7"]] {
        let said = cluster.refused(arguments);
        assert!(said.contains("no agent S7"), "{said}");
    }
    let said = cluster.refused(&["maintenance", "start", "nowhere"]);
    assert!(said.contains("nowhere"), "{said}");
}
