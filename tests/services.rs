//! Services on real daemons: what they promise to those who run them, through `kill -9` of every part.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lonja_tests::{Cluster, Served, eventually};
use serde_json::{Value, json};

const RESOURCES: &str = "cpus:4;mem:2048;disk:4096;ports:[31200-31300]";

fn served() -> Served {
    Served::on(Cluster::start_with(&[], RESOURCES), &[])
}

/// An app that is there and does nothing.
fn idle(id: &str, instances: u32) -> Value {
    json!({
        "id": id, "cmd": "exec sleep 100000", "instances": instances, "cpus": 0.01, "mem": 32,
        "backoffSeconds": 0, "upgradeStrategy": { "minimumHealthCapacity": 1, "maximumOverCapacity": 1 }
    })
}

fn create(served: &Served, app: &Value) {
    let (status, answer) = served.api("POST", "/v2/apps", app);
    assert_eq!(status, 201, "{answer}");
}

fn until_running(served: &Served, id: &str, count: u64) {
    eventually(&format!("{count} instances of {id} run"), || {
        let app = served.app(id);
        (app["tasksRunning"] == count && app["deployments"] == json!([])).then_some(())
    });
}

/// The pids of all running tasks, with their start times: the same process has the same.
fn processes(served: &Served) -> BTreeSet<(u64, Option<String>)> {
    let tasks = served.cluster.list("tasks");
    let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
    running.filter_map(|task| task["pid"].as_u64()).map(|pid| (pid, lonja_tests::start_time(pid))).collect()
}

#[test]
fn an_app_runs_scales_and_goes() {
    let served = served();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/services/web.json");
    served.ends_with(0, &["run", file]);
    let app = served.app("/web");
    assert_eq!((&app["tasksHealthy"], &app["tasksRunning"]), (&json!(3), &json!(3)));
    let ports: BTreeSet<String> =
        app["tasks"].as_array().unwrap().iter().map(|task| task["ports"].to_string()).collect();
    assert_eq!(ports.len(), 3, "each has a port of its own");

    served.ends_with(0, &["scale", "web", "5"]);
    assert_eq!(served.app("/web")["tasksHealthy"], 5);
    served.ends_with(0, &["scale", "web", "2"]);
    assert_eq!(processes(&served).len(), 2);
    served.ends_with(0, &["rm", "web"]);
    assert!(processes(&served).is_empty());
    served.ends_with(1, &["show", "web"]);
}

#[test]
fn a_canary_is_promoted_and_one_that_fails_is_taken_back() {
    let served = served();
    create(&served, &idle("/web", 3));
    until_running(&served, "/web", 3);
    let before = served.tasks("/web");

    served.ends_with(0, &["update", "web", "--cmd", "exec sleep 100001", "--strategy", "canary", "--wait"]);
    assert_eq!(
        served.tasks("/web").iter().filter(|task| before.contains(task)).count(),
        3,
        "all are there yet"
    );
    served.ends_with(0, &["promote", "web"]);
    until_running(&served, "/web", 3);
    let promoted = served.tasks("/web");
    assert!(promoted.iter().all(|task| !before.contains(task)));

    served.ends_with(1, &["update", "web", "--cmd", "exit 1", "--strategy", "canary", "--wait"]);
    until_running(&served, "/web", 3);
    assert_eq!(served.tasks("/web"), promoted, "none was touched");
    assert_eq!(served.app("/web")["cmd"], "exec sleep 100001");
}

