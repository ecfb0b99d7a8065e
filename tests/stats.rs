//! What tasks use, as people, programs and Prometheus are told.

use lonja_tests::{Cluster, eventually, needs_root, stderr, stdout};
use serde_json::Value;

#[test]
fn what_a_task_uses_is_told_by_every_door_alike() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mut run =
        cluster.spawn_run(&["--cpus", "0.5", "--mem", "64", "--", "sh", "-c", "while :; do :; done"]);
    let task = cluster.task_in("TASK_RUNNING");
    let id = task["id"].as_str().unwrap().to_owned();

    let busy = eventually("it is seen to be busy", || {
        let stats = cluster.done(&["stats", &id, "--interval", "100ms"]);
        let one = stats.into_iter().next()?;
        (one["cpu_percent"].as_f64()? > 1.0 && one["disk_used_bytes"].is_u64()).then_some(one)
    });
    assert_eq!(busy["task_id"], id);
    assert_eq!(busy["mem_limit_bytes"], 64 << 20);
    assert!(
        busy["mem_total_bytes"].as_u64().unwrap() > 0 && busy["threads"].as_u64().unwrap() >= 1,
        "{busy}"
    );
    let table = stdout(&cluster.lonja(&["stats", "--interval", "10ms"]));
    assert!(table.starts_with("TASK") && table.contains(&id) && table.contains("64.0 MiB"), "{table}");

    let agent = cluster.agent.as_ref().unwrap();
    let json = |path: &str| -> Value {
        let answer = agent.get(path);
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let told = json("/monitor/statistics");
    assert_eq!(told[0]["executor_id"], id);
    assert_eq!(told[0]["framework_id"], task["framework_id"]);
    assert_eq!(told[0]["statistics"]["mem_limit_bytes"], 64 << 20);
    assert!(told[0]["statistics"]["timestamp"].as_f64().unwrap() > 1e9);
    let container = &json("/containers")[0];
    assert_eq!(container["status"]["executor_pid"], task["pid"]);
    assert!(container["container_id"].is_string());
    let metrics = agent.get("/metrics");
    let named = format!("task=\"{id}\"");
    for name in ["container_cpu_seconds", "container_memory_bytes", "container_pids", "container_disk_bytes"]
    {
        let line = metrics.lines().find(|line| line.starts_with(&format!("lonja_agent_{name}{{")));
        assert!(line.is_some_and(|line| line.contains(&named)), "{name}: {metrics}");
    }

    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn who_asks_for_what_does_not_run_is_told_so() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    assert!(cluster.refused(&["stats", "nobody"]).contains("the master knows no task nobody"));
    assert!(cluster.spawn_run(&["--name", "short", "--", "true"]).wait().unwrap().success());
    let id = cluster.done(&["tasks", "--all"])[0]["id"].as_str().unwrap().to_owned();
    assert!(cluster.refused(&["stats", &id, "--interval", "10ms"]).contains("runs no more"));
    let none = cluster.lonja(&["stats", "--interval", "10ms"]);
    assert!(none.status.success(), "{}", stderr(&none));
    assert_eq!(stderr(&none), "no stats\n");
}
