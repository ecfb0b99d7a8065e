//! Reservations and volumes, as operators make them, and what survives.

use lonja_tests::{Cluster, needs_root};
use serde_json::json;

const RESOURCES: &str = "cpus:4;mem:2048;disk:4096;ports:[31000-31010]";

#[test]
fn reservations_and_volumes_survive_kill_9_of_the_agent_and_the_master() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start_with(&[], RESOURCES);
    cluster.done(&["reservations", "add", "S0", "cpus(eng):2;disk(eng):1024", "--label", "team=x"]);
    cluster.done(&["reservations", "add", "S0", "cpus(eng)(eng/web):1"]);
    cluster.done(&["volumes", "create", "S0", "--role", "eng", "--id", "db", "--size", "512MiB"]);
    let before = (cluster.done(&["reservations"]), cluster.done(&["volumes"]));
    assert_eq!(before.0.len(), 2);
    assert_eq!(before.0[0]["labels"], json!({ "team": "x" }));
    assert_eq!(before.0[1]["roles"], json!(["eng", "eng/web"]));
    assert_eq!((&before.1[0]["id"], &before.1[0]["size_mib"]), (&json!("db"), &json!(512.0)));

    cluster.agent.take().unwrap().kill9();
    cluster.restart_master(&[]);
    cluster.start_agent(RESOURCES);

    assert_eq!((cluster.done(&["reservations"]), cluster.done(&["volumes"])), before);
}

#[test]
fn volumes_grow_shrink_and_go_and_reservations_with_them() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start_with(&[], RESOURCES);
    cluster.done(&["reservations", "add", "S0", "disk:1024", "--role", "eng"]);
    cluster.done(&["volumes", "create", "S0", "--role", "eng", "--id", "db", "--size", "512"]);

    let size = |arguments: &[&str]| cluster.done(arguments)[0]["size_mib"].clone();
    assert_eq!(size(&["volumes", "grow", "S0", "db", "--by", "256MiB"]), json!(768.0));
    assert_eq!(size(&["volumes", "shrink", "S0", "db", "--by", "512"]), json!(256.0));
    assert!(cluster.done(&["volumes", "destroy", "S0", "db"]).is_empty());
    assert!(cluster.done(&["reservations", "remove", "S0", "disk(eng):1024"]).is_empty());
}

#[test]
fn what_is_not_there_is_refused_by_name_and_nothing_changes() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start_with(&[], RESOURCES);
    for (arguments, said) in [
        (&["reservations", "add", "S0", "cpus(eng):99"][..], "cpus"),
        (&["reservations", "add", "S7", "cpus(eng):1"], "no agent S7"),
        (&["reservations", "add", "S0", "cpus:1"], "names no role"),
        (&["reservations", "add", "S0", "cpus(a//b):1"], "a//b"),
        (&["reservations", "remove", "S0", "cpus(eng):1"], "no cpus is reserved for eng"),
        (&["volumes", "create", "S0", "--role", "eng", "--id", "db", "--size", "1"], "disk(eng):1"),
        (&["volumes", "destroy", "S0", "db"], "no volume db"),
    ] {
        let text = cluster.refused(arguments);
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    assert!(cluster.done(&["reservations"]).is_empty() && cluster.done(&["volumes"]).is_empty());
}
