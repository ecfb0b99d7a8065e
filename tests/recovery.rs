//! `kill -9` of the agent: its tasks run on, and what ended meanwhile is told truly.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use lonja_tests::{Cluster, Gate, eventually, lonja, needs_root, run, start_time, stderr, stdout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RESOURCES: &str = "cpus:4;mem:2048;ports:[31000-31010]";

#[test]
fn a_task_outlives_its_agent_with_the_same_process_and_its_output_flows_on() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let gate = cluster.gate();
    let script = format!("echo before; {}; echo after; exec sleep 1000", Gate::WAIT);
    let run_child = cluster.spawn_run(&["-v", &gate.volume(), "--", "sh", "-c", &script]);
    let (pid, started) = cluster.running_process();

    cluster.agent.take().unwrap().kill9();
    assert_eq!(start_time(pid).as_ref(), Some(&started));
    cluster.start_agent(RESOURCES);
    gate.open();

    assert_eq!(cluster.running_process(), (pid, started));
    let id = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    eventually("the output goes on", || {
        (stdout(&run(&["logs", &id, "--master", cluster.url()])) == "before\nafter\n").then_some(())
    });
    run(&["kill", &id, "--master", cluster.url()]);
    let output = run_child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), "before\nafter\n", "also for who waits for it");
}

#[test]
fn who_waits_for_a_task_sees_all_of_its_output_over_a_restart_of_its_agent() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let gate = cluster.gate();
    let script = format!("echo before; {}; echo after; exit 3", Gate::WAIT);
    let run_child = cluster.spawn_run(&["-v", &gate.volume(), "--", "sh", "-c", &script]);
    let id = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    let logs = ["logs", "-f", &id, "--master", cluster.url()];
    let mut logs = Command::new(lonja()).args(logs).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(logs.stdout.take().unwrap());
    let mut first = String::new();
    shown.read_line(&mut first).unwrap();
    assert_eq!(first, "before\n");

    cluster.agent.take().unwrap().terminate();
    cluster.start_agent(RESOURCES);
    gate.open();

    let output = run_child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), "before\nafter\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(3));
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "after\n");
    assert!(logs.wait().unwrap().success());
}

#[test]
fn ends_that_came_while_the_agent_was_away_are_told_with_their_true_status() {
    if needs_root() {
        return;
    }
    for (ending, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        let mut cluster = Cluster::start(&[]);
        let gate = cluster.gate();
        let script = format!("{}; {ending}", Gate::WAIT);
        let run_child = cluster.spawn_run(&["-v", &gate.volume(), "--", "sh", "-c", &script]);
        let (pid, started) = cluster.running_process();

        cluster.agent.take().unwrap().kill9();
        gate.open();
        eventually("the task ends", || (start_time(pid).as_ref() != Some(&started)).then_some(()));
        cluster.start_agent(RESOURCES);

        let output = run_child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{ending}: {}", stderr(&output));
    }
}

/// As after a power loss, when the records of containers are those of another boot.
#[test]
fn a_host_that_was_restarted_reports_its_tasks_lost() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let run_child = cluster.spawn_run(&["--", "sleep", "1000"]);
    cluster.running_process();
    cluster.agent.take().unwrap().kill9();
    for record in std::fs::read_dir(cluster.path("agent/run")).unwrap() {
        let path = record.unwrap().path().join("owner");
        let text = std::fs::read_to_string(&path).unwrap();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let other = text.replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
        assert_ne!(other, text);
        std::fs::write(&path, other).unwrap();
    }
    cluster.start_agent(RESOURCES);

    let output = run_child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    assert!(stderr(&output).contains("the host was restarted"), "{}", stderr(&output));
}

/// The process of this name that is a child of `parent`.
fn child_named(parent: i32, name: &str) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let named = |pid: &str| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        (comm.trim() == name).then(|| Pid::from_raw(pid.parse().unwrap()))
    };
    children.split_whitespace().find_map(named).unwrap_or_else(|| panic!("no {name} below {parent}"))
}

#[test]
fn an_agent_whose_launcher_is_gone_stops_and_the_next_has_its_tasks() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let mut run_child = cluster.spawn_run(&["--", "sleep", "1000"]);
    let process = cluster.running_process();
    let agent = cluster.agent.take().unwrap();

    kill(child_named(agent.pid().as_raw(), "lonja-launcher"), Signal::SIGKILL).unwrap();
    assert_eq!(agent.ended().code(), Some(1));
    assert_eq!(start_time(process.0).as_ref(), Some(&process.1));
    cluster.start_agent(RESOURCES);

    assert_eq!(cluster.running_process(), process);
    let more = cluster.spawn_run(&["--", "true"]).wait_with_output().unwrap();
    assert_eq!(more.status.code(), Some(0), "{}", stderr(&more));
    let id = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    run(&["kill", &id, "--master", cluster.url()]);
    run_child.wait().unwrap();
}

#[test]
fn an_agent_that_comes_back_with_less_is_refused_and_says_what_changed() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    cluster.agent.take().unwrap().kill9();
    let dir = cluster.path("agent");
    let output = run(&[
        "agent",
        "--work-dir",
        &dir,
        "--listen",
        "127.0.0.1:0",
        "--master",
        cluster.url(),
        "--resources",
        "cpus:1;mem:64",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("resources were cpus:4"), "{}", stderr(&output));
}

#[test]
fn a_work_dir_in_use_or_of_something_else_is_refused() {
    let cluster = Cluster::start(&[]);
    let dir = cluster.path("master");
    let output = run(&["master", "--work-dir", &dir, "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let pid = cluster.master.as_ref().unwrap().pid().to_string();
    assert!(stderr(&output).contains(&pid), "{}", stderr(&output));

    let other = run(&["master", "--work-dir", &dir, "--listen", &cluster.url()["http://".len()..]]);
    assert_eq!(other.status.code(), Some(1));
    let fresh = cluster.path("fresh");
    let other = run(&["master", "--work-dir", &fresh, "--listen", &cluster.url()["http://".len()..]]);
    assert!(stderr(&other).contains("choose another with --listen"), "{}", stderr(&other));
}
