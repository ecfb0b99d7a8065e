//! Unmodified clients of Mesos' v1 API, as their authors published them, judge the master and its agent: each through its
//! scenario (`tests/clients/run`) against real daemons, with the master killed under it. Skipped where a client cannot be had.

use lonja_tests::{Cluster, needs_root};

/// Executors are fetched from the scenario, which is on this host.
const ENVIRONMENT: [(&str, &str); 1] = [("LONJA_AGENT_FETCH_ALLOW", "127.0.0.0/8")];

/// Runs a client through its scenario.
fn judge(client: &str) {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in("cpus:4;mem:4096;disk:4096;ports:[31000-31100]", &ENVIRONMENT);
    let url = cluster.url().to_owned();
    lonja_tests::judge(client, url.trim_start_matches("http://"), || cluster.restart_master(&[]));
}

#[test]
fn avmesos_launches_kills_reconciles_suppresses_fails_over_and_outlives_a_master() {
    judge("avmesos");
}

#[test]
fn mesoshttp_gets_three_updates_a_task_and_acknowledges_each() {
    judge("mesoshttp");
}

#[test]
fn the_scheduler_of_npm_keeps_its_tasks_alive_and_its_executor_runs_them() {
    judge("mesos-framework");
}

#[test]
fn the_operators_client_of_dcos_sees_all_there_is_and_every_change() {
    judge("mesos-client");
}

#[test]
fn the_command_line_of_mesos_lists_executes_and_attaches() {
    judge("avmesos-cli");
}
