//! Tasks that are looked at: by command, HTTP and TCP, from inside; told, ended, and over restarts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use lonja_tests::{Cluster, eventually, needs_root, run, start_time, stderr};
use serde_json::Value;

const RESOURCES: &str = "cpus:4;mem:2048;ports:[31000-31010]";

/// A server on loopback that answers each request with the status that it is told; tasks share the host's network here.
struct Server {
    port: u16,
    status: Arc<AtomicU16>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let status = Arc::new(AtomicU16::new(200));
        let answer = status.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer_one(stream, answer.load(Ordering::Relaxed));
            }
        });
        Self { port, status }
    }
}

fn answer_one(mut stream: TcpStream, status: u16) {
    let mut request = [0; 1024];
    if stream.read(&mut request).is_ok_and(|length| length > 0) {
        // Whoever asked may have left.
        let _left = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

fn until_task(cluster: &Cluster, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || cluster.list("tasks").into_iter().find(|task| is_meant(task)))
}

fn is(task: &Value, healthy: bool) -> bool {
    task["state"] == "TASK_RUNNING" && task["healthy"] == healthy
}

/// Seconds between the first and the last word on the task that was ended with such a message.
fn lasted(cluster: &Cluster, message: &str) -> f64 {
    let ended = |task: &Value| task["message"].as_str().is_some_and(|said| said.contains(message));
    let task = until_task(cluster, message, ended);
    let times = task["statuses"].as_array().unwrap().iter().filter_map(|status| status["timestamp"].as_f64());
    let (first, last) =
        times.fold((f64::MAX, 0.0_f64), |(first, last), time| (first.min(time), last.max(time)));
    last - first
}

/// Waits for the end of a run and says its status and what it wrote to stderr.
fn ended(run: lonja_tests::Running) -> (Option<i32>, String) {
    let output = run.wait_with_output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn a_command_check_runs_inside_the_container_and_its_failures_end_the_task() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let gate = cluster.gate();
    gate.put("health");
    let volume = gate.volume();
    // `$MARK` is the task's own variable, `$$` small only in its process namespace, the files those it sees.
    let line =
        "test \"$MARK\" = yes && test $$ -lt 1000 && test -e \"$MESOS_SANDBOX/own\" && test -e gates/health";
    let flags =
        ["-e", "MARK=yes", "--health-cmd", line, "--health-interval", "100ms", "--health-grace", "2s"];
    let script = "touch own; exec sleep 1000";
    let child = cluster
        .spawn_run(&[&flags[..], &["-v", &volume, "--name", "web", "--", "sh", "-c", script]].concat());
    let task = until_task(&cluster, "it is healthy", |task| is(task, true));
    let id = task["id"].as_str().unwrap().to_owned();
    let shown = lonja_tests::stdout(&cluster.lonja(&["tasks"]));
    assert!(shown.lines().any(|line| line.contains(&id) && line.contains("healthy")), "{shown}");

    gate.take("health");

    let (code, said) = ended(child);
    assert_eq!(code, Some(143), "{said}");
    assert!(said.contains("killed because its health check failed 3 times in a row"), "{said}");
    let task = until_task(&cluster, "it is killed", |task| task["state"] == "TASK_KILLED");
    assert_eq!(task["healthy"], false);
}

#[test]
fn health_by_http_is_told_as_it_changes_also_over_restarts_of_agent_and_master() {
    if needs_root() {
        return;
    }
    let server = Server::start();
    let mut cluster = Cluster::start(&[]);
    let http = format!("{}/health", server.port);
    let flags = ["--health-http", &http, "--health-interval", "100ms", "--health-grace", "0s"];
    let child =
        cluster.spawn_run(&[&flags[..], &["--health-failures", "1000000", "--", "sleep", "1000"]].concat());
    until_task(&cluster, "healthy", |task| is(task, true));
    let (pid, started) = cluster.running_process();
    server.status.store(503, Ordering::Relaxed);
    let sick = until_task(&cluster, "unhealthy", |task| is(task, false));
    assert_eq!(sick["message"], "health check failed: answered with status 503");

    cluster.agent.take().unwrap().kill9();
    server.status.store(200, Ordering::Relaxed);
    cluster.start_agent(RESOURCES);
    until_task(&cluster, "healthy again, as the new agent says", |task| is(task, true));
    cluster.restart_master(&[]);
    cluster.until_connected();
    until_task(&cluster, "healthy, as the new master hears", |task| is(task, true));
    assert_eq!(start_time(pid).as_ref(), Some(&started));

    let id = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    run(&["kill", &id, "--master", cluster.url()]);
    ended(child);
}

#[test]
fn a_task_that_never_answers_is_ended_after_its_grace_period() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let flags = ["--ports", "1", "--health-tcp", "PORT0", "--health-interval", "100ms"];
    let short = ["--health-grace", "1s", "--health-failures", "2", "--kill-grace", "0s"];
    let child = cluster.spawn_run(&[&flags[..], &short, &["--", "sleep", "1000"]].concat());
    let (code, said) = ended(child);
    assert_eq!(code, Some(137), "{said}");
    assert!(said.contains("2 times in a row") && lasted(&cluster, "2 times in a row") > 1.0, "{said}");
}