#[test]
fn what_was_acknowledged_survives_and_instances_are_adopted() {
    let mut served = served();
    create(&served, &idle("/before", 3));
    until_running(&served, "/before", 3);
    let (tasks, pids) = (served.tasks("/before"), processes(&served));

    for number in 0..5 {
        create(&served, &idle(&format!("/shop/app{number}"), 1));
    }
    let (status, last) = served.api("PUT", "/v2/apps/before", &json!({ "labels": { "kept": "yes" } }));
    assert_eq!(status, 200, "{last}");
    served.restart();

    for number in 0..5 {
        until_running(&served, &format!("/shop/app{number}"), 1);
    }
    let before = served.app("/before");
    assert_eq!((&before["labels"]["kept"], &before["version"]), (&json!("yes"), &last["version"]));
    assert_eq!(served.tasks("/before"), tasks);
    assert!(processes(&served).is_superset(&pids), "the same processes");
    assert_eq!(processes(&served).len(), 8, "none runs twice");
}

#[test]
fn a_deployment_goes_on_after_every_daemon_was_killed() {
    let mut served = served();
    create(&served, &idle("/web", 4));
    until_running(&served, "/web", 4);
    let before = served.tasks("/web");

    // New ones are not ready before they are let: the deployment is under way while daemons die.
    let gate = served.cluster.gate();
    let change = json!({
        "cmd": "exec sleep 100002",
        "healthChecks": [{
            "protocol": "COMMAND", "command": { "value": "test -e gates/open" }, "gracePeriodSeconds": 600,
            "intervalSeconds": 1, "timeoutSeconds": 5, "delaySeconds": 0
        }],
        "container": { "type": "MESOS", "volumes": [
            { "hostPath": gate.volume().split(':').next(), "containerPath": "gates", "mode": "RO" }
        ] }
    });
    let (status, answer) = served.api("PUT", "/v2/apps/web", &change);
    assert_eq!(status, 200, "{answer}");
    eventually("new ones run beside the old", || (processes(&served).len() == 8).then_some(()));

    served.kill9();
    served.cluster.agent.take().unwrap().kill9();
    served.cluster.restart_master(&[]);
    served.cluster.start_agent(RESOURCES);
    served.start();
    let running = served.get("/v2/deployments");
    assert_eq!(running[0]["id"], answer["deploymentId"], "{running}");

    gate.open();
    until_running(&served, "/web", 4);
    eventually("they are healthy", || (served.app("/web")["tasksHealthy"] == 4).then_some(()));
    let after = served.tasks("/web");
    assert!(after.iter().all(|task| !before.contains(task)) && after.len() == 4);
    eventually("the old ones have ended", || (processes(&served).len() == 4).then_some(()));
}

#[test]
fn who_dies_is_replaced_where_its_data_are() {
    let served = Served::on(Cluster::start_with(&[], RESOURCES), &["--role", "db"]);
    let volume = json!({ "containerPath": "data", "mode": "RW", "persistent": { "size": 16 } });
    let app = json!({
        "id": "/db", "cmd": "echo started >> data/starts; exec sleep 100003", "instances": 1, "cpus": 0.1, "mem": 32,
        "backoffSeconds": 0, "role": "db", "container": { "type": "MESOS", "volumes": [volume] },
        "residency": { "taskLostBehavior": "WAIT_FOREVER" },
        "upgradeStrategy": { "minimumHealthCapacity": 0, "maximumOverCapacity": 0 }
    });
    create(&served, &app);
    until_running(&served, "/db", 1);
    for _ in 0..2 {
        let before = served.tasks("/db");
        let (pid, _) = processes(&served).into_iter().next().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        eventually("another one runs", || {
            let now = served.tasks("/db");
            (now != before && served.app("/db")["tasksRunning"] == 1).then_some(())
        });
    }
    let starts = eventually("three starts are written", || {
        let logs = starts_of(served.cluster.path("agent").as_ref());
        (logs == 3).then_some(logs)
    });
    assert_eq!(starts, 3);
}

