//! Quotas and weights, as an operator sets them and as they hold.

use lonja_tests::{Cluster, Gate, eventually, needs_root, run, stderr, stdout};
use serde_json::json;

#[test]
fn a_quota_is_set_shown_changed_in_part_and_removed() {
    let cluster = Cluster::start(&[]);
    let set = cluster.done(&["quota", "set", "eng", "--guarantee", "cpus:2", "--limit", "cpus:3;mem:1024"]);
    assert_eq!(set[0]["limits"], json!({ "cpus": 3.0, "mem": 1024.0 }));

    let changed = cluster.done(&["quota", "set", "eng", "--limit", "cpus:4"]);
    assert_eq!(changed[0]["guarantees"], json!({ "cpus": 2.0 }), "what is not given stays");
    assert_eq!(cluster.done(&["quota"])[0]["limits"], json!({ "cpus": 4.0 }));
    assert_eq!(stdout(&cluster.lonja(&["quota", "-q"])), "eng\n");

    cluster.done(&["quota", "remove", "eng"]);
    assert!(cluster.done(&["quota", "list"]).is_empty());
}

#[test]
fn what_cannot_be_kept_is_refused_with_the_numbers_and_can_be_forced() {
    let cluster = Cluster::start(&[]);
    let said = cluster.refused(&["quota", "set", "eng", "--guarantee", "cpus:9"]);
    assert!(said.contains("cpus:9") && said.contains("cpus:4") && said.contains("force"), "{said}");
    let said = cluster.refused(&["quota", "set", "eng", "--guarantee", "cpus:3", "--limit", "cpus:2"]);
    assert!(said.contains("cpus:3") && said.contains('2'), "{said}");
    let said = cluster.refused(&["quota", "set", "a//b", "--limit", "cpus:2"]);
    assert!(said.contains("update_quota.quota_configs[0].role"), "{said}");
    assert!(cluster.done(&["quota"]).is_empty(), "nothing half applied");

    cluster.done(&["quota", "set", "eng", "--guarantee", "cpus:9", "--force"]);
    assert_eq!(cluster.done(&["quota"])[0]["guarantees"], json!({ "cpus": 9.0 }));
}

#[test]
fn what_makes_no_sense_is_a_matter_of_usage() {
    for arguments in [
        &["quota", "set", "eng"][..],
        &["quota", "set", "eng", "--limit", "cpus"],
        &["quota", "set", "eng", "--limit", "cpus:0"],
        &["quota", "set", "eng", "--limit", "ports:[1-2]"],
        &["weights", "set", "eng"],
        &["weights", "set", "eng=0"],
        &["maintenance", "schedule", "--start", "soon", "m"],
        &["volumes", "create", "S0", "--role", "eng", "--id", "db", "--size", "1 parsec"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn quotas_and_weights_survive_kill_9_of_the_master() {
    let mut cluster = Cluster::start(&[]);
    cluster.done(&["quota", "set", "eng", "--guarantee", "cpus:1", "--limit", "cpus:2"]);
    cluster.done(&["weights", "set", "eng=2.5", "ops=0.5"]);
    let before = cluster.done(&["roles"]);

    cluster.restart_master(&[]);

    assert_eq!(cluster.done(&["roles"]), before);
    cluster.until_connected();
}

#[test]
fn a_limit_holds_while_a_framework_wants_more() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    cluster.done(&["quota", "set", "eng", "--limit", "cpus:1;mem:512"]);
    let gate = cluster.gate();
    let volume = gate.volume();
    let wants_one =
        ["--role", "eng", "--cpus", "1", "--mem", "64", "-v", &volume, "--", "sh", "-c", Gate::WAIT];
    let mut first = cluster.spawn_run(&wants_one);
    cluster.task_in("TASK_RUNNING");
    let mut second = cluster.spawn_run(&wants_one);
    eventually("the second is there", || (cluster.list("frameworks").len() == 2).then_some(()));

    let said = cluster.refused(&["quota", "set", "eng", "--limit", "cpus:0.5"]);
    assert!(said.contains("cpus:1") && said.contains("0.5"), "{said}");
    let explained = stdout(&cluster.lonja(&["explain", "eng"]));
    assert!(explained.contains("eng"), "{explained}");
    let other = cluster.spawn_run(&["--cpus", "1", "--", "true"]).wait_with_output().unwrap();
    assert_eq!(other.status.code(), Some(0), "others have the rest: {}", stderr(&other));
    assert_eq!(cluster.done(&["quota"])[0]["consumed"]["cpus"], json!(1.0));
    assert!(second.try_wait().unwrap().is_none(), "the second still waits");

    gate.open();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(second.wait().unwrap().code(), Some(0), "it had its turn");
}