#[test]
fn a_check_reports_what_it_sees_and_ends_nobody() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let gate = cluster.gate();
    let volume = gate.volume();
    let line = "test -e gates/go && exit 3; exit 0";
    let flags = ["--check-cmd", line, "--check-interval", "100ms", "-v", &volume];
    let script = "until [ -e gates/ready ]; do sleep 0.05; done";
    let child = cluster.spawn_run(&[&flags[..], &["--", "sh", "-c", script]].concat());
    let sees = |code: i64| move |task: &Value| task["check_status"]["command"]["exit_code"] == code;
    let task = until_task(&cluster, "it exits with 0", sees(0));
    assert_eq!(task["healthy"], Value::Null);
    gate.put("go");
    until_task(&cluster, "it exits with 3", sees(3));
    gate.put("ready");
    assert_eq!(ended(child).0, Some(0));
}

#[test]
fn a_check_that_hangs_or_floods_fails_alone() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    for line in ["sleep 1000", "yes", "yes >&2 & sleep 1000"] {
        let flags = ["--health-cmd", line, "--health-timeout", "300ms", "--health-interval", "100ms"];
        let short = ["--health-grace", "0s", "--health-failures", "2", "--kill-grace", "0s"];
        let sick = cluster.spawn_run(&[&flags[..], &short, &["--", "sleep", "1000"]].concat());
        let well = cluster.spawn_run(&["--health-cmd", "true", "--health-grace", "0s", "--", "sleep", "0.5"]);
        assert_eq!(ended(well).0, Some(0), "{line}");
        let (code, said) = ended(sick);
        assert_eq!(code, Some(137), "{line}: {said}");
    }
}

#[test]
fn a_task_whose_time_is_up_has_failed_also_when_its_agent_was_away() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let child = cluster.spawn_run(&["--max-run-time", "300ms", "--", "sleep", "1000"]);
    let (code, said) = ended(child);
    assert_eq!(code, Some(143));
    assert!(said.contains("not complete after 300ms"), "{said}");

    let child = cluster.spawn_run(&["--max-run-time", "4s", "--", "sleep", "1000"]);
    cluster.task_in("TASK_RUNNING");
    cluster.agent.take().unwrap().kill9();
    cluster.start_agent(RESOURCES);
    let (code, said) = ended(child);
    assert_eq!(code, Some(143), "{said}");
    assert!(
        said.contains("not complete after 4s") && lasted(&cluster, "not complete after 4s") >= 4.0,
        "{said}"
    );
}

#[test]
fn bad_flags_are_refused_before_anything_is_asked() {
    for (flags, expected) in [
        (["--health-http", "x"], "--health-http x"),
        (["--health-tcp", "0"], "1 to 65535"),
        (["--health-cmd", " "], "nothing to run"),
        (["--health-interval", "5s"], "--health-cmd"),
        (["--check-http", "https:80"], "health checks only"),
        (["--health-failures", "0"], "--health-failures"),
    ] {
        let output = run(&[&["run"], &flags[..], &["--master", "http://127.0.0.1:1", "--", "true"]].concat());
        assert!(!output.status.success());
        assert!(stderr(&output).contains(expected), "{flags:?}: {}", stderr(&output));
    }
}