/// How often the app of the test above has written into its volume, wherever the agent keeps that.
fn starts_of(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => starts_of(&entry.path()),
            Ok(kind) if kind.is_file() && entry.file_name() == "starts" => {
                std::fs::read_to_string(entry.path()).unwrap_or_default().lines().count()
            }
            _ => 0,
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn what_cannot_be_placed_is_explained() {
    let served = served();
    let app = json!({ "id": "/big", "cmd": "true", "cpus": 64, "mem": 32, "instances": 2 });
    create(&served, &app);
    let why = eventually("offers were looked at", || {
        let output = served.ends_with(0, &["explain", "big"]);
        output.contains("nearest miss").then_some(output)
    });
    assert!(why.contains("127.0.0.1: cpus: wants 64, 4 free"), "{why}");
    let queue = served.get("/v2/queue?embed=lastUnusedOffers");
    let reasons = queue["queue"][0]["processedOffersSummary"]["rejectSummaryLastOffers"].to_string();
    assert!(reasons.contains("InsufficientCpus"), "{reasons}");
    assert!(served.ends_with(3, &["wait", "big", "--timeout", "2s"]).contains("CPUs"));
}

#[test]
fn pods_and_jobs_run() {
    let served = served();
    let container = |name: &str| {
        json!({
            "name": name, "exec": { "command": { "shell": "exec sleep 100004" } },
            "resources": { "cpus": 0.1, "mem": 32 }
        })
    };
    let pod = json!({
        "id": "/pair", "containers": [container("left"), container("right")],
        "scaling": { "kind": "fixed", "instances": 1 }
    });
    let (status, answer) = served.api("POST", "/v2/pods", &pod);
    assert_eq!(status, 201, "{answer}");
    eventually("both containers run", || {
        let status = served.get("/v2/pods/pair::status");
        (status["status"] == "STABLE" && processes(&served).len() == 2).then_some(())
    });

    for (id, line, ends_with) in [("/good", "echo done", 0), ("/bad", "exit 7", 1)] {
        let job = json!({ "id": id, "run": { "cmd": line, "cpus": 0.1, "mem": 32 } });
        assert_eq!(served.api("POST", "/v2/jobs", &job).0, 201);
        served.ends_with(ends_with, &["job", "run", id]);
    }
}

/// A port that nobody listens on, now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// One request on a connection of its own: what came back.
fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn no_request_is_lost_while_all_instances_are_replaced() {
    let there = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs python3");
        return;
    }
    let served = Served::on(Cluster::start_with(&[], RESOURCES), &["--proxy", "--drain", "2s"]);
    let port = free_port();
    let app = |mark: &str| {
        json!({
            "id": "/web", "instances": 2, "cpus": 0.1, "mem": 64, "env": { "MARK": mark },
            "cmd": "exec python3 -m http.server $PORT0 --bind 127.0.0.1", "backoffSeconds": 0,
            "portDefinitions": [{ "port": port, "protocol": "tcp", "name": "http" }],
            "healthChecks": [{
                "protocol": "MESOS_HTTP", "path": "/", "portIndex": 0, "gracePeriodSeconds": 60,
                "intervalSeconds": 1, "timeoutSeconds": 5, "delaySeconds": 0
            }],
            "upgradeStrategy": { "minimumHealthCapacity": 1, "maximumOverCapacity": 0.5 }
        })
    };
    create(&served, &app("first"));
    let healthy = || {
        let app = served.app("/web");
        (app["tasksHealthy"] == 2 && app["tasksRunning"] == 2 && app["deployments"] == json!([]))
            .then_some(())
    };
    eventually("both are healthy", healthy);
    eventually("requests are passed on", || ask(port).ok().filter(|answer| answer.contains("200 OK")));
    let before = served.tasks("/web");

    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let asking = || {
            while !done.load(Ordering::Relaxed) {
                let answer = ask(port).expect("it is answered");
                assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"), "{answer}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(asking), scope.spawn(asking)];
        assert_eq!(served.api("PUT", "/v2/apps/web", &app("second")).0, 200);
        eventually("all are replaced", || {
            let now = served.tasks("/web");
            now.iter().all(|task| !before.contains(task)).then(healthy).flatten()
        });
        done.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no request was lost");
        }
    });
    assert!(asked.load(Ordering::Relaxed) > 0);
}
