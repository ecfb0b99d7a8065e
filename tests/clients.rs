//! Unmodified clients of Marathon's API, as their authors published them, judge the service framework: each through its
//! scenario (`tests/clients/run`) against real daemons. Skipped where a client cannot be had.

use lonja_tests::{Cluster, Served};

/// Runs a client through its scenario.
fn judge(client: &str) {
    let mut cluster = Cluster::without_agent(&[]);
    // What is made up from a schema is not to run anywhere.
    if client != "schema" {
        cluster.start_agent("cpus:4;mem:2048;disk:4096;ports:[31000-31100]");
    }
    let mut served = Served::on(cluster, &[]);
    let url = served.url();
    lonja_tests::judge(client, &url, || served.restart());
}

#[test]
fn marathon_of_python_creates_scales_kills_updates_rolls_back_and_deletes() {
    judge("marathon");
}

#[test]
fn shpkpr_deploys_and_says_what_does_not_get_well() {
    judge("shpkpr");
}

#[test]
fn the_event_bus_of_npm_gets_the_events_it_asked_for_also_after_a_restart() {
    judge("event-bus");
}

#[test]
fn prometheus_discovers_every_port_of_every_instance() {
    judge("prometheus");
}

#[test]
fn whatever_the_schema_allows_is_answered_as_it_says() {
    judge("schema");
}
