//! `lonja run` and the listings.

use std::process::{Command, Stdio};

use lonja_tests::{Cluster, Daemon, eventually, lonja, needs_root, run, stderr, stdout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn a_command_runs_on_a_cluster_of_its_own_and_its_output_and_status_come_back() {
    if needs_root() {
        return;
    }
    let output = run(&["run", "--dev", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("out\n", "err\n"));
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_signal_counts_from_128_and_a_missing_command_is_named() {
    if needs_root() {
        return;
    }
    let output = run(&["run", "--dev", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(137), "{}", stderr(&output));
    let output = run(&["run", "--dev", "--", "no-such-command"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("'no-such-command'"), "{}", stderr(&output));
}

#[test]
fn a_task_larger_than_every_agent_is_refused_at_once_with_the_nearest_miss() {
    if needs_root() {
        return;
    }
    let output = run(&["run", "--dev", "--mem", "100TiB", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("lacks mem: has "), "{}", stderr(&output));
}

#[test]
fn an_unreachable_master_is_waited_for_by_run_and_not_by_queries() {
    let output = run(&["run", "--master", "http://127.0.0.1:9", "--wait", "300ms", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("no master answers at http://127.0.0.1:9"), "{}", stderr(&output));
    let output = run(&["agents", "--master", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn bad_flags_say_what_is_wrong_with_them() {
    for (flags, said) in [
        (vec!["--cpus", "-1"], "-1 is negative"),
        (vec!["--cpus", "NaN"], "NaN is not a finite number"),
        (vec!["-v", "/etc"], "-v /etc: write HOST:PATH"),
        (vec!["-e", "X"], "-e X: write K=V"),
        (vec!["--role", "a b"], "--role"),
    ] {
        let mut arguments = vec!["run", "--dev"];
        arguments.extend(flags);
        arguments.extend(["--", "true"]);
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn ctrl_c_kills_the_task() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let run = cluster.spawn_run(&["--", "sleep", "1000"]);
    let (pid, started) = cluster.running_process();
    kill(Pid::from_raw(i32::try_from(run.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    eventually("the process is gone", || {
        (lonja_tests::start_time(pid).as_ref() != Some(&started)).then_some(())
    });
}

#[test]
fn listings_are_tables_for_people_and_json_for_programs() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mut run_child =
        cluster.spawn_run(&["--name", "web", "--ports", "1", "--", "sh", "-c", "echo $PORT0; sleep 1000"]);
    let task = cluster.task_in("TASK_RUNNING");
    assert_eq!(task["name"], "web");
    let id = task["id"].as_str().unwrap().to_owned();
    let table = run(&["tasks", "--master", cluster.url()]);
    assert!(stdout(&table).starts_with("ID "), "{}", stdout(&table));
    assert!(stdout(&run(&["frameworks", "--master", cluster.url()])).contains("run web"));
    assert!(stdout(&run(&["roles", "--master", cluster.url()])).contains('*'));
    assert_eq!(stdout(&run(&["tasks", "-q", "--master", cluster.url()])), format!("{id}\n"));
    eventually("the port is printed", || {
        (stdout(&run(&["logs", &id, "--master", cluster.url()])) == "31000\n").then_some(())
    });

    assert_eq!(run(&["kill", &id, "--master", cluster.url()]).status.code(), Some(0));

    assert_eq!(run_child.wait().unwrap().code(), Some(143));
    assert_eq!(run(&["kill", "nothing", "--master", cluster.url()]).status.code(), Some(1));
}

#[test]
fn kill_9_of_a_dev_cluster_leaves_nothing() {
    if needs_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    let dev = Daemon::start(&["dev", "--agents", "2", "--listen", "127.0.0.1:0", "--work-dir", &dir]);
    let mut runs = Command::new(lonja())
        .args(["run", "--master", &dev.url, "--", "sleep", "1000"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let instances: Vec<String> = ["agent-1", "agent-2"]
        .iter()
        .map(|agent| std::fs::read_to_string(folder.path().join(agent).join("instance")).unwrap())
        .collect();
    eventually("the task runs", || {
        stdout(&run(&["tasks", "--master", &dev.url])).contains("TASK_RUNNING").then_some(())
    });

    dev.kill9();

    eventually("no control group is left", || {
        instances.iter().all(|instance| lonja_tests::groups(instance.trim()).is_empty()).then_some(())
    });
    let _gone = runs.kill();
    runs.wait().unwrap();
}

#[test]
fn a_config_file_sets_flags_and_an_unknown_key_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("master.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nwork-dri = \"x\"\n").unwrap();
    let output = run(&["master", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("master.toml:2: unknown key \"work-dri\""), "{}", stderr(&output));

    let dir = folder.path().join("work");
    std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\nwork-dir = {dir:?}\n")).unwrap();
    let master = Daemon::start(&["master", "--config", file.to_str().unwrap(), "--log", "error"]);
    assert!(master.get("/health").starts_with("HTTP/1.1 200"));
    assert_eq!(master.terminate().code(), Some(0));
}

#[test]
fn completions_and_version_need_no_master() {
    assert!(stdout(&run(&["completions", "bash"])).contains("_lonja"));
    assert_eq!(stdout(&run(&["version"])), format!("lonja {}\n", env!("CARGO_PKG_VERSION")));
}
