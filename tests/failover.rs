//! `kill -9` of the master: not one task is disturbed.

use lonja_tests::{Cluster, Gate, eventually, needs_root, run, stderr};
use nix::sys::signal::Signal;

#[test]
fn a_killed_master_finds_its_agents_frameworks_and_tasks_again() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let run_child = cluster.spawn_run(&["--", "sleep", "1000"]);
    let before = cluster.running_process();
    let agent = cluster.list("agents")[0]["id"].clone();
    let framework = cluster.list("frameworks")[0]["id"].clone();
    let address = cluster.master.as_ref().unwrap().address().to_string();

    cluster.master.take().unwrap().kill9();
    cluster.start_master(&address, &[]);
    cluster.until_connected();

    assert_eq!(cluster.list("agents")[0]["id"], agent);
    eventually("the framework is back", || {
        let frameworks = cluster.list("frameworks");
        frameworks.iter().any(|known| known["id"] == framework && known["state"] == "connected").then_some(())
    });
    assert_eq!(cluster.running_process(), before);
    let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    assert_eq!(run(&["kill", &task, "--master", cluster.url()]).status.code(), Some(0));
    let output = run_child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
}

#[test]
fn a_task_that_ends_while_the_master_is_away_is_told_when_it_is_back() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let gate = cluster.gate();
    let script = format!("{}; exit 5", Gate::WAIT);
    let run_child = cluster.spawn_run(&["-v", &gate.volume(), "--", "sh", "-c", &script]);
    let (pid, started) = cluster.running_process();
    let address = cluster.master.as_ref().unwrap().address().to_string();

    cluster.master.take().unwrap().kill9();
    gate.open();
    eventually("the task ends", || (lonja_tests::start_time(pid).as_ref() != Some(&started)).then_some(()));
    cluster.start_master(&address, &[]);

    assert_eq!(run_child.wait_with_output().unwrap().status.code(), Some(5));
}

#[test]
fn a_silent_agent_is_unreachable_and_comes_back_with_its_task() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&["--agent-ping-timeout", "300ms", "--max-agent-ping-timeouts", "2"]);
    let mut run_child = cluster.spawn_run(&["--", "sleep", "1000"]);
    let before = cluster.running_process();

    cluster.agent.as_ref().unwrap().signal(Signal::SIGSTOP);
    cluster.task_in("TASK_UNREACHABLE");
    cluster.agent.as_ref().unwrap().signal(Signal::SIGCONT);

    assert_eq!(cluster.running_process(), before);
    let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    run(&["kill", &task, "--master", cluster.url()]);
    run_child.wait().unwrap();
}

#[test]
fn a_run_whose_master_is_dead_ends_when_it_is_told_to_and_says_what_it_leaves() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let run_child = cluster.spawn_run(&["--", "sleep", "1000"]);
    cluster.running_process();

    cluster.master.take().unwrap().kill9();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(run_child.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();

    let output = run_child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("no master answers") && said.contains("1 task could not be ended"), "{said}");
}

#[test]
fn a_run_that_is_cancelled_while_instances_wait_complains_of_nothing() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let run_child = cluster.spawn_run(&["--instances", "2", "--cpus", "3", "--", "sleep", "1000"]);
    cluster.running_process();

    let pid = nix::unistd::Pid::from_raw(i32::try_from(run_child.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();

    let output = run_child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
}
